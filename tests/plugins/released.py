"""
The last released package beside the present one: from its wheel, in processes of its own, with the same Python and dependencies.

The wheel was built from the commit of the release. What it prints, leaves and writes is what a user's older workers, triggerers and
database have.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from plugins.command_line import Answer
from plugins.processes import below
from plugins.tasks import RUN_ID, Left, Tasks
from plugins.workers import wait_until

_TESTS = Path(__file__).parents[1]
[WHEEL] = (_TESTS / "releases").glob("*.whl")
"""The wheel. ``CONTRIBUTING.md`` says how the next one comes into its place."""

_PROGRAM = _TESTS / "upgrade" / "released_package.py"


@dataclass(frozen=True)
class Ended:
    """A part of a task that the released package has run: its state, its exception, its log and its return value."""

    state: str
    error: str
    log: list[str]
    result: Any
    left: Left | None
    """The data that a deferred task left."""


@dataclass
class Released:
    """A process that has imported the released package, and forks one for each request."""

    process: subprocess.Popen[str]
    folder: Path
    """The folder for the files of requests, and for the errors that the process prints."""
    asked: int = 0

    def ask(self, do: str, **arguments: Any) -> Any:
        """Call a function of the program in this process's environment; return its result as JSON values."""
        with self.asking(do, **arguments) as request:
            wait_until(request.has_ended, f"the released package's {do}")
            answer = request.answer
        assert answer.exists(), self._errors()
        return json.loads(answer.read_text())

    @contextmanager
    def asking(self, do: str, **arguments: Any) -> Iterator[Request]:
        """Start a request, and yield it; kill it at the end of the block, if it has not ended."""
        self.asked += 1
        request = Request(self.folder / f"{self.asked}")
        files = {name: str(getattr(request, name)) for name in ("pid", "answer", "code")}
        assert self.process.stdin is not None
        print(
            json.dumps({"do": do, "arguments": arguments, "environment": dict(os.environ), **files}),
            file=self.process.stdin,
            flush=True,
        )
        wait_until(lambda: request.pid.exists() or self.process.poll() is not None, "the released package is imported")
        assert self.process.poll() is None, self._errors()
        try:
            yield request
        finally:
            request.kill()

    def dagconfig(self, *words: str) -> Answer:
        """Run ``airflow dagconfig WORDS``."""
        return Answer(**self.ask("command", words=words))

    def run(self, tasks: Tasks, *cmds: str, **parameters: Any) -> Ended:
        """
        Run a part of a task, as ``tasks.run`` does in the present package.

        :param parameters: ``try_number``, ``left``, ``event``, and arguments of the operator.
        """
        found = self.ask("task", **_task(tasks, *cmds, **parameters))
        left = found["left"] and Left(**found["left"])
        return Ended(found["state"], found["error"], found["log"], found["result"], left)

    @contextmanager
    def running(self, tasks: Tasks, *cmds: str, **parameters: Any) -> Iterator[Request]:
        """Start a task, with the parameters of :meth:`run`; its worker is killed at the end of the block, if it has not ended."""
        with self.asking("task", **_task(tasks, *cmds, **parameters)) as request:
            yield request

    def fire(self, left: Left) -> Any:
        """Run the trigger of a deferred task until its event; return the event."""
        return self.ask("fire", classpath=left.classpath, trigger=left.trigger)

    def _errors(self) -> str:
        return (self.folder / "errors.log").read_text()[-3000:]


@dataclass(frozen=True)
class Request:
    """One request, by the files that it writes."""

    path: Path

    @property
    def pid(self) -> Path:
        """The file with the id of its process; it is there once that has started."""
        return self.path.with_suffix(".pid")

    @property
    def answer(self) -> Path:
        """The file with its result."""
        return self.path.with_suffix(".answer")

    @property
    def code(self) -> Path:
        """The file with the exit code of its process; it is there once that has ended."""
        return self.path.with_suffix(".code")

    def has_ended(self) -> bool:
        return self.code.exists()

    def kill(self) -> None:
        """Kill its process and the descendants of that, if they run; they cannot react."""
        if not self.has_ended():
            pid = int(self.pid.read_text())
            for one in (pid, *below(pid)):
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            wait_until(self.has_ended, "the killed process is gone")


def _task(
    tasks: Tasks, *cmds: str, try_number: int = 1, left: Left | None = None, event: Any = None, **arguments: Any
) -> dict[str, Any]:
    """Return the arguments of a task for the program: the ids and the operator that ``tasks.run`` would have."""
    operator = tasks.arguments(*cmds, **arguments)
    return {
        "operator": operator,
        "run_id": RUN_ID,
        "try_number": try_number,
        "kept": str(tasks.kept_by(RUN_ID, operator["task_id"])),
        "left": None if left is None else asdict(left),
        "event": event,
    }


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Released]:
    """The last released package, unpacked into a folder of its own."""
    folder = tmp_path_factory.mktemp("released")
    package = folder / "package"
    with zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(package)
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (folder / "errors.log").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, _PROGRAM],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            text=True,
        )
    try:
        yield Released(process, folder)
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
