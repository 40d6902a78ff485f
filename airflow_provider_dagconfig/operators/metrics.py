"""
The operator's counters and timers, through Airflow's own metrics: StatsD or OpenTelemetry, as airflow.cfg says.

Each has the tags ``dag_id``, ``job_name`` and ``namespace``; the names begin with Airflow's own prefix (``airflow.``). If metrics
are off, nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_dagconfig.kubectl.claim import Step
from airflow_provider_dagconfig.kubectl.ends import Ended, PodFailed
from airflow_provider_dagconfig.kubectl.outcome import phases
from airflow_provider_dagconfig.retries import Cause, Decision

_STEPS = {Step.CREATED: "created", Step.ADOPTED: "adopted", Step.REPLACED: "replaced"}


@dataclass(frozen=True)
class Metrics:
    """
    The metrics of one try.

    :param dag_id: the task's.
    :param job_name: the row's.
    :param namespace: the pod's.
    """

    dag_id: str
    job_name: str
    namespace: str

    def count_step(self, step: Step) -> None:
        """Count a pod that was created, adopted or replaced: ``dagconfig.pods.created``, ``.adopted``, ``.replaced``."""
        if step in _STEPS:
            self._count(f"pods.{_STEPS[step]}")

    def count_end(self, ended: Ended, container: str) -> None:
        """
        Count an end by its kind, ``dagconfig.pods.ended``, and measure ``dagconfig.pod.pending`` and ``dagconfig.pod.running``.

        :param container: the job's container; its times are the node's, in whole seconds.
        """
        self._count("pods.ended", end=ended.outcome.end.name.lower(), reason=ended.outcome.reason)
        pending, running = phases(ended.pod, container)
        for name, seconds in (("pending", pending), ("running", running)):
            if seconds is not None:
                Stats.timing(f"dagconfig.pod.{name}", timedelta(seconds=seconds), tags=self._tags())

    def run_and_count(self, run: Callable[[], Ended], container: str) -> Ended:
        """Run a pod to its end and count the end, whichever it is. Exceptions are those of :meth:`PodRun.run`."""
        try:
            ended = run()
        except PodFailed as failed:
            self.count_end(failed.ended, container)
            raise
        self.count_end(ended, container)
        return ended

    def count_decision(self, cause: Cause, decision: Decision) -> None:
        """Count a failed try by its cause and by what follows: ``dagconfig.retries``, or ``dagconfig.no_retry``."""
        self._count("retries" if decision.retry else "no_retry", cause=cause.name.lower())

    def count_grown(self) -> None:
        """Count a try with more memory than its row has, because an earlier one was OOMKilled: ``dagconfig.memory.grown``."""
        self._count("memory.grown")

    def _count(self, name: str, **tags: str) -> None:
        Stats.incr(f"dagconfig.{name}", tags=self._tags(tags))

    def _tags(self, more: Mapping[str, str] | None = None) -> dict[str, Any]:
        return {"dag_id": self.dag_id, "job_name": self.job_name, "namespace": self.namespace, **(more or {})}
