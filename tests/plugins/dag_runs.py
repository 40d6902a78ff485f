"""Runs of a DAG in this process, by Airflow's own scheduling rules, with a metadata database of the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from plugins.airflow_versions import make_dag_bag, sync_bag_to_db

if TYPE_CHECKING:
    from airflow.sdk import DAG


@dataclass(frozen=True)
class TaskRun:
    """The result of one task instance."""

    state: str | None
    label: str | None
    """The text that the grid shows instead of the map index."""
    xcom: Any


@dataclass(frozen=True)
class DagRunResult:
    """A finished run: its state, and its task instances by task id and map index (-1: not mapped)."""

    run_id: str
    state: str
    tasks: dict[tuple[str, int], TaskRun]

    def states(self, task_id: str) -> list[str | None]:
        """Return the states of a task's instances, by map index."""
        return [run.state for (name, _), run in sorted(self.tasks.items()) if name == task_id]

    def labels(self, task_id: str) -> list[str | None]:
        """Return the texts that the grid shows for a task's instances, by map index."""
        return [run.label for (name, _), run in sorted(self.tasks.items()) if name == task_id]

    def xcoms(self, task_id: str) -> list[Any]:
        """Return the results of a task's instances, by map index."""
        return [run.xcom for (name, _), run in sorted(self.tasks.items()) if name == task_id]


@pytest.fixture(scope="session")
def airflow_metadata() -> None:
    """Create an empty metadata database (SQLite) in the tests' AIRFLOW_HOME."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def run_dag(airflow_metadata: None) -> Callable[..., DagRunResult]:
    """Return a function that runs a DAG once, from the first task to the last, and returns the result of each task."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    def run(*dags: DAG, conf: dict[str, Any] | None = None, **arguments: Any) -> DagRunResult:
        """
        :param dags: the DAG to run, then the DAGs that it refers to.
        :param arguments: other arguments of ``DAG.test``.
        """
        DagBundlesManager().sync_bundles_to_db()
        bag = make_dag_bag("/dev/null", bundle_name="dags-folder")
        for dag in dags:
            for task in dag.tasks:
                task.retries = 0
            bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder")
        dag_run = dags[0].test(run_conf=conf, **arguments)
        return DagRunResult(
            run_id=dag_run.run_id,
            state=str(dag_run.state),
            tasks={
                (ti.task_id, ti.map_index): TaskRun(
                    state=None if ti.state is None else str(ti.state),
                    label=ti.rendered_map_index,
                    xcom=ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index),
                )
                for ti in dag_run.get_task_instances()
            },
        )

    return run
