"""
The compared operators and their settings: the same image, command, requests and limits, and all follow the log.

An operator's modules are imported only when they are used: the import is one of the things that are measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

OURS = "ConfiguredKubectlRunOperator"
POD = "KubernetesPodOperator"
BASH = "BashOperator and kubectl"
OURS_DEFERRED = "ConfiguredKubectlRunOperator, deferrable"
POD_DEFERRED = "KubernetesPodOperator, deferrable"
AIRFLOW = "Airflow alone"

DAG_NAME = "benchmark"
IMAGE = "busybox:latest"
REQUESTS, LIMITS = {"cpu": "10m", "memory": "16Mi"}, {"cpu": "500m", "memory": "64Mi"}
CONTAINER = "base"
LABELS = {"app.kubernetes.io/managed-by": "airflow-provider-dagconfig"}
"""Labels of the pods that the benchmark creates for triggers; our trigger's watch selects pods by them."""

SETTINGS = {
    "all": (
        f"image {IMAGE}, present on the node (IfNotPresent); requests {REQUESTS['cpu']} and {REQUESTS['memory']}, limits "
        f"{LIMITS['cpu']} and {LIMITS['memory']}; a container that writes a line a second, and the log is followed; the pod is "
        "deleted at the end; a connection kubernetes_default without settings, so that the credentials are those of KUBECONFIG"
    ),
    OURS: "its defaults; CPU, memory and timeout from the row in PostgreSQL",
    POD: (
        "its defaults, since its documentation recommends no other values: get_logs=True, on_finish_action=delete_pod, "
        "startup_check_interval_seconds=5, base_container_status_polling_interval=1, do_xcom_push=False; CPU and memory are in the "
        "DAG's file, so no database is asked"
    ),
    OURS_DEFERRED: "the same, with deferrable=True: the log is read when the pod has ended",
    POD_DEFERRED: "the same, with deferrable=True, poll_interval=2, logging_interval=None: the log is read when the pod has ended",
    AIRFLOW: "no pod and no database: where a task runs, it is a BashOperator that sleeps as long as the others' pods run",
    BASH: (
        "the pattern of the migration guide, corrected where it does not work: resources by --overrides, since kubectl run has no "
        "flags for them any more, and a request for the pod's phase once a second, since a pod never has the condition `complete`. "
        "Its log is read at the end. CPU and memory are in the DAG's file; its task get_config is not in the figures"
    ),
}

_BASH = """\
set -e
pod="work-$(date +%s%N)"
kubectl run "$pod" --namespace "$NAMESPACE" --image "$IMAGE" --image-pull-policy IfNotPresent --restart Never \\
  --overrides "$OVERRIDES"
while :; do
  phase=$(kubectl get pod "$pod" --namespace "$NAMESPACE" --output 'jsonpath={.status.phase}')
  case "$phase" in Succeeded|Failed) break ;; esac
  sleep 1
done
kubectl logs "$pod" --namespace "$NAMESPACE"
kubectl delete pod "$pod" --namespace "$NAMESPACE" --wait=false
[ "$phase" = Succeeded ]
"""


def command(seconds: int) -> list[str]:
    """Return a container's command that writes one line each second for this time."""
    return ["sh", "-c", f"i=0; while [ $i -lt {seconds} ]; do echo line $i; sleep 1; i=$((i + 1)); done; echo ends"]


def make_operator(name: str, namespace: str, seconds: int) -> Any:
    """
    Import an operator and return a task of it.

    :param seconds: how long its pod runs.
    """
    return _OPERATORS[name](namespace, seconds)


def import_operator(name: str) -> None:
    """Import what a DAG's file imports for an operator; nothing for Airflow alone."""
    if name == OURS:
        from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator  # noqa: F401
    elif name == POD:
        from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator  # noqa: F401
    elif name == BASH:
        from airflow.providers.standard.operators.bash import BashOperator  # noqa: F401


def _configured(namespace: str, seconds: int, **more: Any) -> Any:
    from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

    return ConfiguredKubectlRunOperator(
        task_id="work",
        dag_name=DAG_NAME,
        namespace=namespace,
        image=IMAGE,
        image_pull_policy="IfNotPresent",
        cmds=command(seconds),
        **more,
    )


def _deferred_configured(namespace: str, seconds: int) -> Any:
    return _configured(namespace, seconds, deferrable=True)


def _kubernetes_pod(namespace: str, seconds: int, **more: Any) -> Any:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import V1ResourceRequirements  # type: ignore[import-untyped]

    return KubernetesPodOperator(
        task_id="work",
        namespace=namespace,
        image=IMAGE,
        image_pull_policy="IfNotPresent",
        cmds=command(seconds),
        container_resources=V1ResourceRequirements(requests=REQUESTS, limits=LIMITS),
        **more,
    )


def _deferred_kubernetes_pod(namespace: str, seconds: int) -> Any:
    return _kubernetes_pod(namespace, seconds, deferrable=True)


def _bash(namespace: str, seconds: int) -> Any:
    from airflow.providers.standard.operators.bash import BashOperator

    container = {
        "name": "work",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command(seconds),
        "resources": {"requests": REQUESTS, "limits": LIMITS},
    }
    overrides = json.dumps({"apiVersion": "v1", "spec": {"containers": [container]}})
    variables = {"NAMESPACE": namespace, "IMAGE": IMAGE, "OVERRIDES": overrides}
    return BashOperator(task_id="work", bash_command=_BASH, env=variables, append_env=True)


def _sleeping(_: str, seconds: int) -> Any:
    """Return a task without a pod: its cost is Airflow's own."""
    from airflow.providers.standard.operators.bash import BashOperator

    return BashOperator(task_id="work", bash_command=f"sleep {seconds}")


_OPERATORS: dict[str, Callable[[str, int], Any]] = {
    OURS: _configured,
    POD: _kubernetes_pod,
    BASH: _bash,
    OURS_DEFERRED: _deferred_configured,
    POD_DEFERRED: _deferred_kubernetes_pod,
    AIRFLOW: _sleeping,
}


def _kubernetes_pod_trigger(namespace: str, pod: str) -> Any:
    """Return the trigger with which the operator itself defers, for an existing pod."""
    from airflow.providers.common.compat.sdk import TaskDeferred
    from kubernetes.client import V1ObjectMeta, V1Pod

    operator = _kubernetes_pod(namespace, 1, deferrable=True)
    operator.pod = V1Pod(metadata=V1ObjectMeta(name=pod, namespace=namespace))
    try:
        operator.invoke_defer_method()
    except TaskDeferred as deferral:
        return deferral.trigger
    raise AssertionError("the operator did not defer")


def _configured_trigger(namespace: str, pod: str) -> Any:
    """Return the trigger with which the operator defers, for an existing pod."""
    from airflow_provider_dagconfig.hooks.cluster_access import ClusterParameters
    from airflow_provider_dagconfig.kubectl.annotations import task_annotations
    from airflow_provider_dagconfig.kubectl.pod_life import Limits
    from airflow_provider_dagconfig.triggers.pod import VERSION, PodTrigger, Watched

    annotations = task_annotations(DAG_NAME, f"manual__{pod}", "work", installation="benchmark", max_tries=0)
    identity = {
        "metadata": {"name": pod, "namespace": namespace, "annotations": annotations},
        "spec": {"containers": [{"name": CONTAINER}]},
    }
    watched = Watched(identity, Limits(120, 86_400), time.time(), ClusterParameters("kubernetes_default"))
    return PodTrigger(VERSION, watched.as_dict())


TRIGGERS: dict[str, Callable[[str, str], Any]] = {
    # From namespace and pod to the trigger with which the operator defers.
    OURS_DEFERRED: _configured_trigger,
    POD_DEFERRED: _kubernetes_pod_trigger,
}
"""Operator to the function that makes its trigger."""


def pod_of(trigger: Mapping[str, Any]) -> str:
    """Return the name of the pod that a trigger with these arguments watches."""
    return str(trigger["watched"]["identity"]["metadata"]["name"] if "watched" in trigger else trigger["pod_name"])


def has_succeeded(payload: Mapping[str, Any]) -> bool:
    """Return whether a trigger's event, by its payload, reports a pod's success."""
    return payload.get("status") == "success" or (payload.get("outcome") or {}).get("end") == "succeeded"
