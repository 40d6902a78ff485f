"""
Decides when a watch is opened, given up and reopened, and when the pod is requested first. Pure.

The caller reports its observations and their times. A watch begins with the present state of the pod, but says nothing about a pod
that is gone. So after a watch was lost, the pod is requested before the next watch is opened.
"""

from __future__ import annotations

from airflow_provider_dagconfig.kubectl.errors import TRANSIENT, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.patience import Pauses
from airflow_provider_dagconfig.kubectl.requests import WATCH_SECONDS

BEGINS = 10.0
"""Seconds to the first event. Then the watch is closed and the pod is requested: it may have been deleted before."""

ENDS = WATCH_SECONDS + 30.0
"""Seconds. The API server ends a watch before that; a watch that is still open receives nothing any more, and is closed."""

AWAY = 1.25
"""Seconds, the longest backoff while the API server is away. So the end of a pod is observed soon after the server is back."""

SAYS_AGAIN = 60.0
"""Seconds after which the log repeats that the API server is away. Until then it gets only new messages."""


class Watching:
    """One pod's watch, over as many requests as it takes. Times are seconds by any clock."""

    def __init__(self) -> None:
        self.requests_pod_first = False
        """Whether to request the pod before the next watch is opened."""
        self.trouble: KubectlError | None = None
        """Why the API server is unreachable now; None if it answers."""
        self._last_message: tuple[str, float] = ("", 0.0)  # the message of a lasting failure, and when it was last logged
        self._opened_at: float | None = None  # None if no watch is open
        self._has_begun = False
        self._due_at = 0.0
        self._pauses, self._away_pauses = Pauses(), Pauses(AWAY)

    def is_due(self, now: float) -> bool:
        """Return whether it is time to open a watch, or to request the pod first."""
        return self._opened_at is None and now >= self._due_at

    def record_opening(self, now: float) -> None:
        """Record that a watch was opened."""
        self._opened_at, self._has_begun, self.requests_pod_first = now, False, False

    def record_event(self) -> None:
        """Record an event: the watch works."""
        self._has_begun = True
        self._pauses.reset()

    def record_answer(self) -> bool:
        """Record a successful answer to any request. Return whether the API server had been away."""
        self._away_pauses.reset()
        was_away, self.trouble = self.trouble is not None, None
        self._last_message = ("", 0.0)
        return was_away

    def is_stalled(self, now: float) -> bool:
        """Return whether the watch has been silent for too long and must be closed."""
        return self._opened_at is not None and now > self._stalls_at()

    def record_end(self, now: float) -> None:
        """Record that a watch ended without an error, or was given up. The next one follows after a backoff."""
        self._opened_at, self.requests_pod_first = None, True
        self._due_at = now + self._pauses.next()

    def record_failure(self, error: KubectlError, now: float) -> str | None:
        """
        Record that a watch, or a request for the pod, failed and may be retried.

        :return: a message for the log. None for a resource version that was too old, which is no failure, and for a message that
            was logged recently.
        """
        pause = (self._away_pauses if self._opened_at is None else self._pauses).next()
        self._opened_at, self.requests_pod_first, self._due_at = None, True, now + pause
        if error.fault not in TRANSIENT and error.fault is not Fault.MISCONFIGURED:
            return None
        self.trouble = error
        message, logged_at = self._last_message
        if message == error.message and now - logged_at < SAYS_AGAIN:
            return None
        self._last_message = (error.message, now)
        return f"{error.words[0].upper()}{error.words[1:]}, next attempt in {pause:.0f} s: {error.message}"

    def next_step(self) -> float:
        """Return the time at which :meth:`is_due` or :meth:`is_stalled` becomes true if nothing happens."""
        return self._due_at if self._opened_at is None else self._stalls_at()

    def _stalls_at(self) -> float:
        assert self._opened_at is not None
        return self._opened_at + (ENDS if self._has_begun else BEGINS)
