"""
The one place where the end of a pod becomes the end of a task: each class of ``kubectl.ends`` one of Airflow's exceptions.

| what happened | exception | the task |
|---|---|---|
| the container ended with ``skip_on_exit_code`` | AirflowSkipException | is skipped |
| the pod failed, whoever ended it | :class:`TaskPodError` | fails, and is tried again |
| the API server refused it for good; credentials or the manifest are wrong | AirflowFailException | fails, with no other try |
| there was no pod to go on with, and none may be made any more | AirflowFailException | fails, with no other try |
| the namespace's quota is used up now | :class:`TaskPodError` | fails, and is tried again |
| not created in time, out of reach, taken over, told to stop | :class:`TaskPodError` | fails, and is tried again |
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_dagconfig.kubectl.ends import PodEnd, PodFailed, PodNotAllowed, PodRefused
from airflow_provider_dagconfig.kubectl.errors import Fault
from airflow_provider_dagconfig.kubectl.explanation import column_behind, explain
from airflow_provider_dagconfig.kubectl.limit_range import limit_range_columns, limit_range_remedy
from airflow_provider_dagconfig.kubectl.look_back import LookBack
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome
from airflow_provider_dagconfig.kubectl.quota import quota_columns, quota_remedy
from airflow_provider_dagconfig.models import DagConfig, Quantity
from airflow_provider_dagconfig.retries import has_no_room
from airflow_provider_dagconfig.wording import printable_error


class TaskPodError(AirflowException):
    """
    A pod brought no success, and another try may.

    :param message: what happened, whose fault it was and what to do.
    :param end: what happened, for who decides about another try.
    """

    def __init__(self, message: str, end: PodEnd) -> None:
        super().__init__(message)
        self.end = end


@contextmanager
def errors_fit_for_logs(*, lines: bool) -> Iterator[None]:
    """
    Let what is raised, and what it was raised from, have texts that a log and a terminal can take.

    :param lines: whether a text may have several lines.
    """
    try:
        yield
    except Exception as error:
        printable_error(error, lines=lines)
        raise


def skips(outcome: Outcome, codes: Any) -> bool:
    """
    Whether a task is skipped by its container's exit code.

    :param codes: one, or several, or None; 0 is one like others.
    """
    if codes is None or outcome.exit_code is None or outcome.end not in (End.SUCCEEDED, End.EXITED):
        return False
    return outcome.exit_code == codes if isinstance(codes, int) else outcome.exit_code in codes


def columns_behind(end: PodEnd, config: DagConfig) -> tuple[str, ...]:
    """
    Give the columns whose values an end is about, so that it can be found out where they are from; none for most ends.

    :param config: the configuration that the pod was made with.
    """
    if isinstance(end, PodFailed):
        column = column_behind(end.outcome)
        return () if column is None else (column,)
    if isinstance(end, PodRefused) and end.fault is Fault.FORBIDDEN:
        return quota_columns(str(end), config) or limit_range_columns(str(end), config)
    return ()


def as_airflows(
    end: PodEnd,
    config: DagConfig,
    container: str,
    skip_on_exit_code: Any = None,
    back: LookBack | None = None,
    next_limit: Quantity | None = None,
) -> AirflowException:
    """
    Give the exception that a task ends with.

    :param config: the configuration that the pod was made with; its row goes into the text.
    :param container: the job's container.
    :param skip_on_exit_code: an exit code, or several, that skip the task; None for none.
    :param back: what was found out about where the values are from that it is about; None where nobody asked.
    :param next_limit: the memory limit that the next try has, where it grows.
    """
    if isinstance(end, PodFailed):
        ended = end.ended
        message = explain(ended.outcome, ended.pod, config, ended.last_lines, container, back, next_limit)
        if skips(end.outcome, skip_on_exit_code):
            return AirflowSkipException(message)
        return TaskPodError(message, end)
    if isinstance(end, PodNotAllowed):
        return AirflowFailException(str(end))
    if isinstance(end, PodRefused):
        return _refused(end, config, back)
    return TaskPodError(str(end), end)


def _refused(end: PodRefused, config: DagConfig, back: LookBack | None) -> AirflowException:
    if has_no_room(end):
        return TaskPodError(f"The namespace has no room for the pod now: {end}{quota_remedy(str(end), config, back)}", end)
    if end.fault is Fault.FORBIDDEN:
        # Kubernetes also says so of a service account that is missing, or a pod that is against a policy.
        rights = (
            ". The task needs get, watch, create, update and delete on pods, and get on pods/log, in its namespace"
            if " cannot " in str(end)
            else ""
        )
        return AirflowFailException(f"Kubernetes forbids it: {end}{rights or limit_range_remedy(str(end), config, back)}")
    return AirflowFailException(f"Kubernetes refused it ({end.fault.value}): {end}")
