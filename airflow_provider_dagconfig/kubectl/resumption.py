"""
Continues with the pod of a deferred task in another process of the same try: collects its reported end, or waits for it.

A report (``report``) carries the observations made while no worker had the task. The pod is requested once, to see its present
owner and which pod to delete later. If the pod is gone, the report stands.
"""

from __future__ import annotations

import time

from airflow_provider_dagconfig.kubectl.ends import Ended, PodOutOfReach
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.kubectl.patience import Pauses
from airflow_provider_dagconfig.kubectl.pod_life import PodLife, TakenOver
from airflow_provider_dagconfig.kubectl.report import Kind, Report

# Seconds that the API server may be away when a task continues with its pod. After them the pod is left to the next try, which
# collects it.
_LONGEST_OUTAGE = 300.0


class ResumedPodRun(PodRun):
    """A :class:`PodRun` whose manifest is the ``identity`` of a :class:`~airflow_provider_dagconfig.kubectl.ends.Parting`."""

    def resume(self, report: Report, begun_at: float) -> Ended | None:
        """
        Continue with a pod that another process of this try has left, and that was watched meanwhile.

        :param report: the observations.
        :param begun_at: from the :class:`Parting`.
        :return: a success, as for :meth:`run`. None for a pod that still runs: its log was due and was read as far as it is
            written, or the report no longer holds.
        :raises PodOutOfReach: the API server is away, and the pod is left to the next try.
        :raises PodEnd: as for :meth:`run`.
        """
        self._begun_at, self._claim.may_exist = begun_at, True
        self._life = PodLife(self._manifest, self._limits, time.monotonic() - (time.time() - begun_at))
        with self._release_on_error():
            if report.kind is Kind.TAKEN_OVER:
                raise self._taken_over_error(TakenOver(report.by_try))
            self._request_pod()
            if isinstance(verdict := self._life.verdict(time.monotonic()), TakenOver):
                raise self._taken_over_error(verdict)
            self._open_log()
            if report.kind is Kind.ENDED and report.outcome is not None:
                return self._conclude(report.outcome)
            if verdict is not None or report.kind is Kind.NOT_WATCHED:
                return self._conclude(self._follow())
            if report.kind is Kind.LOG_DUE:
                self._collect_log(is_over=False)
            return None

    def _request_pod(self) -> None:
        """Get the present state of the pod. If it is gone, the report stands."""
        deadline, pauses = time.monotonic() + _LONGEST_OUTAGE, Pauses(5.0)
        while True:
            self._stop_if_killed()
            try:
                self._record_state(self._kubectl.get())
                return
            except KubectlError as error:
                if error.fault is Fault.NOT_FOUND:
                    self._life.record_lost_name()
                    return
                if not self._may_retry(error):
                    raise
                if time.monotonic() > deadline:
                    self._claim.may_exist = False  # so that the pod is left in any state: the next try collects it
                    raise PodOutOfReach(error, "seconds that a task waits for the pod of an earlier try", _LONGEST_OUTAGE) from None
            self._pause(pauses.next())
