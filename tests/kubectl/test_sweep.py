"""The pods that a sweep deletes: from a pod, the state of its task in Airflow, and the time follows a verdict."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_dagconfig.kubectl.annotations import PREFIX, task_annotations
from airflow_provider_dagconfig.kubectl.sweep import MARK, Fate, ListedPod, TaskFacts, TaskId, judge, mark

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)


def ago(**duration: int) -> datetime:
    return NOW - timedelta(**duration)


AN_HOUR_AGO, LONG_AGO = ago(hours=1), ago(minutes=11)


def pod(phase: str = "Running", try_number: int = 1, made: datetime = AN_HOUR_AGO, **metadata: Any) -> dict[str, Any]:
    annotations = task_annotations("collection", "run", "collect", try_number=try_number) | metadata.pop("annotations", {})
    created = f"{made:%Y-%m-%dT%H:%M:%SZ}"
    return {
        "metadata": {
            "name": "collect",
            "uid": "u",
            "resourceVersion": "1",
            "creationTimestamp": created,
            "annotations": annotations,
            **metadata,
        },
        "status": {"phase": phase},
    }


def task(state: str | None = "success", try_number: int = 1, ended_at: datetime | None = LONG_AGO) -> TaskFacts:
    return TaskFacts(state, try_number, ended_at)


KEPT = {f"{PREFIX}/collected": "true"}
NOT_DELETED = {f"{PREFIX}/collected": "not deleted"}
DELETION = {"deletionTimestamp": "2026-11-23T11:59:59Z"}


@pytest.mark.parametrize(
    ("seen", "known", "fate", "why"),
    [
        pytest.param(pod("Succeeded"), task(), Fate.DELETE, "is success since 2026-11-23 11:49:00 UTC", id="ended-long-after"),
        pytest.param(pod("Running"), task("failed"), Fate.DELETE, "is failed since", id="runs-on-long-after"),
        pytest.param(pod("Pending"), task("skipped"), Fate.DELETE, "is skipped since", id="never-started"),
        pytest.param(pod("Failed"), task("removed"), Fate.DELETE, "is removed since", id="its-task-left-the-dag"),
        pytest.param(pod("Failed"), task("upstream_failed", 2), Fate.DELETE, "upstream_failed", id="cleared-and-then-not-run"),
        pytest.param(pod("Succeeded"), task(ended_at=ago(minutes=10)), Fate.KEEP, "less than 10 minutes", id="ten-minutes-after"),
        pytest.param(pod("Running"), task(ended_at=ago(seconds=-30)), Fate.KEEP, "less than", id="a-clock-that-is-ahead"),
        pytest.param(pod("Running"), task("running"), Fate.KEEP, "is running, try 1", id="at-work"),
        pytest.param(pod("Succeeded"), task("up_for_retry"), Fate.KEEP, "is up_for_retry", id="a-next-try-collects-it"),
        pytest.param(pod("Succeeded"), task("deferred"), Fate.KEEP, "is deferred", id="deferred"),
        pytest.param(pod("Succeeded"), task("restarting"), Fate.KEEP, "is restarting", id="cleared-while-running"),
        pytest.param(pod("Succeeded"), task(None), Fate.KEEP, "is not started", id="cleared"),
        pytest.param(pod("Succeeded"), task("a new one"), Fate.KEEP, "is a new one", id="a-state-of-a-later-airflow"),
        pytest.param(pod(try_number=2), task(), Fate.KEEP, "try 2's, and Airflow knows no try after 1", id="a-later-trys"),
        pytest.param(pod(try_number=1), task(try_number=3), Fate.DELETE, "is success", id="an-earlier-trys"),
        pytest.param(pod(made=ago(minutes=5)), task(ended_at=ago(hours=9)), Fate.DELETE_UNKNOWN, "younger", id="made-long-after"),
        pytest.param(pod(made=ago(minutes=5)), task(), Fate.DELETE, "is success", id="made-before-the-worker-heard"),
        pytest.param(pod("Failed", annotations=KEPT), task("failed"), Fate.KEEP, "on_finish_action", id="kept-on-purpose"),
        pytest.param(pod("Failed", annotations=NOT_DELETED), task("failed"), Fate.DELETE, "is failed", id="could-not-be-deleted"),
        pytest.param(pod("Running", annotations=KEPT), task("failed"), Fate.DELETE, "is failed", id="a-kept-one-has-ended"),
        pytest.param(pod(**DELETION), task(), Fate.KEEP, "being deleted", id="going"),
        pytest.param(pod(), None, Fate.DELETE_UNKNOWN, "does not know its task; another Airflow may know it", id="unknown"),
        pytest.param(pod(made=ago(minutes=10)), None, Fate.KEEP, "younger than 10 minutes", id="unknown-and-new"),
        pytest.param(pod(annotations={f"{PREFIX}/try-number": "x"}), None, Fate.KEEP, "do not name its task", id="no-try"),
        pytest.param(pod(annotations={f"{PREFIX}/map-index": "x"}), task(), Fate.KEEP, "do not name its task", id="no-map-index"),
    ],
)
def test_what_becomes_of_a_pod(seen: dict[str, Any], known: TaskFacts | None, fate: Fate, why: str) -> None:
    verdict = judge(ListedPod.read(seen), known, NOW)
    assert verdict.fate is fate
    assert why in verdict.why


def ended(phase: str, *minutes_ago: int, made: datetime = AN_HOUR_AGO) -> dict[str, Any]:
    """A pod whose containers ended so long ago; without any, its status says nothing of them."""
    states = [{"terminated": {"exitCode": 0, "finishedAt": f"{ago(minutes=m):%Y-%m-%dT%H:%M:%SZ}"}} for m in minutes_ago]
    seen = pod(phase, made=made)
    seen["status"]["containerStatuses"] = [{"name": f"c{number}", "state": state} for number, state in enumerate(states)]
    return seen


def marked(text: str, **parameters: Any) -> dict[str, Any]:
    return pod(annotations={f"{PREFIX}/{MARK}": text}, **parameters)


FINISHED = TaskFacts("failed")


@pytest.mark.parametrize(
    ("seen", "known", "fate", "why"),
    [
        pytest.param(
            ended("Succeeded", 11), FINISHED, Fate.DELETE, "the pod ended at 2026-11-23 11:49:00 UTC", id="ended-long-ago"
        ),
        pytest.param(ended("Failed", 10), FINISHED, Fate.KEEP, "less than 10 minutes ago", id="ended-just-now"),
        pytest.param(ended("Failed", 30, 10), FINISHED, Fate.KEEP, "less than 10 minutes ago", id="its-last-container-just-now"),
        pytest.param(ended("Failed"), FINISHED, Fate.LOOK_AGAIN, "is failed. A sweep deletes it", id="evicted-before-it-ran"),
        pytest.param(
            ended("Running", 30), FINISHED, Fate.LOOK_AGAIN, "still so after more than 10 minutes", id="a-sidecar-runs-on"
        ),
        pytest.param(pod(), FINISHED, Fate.LOOK_AGAIN, "still so", id="runs-on"),
        pytest.param(
            marked("2026-11-23T11:49:59+00:00 try 1"), FINISHED, Fate.DELETE, "saw already at 2026-11-23 11:49:59", id="seen"
        ),
        pytest.param(marked("2026-11-23T11:50:00+00:00 try 1"), FINISHED, Fate.KEEP, "less than 10 min", id="seen-just-now"),
        pytest.param(marked("2026-11-23T13:00:00+00:00 try 1"), FINISHED, Fate.KEEP, "less than 10 min", id="by-a-clock-ahead"),
        pytest.param(
            marked("2026-11-23T11:00:00+00:00 try 1", try_number=2),
            FINISHED,
            Fate.LOOK_AGAIN,
            "still so",
            id="a-later-try-adopted-it",
        ),
        pytest.param(marked("yesterday try 1"), FINISHED, Fate.LOOK_AGAIN, "still so", id="no-moment"),
        pytest.param(marked("2026-11-23T11:00:00 try 1"), FINISHED, Fate.LOOK_AGAIN, "still so", id="no-zone"),
        pytest.param(marked("2026-11-23T11:00:00+00:00"), FINISHED, Fate.LOOK_AGAIN, "still so", id="no-try"),
        pytest.param(marked("2026-11-23T11:00:00+00:00 try 1"), TaskFacts("queued"), Fate.KEEP, "is queued", id="cleared"),
        pytest.param(ended("Succeeded", 30), TaskFacts("up_for_retry"), Fate.KEEP, "is up_for_retry", id="a-try-collects-it"),
        pytest.param(ended("Succeeded", 30), None, Fate.DELETE_UNKNOWN, "does not know its task", id="unknown"),
    ],
)
def test_what_becomes_of_a_pod_where_airflow_tells_states_alone(
    seen: dict[str, Any], known: TaskFacts | None, fate: Fate, why: str
) -> None:
    verdict = judge(ListedPod.read(seen), known, NOW)
    assert verdict.fate is fate
    assert why in verdict.why


def test_a_mark_is_read_as_it_was_written() -> None:
    unmarked = ListedPod.read(pod(try_number=3))
    assert ListedPod.read(marked(mark(unmarked, NOW), try_number=3)).seen_finished_at == NOW


def test_a_pod_says_whose_it_is_even_where_its_ids_have_no_room_in_a_label() -> None:
    ids = TaskId("d" * 250, "manual__2026-11-23T02:00:00+00:00", "группа.collect", 7)
    assert ListedPod.read(pod(annotations=task_annotations(*ids))).task == ids
