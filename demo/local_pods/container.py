"""
One container of a pod: the reasons why it cannot start, its process, and its status.

The reasons and messages are the kubelet's, or the container runtime's where it writes them.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_dagconfig.models import Quantity
from demo.local_pods import environment
from demo.local_pods.logs import ContainerLog
from demo.local_pods.processes import Process, exit_code
from demo.local_pods.store import Object, now

if TYPE_CHECKING:
    from demo.local_pods.node import Node

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Bytes, and lines. Kubernetes: a termination message has at most 4096 bytes, one from the log 2048 bytes or 80 lines.
_MESSAGE_BYTES, _FALLBACK_BYTES, _FALLBACK_LINES = 4096, 2048, 80
# The exit code of a container whose process could not be started.
_START_ERROR = 128
# Distribution: Reference grammar.
_REPOSITORY = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
_IMAGE = re.compile(rf"(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?{_REPOSITORY}(?::[\w][\w.-]{{0,127}})?(?:@[a-z0-9]+:[0-9a-f]{{32,}})?")


@dataclass(frozen=True)
class Image:
    """
    An image that is "on the node".

    :ivar directory: the files that it would contain: ``DIR/app/main.py`` is ``/app/main.py``. None where it has no own files.
    :ivar command: the command for a container that has neither command nor arguments.
    """

    directory: Path | None = None
    command: tuple[str, ...] = ()


class Container:
    """
    One container of a pod.

    :param directory: the pod's directory.
    :ivar state: as in ``status.containerStatuses``: one of waiting, running, terminated.
    """

    def __init__(self, node: Node, directory: Path, spec: Object) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self.log: ContainerLog | None = None
        self.previous_log: ContainerLog | None = None
        self.restarts = 0
        self._node = node
        self._directory = directory
        self._last_state: Object = {}
        self._process: Process | None = None
        self._id = ""

    @property
    def created(self) -> bool:
        """Whether it was started, or a start was tried."""
        return bool(self._id)

    @property
    def failed(self) -> bool:
        """Whether it ended with an exit code other than 0."""
        return bool(self.state.get("terminated", {}).get("exitCode"))

    def status(self) -> Object:
        """Return the container's entry in ``status.containerStatuses``."""
        return {
            "name": self.name,
            "state": self.state,
            "lastState": self._last_state,
            "ready": "running" in self.state,
            "restartCount": self.restarts,
            "image": self.spec["image"],
            "imageID": f"local://{self.spec['image']}" if self._id else "",
            **({"containerID": self._id} if self._id else {}),
            "started": "running" in self.state,
        }

    def restart(self) -> None:
        """Record that it is about to run again."""
        self.restarts += 1
        self.previous_log = self.log

    def back_off(self, message: str) -> None:
        """Record that it waits (backoff) before it runs again."""
        self._last_state = self.state
        self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}

    def terminate(self) -> None:
        """Ask its process to end, if it is running."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End its processes at once."""
        if self._process is not None:
            self._process.kill()

    def memory_limit(self) -> tuple[int, int] | None:
        """Return the process id and the limit in bytes, if it runs with a limit."""
        limit = (self.spec["resources"].get("limits") or {}).get("memory")
        if limit is None or self._process is None or self._process.ended.done():
            return None
        return self._process.pid, int(Quantity.parse(str(limit)).value)

    def problem(self, pod: Object) -> tuple[str, str] | None:
        """Return why it cannot be started now: the reason and the message of its waiting state; None if it can."""
        name, policy = self.spec["image"], self.spec["imagePullPolicy"]
        if not _IMAGE.fullmatch(name):
            told = "invalid reference format" + (": repository name must be lowercase" if name != name.lower() else "")
            message = f'Failed to apply default image tag "{name}": couldn\'t parse image reference "{name}": {told}'
            return "InvalidImageName", message
        if self._image() is None:
            if policy == "Never":
                return "ErrImageNeverPull", f'Container image "{name}" is not present with pull policy of Never'
            message = f'failed to pull and unpack image "{name}": local pods pull nothing'
            return "ErrImagePull", f"rpc error: code = Unknown desc = {message}"
        try:
            self._variables(pod)
        except environment.ConfigError as missing:
            return "CreateContainerConfigError", str(missing)
        if not self._words({}):
            return "CreateContainerError", "failed to generate container spec: no command specified"
        return None

    def _image(self) -> Image | None:
        name = self.spec["image"].removeprefix("docker.io/").removeprefix("library/")
        if ":" not in name.rpartition("/")[2] and "@" not in name:
            name = f"{name}:latest"
        return self._node.images.get(name)

    def _variables(self, pod: Object) -> dict[str, str]:
        store = self._node.store
        return environment.variables(
            pod,
            self.spec,
            lambda namespace, name: store.find("secrets", namespace, name),
            lambda namespace, name: store.find("configmaps", namespace, name),
        )

    def _words(self, variables: Mapping[str, str]) -> list[str]:
        words = [*(self.spec.get("command") or []), *(self.spec.get("args") or [])]
        image = self._image() or Image()
        return [environment.expand(word, variables) for word in words or image.command]

    def _files(self) -> dict[str, Path]:
        """Return path in the container to the file or directory on this machine."""
        files = {self.spec["terminationMessagePath"]: self._directory / f"{self.name}.termination-message"}
        for mount in self.spec.get("volumeMounts") or []:
            volume = volume_directory(self._directory, mount["name"])
            files[mount["mountPath"].rstrip("/")] = volume / (mount.get("subPath") or "")
        return files

    async def run(self, pod: Object, tell: Callable[..., None], started: Callable[[], None]) -> None:
        """
        Run the container once, to its end.

        :param tell: records an event: reason, message, this container, and ``warning``.
        :param started: called when the process is running.
        """
        self.log = log = ContainerLog()
        self._id = f"local://{secrets.token_hex(32)}"
        tell("Created", f"Created container {self.name}", self)
        try:
            self._process = process = await self._start(pod, log)
        except (OSError, ValueError) as error:
            log.close()
            message = f"failed to create the process: exec: {error}"
            tell("Failed", f"Error: {message}", self, warning=True)
            self._terminated(_START_ERROR, "StartError", message, "1970-01-01T00:00:00Z")
            return
        at = now()
        self.state = {"running": {"startedAt": at}}
        tell("Started", f"Started container {self.name}", self)
        started()
        code = exit_code(await process.ended)
        log.close()
        reason = "OOMKilled" if process.killed_for_memory else "Error" if code else "Completed"
        self._terminated(code, reason, self._message(code, log), at)

    def _terminated(self, code: int, reason: str, message: str, started_at: str) -> None:
        self.state = {
            "terminated": {
                "exitCode": code,
                "reason": reason,
                **({"message": message} if message else {}),
                "startedAt": started_at,
                "finishedAt": now(),
                "containerID": self._id,
            }
        }

    async def _start(self, pod: Object, log: ContainerLog) -> Process:
        """
        Start the process.

        :raises OSError: it cannot be executed.
        :raises ValueError: a word or a variable cannot be passed to a process.
        """
        files, root = self._files(), (self._image() or Image()).directory
        home = self._directory / f"{self.name}.home"
        home.mkdir(parents=True, exist_ok=True)
        files[self.spec["terminationMessagePath"]].write_bytes(b"")
        variables = self._variables(pod)
        written = {each["name"] for each in self.spec.get("env") or [] if "valueFrom" not in each}
        env = {
            "PATH": f"{self._node.bin}:{_PATH}",
            "HOME": str(home),
            "HOSTNAME": pod["metadata"]["name"][:63],
            **variables,
            **{name: environment.translate(variables[name], files, root) for name in written},
        }
        words = [environment.translate(word, files, root) for word in self._words(variables)]
        words[0] = _executable(words[0], env["PATH"], home)
        cwd = Path(environment.translate(self.spec.get("workingDir") or "", files, root))
        return await self._node.processes.start(words, env, cwd if cwd.is_absolute() and cwd.is_dir() else home, log.write)

    def _message(self, code: int, log: ContainerLog) -> str:
        """Return the termination message. Kubernetes: Determine the Reason for Pod Failure."""
        told = b""
        with contextlib.suppress(OSError), self._files()[self.spec["terminationMessagePath"]].open("rb") as content:
            told = content.read(_MESSAGE_BYTES)
        if not told and code and self.spec["terminationMessagePolicy"] == "FallbackToLogsOnError":
            told = log.tail(_FALLBACK_LINES, _FALLBACK_BYTES)
        return told.decode(errors="replace")


def _executable(word: str, path: str, cwd: Path) -> str:
    """
    Return the file to execute.

    :raises OSError: there is none; the message is the container runtime's.
    """
    file = cwd / word if "/" in word else Path(word)
    found = shutil.which(str(file), path=path)
    if found is None:
        why = "permission denied" if "/" in word and os.path.lexists(file) else "executable file not found in $PATH"
        raise OSError(f'"{word}": {why}: unknown')
    return found


def volume_directory(pod_directory: Path, name: str) -> Path:
    """Return the directory that represents a volume of a pod."""
    return pod_directory / "volumes" / name


def write_volume(directory: Path, data: Mapping[str, str], *, encoded: bool) -> None:
    """Write the data of a secret (``encoded``) or a config map, one file for each key."""
    directory.mkdir(parents=True, exist_ok=True)
    for key, value in data.items():
        (directory / key).write_bytes(base64.b64decode(value) if encoded else value.encode())
