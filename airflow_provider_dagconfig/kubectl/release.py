"""
Releases a pod that its run needs no more: deletes it, or marks it as collected if it is kept.

Every deletion names the pod by its uid. A deletion that does not follow from the pod's own end is refused if the pod has changed,
since a later try may have adopted it. The caller supplies the function that waits between attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_dagconfig.kubectl.annotations import annotation, try_number
from airflow_provider_dagconfig.kubectl.claim import Claim, marked
from airflow_provider_dagconfig.kubectl.errors import TRANSIENT, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome, Running, is_terminal, read_status
from airflow_provider_dagconfig.kubectl.patience import Pauses
from airflow_provider_dagconfig.kubectl.pod_life import is_owned_by_later_try

Pod = Mapping[str, Any]

KILL_SECONDS = 4.0
"""Seconds that a deletion may take. The supervisor of a task sends SIGKILL five seconds after SIGTERM."""

_ATTEMPTS = 4


class Why(Enum):
    """Why the work of a pod is not wanted. The reason limits which pods are deleted."""

    PERSON = "a person decided so"
    """The task's pod is deleted, whatever its state."""
    DEFERRED = "a person decided so, while no worker had it"
    """A pod whose end a worker has already handled is left: the person may not have known of it."""
    TIMEOUT = "the task's time is over"
    """A pod that has succeeded is left to the next try, which collects it."""
    GIVEN_UP = "this try can't go on"
    """A pod that has succeeded is left to the next try, and so is an earlier try's pod that this try has not adopted."""


@dataclass(frozen=True)
class Kill:
    """
    What a kill means for the pod.

    :param unwanted: whether somebody decided that the pod's work is not wanted.
    :param reason: who decided it, or why nobody did, as a clause.
    """

    unwanted: bool
    reason: str


NOBODY_TO_ASK = Kill(True, "the task was told to stop")
"""The meaning of a kill without Airflow."""


def is_kept(pod: Pod, outcome: Outcome, on_finish_action: str) -> bool:
    """
    Return whether a pod that has ended is kept. A pod in which a container still runs never is.

    :param on_finish_action: ``delete_pod``, ``delete_succeeded_pod``, ``delete_active_pod`` or ``keep_pod``.
    """
    if not is_terminal(pod):
        return False
    if on_finish_action == "delete_succeeded_pod":
        return outcome.end is not End.SUCCEEDED
    return on_finish_action in ("keep_pod", "delete_active_pod")


class Release:
    """
    Releases the pod of one run.

    :param claim: the pod's owner, and the requests about it.
    :param manifest: the pod that the run made or would have made.
    :param note: receives messages for the log.
    :param may_retry: returns whether to retry a request after its error.
    """

    def __init__(self, claim: Claim, manifest: Pod, note: Callable[[str], None], may_retry: Callable[[KubectlError], bool]) -> None:
        self._claim, self._manifest, self._note, self._may_retry = claim, manifest, note, may_retry

    def delete_or_mark(self, pod: Pod, *, keep: bool, pause: Callable[[float], None]) -> None:
        """
        Delete a pod whose end is known, or mark it, so that a cleared task runs anew. Log a failure.

        A pod whose deletion is refused is marked with another word, so that a sweep deletes it.

        :param pause: waits so many seconds between two attempts.
        """
        kubectl, pauses, uid, is_stale = self._claim.kubectl, Pauses(8.0), pod["metadata"].get("uid"), False
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if is_stale:
                    pod, is_stale = kubectl.get(), False
                    if pod["metadata"].get("uid") != uid or is_owned_by_later_try(pod, self._manifest):
                        return
                if keep:
                    kubectl.replace(marked(pod, "collected", "true"))
                else:
                    kubectl.delete(pod)
                return
            except KubectlError as error:
                if error.fault is Fault.NOT_FOUND:
                    return
                is_stale = error.fault is Fault.CONFLICT
                if not is_stale and (attempt == _ATTEMPTS or not self._may_retry(error)):
                    verb = "marked as collected" if keep else "deleted"
                    self._note(f"Pod {kubectl.pod} in namespace {kubectl.namespace} could not be {verb}: {error.message}")
                    if not keep and error.fault not in TRANSIENT:
                        with suppress(KubectlError):
                            kubectl.replace(marked(pod, "collected", "not deleted"))
                    return
            if attempt < _ATTEMPTS:
                pause(pauses.next())

    def delete_unwanted(self, pod: Pod | None, grace_period: float, clock: Callable[[], float], why: Why) -> str | None:
        """
        Request the deletion of a pod whose work is not wanted. If the pod has changed, check its owner again.

        :param pod: the pod as last observed; None if it was never observed.
        :param grace_period: seconds that it has to end.
        :param clock: returns the time in seconds; the whole call takes at most :data:`KILL_SECONDS`.
        :param why: the reason, which determines the pods that are left to the next try.
        :return: a message for the log; None if there is no pod.
        :raises KubectlError: the pod could not be deleted.
        """
        until = clock() + KILL_SECONDS
        while True:
            try:
                return self._delete_if_ours(pod, grace_period, lambda: max(1, round(until - clock())), why)
            except KubectlError as error:  # noqa: PERF203
                if error.fault is Fault.NOT_FOUND:
                    return None
                if error.fault is not Fault.CONFLICT or clock() > until:
                    raise
                pod = None

    def _delete_if_ours(self, pod: Pod | None, grace_period: float, seconds_left: Callable[[], int], why: Why) -> str | None:
        if pod is None and (pod := self._claim.find(seconds_left())) is None:
            return None
        name, namespace = self._claim.kubectl.pod, self._claim.kubectl.namespace
        if is_owned_by_later_try(pod, self._manifest):
            return f"Pod {name} is left to try {try_number(pod)}, which has adopted it"
        if why is Why.DEFERRED and annotation(pod, "collected") is not None:
            return f"Pod {name} in namespace {namespace} is left: its end was reported"
        if why in (Why.TIMEOUT, Why.GIVEN_UP) and _has_succeeded(pod, self._manifest):
            return f"Pod {name} in namespace {namespace} has succeeded and is left: the next try collects its result"
        if why is Why.GIVEN_UP and try_number(pod) != try_number(self._manifest):
            return (
                f"Pod {name} in namespace {namespace} is try {try_number(pod)}'s and is left: the next try adopts it; without one "
                "it ends at its own activeDeadlineSeconds"
            )
        self._claim.kubectl.delete(pod, seconds_left(), unchanged=True)
        return f"Pod {name} is being deleted, with {grace_period:g} s of grace"


def _has_succeeded(pod: Pod, manifest: Pod) -> bool:
    view = read_status(pod, manifest["spec"]["containers"][0]["name"])
    outcome = view.ended if isinstance(view, Running) else view
    return isinstance(outcome, Outcome) and outcome.end is End.SUCCEEDED
