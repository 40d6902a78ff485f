"""
Decides which pods are orphaned, from the pod, Airflow's facts about its task instance, and the time; and says why. Pure.

A pod outlives its task if a worker was lost and no later try came. Only Airflow can prove that its work is not wanted: it counts
the task instance as finished, and has done so for a while. To a task that asks, Airflow does not say for how long; then the time
of the pod's own end counts. For a pod that has not ended, two sweeps must see the task finished, that long apart: the first one
marks the pod. If Airflow does not know the task instance, that proves nothing: another Airflow may share the store, and its id.
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
"""Time after a task instance's end. Then its pod may be deleted; before, its worker may still do so, and clocks may differ."""

FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""Airflow's states of a task instance that no worker runs, or will run unless it is cleared. In any other state the pod is kept."""

MARK = "seen-finished"
"""The annotation of a pod that a sweep saw running after its task had finished: when it first did, and the pod's try number."""


class TaskId(NamedTuple):
    """The ids of a task instance; the map index is -1 if the task is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


@dataclass(frozen=True)
class TaskFacts:
    """
    What Airflow knows of a task instance.

    :param state: Airflow's word for it; None if the task instance is not scheduled yet, or was cleared.
    :param try_number: of the latest try; 0 if there was none; None if Airflow does not say.
    :param ended_at: when it reached a finished state; None if Airflow does not say.
    """

    state: str | None
    try_number: int | None = None
    ended_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether Airflow counts the task instance as finished."""
        return self.state in FINISHED


@dataclass(frozen=True)
class ListedPod:
    """
    The parts of a pod that a sweep keeps in memory; a whole pod has some 10 kB.

    :param phase: the pod's phase, in Kubernetes' word.
    :param ended_at: when its last container ended; None if one may still run, or the status does not say.
    :param task: the owner; None if the annotations do not say.
    :param try_number: of the try that made or adopted it.
    :param is_kept: whether it has ended and ``on_finish_action`` keeps it.
    :param seen_finished_at: when a sweep first saw its task finished while this try owned it; None if none has.
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
        """Read a pod from the object that the API server sends."""
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
    """What becomes of a pod, and why, as a sentence without a full stop."""

    fate: Fate
    why: str


def judge(pod: ListedPod, task: TaskFacts | None, now: datetime) -> Verdict:
    """
    Decide about one pod of this installation.

    :param pod: observed before Airflow was asked. If a later try begins meanwhile, it changes the pod, and the API server then
        refuses to delete the observed version.
    :param task: what Airflow knows; None if it does not know the task instance.
    :param now: the time, with its zone.
    """
    if pod.task is None or pod.try_number is None:
        return Verdict(Fate.KEEP, "Its annotations do not name its task")
    if pod.is_being_deleted:
        return Verdict(Fate.KEEP, "It is being deleted")
    if pod.is_kept:
        return Verdict(Fate.KEEP, "on_finish_action keeps it")
    if task is None:
        return _judge_unknown(pod, now)
    fact = f"Its task's state in Airflow is {task.state or 'not started'}"
    if not task.is_finished:
        return Verdict(Fate.KEEP, fact if task.try_number is None else f"{fact}, try {task.try_number}")
    if task.try_number is not None and pod.try_number > task.try_number:
        return Verdict(Fate.KEEP, f"It is try {pod.try_number}'s, and Airflow knows no try after {task.try_number}")
    if task.ended_at is None:
        return _judge_without_end_time(pod, fact, now)
    since = f"{fact} since {_moment_text(task.ended_at)}"
    if now - task.ended_at <= SETTLED:
        return Verdict(Fate.KEEP, f"{since}, for less than {_SETTLED_TEXT}")
    if pod.created_at > task.ended_at + SETTLED:
        return Verdict(Fate.DELETE_UNKNOWN, f"{since}, and the pod is younger: another Airflow may have made it")
    return Verdict(Fate.DELETE, since)


def mark(pod: ListedPod, now: datetime) -> str:
    """Return the text of the annotation that records when the task was seen finished."""
    return f"{now.astimezone(timezone.utc).isoformat(timespec='seconds')} try {pod.try_number}"


def _judge_without_end_time(pod: ListedPod, fact: str, now: datetime) -> Verdict:
    if pod.ended_at is None and pod.seen_finished_at is None:
        return Verdict(Fate.LOOK_AGAIN, f"{fact}. A sweep deletes it if this is still so after more than {_SETTLED_TEXT}")
    if pod.ended_at is not None:
        since, settled = f"{fact}, and the pod ended at {_moment_text(pod.ended_at)}", pod.ended_at
    else:
        assert pod.seen_finished_at is not None
        since, settled = f"{fact}, as a sweep saw already at {_moment_text(pod.seen_finished_at)}", pod.seen_finished_at
    if now - settled <= SETTLED:
        return Verdict(Fate.KEEP, f"{since}, less than {_SETTLED_TEXT} ago")
    return Verdict(Fate.DELETE, since)


def _judge_unknown(pod: ListedPod, now: datetime) -> Verdict:
    fact = "Airflow does not know its task"
    if now - pod.created_at <= SETTLED:
        return Verdict(Fate.KEEP, f"{fact}, and the pod is younger than {_SETTLED_TEXT}")
    return Verdict(Fate.DELETE_UNKNOWN, f"{fact}; another Airflow may know it")


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
    """Return the time of the mark; None if a later try owns the pod now."""
    match = re.fullmatch(r"(\S+) try (\d+)", annotation(pod, MARK) or "", re.ASCII)
    if match is None or int(match[2]) != try_number(pod):
        return None
    try:
        moment = read_time(match[1])
    except ValueError:
        return None
    return moment if moment.tzinfo else None


_SETTLED_TEXT = f"{SETTLED.total_seconds() / 60:g} minutes"


def _moment_text(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
