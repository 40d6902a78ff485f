"""
Turns the bytes of log requests into lines, each once and in order. Pure: no process, no clock.

The log is requested with ``timestamps=true``: the kubelet puts an RFC 3339 time before each line (source: Kubernetes API,
``PodLogOptions``). So a request after a lost connection can be matched with the lines that were already delivered. A line without
a time is not the job's: a kubelet that can't continue ends an answer with its own sentence, or with the runtime's ("rpc error:
code = NotFound desc = an error occurred when try to find container ...").
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any
from zlib import crc32

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
# Bytes. A container runtime splits a longer line into pieces of this size; kubelets before 1.27 put a time before each piece.
_PIECE_SIZES = (16 * 1024, 8 * 1024)  # containerd, CRI-O
# Nanoseconds that lines may be out of order: stdout and stderr get their times before they are written to the same file. The next
# request repeats this much of the log.
OVERLAP_NS = 5 * 10**9
_MAX_CARRIED_LINES = 500
"""Maximum number of lines in :attr:`LogLines.position`. If more lines came in five seconds, the overlap is shorter."""


class Remark(str):
    """A sentence about the log that is not a line of the job's."""

    __slots__ = ()


GAP = Remark("[The kubelet has rotated this log: lines may be missing here]")


def _nanoseconds(stamp: re.Match[bytes]) -> int:
    second, fraction, zone = (part.decode() if part else "" for part in stamp.groups())
    whole = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone))
    return int(whole.timestamp()) * 10**9 + int(fraction.ljust(9, "0") or 0)


def _join_pieces(text: bytes) -> bytes:
    for size in _PIECE_SIZES:
        if len(text) <= size or not _STAMP.match(text, size):
            continue
        pieces, position = [text[:size]], size
        while stamp := _STAMP.match(text, position):
            pieces.append(text[stamp.end() : stamp.end() + size])
            position = stamp.end() + size
        return b"".join([*pieces, text[position:]])
    return text


class LogLines:
    """
    The lines of one container's log over as many requests as it takes.

    Call :meth:`begin` before each request, :meth:`feed` with its data, :meth:`end` when the log is complete. A line that is not
    valid UTF-8 keeps its bytes as ``\\xNN``. A text that the job did not write is a :class:`Remark`.
    """

    def __init__(self, position: Mapping[str, Any] | None = None) -> None:
        """
        Begin with the first line, or continue after another process.

        :param position: from :attr:`position`.
        """
        self._unfinished: list[bytes] = []
        self._newest = int(position["newest"]) if position else 0
        recent = position["recent"] if position else ()
        self._recent: deque[tuple[int, int]] = deque((int(time), int(digest)) for time, digest in recent)
        self._delivered_until = self._recent[0][0] if position and self._recent else 0
        self._repeated: Counter[tuple[int, int]] = Counter()
        self._resume_from = 0
        self._is_joined = True
        self._remark: Remark | None = None

    @property
    def since(self) -> str | None:
        """The ``sinceTime`` for the next request, in whole seconds; None if no line was delivered."""
        if not self._newest:
            return None
        return datetime.fromtimestamp((self._newest - OVERLAP_NS) // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def position(self) -> dict[str, Any] | None:
        """How far the lines were delivered, as JSON values; None if none was."""
        if not self._newest:
            return None
        return {"newest": self._newest, "recent": [list(key) for key in list(self._recent)[-_MAX_CARRIED_LINES:]]}

    @property
    def newest(self) -> float | None:
        """The latest time of a line, by the node's clock, in seconds since 1970."""
        return self._newest / 10**9 if self._newest else None

    def begin(self) -> None:
        """Start a request. The previous request's unfinished line is dropped, since this request repeats it in full."""
        self._unfinished.clear()
        self._repeated = Counter(self._recent)
        self._resume_from = max(self._newest - OVERLAP_NS, self._delivered_until)
        self._is_joined = not self._recent

    def feed(self, chunk: bytes) -> Iterator[str]:
        """
        Receive bytes of any length.

        :return: the lines that they complete and that were not delivered before, without time and line end.
        """
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            self._unfinished.append(line)
            yield from self._deliver(b"".join(self._unfinished))
            self._unfinished.clear()
        if rest:
            self._unfinished.append(rest)

    def end(self) -> Iterator[str]:
        """
        Receive the end of the log.

        :return: the last line, if the container wrote no line end after it.
        """
        if self._unfinished:
            yield from self._deliver(b"".join(self._unfinished))
            self._unfinished.clear()

    def _deliver(self, line: bytes) -> Iterator[str]:
        stamp = _STAMP.match(line)
        if stamp is None:
            yield from self._remark_once(line.decode(errors="backslashreplace"))
            return
        if self._is_repeated(_nanoseconds(stamp), crc32(line)):
            self._is_joined = True
            return
        if not self._is_joined:
            self._is_joined = True
            yield GAP
        yield _join_pieces(line[stamp.end() :]).decode(errors="backslashreplace")

    def _remark_once(self, sentence: str) -> Iterator[Remark]:
        """Yield a text that the job did not write; only once if the same text comes with each request."""
        remark = Remark(f"[Not from the job: {sentence}]")
        if sentence and remark != self._remark:
            self._remark = remark
            yield remark

    def _is_repeated(self, time: int, digest: int) -> bool:
        if self._newest and time < self._resume_from:
            return True
        key = (time, digest)
        if self._repeated[key] > 0:
            self._repeated[key] -= 1
            return True
        self._newest = max(self._newest, time)
        self._recent.append(key)
        while self._recent and self._recent[0][0] < self._newest - OVERLAP_NS:
            self._recent.popleft()
        return False
