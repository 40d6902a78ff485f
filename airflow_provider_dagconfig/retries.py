"""
Decides whether a failed task is retried, and when, from its end, the job's row and what was used up before. Pure.

A try uses up one of the job's retries when it made a pod, whatever happened to the pod later: the death of a worker says nothing
about the pod's end. A try that adopts a pod, or collects its result, made no pod and uses up nothing. A pod that the cluster
ended uses up nothing either, up to a number of such ends. All counts begin again at 0 when somebody clears the task.

Theory of operation: :class:`Round` counts, :func:`cause_of` says whose fault an end is, and :func:`decide` returns what follows.
``operators/retrying.py`` reads the row, keeps the counts and tells Airflow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from airflow_provider_dagconfig.kubectl.ends import (
    PodEnd,
    PodFailed,
    PodNotAllowed,
    PodNotCreated,
    PodOutOfReach,
    PodRefused,
    PodStopped,
    PodTakenOver,
)
from airflow_provider_dagconfig.kubectl.errors import Fault
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome
from airflow_provider_dagconfig.models import RETRY_PAUSE, DagConfig

LONGEST_DELAY = timedelta(days=1)
"""The longest delay of a backoff where the task has no ``max_retry_delay``; Airflow has the same bound."""

DOES_NOT_MEND = "trying again does not mend it"

_SPREAD = 0.25
"""Fraction of a delay: at most so much is added, so that tasks that fail together are not all retried together."""

_NO_ROOM = ("exceeded quota", "status unknown for quota")
"""Parts of the API server's message when the namespace's quota is used up, or was only just created."""

# Reasons of a container that does not start because its manifest, or an object that it names, is wrong. The failure is final,
# unless the message matches _PASSES: then it is transient.
_NAMED_WRONGLY = frozenset(
    {"ErrImageNeverPull", "InvalidImageName", "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"}
)
_PASSES = re.compile(
    r"failed to sync (secret|configmap) cache|i/o timeout|timed out|handshake timeout|deadline exceeded"
    r"|connection (refused|reset)|temporary failure|server misbehaving|too ?many ?requests|unexpected EOF"
    r"|network is unreachable|no route to host|(?<!\d)(429|50[0234])(?!\d)",
    re.IGNORECASE,
)
_OUR_WORDS = re.compile(r"^not started after startup_timeout_seconds = \S+: ")
_IS_MISSING = re.compile(r"(secret|configmap|persistentvolumeclaim|serviceaccount)s? \S+ not found|non-?existent", re.IGNORECASE)


class Cause(Enum):
    """Whose fault it is that a try did not succeed."""

    JOB = "the job's"
    CLUSTER = "the cluster's, or that of something else around the job"
    NOBODY = "nobody's: the pod goes on, and the next try adopts it"
    FINAL = "that of something which no later try can mend"


@dataclass(frozen=True)
class Round:
    """
    The counts of a task instance since it was last cleared.

    :param pods: pods that were made.
    :param own: pods, and failures without a pod, that count against the job.
    :param by_cluster: pods that the cluster ended, and failures without a pod that are not the job's fault.
    """

    pods: int = 0
    own: int = 0
    by_cluster: int = 0

    def made(self) -> Round:
        """Count a pod that is made. It counts against the job until its end says otherwise."""
        return replace(self, pods=self.pods + 1, own=self.own + 1)

    def unmade(self) -> Round:
        """Take back the last :meth:`made`: the pod was not made."""
        return replace(self, pods=max(0, self.pods - 1), own=max(0, self.own - 1))

    def failed(self, cause: Cause, *, had_pod: bool) -> Round:
        """
        Count a failure.

        :param had_pod: whether the try had a pod. This try or an earlier one counted it when it made it.
        """
        if cause is Cause.CLUSTER:
            own = max(0, self.own - 1) if had_pod else self.own
            return replace(self, own=own, by_cluster=self.by_cluster + 1)
        return self if had_pod or cause is Cause.NOBODY else replace(self, own=self.own + 1)

    def used(self, cluster_retries: int) -> int:
        """
        Return the number of failures that use up retries.

        :param cluster_retries: how many failures that are not the job's fault use up no retry.
        """
        return self.own + max(0, self.by_cluster - cluster_retries)

    def as_dict(self) -> dict[str, int]:
        """Return JSON values; :meth:`from_dict` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Round:
        """
        Read what :meth:`as_dict` returned; a missing count is 0.

        :raises ValueError: a count is not a number.
        """
        return cls(**{each.name: int(values.get(each.name, 0)) for each in fields(cls)})


@dataclass(frozen=True)
class Rules:
    """
    The limits that the row and the task set.

    :param max_retries: of the row.
    :param delay: of the row, before the first retry.
    :param grows: whether the delay doubles from retry to retry (backoff).
    :param longest: the longest delay with backoff.
    :param cluster_retries: how many failures in a round that are not the job's fault use up no retry.
    :param run_once: never make a second pod.
    """

    max_retries: int
    delay: timedelta
    grows: bool
    longest: timedelta = LONGEST_DELAY
    cluster_retries: int = 3
    run_once: bool = False

    @classmethod
    def of(cls, config: DagConfig, longest: timedelta | None, *, cluster_retries: int, run_once: bool) -> Rules:
        """Take the rules from the row; ``longest`` is the task's ``max_retry_delay``."""
        delay = timedelta(minutes=config.retry_delay_minutes)
        return cls(config.max_retries, delay, config.retry_backoff_enabled, longest or LONGEST_DELAY, cluster_retries, run_once)

    def refusal(self, round: Round) -> str | None:
        """Return why no further pod may be made, as a clause; None where one may be made."""
        if self.run_once and round.pods:
            return "run_once allows one pod, and one was made since the task was last cleared"
        if round.used(self.cluster_retries) > self.max_retries:
            allowed = "1 try, and it is" if self.max_retries == 0 else f"{self.max_retries + 1} tries, and they are"
            return f"max_retries = {self.max_retries} allows {allowed} used up"
        return None


@dataclass(frozen=True)
class Decision:
    """
    The consequence of a failure.

    :param delay: the time until the next try; None where there is no next try.
    :param why: what happened, and how it counts; a clause.
    :param next_has: what differs for the next try: ``memory_limit 4Gi instead of 2Gi``.
    """

    delay: timedelta | None
    why: str
    next_has: str = ""

    @property
    def retry(self) -> bool:
        """Whether there is another try."""
        return self.delay is not None

    def told(self, due: str) -> str:
        """
        Return the line that says what happens next, and why.

        :param due: when the next try begins, if there is one: ``at 21:14 UTC``.
        """
        if not self.retry:
            return f"no retry: {self.why}"
        return f"{self.why}; next {due}" + (f", {self.next_has}" if self.next_has else "")


def decide(cause: Cause, what: str, after: Round, rules: Rules, *, airflow_allows: bool = True, spread: float = 0.0) -> Decision:
    """
    Decide whether and when there is another try.

    :param what: what happened, in a word or two: ``OOMKilled``.
    :param after: the counts, with this failure.
    :param rules: the row's rules, as they are now.
    :param airflow_allows: whether the task's static number of retries, its ceiling, allows another try.
    :param spread: from 0 to 1, different for each task, so that tasks that fail together are not retried together.
    """
    used, tries = after.used(rules.cluster_retries), rules.max_retries + 1
    is_free = cause is Cause.CLUSTER and after.by_cluster <= rules.cluster_retries
    counted = f"try {used} of {tries} failed ({what})"
    if is_free:
        counted = (
            f"this try failed through no fault of the job ({what}): {after.by_cluster} of {rules.cluster_retries} such failures"
            f" that do not count against its {rules.max_retries} retries"
        )
    if cause is Cause.NOBODY:
        counted = f"this try ended ({what}), and its pod goes on: the next one adopts it"
    if cause is Cause.FINAL:
        return Decision(None, f"{DOES_NOT_MEND} ({what})")
    if cause is not Cause.NOBODY and (rules.run_once and after.pods):
        return Decision(None, f"run_once allows one pod, and it was made ({what})")
    if cause is not Cause.NOBODY and used > rules.max_retries:
        return Decision(None, counted)
    if not airflow_allows:
        return Decision(None, f"{counted}, and the retries that the DAG allows are used up")
    if is_free or cause is Cause.NOBODY:
        return Decision(RETRY_PAUSE * (1 + _SPREAD * spread), counted)
    return Decision(_delay(max(0, used - 1), rules, spread), counted)


def _delay(retries_before: int, rules: Rules, spread: float) -> timedelta:
    if not rules.grows:
        return rules.delay
    return min(rules.delay * 2.0**retries_before * (1 + _SPREAD * spread), max(rules.longest, timedelta()))


def cause_of(end: PodEnd) -> Cause:
    """Return whose fault it is that a pod did not succeed."""
    if isinstance(end, PodFailed):
        return _cause_of_outcome(end.outcome)
    if isinstance(end, PodNotCreated | PodOutOfReach):
        return Cause.CLUSTER
    if isinstance(end, PodTakenOver | PodStopped):
        return Cause.NOBODY
    if isinstance(end, PodRefused) and has_no_room(end):
        return Cause.JOB
    return Cause.FINAL


def has_no_room(end: PodRefused) -> bool:
    """Return whether a pod was refused because the namespace's quota is used up at the moment."""
    return end.fault is Fault.FORBIDDEN and any(words in str(end) for words in _NO_ROOM)


def _cause_of_outcome(outcome: Outcome) -> Cause:
    if outcome.end is End.CLUSTER:
        return Cause.JOB if outcome.reason == "Deleted" else Cause.CLUSTER
    if outcome.end is not End.NOT_STARTED:
        return Cause.JOB
    sentence = _OUR_WORDS.sub("", outcome.message)
    if outcome.reason in _NAMED_WRONGLY:
        return Cause.JOB if _PASSES.search(sentence) else Cause.FINAL
    return Cause.FINAL if _IS_MISSING.search(sentence) else Cause.JOB


def in_a_word(end: PodEnd) -> str:
    """Return what ended a try in a word or two, for the line that says what happens next."""
    if isinstance(end, PodFailed):
        outcome = end.outcome
        return f"exit code {outcome.exit_code}" if outcome.end is End.EXITED and outcome.exit_code else outcome.reason
    words = {
        PodNotAllowed: "no pod is allowed",
        PodNotCreated: "the pod could not be made in time",
        PodOutOfReach: "the API server was away",
        PodStopped: "the worker was told to stop",
        PodTakenOver: "a later try has the pod",
    }
    if isinstance(end, PodRefused):
        return "the namespace's quota" if has_no_room(end) else end.fault.value
    return words.get(type(end), str(end))
