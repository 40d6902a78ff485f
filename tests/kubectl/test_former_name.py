"""A pod under the task's former name, without an installation's id: when a try goes on with it, and what troubles do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_dagconfig.kubectl.client import Fault, Kubectl, KubectlError
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.lifecycle import PodKilled, PodRun, PodTakenOver, Verdict
from airflow_provider_dagconfig.kubectl.manifest import PREFIX, annotation, task_annotations
from airflow_provider_dagconfig.kubectl.outcome import End
from airflow_provider_dagconfig.kubectl.pauses import Pauses

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


def manifest(try_number: int = 2) -> dict[str, Any]:
    return {
        "metadata": {"name": "own", "annotations": task_annotations(*IDS, try_number=try_number, installation="here")},
        "spec": {"containers": [{"name": "base"}]},
    }


DONE = found("here", try_number=2, phase="Succeeded")
"""What the API server answers to whoever adopts or creates: the pod's end, so that the run is over."""


@dataclass
class Asked:
    """The requests of a run, in order."""

    requests: list[str] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)


class Answers(Kubectl):
    """Gives its answers to get and replace one after the other, and the pod's end to create; all else goes well."""

    def __init__(self, name: str, asked: Asked, *answers: dict[str, Any] | Fault | Callable[[], None]) -> None:
        super().__init__({}, "jobs", name)
        self.asked = asked
        self.answers = list(answers)

    def _answer(self, verb: str) -> dict[str, Any]:
        self.asked.requests.append(f"{verb} {self.pod}")
        answer = self.answers.pop(0)
        if callable(answer):
            answer()
            answer = Fault.UNREACHABLE
        if isinstance(answer, Fault):
            raise KubectlError(answer, answer.value, verb)
        return answer

    def get(self, seconds: int = 10) -> dict[str, Any]:
        return self._answer("get")

    def replace(self, pod: Any) -> dict[str, Any]:
        self.asked.written.append(pod)
        return self._answer("replace")

    def create(self, manifest: Any) -> dict[str, Any]:
        self.asked.requests.append(f"create {self.pod}")
        return DONE

    def delete(self, pod: Any, seconds: int = 10, *, unchanged: bool = False) -> None:
        self.asked.requests.append(f"delete {self.pod}")


def run_of(
    asked: Asked, former: list[Any], own: list[Any] | None = None, *, try_number: int = 2, startup_timeout: float = 60
) -> PodRun:
    return PodRun(
        Answers("own", asked, *(own or [])),
        manifest(try_number),
        startup_timeout=startup_timeout,
        timeout=60,
        on_line=None,
        note=lambda _: None,
        former=FormerName(Answers("former", asked, *former), MADE),
        judge_kill=lambda: Verdict(True, "a person ended it"),
    )


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pauses, "next", lambda _: 0.0)


@pytest.fixture
def never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause ends by itself."""
    monkeypatch.setattr(Pauses, "next", lambda _: 1e6)


GET, ADOPTED, LEFT = ["get former"], ["replace former", "delete former"], ["create own", "delete own"]


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        pytest.param([Fault.NOT_FOUND], GET + LEFT, id="there is none"),
        pytest.param([found(), DONE], GET + ADOPTED, id="it runs"),
        pytest.param([found(phase="Pending"), DONE], GET + ADOPTED, id="it waits for a node"),
        pytest.param([found("here"), DONE], GET + ADOPTED, id="an earlier try of ours has adopted it"),
        pytest.param([found("here", phase="Succeeded"), DONE], GET + ADOPTED, id="one that we have adopted has succeeded"),
        pytest.param([DONE], [*GET, "delete former"], id="this very try has adopted it"),
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
        pytest.param(
            [found(), Fault.CONFLICT, found(), DONE], (GET + ADOPTED[:1]) * 2 + ADOPTED[1:], id="it has changed meanwhile"
        ),
        pytest.param([found(), Fault.CONFLICT, found("there")], GET + ADOPTED[:1] + GET + LEFT, id="another one was faster"),
        pytest.param([found(), Fault.NOT_FOUND, Fault.NOT_FOUND], GET + ADOPTED[:1] + GET + LEFT, id="it has gone meanwhile"),
        pytest.param([found(), Fault.UNREACHABLE, DONE], [*GET, "replace former", *GET, "delete former"], id="a lost answer"),
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
def test_what_is_there_and_what_the_try_does(at_once: None, answers: list[Any], requests: list[str]) -> None:
    asked = Asked()
    assert run_of(asked, answers).run().outcome.end is End.SUCCEEDED
    assert asked.requests == requests


def test_an_adopted_pod_says_whose_it_is_from_then_on(at_once: None) -> None:
    asked = Asked()
    run_of(asked, [found(labels={"dag_id": "collection", "try_number": "1"}), DONE]).run()
    [written] = asked.written
    assert (annotation(written, "installation"), annotation(written, "try-number")) == ("here", "2")
    assert written["metadata"]["labels"] == {"dag_id": "collection", "try_number": "1", "installation": "here"}


@pytest.mark.parametrize(
    "answers", [[Fault.FORBIDDEN], [Fault.UNAUTHORIZED] * 2, [Fault.MISCONFIGURED], [found(), Fault.FORBIDDEN]]
)
def test_a_refusal_is_not_taken_for_no_pod_and_deletes_none(at_once: None, answers: list[Any]) -> None:
    asked = Asked()
    with pytest.raises(KubectlError, match=answers[-1].value):
        run_of(asked, answers).run()
    assert {request.split()[0] for request in asked.requests} <= {"get", "replace"}


def test_an_api_server_that_stays_away_is_given_up(at_once: None) -> None:
    asked = Asked()
    with pytest.raises(KubectlError, match="startup_timeout_seconds = -1"):
        run_of(asked, [Fault.UNREACHABLE, Fault.UNREACHABLE], [Fault.UNREACHABLE], startup_timeout=-1).run()
    assert "create own" not in asked.requests


def test_a_pod_that_a_later_try_has_adopted_is_its(at_once: None) -> None:
    asked = Asked()
    with pytest.raises(PodTakenOver, match="try 3"):
        run_of(asked, [found("here", try_number=3)]).run()
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
def test_a_kill_waits_out_no_pause_and_ends_the_pod_of_an_earlier_try(
    never_again: None, former: list[Any], own: list[Any], deleted: list[str]
) -> None:
    asked = Asked()
    run = run_of(asked, [lambda: run.kill(), *former], own)
    with pytest.raises(PodKilled):
        run.run()
    assert [request for request in asked.requests if request.startswith("delete")] == deleted


def test_a_task_that_was_told_to_stop_before_makes_and_adopts_nothing() -> None:
    asked = Asked()
    run = run_of(asked, [Fault.NOT_FOUND], [Fault.NOT_FOUND])
    run.kill()
    with pytest.raises(PodKilled):
        run.run()
    assert asked.requests == ["get former", "get own"]


def test_a_deadline_while_it_is_adopted_ends_it() -> None:
    """Airflow raises execution_timeout from wherever the task is."""

    def late() -> None:
        raise TimeoutError

    asked = Asked()
    run = run_of(asked, [found(), late, found()])
    with pytest.raises(TimeoutError):
        run.run()
    run.abandon()
    assert asked.requests == ["get former", "replace former", "get former", "delete former"]
