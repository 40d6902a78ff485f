"""A cancelled trigger and its pod: the trigger asks Airflow first. On the local pods, and on a cluster."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger
from plugins.cluster import is_running
from plugins.tasks import DAG_ID, RUN_ID, Tasks

from airflow_provider_dagconfig.hooks.airflow_state import UNKNOWN
from airflow_provider_dagconfig.hooks.asking import NoAnswerError
from airflow_provider_dagconfig.kubectl.claim import adopted, marked
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome
from airflow_provider_dagconfig.kubectl.pod_life import TakenOver, TooLate
from airflow_provider_dagconfig.kubectl.report import Kind, Report
from airflow_provider_dagconfig.triggers import pod as pods
from airflow_provider_dagconfig.triggers.pod import PodTrigger


def cancel(trigger: PodTrigger, patch: pytest.MonkeyPatch, state: str | Exception | None) -> None:
    """Cancel a trigger as Airflow does, which then has the task in a state, or does not answer."""

    async def ask(_: Any) -> str | None:
        if isinstance(state, Exception):
            raise state
        return state

    patch.setattr(pods, "ask_state_of", ask)
    trigger.task_instance = SimpleNamespace(id="1", dag_id=DAG_ID, run_id=RUN_ID, task_id="collect", map_index=-1, try_number=1)
    # Below 3.3 there is nothing but a cleanup, after all ends.
    asyncio.run(trigger.on_kill() if hasattr(BaseTrigger, "on_kill") else trigger.cleanup())


def deferred(tasks: Tasks) -> PodTrigger:
    task = tasks.run("sleep", "60", deferrable=True, termination_grace_period=1)
    assert task.left is not None
    trigger: PodTrigger = task.left.make_trigger()
    return trigger


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "removed", UNKNOWN])
def test_where_somebody_ended_the_task_the_pod_is_deleted(tasks: Tasks, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    cancel(deferred(tasks), monkeypatch, state)
    assert tasks.namespace.left() == []


@pytest.mark.parametrize(
    "state", ["deferred", "queued", "scheduled", "running", "up_for_retry", None, NoAnswerError("no answer"), TimeoutError()]
)
def test_else_it_is_left(tasks: Tasks, monkeypatch: pytest.MonkeyPatch, state: Any) -> None:
    """Another triggerer may have it, or the next try; or nobody knows."""
    cancel(deferred(tasks), monkeypatch, state)
    assert len(tasks.namespace.left()) == 1


def test_the_pod_of_a_later_try_is_left(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = deferred(tasks)
    [pod] = tasks.namespace.pods()
    later = {"metadata": {"annotations": {**pod["metadata"]["annotations"], "airflow-provider-dagconfig/try-number": "2"}}}
    replace(tasks, adopted(pod, later))
    cancel(trigger, monkeypatch, "failed")
    assert len(tasks.namespace.left()) == 1


def test_a_pod_whose_end_was_seen_to_is_left(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen triggerer that continues after another one and a worker have finished the task: it must keep the pod."""
    trigger = deferred(tasks)
    replace(tasks, marked(tasks.namespace.pods()[0], "collected", "true"))
    cancel(trigger, monkeypatch, "success")
    assert len(tasks.namespace.left()) == 1


def test_ctrl_c_in_dags_test_ends_the_pod(tasks: Tasks) -> None:
    """There the trigger runs in the process that made the pod, without a task instance, and nobody comes after it."""
    trigger = deferred(tasks)

    async def interrupted() -> None:
        waiting = asyncio.create_task(anext(aiter(trigger.run())))
        await asyncio.to_thread(tasks.namespace.wait_for_pod, is_running)
        waiting.cancel()
        await waiting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert tasks.namespace.left() == []


def replace(tasks: Tasks, pod: dict[str, Any]) -> None:
    path = f"{tasks.namespace.path}/{pod['metadata']['name']}"
    newest = json.loads(tasks.namespace.cluster.kubectl("get", "--raw", path))
    newest["metadata"]["annotations"] = pod["metadata"]["annotations"]
    tasks.namespace.cluster.kubectl("replace", "--raw", path, "-f", "-", body=newest)


def test_after_its_event_a_trigger_deletes_nothing(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks.run("true", deferrable=True, on_finish_action="keep_pod")
    assert task.left is not None
    trigger: PodTrigger = task.left.make_trigger()

    async def run() -> None:
        async for _ in trigger.run():
            break

    asyncio.run(run())
    cancel(trigger, monkeypatch, "failed")
    assert len(tasks.namespace.left()) == 1


def test_a_trigger_of_a_later_version_says_that_nobody_watches() -> None:
    async def first(trigger: PodTrigger) -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    for trigger in (PodTrigger(99, {"what": "ever"}), PodTrigger(pods.VERSION, {"not": "enough"})):
        assert Report.from_dict(asyncio.run(first(trigger))).kind is Kind.NOT_WATCHED


LATE = TooLate("startup_timeout_seconds", 9.0, Outcome(End.NOT_STARTED, "Pending"), events_may_tell=True)


@pytest.mark.parametrize(
    "report",
    [
        Report.of(Outcome(End.EXITED, "Error", "message", 3, "result")),
        Report.of(LATE),
        Report.of(LATE, KubectlError(Fault.UNREACHABLE, "refused", "watch")),
        Report.of(TakenOver(2)),
        Report(Kind.NOT_WATCHED, message="no kubectl"),
        Report(Kind.LOG_DUE),
        Report(Kind.TIMEOUT),
    ],
    ids=lambda report: report.kind.name,
)
def test_a_report_comes_through_json(report: Report) -> None:
    assert Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report


@pytest.mark.parametrize("values", [None, {}, {"kind": "ended"}, {"format": 2, "kind": "ended"}, {"format": 1, "kind": "nonsense"}])
def test_an_unreadable_report_is_not_an_end(values: Any) -> None:
    assert Report.from_dict(values).kind is Kind.NOT_WATCHED
