"""
Goes on with the pod of a deferred task, in another process of the same try: what was reported of it is collected, or waited for.

What was seen while nobody was in the worker is a report (``report``). The pod is looked at once, which says whose it is by now and
what is to be deleted later; where it is gone, what was reported stands.
"""

from __future__ import annotations

import time

from airflow_provider_dagconfig.kubectl.ends import Ended, PodOutOfReach
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.kubectl.patience import Pauses
from airflow_provider_dagconfig.kubectl.pod_life import PodLife, TakenOver
from airflow_provider_dagconfig.kubectl.report import Kind, Report

# Seconds that the API server may be away when a task goes on with its pod. Then the pod is left, and the next try collects it.
_LOOKS_AGAIN = 300.0


class ResumedPodRun(PodRun):
    """A :class:`PodRun` whose manifest is the ``identity`` of a :class:`~airflow_provider_dagconfig.kubectl.ends.Parting`."""

    def meet(self, report: Report, begun_at: float) -> Ended | None:
        """
        Go on with a pod that another process of this try parted from, and that was watched meanwhile.

        :param report: what was seen of it.
        :param begun_at: from the :class:`Parting`.
        :return: a success, as of :meth:`run`; None for a pod that goes on: its log was due, and was read as far as it was written,
            or what was reported of it is not so any more.
        :raises PodOutOfReach: the API server is away, and the pod is left to the next try.
        :raises PodEnd: as :meth:`run`.
        """
        self._begun_at, self._claim.may_exist = begun_at, True
        self._life = PodLife(self._manifest, self._limits, time.monotonic() - (time.time() - begun_at))
        with self._ends():
            if report.kind is Kind.TAKEN_OVER:
                raise self._taken_over(TakenOver(report.by_try))
            self._look_again()
            if isinstance(verdict := self._life.verdict(time.monotonic()), TakenOver):
                raise self._taken_over(verdict)
            self._open_log()
            if report.kind is Kind.ENDED and report.outcome is not None:
                return self._end_with(report.outcome)
            if verdict is not None or report.kind is Kind.NOT_WATCHED:
                return self._end_with(self._follow())
            if report.kind is Kind.LOG_DUE:
                self._collect_log(is_over=False)
            return None

    def _look_again(self) -> None:
        """Look how the pod is by now; where it is gone, what was reported of it stands."""
        deadline, pauses = time.monotonic() + _LOOKS_AGAIN, Pauses(5.0)
        while True:
            self._stop_if_killed()
            try:
                self._see(self._kubectl.get())
                return
            except KubectlError as error:
                if error.fault is Fault.NOT_FOUND:
                    self._life.lost_its_name()
                    return
                if not self._may_pass(error):
                    raise
                if time.monotonic() > deadline:
                    self._claim.may_exist = False  # to be left, whatever it has done: the next try collects it
                    raise PodOutOfReach(error, "seconds that a task waits that goes on", _LOOKS_AGAIN) from None
            self._pause(pauses.next())
