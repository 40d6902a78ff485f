"""
Deferred tasks in a whole Airflow: scheduler, API server, LocalExecutor and triggerers. One DAG a case, and all of them at once.

What the cases are about is what users of KubernetesPodOperator reported: apache/airflow 62398, 44014, 37263, 67227 and 38003.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from plugins.cluster import Namespace
from plugins.postgres import NewDatabase, Server
from plugins.processes import below, requests_of
from plugins.triggerers import start_another, triggerers_of
from plugins.whole_runs import RUN, Runs, ids_of, whole_runs

from airflow_provider_dagconfig.kubectl.annotations import annotation
from benchmarks.tcp_proxy import Proxy
from demo import processes

DAGS = """
POD |= {"deferrable": True, "retry_delay": timedelta(seconds=1)}
LINES = ("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 1; done")
A_WHILE = ("sh", "-c", "sleep 30; echo the end")

job("lines", *LINES)
job("lines_meanwhile", *LINES, logging_interval=4)
job("result", "sh", "-c", "sleep 8; echo '[7]' > /airflow/xcom/return.json", do_xcom_push=True)
job("exit_3", "sh", "-c", "sleep 8; exit 3")
job("skipped", "sh", "-c", "sleep 8; exit 99", skip_on_exit_code=99)
job("marked_failed", *FOR_EVER)
job("marked_success", *FOR_EVER)
job("cleared", *FOR_EVER)
job("run_failed", *FOR_EVER)
job("too_long", *FOR_EVER, execution_timeout=timedelta(seconds=12))
job("not_started", *FOR_EVER, startup_timeout_seconds=8, node_selector={"there": "is-none"})
job("changed_meanwhile", "sh", "-c", "sleep 20; echo batch $BATCH", env_vars={"BATCH": "{{ dag_config.batch_size }}"},
    postgres_conn_id="through_proxy")
job("triggerer_died", *A_WHILE)
mapped("mapped", "sh", "-c", over={"arguments": [["sleep 8; exit 3"], ["sleep 8; exit 0"]]})
"""
IDS = ids_of(DAGS)

MEDDLED = ("marked_failed", "marked_success", "cleared", "run_failed")
"""DAGs whose task somebody ends while it is deferred."""

ROWS: dict[str, dict[str, Any]] = {"exit_3": {"max_retries": 1}, "changed_meanwhile": {"batch_size": 321}}


pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def runs(
    real_cluster_namespace: Namespace,
    postgres: Server,
    new_migrated_database: NewDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runs]:
    """All runs, at their end."""
    folder = tmp_path_factory.mktemp("airflow")
    settings = {
        # Seconds after which a triggerer that says nothing loses its triggers to another one.
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        # Airflow 3.3.2 treats a task as lost if it resumes before the executor has reported its deferral, and retries it. A
        # worker's supervisor may tell it so many seconds late; no pod here ends as soon as that.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }
    with whole_runs(folder, DAGS, real_cluster_namespace, postgres, new_migrated_database, **settings) as (begun, proxy, stack):
        begun.airflow.wait_for_dags(*IDS)
        begun.begin(IDS, ROWS)
        begun.airflow.unpause(*IDS)
        meddle(begun, proxy, stack)
        begun.wait_for_all()
        yield begun


def meddle(runs: Runs, proxy: Proxy, stack: ExitStack) -> None:
    """Do what happens to the runs."""
    for dag_id in ("changed_meanwhile", *MEDDLED, "triggerer_died"):
        see_running(runs, dag_id)
    runs.configure("changed_meanwhile", batch_size=5, enabled=False)
    with proxy.away():
        replace_triggerer(runs, stack)
        runs.wait_for("changed_meanwhile", "success")

    # A task that is ended while no triggerer has its trigger leaves its pod to the sweep.
    for dag_id in MEDDLED:
        see_running(runs, dag_id, triggerers=2)
    runs.airflow.set_state("marked_failed", RUN, "run", "failed")
    runs.airflow.set_state("marked_success", RUN, "run", "success")
    runs.airflow.clear("cleared", RUN, "run")
    runs.airflow.request("PATCH", f"/dags/run_failed/dagRuns/{RUN}", {"state": "failed"})
    see_running(runs, "cleared", 2)
    runs.airflow.set_state("cleared", RUN, "run", "failed")


def see_running(runs: Runs, dag_id: str, number: int = 1, triggerers: int = 1) -> None:
    """Wait until the pod of this number runs, and so many triggerers have seen it."""
    runs.running_pod(dag_id, number)
    seen = f"Pod {runs.pods(dag_id)[-1]['metadata']['name']} runs on "
    told = f"the trigger of {dag_id}"
    runs.wait_until(lambda: sum(line.startswith(seen) for line in runs.log(dag_id, number)) >= triggerers, told)


def replace_triggerer(runs: Runs, stack: ExitStack) -> None:
    """Kill the triggerer with all it has started but the watch, which has to end by itself; and start another one."""
    [triggerer] = triggerers_of(runs.airflow)
    watches: set[int] = set()
    path = f"namespaces/{runs.namespace.name}/pods?watch=true&allowWatchBookmarks"
    runs.wait_until(lambda: watches.update(requests_of(path)) or watches, "the triggerer has a watch")
    for one in triggerer.tree:
        if one not in watches:
            os.kill(one, signal.SIGKILL)
    runs.wait_until(lambda: not any(Path(f"/proc/{watch}").exists() for watch in watches), "the watch ends")
    another = start_another(runs.airflow, triggerer, "triggerer-2")
    stack.callback(processes.stop, [another], signal.SIGTERM, 20)


def lines(runs: Runs, dag_id: str) -> list[str]:
    """What a job wrote."""
    return [line for line in runs.log(dag_id) if re.fullmatch(r"line \d+|the end", line)]


def is_gone(runs: Runs, dag_id: str) -> bool:
    """Whether each pod of the DAG was deleted."""
    names = {pod["metadata"]["name"] for pod in runs.pods(dag_id)}
    return not names & set(runs.namespace.left())


@pytest.mark.parametrize("dag_id", ["lines", "lines_meanwhile"])
def test_each_line_of_the_log_is_there_once_and_in_order(runs: Runs, dag_id: str) -> None:
    assert runs.task(dag_id) == ("success", 1)
    assert lines(runs, dag_id) == [f"line {number}" for number in range(1, 9)]
    assert len(runs.pods(dag_id)) == 1
    assert is_gone(runs, dag_id)


def test_a_resumed_task_has_the_pods_result(runs: Runs) -> None:
    assert runs.task("result") == ("success", 1)
    found = runs.airflow.request(
        "GET", f"/dags/result/dagRuns/{RUN}/taskInstances/run/xcomEntries/return_value", deserialize="true"
    )
    assert found["value"] in ([7], "[7]")


def test_a_deferred_task_has_the_rows_retries(runs: Runs) -> None:
    assert runs.task("exit_3") == ("failed", 2)
    assert [annotation(pod, "try-number") for pod in runs.pods("exit_3")] == ["1", "2"]
    assert runs.says("exit_3", 1).startswith("try 1 of 2 failed (exit code 3); next at ")
    assert runs.says("exit_3", 2) == "no retry: try 2 of 2 failed (exit code 3)"


def test_an_exit_code_skips_a_deferred_task(runs: Runs) -> None:
    assert runs.task("skipped") == ("skipped", 1)


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_task_that_is_marked_while_it_is_deferred_leaves_no_pod(runs: Runs, state: str) -> None:
    assert runs.task(f"marked_{state}")[0] == state
    runs.wait_until(lambda: is_gone(runs, f"marked_{state}"), "its pod is deleted")


def test_a_run_that_is_marked_failed_while_its_task_is_deferred_leaves_no_pod(runs: Runs) -> None:
    runs.wait_until(lambda: is_gone(runs, "run_failed"), "its pod is deleted")


def test_a_task_that_is_cleared_while_it_is_deferred_begins_anew(runs: Runs) -> None:
    first, second = runs.pods("cleared")
    assert (annotation(first, "try-number"), annotation(second, "try-number")) == ("1", "2")


def test_an_execution_timeout_holds_while_a_task_is_deferred(runs: Runs) -> None:
    assert runs.task("too_long") == ("failed", 1)
    assert runs.says("too_long") == "no retry: try 1 of 1 failed (execution_timeout)"
    assert is_gone(runs, "too_long")


def test_a_startup_timeout_holds_while_a_task_is_deferred(runs: Runs) -> None:
    assert runs.task("not_started") == ("failed", 1)
    assert is_gone(runs, "not_started")


def test_a_row_that_is_changed_and_switched_off_and_a_database_that_is_away(runs: Runs) -> None:
    assert runs.task("changed_meanwhile") == ("success", 1)
    assert "batch 321" in runs.log("changed_meanwhile")
    [[rendered]] = runs.metadata.execute(
        "SELECT rendered_fields FROM rendered_task_instance_fields WHERE dag_id = 'changed_meanwhile'"
    )
    assert "321" in str(rendered)
    assert "'batch_size': 5," not in str(rendered)


def test_another_triggerer_takes_over(runs: Runs) -> None:
    assert runs.task("triggerer_died") == ("success", 1)
    assert lines(runs, "triggerer_died") == ["the end"]
    assert len(runs.pods("triggerer_died")) == 1


def test_each_index_of_a_deferred_mapped_task_has_its_own_end(runs: Runs) -> None:
    assert (runs.task("mapped", 0)[0], runs.task("mapped", 1)[0]) == ("failed", "success")


def test_no_watch_is_left_once_nobody_waits(runs: Runs) -> None:
    watches = f"namespaces/{runs.namespace.name}/pods?watch=true&allowWatchBookmarks"
    runs.wait_until(lambda: not set(requests_of(watches)) & set(below(os.getpid())), "the watch ends")
