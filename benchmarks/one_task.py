"""
One process with one operator: it imports it, runs a task of it where a namespace is given, and prints what that cost.

operators.py calls it, each time anew, since a process imports a module only once. Linux: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

IMAGE = "busybox:latest"
COMMAND = ["sh", "-c", "echo begins; sleep 2; echo ends"]
REQUESTS, LIMITS = {"cpu": "50m", "memory": "16Mi"}, {"cpu": "500m", "memory": "64Mi"}

# The pattern of the migration guide, with what does not work in it mended: resources by --overrides, since kubectl run has no
# flags for them any more, and the pod's phase asked for, since a pod never has the condition `complete`.
BASH = """\
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


def configured(namespace: str) -> Any:
    from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

    return lambda: ConfiguredKubectlRunOperator(
        task_id="work",
        dag_name="benchmark",
        namespace=namespace,
        image=IMAGE,
        image_pull_policy="IfNotPresent",
        cmds=COMMAND,
    )


def kubernetes_pod(namespace: str) -> Any:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    def operator() -> Any:
        from kubernetes.client import V1ResourceRequirements

        return KubernetesPodOperator(
            task_id="work",
            namespace=namespace,
            image=IMAGE,
            image_pull_policy="IfNotPresent",
            cmds=COMMAND,
            container_resources=V1ResourceRequirements(requests=REQUESTS, limits=LIMITS),
        )

    return operator


def bash(namespace: str) -> Any:
    from airflow.providers.standard.operators.bash import BashOperator

    container = {"name": "work", "image": IMAGE, "command": COMMAND, "resources": {"requests": REQUESTS, "limits": LIMITS}}
    overrides = json.dumps({"apiVersion": "v1", "spec": {"containers": [container | {"imagePullPolicy": "IfNotPresent"}]}})
    variables = {"NAMESPACE": namespace, "IMAGE": IMAGE, "OVERRIDES": overrides}
    return lambda: BashOperator(task_id="work", bash_command=BASH, env=variables, append_env=True)


OPERATORS = {"ConfiguredKubectlRunOperator": configured, "KubernetesPodOperator": kubernetes_pod, "BashOperator + kubectl": bash}


def execute(operator: Any, run_id: str) -> None:
    from airflow.sdk import DAG

    operator.dag = dag = DAG("benchmark")
    task_instance = SimpleNamespace(
        dag_id=dag.dag_id,
        run_id=run_id,
        task_id="work",
        map_index=-1,
        try_number=1,
        max_tries=0,
        xcom_push=lambda *_, **__: None,
        get_task_states=lambda **_: {run_id: {"work": "success"}},
    )
    context: Any = {"ti": task_instance, "run_id": run_id, "task": operator, "dag": dag}
    operator.render_template_fields(context)
    operator.execute(context)
    # Airflow calls them once it has the success; ours has the pod deleted then.
    for callback in operator.on_success_callback or ():
        callback(context)


def cpu_seconds() -> float:
    """This process's and those of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def memory_mb() -> float:
    """The most that this process had. getrusage would count the parent's memory too, from before the exec."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operator", choices=OPERATORS)
    parser.add_argument("--namespace", help="run a task there; default: only import")
    parser.add_argument("--run-id", default="manual__1")
    arguments = parser.parse_args()
    make = OPERATORS[arguments.operator](arguments.namespace)
    began = time.perf_counter()
    if arguments.namespace:
        execute(make(), arguments.run_id)
    print(json.dumps({"MB": memory_mb(), "CPU s": cpu_seconds(), "task s": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
