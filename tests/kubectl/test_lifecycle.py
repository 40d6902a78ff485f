"""What a pod's life makes of the events it is told, where neither the local pods nor a cluster tell them just so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.lifecycle import Ended, PodRun
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
    monkeypatch.setenv("KUBECTL", str(script))
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
    monkeypatch.setenv("KUBECTL", str(script))
    notes: list[str] = []
    kubectl = Kubectl({}, "default", "collect")
    keeping = PodRun(
        kubectl, pod(0, {}), startup_timeout=10, timeout=10, on_finish_action="keep_pod", on_line=None, note=notes.append
    )
    assert keeping.run().outcome.end is End.SUCCEEDED
    assert any("could not be marked as collected" in note for note in notes)
