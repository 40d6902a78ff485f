"""
Runs ``kubectl.sh`` in bash, one process for each request. No other module starts a process.

``requests`` describes the requests, ``errors`` interprets their errors. Each request is logged at level DEBUG: its verb and path,
and its result after how many seconds. Contents are never logged, since a pod may hold a secret.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from copy import copy
from pathlib import Path
from typing import Any

from airflow_provider_dagconfig.kubectl import requests
from airflow_provider_dagconfig.kubectl.environment import PREFIX, KubectlSettings, named_descriptors
from airflow_provider_dagconfig.kubectl.errors import PLUGIN, Fault, KubectlError, read_error, without_log
from airflow_provider_dagconfig.kubectl.events import read_json, read_pod
from airflow_provider_dagconfig.kubectl.lifeline import Lifeline
from airflow_provider_dagconfig.kubectl.requests import PATIENCE, PodPath, Request
from airflow_provider_dagconfig.wording import printables

SCRIPT = Path(__file__).with_name("kubectl.sh")
# -p: bash ignores the file in BASH_ENV and functions in the environment.
_BASH = ("bash", "-p", str(SCRIPT))
# Seconds; after them the process is ended. kubectl has a timeout for its request; this one is for what hangs before the request,
# such as a credential plugin.
_PROCESS_TIMEOUT = 60

_PLUGIN = Request("plugin", "plugin", "")

log = logging.getLogger(__name__)


class Stream:
    """
    A request whose answer is read as it arrives. :meth:`fileno` lets ``selectors`` wait for it.

    :param add_details: adds details to an error that need another request.
    """

    def __init__(
        self,
        request: Request,
        environment: Mapping[str, str],
        add_details: Callable[[KubectlError], KubectlError] = lambda error: error,
    ) -> None:
        self._request, self._begun_at, self._bytes, self._add_details = request, time.monotonic(), 0, add_details
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process, self._lifeline = _start(request, environment, stdin=subprocess.DEVNULL, stderr=self._stderr)
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        log.debug("%s %s: opened", *printables(request.verb, request.uri))

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._stdout.fileno()

    def read(self) -> bytes:
        """Return the bytes that have arrived; empty at the end."""
        chunk = os.read(self.fileno(), 1 << 16)
        self._bytes += len(chunk)
        return chunk

    def error(self) -> KubectlError | None:
        """Wait for the end, after :meth:`read` returned nothing. Return the error; None if kubectl succeeded."""
        exit_code = self._process.wait()
        self._lifeline.close()
        self._stdout.close()
        self._stderr.seek(0)
        stderr = self._stderr.read().decode(errors="replace")
        self._stderr.close()
        error = self._add_details(read_error(exit_code, stderr, self._request.verb)) if exit_code else None
        self._log(error.fault.value if error else "its end")
        return error

    def close(self) -> None:
        """End the request; may be called more than once."""
        if self._stdout.closed:
            return
        _terminate(self._process)
        self._lifeline.close()
        self._stdout.close()
        self._stderr.close()
        self._log("closed")

    def _log(self, end: str) -> None:
        request, seconds = self._request, time.monotonic() - self._begun_at
        log.debug("%s %s: %s after %d bytes in %.2f s", *printables(request.verb, request.uri, end, self._bytes, seconds))


class Client:
    """
    Makes requests.

    :param environment: from :meth:`ClusterAccess.environment`; added to the variables of this process that ``settings`` let
        through.
    :param settings: which kubectl runs, and which of this process's variables it gets.
    """

    def __init__(self, environment: Mapping[str, str], settings: KubectlSettings | None = None) -> None:
        self._environment = {**(settings or KubectlSettings()).environment(), **environment}

    def ask(self, request: Request) -> bytes:
        """
        Make a request and return its answer.

        :raises KubectlError: there is no answer, or it is a refusal.
        """
        begun = time.monotonic()
        try:
            answer = self._run(request)
        except KubectlError as error:
            seconds = time.monotonic() - begun
            log.debug("%s %s: %s in %.2f s", *printables(request.verb, request.uri, error.fault.value, seconds))
            raise
        seconds = time.monotonic() - begun
        log.debug("%s %s: %d bytes in %.2f s", *printables(request.verb, request.uri, len(answer), seconds))
        return answer

    def ask_json(self, request: Request) -> dict[str, Any]:
        """
        Make a request and return its answer, a JSON object.

        :raises KubectlError: there is no answer, or it is a refusal.
        """
        return read_json(self.ask(request), request.verb)

    def open(self, request: Request) -> Stream:
        """Make a request whose answer is read as it arrives."""
        return Stream(request, self._request_environment(request), self._with_plugin_command)

    def _request_environment(self, request: Request) -> dict[str, str]:
        seconds = "" if request.seconds is None else f"{request.seconds}s"
        return {**self._environment, f"{PREFIX}URI": request.uri, f"{PREFIX}REQUEST_TIMEOUT": seconds}

    def _run(self, request: Request) -> bytes:
        body = b"" if request.body is None else json.dumps(request.body).encode()
        process, lifeline = _start(request, self._request_environment(request), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        with closing(lifeline), process:
            try:
                answer, stderr = process.communicate(body, _PROCESS_TIMEOUT)
            except subprocess.TimeoutExpired as late:
                children = _running_children(process)
                _terminate(process)
                raise _hanging_error(request.verb, late.stderr or b"", children) from None
            except BaseException:
                _terminate(process)
                raise
        if process.returncode:
            raise self._with_plugin_command(read_error(process.returncode, stderr.decode(errors="replace"), request.verb))
        return answer

    def _with_plugin_command(self, error: KubectlError) -> KubectlError:
        """Add the credential plugin's name to an error that lacks it. The request for it asks no server and runs no plugin."""
        if PLUGIN not in error.message or error.verb == _PLUGIN.verb:
            return error
        try:
            command = self._run(_PLUGIN).decode(errors="replace").strip()
        except KubectlError:
            return error
        return KubectlError(error.fault, error.message.replace(PLUGIN, f"{PLUGIN} {command}".strip(), 1), error.verb)


class Kubectl(Client):
    """
    The requests about one pod.

    :param environment: from :meth:`ClusterAccess.environment`; added to the variables of this process that ``settings`` let
        through.
    :param namespace: the pod's namespace.
    :param pod: the pod's name.
    :param container: the container whose log is read.
    :param settings: which kubectl runs, and which of this process's variables it gets.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        namespace: str,
        pod: str,
        container: str = "base",
        settings: KubectlSettings | None = None,
    ) -> None:
        super().__init__(environment, settings)
        self.namespace = namespace
        self.pod = pod
        self._path = PodPath(namespace, pod, container)

    def within(self, environment: Mapping[str, str]) -> Kubectl:
        """
        Return the same requests with renewed credentials: a temporary kubeconfig does not outlast its block.

        :param environment: from :meth:`ClusterAccess.environment`; overrides the variables that were given before.
        """
        renewed = copy(self)
        renewed._environment = {**self._environment, **environment}
        return renewed

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """POST the manifest, and return the pod as the API server stored it."""
        return self._ask_pod(requests.create(self._path, manifest))

    def get(self, seconds: int = PATIENCE) -> dict[str, Any]:
        """Return the current state of the pod; ``seconds`` is the request's timeout."""
        return self._ask_pod(requests.get(self._path, seconds))

    def replace(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """PUT the pod, whose ``resourceVersion`` must be the current one, and return the new state."""
        return self._ask_pod(requests.replace(self._path, pod))

    def events(self) -> list[dict[str, Any]]:
        """Return the pod's events, as the API server lists them."""
        items: list[dict[str, Any]] = self.ask_json(requests.events(self._path)).get("items", [])
        return items

    def delete(self, pod: Mapping[str, Any], seconds: int = PATIENCE, *, unchanged: bool = False) -> None:
        """
        Request the deletion of exactly this pod, not of another pod with its name. If the pod is gone, that is no error.

        :param pod: as the API server returned it.
        :param seconds: the request's timeout.
        :param unchanged: delete the pod only if it has not changed since.
        :raises KubectlError: CONFLICT if another pod has the name, or if the pod has changed.
        """
        try:
            answer = self.ask(requests.delete(self._path, pod, seconds, unchanged=unchanged))
            if answer.strip():
                read_json(answer, "delete")  # raises if the answer is no JSON: a proxy's page deletes nothing
        except KubectlError as error:
            if error.fault is not Fault.NOT_FOUND:
                raise

    def watch(self) -> Stream:
        """Stream the present state of the pod, if it exists, then each change, one JSON object per line."""
        return self.open(requests.watch(self._path))

    def log(self, since: str | None, *, follow: bool) -> Stream:
        """Stream the container's log with times, from a moment (RFC 3339) on; with ``follow``, new lines as well."""
        return self.open(requests.log(self._path, since, follow=follow))

    def _ask_pod(self, request: Request) -> dict[str, Any]:
        return read_pod(self.ask_json(request), request.verb)


def _start(request: Request, environment: Mapping[str, str], **streams: Any) -> tuple[subprocess.Popen[bytes], Lifeline]:
    """Start kubectl.sh. It is ended when this process ends, for whatever reason."""
    lifeline = Lifeline()
    try:
        process = subprocess.Popen(  # noqa: S603
            [*_BASH, request.command],
            stdout=subprocess.PIPE,
            env={**environment, f"{PREFIX}LIFELINE": lifeline.waits_on},
            start_new_session=True,
            pass_fds=(*lifeline.descriptors, *named_descriptors(environment)),
            **streams,
        )
    except BaseException as error:
        lifeline.close()
        if isinstance(error, FileNotFoundError):
            raise KubectlError(Fault.MISCONFIGURED, "there is no bash on this worker: install it", request.verb) from None
        raise
    lifeline.tie(process.pid)
    return process, lifeline


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """End kubectl and the processes that it has started: a credential plugin that hangs would run forever."""
    for signal_number, seconds in ((signal.SIGTERM, 1), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _running_children(process: subprocess.Popen[bytes]) -> list[str]:
    """Return the names of the running programs that kubectl has started; empty if the system does not list them (not Linux)."""
    names = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            number, _, rest = stat.read_text(errors="replace").partition(" (")
            name, _, fields = rest.rpartition(") ")
            if int(fields.split()[2]) == process.pid != int(number):  # its process group
                names[int(number)] = name
    return [name for _, name in sorted(names.items())]


def _hanging_error(verb: str, stderr: bytes, children: list[str]) -> KubectlError:
    """Return the error of a request that timed out. A server that does not answer is not the cause: kubectl gives up sooner."""
    output = without_log(stderr.decode(errors="replace"))
    why = f"hangs ({', '.join(children)})" if children else "hangs, or the server keeps asking to try again later"
    return KubectlError(
        Fault.CREDENTIALS,
        f"no answer to {verb} in {_PROCESS_TIMEOUT} s, so it was ended: a credential plugin {why}{f': {output}' if output else ''}",
        verb,
    )
