"""The release of a pod at the end of a run: it is deleted, marked or left. No process, no waiting."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from plugins.scripted import Asked, Scripted, ScriptedKubectl

from airflow_provider_dagconfig.kubectl.annotations import annotation, task_annotations
from airflow_provider_dagconfig.kubectl.claim import Claim
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome
from airflow_provider_dagconfig.kubectl.release import KILL_SECONDS, Release, Why, is_kept

SUCCESS, FAILURE = Outcome(End.SUCCEEDED, "Completed", exit_code=0), Outcome(End.EXITED, "Error", exit_code=1)


def pod(phase: str = "Running", try_number: int = 1, task: str = "collect", **metadata: Any) -> dict[str, Any]:
    annotations = task_annotations("collection", "run", task, try_number=try_number)
    state = {"running": {}} if phase == "Running" else {"terminated": {"exitCode": 0 if phase == "Succeeded" else 1}}
    return {
        "metadata": {"name": "collect", "uid": "one", "resourceVersion": "1", "annotations": annotations, **metadata},
        "spec": {"containers": [{"name": "base"}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "base", "state": state}]},
    }


def release(notes: list[str] | None = None, **answers: list[Scripted]) -> tuple[Release, Asked]:
    kubectl = ScriptedKubectl(**answers)
    note = [].append if notes is None else notes.append

    def may_retry(error: KubectlError) -> bool:
        return error.fault is Fault.UNREACHABLE

    return Release(Claim(kubectl, pod(), note, may_retry), pod(), note, may_retry), kubectl.asked


def test_a_try_of_a_run_that_was_deleted_leaves_the_pod_of_the_run_that_was_made_anew() -> None:
    """Both are their run's first try, and the old one's process, which was frozen, is told by its timeout to give its pod up."""
    old, new = (
        task_annotations("collection", "run", "collect", run_start=datetime(2026, 11, 23, hour, tzinfo=timezone.utc), run_clears=0)
        for hour in (2, 3)
    )
    kubectl = ScriptedKubectl(delete=[Fault.CONFLICT], get=[pod(uid="two", annotations=new)])
    manifest = pod(annotations=old)
    one = Release(Claim(kubectl, manifest, print, lambda _: False), manifest, print, lambda _: False)
    assert "is left" in str(unwanted(one, manifest))
    assert kubectl.asked.requests == ["delete collect", "get collect"]


def no_pause(_: float) -> None:
    """The pauses are asked for, and no test waits for them."""


# --- a pod that has ended ---


@pytest.mark.parametrize(
    ("action", "kept"),
    [
        ("delete_pod", (False, False)),
        ("delete_succeeded_pod", (False, True)),
        ("delete_active_pod", (True, True)),
        ("keep_pod", (True, True)),
    ],
)
def test_which_pods_stay(action: str, kept: tuple[bool, bool]) -> None:
    assert (is_kept(pod("Succeeded"), SUCCESS, action), is_kept(pod("Failed"), FAILURE, action)) == kept
    assert not is_kept(pod("Running"), FAILURE, action), "something in it still runs"


def test_a_pod_that_has_ended_is_deleted_by_its_uid() -> None:
    one, asked = release()
    one.delete_or_mark(pod("Succeeded"), keep=False, pause=no_pause)
    assert (asked.requests, asked.unchanged) == (["delete collect"], [False])


def test_a_pod_that_is_kept_is_marked() -> None:
    one, asked = release()
    one.delete_or_mark(pod("Succeeded"), keep=True, pause=no_pause)
    assert [annotation(written, "collected") for written in asked.written] == ["true"]


def test_a_pod_that_has_changed_is_marked_as_it_is_now() -> None:
    one, asked = release(replace=[Fault.CONFLICT, pod()], get=[pod("Succeeded", resourceVersion="5")])
    one.delete_or_mark(pod("Succeeded"), keep=True, pause=no_pause)
    assert asked.written[-1]["metadata"]["resourceVersion"] == "5"


@pytest.mark.parametrize(
    "found", [pytest.param(pod(uid="two"), id="another-has-its-name"), pytest.param(pod(try_number=2), id="adopted")]
)
def test_a_pod_that_is_anothers_by_the_end_is_left_as_it_is(found: dict[str, Any]) -> None:
    notes: list[str] = []
    one, asked = release(notes, delete=[Fault.CONFLICT], get=[found])
    one.delete_or_mark(pod("Succeeded"), keep=False, pause=no_pause)
    assert (asked.requests, notes) == (["delete collect", "get collect"], [])


@pytest.mark.parametrize(("keep", "verb"), [(False, "deleted"), (True, "marked as collected")])
def test_a_forbidden_deletion_or_mark_is_reported(keep: bool, verb: str) -> None:
    notes: list[str] = []
    one, _ = release(notes, delete=[Fault.FORBIDDEN], replace=[Fault.FORBIDDEN])
    one.delete_or_mark(pod("Succeeded"), keep=keep, pause=no_pause)
    assert notes == [f"Pod collect in namespace jobs could not be {verb}: forbidden"]


def test_a_pod_that_may_not_be_deleted_is_marked_so_that_a_cleared_task_begins_anew() -> None:
    one, asked = release(delete=[Fault.FORBIDDEN])
    one.delete_or_mark(pod("Succeeded"), keep=False, pause=no_pause)
    assert [annotation(written, "collected") for written in asked.written] == ["not deleted"]


def test_an_api_server_that_is_away_is_asked_four_times() -> None:
    pauses: list[float] = []
    one, asked = release(delete=[Fault.UNREACHABLE])
    one.delete_or_mark(pod("Succeeded"), keep=False, pause=pauses.append)
    assert (len(asked.requests), len(pauses)) == (4, 3)
    assert sum(pauses) < 10


# --- a pod whose work is not wanted ---


def unwanted(one: Release, known: dict[str, Any] | None, why: Why = Why.GIVEN_UP) -> str | None:
    return one.delete_unwanted(known, 30, lambda: 0.0, why)


def test_a_pod_that_is_not_wanted_is_deleted_only_as_it_is_known() -> None:
    one, asked = release()
    assert unwanted(one, pod()) == "Pod collect is being deleted, with 30 s of grace"
    assert (asked.requests, asked.unchanged) == (["delete collect"], [True])


@pytest.mark.parametrize(
    ("found", "deleted", "said"),
    [
        pytest.param(pod(resourceVersion="5"), True, "is being deleted", id="something-else-changed"),
        pytest.param(pod(try_number=2), False, "is left to try 2, which has adopted it", id="a-later-try-has-it"),
        pytest.param(pod("Succeeded"), False, "the next try collects its result", id="it-has-succeeded"),
        pytest.param(pod(task="another"), False, None, id="another-tasks"),
        pytest.param(Fault.NOT_FOUND, False, None, id="gone"),
    ],
)
@pytest.mark.parametrize("known", [pytest.param(True, id="it-has-changed"), pytest.param(False, id="its-create-was-not-answered")])
def test_a_pod_that_is_not_as_it_is_known_is_looked_at_first(known: bool, found: Any, deleted: bool, said: str | None) -> None:
    one, asked = release(delete=[Fault.CONFLICT, {}] if known else [{}], get=[found])
    told = unwanted(one, pod() if known else None)
    assert asked.requests == ["delete collect"] * known + ["get collect"] + ["delete collect"] * deleted
    assert told is None if said is None else said in str(told)


def test_a_try_that_gives_up_leaves_an_earlier_trys_pod_that_it_has_not_adopted() -> None:
    """Its own was not created in time; the earlier one's may have worked for hours."""
    asked = Asked()
    second = pod(try_number=2)
    one = Release(Claim(ScriptedKubectl(asked=asked, get=[pod()]), second, print, lambda _: False), second, print, lambda _: False)
    assert "is try 1's and is left: the next try adopts it" in str(unwanted(one, None))
    assert asked.requests == ["get collect"]
    for decided in (Why.TIMEOUT, Why.PERSON):
        assert "is being deleted" in str(unwanted(one, None, decided)), "it is the task that is over"


def test_a_success_is_thrown_away_only_by_a_person() -> None:
    one, asked = release()
    for why in (Why.GIVEN_UP, Why.TIMEOUT):
        assert "has succeeded and is left" in str(unwanted(one, pod("Succeeded"), why))
    assert asked.requests == []
    assert "is being deleted" in str(unwanted(one, pod("Succeeded"), Why.PERSON))


def test_no_deletion_is_retried_after_the_time_that_a_kill_has() -> None:
    moments = iter([0.0, 0.0, KILL_SECONDS + 1])
    one, asked = release(delete=[Fault.CONFLICT])
    with pytest.raises(KubectlError, match="conflict"):
        one.delete_unwanted(pod(), 30, lambda: next(moments), Why.TIMEOUT)
    assert asked.requests == ["delete collect"]
