"""A trigger runner (trigger_runner.py) in another process, as its caller uses it."""

from __future__ import annotations

import json
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks import process_tree


class RunnerProcess:
    """Accepts triggers, and returns their events."""

    def __init__(self, operator: str, namespace: str, environment: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.trigger_runner", operator, "--namespace", namespace],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._next(600)  # it may take long: it imports much, and the machine may be busy
        time.sleep(0.5)
        self.empty_memory = statistics.median(self.memory() for _ in range(3))
        """MB of the runner before it has a trigger."""

    def send(self, **asked: Any) -> None:
        """Send it triggers, in the format of trigger_runner."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def wait_for_events(self, number: int, seconds: float) -> list[dict[str, Any]]:
        """
        Wait for a number of events, each with ``pod``, ``at`` and ``payload``.

        :raises RuntimeError: they do not come in time, or a trigger fails.
        """
        deadline, events = time.monotonic() + seconds, list[dict[str, Any]]()
        while len(events) < number:
            events.append(self._next(deadline - time.monotonic()))
            if "error" in events[-1]:
                raise RuntimeError(f"a trigger failed: {events[-1]}\n{self.errors()}")
        return events

    def memory(self) -> float:
        """Return the MB of the runner and of all its descendants (PSS)."""
        return process_tree.memory(self._process.pid)

    def cpu_seconds(self) -> float:
        """Return their CPU time so far."""
        return process_tree.cpu_seconds(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def errors(self) -> str:
        """Return the end of its log."""
        self._errors.seek(0)
        return self._errors.read()[-4000:]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()
        self._errors.close()

    def _next(self, seconds: float) -> dict[str, Any]:
        try:
            return self._lines.get(timeout=max(seconds, 0.01))
        except queue.Empty:
            raise RuntimeError(f"the trigger runner says nothing:\n{self.errors()}") from None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self._lines.put(json.loads(line))


@contextmanager
def running_triggers(operator: str, namespace: str, environment: Mapping[str, str]) -> Iterator[RunnerProcess]:
    """Run Airflow's trigger runner until the block ends."""
    runner = RunnerProcess(operator, namespace, environment)
    try:
        yield runner
    finally:
        runner.close()
