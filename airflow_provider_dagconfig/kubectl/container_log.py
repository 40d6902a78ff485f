"""
The log of a pod's container: followed while the container runs, requested again if it breaks or stalls, read to its end.

This module makes the requests and takes their answers. ``lifecycle`` waits for the requests, decides when the container has ended,
and decides what a refused request means for the task. ``logs`` turns bytes into lines.
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
"""Lines from the end of the log that an error shows."""

GIVEN_UP = 30.0
"""Seconds of silence. After them the rest of the log is given up."""

# Bytes, and seconds of silence. A followed log that is silent may have stalled, since old kubelets keep reading a file that was
# rotated away. After so many bytes a rotation is likely (the kubelet's default is 10 MiB), and the log is requested again after
# _SHORT_STALL_TIMEOUT. Otherwise it is requested again after _STALL_TIMEOUT, which doubles each time up to
# _LONGEST_STALL_TIMEOUT.
_ROTATION_BYTES, _SHORT_STALL_TIMEOUT = 1 << 20, 4.0
_STALL_TIMEOUT, _LONGEST_STALL_TIMEOUT = 60.0, 600.0
# Seconds. After them a followed log has delivered its old lines; from then on each line arrives when it is written.
_CATCH_UP_SECONDS = 2.0
# Seconds that the pod's status may take to report the container's end, after its log has ended. Then the log is requested again.
_STATUS_DELAY = 3.0


class ContainerLog:
    """
    One container's log, over as many requests as it takes.

    :param on_line: receives each line, once and in order.
    :param position: how far another process has read the log, from :attr:`position`; None for the beginning.
    """

    def __init__(self, kubectl: Kubectl, on_line: Callable[[str], None], position: Mapping[str, Any] | None = None) -> None:
        self.stream: Stream | None = None
        """The open request. Wait until it has data, then call :meth:`read_followed` or :meth:`read_rest`."""
        self.is_whole = False
        """Whether the log was read to its end."""
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._kubectl = kubectl
        self._on_line = on_line
        self._lines = LogLines(position)
        self._reopen_at = self._last_data_at = self._opened_at = 0.0
        self._node_clock: float | None = None
        self._ended_at = float("-inf")
        self._bytes = 0
        self._has_been_open = False
        self._stall_timeout = _STALL_TIMEOUT
        self._pauses = Pauses()

    @property
    def position(self) -> dict[str, Any] | None:
        """How far the log was read, as JSON values; None if nothing was read."""
        return self._lines.position

    # --- while the container runs ---

    @property
    def next_step(self) -> float:
        """The time at which :meth:`follow` or :meth:`close_if_stalled` must be called next, by ``time.monotonic``."""
        if self.stream is not None:
            return self._last_data_at + self._stall_timeout
        return float("inf") if self.is_whole else self._reopen_at

    def follow(self) -> bool:
        """
        Open the log if it is closed and its pause is over.

        :return: whether the log was reopened. The request names the pod, and another pod may have that name now.
        """
        now = time.monotonic()
        if self.stream is not None or self.is_whole or now < self._reopen_at:
            return False
        self._last_data_at = now
        return self._open(follow=True)

    def postpone(self) -> None:
        """Close the log that was just opened, and reopen it after a pause."""
        self.close()
        self._reopen_at = time.monotonic() + self._pauses.next()

    def retry_now(self) -> None:
        """Let the next :meth:`follow` reopen the log without a pause, since the API server answers again."""
        self._reopen_at = 0.0
        self._pauses.reset()

    def read_followed(self, *, has_ended: bool) -> None:
        """
        Read the data that the followed log has delivered.

        :param has_ended: whether the container is known to have ended. If it still runs, a log that ends without an error is not
            complete: its kubelet stopped.
        :raises KubectlError: the request failed. :meth:`follow` makes the next one after a pause.
        """
        if size := self._read_lines():
            self._bytes += size
            self._read_node_clock()
            self._stall_timeout = _SHORT_STALL_TIMEOUT if self._may_have_rotated() else _STALL_TIMEOUT
            self._pauses.reset()
            return
        now = time.monotonic()
        if error := self._end_request():
            self._reopen_at = now + (0.5 if error.fault is Fault.NOT_READY else self._pauses.next())
            raise error
        self.is_whole = has_ended and not self._may_have_rotated()
        self._ended_at, self._reopen_at = now, now + _STATUS_DELAY

    def close_if_stalled(self) -> None:
        """Close a log that has been silent for too long, so that :meth:`follow` requests it again."""
        now = time.monotonic()
        if self.stream is not None and now - self._last_data_at > self._stall_timeout:
            self.close()
            self._reopen_at = now
            self._stall_timeout = min(self._stall_timeout * 2, _LONGEST_STALL_TIMEOUT)

    # --- once it has ended ---

    def begin_rest(self, finished_at: float | None) -> None:
        """
        Decide whether a rest of the log is missing, now that the container writes no more.

        :param finished_at: when the container ended, by its node's clock, in whole seconds since 1970; None if unknown.
        """
        now = time.monotonic()
        ended_by_itself = self.stream is None and now - self._ended_at < _STATUS_DELAY
        if ended_by_itself and not self._ended_before(finished_at) and not self._may_have_rotated():
            self.is_whole = True
        self._last_data_at = now

    @property
    def is_given_up(self) -> bool:
        """Whether the rest has been silent for so long that it is given up."""
        return time.monotonic() - self._last_data_at > GIVEN_UP

    def request_rest(self) -> bool:
        """
        Continue with the open request, or make one for the rest.

        :return: as for :meth:`follow`.
        """
        return self.stream is None and self._open(follow=False)

    def read_rest(self) -> None:
        """
        Read the data that the request for the rest has delivered.

        :raises KubectlError: the request failed.
        """
        if self._read_lines():
            return
        if error := self._end_request():
            raise error
        # The followed file may have been rotated away; then the rest is in the newest file.
        self.is_whole = not self._may_have_rotated()
        self._bytes = 0

    def end(self) -> None:
        """Deliver a last line that has no line end."""
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
        is_reopened, self._has_been_open = self._has_been_open, True
        self._opened_at = time.monotonic()
        self._bytes = 0
        return is_reopened

    def _read_lines(self) -> int:
        """Read a piece and return its size in bytes; 0 at the end of the request."""
        assert self.stream is not None
        chunk = self.stream.read()
        if chunk:
            self._last_data_at = time.monotonic()
            for line in self._lines.feed(chunk):
                self._deliver(line)
        return len(chunk)

    def _end_request(self) -> KubectlError | None:
        assert self.stream is not None
        error, self.stream = self.stream.error(), None
        return error

    def _read_node_clock(self) -> None:
        """Estimate the difference between the node's clock and ours, from the line that arrived soonest after it was written."""
        now = time.monotonic()
        if self._lines.newest is not None and now - self._opened_at > _CATCH_UP_SECONDS:
            offset = self._lines.newest - now
            self._node_clock = offset if self._node_clock is None else max(self._node_clock, offset)

    def _ended_before(self, finished_at: float | None) -> bool:
        """
        Return whether the followed log ended before the container. If a kubelet stops, the log ends without an error, too.

        If no line has shown the node's clock, return False: the suspicion would cost every short task a request.
        """
        if finished_at is None or self._node_clock is None:
            return False
        return self._ended_at + self._node_clock < finished_at

    def _may_have_rotated(self) -> bool:
        return self._bytes > _ROTATION_BYTES

    def _deliver(self, line: str) -> None:
        if not isinstance(line, Remark):
            self.last_lines.append(line)
        self._on_line(line)
