"""The worker's driver of a pod's life: its waits, its log, what it says and a kill, with kubectls that behave badly."""

from __future__ import annotations

import json
import os
import shlex
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from plugins.scripted import ScriptedKubectl

from airflow_provider_dagconfig.kubectl.annotations import task_annotations
from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.ends import (
    Ended,
    PodEnd,
    PodFailed,
    PodNotCreated,
    PodOutOfReach,
    PodRefused,
    PodStopped,
    PodTakenOver,
)
from airflow_provider_dagconfig.kubectl.errors import Fault
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.kubectl.outcome import End
from airflow_provider_dagconfig.kubectl.pod_life import Limits
from airflow_provider_dagconfig.kubectl.release import Kill, Why

LIMITS = Limits(startup_timeout=30, timeout=30)
SPEC = {"containers": [{"name": "base", "image": "busybox"}]}
RUNNING = {"containerStatuses": [{"name": "base", "state": {"running": {}}}], "phase": "Running"}


def pod(version: int, status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "collect", "resourceVersion": str(version), **metadata}, "spec": SPEC, "status": status}


def ended(exit_code: int, finished: str, phase: str) -> dict[str, Any]:
    terminated = {"exitCode": exit_code, "reason": "Completed", "finishedAt": finished}
    return {"containerStatuses": [{"name": "base", "state": {"terminated": terminated}}], "phase": phase}


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


def run_with(folder: Path, monkeypatch: pytest.MonkeyPatch, **answers: str) -> tuple[Ended, list[str]]:
    """Run with a kubectl that returns these answers, and finish; return the end, whether it is a success or not."""
    said: list[str] = []
    kubectl = kubectl_that(folder, monkeypatch, **answers)
    on_line = said.append if "log" in answers else None
    pod_run = PodRun(kubectl, pod(0, {}, **OURS), LIMITS, on_line=on_line, note=said.append)
    try:
        ended = pod_run.run()
    except PodFailed as failed:
        ended = failed.ended
    pod_run.finish()
    return ended, said


LINE_OF_ANOTHER = "echo '2026-11-23T02:00:05Z a line of another pod'; sleep 5"
OURS = {"annotations": task_annotations("collection", "run", "collect")}


def says(document: Any) -> str:
    return f"printf '%s\\n' {shlex.quote(json.dumps(document))}"


SUCCEEDED = pod(3, ended(0, "2026-11-23T02:00:01Z", "Succeeded"))


# --- each end has its class ---


def scripted(limits: Limits = LIMITS, **answers: Any) -> PodRun:
    return PodRun(ScriptedKubectl(**answers), pod(0, {}, **OURS), limits, on_line=None, note=lambda _: None)


THEIRS = pod(1, RUNNING, annotations=task_annotations("collection", "run", "collect", try_number=2))


@pytest.mark.parametrize(
    ("run", "end", "says"),
    [
        pytest.param(
            scripted(create=[pod(1, ended(3, "2026-11-23T02:00:01Z", "Failed"))]), PodFailed, "exited (Completed)", id="failed"
        ),
        pytest.param(scripted(create=[Fault.FORBIDDEN]), PodRefused, "forbidden", id="refused"),
        pytest.param(scripted(create=[pod(1, RUNNING)], watch=[Fault.FORBIDDEN]), PodRefused, "forbidden", id="refused-later"),
        pytest.param(
            scripted(Limits(startup_timeout=0, timeout=30), create=[Fault.UNREACHABLE]),
            PodNotCreated,
            "not created in startup_timeout_seconds = 0: the API server can't be reached: unreachable",
            id="not-created",
        ),
        pytest.param(
            scripted(Limits(0, 0.2, 0, node_answers=0), create=[pod(1, RUNNING)], watch=[Fault.UNREACHABLE]),
            PodOutOfReach,
            "the API server could not be reached until the deadline (timeout_seconds = 0.2): unreachable",
            id="out-of-reach",
        ),
        pytest.param(
            scripted(create=[Fault.ALREADY_EXISTS], get=[THEIRS]), PodTakenOver, "is a later try's, try 2's", id="a-later-trys"
        ),
        pytest.param(scripted(create=[THEIRS]), PodTakenOver, "try 2 has adopted it, and goes on with it", id="taken-over"),
    ],
)
def test_a_run_without_success_ends_with_what_happened(run: PodRun, end: type[PodEnd], says: str) -> None:
    with pytest.raises(end) as raised:
        run.run()
    assert says in str(raised.value)


def test_a_start_that_takes_too_long_says_what_the_pods_events_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warning = {"type": "Warning", "reason": "FailedMount", "message": "no volume", "lastTimestamp": "2026-11-23T02:00:01Z"}
    kubectl = kubectl_that(
        tmp_path,
        monkeypatch,
        create=says(pod(1, {"phase": "Pending"})),
        watch="sleep 9",
        get=says({"items": [warning, {**warning, "message": "an older one", "lastTimestamp": "2026-11-23T02:00:00Z"}]}),
    )
    limits = Limits(startup_timeout=0, timeout=30)
    with pytest.raises(PodFailed) as failed:
        PodRun(kubectl, pod(0, {}, **OURS), limits, on_line=None, note=print).run()
    assert failed.value.outcome.message == "not started after startup_timeout_seconds = 0: FailedMount: no volume"


def test_a_task_that_was_told_to_stop_before_makes_and_adopts_nothing() -> None:
    kubectl = ScriptedKubectl(get=[Fault.NOT_FOUND])
    run = PodRun(kubectl, pod(0, {}, **OURS), LIMITS, on_line=None, note=print)
    run.kill()
    with pytest.raises(PodStopped):
        run.run()
    assert kubectl.asked.requests == ["get collect"]


# --- a watch that tells no events ---


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


# --- a log that does not come as it should ---


def test_a_large_log_that_stalls_at_its_end_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an old kubelet, which keeps reading the file that was rotated away."""
    write = "for i in $(seq 1200); do printf '2026-11-23T02:00:00.%09dZ %s %01000d\\n' $i line 0; done"
    _, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        watch=f"sleep 2; {says({'type': 'MODIFIED', 'object': SUCCEEDED})}; sleep 30",
        get=says(SUCCEEDED),
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
        get=says(SUCCEEDED),
        log=f'for i in 1 2 3; do echo "$({stamp}) line $i" | tee -a {tmp_path}/written; sleep 1.4; done',
        rest=f'cat {tmp_path}/written; echo "$({stamp}) line 4"',
    )
    assert [line for line in said if line.startswith("line")] == [f"line {number}" for number in range(1, 4 + asks_again)]


# --- a pod that is not as this try would have made it ---


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


@pytest.mark.parametrize("follows", [True, False], ids=["while-it-runs", "after-its-end"])
def test_no_line_of_another_pod_is_taken_where_a_log_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    """A worker that was frozen finds its log broken, and in the pod's name its successor's pod."""
    end = {"type": "MODIFIED", "object": pod(2, SUCCEEDED["status"], uid="one")}
    result, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING, uid="one")),
        watch=f"sleep 1; {'exec sleep 20' if follows else says(end)}; sleep 20",
        log=f"[ $n = 1 ] || {{ {LINE_OF_ANOTHER}; }}; echo '2026-11-23T02:00:00Z a line'; "
        + ("sleep 0.2; echo 'error: unexpected EOF' >&2; exit 1" if follows else "sleep 2; echo 'error: EOF' >&2; exit 1"),
        rest=LINE_OF_ANOTHER,
        get=says(pod(7, RUNNING, uid="two")),
    )
    assert [line for line in said if "line" in line] == ["a line"]
    assert result.outcome.end is (End.CLUSTER if follows else End.SUCCEEDED)


def test_a_look_that_is_refused_after_a_success_costs_the_end_of_the_log_and_not_the_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = {"type": "MODIFIED", "object": pod(2, SUCCEEDED["status"], uid="one")}
    result, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING, uid="one")),
        watch=f"sleep 1; {says(end)}; sleep 20",
        log="echo '2026-11-23T02:00:00Z a line'; sleep 2; echo 'error: EOF' >&2; exit 1",
        rest="sleep 5",
        get="echo 'Error from server (Forbidden): pods is forbidden' >&2; exit 1",
    )
    assert result.outcome.end is End.SUCCEEDED
    assert "The end of the log can't be read: pods is forbidden" in said


def test_a_kubeconfig_that_is_being_written_ends_no_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its credentials are renewed; a watch that ends just then, and the look after it, find it cut."""
    torn = "echo 'error: error loading config file \"/c\": yaml: line 4: did not find expected key' >&2; exit 1"
    result, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING)),
        watch=f"if [ $n = 1 ]; then {says({'type': 'MODIFIED', 'object': pod(2, RUNNING)})}; exit 0; fi; {torn}",
        get=f"if [ $n -lt 4 ]; then {torn}; fi; {says(pod(3, SUCCEEDED['status']))}",
    )
    assert result.outcome.end is End.SUCCEEDED
    assert any("Kubectl can't make the request" in line and "did not find expected key" in line for line in said)


def test_a_reopened_log_continues_if_the_pod_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = {"type": "MODIFIED", "object": pod(2, SUCCEEDED["status"], uid="one")}
    one, two = "echo '2026-11-23T02:00:00Z one'", "echo '2026-11-23T02:00:01Z two'"
    _, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, RUNNING, uid="one")),
        watch=f"sleep 4; {says(end)}; sleep 20",
        log=f"{one}; [ $n = 2 ] || {{ echo 'error: EOF' >&2; exit 1; }}; {two}; sleep 9",
        rest=f"{one}; {two}",
        get=says(pod(1, RUNNING, uid="one")),
    )
    assert [line for line in said if line in ("one", "two")] == ["one", "two"]


def test_the_runtimes_sentence_at_the_end_of_a_log_is_not_the_jobs_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpc = "rpc error: code = NotFound desc = an error occurred when try to find container"
    has_ended, said = run_with(
        tmp_path,
        monkeypatch,
        create=says(pod(1, ended(3, "2026-11-23T02:00:01Z", "Failed"))),
        log=":",
        rest=f"echo '2026-11-23T02:00:00Z no such market'; printf '{rpc}'",
    )
    assert [line for line in said if "market" in line or "rpc" in line] == ["no such market", f"[Not from the job: {rpc}]"]
    assert has_ended.last_lines == ("no such market",)


# --- the result first, then the deletion ---


def test_a_pod_that_has_succeeded_is_left_until_its_success_was_reported() -> None:
    kubectl = ScriptedKubectl(create=[SUCCEEDED])
    run = PodRun(kubectl, pod(0, {}, **OURS), LIMITS, on_line=None, note=lambda _: None)
    run.run()
    run.kill()
    run.abandon(Why.PERSON)
    assert kubectl.asked.requests == ["create collect"], "whoever stops the task now, its result is not lost"
    run.finish()
    assert kubectl.asked.requests == ["create collect", "delete collect"]


def test_a_pod_without_a_success_has_nothing_to_collect_and_is_deleted_at_once() -> None:
    kubectl = ScriptedKubectl(create=[pod(1, ended(3, "2026-11-23T02:00:01Z", "Failed"))])
    with pytest.raises(PodFailed):
        PodRun(kubectl, pod(0, {}, **OURS), LIMITS, on_line=None, note=lambda _: None).run()
    assert kubectl.asked.requests == ["create collect", "delete collect"]


# --- a run that is killed ---


def test_a_kill_logs_nothing_until_the_interrupted_code_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    running = PodRun(kubectl, pod(0, {}), LIMITS, on_line=write, note=write)
    before = signal.signal(signal.SIGUSR1, lambda *_: running.kill())
    try:
        with pytest.raises(PodStopped):
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
        with pytest.raises(PodStopped):
            running.run()
    finally:
        beside.join()
        signal.signal(signal.SIGUSR1, before)


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
        LIMITS,
        on_line=None,
        note=lambda text: "Not created" in text and running.kill(),
    )
    with pytest.raises(PodStopped):
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
        PodRun(kubectl, pod(0, {}), LIMITS, **broken).run()  # type: ignore[arg-type]
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
        PodRun(kubectl, pod(0, {}), LIMITS, on_line=None, note=fail).run()
    assert not (tmp_path / "deleted").exists()


def test_a_kill_that_nobody_decided_leaves_the_pod_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    kubectl = kubectl_that(
        tmp_path, monkeypatch, create=says(pod(1, RUNNING)), watch="exec sleep 20", delete=f"touch {tmp_path}/deleted"
    )
    running = PodRun(
        kubectl,
        pod(0, {}),
        LIMITS,
        on_line=None,
        note=said.append,
        judge_kill=lambda: Kill(False, "the task's state in Airflow is running"),
    )
    run_and_kill(running, tmp_path)
    assert not (tmp_path / "deleted").exists()
    assert "is left as it is: the task's state in Airflow is running" in said[-1]
    assert "30 s (activeDeadlineSeconds)" in said[-1]


def test_a_kill_is_judged_by_the_run_and_not_by_the_signal_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupted code may hold the lock that the request to Airflow needs."""
    asking, judged = threading.Lock(), []

    def judge() -> Kill:
        judged.append(asking.acquire(timeout=1))
        return Kill(False, "nobody decided it")

    def interrupted(_: str) -> None:
        with asking:
            signal.raise_signal(signal.SIGUSR1)

    kubectl = kubectl_that(tmp_path, monkeypatch, create=says(pod(1, RUNNING)), watch="sleep 9", log=LINE)
    running = PodRun(kubectl, pod(0, {}), LIMITS, on_line=interrupted, note=lambda _: None, judge_kill=judge)
    before = signal.signal(signal.SIGUSR1, lambda *_: running.kill())
    try:
        with pytest.raises(PodStopped):
            running.run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert judged == [True]


def test_a_kill_after_the_end_deletes_no_pod_that_is_kept() -> None:
    kubectl = ScriptedKubectl(create=[SUCCEEDED])
    keeping = PodRun(kubectl, pod(0, {}), LIMITS, on_finish_action="keep_pod", on_line=None, note=print)
    keeping.run()
    keeping.finish()
    keeping.kill()
    keeping.abandon(Why.PERSON)
    assert kubectl.asked.requests == ["create collect", "replace collect"]
