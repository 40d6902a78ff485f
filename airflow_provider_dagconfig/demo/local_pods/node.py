"""
The life of a pod: the scheduler's part and the kubelet's, with processes of this machine for containers.

The node watches the store as a kubelet watches its API server, and writes into it only a pod's status, events, and its
removal once its processes have ended.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import platform
import re
import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from airflow_provider_dagconfig.demo.local_pods import environment
from airflow_provider_dagconfig.demo.local_pods.access import NAME
from airflow_provider_dagconfig.demo.local_pods.logs import ContainerLog
from airflow_provider_dagconfig.demo.local_pods.processes import Process, Processes, exit_code
from airflow_provider_dagconfig.demo.local_pods.store import ApiError, Object, Store, now
from airflow_provider_dagconfig.models import Quantity

FINISHED = ("Succeeded", "Failed")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# How often the memory of containers with a limit is looked at; a kernel would not miss what happens in between.
_MEMORY_SECONDS = 0.1
# How often a container that cannot be started is looked at again. A kubelet takes about ten times as long.
_SYNC_SECONDS = 1.0
_PULL_SECONDS = 2.0
_BACK_OFF_SECONDS = 10.0
_LONGEST_BACK_OFF_SECONDS = 300.0
# Kubernetes: a termination message has at most 4096 bytes, one that falls back to the log 2048 bytes or 80 lines.
_MESSAGE_BYTES, _FALLBACK_BYTES, _FALLBACK_LINES = 4096, 2048, 80
_IMAGE = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(?::[\w][\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?"
)


@dataclass(frozen=True)
class Image:
    """
    An image that is "on the node".

    :ivar directory: what it would contain: ``DIR/app/main.py`` is ``/app/main.py``. None: nothing of its own.
    """

    directory: Path | None = None
    command: tuple[str, ...] = ()


@dataclass
class Container:
    """One container of a pod, and its status."""

    spec: Object
    log: ContainerLog | None = None
    previous_log: ContainerLog | None = None
    process: Process | None = None
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last_state: Object = field(default_factory=dict)
    restarts: int = 0
    id: str = ""

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    def status(self) -> Object:
        """Give the container's entry in ``status.containerStatuses``."""
        return {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": "running" in self.state,
            "restartCount": self.restarts,
            "image": self.spec["image"],
            "imageID": f"local://{self.spec['image']}" if self.id else "",
            **({"containerID": self.id} if self.id else {}),
            "started": "running" in self.state,
        }


class Node:
    """
    The only node: this machine.

    :param images: what is "on the node", by name with tag.
    :param directory: where pods get their directories.
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
        """Give a container's log, or None where it has not started."""
        pod = self._pods.get(uid)
        for candidate in pod.containers if pod else ():
            if candidate.name == container:
                return candidate.previous_log if previous else candidate.log
        return None

    async def run(self) -> None:
        """Run every pod, until this is cancelled; then kill what runs."""
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
        """Say in the scheduler's words why a pod cannot be on this node. Other pods' requests do not count."""
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

    def event(self, pod: Object, reason: str, message: str, *, warning: bool, container: str = "") -> None:
        """Record an event of a pod; one that repeats is counted."""
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


class Pod:
    """One pod's life on the node, from its creation to its removal."""

    def __init__(self, node: Node, manifest: Object) -> None:
        self._node = node
        self._manifest = manifest
        self._spec: Object = manifest["spec"]
        metadata = manifest["metadata"]
        self._key = metadata["namespace"], metadata["name"]
        self._uid: str = metadata["uid"]
        self._directory = node.directory / self._uid
        self._inits = [Container(spec) for spec in self._spec.get("initContainers") or []]
        self._mains = [Container(spec) for spec in self._spec["containers"]]
        self._started_at = ""
        self._verdict: Object = {}
        self._changed_at: dict[tuple[str, str], str] = {}
        self._stopping = asyncio.Event()
        self._deleting = False
        self._task = asyncio.ensure_future(self._live())

    @property
    def containers(self) -> list[Container]:
        """All containers, the init containers first."""
        return self._inits + self._mains

    def memory_limits(self) -> Iterator[tuple[int, int]]:
        """Give the process id and limit, in bytes, of each container that runs with one."""
        for container in self.containers:
            limit = (container.spec["resources"].get("limits") or {}).get("memory")
            if limit is not None and container.process is not None and not container.process.ended.done():
                yield container.process.pid, int(Quantity.parse(str(limit)).value)

    def delete(self, grace: float) -> None:
        """End the pod; it is removed once its processes have ended."""
        self._deleting = True
        self._stop(grace)

    def gone(self) -> None:
        """End what is left of a pod that is no more."""
        self._stop(0)
        if not self._started_at:
            self._task.cancel()

    def _stop(self, grace: float) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            for container in self.containers:
                if "running" in container.state:
                    self._event("Killing", f"Stopping container {container.name}", container)
                self._signal(container, signal.SIGTERM)
        asyncio.get_running_loop().call_later(grace, self._kill)

    def _kill(self) -> None:
        for container in self.containers:
            self._signal(container, signal.SIGKILL)

    @staticmethod
    def _signal(container: Container, number: int) -> None:
        if container.process is not None:
            container.process.signal(number)

    def _event(self, reason: str, message: str, container: Container | None = None, *, warning: bool = False) -> None:
        name = container.name if container else ""
        self._node.event(self._manifest, reason, message, warning=warning, container=name)

    async def _live(self) -> None:
        await self._schedule()
        self._started_at = now()
        self._publish()
        work = asyncio.ensure_future(self._work())
        try:
            done, _ = await asyncio.wait({work}, timeout=self._spec.get("activeDeadlineSeconds"))
            if not done:
                message = "Pod was active on the node longer than the specified deadline"
                self._event("DeadlineExceeded", message)
                self._verdict = {"phase": "Failed", "message": message, "reason": "DeadlineExceeded"}
                self._publish()
                self._stop(self._spec["terminationGracePeriodSeconds"])
            await work
        finally:
            work.cancel()
        self._publish()
        if self._deleting:
            with contextlib.suppress(ApiError):
                self._node.store.remove("pods", *self._key)
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _schedule(self) -> None:
        problem = self._node.unschedulable(self._spec)
        if problem is not None:
            unscheduled = self._condition("PodScheduled", False, "Unschedulable", problem)
            self._update(lambda pod: pod["status"].update(conditions=[unscheduled]))
            self._event("FailedScheduling", problem, warning=True)
            await asyncio.Event().wait()
        scheduled = self._condition("PodScheduled", True)

        def bind(pod: Object) -> None:
            pod["spec"]["nodeName"] = NAME
            pod["status"]["conditions"] = [scheduled]

        self._update(bind)
        self._event("Scheduled", f"Successfully assigned {'/'.join(self._key)} to {NAME}")

    def _update(self, change: object) -> None:
        """Change the pod in the store, unless it is gone or another has taken its name."""
        found = self._node.store.find("pods", *self._key)
        if found is not None and found["metadata"]["uid"] == self._uid and callable(change):
            self._manifest = self._node.store.update("pods", *self._key, change)

    def _publish(self) -> None:
        self._update(lambda pod: pod.update(status={**self._status(), "qosClass": pod["status"]["qosClass"]}))

    def _status(self) -> Object:
        addresses = {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]} if self._begun() else {}
        rest: Object = {
            **addresses,
            "startTime": self._started_at,
            **({"initContainerStatuses": [each.status() for each in self._inits]} if self._inits else {}),
            "containerStatuses": [each.status() for each in self._mains],
        }
        if self._verdict:
            # A kubelet that ends a pod by its own judgement writes no conditions.
            return {**self._verdict, **rest}
        return {"phase": self._phase(), "conditions": self._conditions(), "hostIP": "127.0.0.1", **rest}

    def _begun(self) -> bool:
        return any(container.id for container in self.containers)

    def _phase(self) -> str:
        ends = [each.state.get("terminated") for each in self._mains]
        failed_init = any(not self._again(each) and _failed(each) for each in self._inits)
        if failed_init:
            return "Failed"
        if all(ends) and not any(self._again(each) for each in self._mains):
            return "Failed" if any(_failed(each) for each in self._mains) else "Succeeded"
        return "Running" if any("waiting" not in each.state or each.restarts for each in self._mains) else "Pending"

    def _again(self, container: Container) -> bool:
        """Say whether a container that has ended is to be started again."""
        policy = self._spec["restartPolicy"]
        if self._stopping.is_set() or "terminated" not in container.state:
            return False
        if container in self._inits or policy == "OnFailure":
            return policy != "Never" and _failed(container)
        return bool(policy == "Always")

    def _conditions(self) -> list[Object]:
        unready = [each.name for each in self._mains if "running" not in each.state]
        ready: tuple[str, str] = ("", "")
        if self._phase() == "Succeeded":
            ready = ("PodCompleted", "")
        elif unready:
            ready = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
        incomplete = [each.name for each in self._inits if each.state.get("terminated", {}).get("exitCode") != 0]
        initialized = ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]")
        if not incomplete:
            initialized = ("PodCompleted", "") if self._phase() == "Succeeded" else ("", "")
        return [
            self._condition("Initialized", not incomplete, *initialized),
            self._condition("Ready", not unready, *ready),
            self._condition("ContainersReady", not unready, *ready),
            self._condition("PodScheduled", True),
        ]

    def _condition(self, type_: str, holds: bool, reason: str = "", message: str = "") -> Object:
        status = str(holds)
        return {
            "type": type_,
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": self._changed_at.setdefault((type_, status), now()),
            **({"reason": reason} if reason else {}),
            **({"message": message} if message else {}),
        }

    async def _work(self) -> None:
        if self._inits:
            for container in self._mains:
                container.state = {"waiting": {"reason": "PodInitializing"}}
            self._publish()
        for container in self._inits:
            await self._keep_running(container)
            if _failed(container) or self._stopping.is_set():
                return
        await asyncio.gather(*(self._keep_running(container) for container in self._mains))

    async def _keep_running(self, container: Container) -> None:
        back_off = _BACK_OFF_SECONDS
        while not self._stopping.is_set():
            if not await self._ready_to_start(container):
                return
            await self._run(container)
            if not self._again(container):
                return
            self._publish()
            container.last_state = container.state
            if container.restarts:
                message = (
                    f"back-off {back_off:.0f}s restarting failed container={container.name} "
                    f"pod={self._key[1]}_{self._key[0]}({self._uid})"
                )
                container.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
                self._event("BackOff", "Back-off restarting failed container", container, warning=True)
                self._publish()
                if await self._pause(back_off):
                    return
                back_off = min(2 * back_off, _LONGEST_BACK_OFF_SECONDS)
            container.restarts += 1
            container.previous_log = container.log

    async def _pause(self, seconds: float) -> bool:
        """Wait; say whether the pod is to end meanwhile."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _ready_to_start(self, container: Container) -> bool:
        """Wait until a container has what it needs; False where the pod is to end before."""
        pulls = _BACK_OFF_SECONDS
        while problem := self._problem(container):
            reason, message = problem
            self._wait(container, reason, message)
            if reason != "ErrImagePull":
                if await self._pause(_SYNC_SECONDS):
                    return False
                continue
            if await self._pause(_PULL_SECONDS):
                return False
            self._wait(container, "ImagePullBackOff", f'Back-off pulling image "{container.spec["image"]}"')
            if await self._pause(pulls):
                return False
            pulls = min(2 * pulls, _LONGEST_BACK_OFF_SECONDS)
        return not self._stopping.is_set()

    def _wait(self, container: Container, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        if reason == "ContainerCreating":
            pass
        elif reason == "ErrImagePull":
            text = f'Failed to pull image "{container.spec["image"]}": {message}'
            self._event("Failed", text, container, warning=True)
            self._event("Failed", f"Error: {reason}", container, warning=True)
        elif state != container.state:
            named = {"ErrImageNeverPull": "ErrImageNeverPull", "InvalidImageName": "InspectFailed"}.get(reason)
            if named is not None:
                self._event(named, message, container, warning=True)
            text = message if reason == "CreateContainerConfigError" else reason
            self._event("Failed", f"Error: {text}", container, warning=True)
        container.state = state
        self._publish()

    def _problem(self, container: Container) -> tuple[str, str] | None:
        """Say why a container cannot be started, with the kubelet's reason and message."""
        name, policy = container.spec["image"], container.spec["imagePullPolicy"]
        if not self._mount():
            return "ContainerCreating", ""
        if not _IMAGE.fullmatch(name):
            why = "repository name must be lowercase" if name.lower() != name else ""
            told = f"invalid reference format{': ' if why else ''}{why}"
            return (
                "InvalidImageName",
                f'Failed to apply default image tag "{name}": couldn\'t parse image reference "{name}": {told}',
            )
        if self._image(container) is None:
            if policy == "Never":
                return "ErrImageNeverPull", f'Container image "{name}" is not present with pull policy of Never'
            return (
                "ErrImagePull",
                f'rpc error: code = Unknown desc = failed to pull and unpack image "{name}": local pods pull nothing',
            )
        try:
            self._variables(container)
        except environment.ConfigError as missing:
            return "CreateContainerConfigError", str(missing)
        if not self._words(container, {}):
            return "CreateContainerError", "failed to generate container spec: no command specified"
        return None

    def _image(self, container: Container) -> Image | None:
        name = container.spec["image"].removeprefix("docker.io/").removeprefix("library/")
        if ":" not in name.rpartition("/")[2] and "@" not in name:
            name = f"{name}:latest"
        return self._node.images.get(name)

    def _variables(self, container: Container) -> dict[str, str]:
        store = self._node.store
        return environment.variables(
            self._manifest,
            container.spec,
            lambda namespace, name: store.find("secrets", namespace, name),
            lambda namespace, name: store.find("configmaps", namespace, name),
        )

    def _words(self, container: Container, variables: Mapping[str, str]) -> list[str]:
        image = self._image(container) or Image()
        command = container.spec.get("command") or []
        args = container.spec.get("args") or []
        words = [*command, *args] if command or args else [*image.command]
        return [environment.expand(word, variables) for word in words]

    def _mount(self) -> bool:
        """Write what volumes hold into the pod's directory; False while something is missing."""
        for volume in self._spec.get("volumes") or []:
            directory = self._directory / "volumes" / volume["name"]
            for key, plural, named in (("secret", "secrets", "secretName"), ("configMap", "configmaps", "name")):
                source = volume.get(key)
                if not source:
                    continue
                name = source.get(named) or ""
                found = self._node.store.find(plural, self._key[0], name)
                if found is None and not source.get("optional"):
                    kind = plural.removesuffix("s")
                    message = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {kind} "{name}" not found'
                    self._event("FailedMount", message, warning=True)
                    return False
                _write_volume(directory, (found or {}).get("data") or {}, encoded=key == "secret")
            directory.mkdir(parents=True, exist_ok=True)
        return True

    def _files(self, container: Container) -> dict[str, Path]:
        """Say where the files are that a container would have at a path."""
        message = self._directory / f"{container.name}.termination-message"
        return {
            container.spec["terminationMessagePath"]: message,
            **{
                mount["mountPath"].rstrip("/"): self._directory / "volumes" / mount["name"] / (mount.get("subPath") or "")
                for mount in container.spec.get("volumeMounts") or []
            },
        }

    async def _run(self, container: Container) -> None:
        """Run a container once, to its end."""
        image = self._image(container) or Image()
        files = self._files(container)
        home = self._directory / f"{container.name}.home"
        home.mkdir(parents=True, exist_ok=True)
        message = files[container.spec["terminationMessagePath"]]
        message.write_bytes(b"")
        variables = self._variables(container)
        literal = {each["name"] for each in container.spec.get("env") or [] if "valueFrom" not in each}
        local = {
            name: environment.translate(value, files, image.directory) if name in literal else value
            for name, value in variables.items()
        }
        env = {"PATH": f"{self._node.bin}:{_PATH}", "HOME": str(home), "HOSTNAME": self._key[1][:63], **local}
        words = [environment.translate(word, files, image.directory) for word in self._words(container, variables)]
        where = Path(environment.translate(container.spec.get("workingDir") or "", files, image.directory))
        container.log = log = ContainerLog()
        container.id = f"local://{secrets.token_hex(32)}"
        started = now()
        self._event("Created", f"Created container {container.name}", container)
        try:
            words[0] = _executable(words[0], env["PATH"], home)
            cwd = where if where.is_absolute() and where.is_dir() else home
            container.process = await self._node.processes.start(words, env, cwd, log.write)
        except (OSError, ValueError) as error:
            log.close()
            told = f"failed to create the process: exec: {error}"
            self._event("Failed", f"Error: {told}", container, warning=True)
            container.state = {
                "terminated": {
                    "exitCode": 128,
                    "reason": "StartError",
                    "message": told,
                    "startedAt": "1970-01-01T00:00:00Z",
                    "finishedAt": now(),
                    "containerID": container.id,
                }
            }
            return
        if self._stopping.is_set():
            container.process.signal(signal.SIGKILL)
        container.state = {"running": {"startedAt": started}}
        self._event("Started", f"Started container {container.name}", container)
        self._publish()
        code = exit_code(await container.process.ended)
        log.close()
        reason = "OOMKilled" if container.process.killed_for_memory else "Error" if code else "Completed"
        told = self._message(container, message, code)
        container.state = {
            "terminated": {
                "exitCode": code,
                "reason": reason,
                **({"message": told} if told else {}),
                "startedAt": started,
                "finishedAt": now(),
                "containerID": container.id,
            }
        }

    @staticmethod
    def _message(container: Container, file: Path, code: int) -> str:
        """Give the termination message. Kubernetes: Determine the Reason for Pod Failure."""
        told = b""
        with contextlib.suppress(OSError), file.open("rb") as content:
            told = content.read(_MESSAGE_BYTES)
        fallback = container.spec["terminationMessagePolicy"] == "FallbackToLogsOnError"
        if not told and code and fallback and container.log is not None:
            told = container.log.tail(_FALLBACK_LINES, _FALLBACK_BYTES)
        return told.decode(errors="replace")


def _failed(container: Container) -> bool:
    return bool(container.state.get("terminated", {}).get("exitCode"))


def _executable(word: str, path: str, cwd: Path) -> str:
    """
    Find the file to execute.

    :raises OSError: in the words of the container runtime.
    """
    found = shutil.which(word if "/" not in word else str(cwd / word), path=path)
    if found is None:
        known = os.path.lexists(cwd / word) if "/" in word else False
        raise OSError(f'"{word}": {"permission denied" if known else "executable file not found in $PATH"}: unknown')
    return found


def _write_volume(directory: Path, data: Mapping[str, str], *, encoded: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for key, value in data.items():
        content = base64.b64decode(value) if encoded else value.encode()
        (directory / key).write_bytes(content)


def _interpreter(directory: Path) -> Path:
    """Make a directory with ``python`` in it: this interpreter, with the packages it has."""
    directory.mkdir(parents=True)
    for name in ("python", "python3"):
        file = directory / name
        file.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        file.chmod(0o755)
    return directory


def machine() -> tuple[int, int]:
    """Give this machine's CPUs and memory in bytes."""
    return os.cpu_count() or 1, psutil.virtual_memory().total
