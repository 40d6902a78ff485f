"""
The pod of one try of a task: creates or adopts it, waits for it here or lets the triggerer wait, and reports its end to Airflow.

Other modules do the steps: they gather the pod's input, drive the pod, and translate its end for the task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    timeout,
)

from airflow_provider_dagconfig.hooks.cluster_access import ClusterParameters
from airflow_provider_dagconfig.kubectl.access import ClusterAccess, ClusterAccessError
from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.ends import Ended, PodEnd, PodFailed
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.kubectl.outcome import End
from airflow_provider_dagconfig.kubectl.parameters import ManifestError
from airflow_provider_dagconfig.kubectl.pod_life import Limits
from airflow_provider_dagconfig.kubectl.release import Why
from airflow_provider_dagconfig.kubectl.report import Kind, Report
from airflow_provider_dagconfig.kubectl.resumption import ResumedPodRun
from airflow_provider_dagconfig.models import DagConfig, InstallationError
from airflow_provider_dagconfig.operators.after_report import after_success
from airflow_provider_dagconfig.operators.deferral import METHOD, Deferral
from airflow_provider_dagconfig.operators.ends import airflow_exception, columns_behind, skips
from airflow_provider_dagconfig.operators.growth import Growth
from airflow_provider_dagconfig.operators.kill_reason import judge_kill
from airflow_provider_dagconfig.operators.look_back import look_back
from airflow_provider_dagconfig.operators.metrics import Metrics
from airflow_provider_dagconfig.operators.pod_request import pod_request
from airflow_provider_dagconfig.operators.result import read_result
from airflow_provider_dagconfig.operators.retrying import Retrying
from airflow_provider_dagconfig.operators.task_log import log_configuration, log_events, log_pod
from airflow_provider_dagconfig.settings import configured_kubectl
from airflow_provider_dagconfig.wording import printable, printables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

_DEFAULT_GRACE_PERIOD = 30
"""Seconds; Kubernetes' own default of terminationGracePeriodSeconds. After them the containers are killed."""


def waits_here(why: str) -> str:
    """Return the warning of a deferrable task that the triggerer does not watch."""
    return f"The triggerer does not watch the pod, so this task waits for it in its worker from now on: {why}"


class TaskPod:
    """
    The pod of one try.

    :param task: the operator, rendered.
    :param growth: has the values that the try runs with.
    """

    def __init__(self, task: ConfiguredKubectlRunOperator, context: Context, growth: Growth, retrying: Retrying) -> None:
        self._task, self._context, self._growth, self._retrying = task, context, growth, retrying
        self._run: PodRun | None = None
        self._killed = False

    @property
    def _config(self) -> DagConfig:
        return self._growth.in_force.config

    def execute(self, *, refusal: str | None = None) -> Any:
        """
        Create or adopt the pod, and wait for its end, or let the triggerer wait.

        :param refusal: why no pod may be created, beside the row's reasons; None if one may.
        :return: the task's return value.
        :raises TaskDeferred: the triggerer waits.
        :raises AirflowException: the pod's end, in Airflow's exceptions.
        """
        with self._translate_end():
            access = self._task._access()
            namespace = self._task.namespace or access.namespace or "default"
            request = pod_request(self._task, self._context, self._growth.in_force, namespace)
            with access.environment() as environment:
                run = self._make_run(request, environment, refusal)
                if not self._start(run) and self._task.deferrable and refusal is None:
                    self._defer(self._detach(run))
                ended = self._run_and_count(run.wait_for_end)
                result = self._read_result(ended)
        return self._finish_success(access, result)

    def complete(self, deferral: Deferral, report: Report) -> Any:
        """
        Continue with a pod that was deferred.

        :param deferral: the task's stored data.
        :param report: the observations of the pod meanwhile.
        :return: as for :meth:`execute`.
        """
        with self._translate_end():
            access = deferral.cluster.access(self._task.task_id)
            with access.environment() as environment:
                run = self._make_resumed_run(deferral, environment)
                result = self._read_result(self._resume(run, report, deferral))
        return self._finish_success(access, result)

    def kill(self) -> None:
        """Stop waiting. A signal handler may call this."""
        self._killed = True
        if self._run is not None:
            self._run.kill()

    # --- making and meeting ---

    def _limits(self, config: DagConfig) -> Limits:
        grace = self._task.termination_grace_period
        grace = _DEFAULT_GRACE_PERIOD if grace is None else grace
        return Limits(self._task.startup_timeout_seconds, config.timeout_seconds, grace)

    def _make_run(self, request: PodRequest, environment: Mapping[str, str], refusal: str | None) -> PodRun:
        manifest, config, log = build_pod(request), request.dag_config, self._task.log

        def before_replacing(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
            found = self._growth.record_replaced(pod, self._task.base_container_name)
            if found is None:
                return None
            self._task.dag_config = found.config.as_dict()
            log_configuration(log, found.config, found.group)
            return build_pod(replace(request, dag_config=found.config))

        log_pod(log, manifest, config)
        namespace = manifest["metadata"]["namespace"]
        permit = replace(self._retrying.permit(config), before_replacing=before_replacing)
        former = FormerName.of(
            request, lambda pod: self._kubectl(environment, namespace, pod), self._growth.in_force.installation.created_at
        )
        return self._construct_run(
            PodRun,
            environment,
            manifest,
            self._limits(config),
            former=former,
            permit=permit if refusal is None else replace(permit, refusal=permit.refusal or refusal),
        )

    def _make_resumed_run(self, deferral: Deferral, environment: Mapping[str, str]) -> ResumedPodRun:
        # Its template may not have been rendered again.
        self._task.base_container_name = deferral.parting.identity["spec"]["containers"][0]["name"]
        run = self._construct_run(
            ResumedPodRun, environment, deferral.parting.identity, deferral.limits, log_position=deferral.parting.log
        )
        assert isinstance(run, ResumedPodRun)
        return run

    def _construct_run(
        self, run_class: type[PodRun], environment: Mapping[str, str], manifest: Mapping[str, Any], limits: Limits, **options: Any
    ) -> PodRun:
        metadata, task, ti = manifest["metadata"], self._task, self._context["ti"]
        self._retrying.metrics = Metrics(task.dag_id, self._config.job_name, metadata["namespace"])
        self._run = run = run_class(
            self._kubectl(environment, metadata["namespace"], metadata["name"]),
            manifest,
            limits,
            on_finish_action=task.on_finish_action,
            # A pod's own line keeps its colours, as with KubernetesPodOperator and `kubectl logs`.
            on_line=(lambda line: task.log.info("%s", line)) if task.get_logs else None,
            note=lambda text: task.log.info("%s", printable(text)),
            judge_kill=lambda: judge_kill(ti),
            **options,
        )
        self._retrying.run = run
        if self._killed:  # the kill came before the run
            run.kill()
        return run

    def _kubectl(self, environment: Mapping[str, str], namespace: str, pod: str) -> Kubectl:
        return Kubectl(environment, namespace, pod, self._task.base_container_name, configured_kubectl())

    # --- waiting ---

    def _start(self, run: PodRun) -> bool:
        """Create or adopt the pod. Return whether its end is already known."""
        try:
            with self._abandon_on_timeout(run):
                return run.start()
        finally:
            if self._growth.has_grown:
                self._retrying.metrics.count_grown()

    def _run_and_count(self, wait: Callable[[], Ended]) -> Ended:
        assert self._run is not None
        with self._abandon_on_timeout(self._run):
            try:
                return self._retrying.metrics.run_and_count(wait, self._task.base_container_name)
            except PodFailed as end:
                if end.outcome.end is End.NOT_STARTED:
                    log_events(self._task.log, self._run.events())
                raise

    @contextmanager
    def _abandon_on_timeout(self, run: PodRun) -> Iterator[None]:
        """Let the pod be deleted if the task's time is over, or if the person who runs the task by hand interrupts it."""
        try:
            yield
        except AirflowTaskTimeout:
            run.abandon(Why.TIMEOUT)
            raise
        except KeyboardInterrupt:  # Ctrl-C in `airflow dags test`; a worker's task process does not get this exception
            run.abandon(Why.PERSON)
            raise

    def _deadline(self) -> float | None:
        """Return when the task's execution_timeout is over, in seconds since 1970. Airflow does not apply it to a deferred task."""
        started_at, limit = getattr(self._context["ti"], "start_date", None), self._task.execution_timeout
        if limit is None:
            return None
        return (started_at.timestamp() if started_at else time.time()) + float(limit.total_seconds())

    def _detach(self, run: PodRun) -> Deferral:
        """Stop watching the pod, and return the data with which the task can resume."""
        task, found = self._task, self._growth.in_force
        return Deferral(
            found,
            self._growth.begun_with,
            {name: getattr(task, name) for name in task.selectors},
            ClusterParameters.of(task),
            run.detach(),
            self._limits(found.config),
            self._deadline(),
        )

    def _defer(self, deferral: Deferral) -> NoReturn:
        """Let the triggerer wait for the pod."""
        from airflow_provider_dagconfig.triggers.pod import VERSION, PodTrigger, Watched

        task, metadata = self._task, deferral.parting.identity["metadata"]
        log_every = task.logging_interval if task.get_logs else None
        watched = Watched(
            deferral.parting.identity, deferral.limits, deferral.parting.begun_at, deferral.cluster, deferral.deadline, log_every
        )
        task.log.info(
            "Pod %s in namespace %s goes on without this worker: the triggerer waits for it",
            *printables(metadata["name"], metadata["namespace"]),
        )
        task.defer(
            trigger=PodTrigger(VERSION, watched.as_dict()), method_name=METHOD, kwargs=deferral.as_arguments(self._context["ti"])
        )
        raise AssertionError("a deferral raises")

    def _resume(self, run: ResumedPodRun, report: Report, deferral: Deferral) -> Ended:
        """Collect the end of the pod. If it still runs, defer again, or end it if the task's time is over."""

        def resume() -> Ended:
            if (ended := run.resume(report, deferral.parting.begun_at)) is None:
                raise _GoesOn
            return ended

        try:
            with self._wait_in_worker(deferral.deadline, report.message) if report.kind is Kind.NOT_WATCHED else nullcontext():
                return self._run_and_count(resume)
        except _GoesOn:
            pass
        if report.kind is not Kind.TIMEOUT:
            self._defer(replace(deferral, parting=run.detach()))
        run.abandon(Why.TIMEOUT)
        limit = self._task.execution_timeout
        raise AirflowTaskTimeout(f"execution_timeout = {limit} is over, and the pod has not ended")

    @contextmanager
    def _wait_in_worker(self, deadline: float | None, why: str) -> Iterator[None]:
        """Log that the worker waits for the pod, and enforce the rest of the execution_timeout."""
        self._task.log.warning("%s", printable(waits_here(why)))
        with nullcontext() if deadline is None else timeout(max(1, int(deadline - time.time()))):  # type: ignore[no-untyped-call]
            yield

    # --- the end ---

    @contextmanager
    def _translate_end(self) -> Iterator[None]:
        """Translate the pod's end into Airflow's exceptions."""
        try:
            yield
        except (ClusterAccessError, InstallationError, ManifestError) as error:
            raise AirflowFailException(str(error)) from None
        except PodEnd as end:
            config, task = self._config, self._task
            if (limit := self._growth.record_end(end, task.base_container_name)) is not None:
                self._retrying.next_has = f"memory_limit {limit} instead of {config.memory_limit}"
            back = look_back(columns_behind(end, config), config, task._hook(), {**self._context})
            raise airflow_exception(end, config, task.base_container_name, task.skip_on_exit_code, back, limit) from None

    def _finish_success(self, access: ClusterAccess, result: Any) -> Any:
        run = self._run
        assert run is not None

        def finish() -> None:
            """Delete the pod with new credentials: the run's own are gone by then."""
            with access.environment() as environment:
                run.finish(environment)

        self._growth.log_needed_memory()
        after_success(self._task, self._context["ti"], finish, run.leave)
        return result

    def _read_result(self, ended: Ended) -> Any:
        """Return the task's result. A pod that skips its task, or has an unreadable result, is deleted: the task won't succeed."""
        assert self._run is not None
        try:
            if skips(ended.outcome, self._task.skip_on_exit_code):
                name = ended.pod["metadata"]["name"]
                raise AirflowSkipException(f"Pod {name} ended with exit code 0, which skip_on_exit_code has")
            return read_result(ended.outcome.result) if self._task.do_xcom_push else None
        except AirflowException:
            self._run.finish()
            raise


class _GoesOn(Exception):
    """The pod has not ended."""
