"""A worker that is killed outright, so that it can end nothing: what is left of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins.cluster import Namespace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process group that a pipe has ended")

RUNS = """
import json, sys
from airflow_provider_dagconfig.kubectl.access import resolve_access
from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.kubectl.pod_life import Limits

config, manifest = json.loads(sys.stdin.read())
with resolve_access({"kube_config": config}, connection="kubernetes_default").environment() as environment:
    kubectl = Kubectl(environment, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
    PodRun(kubectl, manifest, Limits(60, 300), on_line=lambda line: print(line, flush=True), note=lambda _: None).run()
"""

ASKS = RUNS.replace("PodRun(kubectl", "kubectl.get() and PodRun(kubectl")


@contextmanager
def worker(script: str, folder: Path, *given: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process with a separate folder for temporary files; it reads JSON from standard input."""
    environment = {**os.environ, "TMPDIR": str(folder), "MARK": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def processes_of(folder: Path) -> dict[int, str]:
    """The processes that a worker with this folder has started, itself left out: each with its command."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            environment, command = ((entry / name).read_bytes().split(b"\0") for name in ("environ", "cmdline"))
        except OSError:
            continue
        if f"MARK={folder}".encode() in environment and b"-c" not in command[:2]:
            found[int(entry.name)] = b" ".join(command).decode()
    return found


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_no_kubectl_outlives_a_worker_that_is_killed_and_no_credentials_are_left(namespace: Namespace, tmp_path: Path) -> None:
    """The pod stays, quiet, with its watch and its log open: the next try adopts it."""
    config = yaml.safe_load(Path(namespace.kubeconfig).read_text())
    command = ["sh", "-c", "echo begun; sleep 300"]
    container = {"name": "base", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent", "command": command}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "collect", "namespace": namespace.name},
        "spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 300, "containers": [container]},
    }
    with worker(RUNS, tmp_path, config, manifest) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        wait_until(lambda: len(processes_of(tmp_path)) >= 2)
        process.kill()
        process.wait()
        wait_until(lambda: not processes_of(tmp_path))
    assert not list(tmp_path.iterdir())


def test_no_kubectl_begins_for_a_worker_that_is_killed_before_it_could_be_tied_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\n>{tmp_path}/begun\nsleep 300\n")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    dies = "import os; from airflow_provider_dagconfig.kubectl.lifeline import Lifeline\n"
    dies += "Lifeline.tie = lambda *_: os.kill(os.getpid(), 9)\n"
    (folder := tmp_path / "tmp").mkdir()
    with worker(dies + ASKS, folder, {"clusters": [{"name": "c"}]}, {"metadata": {"name": "x", "namespace": "y"}}) as process:
        assert process.wait(60) == -9
        wait_until(lambda: not processes_of(folder))
    assert not (tmp_path / "begun").exists()
    assert not list(folder.iterdir())


def test_no_credential_plugin_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    plugin, begun = tmp_path / "plugin", tmp_path / "begun"
    plugin.write_text(f"#!/bin/sh\n>{begun}\nsleep 300\n")
    plugin.chmod(0o755)
    login = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": str(plugin), "interactiveMode": "Never"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"exec": login}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder := tmp_path / "tmp").mkdir()
    with worker(ASKS, folder, config, {"metadata": {"name": "collect", "namespace": "jobs"}}) as process:
        wait_until(begun.exists)
        assert processes_of(folder)
        process.kill()
        process.wait()
        wait_until(lambda: not processes_of(folder))
    assert not list(folder.iterdir())
