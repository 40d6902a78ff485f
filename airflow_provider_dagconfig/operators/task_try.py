"""
One try of a task, from the rendering of its templates to its end.

It joins the parts and has no rules of its own: ``lookup`` reads the values, ``task_pod`` creates the pod and waits for it,
``deferral`` stores the data of a deferred task, and ``retrying`` decides what follows a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.kubectl.report import Kind, Report
from airflow_provider_dagconfig.operators.deferral import Deferral, NotFoundError, read_deferral
from airflow_provider_dagconfig.operators.ends import errors_fit_for_logs
from airflow_provider_dagconfig.operators.growth import Growth
from airflow_provider_dagconfig.operators.lookup import InForce, Lookup
from airflow_provider_dagconfig.operators.retry_policy import is_from_row
from airflow_provider_dagconfig.operators.retrying import Retrying
from airflow_provider_dagconfig.operators.task_log import log_configuration
from airflow_provider_dagconfig.operators.task_pod import TaskPod
from airflow_provider_dagconfig.wording import printable

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dagconfig.models import DagConfig
    from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
    from airflow_provider_dagconfig.retries import Decision


class TaskTry:
    """
    One try of a task. The configuration is read once, before templates are rendered.

    :param task: the operator.
    :param context: Airflow's, of this try. The values are added to it for templates.
    """

    def __init__(self, task: ConfiguredKubectlRunOperator, context: Context) -> None:
        self._task, self._context = task, context
        from_row = is_from_row(getattr(task, "retry_policy", None), task.retries_from_row)
        self._retrying = Retrying(task, context, from_row=from_row, run_once=task.run_once)
        self._growth: Growth | None = None
        """The values that the try runs with; None until they are read."""
        self._deferral: Deferral | None = None
        """The stored data of a task that resumes; None where it does not, or the data cannot be read."""
        self._pod: TaskPod | None = None
        self._killed = False

    def render(self, render: Callable[[Iterable[str]], None], other_fields: Iterable[str], context: Context) -> None:
        """
        Resolve the configuration after the parameters that select it were rendered, and before those that may use it are.

        :param render: renders the fields with these names.
        :param other_fields: the fields that do not select the configuration.
        :param context: that of this rendering; templates find the values in it.
        """
        with self._retrying.decide_failures():
            if self._restore(context):
                self._render_again(render, other_fields)
            else:
                render(self._task.selectors)
                with errors_fit_for_logs(lines=False):
                    self._resolve(context)
                render(other_fields)

    def execute(self) -> Any:
        """Run the pod, and return the task's result, or defer the task."""
        with self._log_failures():
            if self._growth is None:  # executed without a rendering, as a test may do
                self._resolve(self._context)
            return self._make_pod().execute()

    def complete(self, event: Any) -> Any:
        """
        Resume after a deferral, and return the task's result.

        :param event: the trigger's event, a report as a dict.
        """
        with self._log_failures():
            return self._complete(Report.from_dict(event))

    def complete_unwatched(self, why: str) -> Any:
        """Resume after a deferral whose trigger failed: the task waits in its worker."""
        with self._log_failures():
            return self._complete(Report(Kind.NOT_WATCHED, message=why))

    def after_failure(self, error: BaseException) -> Decision:
        """Decide whether and when the task is retried after this error, count it and log it."""
        decision = self._retrying.decide(error)
        self._retrying.open_groups += 1  # Airflow's group for what follows execute
        self._retrying.log_decision(decision)
        return decision

    def kill(self) -> None:
        """Stop waiting. A signal handler may call this."""
        self._killed = True
        if self._pod is not None:
            self._pod.kill()

    # --- the values ---

    def _restore(self, context: Context) -> bool:
        """Restore the stored data if the task was deferred and resumes: then nothing is looked up, and nothing skips the task."""
        if "ti" not in context:
            return False
        try:
            self._deferral = read_deferral(context["ti"])
        except NotFoundError as error:
            self._task.log.warning("The configuration is read again: %s", printable(error))
            self._retrying.is_resuming = True
        if self._deferral is None:
            return False
        for name, value in self._deferral.selectors.items():
            setattr(self._task, name, value)
        self._retrying.is_resuming = True
        self._use_values(context, self._deferral.in_force, self._deferral.begun_with)
        return True

    def _render_again(self, render: Callable[[Iterable[str]], None], names: Iterable[str]) -> None:
        """Render for Airflow's Rendered tab, which is written again; the pod's end does not depend on it."""
        try:
            render(names)
        except Exception as error:  # noqa: BLE001 - a skip, too, would lose the result
            self._task.log.warning("A template could be rendered before the pod ran, and can't be now: %s", printable(error))

    def _resolve(self, context: Context) -> None:
        """Read the row and the group, once per try, and make them available to templates."""
        if self._growth is None:
            found = self._lookup().read(context)
            growth = self._use_values(context, found)
            self._retrying.end_groups()
            log_configuration(self._task.log, growth.in_force.config, growth.in_force.group)
        else:
            growth = self._growth
            self._pass_to_templates(context, growth.in_force)
        self._retrying.skip_if_disabled(self._lookup(), growth.in_force)

    def _use_values(self, context: Context, found: InForce, begun_with: DagConfig | None = None) -> Growth:
        """
        Use the values that were found.

        :param begun_with: the values of row, overrides and conf, if ``found`` is what the try already runs with.
        """
        lookup, log = self._lookup(), self._task.log
        if begun_with is None:
            self._growth = Growth(context, lookup, found, log)
        else:
            self._growth = Growth(context, lookup, replace(found, config=begun_with), log, found)
        self._retrying.found = self._growth.in_force
        self._pass_to_templates(context, self._growth.in_force)
        return self._growth

    def _pass_to_templates(self, context: Context, found: InForce) -> None:
        """Make the try's values available to templates, and to Airflow's Rendered tab."""
        self._task.dag_config = found.config.as_dict()
        # Context is a TypedDict; the names are this operator's.
        context["dag_config"] = found.config  # type: ignore[typeddict-unknown-key]
        context["exchange_group"] = found.group  # type: ignore[typeddict-unknown-key]

    def _lookup(self) -> Lookup:
        task = self._task
        if self._retrying.lookup is None:
            self._retrying.lookup = Lookup(
                hook=task._hook(),
                tasks=lambda: task.dag.tasks,
                task_id=task.task_id,
                dag_name=task.dag_name or task.dag_id,
                job_name=task.job_name,
                exchange_group=task.exchange_group,
                allow_run_overrides=task.allow_run_overrides,
            )
        return self._retrying.lookup

    # --- the pod ---

    @contextmanager
    def _log_failures(self) -> Iterator[None]:
        """Log what follows from a failure, outside of Airflow's groups of lines."""
        self._retrying.open_groups = 0
        # The message about a pod's end has several lines. Each is made of safe parts.
        with self._retrying.decide_failures(), errors_fit_for_logs(lines=True):
            yield

    def _complete(self, report: Report) -> Any:
        if self._deferral is not None:
            return self._make_pod().complete(self._deferral, report)
        if self._growth is None:
            self._resolve(self._context)
        # Its pod exists under the same name.
        self._task.log.warning("The pod is waited for in the worker: %s", printable(report.message))
        return self._make_pod().execute(refusal="No pod is made: the task was deferred, and its pod is gone")

    def _make_pod(self) -> TaskPod:
        assert self._growth is not None
        self._pod = TaskPod(self._task, self._context, self._growth, self._retrying)
        if self._killed:  # the kill came before the pod
            self._pod.kill()
        return self._pod
