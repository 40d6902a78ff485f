"""
The only node, this machine: its images, its capacity, its pods and their memory.

It watches the store as a kubelet watches its API server. It writes the status and the events of pods into it, and removes a pod
when its processes have ended.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import shlex
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from airflow_provider_dagconfig.models import Quantity
from demo.local_pods.access import NAME
from demo.local_pods.container import Image
from demo.local_pods.logs import ContainerLog
from demo.local_pods.pod import Pod
from demo.local_pods.processes import Processes
from demo.local_pods.store import Object, Store, now

# Seconds between two checks of the memory of containers with a limit; a kernel would also notice what happens in between.
_MEMORY_SECONDS = 0.1


class Node:
    """
    The only node: this machine.

    :param images: the images "on the node", by name with tag.
    :param directory: the folder of the pods' directories.
    """

    def __init__(self, store: Store, images: Mapping[str, Image], directory: Path, cpu: int, memory: int) -> None:
        self.store = store
        self.images = images
        self.directory = directory
        self.processes = Processes()
        self.capacity = {"cpu": Fraction(cpu), "memory": Fraction(memory)}
        self.labels = {
            "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            "kubernetes.io/hostname": NAME,
            "kubernetes.io/os": sys.platform,
        }
        self._pods: dict[str, Pod] = {}
        self.bin = _interpreter(directory / "bin")
        amounts = {"cpu": str(cpu), "memory": f"{memory // 1024}Ki", "pods": "500"}
        store.create(
            "nodes",
            {
                "metadata": {"name": NAME, "labels": self.labels},
                "spec": {},
                "status": {
                    "capacity": amounts,
                    "allocatable": amounts,
                    "conditions": [
                        {"type": "Ready", "status": "True", "reason": "LocalPods", "message": "no Kubernetes, no kubelet"}
                    ],
                    "nodeInfo": {
                        "kubeletVersion": "none: local pods, no Kubernetes",
                        "containerRuntimeVersion": "none: processes of this machine",
                        "architecture": self.labels["kubernetes.io/arch"],
                        "operatingSystem": sys.platform,
                        "osImage": platform.platform(),
                        "kernelVersion": platform.release(),
                    },
                },
            },
        )

    def log(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:
        """Return a container's log; None where it has not started."""
        pod = self._pods.get(uid)
        for candidate in pod.containers if pod else ():
            if candidate.name == container:
                return candidate.previous_log if previous else candidate.log
        return None

    async def run(self) -> None:
        """Run every pod until this is cancelled; then kill all processes."""
        memory = asyncio.ensure_future(self._watch_memory())
        try:
            async for change, found in self.store.watch("pods"):
                uid = found["metadata"]["uid"]
                if change == "ADDED":
                    self._pods[uid] = Pod(self, found)
                elif change == "DELETED":
                    if uid in self._pods:
                        self._pods.pop(uid).gone()
                elif "deletionTimestamp" in found["metadata"]:
                    self._pods[uid].delete(found["metadata"]["deletionGracePeriodSeconds"])
        finally:
            memory.cancel()
            self.processes.kill_all()

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(_MEMORY_SECONDS)
            limits = {pid: limit for pod in self._pods.values() for pid, limit in pod.memory_limits()}
            if limits:
                self.processes.kill_over(limits)

    def unschedulable(self, spec: Object) -> str | None:
        """Return the scheduler's message if a pod cannot be on this node. The requests of other pods do not count."""
        wanted = {**(spec.get("nodeSelector") or {})}
        if any(self.labels.get(key) != value for key, value in wanted.items()) or not self._has_affinity(spec):
            return "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity."
        short = []
        for name, capacity in self.capacity.items():
            requests = [
                Quantity.parse(str((container.get("resources") or {}).get("requests", {}).get(name, "0"))).value
                for container in spec["containers"]
            ]
            if sum(requests) > capacity:
                short.append(f"1 Insufficient {name}")
        return f"0/1 nodes are available: {', '.join(short)}." if short else None

    def _has_affinity(self, spec: Object) -> bool:
        required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
        if not required:
            return True
        return any(
            all(self._matches(expression) for expression in term.get("matchExpressions") or [])
            for term in required.get("nodeSelectorTerms") or []
        )

    def _matches(self, expression: Object) -> bool:
        value, values = self.labels.get(expression["key"]), expression.get("values") or []
        return {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }.get(expression["operator"], False)

    def event(self, pod: Object, reason: str, message: str, container: str, *, warning: bool) -> None:
        """Record an event of a pod; repeated events are counted."""
        namespace = pod["metadata"]["namespace"]
        about = {
            "kind": "Pod",
            "namespace": namespace,
            "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"],
            "apiVersion": "v1",
            **({"fieldPath": f"spec.containers{{{container}}}"} if container else {}),
        }

        def again(event: Object) -> None:
            event.update(count=event["count"] + 1, lastTimestamp=now())

        for seen in self.store.list("events", namespace):
            if seen["involvedObject"] == about and (seen["reason"], seen["message"]) == (reason, message):
                self.store.update("events", namespace, seen["metadata"]["name"], again)
                return
        self.store.create(
            "events",
            {
                "metadata": {"name": f"{about['name']}.{secrets.token_hex(8)}", "namespace": namespace},
                "involvedObject": about,
                "reason": reason,
                "message": message,
                "source": {"component": "local-pods", "host": NAME},
                "firstTimestamp": now(),
                "lastTimestamp": now(),
                "count": 1,
                "type": "Warning" if warning else "Normal",
                "eventTime": None,
                "reportingComponent": "",
                "reportingInstance": "",
            },
        )


def _interpreter(directory: Path) -> Path:
    """Create a directory with ``python`` in it: this interpreter with its packages."""
    directory.mkdir(parents=True)
    for name in ("python", "python3"):
        file = directory / name
        file.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        file.chmod(0o755)
    return directory


def machine() -> tuple[int, int]:
    """Return the number of this machine's CPUs, and its memory in bytes."""
    return os.cpu_count() or 1, psutil.virtual_memory().total
