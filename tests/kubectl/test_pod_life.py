"""The consequences of a pod's observations: no process, no clock, no waiting."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dagconfig.kubectl.annotations import task_annotations
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome, Running
from airflow_provider_dagconfig.kubectl.pod_life import Limits, PodLife, TakenOver, TooLate

SPEC = {"containers": [{"name": "base", "image": "busybox"}]}
OURS = {"annotations": task_annotations("collection", "run", "collect")}
PENDING = {"phase": "Pending"}
RUNNING = {"containerStatuses": [{"name": "base", "state": {"running": {}}}], "phase": "Running"}


def ended(exit_code: int, finished: str = "2026-11-23T02:00:01Z", phase: str = "Running") -> dict[str, Any]:
    terminated = {"exitCode": exit_code, "finishedAt": finished}
    return {"containerStatuses": [{"name": "base", "state": {"terminated": terminated}}], "phase": phase}


def pod(status: dict[str, Any], spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "collect", **OURS, **metadata}, "spec": {**SPEC, **(spec or {})}, "status": status}


def life(startup_timeout: float = 30, timeout: float = 600, grace_period: float = 30) -> PodLife:
    """Give the life of a pod that a try began to create at 0."""
    return PodLife(pod({}), Limits(startup_timeout, timeout, grace_period), begun_at=0)


def outcome(one: PodLife, now: float) -> Outcome:
    verdict = one.verdict(now)
    assert isinstance(verdict, Outcome), verdict
    return verdict


# --- what is said ---


def test_a_wait_and_a_start_are_said_once() -> None:
    one = life()
    unschedulable = {
        **PENDING,
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}],
    }
    assert one.record_state(pod(unschedulable), 1) == "Pod collect waits: Unschedulable no node"
    assert one.record_state(pod(unschedulable), 2) is None
    assert one.record_state(pod(RUNNING, {"nodeName": "n1"}), 3) == "Pod collect runs on n1"
    assert one.record_state(pod(RUNNING, {"nodeName": "n1"}), 4) is None


# --- ends ---


def test_the_first_end_that_is_told_stands() -> None:
    """Some servers shorten the grace period with the last event, so that it looks as if the container had ended before."""
    one, deleted = life(), {"deletionTimestamp": "2026-11-23T02:00:30Z"}
    one.record_state(pod(RUNNING), 1)
    one.record_state(pod(ended(0, phase="Succeeded"), **deleted, deletionGracePeriodSeconds=30), 2)
    one.record_state(pod(ended(0, phase="Succeeded"), **deleted, deletionGracePeriodSeconds=0), 3)
    one.record_deletion()
    assert (outcome(one, 3).end, outcome(one, 3).reason, one.is_gone) == (End.CLUSTER, "Deleted", False)


def test_an_end_that_only_the_deletion_tells_counts() -> None:
    one = life()
    one.record_state(pod(ended(0, "2026-11-23T01:59:00Z", "Succeeded"), deletionTimestamp="2026-11-23T02:00:30Z"), 1)
    one.record_deletion()
    assert outcome(one, 1).end is End.SUCCEEDED


def test_a_pod_that_vanishes_while_it_runs_was_deleted_by_somebody() -> None:
    one = life()
    one.record_state(pod(RUNNING), 1)
    one.record_deletion()
    assert (outcome(one, 1).end, outcome(one, 1).reason) == (End.CLUSTER, "Deleted")


def test_a_pod_that_vanishes_after_its_container_has_ended_ended_so() -> None:
    one = life()
    one.record_state(pod(ended(3)), 1)
    one.record_deletion()
    assert outcome(one, 1).exit_code == 3


def test_the_end_of_the_base_container_is_the_pods_end_while_a_sidecar_runs_on() -> None:
    one = life()
    one.record_state(pod(ended(3)), 7)
    assert one.has_ended
    assert (one.verdict(12), one.next_deadline()) == (None, 12)
    assert outcome(one, 12.1).exit_code == 3


def test_a_pod_in_whose_start_there_is_no_hope_is_waited_for_no_longer() -> None:
    one = life()
    state = {"waiting": {"reason": "ErrImageNeverPull", "message": "not present"}}
    one.record_state(pod({**PENDING, "containerStatuses": [{"name": "base", "state": state}]}), 1)
    assert (outcome(one, 1).end, outcome(one, 1).reason) == (End.NOT_STARTED, "ErrImageNeverPull")


# --- waits that are over ---


def test_a_start_that_takes_too_long_names_its_limit() -> None:
    one = life(startup_timeout=120)
    one.record_state(pod(PENDING), 1)
    assert (one.verdict(120), one.next_deadline()) == (None, 120)
    late = one.verdict(120.1)
    assert isinstance(late, TooLate)
    assert (late.limit, late.seconds, late.outcome.end) == ("startup_timeout_seconds", 120, End.NOT_STARTED)


@pytest.mark.parametrize(("message", "may_tell"), [("", True), ("0/3 nodes are available", False)])
def test_the_events_are_of_use_where_the_status_has_no_sentence(message: str, may_tell: bool) -> None:
    one = life()
    one.record_state(pod({**PENDING, "message": message}), 1)
    late = one.verdict(31)
    assert isinstance(late, TooLate)
    assert late.events_may_tell is may_tell


def test_an_older_state_of_a_pod_that_runs_is_no_start_that_takes_too_long() -> None:
    """A watch of another API server may begin with what that one has in its cache."""
    one = life(startup_timeout=1)
    one.record_state(pod(RUNNING), 0)
    one.record_state(pod(PENDING), 1)
    assert isinstance(one.view, Running)
    assert one.verdict(500) is None


def test_a_pod_whose_end_nobody_reports_is_lost_with_its_node() -> None:
    one = life(timeout=600, grace_period=10)
    one.record_state(pod(RUNNING, {"nodeName": "n1"}), 5)
    assert (one.verdict(5 + 600 + 10 + 30), one.next_deadline()) == (None, 645)
    late = one.verdict(646)
    assert isinstance(late, TooLate)
    assert (late.limit, late.outcome.reason) == ("timeout_seconds", "NodeLost")
    assert late.outcome.message == "n1 has not reported the end of the pod at timeout_seconds = 600, which was due 41 s ago"


def test_an_adopted_pod_has_the_time_it_was_made_with() -> None:
    """The row's timeout_seconds was lowered since: the pod is neither late nor lost, and its own deadline ends it."""
    one = life(timeout=1, grace_period=0)
    one.record_state(pod(RUNNING, {"activeDeadlineSeconds": 60, "terminationGracePeriodSeconds": 9}), 0)
    assert one.verdict(60 + 9 + 30) is None
    assert isinstance(one.verdict(60 + 9 + 31), TooLate)


def test_a_pod_that_is_deleted_with_more_grace_is_waited_for() -> None:
    one = life(grace_period=1)
    one.record_state(pod(RUNNING), 0)
    one.record_state(pod(RUNNING, deletionTimestamp="2026-11-23T02:05:00Z", deletionGracePeriodSeconds=300), 10)
    assert (one.verdict(10 + 300 + 30), one.next_deadline()) == (None, 340)
    lost = outcome(one, 341)
    assert (lost.reason, lost.message.endswith("which was due 31 s ago")) == ("NodeLost", True)


def test_a_pod_that_is_deleted_before_it_runs_is_waited_for_until_its_kubelet_looks_again() -> None:
    """As a kubelet of 1.20 does it to a pod that is deleted while its container is being created: up to a minute passes."""
    one = life(startup_timeout=30, grace_period=1)
    one.record_state(pod(PENDING), 0)
    one.record_state(pod(PENDING, deletionTimestamp="2026-11-23T02:00:02Z", deletionGracePeriodSeconds=1), 1)
    assert (one.verdict(1 + 1 + 60 + 30), one.next_deadline()) == (None, 92)
    assert outcome(one, 93).reason == "NodeLost"
    one.record_deletion()
    assert outcome(one, 62).message == "somebody deleted it before it ran, and not this task"


# --- pods that are not this try's ---


def test_another_pod_of_the_name_is_not_followed() -> None:
    """While nothing could be heard, a later try has replaced the pod."""
    one = life()
    one.record_state(pod(RUNNING, uid="one"), 0)
    one.record_state(pod(ended(0, phase="Succeeded"), uid="two"), 1)
    assert (outcome(one, 1).reason, one.pod["metadata"]["uid"], one.is_replaced) == ("Deleted", "one", True)


def test_a_pod_that_a_later_try_has_adopted_is_left_to_it() -> None:
    one = life()
    one.record_state(pod(RUNNING), 0)
    one.record_state(pod(RUNNING, annotations=task_annotations("collection", "run", "collect", try_number=2)), 1)
    assert one.verdict(1) == TakenOver(2)


# --- many ---


def test_a_thousand_lives_need_one_loop() -> None:
    lives = [life() for _ in range(1000)]
    for number, one in enumerate(lives):
        one.record_state(pod(RUNNING, uid=str(number)), 0)
    assert {one.verdict(599) for one in lives} == {None}
    lives[17].record_state(pod({"phase": "Succeeded"}, uid="17"), 600)
    assert [number for number, one in enumerate(lives) if isinstance(one.verdict(600), Outcome)] == [17]


def test_a_late_first_observation_does_not_prolong_the_wait_for_the_end() -> None:
    """As a triggerer that was restarted: the try began at 0, so that the pod ran by 30 at the latest."""
    late = life(startup_timeout=30, timeout=600, grace_period=30)
    late.record_state(pod(RUNNING), 500)
    assert late.next_deadline() == 30 + 600 + 30 + 30
    assert late.verdict(690) is None
    assert isinstance(late.verdict(691), TooLate)
