"""Decides whether a failed request is retried, and the backoff. Pure: the caller says what time it is."""

from __future__ import annotations

import random

from airflow_provider_dagconfig.kubectl.errors import TRANSIENT, Fault, KubectlError

SERVER_SETTLES = 15.0
"""Seconds after a failure. Until then FORBIDDEN is retried, since an API server that starts may not have read all roles."""


class Pauses:
    """Backoff between attempts, in seconds: 1, 2, 4 ... 30, each up to a fifth longer, so that tasks do not retry in step."""

    def __init__(self, longest: float = 30.0) -> None:
        self._longest = longest
        self._next = 1.0

    def next(self) -> float:
        """Return the pause before the next attempt."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause * random.uniform(1, 1.2)  # noqa: S311

    def reset(self) -> None:
        """Start again with the shortest pause."""
        self._next = 1.0


class Patience:
    """
    Remembers the API server's failures, and decides which errors are transient.

    An unreachable server comes back. A server that has just come back may forbid a request that it allows a moment later. A token
    may have been renewed since kubectl read it, so each kind of request is retried once after its credentials were refused. A
    kubeconfig that can't be read may be half written, so it is read once more. If it could be read before, it is retried without
    limit, while the pod runs on.
    """

    def __init__(self) -> None:
        self._failed_at = float("-inf")
        self._could_be_read = self._was_misread = False  # the kubeconfig
        self._unauthorized: set[str] = set()  # the verbs of requests whose credentials were refused

    def may_retry(self, error: KubectlError, now: float) -> bool:
        """Return whether to retry the request after this error."""
        if error.fault is Fault.MISCONFIGURED:
            again = self._could_be_read or not self._was_misread
            self._was_misread = True
            return again
        self._could_be_read = True
        if error.fault in TRANSIENT:
            self._failed_at = now
            return True
        if error.fault is Fault.UNAUTHORIZED and error.verb not in self._unauthorized:
            self._unauthorized.add(error.verb)
            return True
        return error.fault is Fault.FORBIDDEN and now - self._failed_at < SERVER_SETTLES

    def record_answer(self, verb: str) -> None:
        """Record that a request succeeded: the server accepted its credentials."""
        self._could_be_read = True
        self._unauthorized.discard(verb)
