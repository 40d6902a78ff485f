"""
The ends of a pod's run: :class:`Ended` if the job succeeded, otherwise one of these exceptions. Pure.

They say what happened, and know nothing of its meaning for a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.outcome import Outcome


@dataclass(frozen=True)
class Ended:
    """
    The observed end of a pod.

    :param outcome: how it ended.
    :param pod: the pod as last observed.
    :param last_lines: the last lines of its log.
    """

    outcome: Outcome
    pod: Mapping[str, Any]
    last_lines: Sequence[str] = ()


@dataclass(frozen=True)
class Parting:
    """
    The information with which another process can continue with a pod.

    :param identity: the pod's owner and uid; from ``annotations.identity``.
    :param begun_at: when the try began to create or adopt it, in seconds since 1970.
    :param log: how far its log was read, as JSON values; None if nothing was read.
    """

    identity: Mapping[str, Any]
    begun_at: float
    log: Mapping[str, Any] | None


class PodEnd(Exception):
    """A run without success. The message says what happened."""


class PodFailed(PodEnd):
    """The pod's end was observed, and it is not a success."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(f"{ended.outcome.end.value} ({ended.outcome.reason})")
        self.ended = ended

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self.ended.outcome


class PodRefused(PodEnd):
    """The API server or kubectl refused a request, and a retry would not help. If a pod existed, its deletion was requested."""

    def __init__(self, error: KubectlError) -> None:
        super().__init__(error.message)
        self.fault: Fault = error.fault


class PodNotCreated(PodEnd):
    """The API server did not accept the pod within ``startup_timeout_seconds``: it was away, or an earlier try's pod remained."""

    def __init__(self, seconds: float, waited_for: str) -> None:
        super().__init__(f"not created in startup_timeout_seconds = {seconds:g}: {waited_for}")
        self.seconds = seconds


class PodNotAllowed(PodEnd):
    """A pod would have to be created, but no more pods may be; nothing was deleted."""


class PodOutOfReach(PodEnd):
    """
    The pod existed, and the API server was away when the pod's start or end was due.

    How the pod ended is not known. Its deletion was requested, and it ends at its own deadline.
    """

    def __init__(self, error: KubectlError, limit: str, seconds: float) -> None:
        could_not = error.words.replace("can't", "could not")
        super().__init__(f"{could_not} until the deadline ({limit} = {seconds:g}): {error.message}")
        self.fault: Fault = error.fault
        self.limit, self.seconds = limit, seconds


class PodTakenOver(PodEnd):
    """A later try owns the pod and continues with it."""

    def __init__(self, message: str, by_try: int | None) -> None:
        super().__init__(message)
        self.by_try = by_try


class PodStopped(PodEnd):
    """
    The run was told to stop. ``note`` received what became of the pod.

    :param by: who decided that the pod's work is not wanted, as a clause; None if nobody did.
    """

    def __init__(self, message: str, by: str | None = None) -> None:
        super().__init__(message)
        self.by = by
