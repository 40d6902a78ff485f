"""
How a DAG file gives Airflow a task's retries: the policy that decides by the row, and the static arguments beside it.

When a task fails, Airflow 3.3 asks a retry policy in the worker. The policy may refuse a retry and choose the delay, but can't
allow more retries than the task's static ``retries``; so here that number is only the ceiling. The policy is not asked if a worker
died. Below 3.3 there is no policy. ``retrying`` decides.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_dagconfig.models import MOST_RETRIES, RETRY_PAUSE
from airflow_provider_dagconfig.settings import configured_retries_from_row

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dagconfig.retries import Decision

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # below 3.3

    class _NoPolicy:
        """Stands in for the base class if Airflow has no policies."""

    HAS_POLICIES = False
    _Base: type = _NoPolicy
else:
    HAS_POLICIES = True
    _Base = RetryPolicy


_LOG = logging.getLogger("airflow.task.operators")
"""For a mapped task that does not exist yet."""

_AIRFLOW_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(BaseOperator.__init__).parameters.items()
    if name in ("retries", "retry_delay", "retry_policy")
}
"""The base operator's parameters for retries, with Airflow's defaults."""


class RowRetryPolicy(_Base):  # type: ignore[misc]
    """Airflow's retry policy of a ConfiguredKubectlRunOperator: decides by its job's row at the time of the failure."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - the round's tries are counted, not the task's
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,
    ) -> Any:
        """Decide by the row. If there is no task yet (a mapped one's arguments failed), refuse, or leave it to Airflow."""
        task: Any = None if context is None else context["ti"].task
        if context is None or not hasattr(task, "after_failure"):
            if not isinstance(exception, ValueError | TypeError):
                return RetryDecision.default()
            # Loaded only after a failure: a DAG file does not need it.
            from airflow_provider_dagconfig.operators.retrying import log_without_task

            log_without_task(_LOG, exception)
            return RetryDecision.fail()
        decision: Decision = task.after_failure(exception, context)
        return RetryDecision.fail() if decision.delay is None else RetryDecision.retry(delay=decision.delay)


def with_retries(arguments: Mapping[str, Any], *, task_id: str, from_row: Any, run_once: Any) -> dict[str, Any]:
    """
    Return ``retries``, ``retry_delay`` and ``retry_policy`` for Airflow.

    :param arguments: the author's arguments, including ``default_args``; None or missing if not given.
    :param from_row: the parameter ``retries_from_row``; None if it is not given.
    :param run_once: the parameter ``run_once``.
    :raises ValueError: a parameter is invalid, or this Airflow cannot support ``run_once``.
    """
    for name, value in (("retries_from_row", from_row), ("run_once", run_once)):
        if value not in (None, True, False):
            raise ValueError(f"{name} of task {task_id} is {value!r}; write True or False")
    if run_once and not HAS_POLICIES:
        raise ValueError(
            f"run_once of task {task_id} needs Airflow 3.3, which keeps what a task has done from try to try. Below it write "
            "retries=0, and the job is run again only where a worker dies"
        )
    wanted = {name: default for name, default in _AIRFLOW_DEFAULTS.items() if arguments.get(name) is None}
    wanted |= {name: arguments[name] for name in _AIRFLOW_DEFAULTS if arguments.get(name) is not None}
    if not is_from_row(arguments.get("retry_policy"), from_row):
        return wanted
    row: dict[str, Any] = {"retries": MOST_RETRIES}
    if HAS_POLICIES:
        # The delay applies only if a worker died, since the policy is not asked then. The pod still runs and waits for the next
        # try.
        row |= {"retry_policy": RowRetryPolicy(), "retry_delay": RETRY_PAUSE}
    return wanted | {name: value for name, value in row.items() if arguments.get(name) is None}


def is_from_row(policy: Any, from_row: bool | None) -> bool:
    """Return whether the row decides about a task's retries. It does not if the author has set a policy or switched it off."""
    if policy is not None and not isinstance(policy, RowRetryPolicy):
        return False
    return configured_retries_from_row() if from_row is None else from_row
