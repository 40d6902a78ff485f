"""
The operator that runs a job's pod with the values of the job's row.

Here is only what a DAG file needs: the parameters and their checks. ``task_try``, which is loaded when the task runs, reads the
values and runs the pod.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf
from airflow.sdk import BaseOperator

from airflow_provider_dagconfig.kubectl.manifest import BASE_CONTAINER_NAME, check_unrendered
from airflow_provider_dagconfig.kubectl.parameters import to_plain
from airflow_provider_dagconfig.operators.parameters import check_parameters
from airflow_provider_dagconfig.operators.pod_request import POD_PARAMETERS
from airflow_provider_dagconfig.operators.ported_parameters import check_ported, defaults_of, is_ported, parameters_of_subclasses
from airflow_provider_dagconfig.operators.retry_policy import with_retries
from airflow_provider_dagconfig.operators.texts import as_written, mask_listed_variables

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial

    from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
    from airflow_provider_dagconfig.kubectl.access import ClusterAccess
    from airflow_provider_dagconfig.operators.task_try import TaskTry
    from airflow_provider_dagconfig.retries import Decision

_TRIGGER_FAILED = "__fail__"
"""Airflow's word, in place of a method, for a task whose trigger failed."""


class ConfiguredKubectlRunOperator(BaseOperator):
    """
    Run one job in a pod, with the CPU, memory, deadline, batch size and exchanges that its row has at that moment.

    The row is read once per try, before templates are rendered: every templated parameter may use ``{{ dag_config.batch_size }}``
    (a :class:`~airflow_provider_dagconfig.models.DagConfig`) and ``{{ exchange_group.exchanges | join(',') }}`` (an
    :class:`~airflow_provider_dagconfig.models.ExchangeGroup`; None if there is no group). A job whose row is disabled is skipped.
    kubectl, in a bash subprocess, makes all requests. Parameters that KubernetesPodOperator also has have the same names and
    meanings here; they accept plain values, and the kubernetes client's models too. Parameters that only KubernetesPodOperator has
    are refused, with what to write instead, or have no effect (``ported_parameters``).

    :param job_name: the job's name in ``dag_configuration``. (templated)
    :param dag_name: the DAG's name there; default: the DAG's id. (templated)
    :param exchange_group: the name of the job's group in ``exchange_groups``; default: none. (templated)
    :param postgres_conn_id: the connection of the configuration's database; default: ``[dagconfig] postgres_conn_id``, or
        ``postgres_default`` if that is not set. (templated)
    :param config_schema: its schema; default: ``[dagconfig] schema``, or ``financial_screener`` if that is not set. (templated)
    :param allow_run_overrides: whether a run may set values by ``conf={"dagconfig": {"batch_size": 100}}``, or for this job alone
        ``{"dagconfig": {"us_markets": {"memory_limit": "4Gi"}}}``, above the row and its overrides. If not, such a run fails; it
        also fails if ``[dagconfig] allow_run_overrides`` is False, or if a value is above a ceiling.
    :param kubernetes_conn_id: the Kubernetes provider's connection; if there is none, KUBECONFIG, ``~/.kube/config`` and the pod's
        own service account are tried in this order. (templated)
    :param config_file: the path of a kubeconfig; takes precedence over the connection. (templated)
    :param cluster_context: the kubeconfig's context. (templated)
    :param in_cluster: use the service account of the pod that the worker runs in.
    :param namespace: default: the connection's, else ``default``. (templated)
    :param image: the container's image. (templated)
    :param name: the first word of the pod's name; default: the task's id. It must be the same for every try. (templated)
    :param cmds: the entrypoint, in place of the image's. (templated)
    :param arguments: its arguments. (templated)
    :param env_vars: a dict, or a list of ``V1EnvVar``. (templated)
    :param env_from: a list of ``V1EnvFromSource``. (templated)
    :param secrets: the Kubernetes provider's ``Secret``, or dicts with its fields; the pod holds references, never values.
    :param labels: labels of the pod, beside the operator's own. (templated)
    :param annotations: annotations of the pod, beside the operator's own. (templated)
    :param startup_timeout_seconds: seconds until the container must run, including the pull of its image.
    :param termination_grace_period: seconds that a deleted pod has to end by itself; default: Kubernetes' 30.
    :param get_logs: whether the container's output becomes the task's log.
    :param on_finish_action: what becomes of a pod that has ended: ``delete_pod``, ``delete_succeeded_pod``, ``delete_active_pod``
        or ``keep_pod``. A pod that has succeeded is deleted after Airflow has recorded the success. A pod that has not ended (a
        person ended the task, or its start timed out) is always deleted.
    :param do_xcom_push: push what the container wrote to ``/airflow/xcom/return.json``: JSON, at most 4,096 bytes.
    :param skip_on_exit_code: an exit code of the container, or several, that skip the task.
    :param retries_from_row: whether the row's ``max_retries``, ``retry_delay_minutes`` and ``retry_backoff_enabled``, at the time
        of a failure, decide whether and when the task is retried. ``retries`` is then only the ceiling, by default 10. Default:
        ``[dagconfig] retries_from_row``, or True if that is not set. It has no effect if the task has a ``retry_policy``.
    :param deferrable: whether to free the worker while the pod runs: the triggerer waits, with one watch for all pods. Default:
        ``[operators] default_deferrable``. The row, its overrides and conf are still read only once per try.
    :param logging_interval: seconds after which a deferred task reads its pod's log, repeatedly; None: once, at its end.
    :param run_once: never make a second pod until a person clears the task, whatever became of the first. Needs Airflow 3.3.
    :raises AirflowSkipException: the job or its group is disabled, or the container ended with ``skip_on_exit_code``.
    :raises AirflowFailException: a retry would not help: the API server forbids the request, the manifest or the credentials are
        wrong, a run's conf cannot be used, a value is above a ceiling, or no other pod is allowed.
    :raises AirflowException: the pod failed.
    """

    selectors: Sequence[str] = ("job_name", "dag_name", "exchange_group", "postgres_conn_id", "config_schema")
    """The templated parameters that select the configuration. They are rendered first."""

    template_fields: Sequence[str] = (
        "job_name",
        "dag_name",
        "exchange_group",
        "postgres_conn_id",
        "config_schema",
        "dag_config",
        "kubernetes_conn_id",
        "config_file",
        "cluster_context",
        "namespace",
        "image",
        "name",
        "cmds",
        "arguments",
        "env_vars",
        "env_from",
        "configmaps",
        "labels",
        "annotations",
        "volumes",
        "volume_mounts",
        "node_selector",
        "hostname",
        "base_container_name",
    )
    template_fields_renderers = {"dag_config": "json", "env_vars": "py"}  # noqa: RUF012
    ui_color = "#d5e8f7"

    def __init__(
        self,
        *,
        job_name: str = "all",
        dag_name: str | None = None,
        exchange_group: str | None = None,
        postgres_conn_id: str | None = None,
        config_schema: str | None = None,
        allow_run_overrides: bool = True,
        kubernetes_conn_id: str | None = "kubernetes_default",
        config_file: str | None = None,
        cluster_context: str | None = None,
        in_cluster: bool | None = None,
        namespace: str | None = None,
        image: str | None = None,
        name: str | None = None,
        cmds: Sequence[str] | None = None,
        arguments: Sequence[str] | None = None,
        env_vars: Mapping[str, str] | Sequence[Any] | None = None,
        env_from: Sequence[Any] | None = None,
        configmaps: Sequence[str] | None = None,
        secrets: Sequence[Any] | None = None,
        volumes: Sequence[Any] | None = None,
        volume_mounts: Sequence[Any] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        node_selector: Mapping[str, str] | None = None,
        tolerations: Sequence[Any] | None = None,
        affinity: Any = None,
        service_account_name: str | None = None,
        automount_service_account_token: bool | None = None,
        image_pull_policy: str | None = None,
        image_pull_secrets: str | Sequence[Any] | None = None,
        security_context: Any = None,
        container_security_context: Any = None,
        container_resources: Any = None,
        base_container_name: str | None = None,
        ports: Sequence[Any] | None = None,
        init_containers: Sequence[Any] | None = None,
        hostnetwork: bool = False,
        host_aliases: Sequence[Any] | None = None,
        hostname: str | None = None,
        subdomain: str | None = None,
        dnspolicy: str | None = None,
        dns_config: Any = None,
        schedulername: str | None = None,
        priority_class_name: str | None = None,
        runtime_class_name: str | None = None,
        startup_timeout_seconds: int = 120,
        termination_grace_period: int | None = None,
        get_logs: bool = True,
        on_finish_action: str = "delete_pod",
        do_xcom_push: bool = False,
        skip_on_exit_code: int | Container[int] | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        logging_interval: float | None = None,
        retries_from_row: bool | None = None,
        run_once: bool = False,
        retries: int | None = None,
        retry_delay: timedelta | float | None = None,
        retry_policy: Any = None,
        **kwargs: Any,
    ) -> None:
        # Airflow passes each operator's __init__ the merged arguments of the DAG, the task groups and the task. A mapped task's
        # arguments are checked in partial(), which also sees a None that overrides them.
        is_mapped = getattr(self, "_BaseOperator__from_mapped", False)
        own_parameters = parameters_of_subclasses(type(self), ConfiguredKubectlRunOperator)
        check_ported(
            {**kwargs, "container_resources": container_resources, "dag_name": dag_name, "job_name": job_name},
            {} if is_mapped else {name: value for name, value in kwargs["default_args"].items() if name not in own_parameters},
            task_id=kwargs["task_id"],
            dag=kwargs.get("dag"),
        )
        check_unrendered({"image": image, "cmds": cmds, "arguments": arguments, "env_vars": env_vars})
        check_parameters(on_finish_action, startup_timeout_seconds, skip_on_exit_code, in_cluster, deferrable, logging_interval)
        base_arguments = {"retries": retries, "retry_delay": retry_delay, "retry_policy": retry_policy}
        base_arguments = with_retries(base_arguments, task_id=kwargs["task_id"], from_row=retries_from_row, run_once=run_once)
        base_arguments |= {name: value for name, value in kwargs.items() if not is_ported(name)}
        super().__init__(do_xcom_push=do_xcom_push, **base_arguments)
        self.job_name = job_name
        self.dag_name = dag_name
        self.exchange_group = exchange_group
        self.postgres_conn_id = postgres_conn_id
        self.config_schema = config_schema
        self.allow_run_overrides = allow_run_overrides
        self.kubernetes_conn_id = kubernetes_conn_id
        self.config_file = config_file
        self.cluster_context = cluster_context
        self.in_cluster = in_cluster
        self.namespace = namespace
        self.image = image
        self.name = name
        self.cmds = cmds
        self.arguments = arguments
        # Plain data, so that templates inside the kubernetes client's models are rendered too.
        self.env_vars = to_plain(env_vars)
        self.env_from = to_plain(env_from)
        self.configmaps = configmaps
        self.secrets = secrets
        self.volumes = to_plain(volumes)
        self.volume_mounts = to_plain(volume_mounts)
        self.labels = labels
        self.annotations = annotations
        self.node_selector = node_selector
        self.tolerations = tolerations
        self.affinity = affinity
        self.service_account_name = service_account_name
        self.automount_service_account_token = automount_service_account_token
        self.image_pull_policy = image_pull_policy
        self.image_pull_secrets = image_pull_secrets
        self.security_context = security_context
        self.container_security_context = container_security_context
        self.container_resources = container_resources
        self.base_container_name = base_container_name or BASE_CONTAINER_NAME
        self.ports = ports
        self.init_containers = init_containers
        self.hostnetwork = hostnetwork
        self.host_aliases = host_aliases
        self.hostname = hostname
        self.subdomain = subdomain
        self.dnspolicy = dnspolicy
        self.dns_config = dns_config
        self.schedulername = schedulername
        self.priority_class_name = priority_class_name
        self.runtime_class_name = runtime_class_name
        self.startup_timeout_seconds = startup_timeout_seconds
        self.termination_grace_period = termination_grace_period
        self.get_logs = get_logs
        self.on_finish_action = on_finish_action
        self.skip_on_exit_code = skip_on_exit_code
        self.deferrable = deferrable
        self.logging_interval = logging_interval
        self.retries_from_row = retries_from_row
        self.run_once = run_once
        self.dag_config: dict[str, Any] | None = None
        """The configuration in force, once it is resolved; shown in the Rendered tab."""
        self._try: TaskTry | None = None
        """The try that this process runs; None until the task starts."""
        self._killed = False

    @classmethod
    def partial(cls, *, task_id: str, **kwargs: Any) -> OperatorPartial:
        """Check a mapped task's arguments and pass them to Airflow: ``__init__`` is called only when the task starts."""
        own_parameters = parameters_of_subclasses(cls, ConfiguredKubectlRunOperator)
        passed = {name: value for name, value in kwargs.items() if name in own_parameters or not is_ported(name)}
        partial = super().partial(task_id=task_id, **passed)
        check_unrendered({name: value for name, value in kwargs.items() if name in POD_PARAMETERS})
        defaults = defaults_of(partial.kwargs["dag"], partial.kwargs["task_group"], kwargs)
        check_ported(
            {name: value for name, value in kwargs.items() if name not in own_parameters},
            {name: value for name, value in defaults.items() if name not in own_parameters},
            task_id=task_id,
            dag=partial.kwargs["dag"],
        )
        arguments = {**defaults, **kwargs}
        partial.kwargs |= with_retries(
            arguments, task_id=task_id, from_row=arguments.get("retries_from_row"), run_once=arguments.get("run_once")
        )
        return partial

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        """Resolve the configuration after the parameters that select it were rendered, and before those that may use it are."""
        if parent is not self:
            super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)
            return
        other_fields = [name for name in template_fields if name not in (*self.selectors, "dag_config")]

        def render(names: Iterable[str]) -> None:
            self._render_fields(names, context, jinja_env, seen_oids)

        self._try_in(context).render(render, other_fields, context)
        mask_listed_variables(self.env_vars)

    def _render_fields(self, names: Iterable[str], context: Context, jinja_env: jinja2.Environment, seen_oids: set[int]) -> None:
        """Render some fields as Airflow does, but keep texts as texts if the DAG renders native objects."""
        unrendered = {name: getattr(self, name) for name in names}
        super()._do_render_template_fields(self, unrendered, context, jinja_env, seen_oids)
        if not isinstance(self.render_template("1", context, jinja_env), str):
            for name, value in unrendered.items():
                setattr(self, name, as_written(name, value, getattr(self, name), jinja_env, context))

    def execute(self, context: Context) -> Any:
        """
        Run the pod and wait for its end. If the task is deferrable, the triggerer waits.

        :return: with ``do_xcom_push``, what the container wrote to ``/airflow/xcom/return.json``; else None.
        """
        return self._try_in(context).execute()

    def execute_complete(self, context: Context, event: Any = None, deferral: str | None = None) -> Any:  # noqa: ARG002
        """
        Resume after a deferral: collect the end of the pod, or wait for it if the triggerer does not.

        :param event: the trigger's event, a :class:`~airflow_provider_dagconfig.kubectl.report.Report` as a dict.
        :param deferral: the task's stored data; it was read before (``deferral.read_deferral``).
        :return: as for :meth:`execute`.
        """
        return self._try_in(context).complete(event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral, as Airflow does; but a trigger that failed does not end the pod."""
        if next_method != _TRIGGER_FAILED:
            return super().resume_execution(next_method, next_kwargs, context)
        arguments = next_kwargs or {}
        why = "\n".join(arguments.get("traceback") or ()) or str(arguments.get("error", ""))
        return self._try_in(context).complete_unwatched(f"its trigger failed: {why.strip()}")

    def after_failure(self, error: BaseException, context: Context) -> Decision:
        """Decide whether and when the task is retried after this error, count it and log it; for the retry policy."""
        return self._try_in(context).after_failure(error)

    def on_kill(self) -> None:
        """
        Stop waiting for the pod. What becomes of it depends on why Airflow calls this (``kill_reason``).

        Airflow calls it from its handler of SIGTERM, whatever the reason for that. It also calls it after an
        ``execution_timeout``, when :meth:`execute` is over and the pod's deletion was requested.
        """
        self._killed = True
        if self._try is not None:
            self._try.kill()

    def _try_in(self, context: Context) -> TaskTry:
        """Return the try, which is made with the context of the first call."""
        if self._try is None:
            # A DAG file does not need it: half of what the operator loads.
            from airflow_provider_dagconfig.operators.task_try import TaskTry

            self._try = TaskTry(self, context)
            if self._killed:  # the kill came before the try
                self._try.kill()
        return self._try

    def _hook(self) -> DagConfigHook:
        # This loads a database driver, and SQLAlchemy through PostgresHook: 12 MB that a DAG file does not need.
        from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

        return DagConfigHook(postgres_conn_id=self.postgres_conn_id, schema=self.config_schema)

    def _access(self) -> ClusterAccess:
        from airflow_provider_dagconfig.hooks.cluster_access import ClusterParameters

        return ClusterParameters.of(self).access(self.task_id)
