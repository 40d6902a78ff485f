"""
Records what was observed of one pod, and decides what follows. Pure: no process, no thread, no clock.

Theory of operation: a driver reports its observations and their times (:meth:`PodLife.record_state`,
:meth:`PodLife.record_deletion`), and asks what follows (:meth:`PodLife.verdict`): an outcome, :class:`TakenOver` by a later try,
:class:`TooLate` for a limit, or None to wait, at most until :meth:`PodLife.next_deadline`. The worker drives one life
(``lifecycle``); a triggerer can drive a thousand from one watch. They share every decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_dagconfig.kubectl import outcome as outcomes
from airflow_provider_dagconfig.kubectl.annotations import run_of, try_number
from airflow_provider_dagconfig.kubectl.outcome import Outcome, Running, Waiting, read_status

Pod = Mapping[str, Any]

PHASE_FOLLOWS = 5.0
"""Seconds after the base container's end. Then its end counts as the pod's, even if another container still runs."""

NODE_ANSWERS = 30.0
"""Seconds after the time that a node had for a deletion or a deadline. Then the node counts as lost."""

KUBELET_LOOKS_AGAIN = 60.0
"""
Seconds, in addition, for a pod that is deleted before it has run. Then its node counts as lost.

A kubelet that was creating the container may notice the deletion only at its next check (syncFrequency, one minute).
"""


@dataclass(frozen=True)
class Limits:
    """
    Time limits, in seconds.

    :param startup_timeout: until the base container must have started, and until the API server must have accepted the pod.
    :param timeout: how long the pod may run. The kubelet enforces it (activeDeadlineSeconds); a life only waits.
    :param grace_period: from a deletion to the container's end, at most.
    :param node_answers: after that, for the node to report the end.
    """

    startup_timeout: float
    timeout: float
    grace_period: float = 30.0
    node_answers: float = NODE_ANSWERS


@dataclass(frozen=True)
class TakenOver:
    """A later try owns the pod and continues with it."""

    by_try: int | None


@dataclass(frozen=True)
class TooLate:
    """
    The pod's start or end was not observed in time.

    :param limit: the limit's name.
    :param seconds: the limit.
    :param outcome: the end that follows if the API server was reachable.
    :param events_may_tell: whether the pod's events may say more than its status.
    """

    limit: str
    seconds: float
    outcome: Outcome
    events_may_tell: bool = False


class PodLife:
    """
    One pod in the state in which it was last observed.

    :param manifest: the pod that this try makes; its annotations identify the owner.
    :param limits: the limits for a pod that does not state its own; an adopted pod keeps the limits that it was made with.
    :param begun_at: when the try began to create or adopt the pod, by the driver's clock, in seconds.
    """

    def __init__(self, manifest: Pod, limits: Limits, begun_at: float) -> None:
        self.pod: Pod = manifest
        """The pod as last observed; the manifest until then."""
        self.view: Waiting | Running | Outcome = Waiting("Pending", events_may_tell=True)
        """Whether the pod waits, runs, or has ended."""
        self.is_gone = False
        """Whether the API server no longer has the pod."""
        self.is_replaced = False
        """Whether another pod has the name now."""
        self._manifest, self._limits, self._begun_at = manifest, limits, begun_at
        self._container: str = manifest["spec"]["containers"][0]["name"]
        # Times by the driver's clock; None if the event has not happened.
        self._started_at: float | None = None
        self._container_ended_at: float | None = None
        self._deletion_seen_at: float | None = None

    # --- what was seen ---

    def record_state(self, pod: Pod, now: float) -> str | None:
        """
        Record a newer state of the pod. The first end that is reported is final.

        :return: a message for the log, or None.
        """
        if isinstance(self.view, Outcome):
            return None
        uid = self.pod["metadata"].get("uid")
        if uid is not None and pod["metadata"].get("uid") != uid:
            self.is_gone = self.is_replaced = True
            return None
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp") and self._deletion_seen_at is None:
            self._deletion_seen_at = now
        before, self.view = self.view, read_status(pod, self._container)
        if isinstance(self.view, Waiting):
            return self._record_waiting(before, self.view)
        if isinstance(self.view, Running):
            return self._record_running(self.view, now)
        return None

    def _record_waiting(self, before: Waiting | Running | Outcome, view: Waiting) -> str | None:
        if self._started_at is not None:
            self.view = before  # a stale state from the cache of another API server
            return None
        if isinstance(before, Waiting):
            self.view = view = outcomes.more_telling(before, view)
        return None if view == before else f"{self._name} waits: {view.reason} {view.message}".rstrip()

    def _record_running(self, view: Running, now: float) -> str | None:
        if view.ended and self._container_ended_at is None:
            self._container_ended_at = now
        if self._started_at is not None:
            return None
        self._started_at = now
        return f"{self._name} runs on {self.pod.get('spec', {}).get('nodeName', 'its node')}"

    @property
    def _name(self) -> str:
        return f"Pod {self.pod['metadata'].get('name')}"

    def record_deletion(self) -> None:
        """Record that the API server no longer has the pod."""
        if not isinstance(self.view, Outcome):
            self.is_gone = True

    def record_lost_name(self) -> None:
        """Record that another pod, or none, has the name, even after the pod's end was observed."""
        self.is_gone = True

    # --- what follows ---

    def verdict(self, now: float) -> Outcome | TooLate | TakenOver | None:
        """Return what is certain by now; None to keep waiting."""
        if is_owned_by_later_try(self.pod, self._manifest):
            return TakenOver(try_number(self.pod))
        if isinstance(self.view, Outcome):
            return self.view
        if self.is_gone:
            ended = self.view.ended if isinstance(self.view, Running) else None
            return ended or outcomes.deleted_by_others(self.pod, self._container)
        if self._deletion_seen_at is not None and now > (due := self._deletion_due_at()):
            return outcomes.node_lost(self.pod, "the end of the pod, which is being deleted", now - due + self._limits.node_answers)
        if isinstance(self.view, Waiting):
            return self._start_verdict(self.view, now)
        if self.view.ended and now > self._phase_due_at():
            return self.view.ended
        if now > (due := self._end_due_at()):
            seconds = self.timeout
            late = now - due + self._limits.node_answers + self.grace_period
            lost = outcomes.node_lost(self.pod, f"the end of the pod at timeout_seconds = {seconds:g}", late)
            return TooLate("timeout_seconds", seconds, lost)
        return None

    def _start_verdict(self, view: Waiting, now: float) -> Outcome | TooLate | None:
        if view.hopeless:
            return outcomes.not_started(view)
        if self._deletion_seen_at is not None:
            return None  # it will not start any more: wait for its end
        seconds = self._limits.startup_timeout
        if now > self._begun_at + seconds:
            return TooLate("startup_timeout_seconds", seconds, outcomes.not_started(view, seconds), view.events_may_tell)
        return None

    def next_deadline(self) -> float:
        """Return the time at which :meth:`verdict` may change without a new observation."""
        steps = []
        if isinstance(self.view, Waiting) and self._deletion_seen_at is None:
            steps.append(self._begun_at + self._limits.startup_timeout)
        if self._container_ended_at is not None:
            steps.append(self._phase_due_at())
        if self._deletion_seen_at is not None:
            steps.append(self._deletion_due_at())
        if self._started_at is not None:
            steps.append(self._end_due_at())
        return min(steps, default=float("inf"))

    @property
    def has_ended(self) -> bool:
        """Whether the base container has ended, so that its log is complete."""
        return isinstance(self.view, Outcome) or self._container_ended_at is not None

    @property
    def timeout(self) -> float:
        """Seconds that this pod may run."""
        return float(self.pod.get("spec", {}).get("activeDeadlineSeconds", self._limits.timeout))

    @property
    def grace_period(self) -> float:
        """Seconds that its containers have to end after its deletion. The deletion request may set its own grace period."""
        seconds = self.pod.get("spec", {}).get("terminationGracePeriodSeconds", self._limits.grace_period)
        if self._deletion_seen_at is not None:
            seconds = self.pod["metadata"].get("deletionGracePeriodSeconds", seconds)
        return float(seconds)

    def _phase_due_at(self) -> float:
        assert self._container_ended_at is not None
        return self._container_ended_at + PHASE_FOLLOWS

    def _deletion_due_at(self) -> float:
        assert self._deletion_seen_at is not None
        notice_delay = 0.0 if self._started_at is not None else KUBELET_LOOKS_AGAIN
        return self._deletion_seen_at + self.grace_period + notice_delay + self._limits.node_answers

    def _end_due_at(self) -> float:
        assert self._started_at is not None
        # A triggerer that was restarted observes the start of a running pod too late.
        started_by = min(self._started_at, self._begun_at + self._limits.startup_timeout)
        return started_by + self.timeout + self.grace_period + self._limits.node_answers


def is_owned_by_later_try(pod: Pod, manifest: Pod) -> bool:
    """Return whether the pod belongs to a later try than the manifest's, or to a later run with the same id."""
    run, own = run_of(pod), run_of(manifest)
    if run is not None and own is not None and run[0] != own[0]:
        return run[0] > own[0]
    return (try_number(pod) or 0) > (try_number(manifest) or 0)
