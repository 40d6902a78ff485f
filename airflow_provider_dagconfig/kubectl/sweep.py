"""
Which pods nobody comes back for: a pod, what Airflow knows of its task instance, and the time go in, what becomes of the pod and
why comes out. Pure.

A pod outlives its task where a worker was lost and no later try came. That its work is not wanted is proved by Airflow alone, which
counts the task instance as finished, and has done so for a while. Where Airflow does not say for how long, as to a task that asks,
the pod's own end tells it; and of a pod that has not ended, two looks that are that far apart: the first one marks the pod. That
Airflow does not know the task instance proves nothing: another Airflow may share the store, and its id.
"""

from __future__ import annotations

import re
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

MARK = "seen-finished"
"""The annotation of a pod that a sweep saw run on after its task: when it first did, and whose try's the pod was."""


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
    :param try_number: of the latest try; 0 where there was none; None where Airflow does not say.
    :param ended_at: when it got a finished state; None where Airflow does not say.
    """

    state: str | None
    try_number: int | None = None
    ended_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether Airflow counts it as finished."""
        return self.state in FINISHED


@dataclass(frozen=True)
class ListedPod:
    """
    What a sweep keeps of a pod: a whole one has some 10 kB.

    :param phase: Kubernetes' word for how far it is.
    :param ended_at: when the last of its containers ended; None where one may still run, or the status does not say.
    :param task: whose it is; None where its annotations do not say.
    :param try_number: of the try that made or adopted it.
    :param is_kept: whether it has ended, and ``on_finish_action`` keeps it.
    :param seen_finished_at: when a sweep first saw that its task was finished, since this try has it; None where none has.
    """

    name: str
    namespace: str
    uid: str
    resource_version: str
    created_at: datetime
    phase: str
    is_being_deleted: bool
    ended_at: datetime | None
    task: TaskId | None
    try_number: int | None
    job_name: str | None
    is_kept: bool
    seen_finished_at: datetime | None

    @classmethod
    def read(cls, pod: Pod) -> ListedPod:
        """Take it from the object that the API server sends."""
        metadata = pod["metadata"]
        return cls(
            name=str(metadata["name"]),
            namespace=str(metadata.get("namespace", "")),
            uid=str(metadata["uid"]),
            resource_version=str(metadata["resourceVersion"]),
            created_at=read_time(metadata["creationTimestamp"]),
            phase=str(pod.get("status", {}).get("phase", "Pending")),
            is_being_deleted=bool(metadata.get("deletionTimestamp")),
            ended_at=_ended_at(pod),
            task=_task_of(pod),
            try_number=try_number(pod),
            job_name=annotation(pod, "job_name"),
            is_kept=annotation(pod, "collected") == "true" and is_terminal(pod),
            seen_finished_at=_seen_finished_at(pod),
        )


class Fate(Enum):
    """What becomes of a pod."""

    KEEP = "keep"
    LOOK_AGAIN = "mark it, and delete it where that is still so when it has been marked for long enough"
    DELETE = "delete"
    DELETE_UNKNOWN = "delete only where that is asked for"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a pod, and why, as a sentence without its full stop."""

    fate: Fate
    why: str


def judge(pod: ListedPod, task: TaskFacts | None, now: datetime) -> Verdict:
    """
    Decide about one pod of this installation.

    :param pod: as it was before Airflow was asked: a try that begins later changes the pod, and a deletion that is bound to what
        was seen of it is refused then.
    :param task: what Airflow knows; None where it does not know the task instance.
    :param now: the time, with its zone.
    """
    if pod.task is None or pod.try_number is None:
        return Verdict(Fate.KEEP, "Its annotations do not say whose it is")
    if pod.is_being_deleted:
        return Verdict(Fate.KEEP, "It is being deleted")
    if pod.is_kept:
        return Verdict(Fate.KEEP, "on_finish_action keeps it")
    if task is None:
        return _unknown(pod, now)
    known = f"Airflow has its task as {task.state or 'not started'}"
    if not task.is_finished:
        return Verdict(Fate.KEEP, known if task.try_number is None else f"{known}, try {task.try_number}")
    if task.try_number is not None and pod.try_number > task.try_number:
        return Verdict(Fate.KEEP, f"It is try {pod.try_number}'s, and Airflow knows no try after {task.try_number}")
    if task.ended_at is None:
        return _finished_at_some_time(pod, known, now)
    since = f"{known} since {_moment(task.ended_at)}"
    if now - task.ended_at <= SETTLED:
        return Verdict(Fate.KEEP, f"{since}, for less than {_SETTLED}")
    if pod.created_at > task.ended_at + SETTLED:
        return Verdict(Fate.DELETE_UNKNOWN, f"{since}, and the pod is younger: another Airflow may have made it")
    return Verdict(Fate.DELETE, since)


def mark(pod: ListedPod, now: datetime) -> str:
    """Give the text of the annotation that says when its task was seen to be finished."""
    return f"{now.astimezone(timezone.utc).isoformat(timespec='seconds')} try {pod.try_number}"


def _finished_at_some_time(pod: ListedPod, known: str, now: datetime) -> Verdict:
    if pod.ended_at is None and pod.seen_finished_at is None:
        return Verdict(Fate.LOOK_AGAIN, f"{known}. It is deleted by a sweep that sees the same in more than {_SETTLED}")
    if pod.ended_at is not None:
        since, settled = f"{known}, and the pod ended at {_moment(pod.ended_at)}", pod.ended_at
    else:
        assert pod.seen_finished_at is not None
        since, settled = f"{known}, and so a sweep saw it at {_moment(pod.seen_finished_at)}", pod.seen_finished_at
    if now - settled <= SETTLED:
        return Verdict(Fate.KEEP, f"{since}, less than {_SETTLED} ago")
    return Verdict(Fate.DELETE, since)


def _unknown(pod: ListedPod, now: datetime) -> Verdict:
    does_not_know = "Airflow does not know its task"
    if now - pod.created_at <= SETTLED:
        return Verdict(Fate.KEEP, f"{does_not_know}, and the pod is younger than {_SETTLED}")
    return Verdict(Fate.DELETE_UNKNOWN, f"{does_not_know}; another Airflow may")


def _task_of(pod: Pod) -> TaskId | None:
    dag_id, run_id, task_id, map_index = (annotation(pod, name) for name in ("dag-id", "run-id", "task-id", "map-index"))
    if dag_id is None or run_id is None or task_id is None:
        return None
    try:
        return TaskId(dag_id, run_id, task_id, int(map_index or ""))
    except ValueError:
        return None


def _ended_at(pod: Pod) -> datetime | None:
    if not is_terminal(pod):
        return None
    containers = [each for kind in ("initContainerStatuses", "containerStatuses") for each in pod["status"].get(kind) or ()]
    ends = ((each.get("state", {}).get("terminated") or {}).get("finishedAt") for each in containers)
    return max((read_time(end) for end in ends if end), default=None)


def _seen_finished_at(pod: Pod) -> datetime | None:
    """Read the mark; none of it counts once a later try has the pod."""
    match = re.fullmatch(r"(\S+) try (\d+)", annotation(pod, MARK) or "", re.ASCII)
    if match is None or int(match[2]) != try_number(pod):
        return None
    try:
        moment = read_time(match[1])
    except ValueError:
        return None
    return moment if moment.tzinfo else None


_SETTLED = f"{SETTLED.total_seconds() / 60:g} minutes"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
