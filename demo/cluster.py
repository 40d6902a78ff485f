"""
The cluster for the demo's pods: the one in KUBECONFIG, or local pods; and the objects that the example DAGs need in it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_dagconfig.kubectl.annotations import annotation
from demo import local_pods, processes

NAMESPACE = "financial-screener"
_NAMESPACE_PATH = f"/api/v1/namespaces/{NAMESPACE}"
IMAGE = "financial-data-collector:latest"
RUN_ID_PREFIX = "demo_"
COLLECTOR = Path(__file__).parent / "collector"
_PROBE: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "dagconfig-demo-image-", "labels": {"app": "data-collector", "job-type": "demo"}},
    "spec": {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 60,
        "containers": [
            {
                "name": "base",
                "image": IMAGE,
                "imagePullPolicy": "Never",
                "command": ["python", "/app/src/main_enhanced.py", "--help"],
            }
        ],
    },
}
_PROBE_SECONDS = 60
# A watch ends when the API server restarts, or after a time limit of the API server. Then a new one is started.
_WATCH = 'trap "trap - TERM; kill 0" TERM; while :; do kubectl get --raw "$1" & wait $!; echo; sleep 0.5; done'

HOW_TO_LOAD = f"""\
The DAGs name the image {IMAGE} with imagePullPolicy Never, so each node must have it before. Build it:
  docker build -t {IMAGE} {COLLECTOR}
and load it, as your cluster does that:
  kind            kind load docker-image {IMAGE}
  k3d             k3d image import {IMAGE}
  k3s             docker save {IMAGE} | sudo k3s ctr images import -
  minikube        minikube image load {IMAGE}
  containerd      docker save {IMAGE} | sudo ctr -n k8s.io images import -
"""


class ClusterError(RuntimeError):
    """The cluster cannot be used as it is; the message says what to do."""


@dataclass(frozen=True)
class Cluster:
    """Something that answers kubectl."""

    kubeconfig: str
    """The value for the environment variable: one path, or several."""
    description: str
    is_kubernetes: bool

    def get(self, path: str) -> Any:
        """Return an object; None if it does not exist."""
        try:
            return json.loads(self._kubectl("get", "--raw", path))
        except ClusterError as error:
            if "NotFound" in str(error):
                return None
            raise

    def create(self, path: str, manifest: Mapping[str, Any]) -> Any:
        """Create an object; return it as the API server stored it."""
        return json.loads(self._kubectl("create", "--raw", path, "-f", "-", body=json.dumps(manifest)))

    @contextmanager
    def prepared(self, secrets: Mapping[str, Mapping[str, str]]) -> Iterator[list[str]]:
        """
        Create the namespace and the secrets that are missing, and delete them at the end. Existing objects are not changed.

        :param secrets: secret's name to key to value.
        :return: the created objects, as paths in the API.
        :raises ClusterError: the image is missing, or an object may not be created.
        """
        made: list[str] = []
        try:
            self._make_what_is_missing(secrets, made)
            if self.is_kubernetes:
                self._remove_leftovers()
                self._try_image()
            yield made
        finally:
            for path in reversed(made):
                self._kubectl("delete", "--raw", path)

    def _make_what_is_missing(self, secrets: Mapping[str, Mapping[str, str]], made: list[str]) -> None:
        # The namespace of an earlier demo may still be terminating.
        self._wait_for(lambda: None if _is_going(self.get(_NAMESPACE_PATH)) else True, f"the end of {_NAMESPACE_PATH}")
        if self.get(_NAMESPACE_PATH) is None:
            self.create("/api/v1/namespaces", _object("Namespace", NAMESPACE))
            made.append(_NAMESPACE_PATH)
        path = f"{_NAMESPACE_PATH}/secrets"
        for name, values in secrets.items():
            if self.get(f"{path}/{name}") is None:
                data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
                self.create(path, _object("Secret", name) | {"data": data})
                made.append(f"{path}/{name}")

    def _try_image(self) -> None:
        """Run a pod that only shows the collector's help: this finds an image that is missing, or is another one."""
        path = f"{_NAMESPACE_PATH}/pods"
        pod = self._wait_for(lambda: self._create_if_allowed(path, _PROBE), "the namespace's service account")
        name = f"{path}/{pod['metadata']['name']}"
        try:
            end = self._wait_for(lambda: _end(self.get(name)), f"a pod of the image {IMAGE} to run")
        except ClusterError as error:
            conditions = (self.get(name) or {}).get("status", {}).get("conditions", ())
            told = [condition["message"] for condition in conditions if condition.get("message")]
            raise ClusterError("\n".join([str(error), *told])) from None
        finally:
            self._kubectl("delete", "--raw", name)
        if end != "Succeeded":
            raise ClusterError(f"A pod of the image {IMAGE} does not run: {end}.\n{HOW_TO_LOAD}")

    def _create_if_allowed(self, path: str, manifest: Mapping[str, Any]) -> Any:
        """Create an object; return None while the namespace is so new that it has no service account."""
        try:
            return self.create(path, manifest)
        except ClusterError as error:
            if "serviceaccount" in str(error) or "service account" in str(error):
                return None
            raise

    def _wait_for(self, look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + _PROBE_SECONDS
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise ClusterError(f"Waited {_PROBE_SECONDS} s for {what}.")
            time.sleep(0.5)
        return found

    def _remove_leftovers(self) -> None:
        """Delete the pods of a demo that was killed, and no others."""
        path = f"{_NAMESPACE_PATH}/pods"
        for pod in self.get(path)["items"]:
            if (annotation(pod, "run-id") or "").startswith(RUN_ID_PREFIX):
                self._kubectl("delete", "--raw", f"{path}/{pod['metadata']['name']}")

    def _kubectl(self, *arguments: str, body: str | None = None) -> str:
        done = subprocess.run(  # noqa: S603
            ["kubectl", *arguments],  # noqa: S607
            input=body,
            capture_output=True,
            text=True,
            env=os.environ | {"KUBECONFIG": self.kubeconfig},
            check=False,
            timeout=60,
            # A signal that stops the demo, perhaps twice, does not stop the clean-up.
            start_new_session=True,
        )
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


@contextmanager
def demo_cluster() -> Iterator[Cluster]:
    """
    Yield the cluster in KUBECONFIG; without that variable local pods, which end with the block.

    :raises ClusterError: there is no kubectl.
    """
    if shutil.which("kubectl") is None:
        raise ClusterError("There is no kubectl on the PATH: install it, the operator works by it.")
    if kubeconfig := os.environ.get("KUBECONFIG"):
        yield Cluster(kubeconfig, f"the cluster of KUBECONFIG={kubeconfig}", is_kubernetes=True)
        return
    with local_pods.running({IMAGE: COLLECTOR}) as pods:
        yield Cluster(
            str(pods.kubeconfig),
            "local pods. They are no Kubernetes: each container's command runs as a process here",
            is_kubernetes=False,
        )


class PodWatch:
    """
    Every pod of a namespace since the watch began, including those that were deleted.

    :param log: the file for the API server's events; they contain no value of a secret.
    """

    def __init__(self, cluster: Cluster, log: Path, namespace: str = NAMESPACE) -> None:
        self._log = log
        self._process = processes.start(
            ["bash", "-c", _WATCH, "watch", f"/api/v1/namespaces/{namespace}/pods?watch=true"],
            log,
            os.environ | {"KUBECONFIG": cluster.kubeconfig},
        )

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the last observed state of each pod by its name; of several with one name, that of the last."""
        return {pod["metadata"]["name"]: pod for pod in self.pods_by_uid().values()}

    def pods_by_uid(self) -> dict[str, dict[str, Any]]:
        """Return the last observed state of each pod by its uid, in the order of their creation."""
        return watched_pods(self._log)

    def close(self) -> None:
        processes.stop([self._process], signal.SIGTERM, seconds=5)


def watched_pods(log: Path) -> dict[str, dict[str, Any]]:
    """Return the last state of each pod that a :class:`PodWatch` has observed so far, by its uid, in the order of creation."""
    seen: dict[str, dict[str, Any]] = {}
    for line in log.read_text(errors="replace").splitlines(keepends=True):
        # A line may be incomplete, and kubectl's error messages are not JSON.
        with suppress(ValueError):
            pod = json.loads(line)["object"]
            if pod.get("kind") == "Pod":
                seen[pod["metadata"]["uid"]] = pod
    return seen


def _end(pod: Mapping[str, Any]) -> str | None:
    """Return how a pod ended, or why its container does not start; None while it may still run."""
    status = pod["status"]
    for container in status.get("containerStatuses", ()):
        waiting = container["state"].get("waiting", {})
        if waiting.get("reason") not in (None, "ContainerCreating"):
            return f"{waiting['reason']}: {waiting.get('message', '')}"
    return status["phase"] if status["phase"] in ("Succeeded", "Failed") else None


def _is_going(resource: Mapping[str, Any] | None) -> bool:
    return resource is not None and "deletionTimestamp" in resource["metadata"]


def _object(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
