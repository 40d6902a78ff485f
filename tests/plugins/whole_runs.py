"""A run of each of several DAGs in a whole Airflow: their states, and faults for them. Imported, and not a pytest plugin."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.cluster import Namespace
from plugins.postgres import Database, NewDatabase, Server, new_database
from plugins.processes import below, task_processes

from airflow_provider_dagconfig.kubectl.annotations import annotation
from benchmarks.tcp_proxy import Proxy
from demo import cluster as demo_cluster
from demo.airflow import Airflow, running_airflow
from demo.cluster import PodWatch

RUN = "the_run"
SECONDS = 600
"""Seconds for a step of a case on a busy machine; then the test fails."""

BEGINNING = """
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

POD = {
    "task_id": "run", "namespace": "NAMESPACE", "image": "busybox:latest", "image_pull_policy": "IfNotPresent",
    "termination_grace_period": 1,
}
FOR_EVER = ("sleep", "600")


def job(dag_id, *cmds, **given):
    with DAG(dag_id, schedule=None):
        ConfiguredKubectlRunOperator(**POD | {"cmds": list(cmds)} | given)


def mapped(dag_id, *cmds, over, **given):
    with DAG(dag_id, schedule=None):
        ConfiguredKubectlRunOperator.partial(**POD | {"cmds": list(cmds)} | given).expand(**over)
"""
"""The beginning of each file of DAGs: functions that make a DAG of one task, by its id."""

PRELOAD = """
# What each try, and each parsing, would import in a process of its own: they are forked.
import sys

if {"scheduler", "dag-processor"} & set(sys.argv):
    import airflow.sdk.execution_time.task_runner
    import airflow_provider_dagconfig.hooks.dag_config
    import airflow_provider_dagconfig.operators.kubectl_run
"""


def ids_of(dags: str) -> list[str]:
    """Return the ids of the DAGs in a file's text."""
    return [line.split('"')[1] for line in dags.splitlines() if line.startswith(("job(", "mapped("))]


@dataclass
class Runs:
    """A run of each DAG in a whole Airflow."""

    airflow: Airflow
    database: Database
    metadata: Database
    namespace: Namespace
    watch: PodWatch

    def configure(self, dag_id: str, **columns: Any) -> None:
        assignments = ", ".join(f"{column} = %({column})s" for column in columns)
        statement = f"UPDATE financial_screener.dag_configuration SET {assignments} WHERE dag_name = %(dag)s"
        self.database.execute(statement, {**columns, "dag": dag_id})

    def task(self, dag_id: str, map_index: int = -1) -> tuple[str | None, int]:
        """Return the state of a task and the number of its last try."""
        [found] = self.metadata.execute(
            "SELECT state, try_number FROM task_instance WHERE (dag_id, run_id, map_index) = (%s, %s, %s)", (dag_id, RUN, map_index)
        )
        return (found[0], found[1])

    def delay(self, dag_id: str) -> float | None:
        """Return the seconds that Airflow was told to wait before the next try."""
        [[seconds]] = self.metadata.execute("SELECT retry_delay_override FROM task_instance WHERE dag_id = %s", (dag_id,))
        return None if seconds is None else float(seconds)

    def wait_no_longer(self, dag_id: str) -> None:
        """End at once the time that Airflow waits before the next try."""
        self.wait_for(dag_id, "up_for_retry")
        self.metadata.execute("UPDATE task_instance SET retry_delay_override = 0 WHERE dag_id = %s", (dag_id,))

    def wait_for(self, dag_id: str, state: str, try_number: int | None = None) -> None:
        wanted = self.task(dag_id)[1] if try_number is None else try_number
        self.wait_until(lambda: self.task(dag_id) == (state, max(1, wanted)), f"{dag_id}: {state}, now {self.task(dag_id)}")

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not so after {SECONDS} s: {what}"
            time.sleep(0.5)

    def log(self, dag_id: str, try_number: int = 1, map_index: int = -1) -> list[str]:
        return self.airflow.task_log(dag_id, RUN, "run", map_index, try_number).splitlines()

    def error(self, dag_id: str, try_number: int = 1) -> str:
        """Return the message of the exception with which a try ended, as Airflow's page shows it with the traceback."""
        path = f"/dags/{dag_id}/dagRuns/{RUN}/taskInstances/run/logs/{try_number}"
        content = self.airflow.request("GET", path, map_index=-1, full_content="true")["content"]
        [error] = [line["error_detail"][0]["exc_value"] for line in content if line.get("error_detail")]
        return str(error)

    def says(self, dag_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the line of a try's log that says what happens next; it must be outside all groups, which Airflow's page folds."""
        lines = self.log(dag_id, try_number, map_index)
        told, depth = [], 0
        for line in lines:
            depth = max(0, depth + ("::group::" in line) - ("::endgroup::" in line))
            if depth == 0 and (line.startswith("no retry: ") or "; next at " in line):
                told.append(line)
        assert len(told) == 1, "\n".join(lines)
        return told[0]

    def pods(self, dag_id: str, map_index: int = -1) -> list[dict[str, Any]]:
        """Return all pods that were made, including deleted ones, in their order."""
        return [
            pod
            for pod in self.watch.pods_by_uid().values()
            if annotation(pod, "dag-id") == dag_id and (annotation(pod, "map-index") or "-1") == str(map_index)
        ]

    def running_pod(self, dag_id: str, number: int = 1) -> dict[str, Any]:
        """Wait until the pod with this number runs; return it."""

        def runs() -> bool:
            pods = self.pods(dag_id)
            return len(pods) == number and pods[-1]["status"]["phase"] == "Running"

        self.wait_until(runs, f"pod {number} of {dag_id} runs")
        return self.pods(dag_id)[-1]

    def delete_pod(self, dag_id: str, number: int = 1) -> None:
        """Delete a running pod, as a person does: for the row's retries this is a failure of the job."""
        name = self.running_pod(dag_id, number)["metadata"]["name"]
        self.namespace.cluster.kubectl("delete", "--raw", f"{self.namespace.path}/{name}")

    def fail_pod(self, dag_id: str, reason: str) -> None:
        """Write into a running pod's status that its cluster ended it, as the kubelet or the node controller does."""
        pod = self.running_pod(dag_id)
        path = f"{self.namespace.path}/{pod['metadata']['name']}/status"
        failed = {**pod, "status": {**pod["status"], "phase": "Failed", "reason": reason, "message": "The node was low on memory."}}
        failed["metadata"] = {key: value for key, value in pod["metadata"].items() if key != "resourceVersion"}
        self.namespace.cluster.kubectl("replace", "--raw", path, "-f", "-", body=failed)

    def remove_failed_pod(self, dag_id: str) -> None:
        """
        Remove the pod of :meth:`fail_pod` for good, once its try has failed, as the cluster's garbage collection does.

        Its kubelet, which has not written that status, may need minutes for it.
        """
        self.wait_for(dag_id, "up_for_retry")
        [pod] = self.pods(dag_id)
        path = f"{self.namespace.path}/{pod['metadata']['name']}?gracePeriodSeconds=0"
        self.namespace.cluster.kubectl("delete", "--raw", path, check=False)

    def kill_worker(self, dag_id: str, before: Callable[[], None] = lambda: None) -> None:
        """
        Kill the process that runs a task, and its descendants.

        :param before: called when the process is frozen.
        """
        name = self.running_pod(dag_id)["metadata"]["name"]
        found: set[int] = set()
        self.wait_until(lambda: found.update(task_processes(name)) or found, f"the worker of {dag_id}")
        process = found.pop()
        os.kill(process, signal.SIGSTOP)
        before()
        for one in (*below(process), process):
            os.kill(one, signal.SIGKILL)

    def begin(self, dag_ids: Iterable[str], rows: Mapping[str, Mapping[str, Any]]) -> None:
        """
        Create the row and the run of each DAG; no task starts yet.

        :param rows: DAG id to the values that differ from a job without retries and delay.
        """
        for dag_id in dag_ids:
            self.insert(dag_id, rows.get(dag_id, {}))
            self.airflow.trigger(dag_id, RUN)

    def insert(self, dag_id: str, differs: Mapping[str, Any]) -> None:
        """
        Make a DAG's row.

        :param differs: what differs from a job with no retry and no delay.
        """
        common = {"cpu_request": "10m", "memory_request": "16Mi", "memory_limit": "128Mi", "max_retries": 0}
        common |= {"retry_delay_minutes": 0, "retry_backoff_enabled": False}
        row = {"dag_name": dag_id, "job_name": "all", **common, **differs}
        columns, values = ", ".join(row), ", ".join(f"%({column})s" for column in row)
        self.database.execute(f"INSERT INTO financial_screener.dag_configuration ({columns}) VALUES ({values})", row)

    def wait_for_all(self) -> None:
        """Wait until each task has ended."""
        everything = "SELECT state FROM task_instance"
        self.wait_until(
            lambda: {state for [state] in self.metadata.execute(everything)} <= {"failed", "success", "skipped"},
            "the end of all runs",
        )


@contextmanager
def whole_runs(
    folder: Path,
    dags: str,
    namespace: Namespace,
    postgres: Server,
    new_migrated_database: NewDatabase,
    **settings: str,
) -> Iterator[tuple[Runs, Proxy, ExitStack]]:
    """
    Run an Airflow with a file of DAGs.

    :param dags: the text of the file after :data:`BEGINNING`.
    :param settings: more environment variables for Airflow.
    :return: the runs; a proxy before the database, which Airflow's connection ``through_proxy`` uses; and a stack for what is
        undone at the end.
    """
    (folder / "dags").mkdir()
    (folder / "dags" / "runs.py").write_text(f"{BEGINNING}{dags}".replace("NAMESPACE", namespace.name))
    (folder / "home" / "config").mkdir(parents=True)
    (folder / "home" / "config" / "airflow_local_settings.py").write_text(PRELOAD)
    with ExitStack() as stack:
        metadata = stack.enter_context(new_database(postgres))
        database = stack.enter_context(new_migrated_database())
        proxy = stack.enter_context(closing(Proxy(postgres.port)))
        cluster = demo_cluster.Cluster(namespace.kubeconfig, "", is_kubernetes=namespace.cluster.is_real)
        watch = stack.enter_context(closing(PodWatch(cluster, folder / "pods.log", namespace.name)))
        environment = {
            "AIRFLOW_CONN_POSTGRES_DEFAULT": database.url,
            "AIRFLOW_CONN_THROUGH_PROXY": database.url.replace(f":{postgres.port}/", f":{proxy.port}/"),
            "KUBECONFIG": namespace.kubeconfig,
            # Long tasks must not take the slots of others.
            "AIRFLOW__CORE__PARALLELISM": "20",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "200",
            **settings,
        }
        airflow = stack.enter_context(
            running_airflow(folder / "home", database_url=metadata.url, dags=folder / "dags", environment=environment)
        )
        yield Runs(airflow, database, metadata, namespace, watch), proxy, stack
