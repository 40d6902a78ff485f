"""
The clusters for the operator's tests: always the local pods, and the real one that KUBECONFIG names.

The same test runs on both. A test that needs a real cluster has the marker ``cluster`` and uses ``real_cluster``. A test that
freezes or kills a component uses ``components``, which runs the command in CLUSTER_CONTROL (``COMMAND freeze kubelet``).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

KUBECONFIG = os.environ.get("KUBECONFIG")


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers kubectl."""

    kubeconfig: str
    is_real: bool

    def kubectl(self, *arguments: str, body: Any = None, check: bool = True) -> str:
        """Run kubectl with the administrator's credentials; return its standard output."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", self.kubeconfig, *arguments],
            input=None if body is None else json.dumps(body),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def get(self, path: str) -> Any:
        """Return what is at a path of the API."""
        return json.loads(self.kubectl("get", "--raw", path)) if self.is_real else _of_local_pods(self.kubeconfig).ask("GET", path)

    def create_namespace(self, name: str) -> None:
        """
        Create a namespace.

        :raises AssertionError: it was refused.
        """
        if self.is_real:
            self.kubectl("create", "namespace", name, "-o", "name")
        else:
            manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            _of_local_pods(self.kubeconfig).ask("POST", "/api/v1/namespaces", manifest)

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace, with all that is in it; do not wait for the end."""
        if self.is_real:
            self.kubectl("delete", "namespace", name, "--wait=false", check=False)
        else:
            _of_local_pods(self.kubeconfig).ask("DELETE", f"/api/v1/namespaces/{name}")


@dataclass(frozen=True)
class _LocalApi:
    """
    The local pods' API without kubectl, each process of which takes a tenth of a second of CPU time.

    For what surrounds the tests, such as their namespaces and what they wait for; it needs their kubeconfig's token.
    """

    host: str
    token: str
    trust: ssl.SSLContext

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """
        Make one request; return what the answer holds.

        :raises AssertionError: it was refused.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with closing(HTTPSConnection(self.host, timeout=60, context=self.trust)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        assert answer.status < 300, f"{method} {path}: {text}"
        return json.loads(text)


@cache
def _of_local_pods(kubeconfig: str) -> _LocalApi:
    written = yaml.safe_load(Path(kubeconfig).read_text())
    cluster, user = written["clusters"][0]["cluster"], written["users"][0]["user"]
    certificate = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return _LocalApi(urlsplit(cluster["server"]).netloc, user["token"], ssl.create_default_context(cadata=certificate))


@dataclass(frozen=True)
class Namespace:
    """A namespace for one test."""

    cluster: Cluster
    name: str

    @property
    def kubeconfig(self) -> str:
        return self.cluster.kubeconfig

    def pods(self) -> list[dict[str, Any]]:
        """Return all its pods, including those that are being deleted."""
        items: list[dict[str, Any]] = self.cluster.get(self.path)["items"]
        return items

    def left(self) -> list[str]:
        """Return the names of its pods that nobody has asked to delete."""
        return [pod["metadata"]["name"] for pod in self.pods() if "deletionTimestamp" not in pod["metadata"]]

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.name}/pods"

    def attempts(self, written: bytes) -> Iterator[int]:
        """
        Yield the numbers of the attempts to run a pod that writes this right before it ends, until the node has kept all of it.

        The caller leaves the pod there. containerd may close a container's output before it has read all of it (observed with
        1.6.20 of Debian 12: "Failed to pipe stdout of container ... file already closed", in 8 of 81 pods on a busy node). The
        kubelet never had the rest, so the newest pod's whole log is read after each attempt. With local pods there is one attempt.
        """
        kept = b""
        for attempt in range(8 if self.cluster.is_real else 1):
            yield attempt
            newest = max(self.pods(), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))["metadata"]["name"]
            command = ["kubectl", "--kubeconfig", self.kubeconfig, "get", "--raw", f"{self.path}/{newest}/log"]
            kept = subprocess.run(command, capture_output=True, check=True).stdout
            if kept == written:
                return
        raise AssertionError(f"{len(written)} bytes were written, and {len(kept)} kept: {kept[:99]!r} ... {kept[-99:]!r}")

    def create_secret(self, name: str, **values: str) -> None:
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        self.cluster.kubectl("create", "--raw", f"/api/v1/namespaces/{self.name}/secrets", "-f", "-", body=manifest)

    def wait_for_pod(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
        """Wait until one of its pods meets a condition; return the pod."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for pod in self.pods():
                if condition(pod):
                    return pod
            time.sleep(0.1)
        raise AssertionError(f"no such pod in {seconds} s; there are {json.dumps(self.pods())[:2000]}")

    def wait_until_empty(self, seconds: float = 120) -> None:
        """Wait until its pods are gone: a busy kubelet needs longer than their grace periods."""
        deadline = time.monotonic() + seconds
        while pods := self.pods():
            assert time.monotonic() < deadline, f"still there: {[pod['metadata']['name'] for pod in pods]}"
            time.sleep(0.2)


def is_running(pod: dict[str, Any]) -> bool:
    return any("running" in status["state"] for status in pod["status"].get("containerStatuses", ()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a cluster, skip the tests that need one, before any of their fixtures is set up."""
    if KUBECONFIG:
        return
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason="no KUBECONFIG: these tests need a real Kubernetes cluster"))


def _real() -> Cluster:
    assert KUBECONFIG, "a test of the real cluster needs the marker `cluster`"
    return Cluster(KUBECONFIG, is_real=True)


@pytest.fixture(scope="session")
def real_cluster() -> Cluster:
    """The cluster in KUBECONFIG."""
    return _real()


@pytest.fixture(scope="session", params=["local-pods", pytest.param("cluster", marks=pytest.mark.cluster)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The local pods, then the real cluster."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on this machine")
    if request.param == "cluster":
        return _real()
    return Cluster(str(request.getfixturevalue("local_pods").kubeconfig), is_real=False)


def _new_namespace(cluster: Cluster) -> Iterator[Namespace]:
    name = f"dagconfig-test-{uuid.uuid4().hex[:8]}"
    # A cluster that the last test has disturbed may need a moment.
    deadline = time.monotonic() + 120
    while True:
        try:
            cluster.create_namespace(name)
            break
        except (AssertionError, OSError):
            if time.monotonic() >= deadline:
                raise
            time.sleep(1)
    # A pod is refused until the namespace has its service account.
    while cluster.is_real and not cluster.kubectl("-n", name, "get", "serviceaccount", "default", "-o", "name", check=False):
        assert time.monotonic() < deadline, "the namespace got no service account"
        time.sleep(0.1)
    try:
        yield Namespace(cluster, name)
    finally:
        cluster.delete_namespace(name)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace on the local pods, then one on the real cluster."""
    yield from _new_namespace(cluster)


@pytest.fixture(scope="module")
def shared_namespace(cluster: Cluster) -> Iterator[Namespace]:
    """Like `namespace`, but one for all tests of a file."""
    yield from _new_namespace(cluster)


@pytest.fixture
def real_namespace(real_cluster: Cluster) -> Iterator[Namespace]:
    """A namespace on the real cluster."""
    yield from _new_namespace(real_cluster)


@pytest.fixture(scope="module")
def real_cluster_namespace(real_cluster: Cluster) -> Iterator[Namespace]:
    """Like `real_namespace`, but one for all tests of a file."""
    yield from _new_namespace(real_cluster)


@dataclass
class Components:
    """Faults of the cluster's components."""

    command: str

    def __call__(self, action: str, component: str) -> None:
        subprocess.run([self.command, action, component], check=True, capture_output=True)

    def up(self) -> None:
        subprocess.run([self.command, "up"], check=True, capture_output=True)


@pytest.fixture
def components(real_cluster: Cluster) -> Iterator[Components]:
    """Freeze, thaw and kill components; after the test everything is restored."""
    command = os.environ.get("CLUSTER_CONTROL")
    if not command:
        pytest.skip("no CLUSTER_CONTROL: this test freezes components of the cluster, and needs the command that does it")
    yield Components(command)
    for component in ("etcd", "kube-apiserver", "kubelet", "kube-controller-manager", "kube-scheduler"):
        subprocess.run([command, "thaw", component], check=False, capture_output=True)
    subprocess.run([command, "up"], check=True, capture_output=True)
