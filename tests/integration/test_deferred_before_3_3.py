"""
Deferred tasks in a whole Airflow below 3.3, where a trigger has no ``on_kill``: its ``cleanup`` asks Airflow what it ended for.

On the local pods. One DAG a case, and all of them at once.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from plugins.airflow_versions import AIRFLOW
from plugins.cluster import Namespace
from plugins.postgres import NewDatabase, Server
from plugins.triggerers import start_another, triggerers_of
from plugins.whole_runs import RUN, Runs, ids_of, whole_runs

from airflow_provider_dagconfig.kubectl.annotations import annotation
from demo import processes

pytestmark = pytest.mark.skipif(AIRFLOW >= (3, 3), reason="test_deferred.py shows it with on_kill, from Airflow 3.3 on")

DAGS = """
POD |= {"deferrable": True, "retry_delay": timedelta(seconds=1)}

LINES = "for i in 1 2 3 4 5; do echo line $i; sleep 1; done; echo '[7]' > /airflow/xcom/return.json"

job("lines", "sh", "-c", LINES, do_xcom_push=True)
job("exit_3", "sh", "-c", "sleep 4; exit 3")
job("too_long", *FOR_EVER)
job("marked_failed", *FOR_EVER)
job("marked_success", *FOR_EVER)
job("cleared", *FOR_EVER)
job("run_failed", *FOR_EVER)
job("triggerer_stopped", "sh", "-c", "sleep 30; echo the end")
"""
IDS = ids_of(DAGS)
MEDDLED = ("marked_failed", "marked_success", "cleared", "run_failed")
"""DAGs whose task somebody ends while it is deferred."""
ROWS: dict[str, dict[str, Any]] = {"exit_3": {"max_retries": 1}, "too_long": {"timeout_seconds": 12}}


@pytest.fixture(scope="module")
def runs(
    shared_namespace: Namespace,
    postgres: Server,
    new_migrated_database: NewDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runs]:
    """All runs, at their end."""
    folder = tmp_path_factory.mktemp("airflow")
    with whole_runs(folder, DAGS, shared_namespace, postgres, new_migrated_database) as (begun, _, stack):
        begun.airflow.wait_for_dags(*IDS)
        begun.begin(IDS, ROWS)
        begun.airflow.unpause(*IDS)
        for dag_id in (*MEDDLED, "triggerer_stopped"):
            see_watched(begun, dag_id)
        begun.airflow.set_state("marked_failed", RUN, "run", "failed")
        begun.airflow.set_state("marked_success", RUN, "run", "success")
        begun.airflow.clear("cleared", RUN, "run")
        begun.airflow.request("PATCH", f"/dags/run_failed/dagRuns/{RUN}", {"state": "failed"})
        see_watched(begun, "cleared", 2)
        begun.airflow.set_state("cleared", RUN, "run", "failed")
        begun.wait_until(lambda: all(is_gone(begun, dag_id) for dag_id in MEDDLED), "the pods of what was ended are deleted")
        restart_triggerer(begun, stack)
        begun.wait_for_all()
        yield begun


def see_watched(runs: Runs, dag_id: str, number: int = 1) -> None:
    """Wait until the pod of this number runs, and the triggerer has seen it."""
    runs.running_pod(dag_id, number)
    seen = f"Pod {runs.pods(dag_id)[-1]['metadata']['name']} runs on "
    runs.wait_until(lambda: any(line.startswith(seen) for line in runs.log(dag_id, number)), f"the trigger of {dag_id}")


def restart_triggerer(runs: Runs, stack: ExitStack) -> None:
    """Stop the triggerer: each of its triggers is cleaned up. Then start another one."""
    [triggerer] = triggerers_of(runs.airflow)
    os.kill(triggerer.pid, signal.SIGTERM)
    runs.wait_until(lambda: not triggerers_of(runs.airflow), "the triggerer ends")
    stack.callback(processes.stop, [start_another(runs.airflow, triggerer, "triggerer-2")], signal.SIGTERM, 20)


def is_gone(runs: Runs, dag_id: str) -> bool:
    """Whether each pod of the DAG was deleted."""
    return not {pod["metadata"]["name"] for pod in runs.pods(dag_id)} & set(runs.namespace.left())


def test_a_deferred_task_has_its_pods_log_and_result(runs: Runs) -> None:
    assert runs.task("lines") == ("success", 1)
    assert [line for line in runs.log("lines") if re.fullmatch(r"line \d", line)] == [f"line {number}" for number in range(1, 6)]
    assert runs.airflow.xcom("lines", RUN, "run") in ([7], "[7]")
    assert len(runs.pods("lines")) == 1
    assert is_gone(runs, "lines")


def test_a_deferred_task_has_the_rows_number_of_retries(runs: Runs) -> None:
    assert runs.task("exit_3") == ("failed", 2)
    assert [annotation(pod, "try-number") for pod in runs.pods("exit_3")] == ["1", "2"]


def test_the_rows_timeout_holds_while_a_task_is_deferred(runs: Runs) -> None:
    assert runs.task("too_long") == ("failed", 1)
    assert "timeout_seconds = 12" in runs.error("too_long")
    assert is_gone(runs, "too_long")


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_task_that_is_marked_while_it_is_deferred_leaves_no_pod(runs: Runs, state: str) -> None:
    assert runs.task(f"marked_{state}")[0] == state
    runs.wait_until(lambda: is_gone(runs, f"marked_{state}"), "its pod is deleted")


def test_a_run_that_is_marked_failed_while_its_task_is_deferred_leaves_no_pod(runs: Runs) -> None:
    runs.wait_until(lambda: is_gone(runs, "run_failed"), "its pod is deleted")


def test_a_triggerer_that_is_stopped_leaves_the_pod_to_another_one(runs: Runs) -> None:
    assert runs.task("triggerer_stopped") == ("success", 1)
    assert runs.log("triggerer_stopped").count("the end") == 1
    assert len(runs.pods("triggerer_stopped")) == 1


def test_a_task_that_is_cleared_while_it_is_deferred_begins_anew(runs: Runs) -> None:
    first, second = runs.pods("cleared")
    assert (annotation(first, "try-number"), annotation(second, "try-number")) == ("1", "2")
