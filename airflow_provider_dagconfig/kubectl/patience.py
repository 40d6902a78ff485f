"""Whether a request that failed is made again, and after how long. Pure: whoever asks says what time it is."""

from __future__ import annotations

import random

from airflow_provider_dagconfig.kubectl.errors import PASSING, Fault, KubectlError

SERVER_SETTLES = 15.0
"""Seconds. An API server that starts has not read all roles yet: so long after a trouble it may forbid what it allows later."""


class Pauses:
    """Growing pauses between attempts, in seconds: 1, 2, 4 ... 30, each up to a fifth longer, so that tasks don't ask in step."""

    def __init__(self, longest: float = 30.0) -> None:
        self._longest = longest
        self._next = 1.0

    def next(self) -> float:
        """The pause before the next attempt."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause * random.uniform(1, 1.2)  # noqa: S311

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._next = 1.0


class Patience:
    """
    What is known of the API server's troubles.

    A server out of reach comes back; one that has just come back may forbid what it allows a moment later; a token may have been
    renewed since kubectl read it, so credentials that are not taken are read once more. So is a kubeconfig that can't be read: it
    may be half written. One that could be read before is waited for, while the pod goes on.
    """

    def __init__(self) -> None:
        self._troubled_at = float("-inf")
        self._could_be_read = self._was_misread = False  # the kubeconfig
        self._unauthorized: set[str] = set()  # the requests whose credentials were not taken

    def may_pass(self, error: KubectlError, now: float) -> bool:
        """Whether to ask again after this error."""
        if error.fault is Fault.MISCONFIGURED:
            again = self._could_be_read or not self._was_misread
            self._was_misread = True
            return again
        self._could_be_read = True
        if error.fault in PASSING:
            self._troubled_at = now
            return True
        if error.fault is Fault.UNAUTHORIZED and error.verb not in self._unauthorized:
            self._unauthorized.add(error.verb)
            return True
        return error.fault is Fault.FORBIDDEN and now - self._troubled_at < SERVER_SETTLES

    def was_answered(self, verb: str) -> None:
        """Take note of a request that went through: its credentials were taken."""
        self._could_be_read = True
        self._unauthorized.discard(verb)
