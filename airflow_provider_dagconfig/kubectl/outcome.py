"""
Interprets a pod's status: it waits, it runs, or it ended in some way. Pure; ``explanation`` writes the messages for people.

The rules are Kubernetes' (Pod Lifecycle; kubelet's container states). A pod in phase Succeeded or Failed is terminal. A pod has no
condition `complete`; only a Job has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

Pod = Mapping[str, Any]

# These do not pass by waiting: the manifest, or what it refers to, has to change.
_PERMANENT_REASONS = frozenset({"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"})
# The kubelet reports CreateContainerConfigError also while its own cache is slow; that is transient.
_TRANSIENT_MESSAGE = re.compile(r"failed to sync (secret|configmap) cache")
# status.reason of a pod that the cluster ended or refused, whatever its container did.
_CLUSTER_REASONS = re.compile(
    r"Evicted|Preempt|NodeLost|NodeShutdown|Shutdown|Terminated|NodeAffinity|UnexpectedAdmissionError|OutOf\w+"
)


class End(Enum):
    """How a pod ended, from the task's point of view."""

    SUCCEEDED = "succeeded"
    EXITED = "exited"
    OUT_OF_MEMORY = "out of memory"
    DEADLINE_EXCEEDED = "deadline exceeded"
    NOT_STARTED = "not started"
    CLUSTER = "ended by the cluster"


@dataclass(frozen=True)
class Outcome:
    """
    The end of a pod.

    :param end: how it ended, from the task's point of view.
    :param reason: Kubernetes' word for it, such as ``Completed``, ``OOMKilled``, ``Evicted``.
    :param message: the sentence of the kubelet, scheduler or runtime; may be empty.
    :param exit_code: the base container's, 0 to 255; None if it did not run to its end.
    :param result: the base container's termination message, at most 4096 bytes; used for ``do_xcom_push``.
    """

    end: End
    reason: str
    message: str = ""
    exit_code: int | None = None
    result: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, from which :meth:`from_dict` makes the same outcome."""
        return {**asdict(self), "end": self.end.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """
        Make an outcome from the values of :meth:`as_dict`.

        :raises ValueError: the values name an unknown end.
        :raises TypeError: a value is missing, or there is an unknown one.
        """
        return cls(**{**values, "end": End(values["end"])})


@dataclass(frozen=True)
class Waiting:
    """
    The base container has not started.

    :param reason: such as ``ContainerCreating``, ``ImagePullBackOff``, ``Unschedulable``.
    :param message: the sentence of the kubelet or scheduler; may be empty.
    :param hopeless: whether waiting longer can't help.
    :param events_may_tell: whether the status gives no reason, but the pod's events may.
    """

    reason: str
    message: str = ""
    hopeless: bool = False
    events_may_tell: bool = False


@dataclass(frozen=True)
class Running:
    """
    The base container has started, and the pod's phase is not terminal.

    :param ended: the end that the container's own state reports, if the container has ended. The phase follows within a moment, or
        never if another container (an injected sidecar) still runs.
    """

    ended: Outcome | None = None


def read_status(pod: Pod, container: str = "base") -> Waiting | Running | Outcome:
    """Return whether a pod waits, runs, or has ended, from the object that the API server sends."""
    status = pod.get("status", {})
    phase = status.get("phase", "Pending")
    state = _container_state(status.get("containerStatuses", ()), container)
    terminated = state.get("terminated")
    if ended := _ended_by_the_pod(pod, container, terminated):
        return ended
    if phase == "Failed":
        return _ended_by_the_container(terminated) if terminated else _failed_without_container(pod)
    if terminated:
        return Running(ended=_ended_by_the_container(terminated))
    if "running" in state or (phase == "Running" and not state):
        return Running()
    return _waiting(pod)


def _container_state(statuses: Iterable[Pod], name: str) -> Mapping[str, Any]:
    return next((status.get("state", {}) for status in statuses if status["name"] == name), {})


def _ended_by_the_pod(pod: Pod, container: str, terminated: Mapping[str, Any] | None) -> Outcome | None:
    """Return an end that takes precedence over the container's exit code; None if there is none."""
    status = pod.get("status", {})
    phase, reason, message = status.get("phase"), status.get("reason", ""), status.get("message", "")
    exit_code = terminated.get("exitCode") if terminated else None
    if terminated and _ended_after_deletion(pod, terminated):
        return deleted_by_others(pod, container)
    if phase == "Succeeded":
        result = terminated.get("message") if terminated else None
        return Outcome(End.SUCCEEDED, "Completed", exit_code=0, result=result)
    if reason == "DeadlineExceeded":
        return Outcome(End.DEADLINE_EXCEEDED, reason, message, exit_code)
    # The runtime reports this also if only a child process was killed and the container then succeeded.
    if terminated and terminated.get("reason") == "OOMKilled" and exit_code:
        return Outcome(End.OUT_OF_MEMORY, "OOMKilled", terminated.get("message", ""), exit_code)
    if phase == "Failed" and (disruption := _disruption(status)):
        return Outcome(End.CLUSTER, *disruption, exit_code)
    if phase == "Failed" and _CLUSTER_REASONS.fullmatch(reason):
        return Outcome(End.CLUSTER, reason, message, exit_code)
    return None


def _disruption(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why the cluster ended a pod (eviction, preemption, a node's taint), which Kubernetes reports since 1.25."""
    for condition in status.get("conditions", ()):
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return condition.get("reason", "Disruption"), condition.get("message", "")
    return None


def _ended_after_deletion(pod: Pod, terminated: Mapping[str, Any]) -> bool:
    """Return whether a container ended after its pod's deletion began. Then the deletion is the cause, whatever its exit code."""
    deleted = pod["metadata"].get("deletionTimestamp")
    if not deleted or not terminated.get("finishedAt"):
        return False
    grace = timedelta(seconds=pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    return read_time(terminated["finishedAt"]) >= read_time(deleted) - grace


def finished_at(pod: Pod, container: str = "base") -> float | None:
    """Return when the container ended, by its node's clock, in whole seconds since 1970; None if the status does not say."""
    state = _container_state(pod.get("status", {}).get("containerStatuses", ()), container)
    finished = (state.get("terminated") or {}).get("finishedAt")
    return read_time(finished).timestamp() if finished else None


def phases(pod: Pod, container: str = "base") -> tuple[float | None, float | None]:
    """
    Measure how long a pod that has ended was pending and running, in whole seconds by the cluster's clocks.

    :return: from its creation to the container's start, and from there to the container's end; None for a phase that did not
        happen.
    """
    state = _container_state(pod.get("status", {}).get("containerStatuses", ()), container)
    terminated = state.get("terminated") or {}
    created, started, finished = pod["metadata"].get("creationTimestamp"), terminated.get("startedAt"), terminated.get("finishedAt")
    return _seconds_between(created, started), _seconds_between(started, finished)


def _seconds_between(begin: str | None, end: str | None) -> float | None:
    return max(0.0, (read_time(end) - read_time(begin)).total_seconds()) if begin and end else None


def has_run(pod: Pod, container: str = "base") -> bool:
    """Return whether the container has started, so that it has a log."""
    state = _container_state(pod.get("status", {}).get("containerStatuses", ()), container)
    return "running" in state or "terminated" in state


def is_terminal(pod: Pod) -> bool:
    """Return whether the whole pod has ended: nothing in it runs, or will run."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def read_time(text: str) -> datetime:
    """Return a time that Kubernetes wrote (RFC 3339)."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def deleted_by_others(pod: Pod, container: str = "base") -> Outcome:
    """Return the end of a pod that was deleted, but not by the task. If its container had not started, the job did nothing."""
    if disruption := _disruption(pod.get("status", {})):
        return Outcome(End.CLUSTER, *disruption)
    when = "while it ran" if has_run(pod, container) else "before it ran"
    return Outcome(End.CLUSTER, "Deleted", f"somebody deleted it {when}, and not this task")


def node_lost(pod: Pod, what: str, seconds: float) -> Outcome:
    """Return the end of a pod whose node has not reported an event that was due ``seconds`` ago."""
    node = pod.get("spec", {}).get("nodeName", "its node")
    return Outcome(End.CLUSTER, "NodeLost", f"{node} has not reported {what}, which was due {seconds:.0f} s ago")


def _ended_by_the_container(terminated: Mapping[str, Any]) -> Outcome:
    exit_code, message = terminated["exitCode"], terminated.get("message")
    if exit_code == 0:
        return Outcome(End.SUCCEEDED, "Completed", exit_code=0, result=message)
    return Outcome(End.EXITED, terminated.get("reason") or "Error", message or "", exit_code)


def _failed_without_container(pod: Pod) -> Outcome:
    status = pod.get("status", {})
    for container in status.get("initContainerStatuses", ()):
        terminated = container.get("state", {}).get("terminated")
        if terminated and terminated["exitCode"]:
            reason = f"{terminated.get('reason') or 'Error'}, exit code {terminated['exitCode']}"
            return Outcome(End.EXITED, f"init container {container['name']}: {reason}", terminated.get("message", ""))
    if pod["metadata"].get("deletionTimestamp") and not status.get("reason"):
        # The runtime had removed the container before the kubelet observed its end.
        return Outcome(End.CLUSTER, "Deleted", "somebody deleted it, and not this task")
    return Outcome(End.CLUSTER, status.get("reason") or "Failed", status.get("message", ""))


def _waiting(pod: Pod) -> Waiting:
    status = pod.get("status", {})
    init = _awaited_init_container(pod)
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in (None, "PodInitializing"):
            reason, message = waiting["reason"], waiting.get("message", "")
            hopeless = reason in _PERMANENT_REASONS and not _TRANSIENT_MESSAGE.search(message)
            text = f"{_init_container_text(container)}: {message}" if init is not None and container is init else message
            return Waiting(reason, text, hopeless, events_may_tell=not message)
    if init is not None:
        running = init.get("state", {}).get("running")
        if running is None:
            return Waiting("PodInitializing", f"{_init_container_text(init)} has not started", events_may_tell=True)
        return Waiting("PodInitializing", f"{_init_container_text(init)} has been running since {running.get('startedAt')}")
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Waiting(condition.get("reason", "Unschedulable"), condition.get("message", ""))
    message = status.get("message", "")
    return Waiting(status.get("reason", "Pending"), message, events_may_tell=not message)


def _awaited_init_container(pod: Pod) -> Mapping[str, Any] | None:
    """
    Return the init container that the pod waits for: init containers run one after the other.

    An init container with restartPolicy Always keeps running beside the others after its start (Kubernetes: Sidecar Containers).
    """
    specs = pod.get("spec", {}).get("initContainers", ())
    sidecars = {spec["name"] for spec in specs if spec.get("restartPolicy") == "Always"}
    for container in pod.get("status", {}).get("initContainerStatuses", ()):
        is_done = container.get("started") if container["name"] in sidecars else "terminated" in container.get("state", {})
        if not is_done:
            return container  # type: ignore[no-any-return]
    return None


def _init_container_text(init: Mapping[str, Any]) -> str:
    image = f" ({init['image']})" if init.get("image") else ""
    return f"init container {init['name']}{image}"


def more_telling(before: Waiting, now: Waiting) -> Waiting:
    """Keep the message that names the cause: ``ImagePullBackOff`` comes after it, and may say only that the kubelet waits."""
    if now.reason == "ImagePullBackOff" and before.reason in ("ErrImagePull", "ImagePullBackOff"):
        return replace(now, message=max(before.message, now.message, key=len))
    return now


def not_started(waiting: Waiting, seconds: float | None = None) -> Outcome:
    """Return the end of a pod that never started: after ``seconds``, or at once (None) because waiting could not help."""
    after = "" if seconds is None else f"not started after startup_timeout_seconds = {seconds:g}: "
    return Outcome(End.NOT_STARTED, waiting.reason, after + (waiting.message or "the API server gave no reason"))


def with_warning_event(late: Outcome, seconds: float, events: Iterable[Mapping[str, Any]]) -> Outcome:
    """
    Add the reason for a late start from the pod's last warning event, since its status gives none.

    :param late: the outcome from the status.
    :param seconds: startup_timeout_seconds.
    :param events: the pod's events, as the API server lists them.
    """
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return late
    last = max(warnings, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return not_started(Waiting(late.reason, f"{last.get('reason')}: {last.get('message')}"), seconds)


def memory_limit_of(pod: Pod, name: str) -> str | None:
    """Return the memory limit of one of a pod's containers; None if it has none."""
    containers = pod.get("spec", {}).get("containers", ())
    limits = (container.get("resources", {}).get("limits", {}) for container in containers if container["name"] == name)
    return next((limit.get("memory") for limit in limits), None)
