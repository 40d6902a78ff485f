"""
The only place where processes are started: ``kubectl.sh`` in bash, one request a process.

What is asked is described in ``requests``, what an error means in ``errors``. Each request is in the log at level DEBUG: which one,
and after how many seconds what came back; never what was sent or received, since a pod may hold a secret.
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
# -p: no file of BASH_ENV and no function of the environment is taken.
_BASH = ("bash", "-p", str(SCRIPT))
# Seconds. kubectl gives a request up itself; this is for what hangs before it asks (a credential plugin), which is ended then.
_PROCESS_TIMEOUT = 60

_PLUGIN = Request("plugin", "plugin", "")

log = logging.getLogger(__name__)


class Stream:
    """
    A request whose answer is read as it comes; :meth:`fileno` makes it fit for ``selectors``.

    :param complete: adds to an error what the request alone does not tell.
    """

    def __init__(
        self,
        request: Request,
        environment: Mapping[str, str],
        complete: Callable[[KubectlError], KubectlError] = lambda error: error,
    ) -> None:
        self._request, self._begun, self._bytes, self._complete = request, time.monotonic(), 0, complete
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process, self._lifeline = _start(request, environment, stdin=subprocess.DEVNULL, stderr=self._stderr)
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        log.debug("%s %s: opened", *printables(request.verb, request.uri))

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._stdout.fileno()

    def read(self) -> bytes:
        """What has come; empty at the end."""
        chunk = os.read(self.fileno(), 1 << 16)
        self._bytes += len(chunk)
        return chunk

    def error(self) -> KubectlError | None:
        """Wait for the end, after :meth:`read` gave nothing; None for a good end."""
        exit_code = self._process.wait()
        self._lifeline.close()
        self._stdout.close()
        self._stderr.seek(0)
        stderr = self._stderr.read().decode(errors="replace")
        self._stderr.close()
        error = self._complete(read_error(exit_code, stderr, self._request.verb)) if exit_code else None
        self._log(error.fault.value if error else "its end")
        return error

    def close(self) -> None:
        """End the request; may be called more than once."""
        if self._stdout.closed:
            return
        _end(self._process)
        self._lifeline.close()
        self._stdout.close()
        self._stderr.close()
        self._log("closed")

    def _log(self, end: str) -> None:
        request, seconds = self._request, time.monotonic() - self._begun
        log.debug("%s %s: %s after %d bytes in %.2f s", *printables(request.verb, request.uri, end, self._bytes, seconds))


class Client:
    """
    Makes requests.

    :param environment: from :meth:`ClusterAccess.environment`; added to what ``settings`` leave of this process's own.
    :param settings: which kubectl is run, and what it gets of this process's environment.
    """

    def __init__(self, environment: Mapping[str, str], settings: KubectlSettings | None = None) -> None:
        self._environment = {**(settings or KubectlSettings()).environment(), **environment}

    def ask(self, request: Request) -> bytes:
        """
        Make a request and wait for its answer.

        :raises KubectlError: there is none, or it is no.
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
        Make a request whose answer is a JSON object.

        :raises KubectlError: there is none, or it is no.
        """
        return read_json(self.ask(request), request.verb)

    def open(self, request: Request) -> Stream:
        """Make a request whose answer is read as it comes."""
        return Stream(request, self._of(request), self._with_plugin)

    def _of(self, request: Request) -> dict[str, str]:
        seconds = "" if request.seconds is None else f"{request.seconds}s"
        return {**self._environment, f"{PREFIX}URI": request.uri, f"{PREFIX}REQUEST_TIMEOUT": seconds}

    def _run(self, request: Request) -> bytes:
        body = b"" if request.body is None else json.dumps(request.body).encode()
        process, lifeline = _start(request, self._of(request), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        with closing(lifeline), process:
            try:
                answer, stderr = process.communicate(body, _PROCESS_TIMEOUT)
            except subprocess.TimeoutExpired as late:
                hanging = _beside(process)
                _end(process)
                raise _hangs(request.verb, late.stderr or b"", hanging) from None
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            raise self._with_plugin(read_error(process.returncode, stderr.decode(errors="replace"), request.verb))
        return answer

    def _with_plugin(self, error: KubectlError) -> KubectlError:
        """Name the credential plugin where kubectl does not; that asks no server, and runs no plugin."""
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
        super().__init__(environment, settings)
        self.namespace = namespace
        self.pod = pod
        self._path = PodPath(namespace, pod, container)

    def within(self, environment: Mapping[str, str]) -> Kubectl:
        """
        Give the same requests with credentials that were made anew: a temporary kubeconfig does not outlast its block.

        :param environment: from :meth:`ClusterAccess.environment`; stands above what was given before.
        """
        renewed = copy(self)
        renewed._environment = {**self._environment, **environment}
        return renewed

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """POST the manifest; the pod as the API server took it."""
        return self._ask_pod(requests.create(self._path, manifest))

    def get(self, seconds: int = PATIENCE) -> dict[str, Any]:
        """The pod as it is now; takes so many seconds at most."""
        return self._ask_pod(requests.get(self._path, seconds))

    def replace(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """PUT the pod, whose ``resourceVersion`` must be the current one."""
        return self._ask_pod(requests.replace(self._path, pod))

    def events(self) -> list[dict[str, Any]]:
        """What happened to the pod, as the API server lists it."""
        items: list[dict[str, Any]] = self.ask_json(requests.events(self._path)).get("items", [])
        return items

    def delete(self, pod: Mapping[str, Any], seconds: int = PATIENCE, *, unchanged: bool = False) -> None:
        """
        Ask for the deletion of this pod, and of no other that has its name; no error where it is gone.

        :param pod: as the API server gave it.
        :param seconds: how long it takes at most.
        :param unchanged: only if nothing about it has changed since.
        :raises KubectlError: CONFLICT, where another has the name or something has changed.
        """
        try:
            answer = self.ask(requests.delete(self._path, pod, seconds, unchanged=unchanged))
            if answer.strip():
                read_json(answer, "delete")  # a page of a proxy's deletes nothing
        except KubectlError as error:
            if error.fault is not Fault.NOT_FOUND:
                raise

    def watch(self) -> Stream:
        """The pod as it is, where there is one, then each change; a JSON object a line."""
        return self.open(requests.watch(self._path))

    def log(self, since: str | None, *, follow: bool) -> Stream:
        """The container's log with times, from a moment (RFC 3339), and what is still to come where it is followed."""
        return self.open(requests.log(self._path, since, follow=follow))

    def _ask_pod(self, request: Request) -> dict[str, Any]:
        return read_pod(self.ask_json(request), request.verb)


def _start(request: Request, environment: Mapping[str, str], **streams: Any) -> tuple[subprocess.Popen[bytes], Lifeline]:
    """Start kubectl.sh, which ends with this process, however that ends."""
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


def _end(process: subprocess.Popen[bytes]) -> None:
    """End kubectl and what it has started: a credential plugin that hangs would go on for ever."""
    for signal_number, seconds in ((signal.SIGTERM, 1), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _beside(process: subprocess.Popen[bytes]) -> list[str]:
    """Give the names of the programs that kubectl has started and that still run, where the system tells (Linux)."""
    names = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            number, _, rest = stat.read_text(errors="replace").partition(" (")
            name, _, fields = rest.rpartition(") ")
            if int(fields.split()[2]) == process.pid != int(number):  # its process group
                names[int(number)] = name
    return [name for _, name in sorted(names.items())]


def _hangs(verb: str, stderr: bytes, hanging: list[str]) -> KubectlError:
    """The API server would have been given up sooner."""
    said = without_log(stderr.decode(errors="replace"))
    why = f"hangs ({', '.join(hanging)})" if hanging else "hangs, or the server asks again and again for patience"
    return KubectlError(
        Fault.CREDENTIALS,
        f"no answer to {verb} in {_PROCESS_TIMEOUT} s, so it was ended: a credential plugin {why}{f': {said}' if said else ''}",
        verb,
    )
