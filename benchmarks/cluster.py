"""The cluster of a run: namespaces, pods, and an observer that records when it saw a pod change."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def kubectl(kubeconfig: str, *arguments: str, body: Any = None) -> str:
    """
    Run kubectl, and return its output.

    :raises RuntimeError: it failed.
    """
    done = subprocess.run(
        ["kubectl", "--kubeconfig", kubeconfig, *arguments],
        input=None if body is None else json.dumps(body),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def new_namespace(kubeconfig: str) -> Iterator[str]:
    """Create a namespace that accepts pods; delete it at the end."""
    name = f"dagconfig-benchmark-{uuid.uuid4().hex[:8]}"
    kubectl(kubeconfig, "create", "namespace", name)
    try:
        # A pod is refused until its service account exists. Local pods never have one.
        deadline = time.monotonic() + 10
        while not kubectl(kubeconfig, "get", "serviceaccounts", "--namespace", name, "--output", "name"):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        yield name
    finally:
        kubectl(kubeconfig, "delete", "namespace", name, "--wait=false")


def write_kubeconfig(path: Path, server: str) -> str:
    """Write a kubeconfig for a server that needs no credentials; return its path."""
    names: dict[str, Any] = {"current-context": "benchmark", "contexts": [], "clusters": [], "users": []}
    names["contexts"] = [{"name": "benchmark", "context": {"cluster": "benchmark", "user": "benchmark"}}]
    names["clusters"] = [{"name": "benchmark", "cluster": {"server": server}}]
    names["users"] = [{"name": "benchmark", "user": {}}]
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config"} | names))
    return str(path)


@dataclass
class Seen:
    """The moments (time.time) when the observer saw a pod first, saw it run, and saw it ended; None for not yet."""

    name: str
    created: float
    running: float | None = None
    ended: float | None = None


class Observer:
    """Records the moments of each pod of a namespace, by one watch."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        address = f"/api/v1/namespaces/{namespace}/pods?watch=true&timeoutSeconds=7200"
        self._process = subprocess.Popen(
            ["kubectl", "--kubeconfig", kubeconfig, "get", "--raw", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pods: dict[str, Seen] = {}
        """The observed moments by the pod's name, in the order of creation."""
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_for(self, condition: Callable[[Mapping[str, Seen]], bool], seconds: float, what: str) -> None:
        """
        Wait until the pods meet a condition.

        :raises RuntimeError: they do not in this time.
        """
        deadline = time.monotonic() + seconds
        while not condition(dict(self.pods)):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"waited {seconds:g} s for {what}; there are {self.pods}")
            time.sleep(0.02)

    def end_of_another(self, than: Container[str], seconds: float) -> Seen:
        """Wait until the one pod that is not among these has ended, and return it."""
        self.wait_for(lambda pods: any(pod.ended for name, pod in pods.items() if name not in than), seconds, "the pod's end")
        [pod] = [pod for name, pod in self.pods.items() if name not in than]
        return pod

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join(timeout=5)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at = time.time()
            with suppress(ValueError, KeyError):
                pod = json.loads(line)["object"]
                name, phase = pod["metadata"]["name"], pod["status"].get("phase")
                seen = self.pods.setdefault(name, Seen(name, at))
                if phase == "Running" and seen.running is None:
                    seen.running = at
                if phase in ("Succeeded", "Failed") and seen.ended is None:
                    seen.ended = at


@contextmanager
def observed(kubeconfig: str, namespace: str) -> Iterator[Observer]:
    """Watch a namespace until the block ends."""
    observer = Observer(kubeconfig, namespace)
    try:
        yield observer
    finally:
        observer.close()
