"""The demo, ``python -m demo``, in another process. Not a pytest plugin: it is imported."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class Demo:
    """A demo that was started."""

    process: subprocess.Popen[bytes]
    folder: Path
    """The folder of all its temporary files."""
    output: Path

    def told(self) -> str:
        """Its output so far."""
        return self.output.read_text()

    def wait_until(self, condition: Callable[[], Any], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.1)

    def send(self, number: signal.Signals) -> None:
        """Send a signal as a terminal does: to all processes in its foreground."""
        os.killpg(self.process.pid, number)

    def left_behind(self) -> list[str]:
        """Return its files, and processes with one of its files in their command or environment."""
        files = [str(path) for path in self.folder.iterdir()]
        return files + [str(process) for process in psutil.process_iter(["pid", "cmdline"]) if self._started(process)]

    def _started(self, process: psutil.Process) -> bool:
        try:
            return any(str(self.folder) in text for text in (*process.cmdline(), *process.environ().values()))
        except psutil.Error:
            return False


@contextmanager
def running_demo(output: Path, *arguments: str, kubeconfig: str | None = None) -> Iterator[Demo]:
    """
    Start the demo; stop it at the end if it still runs.

    :param output: the file for its output.
    :param kubeconfig: the cluster's; without it the demo uses local pods.
    """
    variables = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    # Where root runs the tests, PostgreSQL's user cannot read pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="dagconfig-test-demo-"))
    folder.chmod(0o711)
    with output.open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo", *arguments],
            env=variables | {"TMPDIR": str(folder), "COLUMNS": "160"} | ({"KUBECONFIG": kubeconfig} if kubeconfig else {}),
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    demo = Demo(process, folder, output)
    try:
        yield demo
    finally:
        if process.poll() is None:
            demo.send(signal.SIGINT)
        # A demo that failed leaves its logs.
        if process.wait(timeout=120) != 1:
            shutil.rmtree(folder)
