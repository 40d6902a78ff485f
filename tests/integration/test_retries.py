"""
Retries in a whole Airflow: scheduler, API server, LocalExecutor, its retry policy and its task state store.

One DAG a case, and all of them at once: a run takes as long as the longest. Each test looks at one run that has ended.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest
from plugins.cluster import Namespace
from plugins.postgres import Database, NewDatabase, Server, new_database
from plugins.processes import below, task_processes

from airflow_provider_dagconfig.kubectl.annotations import annotation
from benchmarks.tcp_proxy import Proxy
from demo import cluster as demo_cluster
from demo.airflow import Airflow, running_airflow
from demo.cluster import PodWatch

RUN = "retries"
SECONDS = 600
"""Until a case has come as far as it has to, on a busy machine."""

DAGS = """
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

POD = {
    "task_id": "run", "namespace": "NAMESPACE", "image": "busybox:latest", "image_pull_policy": "IfNotPresent",
    "termination_grace_period": 1,
}
# After a worker that died nobody asks the policy.
SOON = timedelta(seconds=1)


def job(dag_id, *cmds, **given):
    with DAG(dag_id, schedule=None):
        ConfiguredKubectlRunOperator(**POD | {"cmds": list(cmds)} | given)


def mapped(dag_id, *cmds, over, **given):
    with DAG(dag_id, schedule=None):
        ConfiguredKubectlRunOperator.partial(**POD | {"cmds": list(cmds)} | given).expand(**over)


FAIL = ("sh", "-c", "exit 3")
FOR_A_WHILE = ("sleep", "25")
FOR_EVER = ("sleep", "600")

job("worker_died", *FOR_A_WHILE, retry_delay=SOON)
job("worker_died_once", *FOR_A_WHILE, retry_delay=SOON, run_once=True)
job("worker_and_pod_died", *FOR_EVER, retry_delay=SOON)
job("out_of_memory", "tail", "/dev/zero")
job("exit_3", *FAIL)
job("no_image", *FAIL, image="busybox:there-is-none", image_pull_policy="Never")
job("too_long", *FOR_EVER, execution_timeout=timedelta(seconds=10))
job("cleared_while_running", *FOR_EVER)
job("author_says_0", *FAIL, retries=0)
job("row_changed", *FOR_EVER)
job("database_away", *FOR_EVER, postgres_conn_id="through_proxy")
job("older_than_the_ceiling", *FAIL)
job("once", *FAIL, run_once=True)
job("off_while_running", *FOR_EVER)
job("off_between_tries", *FAIL)
job("invalid_row", *FAIL)
job("evicted", *FOR_EVER)
job("node_lost", *FOR_EVER)
mapped("mapped", "sh", "-c", over={"arguments": [["exit 3"], ["exit 0"]]})
mapped("mapped_not_rendered", "sh", "-c", over={"arguments": [["{{ nothing.there }}"]]})
mapped("mapped_with_a_wrong_argument", *FAIL, over={"on_finish_action": ["nonsense"]})
"""
PRELOAD = """
# What each try, and each parsing, would import in a process of its own: they are forked.
import sys

if {"scheduler", "dag-processor"} & set(sys.argv):
    import airflow.sdk.execution_time.task_runner
    import airflow_provider_dagconfig.hooks.dag_config
    import airflow_provider_dagconfig.operators.kubectl_run
"""
IDS = [line.split('"')[1] for line in DAGS.splitlines() if line.startswith(("job(", "mapped("))]

ROWS: dict[str, dict[str, Any]] = {
    "out_of_memory": {"memory_limit": "32Mi"},
    "exit_3": {"max_retries": 1},
    "no_image": {"max_retries": 5},
    "too_long": {"max_retries": 1},
    "author_says_0": {"max_retries": 5},
    "row_changed": {"retry_delay_minutes": 60},
    "database_away": {"max_retries": 1, "retry_delay_minutes": 7},
    "older_than_the_ceiling": {"max_retries": 5},
    "once": {"max_retries": 5},
    "off_while_running": {"max_retries": 5},
    "off_between_tries": {"max_retries": 5, "retry_delay_minutes": 60},
    "mapped": {"max_retries": 1},
    "invalid_row": {"max_retries": 5},
}
"""What differs from a job with no retry and no delay."""


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
        """Give the state of a task and the number of its last try."""
        [found] = self.metadata.execute(
            "SELECT state, try_number FROM task_instance WHERE (dag_id, map_index) = (%s, %s)", (dag_id, map_index)
        )
        return (found[0], found[1])

    def delay(self, dag_id: str) -> float | None:
        """Give the seconds that Airflow was told to wait before the next try."""
        [[seconds]] = self.metadata.execute("SELECT retry_delay_override FROM task_instance WHERE dag_id = %s", (dag_id,))
        return None if seconds is None else float(seconds)

    def wait_no_longer(self, dag_id: str) -> None:
        """Let the time pass at once that Airflow waits before the next try."""
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

    def says(self, dag_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Give the line of a try's log that says what is next; Airflow's page shows only what is in none of its groups."""
        lines = self.log(dag_id, try_number, map_index)
        told, depth = [], 0
        for line in lines:
            depth = max(0, depth + ("::group::" in line) - ("::endgroup::" in line))
            if depth == 0 and (line.startswith("no retry: ") or "; next at " in line):
                told.append(line)
        assert len(told) == 1, "\n".join(lines)
        return told[0]

    def pods(self, dag_id: str, map_index: int = -1) -> list[dict[str, Any]]:
        """Give the pods that were made, also those that are gone, in their order."""
        return [
            pod
            for pod in self.watch.pods_by_uid().values()
            if annotation(pod, "dag-id") == dag_id and (annotation(pod, "map-index") or "-1") == str(map_index)
        ]

    def running_pod(self, dag_id: str, number: int = 1) -> dict[str, Any]:
        """Wait until the pod of this number runs; give it."""

        def runs() -> bool:
            pods = self.pods(dag_id)
            return len(pods) == number and pods[-1]["status"]["phase"] == "Running"

        self.wait_until(runs, f"pod {number} of {dag_id} runs")
        return self.pods(dag_id)[-1]

    def delete_pod(self, dag_id: str, number: int = 1) -> None:
        """Delete a pod that runs, as a person does: the job failed, for its row's retries."""
        name = self.running_pod(dag_id, number)["metadata"]["name"]
        self.namespace.cluster.kubectl("delete", "--raw", f"{self.namespace.path}/{name}")

    def fail_pod(self, dag_id: str, reason: str) -> None:
        """Say of a pod that runs that its cluster ended it, as the kubelet or the node's controller does."""
        pod = self.running_pod(dag_id)
        path = f"{self.namespace.path}/{pod['metadata']['name']}/status"
        failed = {**pod, "status": {**pod["status"], "phase": "Failed", "reason": reason, "message": "The node was low on memory."}}
        failed["metadata"] = {key: value for key, value in pod["metadata"].items() if key != "resourceVersion"}
        self.namespace.cluster.kubectl("replace", "--raw", path, "-f", "-", body=failed)

    def kill_worker(self, dag_id: str, before: Callable[[], None] = lambda: None) -> None:
        """
        Kill the process that runs a task, and what it has started.

        :param before: called once it can do nothing any more.
        """
        name = self.running_pod(dag_id)["metadata"]["name"]
        found: set[int] = set()
        self.wait_until(lambda: found.update(task_processes(name)) or found, f"the worker of {dag_id}")
        process = found.pop()
        os.kill(process, signal.SIGSTOP)
        before()
        for one in (*below(process), process):
            os.kill(one, signal.SIGKILL)


@pytest.fixture(scope="module")
def runs(
    shared_namespace: Namespace, postgres: Server, new_migrated_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    """All runs, at their end."""
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    (folder / "dags" / "retries.py").write_text(DAGS.replace("NAMESPACE", shared_namespace.name))
    (folder / "home" / "config").mkdir(parents=True)
    (folder / "home" / "config" / "airflow_local_settings.py").write_text(PRELOAD)
    with ExitStack() as stack:
        metadata = stack.enter_context(new_database(postgres))
        database = stack.enter_context(new_migrated_database())
        proxy = stack.enter_context(closing(Proxy(postgres.port)))
        cluster = demo_cluster.Cluster(shared_namespace.kubeconfig, "", is_kubernetes=shared_namespace.cluster.is_real)
        watch = stack.enter_context(closing(PodWatch(cluster, folder / "pods.log", shared_namespace.name)))
        airflow = stack.enter_context(
            running_airflow(
                folder / "home",
                database_url=metadata.url,
                dags=folder / "dags",
                environment={
                    "AIRFLOW_CONN_POSTGRES_DEFAULT": database.url,
                    "AIRFLOW_CONN_THROUGH_PROXY": database.url.replace(f":{postgres.port}/", f":{proxy.port}/"),
                    "KUBECONFIG": shared_namespace.kubeconfig,
                    # Those that go on for a while may take no other's place.
                    "AIRFLOW__CORE__PARALLELISM": "20",
                    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "200",
                },
            )
        )
        airflow.wait_for_dags(*IDS)
        begun = Runs(airflow, database, metadata, shared_namespace, watch)
        begin(begun)
        meddle(begun, proxy, stack)
        ends = {"failed", "success"}
        everything = "SELECT dag_id, map_index, state, try_number FROM task_instance"
        begun.wait_until(lambda: {task[2] for task in metadata.execute(everything)} <= ends, "the end of all runs")
        yield begun


def begin(runs: Runs) -> None:
    """Start a run of each DAG, with its row."""
    common = {"cpu_request": "10m", "memory_request": "16Mi", "memory_limit": "128Mi", "max_retries": 0}
    common |= {"retry_delay_minutes": 0, "retry_backoff_enabled": False}
    for dag_id in IDS:
        row = {"dag_name": dag_id, "job_name": "all", **common, **ROWS.get(dag_id, {})}
        columns, values = ", ".join(row), ", ".join(f"%({column})s" for column in row)
        runs.database.execute(f"INSERT INTO financial_screener.dag_configuration ({columns}) VALUES ({values})", row)
        runs.airflow.trigger(dag_id, RUN)
    # As it was written before there was a rule against it.
    runs.database.execute("""
        ALTER TABLE financial_screener.dag_configuration DROP CONSTRAINT rule_memory_limit, DISABLE TRIGGER USER;
        UPDATE financial_screener.dag_configuration SET memory_limit = 'plenty' WHERE dag_name = 'invalid_row';
        ALTER TABLE financial_screener.dag_configuration ENABLE TRIGGER USER
    """)
    # As it was made while its DAG had retries=2.
    runs.metadata.execute("UPDATE task_instance SET max_tries = 2 WHERE dag_id = 'older_than_the_ceiling'")
    runs.airflow.unpause(*IDS)


def meddle(runs: Runs, proxy: Proxy, stack: ExitStack) -> None:
    """Do what happens to the runs."""
    for dag_id in ("worker_died", "worker_died_once"):
        runs.kill_worker(dag_id)
    runs.kill_worker("worker_and_pod_died", lambda: runs.delete_pod("worker_and_pod_died"))

    runs.running_pod("row_changed")
    runs.configure("row_changed", max_retries=1, retry_delay_minutes=0)
    runs.delete_pod("row_changed")

    runs.running_pod("off_while_running")
    runs.configure("off_while_running", enabled=False)
    runs.delete_pod("off_while_running")

    runs.fail_pod("evicted", "Evicted")
    runs.fail_pod("node_lost", "NodeLost")
    for dag_id in ("evicted", "node_lost"):
        runs.wait_no_longer(dag_id)

    runs.wait_for("off_between_tries", "up_for_retry")
    runs.configure("off_between_tries", enabled=False)
    runs.wait_no_longer("off_between_tries")

    runs.running_pod("cleared_while_running")
    runs.airflow.clear("cleared_while_running", RUN, "run")

    runs.running_pod("database_away")
    stack.enter_context(proxy.away())
    runs.delete_pod("database_away")

    runs.wait_for("exit_3", "failed", 2)
    runs.airflow.clear("exit_3", RUN, "run")

    for dag_id in ("row_changed", "evicted", "node_lost"):
        runs.delete_pod(dag_id, 2)
    runs.running_pod("cleared_while_running", 2)
    runs.wait_for("database_away", "up_for_retry")
    for dag_id in ("cleared_while_running", "database_away"):
        runs.airflow.set_state(dag_id, RUN, "run", "failed")
    runs.wait_for("exit_3", "failed", 4)


def test_a_worker_died_and_its_pod_is_adopted_though_the_row_allows_no_retry(runs: Runs) -> None:
    assert runs.task("worker_died") == ("success", 2)
    assert len(runs.pods("worker_died")) == 1


def test_a_worker_and_its_pod_died_and_the_row_allows_no_other(runs: Runs) -> None:
    assert runs.task("worker_and_pod_died") == ("failed", 2)
    assert len(runs.pods("worker_and_pod_died")) == 1
    sentence = "No pod is made: max_retries = 0 allows 1 try, and it is used up (worker_and_pod_died/all"
    assert runs.says("worker_and_pod_died", 2).startswith(f"no retry: trying again does not mend it ({sentence}")


@pytest.mark.parametrize(("dag_id", "reason"), [("evicted", "Evicted"), ("node_lost", "NodeLost")])
def test_what_the_cluster_did_uses_up_no_retry(runs: Runs, dag_id: str, reason: str) -> None:
    assert runs.task(dag_id) == ("failed", 2)
    assert runs.says(dag_id, 1).startswith(
        f"this try failed by no fault of the job ({reason}), 1 of 3 times that use up none of its 0 retries; next at "
    )
    assert runs.says(dag_id, 2) == "no retry: try 1 of 1 failed (Deleted)"


def test_out_of_memory_counts(runs: Runs) -> None:
    assert runs.task("out_of_memory") == ("failed", 1)
    assert runs.says("out_of_memory") == "no retry: try 1 of 1 failed (OOMKilled)"


def test_a_row_with_one_retry_has_two_pods_and_two_more_once_it_is_cleared(runs: Runs) -> None:
    assert runs.task("exit_3") == ("failed", 4)
    assert [annotation(pod, "try-number") for pod in runs.pods("exit_3")] == ["1", "2", "3", "4"]
    for number in (1, 3):
        assert runs.says("exit_3", number).startswith("try 1 of 2 failed (exit code 3); next at ")
        assert runs.says("exit_3", number + 1) == "no retry: try 2 of 2 failed (exit code 3)"


def test_a_missing_image_is_not_waited_for_again(runs: Runs) -> None:
    assert runs.task("no_image") == ("failed", 1)
    assert len(runs.pods("no_image")) == 1
    assert runs.says("no_image") == "no retry: trying again does not mend it (ErrImageNeverPull)"


def test_an_execution_timeout_counts(runs: Runs) -> None:
    assert runs.task("too_long") == ("failed", 2)
    assert runs.says("too_long", 1).startswith("try 1 of 2 failed (execution_timeout); next at ")
    assert runs.says("too_long", 2) == "no retry: try 2 of 2 failed (execution_timeout)"


def test_a_task_that_is_cleared_while_it_runs_begins_anew(runs: Runs) -> None:
    first, second = runs.pods("cleared_while_running")
    assert (annotation(first, "try-number"), annotation(second, "try-number")) == ("1", "2")
    assert runs.says("cleared_while_running") == (
        "no retry: somebody ended the task or cleared it (Airflow has the task as restarting)"
    )


def test_an_author_who_says_none_has_none(runs: Runs) -> None:
    assert runs.task("author_says_0") == ("failed", 1)
    assert runs.says("author_says_0") == (
        "no retry: try 1 of 6 failed (exit code 3), and the retries that the DAG gives the task at most are used up"
    )


def test_a_row_that_is_changed_while_the_task_runs_counts_when_it_fails(runs: Runs) -> None:
    assert runs.task("row_changed") == ("failed", 2)
    assert runs.says("row_changed", 1).startswith("try 1 of 2 failed (Deleted); next at ")
    assert len(runs.pods("row_changed")) == 2


def test_without_the_database_the_failure_keeps_what_the_try_had(runs: Runs) -> None:
    assert runs.says("database_away").startswith("try 1 of 2 failed (Deleted); next at ")
    assert runs.delay("database_away") == 7 * 60
    assert len(runs.pods("database_away")) == 1


def test_a_task_instance_from_before_the_ceiling_has_the_retries_that_it_was_made_with(runs: Runs) -> None:
    assert runs.task("older_than_the_ceiling") == ("failed", 3)
    assert len(runs.pods("older_than_the_ceiling")) == 3
    assert runs.says("older_than_the_ceiling", 2).startswith("try 2 of 6 failed (exit code 3); next at ")
    assert runs.says("older_than_the_ceiling", 3).endswith("the retries that the DAG gives the task at most are used up")


def test_a_job_that_may_run_once_has_one_pod(runs: Runs) -> None:
    assert runs.task("once") == ("failed", 1)
    assert runs.says("once") == "no retry: run_once allows one pod, and it was made (exit code 3)"
    assert runs.task("worker_died_once") == ("success", 2)
    assert (len(runs.pods("once")), len(runs.pods("worker_died_once"))) == (1, 1)


def test_a_row_that_is_switched_off_while_the_task_runs_ends_it(runs: Runs) -> None:
    assert runs.task("off_while_running") == ("failed", 1)
    assert runs.says("off_while_running").startswith("no retry: off_while_running/all is disabled: switched off by postgres at ")


def test_a_row_that_is_switched_off_between_two_tries_ends_it(runs: Runs) -> None:
    assert runs.task("off_between_tries") == ("failed", 2)
    assert len(runs.pods("off_between_tries")) == 1
    assert "off_between_tries/all is disabled: switched off by postgres at " in runs.says("off_between_tries", 2)


def test_a_row_that_can_not_be_used_is_not_tried_again(runs: Runs) -> None:
    assert runs.task("invalid_row") == ("failed", 1)
    assert "memory_limit" in runs.says("invalid_row")
    assert runs.pods("invalid_row") == []


def test_each_index_of_a_mapped_task_has_the_rows_retries(runs: Runs) -> None:
    assert (runs.task("mapped", 0), runs.task("mapped", 1)) == (("failed", 2), ("success", 1))
    assert (len(runs.pods("mapped", 0)), len(runs.pods("mapped", 1))) == (2, 1)
    assert runs.says("mapped", 2, 0) == "no retry: try 2 of 2 failed (exit code 3)"


def test_a_mapped_task_that_can_not_be_rendered_has_the_rows_retries(runs: Runs) -> None:
    assert runs.task("mapped_not_rendered", 0) == ("failed", 1)
    assert runs.says("mapped_not_rendered", 1, 0) == "no retry: try 1 of 1 failed (UndefinedError)"


def test_a_mapped_task_whose_arguments_are_wrong_is_not_tried_again(runs: Runs) -> None:
    assert runs.task("mapped_with_a_wrong_argument", 0) == ("failed", 1)
    assert runs.says("mapped_with_a_wrong_argument", 1, 0).startswith(
        "no retry: trying again does not mend it (on_finish_action is 'nonsense': "
    )
