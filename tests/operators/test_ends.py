"""The end of a pod in Airflow: each class has its exception, and the message says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_dagconfig.kubectl import ends
from airflow_provider_dagconfig.kubectl.ends import (
    Ended,
    PodEnd,
    PodFailed,
    PodNotAllowed,
    PodNotCreated,
    PodOutOfReach,
    PodRefused,
    PodStopped,
)
from airflow_provider_dagconfig.kubectl.ends import PodTakenOver as TakenOver
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.operators.ends import TaskPodError, airflow_exception

CONFIG = DagConfig.defaults("data_collection_equities", "us_markets")
AWAY = KubectlError(Fault.UNREACHABLE, "connection refused", "watch")


def failed(end: End, exit_code: int | None = None) -> PodFailed:
    return PodFailed(Ended(Outcome(end, "Error", exit_code=exit_code), {"metadata": {"name": "collect"}}, ("the last line",)))


def airflows(end: PodEnd, skip_on_exit_code: Any = None) -> AirflowException:
    return airflow_exception(end, CONFIG, "base", skip_on_exit_code)


AGAIN = [
    *(failed(end, 1) for end in End if end is not End.SUCCEEDED),
    PodNotCreated(120, "the API server can't be reached: connection refused"),
    PodOutOfReach(AWAY, "timeout_seconds", 600),
    TakenOver("pod collect: try 2 has adopted it", 2),
    PodStopped("pod collect: the task was told to stop"),
]


@pytest.mark.parametrize("end", AGAIN, ids=lambda end: f"{type(end).__name__}-{end}"[:40])
def test_an_error_that_another_try_may_repair_is_no_reason_to_give_up(end: PodEnd) -> None:
    exception = airflows(end)
    assert isinstance(exception, TaskPodError)
    assert not isinstance(exception, AirflowFailException)
    assert exception.end is end, "who decides about another try learns what happened"


def test_no_end_is_forgotten() -> None:
    known = {type(end) for end in AGAIN} | {PodRefused, PodNotAllowed}
    there = {thing for thing in vars(ends).values() if isinstance(thing, type) and issubclass(thing, PodEnd)}
    assert there == {*known, PodEnd}


def test_where_no_pod_is_allowed_the_task_ends() -> None:
    exception = airflows(PodNotAllowed("No pod is made: max_retries = 0 allows 1 try, and it is used up"))
    assert isinstance(exception, AirflowFailException)
    assert str(exception) == "No pod is made: max_retries = 0 allows 1 try, and it is used up"


@pytest.mark.parametrize(("codes", "skips"), [(4, True), ([3, 4], True), (5, False), ([], False), (None, False)])
def test_chosen_exit_codes_skip(codes: Any, skips: bool) -> None:
    assert isinstance(airflows(failed(End.EXITED, 4), codes), AirflowSkipException) is skips


def test_an_init_container_or_the_cluster_does_not_skip() -> None:
    assert isinstance(airflows(failed(End.EXITED, None), 4), TaskPodError)
    assert isinstance(airflows(failed(End.CLUSTER, 4), 4), TaskPodError)


@pytest.mark.parametrize(
    "fault", [fault for fault in Fault if fault not in (Fault.FORBIDDEN, Fault.UNREACHABLE)], ids=lambda fault: fault.value
)
def test_what_is_refused_for_good_is_not_tried_again(fault: Fault) -> None:
    exception = airflows(PodRefused(KubectlError(fault, "its own sentence", "create")))
    assert isinstance(exception, AirflowFailException)
    assert str(exception) == f"Kubernetes refused it ({fault.value}): its own sentence"


@pytest.mark.parametrize(
    ("said", "again", "advice"),
    [
        pytest.param('User "eve" cannot create resource "pods" in the namespace "jobs"', False, True, id="rights"),
        pytest.param("error looking up service account jobs/eve: serviceaccount not found", False, False, id="service-account"),
        pytest.param("exceeded quota: compute, requested: limits.cpu=2, used: limits.cpu=8", True, False, id="quota"),
        pytest.param("status unknown for quota: compute", True, False, id="new-quota"),
        pytest.param("failed quota: compute: must specify limits.cpu", False, False, id="must-specify"),
    ],
)
def test_what_is_forbidden_is_not_always_a_matter_of_rights(said: str, again: bool, advice: bool) -> None:
    """A quota is free again when others have ended, so a retry may help; rights are advised where they are missing."""
    exception = airflows(PodRefused(KubectlError(Fault.FORBIDDEN, f'pods "x" is forbidden: {said}')))
    assert said in str(exception)
    assert isinstance(exception, AirflowFailException) is not again
    assert ("The task needs get, watch, create" in str(exception)) is advice


def test_a_limit_range_is_not_mistaken_for_missing_rights_and_the_message_has_the_allowed_values() -> None:
    said = f'pods "x" is forbidden: maximum memory usage per Container is 64Mi, but limit is {CONFIG.memory_limit}'
    exception = airflows(PodRefused(KubectlError(Fault.FORBIDDEN, said)))
    assert isinstance(exception, AirflowFailException)
    assert str(exception).startswith(f"Kubernetes forbids it: {said}. That is a LimitRange of the namespace")
    assert "p_memory_limit => '64Mi');" in str(exception)
