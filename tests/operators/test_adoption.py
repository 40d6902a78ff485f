"""
A try and the pods of earlier tries: rows of the table in docs/DAG_OPERATIONS.md, on local pods and the real cluster.

The cases that need a whole Airflow are in tests/integration/test_airflow.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from plugins.adoption import Row
from plugins.cluster import Namespace, is_running
from plugins.tasks import TaskResult, Tasks
from plugins.workers import holding, wait_until, worker

from airflow_provider_dagconfig.kubectl.annotations import try_number

TICKING = ("sh", "-c", "i=0; while [ $i -lt 20 ]; do echo tick $i; i=$((i+1)); sleep 0.4; done")
TICKS = [f"tick {number}" for number in range(20)]


def ticks(task: TaskResult) -> list[str]:
    return [line for line in task.log if line.startswith("tick")]


class Seen:
    """The pods that are there while a task runs, once one of them is its own."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace, self._uid = namespace, ""

    def __call__(self, _: object) -> None:
        self._uid = self._namespace.wait_for_pod(lambda pod: try_number(pod) == 2)["metadata"]["uid"]

    def is_the(self, pod: dict[str, Any]) -> bool:
        assert self._uid
        return bool(self._uid == pod["metadata"]["uid"])


def has_ended(pod: dict[str, Any]) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


# --- the worker was killed, with its kubectl ---


@pytest.mark.row("the worker was killed before it asked for the pod")
def test_a_pod_that_nobody_asked_for_is_made_by_the_next_try(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    with worker(tasks, tmp_path, "echo", "once", kubectl=holding(tmp_path, '*" create --raw "*')) as first:
        first.wait_until_held()
        first.kill()
    assert tasks.namespace.pods() == []
    task = tasks.run("echo", "once", try_number=2)
    assert (task.state, task.log.count("once")) == ("success", 1)
    row.is_told(task.log)
    assert not any("earlier try" in line or "Adopting" in line for line in task.log)


@pytest.mark.row("the worker was killed before it had the answer that the pod is made")
def test_a_pod_that_its_try_never_heard_of_is_adopted(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    with worker(tasks, tmp_path, *TICKING, kubectl=holding(tmp_path, '*" create --raw "*', answered=True)) as first:
        first.wait_until_held()
        [made] = tasks.namespace.pods()
        first.kill()
    task = tasks.run(*TICKING, try_number=2, while_running=(seen := Seen(tasks.namespace)))
    assert (task.state, ticks(task)) == ("success", TICKS)
    assert seen.is_the(made)
    row.is_told(task.log)


@pytest.mark.row("the worker was killed while the pod waited for its start")
def test_a_pod_that_has_not_started_is_adopted_and_waited_for(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    """It waits for a secret, which comes after the adoption."""
    script, seen = ("sh", "-c", "cat /late/word; sleep 4"), Seen(tasks.namespace)
    given: dict[str, Any] = {
        "volumes": [{"name": "late", "secret": {"secretName": "late"}}],
        "volume_mounts": [{"name": "late", "mountPath": "/late"}],
    }
    with worker(tasks, tmp_path, *script, **given) as first:
        first.wait_until_it_asks_for("watch=true")
        [made] = tasks.namespace.pods()
        first.kill()

    def let_it_start(_: object) -> None:
        seen(_)
        tasks.namespace.create_secret("late", word="once\n")

    task = tasks.run(*script, try_number=2, while_running=let_it_start, **given)
    assert made["status"]["phase"] == "Pending"
    assert (task.state, task.log.count("once")) == ("success", 1)
    assert seen.is_the(made)
    row.is_told(task.log)


@pytest.mark.row("the worker was killed while the log came")
def test_a_pod_that_runs_is_adopted_and_its_log_is_told_from_the_first_line(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    with worker(tasks, tmp_path, *TICKING) as first:
        first.wait_until_it_asks_for("follow=true")
        made = tasks.namespace.wait_for_pod(is_running)
        first.kill()
    task = tasks.run(*TICKING, try_number=2, while_running=(seen := Seen(tasks.namespace)))
    assert (task.state, ticks(task)) == ("success", TICKS)
    assert seen.is_the(made)
    row.is_told(task.log)


@pytest.mark.row("the worker was killed after the pod had succeeded")
def test_a_success_that_nobody_saw_is_collected_and_its_work_is_not_done_again(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    script = ("sh", "-c", """date +%N; echo '{"rows": 7}' > /airflow/xcom/return.json""")
    with worker(tasks, tmp_path, *script, do_xcom_push=True, kubectl=holding(tmp_path, '*"watch=true"*')) as first:
        made = tasks.namespace.wait_for_pod(has_ended)
        first.kill()
    written = tasks.namespace.cluster.kubectl("get", "--raw", f"{tasks.namespace.path}/{made['metadata']['name']}/log").strip()
    task = tasks.run(*script, do_xcom_push=True, try_number=2)
    assert (task.state, task.result, task.log.count(written)) == ("success", {"rows": 7}, 1)
    row.is_told(task.log)
    tasks.namespace.wait_until_empty()


@pytest.mark.row("the worker was killed after the pod had failed")
def test_a_failure_that_nobody_saw_is_replaced(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    with worker(tasks, tmp_path, "false", kubectl=holding(tmp_path, '*"watch=true"*')) as first:
        tasks.namespace.wait_for_pod(has_ended)
        first.kill()
    task = tasks.run("echo", "better", try_number=2)
    assert (task.state, task.log.count("better")) == ("success", 1)
    row.is_told(task.log)


# --- the worker lives ---


@pytest.mark.row("the worker was frozen, and goes on beside the next try")
def test_a_worker_that_was_frozen_leaves_its_pod_to_the_try_that_has_adopted_it(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    """Airflow heard nothing of it for a while, and started the next try."""
    with worker(tasks, tmp_path, *TICKING) as first:
        first.wait_until_it_asks_for("follow=true")
        made = tasks.namespace.wait_for_pod(is_running)
        first.freeze()
        seen = Seen(tasks.namespace)

        def come_back(_: object) -> None:
            seen(_)
            first.thaw()

        task = tasks.run(*TICKING, try_number=2, while_running=come_back)
        zombie = first.result()
    assert (task.state, task.error, ticks(task)) == ("success", "", TICKS)
    assert seen.is_the(made)
    assert zombie["state"] == "failed"
    row.is_told(task.log, zombie["log"], zombie["error"])
    assert not any("deleted" in line for line in zombie["log"])


@pytest.mark.row("Airflow did not get the success")
def test_a_success_that_airflow_did_not_get_is_collected_by_the_next_try(tasks: Tasks, row: Row) -> None:
    script = ("sh", "-c", """echo worked; echo '{"rows": 7}' > /airflow/xcom/return.json""")
    first = tasks.run(*script, do_xcom_push=True, report="running")
    second = tasks.run(*script, do_xcom_push=True, try_number=2)
    assert (second.state, second.result) == ("success", {"rows": 7})
    row.is_told(first.log, second.log)
    tasks.namespace.wait_until_empty()


# --- cleared, or begun anew ---


@pytest.mark.row("the task was cleared, and its worker was lost")
def test_a_pod_of_before_a_clear_is_replaced(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    with worker(tasks, tmp_path, "sh", "-c", "echo begun; sleep 300", max_tries=1, termination_grace_period=0) as first:
        tasks.namespace.wait_for_pod(is_running)
        first.kill()
    task = tasks.run("echo", "anew", try_number=2, max_tries=2)
    assert (task.state, "anew" in task.log, "begun" in task.log) == ("success", True, False)
    row.is_told(task.log)


@pytest.mark.row("the pod's end was reported, and it was kept")
@pytest.mark.parametrize(
    ("cmds", "state", "phase", "max_tries"),
    [
        pytest.param(["echo", "old"], "success", "Succeeded", 1, id="succeeded-and-the-task-was-cleared"),
        pytest.param(["sh", "-c", "echo old; exit 1"], "failed", "Failed", 0, id="failed-and-the-task-is-tried-again"),
    ],
)
def test_a_pod_that_was_kept_is_replaced(tasks: Tasks, row: Row, cmds: list[str], state: str, phase: str, max_tries: int) -> None:
    assert tasks.run(*cmds, on_finish_action="keep_pod").state == state
    assert [pod["status"]["phase"] for pod in tasks.namespace.pods()] == [phase]
    task = tasks.run("echo", "new", try_number=2, max_tries=max_tries)
    assert (task.state, "new" in task.log, "old" in task.log) == ("success", True, False)
    row.is_told(task.log)


@pytest.mark.row("the run was deleted, and made anew with the same id")
def test_a_run_that_was_deleted_and_made_anew_does_not_take_the_old_ones_pod(tasks: Tasks, row: Row) -> None:
    """Its tries are counted from 1 again, so the pod seems to be this very try's."""
    begun = datetime(2026, 11, 23, 2, 0, 0, 123456, tzinfo=timezone.utc)
    first = tasks.run("echo", "old", report="running", dag_run=SimpleNamespace(conf=None, start_date=begun, clear_number=0))
    assert "old" in first.log
    later = SimpleNamespace(conf=None, start_date=begun + timedelta(minutes=1), clear_number=0)
    task = tasks.run("echo", "new", dag_run=later)
    assert (task.state, "new" in task.log, "old" in task.log) == ("success", True, False)
    row.is_told(task.log)


# --- pods that are no more, or not this task's ---


@pytest.mark.row("the worker was killed, and somebody deletes the pod")
def test_a_pod_that_is_being_deleted_is_waited_for(tasks: Tasks, row: Row, tmp_path: Path) -> None:
    script = ("sh", "-c", "trap '' TERM; echo begun; sleep 300")
    with worker(tasks, tmp_path, *script, termination_grace_period=300) as first:
        made = tasks.namespace.wait_for_pod(is_running)
        first.kill()
    path = f"{tasks.namespace.path}/{made['metadata']['name']}"
    tasks.namespace.cluster.kubectl("delete", "--raw", path)

    def end_it_once_it_is_waited_for(_: object) -> None:
        wait_until(lambda: any("is still being deleted" in line for line in tasks.log), "the task waits for the pod's end")
        tasks.namespace.cluster.kubectl("delete", "--raw", f"{path}?gracePeriodSeconds=0")

    task = tasks.run("echo", "anew", try_number=2, while_running=end_it_once_it_is_waited_for)
    assert (task.state, "anew" in task.log, "begun" in task.log) == ("success", True, False)
    row.is_told(task.log)


@pytest.mark.row("somebody made a pod of that name by hand")
def test_a_pod_of_that_name_that_is_not_this_tasks_is_left_alone(tasks: Tasks, row: Row) -> None:
    manifest = tasks.manifest_of(tasks.operator("sleep", "30"))
    manifest["metadata"]["annotations"] = {"owner": "somebody else"}
    tasks.namespace.cluster.kubectl("create", "--raw", tasks.namespace.path, "-f", "-", body=manifest)
    task = tasks.run("true")
    assert task.state == "failed"
    row.is_told(task.error)
    assert len(tasks.namespace.left()) == 1
