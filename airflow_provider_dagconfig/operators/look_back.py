"""
Finds out, after a task has failed, the origin of the values that ended its pod.

It asks the audit, and asks Airflow for an earlier run that succeeded. This takes a few seconds at most. The message omits facts
that could not be obtained in that time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_dagconfig.hooks.asking import NoAnswerError, Question
from airflow_provider_dagconfig.kubectl.look_back import EarlierRun, LookBack, Past
from airflow_provider_dagconfig.models import Unreadable

if TYPE_CHECKING:
    from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
    from airflow_provider_dagconfig.models import DagConfig, Override

ANSWER_SECONDS = 5.0
"""Seconds that the database and Airflow have to answer. After them the missing facts are omitted."""


def look_back(columns: Sequence[str], config: DagConfig, hook: DagConfigHook, context: Mapping[str, Any]) -> LookBack | None:
    """
    Find out where values come from. Errors are not raised here: the task's own failure must be reported.

    :param columns: the columns of the values.
    :param config: the configuration that the pod was made with.
    :param context: the task's.
    :return: None if there are no columns.
    """
    if not columns:
        return None
    search = _Search(columns, config, hook, context)
    # The execution_timeout may pass just now; the pod has already ended.
    with suppress(NoAnswerError, AirflowTaskTimeout):
        Question(search.run, "the database").answer(ANSWER_SECONDS)
    return LookBack(
        datetime.now(timezone.utc), context["ti"].dag_id, search.options, dict(search.pasts), search.row, search.earlier
    )


@dataclass
class _Search:
    """The questions, the most useful first, and the answers so far."""

    columns: Sequence[str]
    config: DagConfig
    hook: DagConfigHook
    context: Mapping[str, Any]
    options: Sequence[str] = ()
    pasts: dict[str, Past] = field(default_factory=dict)
    row: Mapping[str, Any] | None = None
    earlier: EarlierRun | None = None

    @property
    def job(self) -> tuple[str, str]:
        return self.config.dag_name, self.config.job_name

    def run(self) -> None:
        previous = Question(lambda: _previous_success(self.context), "Airflow")
        self.options = self.hook.store.location.options
        for column in self.columns:
            self.pasts[column] = self._past(column)
        if self.config.overrides:
            self.row = self.hook.get_dag_config_row(*self.job).row
        found = previous.answer(ANSWER_SECONDS)
        if found is not None:
            self.earlier = self._earlier_run(found)

    def _past(self, column: str) -> Past:
        entry = self.hook.get_last_change_of(*self.job, column)
        if entry is None or isinstance(entry.changed_at, Unreadable):
            return Past(entry)
        since = self.hook.get_history(*self.job, table_name="dag_configuration", since=entry.changed_at)
        return Past(entry, tuple(later for later in since if later.audit_id > entry.audit_id))

    def _earlier_run(self, previous: Any) -> EarlierRun | None:
        """Return the values that an earlier task instance began with; None if they are not certain."""
        begun_at = previous.start_date
        is_mapped = previous.map_index is not None and previous.map_index >= 0
        if is_mapped and self.hook.get_history(table_name="exchange_groups", since=begun_at, limit=1):
            # Groups are mapped in their order, so this index may have been another group's.
            return None
        row = self.hook.get_dag_config_at(*self.job, begun_at)
        if row is None:
            return None
        values = dict(row)
        for override in reversed(self.hook.get_overrides(*self.job, active_only=False)):
            if _was_in_force(override, begun_at):
                values |= override.values
        return EarlierRun(previous.run_id, previous.end_date or begun_at, values)


def _previous_success(context: Mapping[str, Any]) -> Any:
    """
    Ask Airflow for the task's last success before this run. Return None if there is none, or if this Airflow cannot say.

    Airflow 3.2 and later can, for runs with a logical date.
    """
    ti, run = context["ti"], context.get("dag_run")
    if run is None or getattr(run, "logical_date", None) is None or not hasattr(ti, "get_previous_ti"):
        return None
    map_index = -1 if ti.map_index is None else ti.map_index
    previous = ti.get_previous_ti(state="success", map_index=map_index)
    if previous is None or previous.start_date is None:
        return None
    last_run = ti.get_previous_dagrun(state="success")
    if last_run is not None and last_run.run_id == previous.run_id:
        return None if (last_run.conf or {}).get("dagconfig") else previous
    # The conf of the previous run is unknown, but a scheduled run has none.
    return previous if previous.run_id.startswith("scheduled__") else None


def _was_in_force(override: Override, moment: datetime) -> bool:
    begun, *ends = override.starts_at, override.ends_at, override.ended_at
    if isinstance(begun, Unreadable) or begun > moment:
        return False
    return all(end is None or isinstance(end, Unreadable) or moment < end for end in ends)
