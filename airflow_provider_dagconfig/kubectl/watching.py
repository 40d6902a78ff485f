"""
When a watch is opened, given up and opened again, and when the pod is looked at first. Pure: whoever watches says what it saw, and
when.

A watch that begins tells the pod as it is, but nothing of a pod that is gone. So after a watch that was lost the pod is looked at
before the next is opened.
"""

from __future__ import annotations

from airflow_provider_dagconfig.kubectl.errors import PASSING, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.patience import Pauses
from airflow_provider_dagconfig.kubectl.requests import WATCH_SECONDS

BEGINS = 10.0
"""Seconds. A watch begins with the pod as it is; one that has not after this long may have been opened after the pod's deletion."""

ENDS = WATCH_SECONDS + 30.0
"""Seconds. The API server ends a watch before; one that goes on after that hears nothing any more, and is given up."""

AWAY = 1.25
"""Seconds between two attempts to reach an API server that is away: the end of a pod is seen so soon after it is back."""

SAYS_AGAIN = 60.0
"""Seconds after which the log says again that the API server is away; before, only what has changed."""


class Watching:
    """One pod's watch, over as many requests as it takes. Times are seconds by any clock."""

    def __init__(self) -> None:
        self.looks_first = False
        """Whether the pod is to be looked at before the next watch is opened."""
        self.trouble: KubectlError | None = None
        """Why the API server can't be reached now; None where it answers."""
        self._said: tuple[str, float] = ("", 0.0)  # of a trouble that lasts: its message, and when the log last had it
        self._opened_at: float | None = None  # None while none is open
        self._has_begun = False
        self._due = 0.0
        self._pauses, self._away = Pauses(), Pauses(AWAY)

    def is_due(self, now: float) -> bool:
        """Whether it is time to open a watch, or to look at the pod first."""
        return self._opened_at is None and now >= self._due

    def opened(self, now: float) -> None:
        """Take note of a watch that was opened."""
        self._opened_at, self._has_begun, self.looks_first = now, False, False

    def told(self) -> None:
        """Take note of an event: the watch is good."""
        self._has_begun = True
        self._pauses.reset()

    def heard(self) -> bool:
        """Take note of a good answer, whatever was asked; gives whether the API server had been away."""
        self._away.reset()
        was_away, self.trouble = self.trouble is not None, None
        self._said = ("", 0.0)
        return was_away

    def is_deaf(self, now: float) -> bool:
        """Whether the watch has been silent for so long that it is to be closed."""
        return self._opened_at is not None and now > self._deaf_at()

    def ended(self, now: float) -> None:
        """Take note of a watch that ended well, or was given up: the next comes after a pause, which grows until one is good."""
        self._opened_at, self.looks_first = None, True
        self._due = now + self._pauses.next()

    def lost(self, error: KubectlError, now: float) -> str | None:
        """
        Take note of a watch or a look that failed and may be made again.

        :return: what is worth a line in the log; None for a version that was too old, which is no trouble, and for what the log
            has already.
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
        """When :meth:`is_due` or :meth:`is_deaf` becomes true though nothing happens."""
        return self._due if self._opened_at is None else self._deaf_at()

    def _deaf_at(self) -> float:
        assert self._opened_at is not None
        return self._opened_at + (ENDS if self._has_begun else BEGINS)
