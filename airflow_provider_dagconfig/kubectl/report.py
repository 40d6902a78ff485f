"""
What whoever watches a deferred pod reports to the worker that goes on with it, as JSON values. Pure.

A report says what follows from what was seen of the pod (``pod_life``), or why nothing was seen. It carries nothing of the pod
that could be secret: it is kept in Airflow's database as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_dagconfig.kubectl.errors import KubectlError
from airflow_provider_dagconfig.kubectl.outcome import Outcome
from airflow_provider_dagconfig.kubectl.pod_life import TakenOver, TooLate

FORMAT = 1
"""Of :meth:`Report.as_dict`; another one where its fields are not the same, or mean something else."""


class Kind(Enum):
    """What a report is about."""

    ENDED = "ended"
    """The pod has ended: ``outcome``."""
    TOO_LATE = "too late"
    """Its start or end was not seen in time: ``limit``, ``seconds``."""
    OUT_OF_REACH = "out of reach"
    """The API server was away when it was due: ``limit``, ``seconds``, ``message``."""
    TAKEN_OVER = "taken over"
    """A later try has it: ``by_try``."""
    NOT_WATCHED = "not watched"
    """Nobody watches it, and it may go on: ``message``."""
    LOG_DUE = "log due"
    """It goes on, and its log is to be read."""
    TIMEOUT = "task timeout"
    """It goes on, and the task's execution_timeout is over."""


@dataclass(frozen=True)
class Report:
    """One report. Which of its fields mean something, its kind says."""

    kind: Kind
    outcome: Outcome | None = None
    limit: str = ""
    seconds: float = 0.0
    message: str = ""
    by_try: int | None = None

    @classmethod
    def of(cls, verdict: Outcome | TooLate | TakenOver, trouble: KubectlError | None = None) -> Report:
        """
        Report what follows from what was seen.

        :param trouble: why the API server can't be reached now; None where it answers.
        """
        if isinstance(verdict, Outcome):
            return cls(Kind.ENDED, verdict)
        if isinstance(verdict, TakenOver):
            return cls(Kind.TAKEN_OVER, by_try=verdict.by_try)
        limit, seconds = verdict.limit, verdict.seconds
        if trouble is not None:
            return cls(Kind.OUT_OF_REACH, limit=limit, seconds=seconds, message=trouble.message)
        return cls(Kind.TOO_LATE, limit=limit, seconds=seconds)

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values; :meth:`from_dict` makes the same report of them."""
        given = {name: value for name, value in vars(self).items() if value != getattr(type(self), name, None)}
        given |= {"kind": self.kind.value, "format": FORMAT}
        if self.outcome is not None:
            given["outcome"] = self.outcome.as_dict()
        return given

    @classmethod
    def from_dict(cls, values: Any) -> Report:
        """Read what :meth:`as_dict` gave. What cannot be read is a report that nobody watches the pod."""
        try:
            given = dict(values)
            if given.pop("format") != FORMAT:
                raise ValueError("another format")
            if given.get("outcome") is not None:
                given["outcome"] = Outcome.from_dict(given["outcome"])
            return cls(**{**given, "kind": Kind(given["kind"])})
        except (KeyError, TypeError, ValueError):
            return cls(
                Kind.NOT_WATCHED,
                message="what the triggerer reports cannot be read: let all of Airflow's processes have the same version of "
                "airflow-provider-dagconfig",
            )
