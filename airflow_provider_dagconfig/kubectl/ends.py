"""
How a pod's run ends: with :class:`Ended` where the job succeeded, else with one of these exceptions. Pure.

They say what happened, and know nothing of what a task makes of it.
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
    The end of a pod that was seen.

    :param outcome: how it ended.
    :param pod: as it was last seen.
    :param last_lines: the last lines of its log.
    """

    outcome: Outcome
    pod: Mapping[str, Any]
    last_lines: Sequence[str] = ()


@dataclass(frozen=True)
class Parting:
    """
    What another process needs to go on with a pod.

    :param identity: whose pod it is, and its uid; from ``annotations.identity``.
    :param begun_at: when the try began to create or adopt it, in seconds since 1970.
    :param log: how far its log was read, as JSON values; None where nothing was.
    """

    identity: Mapping[str, Any]
    begun_at: float
    log: Mapping[str, Any] | None


class PodEnd(Exception):
    """A run that brought no success. The message says what happened."""


class PodFailed(PodEnd):
    """The pod's end was seen, and it is no success."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(f"{ended.outcome.end.value} ({ended.outcome.reason})")
        self.ended = ended

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self.ended.outcome


class PodRefused(PodEnd):
    """The API server, or kubectl, refused something that no waiting mends. The deletion of a pod that was there was asked for."""

    def __init__(self, error: KubectlError) -> None:
        super().__init__(error.message)
        self.fault: Fault = error.fault


class PodNotCreated(PodEnd):
    """The API server had not taken the pod by ``startup_timeout_seconds``: it was away, or an earlier try's pod was in the way."""

    def __init__(self, seconds: float, waited_for: str) -> None:
        super().__init__(f"not created in startup_timeout_seconds = {seconds:g}: {waited_for}")
        self.seconds = seconds


class PodNotAllowed(PodEnd):
    """A pod would have to be made, and none may be made any more; nothing was deleted."""


class PodOutOfReach(PodEnd):
    """
    The pod was there, and the API server was away when its start or its end was due.

    How the pod ended is not known; its deletion was asked for, and it ends at its own deadline.
    """

    def __init__(self, error: KubectlError, limit: str, seconds: float) -> None:
        could_not = error.words.replace("can't", "could not")
        super().__init__(f"{could_not} until the deadline ({limit} = {seconds:g}): {error.message}")
        self.fault: Fault = error.fault
        self.limit, self.seconds = limit, seconds


class PodTakenOver(PodEnd):
    """The pod is a later try's, which goes on with it."""

    def __init__(self, message: str, by_try: int | None) -> None:
        super().__init__(message)
        self.by_try = by_try


class PodStopped(PodEnd):
    """
    The run was told to stop. What became of the pod was said by ``note``.

    :param by: who decided that the pod's work is not wanted, as a clause; None where nobody did.
    """

    def __init__(self, message: str, by: str | None = None) -> None:
        super().__init__(message)
        self.by = by
