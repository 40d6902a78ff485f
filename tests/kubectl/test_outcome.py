"""Reading a pod's status, and what a person is told about its end."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dagconfig.kubectl.explanation import explain, twice
from airflow_provider_dagconfig.kubectl.outcome import (
    End,
    Outcome,
    Running,
    Waiting,
    deleted_by_others,
    more_telling,
    not_started,
    read_status,
)
from airflow_provider_dagconfig.models import DagConfig, Quantity

DELETION = {"deletionTimestamp": "2026-11-23T02:00:30Z", "deletionGracePeriodSeconds": 30}
CONFIG = dataclasses.replace(
    DagConfig.defaults("data_collection_equities", "us_markets"),
    memory_limit=Quantity.parse("2Gi"),
    origin="financial_screener.dag_configuration, row 1",
)


def pod(
    phase: str, state: dict[str, Any] | None = None, *, metadata: dict[str, Any] | None = None, **status: Any
) -> dict[str, Any]:
    if state is not None:
        status["containerStatuses"] = [{"name": "istio-proxy", "state": {"running": {}}}, {"name": "base", "state": state}]
    return {
        "metadata": {"name": "collect", **(metadata or {})},
        "spec": {"activeDeadlineSeconds": 600, "containers": [{"name": "base", "resources": {"limits": {"memory": "2Gi"}}}]},
        "status": {"phase": phase, **status},
    }


def terminated(exit_code: int, reason: str = "Error", finished: str = "2026-11-23T01:59:00Z", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": finished, **more}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("status", "end", "reason", "exit_code"),
    [
        pytest.param(pod("Succeeded", terminated(0, "Completed")), End.SUCCEEDED, "Completed", 0, id="succeeded"),
        pytest.param(pod("Failed", terminated(3)), End.EXITED, "Error", 3, id="exit-code"),
        pytest.param(pod("Failed", terminated(128, "StartError")), End.EXITED, "StartError", 128, id="command-not-found"),
        pytest.param(pod("Failed", terminated(137, "OOMKilled")), End.OUT_OF_MEMORY, "OOMKilled", 137, id="oom"),
        pytest.param(pod("Running", terminated(137, "OOMKilled")), End.OUT_OF_MEMORY, "OOMKilled", 137, id="oom-before-the-phase"),
        pytest.param(pod("Failed", reason="DeadlineExceeded"), End.DEADLINE_EXCEEDED, "DeadlineExceeded", None, id="deadline"),
        pytest.param(
            pod("Failed", terminated(137), reason="DeadlineExceeded"),
            *(End.DEADLINE_EXCEEDED, "DeadlineExceeded", 137),
            id="deadline-after-the-kill",
        ),
        pytest.param(pod("Failed", reason="Evicted", message="low on memory"), End.CLUSTER, "Evicted", None, id="evicted"),
        pytest.param(pod("Failed", terminated(137), reason="Evicted"), End.CLUSTER, "Evicted", 137, id="evicted-while-running"),
        pytest.param(pod("Failed", reason="OutOfcpu"), End.CLUSTER, "OutOfcpu", None, id="refused-by-the-kubelet"),
        pytest.param(pod("Failed", reason="NodeLost"), End.CLUSTER, "NodeLost", None, id="node-lost"),
        pytest.param(
            pod("Failed", terminated(143), conditions=[condition("DisruptionTarget", "True", "PreemptionByScheduler", "no room")]),
            *(End.CLUSTER, "PreemptionByScheduler", 143),
            id="preempted",
        ),
        pytest.param(
            pod("Running", terminated(143, finished="2026-11-23T02:00:01Z"), metadata=DELETION),
            *(End.CLUSTER, "Deleted", None),
            id="deleted-by-somebody",
        ),
        pytest.param(
            pod("Succeeded", terminated(0, finished="2026-11-23T02:00:01Z"), metadata=DELETION),
            *(End.CLUSTER, "Deleted", None),
            id="deleted-and-it-ended-politely",
        ),
        pytest.param(
            pod("Succeeded", terminated(0, finished="2026-11-23T01:59:59Z"), metadata=DELETION),
            *(End.SUCCEEDED, "Completed", 0),
            id="deleted-after-its-end",
        ),
        pytest.param(
            pod(
                "Failed",
                waiting("PodInitializing"),
                initContainerStatuses=[{"name": "fetch", "state": {"terminated": {"exitCode": 7, "reason": "Error"}}}],
            ),
            *(End.EXITED, "init container fetch: Error, exit code 7", None),
            id="init-container",
        ),
    ],
)
def test_a_pod_that_has_ended_says_how(status: dict[str, Any], end: End, reason: str, exit_code: int | None) -> None:
    outcome = read_status(status)
    assert isinstance(outcome, Outcome)
    assert (outcome.end, outcome.reason, outcome.exit_code) == (end, reason, exit_code)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(pod("Pending"), Waiting("Pending", events_may_tell=True), id="new"),
        pytest.param(
            pod("Pending", conditions=[condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")]),
            Waiting("Unschedulable", "0/3 nodes are available"),
            id="unschedulable",
        ),
        pytest.param(
            pod("Pending", waiting("ContainerCreating")), Waiting("ContainerCreating", events_may_tell=True), id="creating"
        ),
        pytest.param(
            pod("Pending", waiting("ErrImageNeverPull", "not present")),
            Waiting("ErrImageNeverPull", "not present", hopeless=True),
            id="image-never-pulled",
        ),
        pytest.param(
            pod("Pending", waiting("CreateContainerConfigError", 'secret "x" not found')),
            Waiting("CreateContainerConfigError", 'secret "x" not found', hopeless=True),
            id="missing-secret",
        ),
        pytest.param(
            pod("Pending", waiting("CreateContainerConfigError", "failed to sync secret cache: timed out")),
            Waiting("CreateContainerConfigError", "failed to sync secret cache: timed out"),
            id="the-kubelet-is-slow",
        ),
        pytest.param(
            pod("Pending", waiting("ImagePullBackOff", "Back-off")),
            Waiting("ImagePullBackOff", "Back-off"),
            id="image-may-still-come",
        ),
        pytest.param(
            pod(
                "Pending",
                waiting("PodInitializing"),
                initContainerStatuses=[{"name": "fetch", "state": waiting("InvalidImageName", "bad")}],
            ),
            Waiting("InvalidImageName", "init container fetch: bad", hopeless=True),
            id="init-container",
        ),
        pytest.param(pod("Running", waiting("ErrImagePull", "no")), Waiting("ErrImagePull", "no"), id="only-the-sidecar-runs"),
        pytest.param(pod("Running", {"running": {}}), Running(), id="running"),
        pytest.param(
            pod("Running", terminated(0, "Completed")),
            Running(ended=Outcome(End.SUCCEEDED, "Completed", exit_code=0)),
            id="ended-while-a-sidecar-goes-on",
        ),
    ],
)
def test_a_pod_that_has_not_ended_says_how_far_it_is(status: dict[str, Any], expected: Waiting | Running) -> None:
    assert read_status(status) == expected


@given(
    st.builds(
        Outcome,
        st.sampled_from(End),
        st.text(),
        st.text(),
        st.none() | st.integers(0, 255),
        st.none() | st.text(),
    )
)
def test_an_outcome_goes_to_json_and_back(outcome: Outcome) -> None:
    assert Outcome.from_dict(json.loads(json.dumps(outcome.as_dict()))) == outcome


def test_out_of_memory_names_the_limit_its_row_and_the_statement_that_raises_it() -> None:
    text = explain(Outcome(End.OUT_OF_MEMORY, "OOMKilled", exit_code=137), pod("Failed"), CONFIG)
    assert "memory_limit = 2Gi of data_collection_equities/us_markets (financial_screener.dag_configuration, row 1)" in text
    assert text.endswith(
        "SELECT financial_screener.update_dag_config('data_collection_equities', 'us_markets', p_memory_limit => '4Gi');"
    )


def test_a_deadline_names_the_seconds_their_row_and_the_statement_that_raises_them() -> None:
    text = explain(Outcome(End.DEADLINE_EXCEEDED, "DeadlineExceeded"), pod("Failed"), CONFIG, ["at asset 400"])
    assert "timeout_seconds = 600 of data_collection_equities/us_markets" in text
    assert "p_timeout_seconds => 1200);" in text
    assert "at asset 400" in text


def test_an_exit_code_comes_with_its_signal_and_the_last_lines() -> None:
    text = explain(Outcome(End.EXITED, "Error", "a message", 139), pod("Failed"), CONFIG, ["before", "core dumped"])
    assert "exit code 139 (SIGSEGV)" in text
    assert text.endswith("before\n  core dumped")


def test_an_end_by_the_cluster_says_that_it_was_not_the_job() -> None:
    text = explain(Outcome(End.CLUSTER, "Evicted", "The node was low on resource: memory."), pod("Failed"), CONFIG)
    assert "by the cluster (Evicted): The node was low on resource: memory." in text
    assert "The job itself did not fail" in text


def test_a_pod_that_never_started_names_the_timeout_and_the_schedulers_sentence() -> None:
    outcome = not_started(Waiting("Unschedulable", "0/3 nodes are available: 3 Insufficient memory."), 120)
    text = explain(outcome, pod("Pending"), CONFIG)
    assert "startup_timeout_seconds = 120" in text
    assert "3 Insufficient memory" in text


def test_the_cause_of_a_failed_pull_outlives_the_back_off() -> None:
    cause = Waiting("ErrImagePull", "rpc error: failed to resolve reference: no such host")
    assert more_telling(cause, Waiting("ImagePullBackOff", "Back-off pulling image")).message == cause.message
    assert more_telling(cause, Waiting("ContainerCreating")).message == ""


@pytest.mark.parametrize(
    ("quantity", "double"), [("2Gi", "4Gi"), ("1.5Gi", "3Gi"), ("500M", "1000M"), ("1e3", "2e3"), ("0.25Gi", "0.5Gi")]
)
def test_twice_a_quantity_keeps_its_unit(quantity: str, double: str) -> None:
    assert twice(quantity) == double
    assert Quantity.parse(double).value == 2 * Quantity.parse(quantity).value


def test_a_child_that_ran_out_of_memory_is_no_failure_of_a_job_that_ended_well() -> None:
    """The runtime says OOMKilled of a container in which any process was; the pod's phase goes by the exit code."""
    view = read_status(pod("Running", terminated(0, "OOMKilled")))
    assert isinstance(view, Running)
    assert view.ended is not None
    assert view.ended.end is End.SUCCEEDED


INIT_IMAGE = {"image": "docker.io/library/fetch:1"}
SIDECAR = {"name": "proxy", "state": {"running": {"startedAt": "2026-11-23T02:00:00Z"}}, "started": True}
STARTED = {"running": {"startedAt": "2026-11-23T02:00:03Z"}}


@pytest.mark.parametrize(
    ("inits", "says"),
    [
        pytest.param(
            [{"name": "fetch", "state": STARTED, **INIT_IMAGE}],
            "init container fetch (docker.io/library/fetch:1) has been running since 2026-11-23T02:00:03Z",
            id="runs",
        ),
        pytest.param(
            [{"name": "fetch", "state": waiting("PodInitializing"), **INIT_IMAGE}],
            "init container fetch (docker.io/library/fetch:1) has not started",
            id="its-image-is-pulled",
        ),
        pytest.param(
            [{"name": "fetch", "state": terminated(0)}, {"name": "unpack", "state": STARTED}],
            "init container unpack has been running since 2026-11-23T02:00:03Z",
            id="the-second",
        ),
        pytest.param(
            [SIDECAR, {"name": "fetch", "state": STARTED}],
            "init container fetch has been running since 2026-11-23T02:00:03Z",
            id="beside-a-sidecar",
        ),
        pytest.param(
            [{**SIDECAR, "started": False}, {"name": "fetch", "state": waiting("PodInitializing")}],
            "init container proxy has been running since 2026-11-23T02:00:00Z",
            id="a-sidecar-that-is-not-ready-yet",
        ),
        pytest.param([{"name": "fetch", "state": terminated(0)}], "", id="all-have-ended"),
        pytest.param([SIDECAR], "", id="only-a-sidecar"),
    ],
)
def test_a_pod_that_waits_for_an_init_container_names_it(inits: list[dict[str, Any]], says: str) -> None:
    made = pod("Pending", waiting("PodInitializing"), initContainerStatuses=inits)
    made["spec"]["initContainers"] = [{"name": "proxy", "restartPolicy": "Always"}, {"name": "fetch"}, {"name": "unpack"}]
    view = read_status(made)
    assert isinstance(view, Waiting)
    assert view.message == says


def test_events_may_tell_why_a_container_has_not_started_where_its_status_does_not() -> None:
    """A volume that can't be mounted is in the events only. One that runs had no such trouble, or has no more."""
    for state, may_tell in ((waiting("PodInitializing"), True), (STARTED, False)):
        view = read_status(pod("Pending", waiting("PodInitializing"), initContainerStatuses=[{"name": "fetch", "state": state}]))
        assert isinstance(view, Waiting)
        assert view.events_may_tell is may_tell


def test_an_init_container_is_named_with_its_exit_code() -> None:
    view = read_status(
        pod(
            "Failed",
            waiting("PodInitializing"),
            initContainerStatuses=[{"name": "fetch", "state": {"terminated": {"exitCode": 7, "reason": "Error"}}}],
        )
    )
    assert isinstance(view, Outcome)
    assert explain(view, pod("Failed"), CONFIG) == "Pod collect failed (init container fetch: Error, exit code 7)"


def test_an_init_container_shows_its_last_lines() -> None:
    failed = {"exitCode": 7, "reason": "Error", "message": "fetching\nno such host\n"}
    view = read_status(
        pod("Failed", waiting("PodInitializing"), initContainerStatuses=[{"name": "fetch", "state": {"terminated": failed}}])
    )
    assert isinstance(view, Outcome)
    text = explain(view, pod("Failed"), CONFIG)
    assert text.endswith("(init container fetch: Error, exit code 7)\nThe last lines of its log:\n  fetching\n  no such host")


@pytest.mark.parametrize(
    ("state", "says"), [(None, "before it ran"), (waiting("PodInitializing"), "before it ran"), ({"running": {}}, "while it ran")]
)
def test_a_pod_that_was_deleted_says_whether_it_ran(state: dict[str, Any] | None, says: str) -> None:
    assert says in deleted_by_others(pod("Pending", state)).message


def test_out_of_memory_names_the_limit_of_the_jobs_container_and_not_of_a_sidecar_before_it() -> None:
    sidecar = {"name": "istio-proxy", "resources": {"limits": {"memory": "1Gi"}}}
    made = pod("Failed", terminated(137, "OOMKilled"))
    made["spec"]["containers"].insert(0, sidecar)
    view = read_status(made)
    assert isinstance(view, Outcome)
    assert "memory_limit = 2Gi of" in explain(view, made, CONFIG, container="base")


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(400_000, "p_timeout_seconds => 604800);"), (604_800, "No longer timeout is allowed: divide the job.")],
)
def test_no_more_time_is_advised_than_the_rules_allow(seconds: int, says: str) -> None:
    made = pod("Failed", terminated(143), reason="DeadlineExceeded")
    made["spec"]["activeDeadlineSeconds"] = seconds
    view = read_status(made)
    assert isinstance(view, Outcome)
    assert explain(view, made, CONFIG).endswith(says)


def test_a_container_that_was_gone_before_its_end_was_seen_says_that_somebody_deleted_the_pod() -> None:
    """The status that the kubelet of 1.20 reports on a busy node, where the runtime removed the container before."""
    unknown = {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was deleted.  The container used to be Running",
        "startedAt": None,
        "finishedAt": None,
    }
    state = {"waiting": {"reason": "ContainerCreating"}}
    found: dict[str, Any] = {
        "metadata": {"name": "collect", "deletionTimestamp": "2026-11-30T18:33:17Z", "deletionGracePeriodSeconds": 1},
        "status": {
            "phase": "Failed",
            "containerStatuses": [{"name": "base", "state": state, "lastState": {"terminated": unknown}}],
        },
    }
    assert read_status(found) == Outcome(End.CLUSTER, "Deleted", "somebody deleted it, and not this task")
    # An eviction says so, deleted afterwards or not.
    evicted = {**found, "status": {**found["status"], "reason": "Evicted", "message": "low on memory"}}
    assert read_status(evicted) == Outcome(End.CLUSTER, "Evicted", "low on memory")
