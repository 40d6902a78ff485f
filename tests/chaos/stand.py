"""
An Airflow with LocalExecutor and two triggerers between proxies, whose tasks run pods that write numbered lines, half of them
deferred; and what became of each.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml
from plugins.cluster import Namespace
from plugins.postgres import Database, Server, new_database
from plugins.triggerers import Triggerer, start_another, triggerers_of

from airflow_provider_dagconfig.kubectl.annotations import annotation
from benchmarks.tcp_proxy import Proxy, proxy
from demo import processes
from demo.airflow import Airflow, running_airflow
from demo.cluster import Cluster, PodWatch

DAG_ID = "chaos"
SECONDS = {"job": (5, 14, 27), "deferred": (9, 20, 27)}
"""How long the pods of a run's mapped tasks write, by map index; that of ``failing`` ends with code 3 after five seconds."""

DAG_FILE = """
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

SCRIPT = 'i=0; while [ $i -lt $1 ]; do i=$((i+1)); echo "line $i of $1 of pod $POD_UID"; sleep 1; done; exit $2'
POD = {{
    "namespace": "{namespace}", "image": "busybox:latest", "image_pull_policy": "IfNotPresent", "job_name": "counting",
    "cmds": ["sh", "-c", SCRIPT, "sh"], "termination_grace_period": 1, "startup_timeout_seconds": 90,
    "env_vars": [{{"name": "POD_UID", "valueFrom": {{"fieldRef": {{"fieldPath": "metadata.uid"}}}}}}],
    "retry_delay": timedelta(seconds=2),
}}

with DAG("chaos", schedule=None, max_active_runs=50, max_active_tasks=50):
    for name, seconds in {seconds}.items():
        ConfiguredKubectlRunOperator.partial(task_id=name, retries=9, deferrable=name == "deferred", **POD).expand(
            arguments=[[str(one), "0"] for one in seconds]
        )
    ConfiguredKubectlRunOperator(task_id="failing", retries=1, arguments=["5", "3"], **POD)
"""
_LINE = re.compile(r"line (\d+) of (\d+) of pod (\S+)")

Key = tuple[str, str, int]
"""Run id, task id and map index of a task instance."""


@dataclass(frozen=True)
class Try:
    """A try of a task instance, as Airflow has it, with the pods' lines in its log."""

    number: int
    state: str | None
    began: float | None
    ended: float | None
    lines: list[tuple[str, int, int]]
    """Of each line: the pod's uid, its number, and how many there will be."""


@dataclass
class Stand:
    """The parts, and the ways between them that can be broken."""

    airflow: Airflow
    cluster: Cluster
    namespace: Namespace
    watch: PodWatch
    ways: Mapping[str, Proxy]
    """The tasks' ways to the Kubernetes API (``kubernetes``), to Airflow's (``airflow``) and to the rows (``store``)."""
    first_triggerer: Triggerer
    """The process that Airflow was started with; others are started like it."""
    runs: list[str] = field(default_factory=list)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """The triggerers beside the one that Airflow was started with."""

    def triggerers(self) -> list[Triggerer]:
        """Those that run, or are frozen."""
        return triggerers_of(self.airflow)

    def start_triggerer(self) -> None:
        self._started.append(start_another(self.airflow, self.first_triggerer, f"triggerer-{len(self._started) + 2}"))

    def stop_triggerers(self) -> None:
        processes.stop(self._started, signal.SIGTERM, 20)

    def trigger(self) -> None:
        run_id = f"run{len(self.runs)}"
        self.airflow.trigger(DAG_ID, run_id)
        self.runs.append(run_id)

    def running(self) -> dict[Key, dict[str, Any]]:
        """The pods that run now, by their task instances."""
        return {
            key(pod): pod
            for pod in self.namespace.pods()
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        }

    def states(self) -> dict[Key, str | None]:
        """The states of all task instances."""
        return {
            (run_id, instance.task_id, instance.map_index): instance.state
            for run_id in self.runs
            for instance in self.airflow.task_instances(DAG_ID, run_id)
        }

    def tries(self, instance: Key) -> list[Try]:
        run_id, task_id, map_index = instance
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}" + (f"/{map_index}" if map_index >= 0 else "")
        return [
            Try(
                number=one["try_number"],
                state=one["state"],
                began=_moment(one["start_date"]),
                ended=_moment(one["end_date"]),
                lines=self._lines(instance, one["try_number"]) if one["start_date"] else [],
            )
            for one in self.airflow.request("GET", f"{path}/tries")["task_instances"]
        ]

    def _lines(self, instance: Key, number: int) -> list[tuple[str, int, int]]:
        run_id, task_id, map_index = instance
        log = self.airflow.task_log(DAG_ID, run_id, task_id, map_index, number)
        return [(line[3], int(line[1]), int(line[2])) for line in map(_LINE.fullmatch, log.splitlines()) if line]

    def act(self, method: str, path: str, body: Any) -> None:
        """What a person does in Airflow's pages."""
        self.airflow.request(method, f"/dags/{DAG_ID}{path}", body)


def key(pod: Mapping[str, Any]) -> Key:
    """The task instance of a pod."""
    return str(annotation(pod, "run-id")), str(annotation(pod, "task-id")), int(annotation(pod, "map-index") or -1)


def _moment(text: str | None) -> float | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None


@contextmanager
def running_stand(postgres: Server, namespace: Namespace, folder: Path) -> Iterator[Stand]:
    """Start everything; stop it at the end."""
    from airflow_provider_dagconfig.store.migrate import migrate

    dags = folder / "dags"
    dags.mkdir()
    (dags / "chaos.py").write_text(DAG_FILE.format(namespace=namespace.name, seconds=SECONDS))
    with ExitStack() as stack:
        metadata = stack.enter_context(new_database(postgres))
        rows = stack.enter_context(new_database(postgres))
        migrate(rows.url)
        _insert_job(rows)
        port = processes.free_port()
        ways = {"airflow": stack.enter_context(proxy(port)), "store": stack.enter_context(proxy(postgres.port))}
        kubeconfig, ways["kubernetes"] = _through_a_proxy(namespace.kubeconfig, folder / "kubeconfig", stack)
        cluster = Cluster(namespace.kubeconfig, "the cluster of KUBECONFIG", is_kubernetes=True)
        watch = PodWatch(cluster, folder / "pods.log", namespace.name)
        stack.callback(watch.close)
        airflow = stack.enter_context(
            running_airflow(
                folder / "home",
                database_url=metadata.url,
                dags=dags,
                port=port,
                environment={
                    "AIRFLOW_CONN_POSTGRES_DEFAULT": rows.url.replace(f":{postgres.port}/", f":{ways['store'].port}/"),
                    "KUBECONFIG": str(kubeconfig),
                    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{ways['airflow'].port}/execution/",
                    "AIRFLOW__CORE__PARALLELISM": "32",
                    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
                    # Seconds without a word of a triggerer, after which another one has its triggers.
                    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
                    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
                    # A deferred task that resumes within this time of its deferral is taken for lost by Airflow 3.3.2.
                    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
                    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
                },
            )
        )
        airflow.wait_for_dags(DAG_ID)
        airflow.unpause(DAG_ID)
        [triggerer] = triggerers_of(airflow)
        stand = Stand(airflow, cluster, namespace, watch, ways, triggerer)
        stack.callback(stand.stop_triggerers)
        stand.start_triggerer()
        yield stand


def _insert_job(rows: Database) -> None:
    rows.execute("""
        INSERT INTO financial_screener.dag_configuration
            (dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit, timeout_seconds,
            max_retries, retry_delay_minutes, retry_backoff_enabled)
        VALUES ('chaos', 'counting', '10m', '200m', '16Mi', '32Mi', 300, 9, 0, false)
    """)


def _through_a_proxy(kubeconfig: str, path: Path, stack: ExitStack) -> tuple[Path, Proxy]:
    """Write a kubeconfig whose current cluster is reached through a proxy; its certificate is still that of the server's name."""
    config = yaml.safe_load(Path(kubeconfig).read_text())
    [context] = [one["context"] for one in config["contexts"] if one["name"] == config["current-context"]]
    [cluster] = [one["cluster"] for one in config["clusters"] if one["name"] == context["cluster"]]
    server = urlsplit(cluster["server"])
    host = server.hostname or "127.0.0.1"
    way = stack.enter_context(proxy(server.port or 443, host))
    cluster["server"] = urlunsplit(server._replace(netloc=f"127.0.0.1:{way.port}"))
    cluster.setdefault("tls-server-name", host)
    path.write_text(yaml.safe_dump(config))
    return path, way
