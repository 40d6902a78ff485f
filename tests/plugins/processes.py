"""The processes of tasks on this machine, and their kubectls. Not a pytest plugin: it is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def below(pid: int) -> list[int]:
    """Return the descendants of a process."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found[1:]


def requests_of(what: str) -> Iterator[int]:
    """Yield the processes that make a request whose address contains this text."""
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # not a process, or one that has just ended
            variables = (folder / "environ").read_text(errors="replace").split("\0")
            if any(variable.startswith("DAGCONFIG_URI=") and what in variable for variable in variables):
                yield int(folder.name)


def task_processes(pod: str) -> set[int]:
    """
    Return the processes of tasks that send requests about a pod: the parents of these requests that descend from this process.

    A request whose parent has ended belongs to no task any more: the system has given it another parent.
    """
    requests = set(requests_of(pod))
    with suppress(OSError):
        return {parent(pid) for pid in requests} & set(below(os.getpid())) - requests
    return set()
