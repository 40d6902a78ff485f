"""
Whether a task that failed is tried again, and when: from what ended it, the job's row, and what was used up before. Pure.

A try costs one of the job's retries when it made a pod, whatever became of the pod later: a worker that dies says nothing of its
end. A try that adopts a pod, or collects its result, made none and costs none. A pod that the cluster ended costs none either, up
to a number of such ends. All of it begins anew when somebody clears the task.

Theory of operation: :class:`Round` counts, :func:`cause_of` says whose fault an end is, and :func:`decide` says what follows. Who
reads the row, keeps the counts and tells Airflow, is in ``operators/retrying.py``.
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
from airflow_provider_dagconfig.models import CONFIG_COLUMNS, DagConfig, NumberColumn

_MAX_RETRIES = CONFIG_COLUMNS["max_retries"]
assert isinstance(_MAX_RETRIES, NumberColumn)
MOST_RETRIES = _MAX_RETRIES.most
"""The most that a row allows: the ceiling of a task whose author gives none."""

PAUSE = timedelta(minutes=1)
"""Between tries where the job is not to blame."""

LONGEST_DELAY = timedelta(days=1)
"""Airflow's own bound of a delay that grows, where the task has no ``max_retry_delay``."""

DOES_NOT_MEND = "trying again does not mend it"

_SPREAD = 0.25
"""Of a delay: so much longer is it at most for one of many tasks that fail together."""

_NO_ROOM = ("exceeded quota", "status unknown for quota")
"""What the API server says where the namespace's quota is used up, or was made a moment ago."""

# Reasons why a container does not start that its manifest, or what it names, is to blame for; but for these sentences.
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
    """Whose fault it is that a try brought no success."""

    JOB = "the job's"
    CLUSTER = "the cluster's, or that of something else around the job"
    NOBODY = "nobody's: the pod goes on, and the next try adopts it"
    FINAL = "that of something which no later try can mend"


@dataclass(frozen=True)
class Round:
    """
    What a task instance has used up since it was last cleared.

    :param pods: pods that were made.
    :param own: pods, and failures before there was one, that count as the job's own.
    :param by_cluster: pods that the cluster ended, and failures before there was one that were not the job's.
    """

    pods: int = 0
    own: int = 0
    by_cluster: int = 0

    def made(self) -> Round:
        """Count a pod that is made: as the job's own until its end says otherwise."""
        return replace(self, pods=self.pods + 1, own=self.own + 1)

    def unmade(self) -> Round:
        """Take back the pod that was counted last: it was not made."""
        return replace(self, pods=max(0, self.pods - 1), own=max(0, self.own - 1))

    def failed(self, cause: Cause, *, had_pod: bool) -> Round:
        """
        Count a failure.

        :param had_pod: whether the try had a pod, which was counted when it was made, by this try or an earlier one.
        """
        if cause is Cause.CLUSTER:
            own = max(0, self.own - 1) if had_pod else self.own
            return replace(self, own=own, by_cluster=self.by_cluster + 1)
        return self if had_pod or cause is Cause.NOBODY else replace(self, own=self.own + 1)

    def used(self, cluster_retries: int) -> int:
        """
        Give the failures that count.

        :param cluster_retries: how many that were not the job's do not.
        """
        return self.own + max(0, self.by_cluster - cluster_retries)

    def as_dict(self) -> dict[str, int]:
        """Give it as JSON values; :meth:`from_dict` makes the same of them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Round:
        """
        Read what :meth:`as_dict` gave; what is missing is 0.

        :raises ValueError: a number is none.
        """
        return cls(**{each.name: int(values.get(each.name, 0)) for each in fields(cls)})


@dataclass(frozen=True)
class Rules:
    """
    What the row and the task allow.

    :param max_retries: the row's.
    :param delay: the row's, before the first retry.
    :param grows: whether the delay doubles from retry to retry.
    :param longest: what it grows to at most.
    :param cluster_retries: failures in a round that are not the job's, and use up none of its retries.
    :param run_once: never a second pod.
    """

    max_retries: int
    delay: timedelta
    grows: bool
    longest: timedelta = LONGEST_DELAY
    cluster_retries: int = 3
    run_once: bool = False

    @classmethod
    def of(cls, config: DagConfig, longest: timedelta | None, *, cluster_retries: int, run_once: bool) -> Rules:
        """Take the row's; ``longest`` is the task's ``max_retry_delay``."""
        delay = timedelta(minutes=config.retry_delay_minutes)
        return cls(config.max_retries, delay, config.retry_backoff_enabled, longest or LONGEST_DELAY, cluster_retries, run_once)

    def refusal(self, round: Round) -> str | None:
        """Say why no pod may be made any more, as a clause; None where one may."""
        if self.run_once and round.pods:
            return "run_once allows one pod, and one was made since the task was last cleared"
        if round.used(self.cluster_retries) > self.max_retries:
            allowed = "1 try, and it is" if self.max_retries == 0 else f"{self.max_retries + 1} tries, and they are"
            return f"max_retries = {self.max_retries} allows {allowed} used up"
        return None


@dataclass(frozen=True)
class Decision:
    """
    What follows from a failure.

    :param delay: until the next try; None for no other try.
    :param why: what happened, and how it counts; a clause.
    :param next_has: what the next try has that this one had not: ``memory_limit 4Gi instead of 2Gi``.
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
        Give the line that says what is next, and why.

        :param due: when the next try is, where there is one: ``at 21:14 UTC``.
        """
        if not self.retry:
            return f"no retry: {self.why}"
        return f"{self.why}; next {due}" + (f", {self.next_has}" if self.next_has else "")


def decide(cause: Cause, what: str, after: Round, rules: Rules, *, airflow_allows: bool = True, spread: float = 0.0) -> Decision:
    """
    Decide about another try.

    :param what: what happened, in a word or two: ``OOMKilled``.
    :param after: what is used up, this failure included.
    :param rules: what the row says now.
    :param airflow_allows: whether the task's static number of retries, the ceiling, leaves one.
    :param spread: from 0 to 1, another one for each task: those that fail together do not come back together.
    """
    used, tries = after.used(rules.cluster_retries), rules.max_retries + 1
    is_free = cause is Cause.CLUSTER and after.by_cluster <= rules.cluster_retries
    counted = f"try {used} of {tries} failed ({what})"
    if is_free:
        counted = (
            f"this try failed by no fault of the job ({what}), {after.by_cluster} of {rules.cluster_retries} times that use up none"
            f" of its {rules.max_retries} retries"
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
        return Decision(None, f"{counted}, and the retries that the DAG gives the task at most are used up")
    if is_free or cause is Cause.NOBODY:
        return Decision(PAUSE * (1 + _SPREAD * spread), counted)
    return Decision(_delay(max(0, used - 1), rules, spread), counted)


def _delay(retries_before: int, rules: Rules, spread: float) -> timedelta:
    if not rules.grows:
        return rules.delay
    return min(rules.delay * 2.0**retries_before * (1 + _SPREAD * spread), max(rules.longest, timedelta()))


def cause_of(end: PodEnd) -> Cause:
    """Say whose fault it is that a pod brought no success."""
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
    """Whether a pod was refused because the namespace's quota is used up now."""
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
    """Say what ended a try in a word or two, for the line that says what is next."""
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
