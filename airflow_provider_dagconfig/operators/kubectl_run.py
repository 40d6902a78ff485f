"""
The operator that runs a job's pod with what the job's row says.

It joins the parts and holds no rules of its own: what is in force is read in ``lookup``, the pod is made in
``kubectl/manifest`` and lives in ``kubectl/lifecycle``, and which of Airflow's exceptions its end is, is in ``ends``.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow.sdk import BaseOperator

from airflow_provider_dagconfig.kubectl.access import ClusterAccess, ClusterAccessError
from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.ends import Ended, PodEnd
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.kubectl.manifest import BASE_CONTAINER_NAME, PodRequest, build_pod, check_unrendered
from airflow_provider_dagconfig.kubectl.parameters import ManifestError, to_plain
from airflow_provider_dagconfig.kubectl.pod_life import Limits
from airflow_provider_dagconfig.kubectl.release import Why
from airflow_provider_dagconfig.models import InstallationError
from airflow_provider_dagconfig.operators.access import cluster_access
from airflow_provider_dagconfig.operators.after_report import after_success
from airflow_provider_dagconfig.operators.ends import as_airflows, columns_behind, errors_fit_for_logs, skips
from airflow_provider_dagconfig.operators.growth import Growth
from airflow_provider_dagconfig.operators.kill_reason import judge_kill
from airflow_provider_dagconfig.operators.look_back import look_back
from airflow_provider_dagconfig.operators.lookup import InForce, Lookup
from airflow_provider_dagconfig.operators.metrics import Metrics
from airflow_provider_dagconfig.operators.parameters import check_parameters
from airflow_provider_dagconfig.operators.pod_request import POD_PARAMETERS, pod_request
from airflow_provider_dagconfig.operators.ported_parameters import check_ported, defaults_of, is_ported, parameters_of_subclasses
from airflow_provider_dagconfig.operators.result import read_result
from airflow_provider_dagconfig.operators.retrying import Retrying, is_from_row, with_retries
from airflow_provider_dagconfig.operators.task_log import tell_configuration, tell_pod
from airflow_provider_dagconfig.operators.texts import as_written, mask_listed_variables
from airflow_provider_dagconfig.settings import configured_kubectl
from airflow_provider_dagconfig.wording import printable

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial

    from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
    from airflow_provider_dagconfig.models import Installation
    from airflow_provider_dagconfig.retries import Decision

_DEFAULT_GRACE_PERIOD = 30
"""Seconds; Kubernetes' own default of terminationGracePeriodSeconds."""


class ConfiguredKubectlRunOperator(BaseOperator):
    """
    Run one job in a pod, with CPU, memory, deadline, batch size and exchanges as its row says at that moment.

    The row is read once a try, before templates are rendered: every templated parameter may use ``{{ dag_config.batch_size }}``
    (a :class:`~airflow_provider_dagconfig.models.DagConfig`) and ``{{ exchange_group.exchanges | join(',') }}`` (an
    :class:`~airflow_provider_dagconfig.models.ExchangeGroup`, None without one). A job whose row is disabled is skipped. The
    pod is driven by kubectl in a bash subprocess. Parameters that KubernetesPodOperator also has carry its names and
    meaning; they take plain values, and the kubernetes client's models too. Those that are its alone are refused, with what to
    write instead, or have no effect (``ported_parameters``).

    :param job_name: the job's name in ``dag_configuration``. (templated)
    :param dag_name: the DAG's name there; default: the DAG's id. (templated)
    :param exchange_group: the name of the group the job works on, in ``exchange_groups``; default: none. (templated)
    :param postgres_conn_id: the connection of the configuration's database; default: ``[dagconfig] postgres_conn_id``,
        which is ``postgres_default`` where it isn't set. (templated)
    :param config_schema: its schema; default: ``[dagconfig] schema``, which is ``financial_screener`` where it isn't set.
        (templated)
    :param allow_run_overrides: whether a run may set values by ``conf={"dagconfig": {"batch_size": 100}}``, or for this job alone
        ``{"dagconfig": {"us_markets": {"memory_limit": "4Gi"}}}``, above the row and its overrides; else such a run fails, as it
        does where ``[dagconfig] allow_run_overrides`` is False, and where a value is above a ceiling.
    :param kubernetes_conn_id: the Kubernetes provider's connection; where there is none, KUBECONFIG, ``~/.kube/config`` and the
        pod's own service account are tried in this order. (templated)
    :param config_file: the path of a kubeconfig, before what the connection says. (templated)
    :param cluster_context: the kubeconfig's context. (templated)
    :param in_cluster: use the service account of the pod that the worker runs in.
    :param namespace: default: the connection's, else ``default``. (templated)
    :param image: the container's image. (templated)
    :param name: the first word of the pod's name; default: the task's id. The same for every try. (templated)
    :param cmds: the entrypoint, in place of the image's. (templated)
    :param arguments: its arguments. (templated)
    :param env_vars: a dict, or a list of ``V1EnvVar``. (templated)
    :param env_from: a list of ``V1EnvFromSource``. (templated)
    :param secrets: the Kubernetes provider's ``Secret``, or dicts with its fields; the pod holds references, never values.
    :param labels: for the pod, beside the operator's own. (templated)
    :param annotations: for the pod, beside the operator's own. (templated)
    :param startup_timeout_seconds: seconds until the container has to run, an image's pull included.
    :param termination_grace_period: seconds that a deleted pod has to end by itself; default: Kubernetes' 30.
    :param get_logs: whether the container's output becomes the task's log.
    :param on_finish_action: what becomes of a pod that has ended: ``delete_pod``, ``delete_succeeded_pod``, ``delete_active_pod``
        or ``keep_pod``; of one that has succeeded, once Airflow has that. One that has not ended (a task that a person ended, a
        startup timeout) is always deleted.
    :param do_xcom_push: push what the container wrote to ``/airflow/xcom/return.json``: JSON, at most 4,096 bytes.
    :param skip_on_exit_code: an exit code of the container, or several, that skip the task.
    :param retries_from_row: whether ``max_retries``, ``retry_delay_minutes`` and ``retry_backoff_enabled`` of the row say whether
        and when the task is tried again, as they are when it fails; ``retries`` is only the ceiling then, 10 where it isn't given.
        Default: ``[dagconfig] retries_from_row``, which is True where it isn't set. Not where the task has a ``retry_policy``.
    :param run_once: never make a second pod until a person clears the task, whatever became of the first. Needs Airflow 3.3.
    :raises AirflowSkipException: the job or its group is disabled, or the container ended with ``skip_on_exit_code``.
    :raises AirflowFailException: trying again would not help: the API server forbids it, the manifest or the credentials are wrong,
        a run's conf cannot be used, a value is above a ceiling, or no other pod is allowed.
    :raises AirflowException: the pod failed.
    """

    _selectors: Sequence[str] = ("job_name", "dag_name", "exchange_group", "postgres_conn_id", "config_schema")

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
        retries_from_row: bool | None = None,
        run_once: bool = False,
        retries: int | None = None,
        retry_delay: timedelta | float | None = None,
        retry_policy: Any = None,
        **kwargs: Any,
    ) -> None:
        # Airflow gives each operator's __init__ what the DAG, the task groups and the task have, joined. A mapped task's are
        # checked in partial(), which also sees a None that stands above them.
        is_mapped = getattr(self, "_BaseOperator__from_mapped", False)
        known = parameters_of_subclasses(type(self), ConfiguredKubectlRunOperator)
        check_ported(
            {**kwargs, "container_resources": container_resources, "dag_name": dag_name, "job_name": job_name},
            {} if is_mapped else {name: value for name, value in kwargs["default_args"].items() if name not in known},
            task_id=kwargs["task_id"],
            dag=kwargs.get("dag"),
        )
        check_unrendered({"image": image, "cmds": cmds, "arguments": arguments, "env_vars": env_vars})
        check_parameters(on_finish_action, startup_timeout_seconds, skip_on_exit_code, in_cluster)
        given = {"retries": retries, "retry_delay": retry_delay, "retry_policy": retry_policy}
        given = with_retries(given, task_id=kwargs["task_id"], from_row=retries_from_row, run_once=run_once)
        given |= {name: value for name, value in kwargs.items() if not is_ported(name)}
        super().__init__(do_xcom_push=do_xcom_push, **given)
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
        self.retries_from_row = retries_from_row
        self.run_once = run_once
        self.dag_config: dict[str, Any] | None = None
        """The configuration in force, once it is resolved; shown in the Rendered tab."""
        self._in_force: InForce | None = None
        self._run: PodRun | None = None
        self._retrying: Retrying | None = None
        self._growth: Growth | None = None
        self._killed = False

    @classmethod
    def partial(cls, *, task_id: str, **kwargs: Any) -> OperatorPartial:
        """Take a mapped task's arguments, as Airflow does, and check them: ``__init__`` is called when the task starts."""
        known = parameters_of_subclasses(cls, ConfiguredKubectlRunOperator)
        taken = {name: value for name, value in kwargs.items() if name in known or not is_ported(name)}
        partial = super().partial(task_id=task_id, **taken)
        check_unrendered({name: value for name, value in kwargs.items() if name in POD_PARAMETERS})
        defaults = defaults_of(partial.kwargs["dag"], partial.kwargs["task_group"], kwargs)
        check_ported(
            {name: value for name, value in kwargs.items() if name not in known},
            {name: value for name, value in defaults.items() if name not in known},
            task_id=task_id,
            dag=partial.kwargs["dag"],
        )
        given = {**defaults, **kwargs}
        partial.kwargs |= with_retries(
            given, task_id=task_id, from_row=given.get("retries_from_row"), run_once=given.get("run_once")
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
        """Resolve the configuration between the parameters that choose it and those that may use it."""
        if parent is not self:
            super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)
            return
        with self._retries(context).failures_decided():
            self._render_fields(self._selectors, context, jinja_env, seen_oids)
            with errors_fit_for_logs(lines=False):
                self._resolve(context)
            rest = [name for name in template_fields if name not in (*self._selectors, "dag_config")]
            self._render_fields(rest, context, jinja_env, seen_oids)
        mask_listed_variables(self.env_vars)

    def _render_fields(self, names: Iterable[str], context: Context, jinja_env: jinja2.Environment, seen_oids: set[int]) -> None:
        """Render some fields as Airflow does, but texts as texts where the DAG renders natively."""
        given = {name: getattr(self, name) for name in names}
        super()._do_render_template_fields(self, given, context, jinja_env, seen_oids)
        if not isinstance(self.render_template("1", context, jinja_env), str):
            for name, value in given.items():
                setattr(self, name, as_written(name, value, getattr(self, name), jinja_env, context))

    def _resolve(self, context: Context) -> None:
        """Read the row and the group, once a try, and put them at the templates' disposal."""
        lookup = Lookup(
            hook=self._hook(),
            tasks=lambda: self.dag.tasks,
            task_id=self.task_id,
            dag_name=self.dag_name or self.dag_id,
            job_name=self.job_name,
            exchange_group=self.exchange_group,
            allow_run_overrides=self.allow_run_overrides,
        )
        self._retries(context).lookup = lookup
        if self._in_force is None:
            self._growth = Growth(context, lookup, lookup.read(context), self.log)
            self._in_force = self._retries(context).found = self._growth.in_force
            self._retries(context).end_groups()
            tell_configuration(self.log, self._in_force.config, self._in_force.group)
        self.dag_config = self._in_force.config.as_dict()
        # Context is a TypedDict; the names are this operator's.
        context["dag_config"] = self._in_force.config  # type: ignore[typeddict-unknown-key]
        context["exchange_group"] = self._in_force.group  # type: ignore[typeddict-unknown-key]
        self._retries(context).skip_if_disabled(lookup, self._in_force)

    def _hook(self) -> DagConfigHook:
        # It loads a database's driver, and SQLAlchemy by way of PostgresHook: 12 MB that a DAG file need not pay for.
        from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

        return DagConfigHook(postgres_conn_id=self.postgres_conn_id, schema=self.config_schema)

    def execute(self, context: Context) -> Any:
        """
        Run the pod and wait for its end.

        :return: with ``do_xcom_push``, what the container wrote to ``/airflow/xcom/return.json``; else None.
        """
        self._retries(context).open_groups = 0
        # What a pod ended with is told in several lines, each made of parts that are fit.
        with self._retries(context).failures_decided(), errors_fit_for_logs(lines=True):
            return self._execute(context)

    def after_failure(self, error: BaseException, context: Context) -> Decision:
        """Decide whether and when the task is tried again after this error, count it, and say so; for the retry policy."""
        retrying = self._retries(context)
        decision = retrying.decide(error)
        retrying.open_groups += 1  # Airflow's, of what follows execute
        retrying.tell(decision)
        return decision

    def _retries(self, context: Context) -> Retrying:
        if self._retrying is None:
            is_row = is_from_row(getattr(self, "retry_policy", None), self.retries_from_row)
            self._retrying = Retrying(self, context, from_row=is_row, run_once=self.run_once)
        return self._retrying

    def _execute(self, context: Context) -> Any:
        if self._in_force is None:  # executed without a rendering, as a test may do
            self._resolve(context)
        assert self._in_force is not None
        assert self._growth is not None
        try:
            access = self._access()
            request = pod_request(self, context, self._in_force, self.namespace or access.namespace or "default")
            with access.environment() as environment:
                ended = self._run_pod(context, request, environment, self._in_force.installation)
                result = self._read_result(ended)
        except (ClusterAccessError, InstallationError, ManifestError) as error:
            raise AirflowFailException(str(error)) from None
        except PodEnd as end:
            config = self._in_force.config
            if (limit := self._growth.ended(end, self.base_container_name)) is not None:
                self._retries(context).next_has = f"memory_limit {limit} instead of {config.memory_limit}"
            back = look_back(columns_behind(end, config), config, self._hook(), {**context})
            raise as_airflows(end, config, self.base_container_name, self.skip_on_exit_code, back, limit) from None
        assert self._run is not None
        self._growth.say_what_was_needed()
        after_success(self, context["ti"], lambda: self._finish(access), self._run.leave)
        return result

    def on_kill(self) -> None:
        """
        Stop waiting for the pod; what becomes of it depends on why Airflow calls this (``kill_reason``).

        Airflow calls it from its handler of SIGTERM, whatever the reason for that, and after an ``execution_timeout``, when
        :meth:`execute` is over and the pod's deletion was asked for.
        """
        self._killed = True
        if self._run is not None:
            self._run.kill()

    def _run_pod(self, context: Context, request: PodRequest, environment: Mapping[str, str], installation: Installation) -> Ended:
        manifest, config = build_pod(request), request.dag_config
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]

        def kubectl(pod: str) -> Kubectl:
            return Kubectl(environment, namespace, pod, self.base_container_name, configured_kubectl())

        def replacing(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
            assert self._growth is not None
            found = self._growth.replacing(pod, self.base_container_name)
            if found is None:
                return None
            self._in_force, self.dag_config = found, found.config.as_dict()
            tell_configuration(self.log, found.config, found.group)
            return build_pod(replace(request, dag_config=found.config))

        tell_pod(self.log, manifest, config)
        self._retries(context).metrics = metrics = Metrics(self.dag_id, config.job_name, namespace)
        grace = self.termination_grace_period
        self._run = PodRun(
            kubectl(name),
            manifest,
            Limits(self.startup_timeout_seconds, config.timeout_seconds, _DEFAULT_GRACE_PERIOD if grace is None else grace),
            on_finish_action=self.on_finish_action,
            # A pod's own line stays as it wrote it, with its colours: so it is with KubernetesPodOperator and `kubectl logs`.
            on_line=(lambda line: self.log.info("%s", line)) if self.get_logs else None,
            note=lambda text: self.log.info("%s", printable(text)),
            former=FormerName.of(request, kubectl, installation.created_at),
            judge_kill=lambda: judge_kill(context["ti"]),
            permit=replace(self._retries(context).permit(config), replacing=replacing),
        )
        self._retries(context).run = self._run
        if self._killed:  # before there was anything to kill
            self._run.kill()
        try:
            return metrics.counted(self._run.run, self.base_container_name)
        except AirflowTaskTimeout:
            self._run.abandon(Why.TIMEOUT)
            raise
        except KeyboardInterrupt:  # Ctrl-C in `airflow dags test`; a worker's task process does not get this exception
            self._run.abandon(Why.PERSON)
            raise
        finally:
            if self._growth and self._growth.has_grown:
                metrics.grown()

    def _finish(self, access: ClusterAccess) -> None:
        """Have the pod deleted once Airflow has the success; the run's own credentials are gone by then."""
        assert self._run is not None
        with access.environment() as environment:
            self._run.finish(environment)

    def _read_result(self, ended: Ended) -> Any:
        """Give what the task returns. A pod that skips its task, or whose result nobody can read, is deleted: it never succeeds."""
        assert self._run is not None
        try:
            if skips(ended.outcome, self.skip_on_exit_code):
                name = ended.pod["metadata"]["name"]
                raise AirflowSkipException(f"Pod {name} ended with exit code 0, which skip_on_exit_code has")
            return read_result(ended.outcome.result) if self.do_xcom_push else None
        except AirflowException:
            self._run.finish()
            raise

    def _access(self) -> ClusterAccess:
        return cluster_access(
            self.task_id,
            self.kubernetes_conn_id,
            config_file=self.config_file,
            cluster_context=self.cluster_context,
            in_cluster=self.in_cluster,
        )
