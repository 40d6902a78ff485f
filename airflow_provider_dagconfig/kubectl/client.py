"""The only place where processes are started: ``kubectl.sh`` in bash, one request a process, about one pod."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("kubectl.sh")
# kubectl gives up after REQUEST_TIMEOUT; this is for what hangs before it asks (a credential plugin).
_PROCESS_TIMEOUT = 60


class Fault(Enum):
    """What kind of no kubectl brought back."""

    ALREADY_EXISTS = "already exists"
    CONFLICT = "conflict"
    EXPIRED = "resource version expired"
    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    MISCONFIGURED = "misconfigured"
    NOT_FOUND = "not found"
    NOT_READY = "container not started"
    UNREACHABLE = "unreachable"


_BY_REASON = {
    "AlreadyExists": Fault.ALREADY_EXISTS,
    "BadRequest": Fault.INVALID,
    "Conflict": Fault.CONFLICT,
    "Expired": Fault.EXPIRED,
    "Forbidden": Fault.FORBIDDEN,
    "Gone": Fault.EXPIRED,
    "Invalid": Fault.INVALID,
    "MethodNotAllowed": Fault.MISCONFIGURED,
    "NotFound": Fault.NOT_FOUND,
    "RequestEntityTooLarge": Fault.INVALID,
    "Unauthorized": Fault.MISCONFIGURED,
    "UnsupportedMediaType": Fault.MISCONFIGURED,
}
_REASON = re.compile(r"^Error from server \((\w+)\): (.*)", re.DOTALL | re.MULTILINE)
# What kubectl says before it has reached any server; waiting does not mend it.
_MISCONFIGURED = re.compile(
    r"context .* does not exist|error loading config|Error in configuration|no configuration has been provided|"
    r"invalid configuration|must be logged in|x509:|unknown flag|executable .* not found|unable to read|no such file",
    re.IGNORECASE,
)


class KubectlError(Exception):
    """
    A request that kubectl could not make, or that the API server refused.

    :param fault: what kind of no it was.
    :param message: kubectl's sentence, which holds the API server's.
    """

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message


def read_error(exit_code: int, stderr: str) -> KubectlError:
    """Read what kubectl wrote to standard error. What is not known is taken for a server out of reach, and tried again."""
    text = stderr.strip() or f"kubectl ended with exit code {exit_code} and said nothing"
    if match := _REASON.search(text):
        reason, sentence = match.groups()
        if reason == "BadRequest" and "is waiting to start" in sentence:
            return KubectlError(Fault.NOT_READY, sentence)
        if reason == "Forbidden" and "not yet ready to handle request" in sentence:  # an API server that has just started
            return KubectlError(Fault.UNREACHABLE, sentence)
        return KubectlError(_BY_REASON.get(reason, Fault.UNREACHABLE), sentence.strip())
    if exit_code == 127 or _MISCONFIGURED.search(text):
        return KubectlError(Fault.MISCONFIGURED, text)
    return KubectlError(Fault.UNREACHABLE, text)


def read_event(line: bytes) -> tuple[str, dict[str, Any]]:
    """
    Read a line of a watch: ``ADDED``, ``MODIFIED`` or ``DELETED``, and the pod.

    :raises KubectlError: the version that was asked for is too old (EXPIRED); or the line is no event, as what a proxy says, half
        of a line or an error of the API server's (UNREACHABLE).
    """
    try:
        event = json.loads(line)
        kind, told = str(event["type"]), event["object"]
        if kind == "ERROR":
            fault = Fault.EXPIRED if told.get("code") == 410 else Fault.UNREACHABLE
            raise KubectlError(fault, f"the watch ended with an error: {told.get('message')}")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise KubectlError(Fault.UNREACHABLE, f"the watch told no event: {_beginning(line)}") from None
    return kind, _pod(told, "watch")


def _pod(document: Any, verb: str) -> dict[str, Any]:
    """Take a pod for one only if it has what all API servers give a pod: who answers may be a proxy."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or "name" not in metadata or "resourceVersion" not in metadata:
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no pod: {_beginning(json.dumps(document).encode())}")
    return document  # type: ignore[no-any-return]


def _beginning(answer: bytes) -> str:
    return repr(answer[:200].decode(errors="replace"))


class Stream:
    """A request whose answer is read as it comes; :meth:`fileno` makes it fit for ``selectors``."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._stdout = self._process.stdout

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._stdout.fileno()

    def read(self) -> bytes:
        """What has come; empty at the end."""
        return os.read(self.fileno(), 1 << 16)

    def error(self) -> KubectlError | None:
        """Wait for the end, after :meth:`read` gave nothing; None for a good end."""
        exit_code = self._process.wait()
        self._stdout.close()
        self._stderr.seek(0)
        stderr = self._stderr.read().decode(errors="replace")
        self._stderr.close()
        return read_error(exit_code, stderr) if exit_code else None

    def close(self) -> None:
        """End the request; may be called more than once."""
        if self._stdout.closed:
            return
        self._process.terminate()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()
        self._stderr.close()


class Kubectl:
    """
    The requests about one pod.

    :param environment: from :meth:`ClusterAccess.environment`; added to this process's own.
    :param namespace: the pod's namespace.
    :param pod: the pod's name.
    :param container: the container whose log is read.
    """

    def __init__(self, environment: Mapping[str, str], namespace: str, pod: str, container: str = "base") -> None:
        self.namespace = namespace
        self.pod = pod
        self._environment = {
            **os.environ,
            **environment,
            "NAMESPACE": namespace,
            "POD": pod,
            "CONTAINER": container,
        }

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """POST the manifest; the pod as the API server took it."""
        return _pod(self._object("create", manifest), "create")

    def get(self, seconds: int = 10) -> dict[str, Any]:
        """The pod as it is now; takes so many seconds at most."""
        return _pod(self._object("get", REQUEST_TIMEOUT=f"{seconds}s"), "get")

    def replace(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """PUT the pod, whose ``resourceVersion`` must be the current one."""
        return self._object("replace", pod)

    def events(self) -> list[dict[str, Any]]:
        """What happened to the pod, as the API server lists it."""
        items: list[dict[str, Any]] = self._object("events").get("items", [])
        return items

    def delete(self, pod: Mapping[str, Any], seconds: int = 10, *, unchanged: bool = False) -> None:
        """
        Ask for the deletion of this pod, and of no other that has its name; no error where it is gone.

        :param pod: as the API server gave it.
        :param seconds: how long it takes at most.
        :param unchanged: only if nothing about it has changed since.
        :raises KubectlError: CONFLICT, where another has the name or something has changed.
        """
        known = ("uid", "resourceVersion") if unchanged else ("uid",)
        preconditions = {name: pod["metadata"][name] for name in known if name in pod["metadata"]}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        try:
            self._request("delete", json.dumps(options).encode(), REQUEST_TIMEOUT=f"{seconds}s")
        except KubectlError as error:
            if error.fault is not Fault.NOT_FOUND:
                raise

    def watch(self) -> Stream:
        """The pod as it is, where there is one, then each change; a JSON object a line."""
        return self._stream("watch")

    def log(self, since: str | None, *, follow: bool) -> Stream:
        """The container's log with times, from a moment (RFC 3339), and what is still to come where it is followed."""
        return self._stream("log" if follow else "log-rest", **({"SINCE": since} if since else {}))

    def _stream(self, verb: str, **variables: str) -> Stream:
        return Stream(["bash", str(SCRIPT), verb], {**self._environment, **variables})

    def _object(self, verb: str, body: Mapping[str, Any] | None = None, **variables: str) -> dict[str, Any]:
        answer = self._request(verb, json.dumps(body).encode() if body is not None else b"", **variables)
        try:
            document: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no JSON: {_beginning(answer)}") from None
        return document

    def _request(self, verb: str, body: bytes = b"", **variables: str) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603
                ["bash", str(SCRIPT), verb],  # noqa: S607
                input=body,
                capture_output=True,
                env={**self._environment, **variables},
                timeout=_PROCESS_TIMEOUT,
                start_new_session=True,
                check=False,
            )
        except FileNotFoundError:
            raise KubectlError(Fault.MISCONFIGURED, "there is no bash on this worker: install it") from None
        except subprocess.TimeoutExpired:
            raise KubectlError(Fault.UNREACHABLE, f"kubectl gave no answer to {verb} in {_PROCESS_TIMEOUT} s") from None
        if done.returncode:
            raise read_error(done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout
