"""Reads the values that a task runs with, once per try: the row, the group and the run's conf; and finds reasons not to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_dagconfig.exceptions import DagConfigCeilingError, DagConfigError
from airflow_provider_dagconfig.run_overrides import RunOverrideError, asks_to_run, run_overrides
from airflow_provider_dagconfig.settings import configured_run_overrides

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
    from airflow_provider_dagconfig.models import Change, DagConfig, ExchangeGroup, Installation
    from airflow_provider_dagconfig.models.ceiling import Ceiling


@dataclass(frozen=True)
class InForce:
    """The values that a try runs with."""

    config: DagConfig
    group: ExchangeGroup | None
    installation: Installation
    ceilings: Sequence[Ceiling] = ()
    """The ceilings of the DAG and of all DAGs."""


@dataclass(frozen=True)
class Lookup:
    """
    The selection that a task's parameters make. Each field has the name of the operator's parameter.

    :param hook: reads the store.
    :param tasks: returns the DAG's tasks; a run's conf may name their jobs.
    """

    hook: DagConfigHook
    tasks: Callable[[], Iterable[Any]]
    task_id: str
    dag_name: str
    job_name: str
    exchange_group: str | None
    allow_run_overrides: bool

    def __post_init__(self) -> None:
        for parameter in ("job_name", "dag_name"):
            value = getattr(self, parameter)
            # Any other value has no row either, and would silently get the defaults.
            if not isinstance(value, str) or not value:
                raise AirflowFailException(f"{parameter} of task {self.task_id} is {value!r}; write the text that the row has")

    def read(self, context: Context) -> InForce:
        """
        Read the values in force. If the job is disabled, an unusable conf of the run is not an error.

        :raises AirflowFailException: the run's conf cannot be used, or a value is above a ceiling.
        """
        by_run: Mapping[str, Any] = {}
        refusal: AirflowFailException | None = None
        try:
            by_run = self._run_overrides(context)
        except AirflowFailException as error:
            refusal = error
        try:
            found = InForce(*self.hook.get_task_config(self.dag_name, self.job_name, self.exchange_group, by_run))
        except DagConfigCeilingError as error:
            raise AirflowFailException(str(error)) from None
        if refusal is not None and found.config.enabled and (found.group is None or found.group.enabled):
            raise refusal
        return found

    def skip_if_disabled(self, found: InForce, context: Context) -> None:
        """
        Check whether the job and its group are enabled.

        :raises AirflowSkipException: one is not; the message says who disabled it.
        """
        config, group = found.config, found.group
        if not config.enabled:
            by = f" {config.disabled_change}" if config.disabled_change else ""
            raise AirflowSkipException(
                f"{self.dag_name}/{self.job_name} is disabled: switched off{by} ({config.origin}){self._conf_note(context)}"
            )
        if group is not None and not group.enabled:
            change = self._disabling_change(group)
            by = f": switched off {change}" if change else ""
            raise AirflowSkipException(f"exchange group {group.group_name} is disabled{by}{self._conf_note(context)}")

    def _conf_note(self, context: Context) -> str:
        """Return why a task is skipped although its run was triggered to enable its job; empty if it was not."""
        run = context.get("dag_run")
        return ". The dag run's conf cannot switch it on" if asks_to_run(run.conf if run else None, self.job_name) else ""

    def _disabling_change(self, group: ExchangeGroup) -> Change | None:
        try:
            return self.hook.get_group_disabled_change(group.group_name)
        except DagConfigError:
            # The group is known to be disabled, so its task is skipped, whoever did it.
            return None

    def _run_overrides(self, context: Context) -> Mapping[str, Any]:
        """Return the values that the run's conf sets for this job."""
        run = context.get("dag_run")
        try:
            by_run = run_overrides(run.conf if run else None, self.job_name, self._job_names)
        except RunOverrideError as error:
            raise AirflowFailException(f"{error}. Trigger the run again with another conf") from None
        if by_run and not _are_run_overrides_allowed():
            raise self._override_refusal(by_run, "[dagconfig] allow_run_overrides is False, for all DAGs")
        if by_run and not self.allow_run_overrides:
            raise self._override_refusal(by_run, f"task {self.task_id} has allow_run_overrides=False")
        return by_run

    def _override_refusal(self, by_run: Mapping[str, Any], why: str) -> AirflowFailException:
        return AirflowFailException(
            f"The run's conf sets {', '.join(by_run)} for {self.dag_name}/{self.job_name}, but {why}. Trigger the run without "
            f'"dagconfig" in its conf; to change values for a time, set an override: airflow dagconfig override'
        )

    def _job_names(self) -> set[str]:
        """Return all names that may be jobs of the run: those in the store, and those of the DAG's tasks."""
        # A mapped task has its arguments in partial_kwargs. A name that is not a text yet is known when its task runs.
        job_names = [(getattr(task, "partial_kwargs", None) or vars(task)).get("job_name") for task in self.tasks()]
        return {*self.hook.get_job_names(self.dag_name), *(name for name in job_names if isinstance(name, str))}


def _are_run_overrides_allowed() -> bool:
    try:
        return configured_run_overrides()
    except ValueError as error:
        raise AirflowFailException(str(error)) from None
