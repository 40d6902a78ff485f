"""
Which pods nobody comes back for: a pod, what Airflow knows of its task instance, and the time go in, what becomes of the pod and
why comes out. Pure.

A pod outlives its task where a worker was lost and no later try came. That its work is not wanted is proved by Airflow alone, which
counts the task instance as finished, and has done so for a while. That Airflow does not know the task instance proves nothing:
another Airflow may share the store, and its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, NamedTuple

from airflow_provider_dagconfig.kubectl.annotations import annotation, try_number
from airflow_provider_dagconfig.kubectl.outcome import is_terminal, read_time

Pod = Mapping[str, Any]

SETTLED = timedelta(minutes=10)
"""After a task instance's end. Until then its worker may still delete the pod itself, and the clocks of the two may differ."""

FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""Airflow's states of a task instance that no worker has, and that none will have unless it is cleared. Any other keeps the pod."""


class TaskId(NamedTuple):
    """Which task instance; -1 is the map index of one that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


@dataclass(frozen=True)
class TaskFacts:
    """
    What Airflow knows of a task instance.

    :param state: Airflow's word for it; None where it is not scheduled yet, or cleared.
    :param try_number: of the latest try; 0 where there was none.
    :param ended_at: when it got a finished state; None where Airflow does not say.
    """

    state: str | None
    try_number: int
    ended_at: datetime | None

    @property
    def is_finished(self) -> bool:
        """Whether Airflow counts it as finished."""
        return self.state in FINISHED


class Fate(Enum):
    """What becomes of a pod."""

    KEEP = "keep"
    DELETE = "delete"
    DELETE_UNKNOWN = "delete only where that is asked for"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a pod, and why, as a sentence without its full stop."""

    fate: Fate
    why: str


def task_of(pod: Pod) -> TaskId | None:
    """Read whose pod it is; None where its annotations do not say."""
    dag_id, run_id, task_id, map_index = (annotation(pod, name) for name in ("dag-id", "run-id", "task-id", "map-index"))
    if dag_id is None or run_id is None or task_id is None or try_number(pod) is None:
        return None
    try:
        return TaskId(dag_id, run_id, task_id, int(map_index or ""))
    except ValueError:
        return None


def created_at(pod: Pod) -> datetime:
    """When the API server took the pod."""
    return read_time(pod["metadata"]["creationTimestamp"])


def judge(pod: Pod, task: TaskFacts | None, now: datetime) -> Verdict:
    """
    Decide about one pod of this installation.

    :param pod: as the API server gave it, before Airflow was asked: a try that begins later changes the pod, and a deletion that is
        bound to what was seen of it is refused then.
    :param task: what Airflow knows; None where it does not know the task instance.
    :param now: the time, with its zone.
    """
    if task_of(pod) is None:
        return Verdict(Fate.KEEP, "Its annotations do not say whose it is")
    if pod["metadata"].get("deletionTimestamp"):
        return Verdict(Fate.KEEP, "It is being deleted")
    if annotation(pod, "collected") == "true" and is_terminal(pod):
        return Verdict(Fate.KEEP, "on_finish_action keeps it")
    if task is None:
        return _unknown(pod, now)
    known = f"Airflow has its task as {task.state or 'not started'}"
    if not task.is_finished:
        return Verdict(Fate.KEEP, f"{known}, try {task.try_number}")
    by_try = try_number(pod) or 0
    if by_try > task.try_number:
        return Verdict(Fate.KEEP, f"It is try {by_try}'s, and Airflow knows no try after {task.try_number}")
    if task.ended_at is None:
        return Verdict(Fate.KEEP, f"{known}, and does not say since when")
    since = f"{known} since {task.ended_at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    if now - task.ended_at <= SETTLED:
        return Verdict(Fate.KEEP, f"{since}, for less than {_minutes(SETTLED)}")
    if created_at(pod) > task.ended_at + SETTLED:
        return Verdict(Fate.DELETE_UNKNOWN, f"{since}, and the pod is younger: another Airflow may have made it")
    return Verdict(Fate.DELETE, since)


def _unknown(pod: Pod, now: datetime) -> Verdict:
    does_not_know = "Airflow does not know its task"
    if now - created_at(pod) <= SETTLED:
        return Verdict(Fate.KEEP, f"{does_not_know}, and the pod is younger than {_minutes(SETTLED)}")
    return Verdict(Fate.DELETE_UNKNOWN, f"{does_not_know}; another Airflow may")


def _minutes(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 60:g} minutes"
