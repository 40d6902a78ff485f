"""
The log of a pod's container: followed while it runs, asked for anew where it breaks or stalls, read to its end.

It makes the requests and takes what they bring. Who waits for them, when the container has ended, and what a refused request means
for the task, is ``lifecycle``'s; how bytes become lines is in ``logs``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_dagconfig.kubectl.client import Kubectl, Stream
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.logs import LogLines, Remark
from airflow_provider_dagconfig.kubectl.patience import Pauses

LAST_LINES = 10
"""How many of the log's last lines an error shows."""

GIVEN_UP = 30.0
"""Seconds of silence. After them nobody waits for the rest of the log."""

# A followed log that is silent may have stalled (old kubelets go on with the file that was rotated away): it is asked for anew,
# soon after so many bytes that a rotation is likely (the kubelet's default is 10 MiB), else ever more seldom.
_ROTATES, _STALLS_SOON = 1 << 20, 4.0
_STALLS, _STALLS_MOST = 60.0, 600.0
# After so long a followed log has brought what was there before; from then on a line comes as it is written.
_CAUGHT_UP = 2.0
# The moment that the pod's status takes to say that the container has ended, once its log has.
_STATUS_FOLLOWS = 3.0


class ContainerLog:
    """
    One container's log, over as many requests as it takes.

    :param on_line: takes each line, once and in order.
    :param position: how far others have read it, from :attr:`position`; None for the beginning.
    """

    def __init__(self, kubectl: Kubectl, on_line: Callable[[str], None], position: Mapping[str, Any] | None = None) -> None:
        self.stream: Stream | None = None
        """The open request; wait until it has something, then call :meth:`take` or :meth:`take_rest`."""
        self.is_whole = False
        """Whether all of it was taken."""
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._kubectl = kubectl
        self._on_line = on_line
        self._lines = LogLines(position)
        self._due = self._heard_at = self._opened_at = 0.0
        self._node_clock: float | None = None
        self._ended_at = float("-inf")
        self._bytes = 0
        self._was_opened = False
        self._patience = _STALLS
        self._pauses = Pauses()

    @property
    def position(self) -> dict[str, Any] | None:
        """How far it was read, as JSON values; None while nothing was."""
        return self._lines.position

    # --- while the container runs ---

    @property
    def next_step(self) -> float:
        """When :meth:`follow` or :meth:`close_if_stalled` has something to do, by ``time.monotonic``."""
        if self.stream is not None:
            return self._heard_at + self._patience
        return float("inf") if self.is_whole else self._due

    def follow(self) -> bool:
        """
        Open the log where it is closed, and it is time to.

        :return: whether it was opened again. It is asked for by the pod's name, which may be another pod's by now.
        """
        now = time.monotonic()
        if self.stream is not None or self.is_whole or now < self._due:
            return False
        self._heard_at = now
        return self._open(follow=True)

    def postpone(self) -> None:
        """Close the log that was opened, and open it again after a pause."""
        self.close()
        self._due = time.monotonic() + self._pauses.next()

    def retry_now(self) -> None:
        """Ask anew at the next :meth:`follow`, without the rest of a pause: the API server is back."""
        self._due = 0.0
        self._pauses.reset()

    def take(self, *, has_ended: bool) -> None:
        """
        Take what has come of the followed log.

        :param has_ended: the container is known to have ended. A good end of the log of one that goes on is none: the kubelet went
            away.
        :raises KubectlError: the request failed. :meth:`follow` makes the next after a pause.
        """
        if size := self._take_lines():
            self._bytes += size
            self._read_node_clock()
            self._patience = _STALLS_SOON if self._may_have_rotated() else _STALLS
            self._pauses.reset()
            return
        now = time.monotonic()
        if error := self._end():
            self._due = now + (0.5 if error.fault is Fault.NOT_READY else self._pauses.next())
            raise error
        self.is_whole = has_ended and not self._may_have_rotated()
        self._ended_at, self._due = now, now + _STATUS_FOLLOWS

    def close_if_stalled(self) -> None:
        """Close a log that has been silent for long, so that it is asked for anew."""
        now = time.monotonic()
        if self.stream is not None and now - self._heard_at > self._patience:
            self.close()
            self._due = now
            self._patience = min(self._patience * 2, _STALLS_MOST)

    # --- once it has ended ---

    def begin_rest(self, finished_at: float | None) -> None:
        """
        See what is still to come, now that nothing more is written.

        :param finished_at: when the container ended, by its node's clock, in whole seconds since 1970; None where nobody knows.
        """
        now = time.monotonic()
        ended_by_itself = self.stream is None and now - self._ended_at < _STATUS_FOLLOWS
        if ended_by_itself and not self._broke_before(finished_at) and not self._may_have_rotated():
            self.is_whole = True
        self._heard_at = now

    @property
    def is_given_up(self) -> bool:
        """Whether the rest has been silent for too long to wait for it."""
        return time.monotonic() - self._heard_at > GIVEN_UP

    def ask_for_rest(self) -> bool:
        """
        Go on with the open request, or make one for what is still to come.

        :return: as :meth:`follow`.
        """
        return self.stream is None and self._open(follow=False)

    def take_rest(self) -> None:
        """
        Take what has come of the rest.

        :raises KubectlError: the request failed.
        """
        if self._take_lines():
            return
        if error := self._end():
            raise error
        # What was followed may have been a file that was rotated away; the rest is in the newest.
        self.is_whole = not self._may_have_rotated()
        self._bytes = 0

    def end(self) -> None:
        """Take what stands after the last line end."""
        for line in self._lines.end():
            self._deliver(line)

    def close(self) -> None:
        """End the open request; may be called more than once."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    # --- requests ---

    def _open(self, *, follow: bool) -> bool:
        self._lines.begin()
        self.stream = self._kubectl.log(self._lines.since, follow=follow)
        is_again, self._was_opened = self._was_opened, True
        self._opened_at = time.monotonic()
        self._bytes = 0
        return is_again

    def _take_lines(self) -> int:
        """Take a piece, and give its size in bytes; 0 at the end of the request."""
        assert self.stream is not None
        chunk = self.stream.read()
        if chunk:
            self._heard_at = time.monotonic()
            for line in self._lines.feed(chunk):
                self._deliver(line)
        return len(chunk)

    def _end(self) -> KubectlError | None:
        assert self.stream is not None
        error, self.stream = self.stream.error(), None
        return error

    def _read_node_clock(self) -> None:
        """Learn how far the node's clock is from ours: the closest of all lines that came as they were written."""
        now = time.monotonic()
        if self._lines.newest is not None and now - self._opened_at > _CAUGHT_UP:
            ahead = self._lines.newest - now
            self._node_clock = ahead if self._node_clock is None else max(self._node_clock, ahead)

    def _broke_before(self, finished_at: float | None) -> bool:
        """
        Whether the followed log ended before the container did: the API server ends it well too when the kubelet goes away.

        Without a line that tells the node's clock it is not suspected: that would cost every short task a request.
        """
        if finished_at is None or self._node_clock is None:
            return False
        return self._ended_at + self._node_clock < finished_at

    def _may_have_rotated(self) -> bool:
        return self._bytes > _ROTATES

    def _deliver(self, line: str) -> None:
        if not isinstance(line, Remark):
            self.last_lines.append(line)
        self._on_line(line)
