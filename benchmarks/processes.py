"""Python processes of the benchmarks: how they are started, and the result in their last line."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from benchmarks.process_tree import Samples, sampled

SECONDS = 900
"""Seconds; after them a process counts as hung."""


def run(module: str, *arguments: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """
    Run a module of this package in a process, and return the JSON object in its last line.

    :raises RuntimeError: it failed; the message has its output.
    """
    return run_sampled(module, *arguments, environment=environment, every=None)[0]


def run_sampled(
    module: str, *arguments: str, environment: Mapping[str, str], every: float | None = 0.2
) -> tuple[dict[str, Any], Samples]:
    """
    Do the same, and return the samples of its tree's memory too.

    :param every: seconds between two samples; None takes no samples.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    # The output goes into files, because nobody reads it while the process runs.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        try:
            if every is None:
                samples = Samples()
                process.wait(SECONDS)
            else:
                with sampled(process.pid, every) as samples:
                    process.wait(SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        errors.seek(0)
        printed = output.read()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command[2:])} failed:\n{printed[-2000:]}{errors.read()[-4000:]}")
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found, samples
