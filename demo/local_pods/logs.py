"""
The output of a container: stored by line, with the time it was read, and returned as the kubelet does.

It stays bytes. Nothing is rotated or cut, so a container's log is in memory until its pod is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timezone
from time import time_ns

# Lines that are sent in one piece.
_BATCH = 500


@dataclass(frozen=True)
class LogOptions:
    """The options of a request for a log. Kubernetes: ``PodLogOptions``."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_ns: int | None = None


class ContainerLog:
    """The log of one run of a container: the lines as they came through its pipe."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, bytes]] = []
        self._rest: list[bytes] = []
        self._closed = False
        self._more = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Store data from the pipe; a line counts when its end has come."""
        *complete, rest = data.split(b"\n")
        read_at = time_ns()
        for part in complete:
            self._lines.append((read_at, b"".join((*self._rest, part, b"\n"))))
            self._rest.clear()
        if rest:
            self._rest.append(rest)
        self._pulse()

    def close(self) -> None:
        """Record that nothing follows. A last line without an end counts from now on."""
        if self._rest:
            self._lines.append((time_ns(), b"".join(self._rest)))
            self._rest.clear()
        self._closed = True
        self._pulse()

    def _pulse(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    def tail(self, lines: int, size: int) -> bytes:
        """Return the end of the log, for a termination message."""
        return b"".join(line for _, line in self._lines[-lines:])[-size:]

    async def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """
        Yield the log in pieces.

        With ``follow`` it ends when the container has ended and everything was sent.
        """
        at = 0 if options.tail_lines is None else max(0, len(self._lines) - options.tail_lines)
        left = options.limit_bytes
        while True:
            more = self._more
            while at < len(self._lines):
                batch = self._lines[at : at + _BATCH]
                at += len(batch)
                piece = b"".join(_line(read_at, line, options) for read_at, line in batch)
                if left is not None:
                    piece = piece[:left]
                    left -= len(piece)
                if piece:
                    yield piece
                if left == 0:
                    return
            if self._closed or not options.follow:
                return
            await more.wait()


def _line(read_at: int, line: bytes, options: LogOptions) -> bytes:
    if options.since_ns is not None and read_at < options.since_ns:
        return b""
    if not options.timestamps:
        return line
    seconds, nanoseconds = divmod(read_at, 1_000_000_000)
    when = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z ".encode() + line
