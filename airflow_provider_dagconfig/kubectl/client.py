"""The only place where processes are started: ``kubectl.sh`` in bash, one request a process, about one pod."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from airflow_provider_dagconfig.kubectl.environment import PREFIX, KubectlSettings

SCRIPT = Path(__file__).with_name("kubectl.sh")
# -p: no file of BASH_ENV and no function of the environment is taken.
_BASH = ("bash", "-p", str(SCRIPT))
# kubectl gives up after REQUEST_TIMEOUT; this is for what hangs before it asks (a credential plugin).
_PROCESS_TIMEOUT = 60


class Fault(Enum):
    """What kind of no kubectl brought back."""

    ALREADY_EXISTS = "already exists"
    CONFLICT = "conflict"
    CREDENTIALS = "no credentials"
    EXPIRED = "resource version expired"
    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    MISCONFIGURED = "misconfigured"
    NOT_FOUND = "not found"
    NOT_READY = "container not started"
    SERVER_ERROR = "server error"
    UNAUTHORIZED = "unauthorized"
    UNREACHABLE = "unreachable"


PASSING = frozenset({Fault.CREDENTIALS, Fault.SERVER_ERROR, Fault.UNREACHABLE})
"""What may be over a moment later, without anybody having changed the task: it is asked again until a deadline."""

_WORDS = {
    Fault.CREDENTIALS: "kubectl can't make the request",
    Fault.FORBIDDEN: "the API server forbids it",
    Fault.SERVER_ERROR: "the API server can't serve the request",
    Fault.UNAUTHORIZED: "the API server does not take the credentials",
    Fault.UNREACHABLE: "the API server can't be reached",
}
_BY_REASON = {
    "AlreadyExists": Fault.ALREADY_EXISTS,
    "BadRequest": Fault.INVALID,
    "Conflict": Fault.CONFLICT,
    "Expired": Fault.EXPIRED,
    "Forbidden": Fault.FORBIDDEN,
    "Gone": Fault.EXPIRED,
    "Invalid": Fault.INVALID,
    "MethodNotAllowed": Fault.MISCONFIGURED,
    "NotAcceptable": Fault.MISCONFIGURED,
    "NotFound": Fault.NOT_FOUND,
    "RequestEntityTooLarge": Fault.INVALID,
    "Unauthorized": Fault.UNAUTHORIZED,
    "UnsupportedMediaType": Fault.MISCONFIGURED,
}
# What kubectl makes of an answer that holds no Status, so that no API server gave it: a proxy's, or another service's.
_NO_STATUS = {
    "the server could not find the requested resource": Fault.UNREACHABLE,
    "the server reported a conflict": Fault.CONFLICT,
}
_NO_STATUS_CODE = re.compile(r"the server responded with the status code (\d+) but did not return more information")
_BY_CODE = {"410": Fault.EXPIRED, "413": Fault.INVALID}

# A line of kubectl's own log, such as a warning about a deprecated plugin: "W1125 06:12:57.694534   12413 loader.go:223] ..."
_LOG_LINE = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w./-]+:\d+\] .*\n?", re.MULTILINE)
# Where kubectl begins to say why it ends. Before it stands what a credential plugin wrote, which may look the same.
_LAST_WORD = re.compile(
    r"^(?:Error from server|error: |Unable to connect to the server|The connection to the server|Error in configuration|"
    r"The (?:request|\S+ \".*?\") is invalid)",
    re.MULTILINE,
)
_STATUS = re.compile(r"Error from server(?: \((\w+)\))?: ?(.*)", re.DOTALL)
_UNAUTHORIZED = re.compile(r"error: You must be logged in to the server")
# kubectl has words of its own for 422.
_INVALID = re.compile(r"The (?:request|\S+ \".*?\") is invalid")
_PLUGIN = re.compile(
    r"Unable to connect to the server: (?=(?:.*: )?(?:getting credentials|failed to refresh token|No valid id-token))", re.DOTALL
)
_PLUGIN_UNUSABLE = re.compile(
    r"executable .* not found|fork/exec .*: (?:no such file|permission denied|exec format error)|is configured to use API version"
)
# What kubectl says before it has reached any server, or of a server that is not the kubeconfig's; waiting does not mend it.
_MISCONFIGURED = re.compile(
    r"context .* does not exist|context was not found|error loading config|Error in configuration|"
    r"no configuration has been provided|invalid configuration|must be a URL|unknown (?:flag|command)|unable to (?:read|load)|"
    r"no such file|permission denied|error reading input|exec plugin: |auth plugin has been removed|no Auth Provider found|"
    r"x509:|first record does not look like a TLS handshake|gave HTTP response to HTTPS client|"
    r"remote error: tls: .*(?:certificate|handshake failure|protocol version)",
    re.IGNORECASE,
)


class KubectlError(Exception):
    """
    A request that kubectl could not make, or that the API server refused.

    :param fault: what kind of no it was.
    :param message: kubectl's sentence, which holds the API server's.
    :param verb: the request, as ``kubectl.sh`` calls it.
    """

    def __init__(self, fault: Fault, message: str, verb: str = "") -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.verb = verb

    @property
    def words(self) -> str:
        """What does not work, for a request that is made again."""
        return _WORDS.get(self.fault, "the API server refuses it")

    @property
    def trouble(self) -> str:
        """What does not work, and why."""
        return f"{self.words}: {self.message}"


def read_error(exit_code: int, stderr: str, verb: str = "") -> KubectlError:
    """Read what kubectl wrote to standard error. What is not known is taken for a server out of reach, and tried again."""
    text = _LOG_LINE.sub("", stderr).strip() or stderr.strip() or f"kubectl ended with exit code {exit_code} and said nothing"
    own = text
    for begins in _LAST_WORD.finditer(text):
        own = text[begins.start() :]
    return KubectlError(*_read_word(exit_code, text, own), verb)


def _read_word(exit_code: int, text: str, own: str) -> tuple[Fault, str]:
    if match := _STATUS.match(own):
        reason, sentence = match.groups()
        sentence = sentence.strip() or f"it gives no reason ({reason})"
        return _read_status(reason, sentence), sentence
    if _UNAUTHORIZED.match(own):
        return Fault.UNAUTHORIZED, own
    if _INVALID.match(own):
        return Fault.INVALID, own
    if match := _PLUGIN.match(own):
        said = text.removesuffix(own).strip()
        cause = own[match.end() :]
        fault = Fault.MISCONFIGURED if _PLUGIN_UNUSABLE.search(cause) else Fault.CREDENTIALS
        return fault, f"{cause}: {said}" if said else cause
    if "error reading input" in own:
        return Fault.MISCONFIGURED, f"the kubeconfig has no credentials, and kubectl asks for a name and a password ({own})"
    if exit_code in (126, 127) or _MISCONFIGURED.search(own):
        return Fault.MISCONFIGURED, text
    return Fault.UNREACHABLE, text


def _read_status(reason: str | None, sentence: str) -> Fault:
    """Tell what an answer of the API server, or of a proxy before it, means."""
    if sentence in _NO_STATUS:
        return _NO_STATUS[sentence]
    if reason is None and (match := _NO_STATUS_CODE.match(sentence)):
        return _BY_CODE.get(match[1], Fault.UNREACHABLE)
    if reason == "BadRequest" and "is waiting to start" in sentence:
        return Fault.NOT_READY
    if reason == "Forbidden" and "not yet ready to handle request" in sentence:  # an API server that has just started
        return Fault.SERVER_ERROR
    return _BY_REASON.get(reason or "", Fault.SERVER_ERROR)


def read_event(line: bytes) -> tuple[str, dict[str, Any]]:
    """
    Read a line of a watch: ``ADDED``, ``MODIFIED`` or ``DELETED``, and the pod.

    :raises KubectlError: the version that was asked for is too old (EXPIRED); the API server can't go on (SERVER_ERROR); or the
        line is no event, as what a proxy says, or half of a line (UNREACHABLE).
    """
    try:
        event = json.loads(line)
        kind, told = str(event["type"]), event["object"]
        if kind == "ERROR":
            fault = Fault.EXPIRED if told.get("code") == 410 else Fault.SERVER_ERROR
            raise KubectlError(fault, f"the watch ended with an error: {told.get('message')}", "watch")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise KubectlError(Fault.UNREACHABLE, f"the watch told no event: {_beginning(line)}", "watch") from None
    return kind, _pod(told, "watch")


def _pod(document: Any, verb: str) -> dict[str, Any]:
    """Take a pod for one only if it has what all API servers give a pod: who answers may be a proxy."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or "name" not in metadata or "resourceVersion" not in metadata:
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no pod: {_beginning(json.dumps(document).encode())}", verb)
    return document  # type: ignore[no-any-return]


def _json(answer: bytes, verb: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no JSON: {_beginning(answer)}", verb) from None
    return document


def _beginning(answer: bytes) -> str:
    return repr(answer[:200].decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End kubectl and what it has started: a credential plugin that hangs would go on for ever."""
    for signal_number, seconds in ((signal.SIGTERM, 1), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


class Stream:
    """A request whose answer is read as it comes; :meth:`fileno` makes it fit for ``selectors``."""

    def __init__(self, verb: str, environment: Mapping[str, str]) -> None:
        self._verb = verb
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(  # noqa: S603
            [*_BASH, verb],
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
        return read_error(exit_code, stderr, self._verb) if exit_code else None

    def close(self) -> None:
        """End the request; may be called more than once."""
        if self._stdout.closed:
            return
        _end(self._process)
        self._stdout.close()
        self._stderr.close()


class Kubectl:
    """
    The requests about one pod.

    :param environment: from :meth:`ClusterAccess.environment`; added to what ``settings`` leave of this process's own.
    :param namespace: the pod's namespace.
    :param pod: the pod's name.
    :param container: the container whose log is read.
    :param settings: which kubectl is run, and what it gets of this process's environment.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        namespace: str,
        pod: str,
        container: str = "base",
        settings: KubectlSettings | None = None,
    ) -> None:
        self.namespace = namespace
        self.pod = pod
        self._environment = {
            **(settings or KubectlSettings()).environment(),
            **environment,
            **_variables(NAMESPACE=namespace, POD=pod, CONTAINER=container),
        }

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """POST the manifest; the pod as the API server took it."""
        return _pod(self._object("create", manifest), "create")

    def get(self, seconds: int = 10) -> dict[str, Any]:
        """The pod as it is now; takes so many seconds at most."""
        return _pod(self._object("get", REQUEST_TIMEOUT=f"{seconds}s"), "get")

    def replace(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """PUT the pod, whose ``resourceVersion`` must be the current one."""
        return _pod(self._object("replace", pod), "replace")

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
            answer = self._request("delete", json.dumps(options).encode(), REQUEST_TIMEOUT=f"{seconds}s")
            if answer.strip():
                _json(answer, "delete")  # a page of a proxy's deletes nothing
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
        return Stream(verb, {**self._environment, **_variables(**variables)})

    def _object(self, verb: str, body: Mapping[str, Any] | None = None, **variables: str) -> dict[str, Any]:
        return _json(self._request(verb, json.dumps(body).encode() if body is not None else b"", **variables), verb)

    def _request(self, verb: str, body: bytes = b"", **variables: str) -> bytes:
        try:
            process = subprocess.Popen(  # noqa: S603
                [*_BASH, verb],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self._environment, **_variables(**variables)},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise KubectlError(Fault.MISCONFIGURED, "there is no bash on this worker: install it", verb) from None
        with process:
            try:
                answer, stderr = process.communicate(body, _PROCESS_TIMEOUT)
            except subprocess.TimeoutExpired as late:
                _end(process)
                raise _hangs(verb, late.stderr or b"") from None
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            raise read_error(process.returncode, stderr.decode(errors="replace"), verb)
        return answer


def _variables(**values: str) -> dict[str, str]:
    """Name values as ``kubectl.sh`` reads them."""
    return {f"{PREFIX}{name}": value for name, value in values.items()}


def _hangs(verb: str, stderr: bytes) -> KubectlError:
    """The API server would have been given up sooner."""
    said = _LOG_LINE.sub("", stderr.decode(errors="replace")).strip()
    return KubectlError(
        Fault.CREDENTIALS,
        f"no answer to {verb} in {_PROCESS_TIMEOUT} s, so it was ended: the kubeconfig's credential plugin hangs, or the server "
        f"asks again and again for patience{f': {said}' if said else ''}",
        verb,
    )
