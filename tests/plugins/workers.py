"""A task in a process that is killed outright or frozen, with its kubectls. Not a pytest plugin: it is imported."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.processes import below, requests_of
from plugins.tasks import Tasks

SECONDS = 60.0
"""Seconds that a worker has for its next step; then the test fails."""


@dataclass
class Worker:
    """A process that runs a task's operator, as Airflow's worker does."""

    pid: int
    folder: Path
    _has_ended: bool = False

    def wait_until_it_asks_for(self, what: str) -> None:
        """Wait until one of its kubectls requests a path that contains this."""
        wait_until(lambda: set(requests_of(what)) & set(below(self.pid)), f"the worker asks for {what}")

    def wait_until_held(self) -> None:
        """Wait until the kubectl of :func:`holding` holds a request."""
        wait_until((self.folder / "held").exists, "kubectl is held")

    def kill(self) -> None:
        """Kill it and its descendants; it cannot react."""
        if not self._has_ended:
            self._signal(signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._has_ended = True

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def result(self) -> dict[str, Any]:
        """Wait for its end; return the task's state, error and log."""
        wait_until(lambda: os.waitpid(self.pid, os.WNOHANG)[0] != 0, "the worker's end")
        self._has_ended = True
        result: dict[str, Any] = json.loads((self.folder / "result").read_text())
        return result

    def _signal(self, number: signal.Signals) -> None:
        # The worker first, so that it starts no further process.
        for pid in (self.pid, *below(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def worker(tasks: Tasks, folder: Path, *cmds: str, kubectl: Path | None = None, **arguments: Any) -> Iterator[Worker]:
    """
    Run a task as ``tasks.run`` does, in another process; kill it at the end of the block.

    :param folder: the folder for its result.
    :param kubectl: the program for its requests.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if kubectl is not None:
                os.environ["AIRFLOW__DAGCONFIG__KUBECTL"] = str(kubectl)
            task = tasks.run(*cmds, **arguments)
            (folder / "result").write_text(json.dumps({"state": task.state, "error": task.error, "log": task.log}))
            code = 0
        finally:
            os._exit(code)
    made = Worker(pid, folder)
    try:
        yield made
    finally:
        made.kill()


def holding(folder: Path, requests: str, *, answered: bool = False) -> Path:
    """
    Make a kubectl that never returns an answer to these requests; it passes on all others.

    :param requests: a pattern of bash for its arguments.
    :param answered: send the request to the API server, and hold only the answer.
    """
    made = folder / "holding-kubectl"
    ask = 'kubectl "$@" >/dev/null; ' if answered else ""
    hold = f'[[ " $* " != {requests} ]] || {{ {ask}touch {folder}/held; exec sleep 600; }}'
    made.write_text(f'#!/bin/bash\n{hold}\nexec kubectl "$@"\n')
    made.chmod(0o755)
    return made


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not so in {SECONDS:g} s: {what}"
        time.sleep(0.05)
