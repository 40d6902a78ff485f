"""
A task's retries by its row: whether a try may create a pod, what follows a failure, and how Airflow is told.

Airflow 3.3 asks ``retry_policy`` in the worker, but not if a worker died. Then the next try looks for the pod first, and checks the
count only if it would have to create another pod. Below 3.3 there is no policy: the last failure is raised as AirflowFailException,
and the delay is the DAG's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from airflow_provider_dagconfig.exceptions import DagConfigBusyError, DagConfigError, DagConfigUnreachableError
from airflow_provider_dagconfig.kubectl.claim import Permit, Step
from airflow_provider_dagconfig.kubectl.ends import PodStopped
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.operators.ends import TaskPodError
from airflow_provider_dagconfig.operators.lookup import InForce, Lookup
from airflow_provider_dagconfig.operators.metrics import Metrics
from airflow_provider_dagconfig.operators.retry_policy import HAS_POLICIES
from airflow_provider_dagconfig.operators.task_log import end_groups, log_failure
from airflow_provider_dagconfig.operators.tries import Tries
from airflow_provider_dagconfig.retries import (
    DOES_NOT_MEND,
    Cause,
    Decision,
    Round,
    Rules,
    cause_of,
    decide,
    in_a_word,
)
from airflow_provider_dagconfig.settings import configured_cluster_retries
from airflow_provider_dagconfig.wording import printable

if TYPE_CHECKING:
    from airflow.sdk import Context

_UNLIMITED = 1_000_000
"""Retries; stands for a number that is not limited here."""


class Retrying:
    """
    The retries of one try of a task.

    :param task: the operator.
    :param from_row: whether the row decides; if not, only ``run_once`` counts.
    """

    def __init__(self, task: Any, context: Context, *, from_row: bool, run_once: bool) -> None:
        self._task, self._context, self._from_row, self._run_once = task, context, from_row, run_once
        self.lookup: Lookup | None = None
        """Reads the row; None until the task's parameters are rendered."""
        self.found: InForce | None = None
        """The values that the try runs with; None until they are read."""
        self.run: PodRun | None = None
        """The run of the pod; None until there is one."""
        self.metrics = Metrics(task.dag_id, "", "")
        """Its job and namespace are empty until they are known."""
        self.open_groups = 1 if HAS_POLICIES else 0
        """Number of Airflow's groups of lines that are open in the log; its page folds them. The first one precedes execute."""
        self.is_resuming = False
        """Whether the task was deferred and resumes."""
        self.next_has = ""
        """What the next try has and this one had not, for the log."""
        self._disabled: str | None = None

    @cached_property
    def _tries(self) -> Tries:
        return Tries(self._context, self._task.retries or 0, is_resuming=self.is_resuming)

    def skip_if_disabled(self, lookup: Lookup, found: InForce) -> None:
        """
        Check whether the job is enabled. A try after a failed one is not skipped: it creates no pod, and fails.

        :raises AirflowSkipException: it is disabled, and nothing was tried since the task was last cleared.
        """
        try:
            lookup.skip_if_disabled(found, self._context)
        except AirflowSkipException as disabled:
            # A template may be rendered without a task instance.
            may_skip = not self._from_row or "ti" not in self._context or self._tries.used_up == Round()
            if may_skip and not self.is_resuming:
                raise
            self._disabled = str(disabled)

    def permit(self, config: DagConfig) -> Permit:
        """Return whether the try may create a pod, according to what earlier tries used up. Creating one counts."""
        if not self._counts_pods:
            return Permit(None, self._count_step)
        try:
            rules = self._rules(config)
        except ValueError as error:
            raise AirflowFailException(str(error)) from None
        none_left = ", and there is no pod of an earlier try to adopt. To run the job again, "
        refusal = rules.refusal(self._tries.used_up)
        if self._disabled is not None:
            refusal = f"No pod is made: {self._disabled}{none_left}switch it on and clear the task"
        elif refusal is not None:
            job = f"{config.dag_name}/{config.job_name}, {config.origin}"
            refusal = f"No pod is made: {refusal} ({job}){none_left}clear the task"
        return Permit(refusal, self._count_step)

    @property
    def _counts_pods(self) -> bool:
        return self._from_row or self._run_once

    def _count_step(self, step: Step, _: Any) -> None:
        if self._counts_pods and step is Step.CREATING:
            self._tries.count_pod()
        elif self._counts_pods and step is Step.ADOPTED:
            self._tries.uncount_pod()
        self.metrics.count_step(step)

    def decide(self, error: BaseException) -> Decision:
        """Decide about a retry after this error, by the row as it is now, and count the failure."""
        if isinstance(error, TaskPodError) and isinstance(error.end, PodStopped) and error.end.by is not None:
            # What follows was decided elsewhere, and the stored counts now belong to another round.
            return Decision(None, f"somebody ended the task or cleared it ({error.end.by})")
        cause, summary = self._find_cause(error)
        decision = replace(self._decide(cause, summary), next_has=self.next_has)
        self.metrics.count_decision(cause, decision)
        return decision

    def _decide(self, cause: Cause, summary: str) -> Decision:
        after = self._tries.count_failure(cause, had_pod=self.run is not None and self.run.had_pod)
        config = self.found.config if self.found else DagConfig.defaults("", "")
        if cause is not Cause.FINAL and self.lookup is not None:
            try:
                newest = self.lookup.read(self._context)
                self.lookup.skip_if_disabled(newest, self._context)
                config = newest.config
            except AirflowSkipException as disabled:
                return Decision(None, str(disabled))
            except AirflowFailException as unfit:
                return Decision(None, str(unfit))
            except DagConfigError as trouble:
                if not _is_transient(trouble):
                    return Decision(None, str(trouble))
        try:
            rules = self._rules(config)
        except ValueError as error:
            return Decision(None, str(error))
        return decide(cause, summary, after, rules, airflow_allows=self._tries.airflow_allows, spread=self._spread())

    @contextmanager
    def decide_failures(self) -> Iterator[None]:
        """
        Log that there is no retry if an error itself says so. Below 3.3, also decide what follows from other errors.

        From 3.3 on Airflow asks its policy later.
        """
        try:
            yield
        except AirflowSkipException:
            raise
        except AirflowFailException as error:
            if self._task.retries:
                decision = _not_mended(error)
                self.metrics.count_decision(Cause.FINAL, decision)
                self.log_decision(decision)
            raise
        except (Exception, AirflowTaskTimeout) as error:
            self.end_groups()
            log_failure(self._task.log, error)
            if HAS_POLICIES or not self._from_row:
                raise
            decision = self.decide(error)
            self.log_decision(decision)
            if not decision.retry and self._tries.airflow_allows:
                raise AirflowFailException(str(error)) from error
            raise

    def log_decision(self, decision: Decision) -> None:
        """Log what follows and why, outside of all groups."""
        self.end_groups()
        log_decision(self._task.log, decision, delay_below_3_3=self._task.retry_delay)

    def end_groups(self) -> None:
        """End Airflow's groups of lines, so that the next lines are visible at once."""
        end_groups(self._task.log, self.open_groups)
        self.open_groups = 0

    def _find_cause(self, error: BaseException) -> tuple[Cause, str]:
        if isinstance(error, TaskPodError):
            return cause_of(error.end), in_a_word(error.end)
        if isinstance(error, AirflowTaskTimeout):
            return Cause.JOB, "execution_timeout"
        if isinstance(error, DagConfigError):
            summary = "the configuration could not be read"
            return (Cause.CLUSTER, summary) if _is_transient(error) else (Cause.FINAL, _headline(error))
        summary = type(error).__name__
        return (Cause.NOBODY if self.run is not None and self.run.may_still_run else Cause.JOB), summary

    def _rules(self, config: DagConfig) -> Rules:
        rules = Rules.of(config, self._task.max_retry_delay, cluster_retries=configured_cluster_retries(), run_once=self._run_once)
        if self._from_row:
            return rules
        # The author's number applies, and Airflow counts the tries.
        return Rules(_UNLIMITED, timedelta(), False, cluster_retries=_UNLIMITED, run_once=self._run_once)

    def _spread(self) -> float:
        """Return a number from 0 to 1 that differs between tasks and tries, and is the same at each call."""
        ti = self._context["ti"]
        ids = "\0".join(map(str, (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number)))
        return hashlib.sha256(ids.encode(errors="replace")).digest()[0] / 255


def log_without_task(log: Any, error: BaseException) -> None:
    """Log that there is no retry after an error in the arguments of a mapped task, which was not made."""
    end_groups(log, 2)
    log_decision(log, _not_mended(error))


def log_decision(log: Any, decision: Decision, *, delay_below_3_3: timedelta | None = None) -> None:
    """
    Log what follows and why.

    :param log: the task's.
    :param delay_below_3_3: the task's static delay.
    """
    due = f"after the DAG's retry_delay ({delay_below_3_3})"
    if HAS_POLICIES and decision.delay is not None:
        due = f"at {datetime.now(timezone.utc) + decision.delay:%H:%M} UTC"
    if decision.retry:
        log.warning("%s", printable(decision.told(due)))
    else:
        log.error("%s", printable(decision.told(due)))


def _not_mended(error: BaseException) -> Decision:
    return Decision(None, f"{DOES_NOT_MEND} ({_headline(error)})")


def _is_transient(error: DagConfigError) -> bool:
    return isinstance(error, DagConfigUnreachableError | DagConfigBusyError)


def _headline(error: BaseException) -> str:
    return shorten(str(error).partition("\n")[0], 200, placeholder=" ...")
