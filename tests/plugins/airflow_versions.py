"""Parts of Airflow's own modules that the tests use and that are elsewhere, or have another form, in Airflow 3.1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow import __version__

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])
"""Airflow's version: major and minor number."""


def make_dag_bag(folder: Path | str, *, bundle_name: str, **arguments: Any) -> DagBag:
    """Make a ``DagBag``, which parses the DAG files below a folder."""
    if AIRFLOW >= (3, 2):
        from airflow.dag_processing.dagbag import DagBag

        return DagBag(folder, bundle_name=bundle_name, **arguments)
    from airflow.models import dagbag

    bag: DagBag = dagbag.DagBag(folder, **arguments)
    return bag


def sync_bag_to_db(bag: DagBag, bundle_name: str) -> None:
    """Write a bag's DAGs into Airflow's database."""
    if AIRFLOW >= (3, 2):
        from airflow.dag_processing import dagbag
    else:
        from airflow.models import dagbag  # type: ignore[no-redef]
    dagbag.sync_bag_to_db(bag, bundle_name, None)


def dag_serialization() -> Any:
    """Return the class that has a DAG's ``to_dict`` and ``from_dict``."""
    from airflow.serialization import serialized_objects

    return serialized_objects.DagSerialization if AIRFLOW >= (3, 2) else serialized_objects.SerializedDAG
