"""A pod under the task's former name, without an installation's id: when a try goes on with it, and what troubles do."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from plugins.scripted import Asked, Scripted, ScriptedKubectl

from airflow_provider_dagconfig.kubectl.annotations import PREFIX, annotation, task_annotations
from airflow_provider_dagconfig.kubectl.claim import Claim, NotYet
from airflow_provider_dagconfig.kubectl.ends import PodTakenOver
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.patience import Patience
from airflow_provider_dagconfig.kubectl.release import Release, Why

IDS = ("collection", "run", "collect", -1)
MADE = datetime(2026, 1, 1, 0, 0, 0, 700_000, tzinfo=timezone.utc)
BEFORE = "2025-12-31T23:59:59Z"


def found(
    installation: str | None = None,
    *,
    try_number: int = 1,
    created: str = BEFORE,
    phase: str = "Running",
    collected: bool = False,
    ids: tuple[Any, ...] = IDS,
    **metadata: Any,
) -> dict[str, Any]:
    annotations = task_annotations(*ids, try_number=try_number, installation=installation)
    if collected:
        annotations[f"{PREFIX}/collected"] = "true"
    terminated = {"exitCode": 0, "finishedAt": "2026-11-23T02:00:01Z"}
    state = {"running": {}} if phase == "Running" else {"terminated": terminated}
    return {
        "metadata": {
            "name": "former",
            "uid": "former",
            "resourceVersion": "1",
            "creationTimestamp": created,
            "annotations": annotations,
            **metadata,
        },
        "spec": {"containers": [{"name": "base"}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "base", "state": state}]},
    }


def manifest(try_number: int = 2, max_tries: int | None = None) -> dict[str, Any]:
    annotations = task_annotations(*IDS, try_number=try_number, installation="here", max_tries=max_tries)
    return {
        "metadata": {"name": "own", "annotations": annotations},
        "spec": {"containers": [{"name": "base"}]},
    }


DONE = found("here", try_number=2, phase="Succeeded")
"""The API server's answers to requests that adopt or create a pod."""


def claim_of(asked: Asked, former: list[Scripted], own: list[Scripted] | None = None, max_tries: int | None = None) -> Claim:
    """Give a claim whose former name has these answers to get, and to replace where a pod is adopted; each once and in order."""
    under_former = ScriptedKubectl("former", asked)
    under_former.one_after_the_other = former
    own_name = ScriptedKubectl("own", asked, create=[DONE], get=own or [Fault.NOT_FOUND])
    patience = Patience()
    return Claim(
        own_name,
        manifest(max_tries=max_tries),
        lambda _: None,
        lambda error: patience.may_retry(error, 0),
        FormerName(under_former, MADE),
    )


def claimed(claim: Claim) -> Any:
    """Make as many attempts as it takes; no test needs more than ten."""
    for _ in range(10):
        if not isinstance(pod := claim.attempt(), NotYet):
            return pod
    raise AssertionError("ten attempts were not enough")


GET, ADOPTED, LEFT = ["get former"], ["replace former"], ["create own"]


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        pytest.param([Fault.NOT_FOUND], GET + LEFT, id="there is none"),
        pytest.param([found(), DONE], GET + ADOPTED, id="it runs"),
        pytest.param([found(phase="Pending"), DONE], GET + ADOPTED, id="it waits for a node"),
        pytest.param([found("here"), DONE], GET + ADOPTED, id="an earlier try of ours has adopted it"),
        pytest.param([found("here", phase="Succeeded"), DONE], GET + ADOPTED, id="one that we have adopted has succeeded"),
        pytest.param([DONE], GET, id="this very try has adopted it"),
        pytest.param([found(created="2025-12-31T23:59:59Z"), DONE], GET + ADOPTED, id="a second older than the id"),
        pytest.param([found(created="2026-01-01T00:00:00Z")], GET + LEFT, id="made in the second of the id"),
        pytest.param([found(created="2026-01-01T00:00:01Z")], GET + LEFT, id="younger than the id"),
        pytest.param([found(phase="Succeeded")], GET + LEFT, id="it has succeeded"),
        pytest.param([found(phase="Failed")], GET + LEFT, id="it has failed"),
        pytest.param([found(phase="Succeeded", collected=True)], GET + LEFT, id="it is kept"),
        pytest.param([found("here", phase="Failed")], GET + LEFT, id="one that we have adopted has failed"),
        pytest.param([found("here", phase="Succeeded", collected=True)], GET + LEFT, id="one that we have adopted is kept"),
        pytest.param([found("there")], GET + LEFT, id="it is another installation's"),
        pytest.param([found(try_number=2)], GET + LEFT, id="no earlier try has made it"),
        pytest.param([found(ids=("collection", "another", "collect", -1))], GET + LEFT, id="it is another run's"),
        pytest.param([found(), Fault.CONFLICT, found(), DONE], (GET + ADOPTED) * 2, id="it has changed meanwhile"),
        pytest.param([found(), Fault.CONFLICT, found("there")], GET + ADOPTED + GET + LEFT, id="another one was faster"),
        pytest.param([found(), Fault.NOT_FOUND, Fault.NOT_FOUND], GET + ADOPTED + GET + LEFT, id="it has gone meanwhile"),
        pytest.param([found(), Fault.UNREACHABLE, DONE], [*GET, "replace former", *GET], id="a lost answer"),
        pytest.param(
            [found(deletionTimestamp=BEFORE), Fault.NOT_FOUND], GET * 2 + LEFT, id="it is being deleted, so it is waited for"
        ),
        pytest.param([Fault.UNREACHABLE, Fault.SERVER_ERROR, Fault.CREDENTIALS, Fault.NOT_FOUND], GET * 4 + LEFT, id="away"),
        pytest.param([Fault.UNAUTHORIZED, found(), DONE], GET * 2 + ADOPTED, id="a token that was renewed"),
        pytest.param(
            [Fault.UNREACHABLE, *[Fault.FORBIDDEN] * 5, found(), DONE], GET * 7 + ADOPTED, id="forbidden right after an outage"
        ),
    ],
)
def test_what_is_there_and_what_the_try_does(answers: list[Any], requests: list[str]) -> None:
    asked = Asked()
    assert claimed(claim_of(asked, answers)) == DONE
    assert asked.requests == requests


def test_an_adopted_pod_says_whose_it_is_from_then_on() -> None:
    asked = Asked()
    claimed(claim_of(asked, [found(labels={"dag_id": "collection", "try_number": "1"}), DONE]))
    [written] = asked.written
    assert (annotation(written, "installation"), annotation(written, "try-number")) == ("here", "2")
    assert written["metadata"]["labels"] == {"dag_id": "collection", "try_number": "1", "installation": "here"}


def test_a_clear_starts_the_work_of_a_pod_under_the_former_name_anew_too() -> None:
    asked = Asked()
    adopted = found("here")
    adopted["metadata"]["annotations"][f"{PREFIX}/max-tries"] = "1"
    claim = claim_of(asked, [adopted, Fault.NOT_FOUND], max_tries=2)
    assert claimed(claim) == DONE
    assert asked.requests == ["get former", "delete former", "get former", "create own"]


@pytest.mark.parametrize(
    "answers", [[Fault.FORBIDDEN], [Fault.UNAUTHORIZED] * 2, [Fault.MISCONFIGURED] * 2, [found(), Fault.FORBIDDEN]]
)
def test_a_refusal_is_not_taken_for_no_pod(answers: list[Any]) -> None:
    asked = Asked()
    with pytest.raises(KubectlError, match=answers[-1].value):
        claimed(claim_of(asked, answers))
    assert {request.split()[0] for request in asked.requests} <= {"get", "replace"}


def test_no_pod_is_made_while_nobody_knows_whether_there_is_one() -> None:
    asked = Asked()
    claim = claim_of(asked, [Fault.UNREACHABLE, Fault.UNREACHABLE])
    assert isinstance(claim.attempt(), NotYet)
    assert isinstance(claim.attempt(), NotYet)
    assert "create own" not in asked.requests


def test_a_pod_that_a_later_try_has_adopted_is_its() -> None:
    asked = Asked()
    with pytest.raises(PodTakenOver, match="try 3"):
        claim_of(asked, [found("here", try_number=3)]).attempt()
    assert asked.requests == ["get former"]


@pytest.mark.parametrize(
    ("former", "own", "deleted"),
    [
        pytest.param([found()], [], ["delete former"], id="under the former name"),
        pytest.param([Fault.NOT_FOUND], [found("here")], ["delete own"], id="under the name of now"),
        pytest.param([found("there")], [Fault.NOT_FOUND], [], id="only another installation's"),
        pytest.param([found(phase="Succeeded")], [Fault.NOT_FOUND], [], id="only one that has ended"),
    ],
)
def test_what_is_not_wanted_is_found_under_either_name(former: list[Any], own: list[Any], deleted: list[str]) -> None:
    asked = Asked()
    claim = claim_of(asked, former, own)
    Release(claim, manifest(), lambda _: None, lambda _: False).delete_unwanted(None, 30, lambda: 0.0, Why.PERSON)
    assert [request for request in asked.requests if request.startswith("delete")] == deleted


def test_a_deadline_while_it_is_adopted_ends_it() -> None:
    """Airflow raises execution_timeout from wherever the task is."""

    def late() -> None:
        raise TimeoutError

    asked = Asked()
    claim = claim_of(asked, [found(), late, found()])
    with pytest.raises(TimeoutError):
        claim.attempt()
    Release(claim, manifest(), lambda _: None, lambda _: False).delete_unwanted(None, 30, lambda: 0.0, Why.TIMEOUT)
    assert asked.requests == ["get former", "replace former", "get former", "delete former"]
