"""
Decides when a watch is opened, given up and reopened, and when the pod is requested first. Pure.

The caller reports its observations and their times. A watch begins with the present state of the pod, but says nothing about a pod
that is gone. So after a watch was lost, the pod is requested before the next watch is opened.
"""

from __future__ import annotations

from airflow_provider_dagconfig.kubectl.errors import PASSING, Fault, KubectlError
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
        self.looks_first = False
        """Whether to request the pod before the next watch is opened."""
        self.trouble: KubectlError | None = None
        """Why the API server is unreachable now; None if it answers."""
        self._said: tuple[str, float] = ("", 0.0)  # the message of a lasting failure, and when it was last logged
        self._opened_at: float | None = None  # None if no watch is open
        self._has_begun = False
        self._due = 0.0
        self._pauses, self._away = Pauses(), Pauses(AWAY)

    def is_due(self, now: float) -> bool:
        """Return whether it is time to open a watch, or to request the pod first."""
        return self._opened_at is None and now >= self._due

    def opened(self, now: float) -> None:
        """Record that a watch was opened."""
        self._opened_at, self._has_begun, self.looks_first = now, False, False

    def told(self) -> None:
        """Record an event: the watch works."""
        self._has_begun = True
        self._pauses.reset()

    def heard(self) -> bool:
        """Record a successful answer to any request. Return whether the API server had been away."""
        self._away.reset()
        was_away, self.trouble = self.trouble is not None, None
        self._said = ("", 0.0)
        return was_away

    def is_deaf(self, now: float) -> bool:
        """Return whether the watch has been silent for too long and must be closed."""
        return self._opened_at is not None and now > self._deaf_at()

    def ended(self, now: float) -> None:
        """Record that a watch ended without an error, or was given up. The next one follows after a backoff."""
        self._opened_at, self.looks_first = None, True
        self._due = now + self._pauses.next()

    def lost(self, error: KubectlError, now: float) -> str | None:
        """
        Record that a watch, or a request for the pod, failed and may be retried.

        :return: a message for the log. None for a resource version that was too old, which is no failure, and for a message that
            was logged recently.
        """
        pause = (self._away if self._opened_at is None else self._pauses).next()
        self._opened_at, self.looks_first, self._due = None, True, now + pause
        if error.fault not in PASSING and error.fault is not Fault.MISCONFIGURED:
            return None
        self.trouble = error
        message, said_at = self._said
        if message == error.message and now - said_at < SAYS_AGAIN:
            return None
        self._said = (error.message, now)
        return f"{error.words[0].upper()}{error.words[1:]}, next attempt in {pause:.0f} s: {error.message}"

    def next_step(self) -> float:
        """Return the time at which :meth:`is_due` or :meth:`is_deaf` becomes true if nothing happens."""
        return self._due if self._opened_at is None else self._deaf_at()

    def _deaf_at(self) -> float:
        assert self._opened_at is not None
        return self._opened_at + (ENDS if self._has_begun else BEGINS)
