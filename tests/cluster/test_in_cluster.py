"""
Tasks whose worker and triggerer are pods of the cluster, with what a pod has and the documented Role, as with KubernetesExecutor.

Each part of a task runs in a pod that ends with it: the whole task; or what comes before its deferral, its trigger, and the rest.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugins.cluster import Namespace, is_running
from plugins.kubernetes_rights import documented_rights, request_token, server_of
from plugins.postgres import Database
from plugins.processes import requests_of
from plugins.worker_pods import PROJECTED, WorkerPods
from plugins.workers import wait_until

ACCOUNT = "airflow-worker"
FOR_EVER = ("sleep", "600")
UNTIL_TOLD = ("sh", "-c", "until [ -e /go/go ]; do sleep 0.1; done; echo once")
"""Runs until the test's folder has a file ``go``; see ``waiting_for``."""

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        "CLUSTER_CONTROL" not in os.environ or os.geteuid() != 0,
        reason="no CLUSTER_CONTROL, or not root: the workers' pods need a node that is this machine, and this machine's files",
    ),
]


@pytest.fixture
def namespace(real_namespace: Namespace) -> Iterator[Namespace]:
    """A namespace with the documented service account and its rights."""
    with documented_rights(real_namespace):
        yield real_namespace


@pytest.fixture
def pods(store: Database, namespace: Namespace, tmp_path: Path) -> WorkerPods:
    return WorkerPods(namespace, store, ACCOUNT, tmp_path, PROJECTED)


def test_a_task_runs_with_what_a_pod_has(pods: WorkerPods) -> None:
    task = pods.run("worker", "echo", "from inside", namespace=None)
    assert (task["state"], task["error"], task["log"].count("from inside")) == ("success", "", 1)
    assert [pod["metadata"]["name"] for pod in pods.namespace.pods()] == ["worker"]


def test_a_deferred_task_does_and_so_does_its_triggerer(pods: WorkerPods) -> None:
    job: dict[str, Any] = {"namespace": None, "in_cluster": True, "deferrable": True}
    command = ("sh", "-c", "sleep 3; echo from inside")
    first = pods.run("worker-1", *command, **job)
    pods.start_trigger("triggerer", first["left"])
    event = pods.result("triggerer")
    last = pods.run("worker-2", *command, **job, left=first["left"], event=event)
    assert (first["state"], event["kind"], last["state"]) == ("deferred", "ended", "success")
    assert last["log"].count("from inside") == 1
    assert {pod["metadata"]["name"] for pod in pods.namespace.pods()} == {"worker-1", "triggerer", "worker-2"}


@pytest.mark.parametrize("end", ["deleted", "killed"])
def test_a_workers_pod_that_ends_leaves_the_jobs_pod_to_the_next_try(pods: WorkerPods, end: str) -> None:
    """Nobody decided that the task ends where a node is drained, or a worker needs more memory than its pod has."""
    job = waiting_for(pods.folder)
    pods.start("worker-1", *UNTIL_TOLD, **job)
    made = pods.namespace.wait_for_pod(is_job_that_runs)
    (pods.delete if end == "deleted" else pods.kill)("worker-1")
    pods.start("worker-2", *UNTIL_TOLD, **job, try_number=2)
    adopted = pods.namespace.wait_for_pod(lambda pod: '/try-number": "2"' in json.dumps(pod))
    (pods.folder / "go").touch()
    task = pods.result("worker-2")
    assert adopted["metadata"]["uid"] == made["metadata"]["uid"]
    assert (task["state"], task["log"].count("once")) == ("success", 1)
    if end == "deleted":
        assert any("nobody decided that" in line for line in pods.result("worker-1")["log"])


def test_a_workers_pod_that_is_deleted_since_its_task_was_marked_deletes_the_jobs_pod(pods: WorkerPods) -> None:
    """KubernetesExecutor deletes the pod of a task that somebody marked or cleared."""
    pods.start("worker", *FOR_EVER, namespace=None, termination_grace_period=1, state_in_airflow="failed")
    pods.namespace.wait_for_pod(is_job_that_runs)
    pods.delete("worker")
    assert pods.result("worker")["state"] == "failed"
    assert pods.namespace.left() == []


def test_a_token_that_is_renewed_while_a_task_is_deferred_is_read_again(
    store: Database, namespace: Namespace, tmp_path: Path
) -> None:
    """The triggerer's token is refused from one moment on, and the kubelet writes the next one right after that."""
    account = tmp_path / "account"
    account.mkdir()
    namespace.create_secret("first", why="a token that is bound to it ends with it")
    token = request_token(namespace, ACCOUNT, {"kind": "Secret", "apiVersion": "v1", "name": "first"})
    (account / "token").write_text(token)
    (account / "renewed").write_text(request_token(namespace, ACCOUNT))
    (account / "namespace").write_text(namespace.name)
    (account / "ca.crt").write_bytes(server_of(namespace).ca)
    pods = WorkerPods(namespace, store, ACCOUNT, tmp_path, {"hostPath": {"path": str(account)}})
    first = pods.run("worker", *UNTIL_TOLD, **waiting_for(tmp_path), in_cluster=True, deferrable=True)
    kubectl = tmp_path / "kubectl"
    renew = f"[ ! -e {account}/renewed ] || mv {account}/renewed {account}/token"
    kubectl.write_text(f'#!/bin/bash\nkubectl "$@" && exit\ncode=$?\n[ ! -e {tmp_path}/refused ] || {renew}\nexit $code\n')
    kubectl.chmod(0o755)
    pods.start_trigger("triggerer", first["left"], AIRFLOW__DAGCONFIG__KUBECTL=str(kubectl))
    watch = f"namespaces/{namespace.name}/pods?watch=true&allowWatchBookmarks"
    wait_until(lambda: list(requests_of(watch)), "the triggerer watches")
    namespace.cluster.kubectl("-n", namespace.name, "delete", "secret", "first")
    wait_until(lambda: not server_of(namespace).accepts(token), "the token is refused")
    (tmp_path / "refused").touch()
    for pid in requests_of(watch):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not (account / "renewed").exists(), "the triggerer asks with the old token")
    wait_until(lambda: list(requests_of(watch)), "the triggerer watches again")
    (tmp_path / "go").touch()
    assert pods.result("triggerer")["outcome"]["reason"] == "Completed"


def waiting_for(folder: Path) -> dict[str, Any]:
    """The arguments of a job that sees this folder as /go, and so can wait for a file there."""
    return {
        "namespace": None,
        "termination_grace_period": 1,
        "volumes": [{"name": "go", "hostPath": {"path": str(folder)}}],
        "volume_mounts": [{"name": "go", "mountPath": "/go"}],
    }


def is_job_that_runs(pod: dict[str, Any]) -> bool:
    """Whether it is no pod of Airflow's own."""
    return "job_name" in pod["metadata"].get("labels", ()) and is_running(pod)
