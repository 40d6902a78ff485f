"""One pod for one task instance: created, adopted or replaced, and never two. No process, no waiting."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from plugins.scripted import Asked, Scripted, ScriptedKubectl

from airflow_provider_dagconfig.kubectl.annotations import PREFIX, annotation, task_annotations
from airflow_provider_dagconfig.kubectl.claim import Claim, Existing, NotYet, Permit, Step, judge_existing
from airflow_provider_dagconfig.kubectl.ends import PodNotAllowed, PodTakenOver
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError

COLLECTED = {f"{PREFIX}/collected": "true"}


def ids(task: str = "collect", try_number: int = 1, installation: str | None = None, **more: str) -> dict[str, str]:
    return {**task_annotations("collection", "run", task, try_number=try_number, installation=installation), **more}


def pod(phase: str = "Running", annotations: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    given = {"name": "collect", "uid": "one", "resourceVersion": "1", "annotations": ids() if annotations is None else annotations}
    return {"metadata": {**given, **metadata}, "spec": {"containers": [{"name": "base"}]}, "status": {"phase": phase}}


def counted(try_number: int, max_tries: int, phase: str = "Running", **more: str) -> dict[str, Any]:
    annotations = task_annotations("collection", "run", "collect", try_number=try_number, max_tries=max_tries)
    return pod(phase, {**annotations, **more})


def in_run(minute: int, clears: int, try_number: int = 1, phase: str = "Running", **more: str) -> dict[str, Any]:
    """Give a pod of a run that began at this minute and was cleared so often."""
    start = datetime(2026, 11, 23, 2, minute, 0, 123456, tzinfo=timezone.utc)
    annotations = task_annotations("collection", "run", "collect", -1, try_number, run_start=start, run_clears=clears)
    return pod(phase, {**annotations, **more})


DELETION = {"deletionTimestamp": "2026-11-23T02:00:30Z"}
SECOND_TRY = pod(annotations=ids(try_number=2))


@pytest.mark.parametrize(
    ("existing", "manifest", "expected"),
    [
        pytest.param(pod(), SECOND_TRY, Existing.ADOPT, id="runs-since-an-earlier-try"),
        pytest.param(pod("Pending"), pod(), Existing.KEEP, id="made-by-a-create-whose-answer-was-lost"),
        pytest.param(pod("Succeeded"), SECOND_TRY, Existing.ADOPT, id="succeeded-while-nobody-watched"),
        pytest.param(pod("Succeeded", ids(**COLLECTED)), SECOND_TRY, Existing.REPLACE, id="succeeded-and-was-reported"),
        pytest.param(pod("Succeeded", ids(try_number=2, **COLLECTED)), pod(), Existing.REPLACE, id="a-later-trys-that-was-kept"),
        pytest.param(pod("Failed"), SECOND_TRY, Existing.REPLACE, id="failed-in-an-earlier-try"),
        pytest.param(pod("Failed"), pod(), Existing.KEEP, id="failed-in-this-try"),
        pytest.param(pod(**DELETION), pod(), Existing.WAIT, id="being-deleted"),
        pytest.param(SECOND_TRY, pod(), Existing.LEAVE_TO_LATER_TRY, id="a-later-trys"),
        pytest.param(pod(annotations=ids("another")), pod(), Existing.ANOTHERS, id="another-tasks"),
        pytest.param(pod(annotations={}), pod(), Existing.ANOTHERS, id="nobodys"),
        pytest.param(pod(annotations=ids(installation="staging")), pod(), Existing.ANOTHERS, id="another-installations"),
        pytest.param(pod(annotations=ids("another"), **DELETION), pod(), Existing.ANOTHERS, id="another-tasks-being-deleted"),
        # A clear raises max_tries.
        pytest.param(counted(1, 2), counted(2, 2), Existing.ADOPT, id="no-clear"),
        pytest.param(counted(1, 2), counted(2, 3), Existing.REPLACE, id="cleared-while-it-ran"),
        pytest.param(counted(1, 2, "Pending"), counted(2, 3), Existing.REPLACE, id="cleared-while-it-waited"),
        pytest.param(counted(1, 2, "Succeeded"), counted(2, 3), Existing.ADOPT, id="its-success-was-not-heard-of"),
        pytest.param(counted(1, 2, "Succeeded", **COLLECTED), counted(2, 3), Existing.REPLACE, id="cleared-after-its-success"),
        pytest.param(pod(), counted(2, 3), Existing.ADOPT, id="made-before-there-were-counts"),
        pytest.param(counted(1, 9), counted(2, 3), Existing.REPLACE, id="cleared-once-its-dag-has-fewer-retries"),
        pytest.param(counted(2, 2), counted(2, 3), Existing.KEEP, id="this-try-s-own"),
        pytest.param(counted(3, 5), counted(2, 2), Existing.LEAVE_TO_LATER_TRY, id="cleared-since-this-try-began"),
        # A run that is deleted and made anew begins later, and tries are counted from 1.
        pytest.param(in_run(1, 0), in_run(1, 0, 2), Existing.ADOPT, id="the-same-run"),
        pytest.param(in_run(1, 0), in_run(2, 0), Existing.REPLACE, id="made-anew"),
        pytest.param(in_run(1, 0, 3, "Succeeded"), in_run(2, 0), Existing.REPLACE, id="made-anew-and-the-old-one-had-succeeded"),
        pytest.param(in_run(1, 2), in_run(2, 0), Existing.REPLACE, id="made-anew-and-the-old-one-was-cleared"),
        pytest.param(in_run(1, 0, 3), in_run(2, 1), Existing.REPLACE, id="made-anew-and-cleared-before-its-first-try"),
        pytest.param(in_run(1, 0), in_run(2, 1, 2), Existing.ADOPT, id="a-finished-run-that-was-cleared"),
        pytest.param(in_run(2, 0), in_run(1, 0), Existing.LEAVE_TO_LATER_TRY, id="this-try-is-of-the-run-that-was-deleted"),
        pytest.param(
            *(in_run(2, 0, 1, "Succeeded", **COLLECTED), in_run(1, 0)), Existing.LEAVE_TO_LATER_TRY, id="and-the-new-one-has-ended"
        ),
        pytest.param(
            *(in_run(1, 0, 2, "Succeeded", **COLLECTED), in_run(1, 0)), Existing.LEAVE_TO_LATER_TRY, id="a-later-try-has-ended"
        ),
        pytest.param(in_run(2, 1, 2), in_run(1, 0), Existing.LEAVE_TO_LATER_TRY, id="this-try-is-of-before-the-clear"),
        pytest.param(pod(), in_run(2, 0, 2), Existing.ADOPT, id="made-before-runs-were-told-apart"),
    ],
)
def test_a_pod_that_is_there_already(existing: dict[str, Any], manifest: dict[str, Any], expected: Existing) -> None:
    assert judge_existing(existing, manifest) is expected


@pytest.mark.parametrize(
    ("existing", "manifest", "why"),
    [
        (pod("Failed"), SECOND_TRY, "it failed"),
        (pod("Succeeded", ids(**COLLECTED)), SECOND_TRY, "its end was reported"),
        (counted(1, 2), counted(2, 3), "the task was cleared"),
        (in_run(1, 0), in_run(2, 0), "its run was deleted, and made anew with the same id"),
    ],
)
def test_why_a_pod_is_replaced_is_said(existing: dict[str, Any], manifest: dict[str, Any], why: str) -> None:
    notes: list[str] = []
    one, asked = claim(manifest, notes, create=[Fault.ALREADY_EXISTS], get=[existing])
    assert isinstance(one.attempt(), NotYet)
    assert asked.requests[-1] == "delete collect"
    assert notes == [f"Replacing pod collect of an earlier try: {why}"]


def test_an_adopted_pod_is_counted_as_this_try_is() -> None:
    """Else a pod that was collected after one clear would seem cleared for ever."""
    one, asked = claim(counted(2, 5), create=[Fault.ALREADY_EXISTS], get=[counted(1, 2, "Succeeded")])
    one.attempt()
    assert (annotation(asked.written[0], "try-number"), annotation(asked.written[0], "max-tries")) == ("2", "5")


TRANSIENT = (Fault.CREDENTIALS, Fault.SERVER_ERROR, Fault.UNREACHABLE)


def claim(
    manifest: dict[str, Any] | None = None, notes: list[str] | None = None, permit: Permit | None = None, **answers: list[Scripted]
) -> tuple[Claim, Asked]:
    kubectl = ScriptedKubectl(**answers)
    note = [].append if notes is None else notes.append
    return Claim(kubectl, manifest or pod(), note, lambda error: error.fault in TRANSIENT, permit=permit), kubectl.asked


def test_a_task_that_has_no_pod_creates_one() -> None:
    one, asked = claim()
    made = one.attempt()
    assert not isinstance(made, NotYet)
    assert made["metadata"]["uid"] == "made"
    assert asked.requests == ["create collect"]


def test_a_pod_of_this_try_is_gone_on_with_as_it_is() -> None:
    """Its create went through, and the answer was lost."""
    one, asked = claim(create=[Fault.ALREADY_EXISTS], get=[pod()])
    assert one.attempt() == pod()
    assert asked.requests == ["create collect", "get collect"]


def test_a_pod_of_an_earlier_try_is_adopted_with_its_number() -> None:
    notes: list[str] = []
    one, asked = claim(SECOND_TRY, notes, create=[Fault.ALREADY_EXISTS], get=[pod()])
    one.attempt()
    assert asked.requests == ["create collect", "get collect", "replace collect"]
    assert annotation(asked.written[0], "try-number") == "2"
    assert notes == ["Adopting pod collect, made by try 1: it keeps the configuration it was made with (None)"]


@pytest.mark.parametrize("answer", [Fault.CONFLICT, Fault.NOT_FOUND, *TRANSIENT], ids=str)
def test_a_pod_that_changes_while_it_is_adopted_is_looked_at_again(answer: Fault) -> None:
    one, asked = claim(SECOND_TRY, create=[Fault.ALREADY_EXISTS], get=[pod()], replace=[answer, SECOND_TRY])
    assert isinstance(one.attempt(), NotYet)
    assert one.attempt() == SECOND_TRY
    assert asked.requests == ["create collect", "get collect", "replace collect"] * 2


def test_a_pod_that_is_replaced_is_waited_for_until_it_is_gone() -> None:
    notes: list[str] = []
    failed = pod("Failed", uid="failed")
    one, asked = claim(
        SECOND_TRY, notes, create=[Fault.ALREADY_EXISTS, Fault.ALREADY_EXISTS, SECOND_TRY], get=[failed, pod(**DELETION)]
    )
    assert [one.attempt(), one.attempt()] == [NotYet("pod collect of an earlier try is still being deleted")] * 2
    assert one.attempt() == SECOND_TRY
    assert asked.requests == [
        *("create collect", "get collect", "delete collect"),
        *("create collect", "get collect"),
        "create collect",
    ]
    assert notes == ["Replacing pod collect of an earlier try: it failed"]


REFUSED = Permit("No pod is made: it was made before")


@pytest.mark.parametrize("phase", ["Pending", "Running", "Succeeded", "Failed"])
def test_a_try_that_may_not_create_a_pod_adopts_the_existing_one(phase: str) -> None:
    """There will be no other: also how one failed, while nobody looked, is this try's end."""
    one, asked = claim(SECOND_TRY, permit=REFUSED, get=[pod(phase)])
    assert not isinstance(one.attempt(), NotYet)
    assert asked.requests == ["get collect", "replace collect"]


@pytest.mark.parametrize("left", [Fault.NOT_FOUND, pod("Succeeded", ids(**COLLECTED))], ids=["none", "one that was reported"])
def test_a_try_that_may_not_create_a_pod_ends_if_there_is_none_to_adopt(left: Scripted) -> None:
    one, asked = claim(SECOND_TRY, permit=REFUSED, get=[left])
    with pytest.raises(PodNotAllowed, match="No pod is made: it was made before"):
        one.attempt()
    assert (one.may_exist, asked.requests) == (False, ["get collect"])


@pytest.mark.parametrize("answer", [pod(**DELETION), *TRANSIENT], ids=["being deleted", *map(str, TRANSIENT)])
def test_a_try_that_may_make_no_pod_waits_until_it_is_known_whether_there_is_one(answer: Scripted) -> None:
    one, _ = claim(SECOND_TRY, permit=REFUSED, get=[answer, Fault.NOT_FOUND])
    assert isinstance(one.attempt(), NotYet)
    with pytest.raises(PodNotAllowed):
        one.attempt()


@pytest.mark.parametrize(
    ("manifest", "answers", "steps"),
    [
        (pod(), {}, [Step.CREATING, Step.CREATED]),
        (pod(), {"create": [Fault.ALREADY_EXISTS], "get": [pod()]}, [Step.CREATING, Step.CREATED]),
        (SECOND_TRY, {"create": [Fault.ALREADY_EXISTS], "get": [pod()]}, [Step.CREATING, Step.ADOPTED]),
        (SECOND_TRY, {"create": [Fault.ALREADY_EXISTS], "get": [pod("Failed")]}, [Step.CREATING, Step.REPLACED]),
        (pod(), {"create": [Fault.UNREACHABLE]}, [Step.CREATING]),
    ],
    ids=["created", "created, and the answer was lost", "adopted", "replaced", "not created"],
)
def test_each_step_is_told(manifest: dict[str, Any], answers: dict[str, list[Scripted]], steps: list[Step]) -> None:
    told: list[Step] = []
    one, _ = claim(manifest, permit=Permit(on_step=lambda step, _: told.append(step)), **answers)
    one.attempt()
    assert told == steps


def test_what_takes_the_place_of_a_pod_may_be_another_one() -> None:
    larger = pod(annotations=ids(try_number=2, larger="yes"))
    permit = Permit(before_replacing=lambda _: larger)
    one, asked = claim(SECOND_TRY, permit=permit, create=[Fault.ALREADY_EXISTS, larger], get=[pod("Failed")])
    one.attempt()
    one.attempt()
    assert asked.created == [SECOND_TRY, larger]


def test_where_a_pod_cannot_be_counted_none_is_asked_for() -> None:
    def refuse(*_: object) -> None:
        raise OSError("nobody takes note")

    one, asked = claim(permit=Permit(on_step=refuse))
    with pytest.raises(OSError, match="nobody takes note"):
        one.attempt()
    assert (one.may_exist, asked.requests) == (False, [])


def test_a_pod_of_a_later_try_is_neither_taken_nor_deleted() -> None:
    """A worker that was given up while the API server was away comes back when the next try has made the pod."""
    one, asked = claim(create=[Fault.ALREADY_EXISTS], get=[SECOND_TRY])
    with pytest.raises(PodTakenOver, match="is a later try's, try 2's") as end:
        one.attempt()
    assert end.value.by_try == 2
    assert asked.requests == ["create collect", "get collect"]


def test_a_pod_of_another_task_with_this_name_is_reported_and_not_used() -> None:
    one, asked = claim(create=[Fault.ALREADY_EXISTS], get=[pod(annotations=ids("another"))])
    with pytest.raises(KubectlError, match="exists and is not this task's"):
        one.attempt()
    assert (one.may_exist, asked.requests) == (False, ["create collect", "get collect"])


def test_a_quota_that_others_change_at_the_same_moment_is_asked_again() -> None:
    """Pods that are created together get in each other's way at the namespace's quota: the API server answers Conflict."""
    one, _ = claim(create=[Fault.CONFLICT, pod()])
    assert [one.attempt(), one.attempt()] == [NotYet("conflict"), pod()]


@pytest.mark.parametrize("fault", TRANSIENT, ids=str)
def test_what_may_pass_is_asked_again(fault: Fault) -> None:
    one, _ = claim(create=[fault, pod()])
    [first, second] = one.attempt(), one.attempt()
    assert isinstance(first, NotYet)
    assert fault.value in first.waits_for
    assert second == pod()


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.SERVER_ERROR], ids=str)
def test_a_refusal_after_a_lost_answer_is_no_proof_that_there_is_no_pod(fault: Fault) -> None:
    one, _ = claim(create=[fault, Fault.FORBIDDEN], get=[Fault.UNREACHABLE])
    one.attempt()
    with pytest.raises(KubectlError, match="forbidden"):
        one.attempt()
    assert one.may_exist


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.INVALID], ids=str)
def test_a_pod_of_an_earlier_try_is_adopted_where_another_would_be_refused(fault: Fault) -> None:
    """A quota that this very pod uses up, or a policy, is asked before the API server sees that the name is taken."""
    one, asked = claim(SECOND_TRY, create=[fault], get=[pod()])
    one.attempt()
    assert asked.requests[0] == "create collect"
    assert annotation(asked.written[0], "try-number") == "2"


def test_a_pod_whose_create_was_not_answered_is_gone_on_with_where_another_would_be_refused() -> None:
    one, _ = claim(create=[Fault.UNREACHABLE, Fault.FORBIDDEN], get=[pod()])
    assert isinstance(one.attempt(), NotYet)
    assert one.attempt() == pod()


@pytest.mark.parametrize("found", [Fault.NOT_FOUND, pod(annotations=ids("another"))], ids=["none", "another-tasks"])
def test_a_refusal_of_a_later_try_is_told_where_there_is_no_pod_of_its_task(found: Any) -> None:
    one, asked = claim(SECOND_TRY, create=[Fault.FORBIDDEN], get=[found])
    with pytest.raises(KubectlError, match="forbidden"):
        one.attempt()
    assert (one.may_exist, asked.written) == (False, [])


def test_a_refusal_at_once_means_that_there_is_no_pod() -> None:
    one, _ = claim(create=[Fault.FORBIDDEN])
    with pytest.raises(KubectlError, match="forbidden"):
        one.attempt()
    assert not one.may_exist
