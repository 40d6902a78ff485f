"""
Translates the end of a pod into the end of a task: each class of ``kubectl.ends`` becomes one of Airflow's exceptions.

| what happened | exception | the task |
|---|---|---|
| the container ended with ``skip_on_exit_code`` | AirflowSkipException | is skipped |
| the pod failed, whatever the reason | :class:`TaskPodError` | fails, and is retried |
| the API server refused it permanently; credentials or the manifest are wrong | AirflowFailException | fails, without a retry |
| no pod exists to adopt, and none may be created any more | AirflowFailException | fails, without a retry |
| the namespace's quota is used up now | :class:`TaskPodError` | fails, and is retried |
| not created in time, unreachable, taken over, told to stop | :class:`TaskPodError` | fails, and is retried |
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
    A pod had no success, and a retry may have one.

    :param message: what happened, whose fault it was and what to do.
    :param end: what happened, for the decision about a retry.
    """

    def __init__(self, message: str, end: PodEnd) -> None:
        super().__init__(message)
        self.end = end


@contextmanager
def errors_fit_for_logs(*, lines: bool) -> Iterator[None]:
    """
    Make the texts of raised exceptions, and of their causes, safe for logs and terminals.

    :param lines: whether a text may have several lines.
    """
    try:
        yield
    except Exception as error:
        printable_error(error, lines=lines)
        raise


def skips(outcome: Outcome, codes: Any) -> bool:
    """
    Return whether the container's exit code skips the task.

    :param codes: one code, several, or None; 0 is a code like any other.
    """
    if codes is None or outcome.exit_code is None or outcome.end not in (End.SUCCEEDED, End.EXITED):
        return False
    return outcome.exit_code == codes if isinstance(codes, int) else outcome.exit_code in codes


def columns_behind(end: PodEnd, config: DagConfig) -> tuple[str, ...]:
    """
    Return the columns whose values caused an end, so that their origin can be looked up; empty for most ends.

    :param config: the configuration that the pod was made with.
    """
    if isinstance(end, PodFailed):
        column = column_behind(end.outcome)
        return () if column is None else (column,)
    if isinstance(end, PodRefused) and end.fault is Fault.FORBIDDEN:
        return quota_columns(str(end), config) or limit_range_columns(str(end), config)
    return ()


def airflow_exception(
    end: PodEnd,
    config: DagConfig,
    container: str,
    skip_on_exit_code: Any = None,
    back: LookBack | None = None,
    next_limit: Quantity | None = None,
) -> AirflowException:
    """
    Return the exception that the task ends with.

    :param config: the configuration that the pod was made with; its row goes into the text.
    :param container: the job's container.
    :param skip_on_exit_code: an exit code, or several, that skip the task; None for none.
    :param back: what is known about the origin of the values that caused the end; None if nobody asked.
    :param next_limit: the memory limit of the next try, if it grows.
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
        return _refusal_exception(end, config, back)
    return TaskPodError(str(end), end)


def _refusal_exception(end: PodRefused, config: DagConfig, back: LookBack | None) -> AirflowException:
    if has_no_room(end):
        return TaskPodError(f"The namespace has no room for the pod now: {end}{quota_remedy(str(end), config, back)}", end)
    if end.fault is Fault.FORBIDDEN:
        # Kubernetes also answers this if a service account is missing, or if a policy forbids the pod.
        rights = (
            ". The task needs get, watch, create, update and delete on pods, and get on pods/log, in its namespace"
            if " cannot " in str(end)
            else ""
        )
        return AirflowFailException(f"Kubernetes forbids it: {end}{rights or limit_range_remedy(str(end), config, back)}")
    return AirflowFailException(f"Kubernetes refused it ({end.fault.value}): {end}")
