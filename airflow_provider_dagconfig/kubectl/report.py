"""
The report that the watcher of a deferred pod sends to the worker that continues with it, as JSON values. Pure.

A report says what follows from the observations of the pod (``pod_life``), or why there are none. It contains no part of the pod
that could be secret, since Airflow's database stores it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_dagconfig.kubectl.errors import KubectlError
from airflow_provider_dagconfig.kubectl.outcome import Outcome
from airflow_provider_dagconfig.kubectl.pod_life import TakenOver, TooLate

FORMAT = 1
"""Version of :meth:`Report.as_dict`; increased when its fields or their meaning change."""


class Kind(Enum):
    """The subject of a report, and the fields that it uses."""

    ENDED = "ended"
    """The pod has ended: ``outcome``."""
    TOO_LATE = "too late"
    """The pod's start or end was not observed in time: ``limit``, ``seconds``."""
    OUT_OF_REACH = "out of reach"
    """The API server was away when the start or end was due: ``limit``, ``seconds``, ``message``."""
    TAKEN_OVER = "taken over"
    """A later try owns the pod: ``by_try``."""
    NOT_WATCHED = "not watched"
    """Nobody watches the pod, which may still run: ``message``."""
    LOG_DUE = "log due"
    """The pod still runs, and its log should be read now."""
    TIMEOUT = "task timeout"
    """The pod still runs, and the task's execution_timeout has passed."""


@dataclass(frozen=True)
class Report:
    """One report. Its kind says which of its fields are used."""

    kind: Kind
    outcome: Outcome | None = None
    limit: str = ""
    seconds: float = 0.0
    message: str = ""
    by_try: int | None = None

    @classmethod
    def of(cls, verdict: Outcome | TooLate | TakenOver, trouble: KubectlError | None = None) -> Report:
        """
        Make the report of a verdict.

        :param trouble: why the API server is unreachable now; None if it answers.
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
        """Return JSON values, from which :meth:`from_dict` makes the same report."""
        fields = {name: value for name, value in vars(self).items() if value != getattr(type(self), name, None)}
        fields |= {"kind": self.kind.value, "format": FORMAT}
        if self.outcome is not None:
            fields["outcome"] = self.outcome.as_dict()
        return fields

    @classmethod
    def from_dict(cls, values: Any) -> Report:
        """Make a report from the values of :meth:`as_dict`. Unreadable values give a report that nobody watches the pod."""
        try:
            fields = dict(values)
            if fields.pop("format") != FORMAT:
                raise ValueError("another format")
            if fields.get("outcome") is not None:
                fields["outcome"] = Outcome.from_dict(fields["outcome"])
            return cls(**{**fields, "kind": Kind(fields["kind"])})
        except (KeyError, TypeError, ValueError):
            return cls(
                Kind.NOT_WATCHED,
                message="the triggerer's report cannot be read: let all of Airflow's processes have the same version of "
                "airflow-provider-dagconfig",
            )
