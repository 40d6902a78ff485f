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
"""Seconds that a worker has for its next step. After them the test fails."""


@dataclass
class Worker:
    """A process that runs a task's operator, as Airflow's worker does."""

    pid: int
    folder: Path
    _has_ended: bool = False

    def wait_until_it_asks_for(self, what: str) -> None:
        """Wait until one of its kubectls asks for a path with this in it."""
        wait_until(lambda: set(requests_of(what)) & set(below(self.pid)), f"the worker asks for {what}")

    def wait_until_held(self) -> None:
        """Wait until the kubectl of :func:`holding` has come where it stays."""
        wait_until((self.folder / "held").exists, "kubectl is held")

    def kill(self) -> None:
        """End it and what it started, with no chance to say or do anything."""
        if not self._has_ended:
            self._signal(signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._has_ended = True

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def result(self) -> dict[str, Any]:
        """Wait for its end; give the task's state, error and log."""
        wait_until(lambda: os.waitpid(self.pid, os.WNOHANG)[0] != 0, "the worker's end")
        self._has_ended = True
        result: dict[str, Any] = json.loads((self.folder / "result").read_text())
        return result

    def _signal(self, number: signal.Signals) -> None:
        # First itself: it starts nothing more then.
        for pid in (self.pid, *below(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def worker(tasks: Tasks, folder: Path, *cmds: str, kubectl: Path | None = None, **arguments: Any) -> Iterator[Worker]:
    """
    Run a task as ``tasks.run`` does, in a process of its own; kill it at the end of the block.

    :param folder: for what it has to say.
    :param kubectl: the program that it makes its requests with.
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
    Make a kubectl that comes to an answer of these requests never; of all others as ever.

    :param requests: a pattern of bash for its arguments.
    :param answered: the API server has done what is asked, and only the answer is held.
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
