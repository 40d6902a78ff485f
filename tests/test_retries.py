"""The decision after a failure: a table of ends, rows and retries used before, decided without Airflow, pods or a clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dagconfig.kubectl.ends import (
    Ended,
    PodEnd,
    PodFailed,
    PodNotAllowed,
    PodNotCreated,
    PodOutOfReach,
    PodRefused,
    PodStopped,
    PodTakenOver,
)
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome
from airflow_provider_dagconfig.models import RETRY_PAUSE, DagConfig
from airflow_provider_dagconfig.retries import Cause, Decision, Round, Rules, cause_of, decide, in_a_word

FIVE = timedelta(minutes=5)
AWAY = KubectlError(Fault.UNREACHABLE, "connection refused", "watch")
RULES = Rules(max_retries=2, delay=FIVE, grows=True, longest=timedelta(hours=2), cluster_retries=3)


def ended(end: End, reason: str = "Error", message: str = "", exit_code: int | None = None) -> PodFailed:
    return PodFailed(Ended(Outcome(end, reason, message, exit_code), {"metadata": {"name": "collect"}}))


def waited(reason: str, message: str = "") -> PodFailed:
    return ended(End.NOT_STARTED, reason, f"not started after startup_timeout_seconds = 500: {message}")


def refused(fault: Fault, sentence: str = "its sentence") -> PodRefused:
    return PodRefused(KubectlError(fault, sentence, "create"))


QUOTA = 'pods "a" is forbidden: exceeded quota: q, requested: limits.memory=2Gi, used: limits.memory=0, limited: limits.memory=1Gi'


@pytest.mark.parametrize(
    ("end", "cause", "word"),
    [
        (ended(End.OUT_OF_MEMORY, "OOMKilled", exit_code=137), Cause.JOB, "OOMKilled"),
        (ended(End.EXITED, exit_code=3), Cause.JOB, "exit code 3"),
        (ended(End.EXITED, exit_code=137), Cause.JOB, "exit code 137"),
        (ended(End.EXITED, "init container prepare: Error, exit code 2"), Cause.JOB, "init container prepare: Error, exit code 2"),
        (ended(End.DEADLINE_EXCEEDED, "DeadlineExceeded"), Cause.JOB, "DeadlineExceeded"),
        (ended(End.CLUSTER, "Deleted"), Cause.JOB, "Deleted"),
        (ended(End.CLUSTER, "Evicted"), Cause.CLUSTER, "Evicted"),
        (ended(End.CLUSTER, "Preempting"), Cause.CLUSTER, "Preempting"),
        (ended(End.CLUSTER, "NodeLost"), Cause.CLUSTER, "NodeLost"),
        (ended(End.CLUSTER, "DeletionByTaintManager"), Cause.CLUSTER, "DeletionByTaintManager"),
        (ended(End.CLUSTER, "OutOfcpu"), Cause.CLUSTER, "OutOfcpu"),
        (PodNotCreated(120, "the API server can't be reached"), Cause.CLUSTER, "the pod could not be made in time"),
        (PodOutOfReach(AWAY, "timeout_seconds", 600), Cause.CLUSTER, "the API server was away"),
        (waited("Unschedulable", "0/1 nodes are available: 1 Insufficient memory."), Cause.JOB, "Unschedulable"),
        (waited("ErrImageNeverPull", "Container image is not present"), Cause.FINAL, "ErrImageNeverPull"),
        (waited("InvalidImageName", "couldn't parse image reference"), Cause.FINAL, "InvalidImageName"),
        (waited("ErrImagePull", "manifest for registry/collect:v9 not found: manifest unknown"), Cause.FINAL, "ErrImagePull"),
        (waited("ImagePullBackOff", 'Back-off pulling image "collect:v9"'), Cause.FINAL, "ImagePullBackOff"),
        (waited("ErrImagePull", "dial tcp 10.0.0.9:443: i/o timeout"), Cause.JOB, "ErrImagePull"),
        (waited("ErrImagePull", "unexpected status code: 503 Service Unavailable"), Cause.JOB, "ErrImagePull"),
        (waited("ErrImagePull", "toomanyrequests: You have reached your pull rate limit"), Cause.JOB, "ErrImagePull"),
        (waited("CreateContainerConfigError", 'secret "db" not found'), Cause.FINAL, "CreateContainerConfigError"),
        (
            waited("CreateContainerConfigError", "couldn't find key URL in Secret jobs/db"),
            Cause.FINAL,
            "CreateContainerConfigError",
        ),
        (waited("CreateContainerConfigError", "failed to sync secret cache: timed out"), Cause.JOB, "CreateContainerConfigError"),
        (waited("ContainerCreating", 'FailedMount: MountVolume.SetUp failed: configmap "cm" not found'), Cause.FINAL, None),
        (refused(Fault.FORBIDDEN, QUOTA), Cause.JOB, "the namespace's quota"),
        (refused(Fault.FORBIDDEN), Cause.FINAL, "forbidden"),
        (refused(Fault.INVALID), Cause.FINAL, "invalid"),
        (refused(Fault.UNAUTHORIZED), Cause.FINAL, "unauthorized"),
        (PodNotAllowed("No pod is made"), Cause.FINAL, "no pod is allowed"),
        (PodStopped("told to stop"), Cause.NOBODY, "the worker was told to stop"),
        (PodTakenOver("try 2 has it", 2), Cause.NOBODY, "a later try has the pod"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value}"[:60] if isinstance(value, PodEnd) else "",
)
def test_whose_fault_an_end_is(end: PodEnd, cause: Cause, word: str | None) -> None:
    assert cause_of(end) is cause
    if word is not None:
        assert in_a_word(end) == word


def after(cause: Cause, *, max_retries: int = 2, before: Round, run_once: bool = False, allows: bool = True) -> Decision:
    """The decision after the end of a pod that this try created."""
    rules = replace(RULES, max_retries=max_retries, run_once=run_once)
    return decide(cause, "OOMKilled", before.made().failed(cause, had_pod=True), rules, airflow_allows=allows)


NEVER: timedelta | None = None
CLEARED = Round()


@pytest.mark.parametrize(
    ("cause", "max_retries", "before", "delay"),
    [
        # The job's own failures: the row's number, with a delay that doubles.
        (Cause.JOB, 0, CLEARED, NEVER),
        (Cause.JOB, 1, CLEARED, FIVE),
        (Cause.JOB, 1, Round(pods=1, own=1), NEVER),
        (Cause.JOB, 2, Round(pods=1, own=1), 2 * FIVE),
        (Cause.JOB, 10, Round(pods=3, own=3), 8 * FIVE),
        (Cause.JOB, 10, Round(pods=9, own=9), timedelta(hours=2)),
        (Cause.JOB, 10, Round(pods=10, own=10), NEVER),
        # The row was changed to less than what is used up already.
        (Cause.JOB, 1, Round(pods=4, own=4), NEVER),
        # Failures that ended before a pod was made count too.
        (Cause.JOB, 2, Round(pods=0, own=2), NEVER),
        # Failures of the cluster use up no retry, three times a round, a minute apart.
        (Cause.CLUSTER, 0, CLEARED, RETRY_PAUSE),
        (Cause.CLUSTER, 0, Round(pods=2, by_cluster=2), RETRY_PAUSE),
        (Cause.CLUSTER, 0, Round(pods=3, by_cluster=3), NEVER),
        (Cause.CLUSTER, 1, Round(pods=3, by_cluster=3), FIVE),
        (Cause.CLUSTER, 2, Round(pods=4, own=1, by_cluster=3), 2 * FIVE),
        (Cause.JOB, 1, Round(pods=3, by_cluster=3), FIVE),
        (Cause.JOB, 0, Round(pods=3, by_cluster=3), NEVER),
        # The pod runs on: another try must adopt it, whatever the row says.
        (Cause.NOBODY, 0, CLEARED, RETRY_PAUSE),
        (Cause.NOBODY, 0, Round(pods=1, own=1), RETRY_PAUSE),
        # Failures that no retry can repair.
        (Cause.FINAL, 10, CLEARED, NEVER),
    ],
)
def test_what_follows(cause: Cause, max_retries: int, before: Round, delay: timedelta | None) -> None:
    assert after(cause, max_retries=max_retries, before=before).delay == delay


def test_a_clear_begins_anew() -> None:
    used_up = Round(pods=3, own=3)
    assert not after(Cause.JOB, before=used_up).retry
    assert after(Cause.JOB, before=CLEARED).retry


def test_the_ceiling_of_the_dag_holds() -> None:
    decision = after(Cause.JOB, max_retries=10, before=CLEARED, allows=False)
    assert decision == Decision(None, "try 1 of 11 failed (OOMKilled), and the retries that the DAG allows are used up")


def test_the_number_of_the_try_is_the_one_that_counts() -> None:
    assert after(Cause.JOB, before=Round(pods=1, own=1)).why == "try 2 of 3 failed (OOMKilled)"
    assert after(Cause.JOB, before=Round(pods=3, own=1, by_cluster=2)).why == "try 2 of 3 failed (OOMKilled)"
    assert after(Cause.JOB, before=Round(pods=2, own=2)).why == "try 3 of 3 failed (OOMKilled)"


def test_who_is_not_to_blame_is_said() -> None:
    assert after(Cause.CLUSTER, before=Round(pods=1, by_cluster=1)).why == (
        "this try failed through no fault of the job (OOMKilled): 2 of 3 such failures that do not count against its 2 retries"
    )


@pytest.mark.parametrize("cause", [Cause.JOB, Cause.CLUSTER])
def test_a_job_that_may_run_once_has_no_second_pod(cause: Cause) -> None:
    assert not after(cause, max_retries=10, before=CLEARED, run_once=True).retry


def test_a_job_that_may_run_once_is_tried_again_where_no_pod_was_made() -> None:
    rules = replace(RULES, run_once=True)
    for cause in (Cause.JOB, Cause.CLUSTER):
        assert decide(cause, "the quota", Round().failed(cause, had_pod=False), rules).retry
    assert after(Cause.NOBODY, before=CLEARED, run_once=True).retry, "its pod goes on, and has to be gone on with"


def test_a_delay_that_does_not_grow_is_the_rows() -> None:
    rules = replace(RULES, grows=False, max_retries=10)
    for own in range(1, 11):
        assert decide(Cause.JOB, "x", Round(own, own), rules, spread=1.0).delay == FIVE


def test_tasks_that_fail_together_come_back_one_after_the_other() -> None:
    delays = {decide(Cause.JOB, "x", Round(1, 1), RULES, spread=spread / 10).delay for spread in range(11)}
    assert len(delays) == 11
    assert min(delays) == FIVE  # type: ignore[type-var]
    assert max(delays) == FIVE * 1.25  # type: ignore[type-var]


def test_no_delay_stays_no_delay() -> None:
    assert decide(Cause.JOB, "x", Round(1, 1), replace(RULES, delay=timedelta()), spread=1.0).delay == timedelta()


@pytest.mark.parametrize(
    ("rules", "before", "refusal"),
    [
        (RULES, Round(pods=2, own=2), None),
        (RULES, Round(pods=3, own=3), "max_retries = 2 allows 3 tries, and they are used up"),
        (replace(RULES, max_retries=0), Round(), None),
        # A worker died with its pod: the next try may adopt it, and make no other.
        (replace(RULES, max_retries=0), Round(pods=1, own=1), "max_retries = 0 allows 1 try, and it is used up"),
        (replace(RULES, max_retries=0), Round(pods=3, by_cluster=3), None),
        (replace(RULES, run_once=True), Round(own=1), None),
        (
            replace(RULES, run_once=True),
            Round(pods=1, by_cluster=1),
            "run_once allows one pod, and one was made since the task was last cleared",
        ),
    ],
)
def test_whether_a_pod_may_be_made(rules: Rules, before: Round, refusal: str | None) -> None:
    assert rules.refusal(before) == refusal


EVENTS = st.lists(st.tuples(st.sampled_from([Cause.JOB, Cause.CLUSTER]), st.booleans()), max_size=40)


@given(EVENTS, st.integers(0, 10), st.integers(0, 10))
def test_what_a_failure_allows_the_next_try_may_do(events: list[tuple[Cause, bool]], retries: int, by_cluster: int) -> None:
    """The two places that decide, after a failure and before a pod, agree; and every round ends."""
    rules = replace(RULES, max_retries=retries, cluster_retries=by_cluster)
    round = Round()
    for tries, (cause, makes_pod) in enumerate(events, 1):
        round = (round.made() if makes_pod else round).failed(cause, had_pod=makes_pod)
        decision = decide(cause, "x", round, rules)
        assert decision.retry == (rules.refusal(round) is None)
        assert Round.from_dict(round.as_dict()) == round
        if not decision.retry:
            assert tries <= retries + by_cluster + 1
            break
    else:
        assert len(events) <= retries + by_cluster


def test_a_pod_that_was_not_made_does_not_count() -> None:
    assert Round(pods=1, own=1).made().unmade() == Round(pods=1, own=1)
    assert Round().made().failed(Cause.JOB, had_pod=True) == Round(pods=1, own=1)
    assert Round().made().failed(Cause.CLUSTER, had_pod=True) == Round(pods=1, own=0, by_cluster=1)


def test_the_row_and_the_task_make_the_rules() -> None:
    row: dict[str, Any] = {"max_retries": 4, "retry_delay_minutes": 7, "retry_backoff_enabled": False}
    config = replace(DagConfig.defaults("a", "b"), **row)
    hour = timedelta(hours=1)
    assert Rules.of(config, hour, cluster_retries=5, run_once=True) == Rules(4, timedelta(minutes=7), False, hour, 5, True)
    assert Rules.of(config, None, cluster_retries=5, run_once=False).longest == timedelta(days=1)
