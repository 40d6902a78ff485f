"""The operator that deletes orphaned pods. ``kubectl/sweep`` decides what becomes of a pod."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.sdk import BaseOperator

from airflow_provider_dagconfig.hooks.airflow_state import facts_of
from airflow_provider_dagconfig.hooks.cluster_access import ClusterParameters
from airflow_provider_dagconfig.kubectl.access import ClusterAccess, ClusterAccessError
from airflow_provider_dagconfig.kubectl.errors import TRANSIENT, KubectlError
from airflow_provider_dagconfig.kubectl.listing import Done, InstallationPods, cannot_list
from airflow_provider_dagconfig.kubectl.sweep import Fate, ListedPod, Verdict, judge
from airflow_provider_dagconfig.models import InstallationError
from airflow_provider_dagconfig.operators.ends import errors_fit_for_logs
from airflow_provider_dagconfig.settings import configured_installation, configured_kubectl
from airflow_provider_dagconfig.wording import printables

if TYPE_CHECKING:
    from airflow.sdk import Context


class SweepPodsOperator(BaseOperator):
    """
    Delete the orphaned pods of this installation from a task, as ``airflow dagconfig sweep`` does.

    A task has no database. Airflow tells it the state of a task instance, but not since when. So a pod is deleted if Airflow
    counts its task instance as finished, and the pod ended more than ten minutes ago. A pod that has not ended is deleted if two
    sweeps, more than ten minutes apart, saw its task instance finished; the first of them marks the pod by an annotation. A pod
    whose task instance this Airflow does not know is only listed in the log: another Airflow may share the store.

    It needs the right to list pods, beside those that each task needs.

    :param namespace: the pods' namespace; default: the connection's, else ``default``. (templated)
    :param postgres_conn_id: the connection of the configuration's database, which knows the installation; default:
        ``[dagconfig] postgres_conn_id``, or ``postgres_default`` if that is not set. (templated)
    :param config_schema: its schema; default: ``[dagconfig] schema``, or ``financial_screener`` if that is not set. (templated)
    :param kubernetes_conn_id: the Kubernetes provider's connection; if there is none, KUBECONFIG, ``~/.kube/config`` and the pod's
        own service account are tried in this order. (templated)
    :param config_file: the path of a kubeconfig; takes precedence over the connection. (templated)
    :param cluster_context: the kubeconfig's context. (templated)
    :param in_cluster: use the service account of the pod that the worker runs in.
    :raises AirflowFailException: a retry would not help: the API server forbids the request, or the credentials are wrong.
    :raises AirflowException: the API server does not answer, or a pod could not be deleted.
    """

    template_fields: Sequence[str] = (
        "namespace",
        "postgres_conn_id",
        "config_schema",
        "kubernetes_conn_id",
        "config_file",
        "cluster_context",
    )
    ui_color = "#d5e8f7"

    def __init__(
        self,
        *,
        namespace: str | None = None,
        postgres_conn_id: str | None = None,
        config_schema: str | None = None,
        kubernetes_conn_id: str | None = "kubernetes_default",
        config_file: str | None = None,
        cluster_context: str | None = None,
        in_cluster: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = namespace
        self.postgres_conn_id = postgres_conn_id
        self.config_schema = config_schema
        self.kubernetes_conn_id = kubernetes_conn_id
        self.config_file = config_file
        self.cluster_context = cluster_context
        self.in_cluster = in_cluster

    @errors_fit_for_logs(lines=True)
    def execute(self, context: Context) -> dict[str, int]:
        """
        List the pods, ask Airflow about their tasks, and delete those whose work is not wanted.

        :return: the number of ``pods``; how many of them were ``deleted``, ``kept`` and ``failed`` (could not be deleted or
            marked); and how many are ``unknown`` to this Airflow, all of which are kept.
        """
        try:
            installation = self._installation()
            access = self._access()
        except (ClusterAccessError, InstallationError) as error:
            raise AirflowFailException(str(error)) from None
        namespace = self.namespace or access.namespace or "default"
        with access.environment() as environment:
            requests = InstallationPods(environment, namespace, installation, configured_kubectl())
            try:
                # The pods first: Airflow's answers must not be older than the observation of a pod.
                listed = requests.all()
            except KubectlError as error:
                error_class = AirflowException if error.fault in TRANSIENT else AirflowFailException
                raise error_class(cannot_list(error, namespace, access.source)) from None
            judged = self._judge_pods(context, listed)
            results = [self._deal_with(requests, pod, verdict) for pod, verdict in judged]
        unknown = sum(verdict.fate is Fate.DELETE_UNKNOWN for _, verdict in judged)
        return self._sum_up(results, unknown, f"of installation {installation} in namespace {namespace}")

    def _judge_pods(self, context: Context, listed: Sequence[ListedPod]) -> list[tuple[ListedPod, Verdict]]:
        known = facts_of(context["ti"], (pod.task for pod in listed if pod.task is not None))
        return [(pod, judge(pod, known.get(pod.task) if pod.task else None, now())) for pod in listed]

    def _deal_with(self, requests: InstallationPods, pod: ListedPod, verdict: Verdict) -> Done:
        try:
            done = requests.deal_with(pod, verdict, now())
        except KubectlError as error:
            raise AirflowException(f"Pod {pod.name} could not be processed, and the rest were not tried: {error.trouble}") from None
        # Most pods are in use.
        if verdict.fate is Fate.KEEP:
            self.log.debug("%s %s: %s", *printables(done.did, pod.name, done.why))
        else:
            self.log.info("%s %s: %s", *printables(done.did, pod.name, done.why))
        return done

    def _sum_up(self, results: Sequence[Done], unknown: int, where: str) -> dict[str, int]:
        counts = {
            "pods": len(results),
            **{name: sum(done.did == name for done in results) for name in ("deleted", "kept", "failed")},
        }
        self.log.info(
            "%d of %d pods %s are being deleted. %d stay, of which %d are unknown to this Airflow. %d could not be processed.",
            *printables(counts["deleted"], counts["pods"], where, counts["kept"], unknown, counts["failed"]),
        )
        if counts["failed"]:
            failed = next(done for done in results if done.did == "failed")
            raise AirflowException(f"{counts['failed']} pods {where} could not be processed. {failed.pod}: {failed.why}")
        return {**counts, "unknown": unknown}

    def _installation(self) -> str:
        # This loads a database driver, which a DAG file does not need.
        from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

        hook = DagConfigHook(postgres_conn_id=self.postgres_conn_id, schema=self.config_schema)
        return hook.get_installation().in_force(configured_installation())

    def _access(self) -> ClusterAccess:
        return ClusterParameters.of(self).access(self.task_id)


def now() -> datetime:
    """Return the time; kubectl's modules never ask for it."""
    return datetime.now(timezone.utc)
