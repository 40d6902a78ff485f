"""What a pod's life makes of the events it is told, where neither the local pods nor a cluster tell them just so."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dagconfig.kubectl import lifecycle
from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.lifecycle import Ended, PodKilled, PodRun, PodTakenOver, Verdict
from airflow_provider_dagconfig.kubectl.manifest import PREFIX, task_annotations
from airflow_provider_dagconfig.kubectl.outcome import End

SPEC = {"containers": [{"name": "base", "image": "busybox"}]}
RUNNING = {"containerStatuses": [{"name": "base", "state": {"running": {}}}], "phase": "Running"}


def pod(version: int, status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "collect", "resourceVersion": str(version), **metadata}, "spec": SPEC, "status": status}


def ended(exit_code: int, finished: str, phase: str) -> dict[str, Any]:
    terminated = {"exitCode": exit_code, "reason": "Completed", "finishedAt": finished}
    return {"containerStatuses": [{"name": "base", "state": {"terminated": terminated}}], "phase": phase}


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *events: tuple[str, dict[str, Any]]) -> Ended:
    """Run with a kubectl that answers each create with a running pod, and tells all events of a watch at once."""
    (folder / "created").write_text(json.dumps(pod(1, RUNNING)))
    (folder / "events").write_text("".join(json.dumps({"type": kind, "object": told}) + "\n" for kind, told in events))
    script = folder / "kubectl"
    script.write_text(
        f'#!/bin/bash\ncase "$*" in *" create "*|"create "*) cat {folder}/created ;; *watch=true*) cat {folder}/events; sleep 5 ;; '
        "*) echo '{}' ;; esac\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    kubectl = Kubectl({}, "default", "collect")
    return PodRun(kubectl, pod(0, {}), startup_timeout=10, timeout=10, on_line=None, note=print).run()


def test_the_first_end_that_is_told_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers shorten the grace period with the last event, so that it looks as if the container had ended before."""
    status = ended(0, "2026-11-23T02:00:01Z", "Succeeded")
    deleted = {"deletionTimestamp": "2026-11-23T02:00:30Z"}
    result = run(
        tmp_path,
        monkeypatch,
        ("MODIFIED", pod(2, status, **deleted, deletionGracePeriodSeconds=30)),
        ("DELETED", pod(3, status, **deleted, deletionGracePeriodSeconds=0)),
    )
    assert (result.outcome.end, result.outcome.reason) == (End.CLUSTER, "Deleted")


def test_an_end_that_only_the_deletion_tells_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = ended(0, "2026-11-23T01:59:00Z", "Succeeded")
    result = run(tmp_path, monkeypatch, ("DELETED", pod(2, status, deletionTimestamp="2026-11-23T02:00:30Z")))
    assert result.outcome.end is End.SUCCEEDED


def test_a_pod_that_vanishes_while_it_runs_was_deleted_by_somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path, monkeypatch, ("DELETED", pod(2, RUNNING)))
    assert (result.outcome.end, result.outcome.reason) == (End.CLUSTER, "Deleted")


def test_a_pod_that_can_not_be_marked_as_collected_is_no_failure_of_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod was changed meanwhile, and then its rights: what is left is said, and the job has succeeded."""
    made = tmp_path / "created"
    made.write_text(json.dumps(pod(1, ended(0, "2026-11-23T02:00:01Z", "Succeeded"))))
    script = tmp_path / "kubectl"
    script.write_text(
        f'#!/bin/bash\ncase "$*" in *"create "*) cat {made} ;; '
        "*\"replace \"*) echo 'Error from server (Conflict): it has been modified' >&2; exit 1 ;; "
        "*) echo 'Error from server (Forbidden): cannot get' >&2; exit 1 ;; esac\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    notes: list[str] = []
    kubectl = Kubectl({}, "default", "collect")
    keeping = PodRun(
        kubectl, pod(0, {}), startup_timeout=10, timeout=10, on_finish_action="keep_pod", on_line=None, note=notes.append
    )
    assert keeping.run().outcome.end is End.SUCCEEDED
    assert any("could not be marked as collected" in note for note in notes)


# --- a watch that tells no events ---


def kubectl_that(folder: Path, monkeypatch: pytest.MonkeyPatch, **answers: str) -> Kubectl:
    """Make a kubectl of this: for create, get, watch, log, rest and delete a piece of bash, where $n counts its calls from 1."""
    verbs = {
        "create": '*"create --raw "*',
        "watch": "*watch=true*",
        "log": "*follow=true*",
        "rest": "*timestamps=true*",
        "get": '*"get --raw "*',
        "delete": "*",
    }
    cases = [
        f"{pattern}) n=$(($(cat {folder}/{verb} 2>/dev/null || echo 0) + 1)); echo $n >{folder}/{verb}\n{answers.get(verb, ':')} ;;"
        for verb, pattern in verbs.items()
    ]
    script = folder / "kubectl"
    script.write_text("\n".join(["#!/bin/bash", 'case " $*" in', *cases, "esac\n"]))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return Kubectl({}, "default", "collect")


def run_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, timeout: float = 30, grace_period: float = 30, **answers: str
) -> tuple[Ended, list[str]]:
    """Run with a kubectl that gives these answers."""
    said: list[str] = []
    kubectl = kubectl_that(folder, monkeypatch, **answers)
    on_line = said.append if "log" in answers else None
    pod_run = PodRun(
        kubectl,
        pod(0, {}, **OURS),
        startup_timeout=30,
        timeout=timeout,
        grace_period=grace_period,
        on_line=on_line,
        note=said.append,
    )
    return pod_run.run(), said


OURS = {"annotations": task_annotations("collection", "run", "collect")}


def says(document: Any) -> str:
    return f"printf '%s\\n' {shlex.quote(json.dumps(document))}"


SUCCEEDED = pod(3, ended(0, "2026-11-23T02:00:01Z", "Succeeded"))


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        pytest.param("echo '<html>502 Bad Gateway</html>'; sleep 9", "<html>502 Bad Gateway", id="a-proxys-page"),
        pytest.param("printf '<html>no line end</html>'", "<html>no line end", id="a-page-without-a-line-end"),
        pytest.param("""printf '{"type": "MODIFIED", "obj'""", '{"type": "MODIFIED", "obj', id="a-cut-line"),
        pytest.param("""echo '{"type": "MODIFIED"}'; sleep 9""", '{"type": "MODIFIED"}', id="no-object"),
        pytest.param("""echo '{"object": {}}'; sleep 9""", '{"object": {}}', id="no-type"),
        pytest.param("""echo '{"type": "MODIFIED", "object": {"metadata": {}}}'; sleep 9""", '"metadata": {}', id="no-version"),
        pytest.param("echo '[1]'; sleep 9", "[1]", id="a-list"),
    ],
)
def test_a_watch_that_tells_no_event_is_lost_and_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, shown: str
) -> None:
    good = says({"type": "MODIFIED", "object": SUCCEEDED})
    result, notes = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        get=says(pod(2, RUNNING)),
        watch=f"if [ $n = 1 ]; then {told}; else {good}; sleep 9; fi",
    )
    assert result.outcome.end is End.SUCCEEDED
    [lost] = [note for note in notes if "can't be reached, next attempt in" in note]
    assert shown in lost
    assert "The API server answers again" in notes


def test_a_watch_that_ends_with_an_error_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = says({"type": "ERROR", "object": {"code": 500, "message": "etcd is ill"}})
    good = says({"type": "MODIFIED", "object": SUCCEEDED})
    result, notes = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        get=says(pod(2, RUNNING)),
        watch=f"if [ $n = 1 ]; then {error}; else {good}; fi; sleep 9",
    )
    assert result.outcome.end is End.SUCCEEDED
    [lost] = [note for note in notes if ", next attempt in" in note]
    assert lost.startswith("The API server can't serve the request")
    assert lost.endswith("etcd is ill")
    assert "The API server answers again" in notes


def test_a_version_that_is_too_old_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, notes = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        get=says(SUCCEEDED),
        watch=says({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old resource version"}}),
    )
    assert result.outcome.end is End.SUCCEEDED
    assert [note for note in notes if "reached" in note] == []


@pytest.mark.parametrize("told", ["echo '<html>busy</html>'", ":"], ids=["a-proxys-page", "nothing"])
def test_a_watch_that_is_never_any_good_is_asked_for_with_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    begun = time.monotonic()
    result, _ = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        get=f"if [ $n = 3 ]; then {says(SUCCEEDED)}; else {says(pod(2, RUNNING))}; fi",
        watch=told,
    )
    assert result.outcome.end is End.SUCCEEDED
    assert time.monotonic() - begun > 1 + 2 + 4


@pytest.mark.parametrize("answer", ["[]", "{}", '{"metadata": {}}', '"busy"'])
def test_an_answer_that_is_no_pod_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    result, _ = run_with(
        tmp_path,
        monkeypatch,
        create=f"if [ $n = 1 ]; then echo '{answer}'; else {says(pod(1, RUNNING))}; fi",
        get=f"if [ $n = 1 ]; then echo '{answer}'; else {says(SUCCEEDED)}; fi",
        watch="echo 'error: unexpected EOF' >&2; exit 1",
    )
    assert result.outcome.end is End.SUCCEEDED


# --- a log that does not come as it should ---


def test_a_large_log_that_stalls_at_its_end_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an old kubelet, which goes on with the file that was rotated away."""
    write = "for i in $(seq 1200); do printf '2026-11-23T02:00:00.%09dZ %s %01000d\\n' $i line 0; done"
    _, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        watch=f"sleep 2; {says({'type': 'MODIFIED', 'object': SUCCEEDED})}; sleep 30",
        log=f"{write}; sleep 30",
        rest=f"{write}; echo '2026-11-23T02:00:01Z the end'",
    )
    assert len([line for line in said if line.startswith("line 0")]) == 1200
    assert said.count("the end") == 1


@pytest.mark.parametrize(
    ("later", "asks_again"),
    [pytest.param(2, True, id="the-kubelet-went-away"), pytest.param(-1, False, id="the-container-ended")],
)
def test_a_log_that_ends_well_before_its_container_does_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: int, asks_again: bool
) -> None:
    """The API server ends a log cleanly too where the kubelet's connection breaks. The node's clock is an hour ahead of ours."""
    stamp = "date -u -d '1 hour' +%Y-%m-%dT%H:%M:%S.%NZ"
    finished = f"$(date -u -d '1 hour {later:+d} seconds' +%Y-%m-%dT%H:%M:%SZ)"
    end = json.dumps({"type": "MODIFIED", "object": pod(3, ended(0, "FINISHED", "Succeeded"))})
    _, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        watch=f"sleep 5; printf '%s\\n' {shlex.quote(end)} | sed \"s/FINISHED/{finished}/\"; sleep 30",
        log=f'for i in 1 2 3; do echo "$({stamp}) line $i" | tee -a {tmp_path}/written; sleep 1.4; done',
        rest=f'cat {tmp_path}/written; echo "$({stamp}) line 4"',
    )
    assert [line for line in said if line.startswith("line")] == [f"line {number}" for number in range(1, 4 + asks_again)]


# --- a pod that is not as this try would have made it ---

EXISTS = """echo 'Error from server (AlreadyExists): pods "collect" already exists' >&2; exit 1"""


def test_a_pod_of_a_later_try_is_neither_taken_nor_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was given up while the API server was away comes back when the next try has made the pod."""
    theirs = pod(1, RUNNING, annotations=task_annotations("collection", "run", "collect", try_number=2))
    with pytest.raises(PodTakenOver, match="is a later try's, try 2's"):
        run_with(tmp_path, monkeypatch, create=EXISTS, get=says(theirs), delete=f"touch {tmp_path}/deleted")
    assert not (tmp_path / "deleted").exists()


def test_a_later_trys_pod_that_was_kept_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run was deleted and made anew, with the same id and tries from 1 on."""
    annotations = task_annotations("collection", "run", "collect", try_number=2) | {f"{PREFIX}/collected": "true"}
    kept = pod(1, ended(0, "2026-11-23T02:00:01Z", "Succeeded"), annotations=annotations)
    result, said = run_with(
        tmp_path,
        monkeypatch,
        create=f"if [ $n = 1 ]; then {EXISTS}; else {says(pod(3, ended(0, '2026-11-24T02:00:01Z', 'Succeeded'), **OURS))}; fi",
        get=says(kept),
    )
    assert result.outcome.end is End.SUCCEEDED
    assert any("Replacing pod" in line for line in said)


CONFLICT = "echo 'Error from server (Conflict): the object has been modified' >&2; exit 1"


def test_a_pod_that_changes_while_it_is_adopted_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = pod(4, RUNNING, annotations=task_annotations("collection", "run", "collect", try_number=1))
    later = task_annotations("collection", "run", "collect", try_number=2)
    kubectl = kubectl_that(
        tmp_path,
        monkeypatch,
        create=EXISTS,
        get=says(earlier),
        delete=f'[[ "$*" != *"replace "* ]] || {{ [ $n != 1 ] || {{ {CONFLICT}; }}; tee {tmp_path}/adopted; }}',
        watch=f"{says({'type': 'MODIFIED', 'object': pod(9, SUCCEEDED['status'], annotations=later)})}; sleep 9",
    )
    run = PodRun(kubectl, pod(0, {}, annotations=later), startup_timeout=30, timeout=30, on_line=None, note=print)
    assert run.run().outcome.end is End.SUCCEEDED
    assert (tmp_path / "get").read_text() == "2\n"
    assert json.loads((tmp_path / "adopted").read_text())["metadata"]["annotations"] == later


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({"uid": "two", **OURS}, id="another-has-its-name"),
        pytest.param({"uid": "one", "annotations": task_annotations("collection", "run", "collect", try_number=2)}, id="adopted"),
    ],
)
def test_a_pod_that_is_anothers_by_the_end_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]
) -> None:
    result, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, SUCCEEDED["status"], uid="one", **OURS)),
        get=says(pod(5, RUNNING, **found)),
        delete=CONFLICT,
    )
    assert result.outcome.end is End.SUCCEEDED
    assert (tmp_path / "delete").read_text() == "1\n"
    assert not any("could not be" in line for line in said)


def test_an_adopted_pod_has_the_time_it_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row's timeout_seconds was lowered since: the pod is neither late nor lost, and its own deadline ends it."""
    monkeypatch.setattr(lifecycle, "_NODE_ANSWERS", 0.5)
    adopted = pod(1, RUNNING, **OURS)
    result, _ = run_with(
        tmp_path,
        monkeypatch,
        create=EXISTS,
        get=says(adopted | {"spec": SPEC | {"activeDeadlineSeconds": 60}}),
        watch=f"sleep 4; {says({'type': 'MODIFIED', 'object': SUCCEEDED})}; sleep 9",
        timeout=1,
        grace_period=0,
    )
    assert result.outcome.end is End.SUCCEEDED


def test_a_pod_that_is_deleted_with_more_grace_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_NODE_ANSWERS", 0.5)
    deleted = pod(2, RUNNING, deletionTimestamp="2026-11-23T02:05:00Z", deletionGracePeriodSeconds=300)
    result, _ = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        watch=f"{says({'type': 'MODIFIED', 'object': deleted})}; sleep 4; {says({'type': 'DELETED', 'object': deleted})}; sleep 9",
        grace_period=1,
    )
    assert result.outcome.reason == "Deleted"


def test_another_pod_of_the_name_is_neither_followed_nor_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing could be heard, a later try has replaced the pod."""
    result, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING, uid="one")),
        get=says(pod(7, RUNNING, uid="two")),
        watch="echo 'error: unexpected EOF' >&2; exit 1",
        log="sleep 0.2; echo 'error: unexpected EOF' >&2; exit 1",
        rest="echo '2026-11-23T02:00:00Z of another try'",
        delete="touch $(dirname $0)/deleted",
    )
    assert (result.outcome.end, result.outcome.reason) == (End.CLUSTER, "Deleted")
    assert result.pod["metadata"]["uid"] == "one"
    assert "of another try" not in said
    assert not (tmp_path / "deleted").exists()


def test_a_quota_that_others_change_at_the_same_moment_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods that are created together get in each other's way at the namespace's quota: the API server answers Conflict."""
    conflict = "echo 'Error from server (Conflict): Operation cannot be fulfilled on resourcequotas \"q\"' >&2; exit 1"
    result, notes = run_with(tmp_path, monkeypatch, create=f"if [ $n = 1 ]; then {conflict}; else {says(SUCCEEDED)}; fi")
    assert result.outcome.end is End.SUCCEEDED
    assert any('resourcequotas "q"' in note for note in notes)


def test_a_watch_that_the_api_server_does_not_end_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection may be lost without a word, and a proxy may keep our end of it open."""
    monkeypatch.setattr(lifecycle, "_WATCH_ENDS", 1.0)
    begun = time.monotonic()
    result, _ = run_with(tmp_path, monkeypatch, create=says(pod(1, RUNNING)), get=says(SUCCEEDED), watch="exec sleep 20")
    assert result.outcome.end is End.SUCCEEDED
    assert time.monotonic() - begun < 15


# --- a run that is killed ---


def test_a_kill_says_nothing_until_what_it_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have interrupted the writing of a line, whose lock is not free before: structlog's can't be taken twice."""
    writing, said = threading.Lock(), []

    def write(line: str) -> None:
        assert writing.acquire(timeout=1), "the kill waits for what it interrupted"
        said.append(line)
        if line == "a line":
            signal.raise_signal(signal.SIGUSR1)
        writing.release()

    kubectl = kubectl_that(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        watch="sleep 9",
        log="echo '2026-11-23T02:00:00Z a line'; sleep 9",
        delete=f"touch {tmp_path}/deleted",
    )
    running = PodRun(kubectl, pod(0, {}), startup_timeout=30, timeout=30, on_line=write, note=write)
    before = signal.signal(signal.SIGUSR1, lambda *_: running.kill())
    try:
        with pytest.raises(PodKilled):
            running.run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (tmp_path / "deleted").exists()
    assert said[-1] == "Pod collect is being deleted, with 30 s of grace"


def run_and_kill(running: PodRun, folder: Path) -> None:
    """Run, and kill by a signal once the watch is open, as a worker is told to stop."""
    main = threading.main_thread().ident
    assert main is not None

    def kill() -> None:
        deadline = time.monotonic() + 20
        while not (folder / "watch").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGUSR1)

    beside = threading.Thread(target=kill)
    before = signal.signal(signal.SIGUSR1, lambda *_: running.kill())
    beside.start()
    try:
        with pytest.raises(PodKilled):
            running.run()
    finally:
        beside.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("adopter", "deleted"), [pytest.param(2, False, id="a-later-try-has-it"), pytest.param(1, True, id="something-else-changed")]
)
def test_a_kill_looks_whose_the_pod_is_where_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adopter: int, deleted: bool
) -> None:
    """The watch has not told of the change yet, so the deletion of the pod as it was is refused."""
    said: list[str] = []
    changed = pod(5, RUNNING, uid="one", annotations=task_annotations("collection", "run", "collect", try_number=adopter))
    conflict = """echo 'Error from server (Conflict): the ResourceVersion in the precondition (1) does not match' >&2; exit 1"""
    kubectl = kubectl_that(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING, uid="one", **OURS)),
        watch="exec sleep 20",
        get=says(changed),
        delete=f"""grep -q '"resourceVersion": "5"' || {{ {conflict}; }}; touch {tmp_path}/deleted""",
    )
    running = PodRun(kubectl, pod(0, {}, **OURS), startup_timeout=30, timeout=30, on_line=None, note=said.append)
    run_and_kill(running, tmp_path)
    assert (tmp_path / "deleted").exists() is deleted
    assert said[-1] == (
        "Pod collect is being deleted, with 30 s of grace" if deleted else "Pod collect is left to try 2, which has adopted it"
    )


@pytest.mark.parametrize(
    ("there", "deleted"),
    [
        pytest.param(says(pod(1, RUNNING, uid="one", **OURS)), True, id="this-try-s"),
        pytest.param(
            says(pod(1, RUNNING, uid="one", annotations=task_annotations("collection", "run", "another"))),
            False,
            id="another-task-s",
        ),
        pytest.param(
            says(pod(1, RUNNING, uid="one", annotations=task_annotations("collection", "run", "collect", installation="staging"))),
            False,
            id="another-installation-s",
        ),
        pytest.param("""echo 'Error from server (NotFound): pods "collect" not found' >&2; exit 1""", False, id="none"),
    ],
)
def test_a_kill_before_the_create_is_answered_deletes_the_tasks_own_pod_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, deleted: bool
) -> None:
    kubectl = kubectl_that(
        tmp_path,
        monkeypatch,
        create="echo 'Unable to connect to the server: net/http: TLS handshake timeout' >&2; exit 1",
        get=there,
        delete=f"touch {tmp_path}/deleted",
    )
    running = PodRun(
        kubectl,
        pod(0, {}, **OURS),
        startup_timeout=30,
        timeout=30,
        on_line=None,
        note=lambda text: "Not created" in text and running.kill(),
    )
    with pytest.raises(PodKilled):
        running.run()
    assert (tmp_path / "deleted").exists() is deleted


# --- what is not about the pod ---

LINE = "echo '2026-11-23T02:00:00Z a line'; sleep 9"


@pytest.mark.parametrize(
    "error", [BrokenPipeError("the supervisor is gone"), ValueError("closed file"), MemoryError(), SystemExit(1)], ids=repr
)
@pytest.mark.parametrize("of", ["a line", "a note"])
def test_an_exception_that_is_not_about_the_pod_leaves_the_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, of: str
) -> None:
    """A worker's supervisor was killed: its orphan can't write its log, and the pod is healthy."""

    def fail(text: str) -> None:
        if of == "a line" or text.startswith("Pod collect runs"):
            raise error

    kubectl = kubectl_that(
        tmp_path, monkeypatch, create=says(pod(1, RUNNING)), watch="sleep 9", log=LINE, delete=f"touch {tmp_path}/deleted"
    )
    notes: list[str] = []
    broken = {"a line": {"on_line": fail, "note": notes.append}, "a note": {"on_line": notes.append, "note": fail}}[of]
    with pytest.raises(type(error)):
        PodRun(kubectl, pod(0, {}), startup_timeout=30, timeout=30, **broken).run()  # type: ignore[arg-type]
    assert not (tmp_path / "deleted").exists()


def test_a_log_that_can_not_be_written_at_the_end_leaves_the_pod_to_be_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent pod of an orphan: its success can be reported to nobody, and the next try has to find it."""

    def fail(text: str) -> None:
        if "has ended" in text:
            raise BrokenPipeError

    kubectl = kubectl_that(tmp_path, monkeypatch, create=says(SUCCEEDED), delete=f"touch {tmp_path}/deleted")
    with pytest.raises(BrokenPipeError):
        PodRun(kubectl, pod(0, {}), startup_timeout=30, timeout=30, on_line=None, note=fail).run()
    assert not (tmp_path / "deleted").exists()


@pytest.mark.parametrize(
    ("even_succeeded", "deleted"), [pytest.param(False, False, id="a-timeout"), pytest.param(True, True, id="a-person")]
)
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "found"])
def test_a_success_is_thrown_away_only_by_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, even_succeeded: bool, deleted: bool, seen: bool
) -> None:
    """Where the watch has not told of the end yet, the deletion of the running pod is refused, and the pod is looked at."""
    said: list[str] = []
    changed = pod(5, SUCCEEDED["status"], uid="one", **OURS)
    conflict = """echo 'Error from server (Conflict): the ResourceVersion in the precondition (1) does not match' >&2; exit 1"""
    kubectl = kubectl_that(
        tmp_path,
        monkeypatch,
        create=says(changed if seen else pod(1, RUNNING, uid="one", **OURS)),
        watch="exec sleep 20",
        get=says(changed),
        log=LINE,
        rest=LINE,
        delete=f"""grep -q '"resourceVersion": "5"' || {{ {conflict}; }}; touch {tmp_path}/deleted""",
    )

    def time_out(_: str) -> None:
        raise TimeoutError

    running = PodRun(kubectl, pod(0, {}, **OURS), startup_timeout=30, timeout=30, on_line=time_out, note=said.append)
    with pytest.raises(TimeoutError):
        running.run()
    running.abandon(even_succeeded=even_succeeded)
    assert (tmp_path / "deleted").exists() is deleted
    assert ("the next try collects its result" in said[-1]) is not deleted


def test_a_kill_that_nobody_decided_leaves_the_pod_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    kubectl = kubectl_that(
        tmp_path, monkeypatch, create=says(pod(1, RUNNING)), watch="exec sleep 20", delete=f"touch {tmp_path}/deleted"
    )
    running = PodRun(
        kubectl,
        pod(0, {}),
        startup_timeout=30,
        timeout=30,
        on_line=None,
        note=said.append,
        judge_kill=lambda: Verdict(False, "Airflow has it as running"),
    )
    run_and_kill(running, tmp_path)
    assert not (tmp_path / "deleted").exists()
    assert "is left as it is: Airflow has it as running" in said[-1]
    assert "30 s (activeDeadlineSeconds)" in said[-1]


def test_a_kill_is_judged_by_the_run_and_not_by_the_signal_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it interrupts may hold the lock that the question to Airflow needs."""
    asking, judged = threading.Lock(), []

    def judge() -> Verdict:
        judged.append(asking.acquire(timeout=1))
        return Verdict(False, "nobody decided it")

    def interrupted(_: str) -> None:
        with asking:
            signal.raise_signal(signal.SIGUSR1)

    kubectl = kubectl_that(tmp_path, monkeypatch, create=says(pod(1, RUNNING)), watch="sleep 9", log=LINE)
    running = PodRun(
        kubectl, pod(0, {}), startup_timeout=30, timeout=30, on_line=interrupted, note=lambda _: None, judge_kill=judge
    )
    before = signal.signal(signal.SIGUSR1, lambda *_: running.kill())
    try:
        with pytest.raises(PodKilled):
            running.run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert judged == [True]


# --- an API server that was away ---


def test_an_api_server_that_is_back_is_asked_within_two_seconds_however_long_it_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pause grows while it is away: the eighth attempt comes as soon after the seventh as the second after the first."""
    result, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        get=f"if [ $n -lt 8 ]; then echo 'The connection to the server was refused' >&2; exit 1; fi; {says(SUCCEEDED)}",
        watch="echo 'error: unexpected EOF' >&2; exit 1",
    )
    assert result.outcome.end is End.SUCCEEDED
    assert "The API server answers again" in said
    pauses = [int(pause) for note in said for pause in re.findall(r"next attempt in (\d+) s", note)]
    assert len(pauses) == 8
    assert max(pauses) < 2


def test_a_watch_asks_for_no_version_and_begins_with_the_pod_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restarted API server answers the version of a pod that it has not heard of yet with 410, again and again."""
    result, _ = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        watch=f'[[ "$*" != *resourceVersion* ]] || exit 1; {says({"type": "ADDED", "object": SUCCEEDED})}; sleep 9',
        get="exit 1",
    )
    assert result.outcome.end is End.SUCCEEDED


def test_a_watch_that_begins_with_no_pod_was_opened_after_its_deletion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_WATCH_BEGINS", 0.5)
    result, _ = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        watch="exec sleep 20",
        get="""echo 'Error from server (NotFound): pods "collect" not found' >&2; exit 1""",
    )
    assert result.outcome.reason == "Deleted"


def test_an_older_state_of_a_pod_that_runs_is_no_start_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch of another API server may begin with what that one has in its cache."""
    pending = {"type": "ADDED", "object": pod(1, {"phase": "Pending"})}
    kubectl = kubectl_that(
        tmp_path,
        monkeypatch,
        create=says(pod(2, RUNNING)),
        watch=f"{says(pending)}; sleep 3; {says({'type': 'MODIFIED', 'object': SUCCEEDED})}; sleep 9",
    )
    result = PodRun(kubectl, pod(0, {}), startup_timeout=1, timeout=30, on_line=None, note=print).run()
    assert result.outcome.end is End.SUCCEEDED


def test_a_kill_after_the_end_deletes_no_pod_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = kubectl_that(tmp_path, monkeypatch, create=says(SUCCEEDED), delete="echo '{}'; touch $(dirname $0)/$3-ed")
    keeping = PodRun(kubectl, pod(0, {}), startup_timeout=30, timeout=30, on_finish_action="keep_pod", on_line=None, note=print)
    keeping.run()
    keeping.kill()
    assert [path.name for path in tmp_path.glob("*-ed")] == ["replace-ed"]
