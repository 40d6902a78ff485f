"""
The memory and the CPU time of a process and of all its descendants, kubectl included.

Memory is PSS: a page that several processes share is divided among them (/proc/PID/smaps_rollup; Linux).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil  # type: ignore[import-untyped]

EVERY = 0.2
"""Seconds between two samples. One sample takes some milliseconds."""


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and those of its descendants that still exist."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory(pid: int) -> float:
    """Return the PSS of the whole tree, in MB."""
    total = 0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
            total += process.memory_full_info().pss
    return total / 1e6


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of the tree so far, including processes that have ended and were waited for."""
    total = 0.0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


class Samples:
    """The samples of a tree's memory: moments (time.time) and MB."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def between(self, begin: float, end: float) -> list[float]:
        """Return the values between two moments."""
        return [megabytes for at, megabytes in self.seen if begin <= at <= end]


@contextmanager
def sampled(pid: int, every: float = EVERY) -> Iterator[Samples]:
    """Sample a tree's memory until the block ends."""
    samples, over = Samples(), threading.Event()

    def look() -> None:
        while not over.wait(every):
            at, megabytes = time.time(), memory(pid)
            if megabytes:
                samples.seen.append((at, megabytes))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
