"""
The annotations with our prefix. The operator writes them on a pod to record its owner, and reads them back. Pure.

They hold the task instance's ids in full, for which a label is too short, and the configuration that the pod was made with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup

PREFIX = "airflow-provider-dagconfig"
"""Prefix of the annotations that the operator writes."""

IDENTITY = frozenset(
    f"{PREFIX}/{name}"
    for name in (
        *("dag-id", "run-id", "task-id", "map-index", "try-number", "installation", "max-tries", "run-start", "run-clears"),
        "collected",
    )
)
"""The annotations that identify the owner of a pod and say whether its end was reported. The others are for people."""


def config_annotations(dag_config: DagConfig, exchange_group: ExchangeGroup | None = None) -> dict[str, str]:
    """
    Return a configuration as annotations, with the names that templates use for its values.

    Examples: ``airflow-provider-dagconfig/memory_limit``, and with the same prefix ``origin``, ``change.changed_by``,
    ``exchange_group.exchanges``. Values that are None are omitted; lists are joined with commas.
    """
    values = dag_config.as_dict()
    if exchange_group is not None:
        values["exchange_group"] = exchange_group.as_dict()
    return {f"{PREFIX}/{name}": text for name, text in _flatten(values)}


def task_annotations(
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int | None = -1,
    try_number: int = 1,
    installation: str | None = None,
    *,
    max_tries: int | None = None,
    run_start: datetime | None = None,
    run_clears: int | None = None,
) -> dict[str, str]:
    """
    Return the annotations that identify a task instance: its full ids, and values that distinguish another one with the same ids.

    The names are ``airflow-provider-dagconfig/dag-id``, and with the same prefix ``run-id``, ``task-id``, ``map-index``,
    ``try-number``, ``installation``, ``max-tries``, ``run-start`` and ``run-clears``. Values that are None are omitted.

    :param max_tries: Airflow's ``max_tries``; it grows when the task is cleared.
    :param run_start: when the dag run started; a run that is deleted and made anew starts later.
    :param run_clears: how often tasks of the run were cleared; clearing a finished run starts it anew, too.
    """
    ids = {
        "dag-id": readable(dag_id),
        "run-id": readable(run_id),
        "task-id": readable(task_id),
        "map-index": str(-1 if map_index is None else map_index),
        "try-number": str(try_number),
        "installation": installation,
        "max-tries": None if max_tries is None else str(max_tries),
        "run-start": None if run_start is None else run_start.isoformat(),
        "run-clears": None if run_clears is None else str(run_clears),
    }
    return {f"{PREFIX}/{name}": text for name, text in ids.items() if text is not None}


def is_same_task_instance(pod: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two pods have the annotations of the same task instance. Installation and try may differ."""
    ids = ("dag-id", "run-id", "task-id", "map-index")
    return all(annotation(pod, name) == annotation(other, name) is not None for name in ids)


def identity(pod: Mapping[str, Any], container: str) -> dict[str, Any]:
    """
    Return the parts of a pod that identify its owner, for the process that watches it.

    :param container: the name of the job's container. It is the first in a manifest, but not always in a pod that a webhook has
        changed.
    """
    metadata = pod["metadata"]
    known = {key: metadata[key] for key in ("name", "namespace", "uid") if key in metadata}
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key in IDENTITY}
    return {
        "metadata": {**known, "annotations": annotations},
        "spec": {"containers": [{"name": container}]},
    }


def annotation(pod: Mapping[str, Any], name: str) -> str | None:
    """
    Return one of our annotations of a pod, by its name without the prefix: ``annotation(pod, "try-number")``.

    :param pod: a manifest, or a pod as the API server returned it
    """
    value = ((pod.get("metadata") or {}).get("annotations") or {}).get(f"{PREFIX}/{name}")
    return None if value is None else str(value)


def try_number(pod: Mapping[str, Any]) -> int | None:
    """Return the number of the try that made or adopted the pod; None if the pod does not say."""
    return _read_number(pod, "try-number")


def max_tries(pod: Mapping[str, Any]) -> int | None:
    """Return Airflow's ``max_tries`` when the pod was made or adopted; None if the pod does not say."""
    return _read_number(pod, "max-tries")


def run_of(pod: Mapping[str, Any]) -> tuple[datetime, int] | None:
    """Return when the pod's dag run started and how often the run had been cleared; None if the pod does not say."""
    clears = _read_number(pod, "run-clears")
    try:
        start = datetime.fromisoformat(annotation(pod, "run-start") or "")
    except ValueError:
        return None
    return None if clears is None or start.tzinfo is None else (start, clears)


def _read_number(pod: Mapping[str, Any], name: str) -> int | None:
    text = annotation(pod, name)
    return int(text) if text and text.isascii() and text.isdecimal() else None


def _flatten(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value that is not None as text, with its dotted name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{path}{name}", ",".join(readable(str(item)) for item in value)
        elif value is not None:
            yield f"{path}{name}", str(value).lower() if isinstance(value, bool) else readable(str(value))


def readable(text: str) -> str:
    r"""Replace each lone surrogate, which no valid UTF-8 contains, by six characters such as ``\udce9``."""
    return str.__str__(text).encode("utf-8", "backslashreplace").decode()
