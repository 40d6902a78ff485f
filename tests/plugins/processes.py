"""The processes of tasks on this machine, and the kubectls that they have started. Not a pytest plugin: it is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def below(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found[1:]


def requests_of(what: str) -> Iterator[int]:
    """The processes that make a request for something, by a part of its address."""
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # no process, or one that has just ended
            variables = (folder / "environ").read_text(errors="replace").split("\0")
            if any(variable.startswith("DAGCONFIG_URI=") and what in variable for variable in variables):
                yield int(folder.name)


def task_processes(pod: str) -> set[int]:
    """
    The processes of tasks that ask about a pod: those that started who asks, and that this process started, or who it did.

    One that was started by a process that is gone is no task's any more: its parent is whoever takes orphans.
    """
    requests = set(requests_of(pod))
    with suppress(OSError):
        return {parent(pid) for pid in requests} & set(below(os.getpid())) - requests
    return set()
