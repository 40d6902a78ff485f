"""The example DAGs in a whole Airflow: API server, scheduler, DAG processor, triggerer and LocalExecutor."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from plugins.adoption import Row
from plugins.postgres import Database, Server, new_database
from plugins.processes import below, parent, task_processes

import airflow_provider_dagconfig.example_dags
from airflow_provider_dagconfig.kubectl.annotations import annotation
from demo import local_pods
from demo.airflow import Airflow, running_airflow
from demo.cluster import COLLECTOR, IMAGE, NAMESPACE, Cluster, PodWatch

EXAMPLES = Path(airflow_provider_dagconfig.example_dags.__file__).parent
COLLECTION, HISTORICAL, INDICATORS = "data_collection_equities", "historical_load_equities", "calculate_indicators"
RUN_SECONDS = 300
SECRET = "postgresql://somebody:a-secret-value@database/screener"

LONG = f"""
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

with DAG("long", schedule=None):
    ConfiguredKubectlRunOperator(
        task_id="sleep", namespace="{NAMESPACE}", image="{IMAGE}", image_pull_policy="Never", termination_grace_period=1,
        retries=1, retry_delay=timedelta(seconds=1),
        cmds=["python", "-c", "import time; print('asleep', flush=True); time.sleep(300)"],
    )
"""
TWICE = f"""
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

with DAG("twice", schedule=None):
    ConfiguredKubectlRunOperator.partial(
        task_id="tick", namespace="{NAMESPACE}", image="{IMAGE}", image_pull_policy="Never", termination_grace_period=1,
        retries=2, retry_delay=timedelta(seconds=1),
        cmds=["python", "-uc", "import time; [(print('tick', n), time.sleep(1)) for n in range(300)]"],
    ).expand(arguments=[["a"], ["b"]])
"""


@dataclass
class System:
    """A whole installation: Airflow, its configuration's database and a cluster."""

    airflow: Airflow
    database: Database
    cluster: Cluster
    watch: PodWatch
    metadata: Database
    runs: int = 0

    def run(self, dag_id: str) -> str:
        """Run a DAG to its end; give the run's id."""
        run_id = self.start(dag_id)
        self.airflow.wait_for_run(dag_id, run_id, RUN_SECONDS)
        return run_id

    def start(self, dag_id: str) -> str:
        self.runs += 1
        # A cluster may still have a pod of another session's run of the same id.
        run_id = f"demo_test_{self.runs}_{time.time_ns():x}"
        self.airflow.trigger(dag_id, run_id)
        return run_id

    def pods(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Give the pods of a run by their job's name, those that are gone too."""
        return {
            str(annotation(pod, "job_name")): pod
            for pod in self.watch.pods().values()
            if (annotation(pod, "dag-id"), annotation(pod, "run-id")) == (dag_id, run_id)
        }

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        return {instance.name: instance.state for instance in self.airflow.task_instances(dag_id, run_id)}

    def wait_for_new_run(self, dag_id: str, known: dict[str, str]) -> str:
        """Wait until a run has succeeded that was triggered since; give its id."""
        [run_id] = set(self.airflow.runs(dag_id)) - set(known)
        self.airflow.wait_for_run(dag_id, run_id, RUN_SECONDS)
        return run_id


@pytest.fixture(scope="module", params=["local-pods", pytest.param("cluster", marks=pytest.mark.cluster)])
def system(request: pytest.FixtureRequest, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    from airflow_provider_dagconfig.store.migrate import migrate

    folder = tmp_path_factory.mktemp("airflow")
    dags = folder / "dags"
    shutil.copytree(EXAMPLES, dags, ignore=shutil.ignore_patterns("__pycache__"))
    (dags / "long.py").write_text(LONG)
    (dags / "twice.py").write_text(TWICE)
    with ExitStack() as stack:
        if request.param == "cluster":
            kubeconfig = request.getfixturevalue("real_cluster").kubeconfig
        else:
            kubeconfig = str(stack.enter_context(local_pods.running({IMAGE: COLLECTOR})).kubeconfig)
        cluster = Cluster(kubeconfig, request.param, is_kubernetes=request.param == "cluster")
        secrets = {"postgres-secret": {"DATABASE_URL": SECRET}, "data-api-secrets": {"EODHD_API_KEY": "another-secret"}}
        stack.enter_context(cluster.prepared(secrets))
        metadata = stack.enter_context(new_database(postgres))
        database = stack.enter_context(new_database(postgres))
        migrate(database.url)
        watch = PodWatch(cluster, folder / "pods.log")
        stack.callback(watch.close)
        airflow = stack.enter_context(
            running_airflow(
                folder / "home",
                database_url=metadata.url,
                dags=dags,
                environment={
                    "AIRFLOW_CONN_POSTGRES_DEFAULT": database.url,
                    "KUBECONFIG": kubeconfig,
                    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "2",
                },
            )
        )
        ids = (COLLECTION, HISTORICAL, INDICATORS, "long", "twice")
        airflow.wait_for_dags(*ids)
        airflow.unpause(*ids)
        yield System(airflow, database, cluster, watch, metadata)


def resources(pod: dict[str, Any]) -> dict[str, dict[str, str]]:
    return pod["spec"]["containers"][0]["resources"]


def option(pod: dict[str, Any], name: str) -> str:
    """The value that a pod's container gets for an option of its command line."""
    arguments = pod["spec"]["containers"][0]["args"]
    return arguments[arguments.index(name) + 1]


def test_collection_runs_a_pod_a_group_with_what_the_rows_say_and_then_the_indicators(system: System) -> None:
    indicators = system.airflow.runs(INDICATORS)
    run_id = system.run(COLLECTION)

    assert system.states(COLLECTION, run_id) == {
        "collect_exchange_groups": "success",
        "collect.run us_markets": "success",
        "collect.run lse": "success",
        "collect.run german_markets": "success",
        "collect.run european_markets": "success",
        "calculate_indicators": "success",
    }
    pods = system.pods(COLLECTION, run_id)
    assert {job: option(pod, "--exchanges") for job, pod in pods.items()} == {
        "us_markets": "NYSE,NASDAQ",
        "lse": "LSE",
        "german_markets": "FRANKFURT,XETRA",
        "european_markets": "EURONEXT,BME,SIX",
    }
    for job, pod in pods.items():
        assert resources(pod) == {
            "requests": {"cpu": "500m", "memory": "1Gi"},
            "limits": {"cpu": "2", "memory": "2Gi"} if system.cluster.is_kubernetes else {"cpu": "2000m", "memory": "2Gi"},
        }
        assert pod["spec"]["activeDeadlineSeconds"] == 600
        assert option(pod, "--batch-size") == "500"
        assert pod["metadata"]["labels"]["market"] == job

    triggered = system.wait_for_new_run(INDICATORS, indicators)
    [pod] = system.pods(INDICATORS, triggered).values()
    assert option(pod, "--batch-size") == "1000"
    assert pod["spec"]["activeDeadlineSeconds"] == 3600


def test_the_containers_lines_are_in_the_tasks_log_once_and_no_secret_is_anywhere(system: System) -> None:
    run_id = system.run(INDICATORS)
    log = system.airflow.task_log(INDICATORS, run_id, "calculate")
    assert log.count(f"indicators run {run_id}") == 1
    assert log.count("done: 600 assets") == 1
    everything = log + str(system.watch.pods()) + str(system.airflow.rendered(INDICATORS, run_id, "calculate"))
    assert "a-secret-value" not in everything


def test_no_pod_stays_once_airflow_has_its_success(system: System) -> None:
    run_id = system.run(INDICATORS)
    assert len(system.pods(INDICATORS, run_id)) == 1
    wait_until(lambda: not pods_of(system, run_id), 60)
    assert "has succeeded and is left" not in system.airflow.task_log(INDICATORS, run_id, "calculate")


def test_changed_rows_hold_for_the_next_run_without_a_new_parse(system: System) -> None:
    system.database.execute("""
        SELECT financial_screener.update_dag_config('data_collection_equities', 'us_markets',
            p_cpu_limit => '3000m', p_memory_limit => '4Gi', p_batch_size => 750, p_updated_by => 'admin');
        UPDATE financial_screener.dag_configuration SET enabled = FALSE
        WHERE dag_name = 'data_collection_equities' AND job_name = 'european_markets';
        UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'german_markets';
        INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges, priority)
        VALUES ('asian_markets', 'Asian Markets', ARRAY['TSE', 'HKEX'], 6)
    """)
    indicators = system.airflow.runs(INDICATORS)
    run_id = system.run(COLLECTION)

    assert system.states(COLLECTION, run_id) == {
        "collect_exchange_groups": "success",
        "collect.run us_markets": "success",
        "collect.run lse": "success",
        "collect.run european_markets": "skipped",
        "collect.run asian_markets": "success",
        "calculate_indicators": "success",
    }
    pods = system.pods(COLLECTION, run_id)
    assert set(pods) == {"us_markets", "lse", "asian_markets"}
    changed = pods["us_markets"]
    assert resources(changed)["limits"]["memory"] == "4Gi"
    assert resources(changed)["limits"]["cpu"] in ("3", "3000m")
    assert option(changed, "--batch-size") == "750"
    assert annotation(changed, "change.changed_by") == "admin"
    assert option(pods["asian_markets"], "--exchanges") == "TSE,HKEX"
    rendered = system.airflow.rendered(COLLECTION, run_id, "collect.run", map_index=0)
    assert "750" in str(rendered["dag_config"])
    system.wait_for_new_run(INDICATORS, indicators)

    system.database.execute("UPDATE financial_screener.exchange_groups SET enabled = TRUE WHERE group_name = 'german_markets'")


def test_the_historical_load_gives_its_pods_the_months_dates_and_triggers_the_indicators(system: System) -> None:
    # Every pod asks for half a CPU: two groups show what all would.
    system.database.execute("UPDATE financial_screener.exchange_groups SET enabled = group_name IN ('us_markets', 'lse')")
    indicators = system.airflow.runs(INDICATORS)
    months = [system.run(HISTORICAL), system.run(HISTORICAL)]

    dates = [system.airflow.xcom(HISTORICAL, run_id, "determine_next_month") for run_id in months]
    assert dates[1]["end_date"] < dates[0]["start_date"]
    for run_id, month in zip(months, dates, strict=True):
        pods = system.pods(HISTORICAL, run_id)
        assert set(pods) == {"us_markets", "lse"}
        for pod in pods.values():
            assert (option(pod, "--start-date"), option(pod, "--end-date")) == (month["start_date"], month["end_date"])
            assert "--skip-existing" in pod["spec"]["containers"][0]["args"]
    loaded = system.airflow.request("GET", "/variables/historical_load_equities_months")["value"]
    assert all(month["start_date"][:7] in loaded for month in dates)
    triggered = set(system.airflow.runs(INDICATORS)) - set(indicators)
    assert len(triggered) == 2
    for run_id in triggered:
        system.airflow.wait_for_run(INDICATORS, run_id, RUN_SECONDS)


def pods_of(system: System, run_id: str) -> list[dict[str, Any]]:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    return [pod for pod in system.cluster.get(path)["items"] if annotation(pod, "run-id") == run_id]


def wait_for_running_pods(system: System, run_id: str, count: int = 1) -> list[dict[str, Any]]:
    """Give the pods of a run once so many run, by their map index."""
    running: list[dict[str, Any]] = []

    def are_running() -> bool:
        running[:] = [pod for pod in pods_of(system, run_id) if pod["status"]["phase"] == "Running"]
        return len(running) == count

    wait_until(are_running, 120)
    return sorted(running, key=lambda pod: str(annotation(pod, "map-index")))


def task_process(pod: str) -> int:
    """Wait for the process that runs a pod's task: the parent of a kubectl that asks about the pod."""
    found: set[int] = set()
    wait_until(lambda: found.update(task_processes(pod)) or found, 60)
    return found.pop()


def kill(*processes: int) -> None:
    """Kill processes outright, and what they have started."""
    for process in processes:
        # Stopped first, it starts no other.
        os.kill(process, signal.SIGSTOP)
        for one in (*below(process), process):
            os.kill(one, signal.SIGKILL)


def uids(pods: list[dict[str, Any]]) -> list[str]:
    return [pod["metadata"]["uid"] for pod in pods]


def wait_until_adopted(system: System, pods: list[dict[str, Any]], try_number: int = 2) -> None:
    """Wait until tries of this number have just these pods of a run."""
    [run_id] = {str(annotation(pod, "run-id")) for pod in pods}

    def are_adopted() -> bool:
        return [annotation(pod, "try-number") for pod in pods_of(system, run_id)] == [str(try_number)] * len(pods)

    wait_until(are_adopted, 120)
    assert set(uids(pods_of(system, run_id))) == set(uids(pods))


def test_a_task_that_is_marked_failed_leaves_no_pod(system: System) -> None:
    run_id = system.start("long")
    wait_for_running_pods(system, run_id)
    system.airflow.set_state("long", run_id, "sleep", "failed")
    wait_until(lambda: not pods_of(system, run_id), 120)
    assert system.states("long", run_id) == {"sleep": "failed"}


@pytest.mark.row("the task's process was told to stop, and nobody decided that")
def test_a_task_whose_process_is_told_to_stop_leaves_its_pod_and_the_next_try_goes_on_with_it(system: System, row: Row) -> None:
    """
    As where a worker's whole process group is stopped: Airflow has the task as running, so nobody decided that.

    apache/airflow#73006: SIGTERM in the middle of execute made a success of a task whose work was never done.
    """
    run_id = system.start("long")
    pods = wait_for_running_pods(system, run_id)
    os.kill(task_process(pods[0]["metadata"]["name"]), signal.SIGTERM)
    wait_until_adopted(system, pods)
    row.is_told(*(system.airflow.task_log("long", run_id, "sleep", try_number=number) for number in (1, 2)))
    assert system.states("long", run_id) == {"sleep": "running"}
    system.airflow.set_state("long", run_id, "sleep", "failed")
    wait_until(lambda: not pods_of(system, run_id), 120)


# Those that follow are of the real cluster only: each takes its time, and tests/operators/test_adoption.py has the same decisions.
on_the_cluster = pytest.mark.parametrize("system", [pytest.param("cluster", marks=pytest.mark.cluster)], indirect=True)


@on_the_cluster
@pytest.mark.row("the task was cleared while it ran")
def test_a_task_that_is_cleared_while_it_runs_begins_anew(system: System, row: Row) -> None:
    run_id = system.start("long")
    before = wait_for_running_pods(system, run_id)
    system.airflow.clear("long", run_id, "sleep")
    wait_until(lambda: [annotation(pod, "try-number") for pod in pods_of(system, run_id)] == ["2"], 120)
    assert uids(wait_for_running_pods(system, run_id)) != uids(before)
    row.is_told(system.airflow.task_log("long", run_id, "sleep"))
    assert "Adopting" not in system.airflow.task_log("long", run_id, "sleep", try_number=2)
    system.airflow.set_state("long", run_id, "sleep", "failed")
    wait_until(lambda: not pods_of(system, run_id), 120)


@dataclass(frozen=True)
class Mapped:
    """A run of two map indexes whose pods go on, and which try has them."""

    run_id: str
    pods: list[dict[str, Any]]
    try_number: int

    def log(self, system: System, map_index: int) -> str:
        """Give the log of the try, once it has a line of the pod."""
        wait_until(lambda: "tick 1" in self._log(system, map_index).splitlines(), 60)
        return self._log(system, map_index)

    def _log(self, system: System, map_index: int) -> str:
        return system.airflow.task_log("twice", self.run_id, "tick", map_index=map_index, try_number=self.try_number)


@pytest.fixture(scope="module")
def killed(system: System) -> Iterator[Mapped]:
    """Kill both tasks' processes."""
    run_id = system.start("twice")
    pods = wait_for_running_pods(system, run_id, 2)
    kill(*(task_process(pod["metadata"]["name"]) for pod in pods))
    wait_until_adopted(system, pods, 2)
    yield Mapped(run_id, pods, 2)
    for index in range(2):
        system.airflow.set_state("twice", run_id, "tick", "failed", map_index=index)
    wait_until(lambda: not pods_of(system, run_id), 120)


@pytest.fixture(scope="module")
def of_a_dead_scheduler(system: System, killed: Mapped) -> Mapped:
    """Kill the scheduler, and with it the worker of one of two tasks; that of the other goes on. Then start another scheduler."""
    pods = killed.pods
    lost, zombie = (task_process(pod["metadata"]["name"]) for pod in pods)
    system.airflow.kill("scheduler")
    kill(parent(lost))
    # As after an hour: a scheduler takes over what another has started that was not heard of for half a minute.
    system.metadata.execute(
        "UPDATE job SET latest_heartbeat = latest_heartbeat - interval '1 hour' WHERE job_type LIKE 'Scheduler%'"
    )
    system.airflow.start("scheduler")
    wait_until_adopted(system, pods, 3)
    wait_until(lambda: not Path(f"/proc/{zombie}").exists(), 60)
    assert uids(wait_for_running_pods(system, killed.run_id, 2)) == uids(pods), "the zombie has deleted its successor's pod"
    return Mapped(killed.run_id, pods, 3)


@on_the_cluster
@pytest.mark.row("the task's process was killed, and another map index's too")
def test_each_map_index_goes_on_with_its_own_pod(system: System, row: Row, killed: Mapped) -> None:
    for index in range(2):
        log = killed.log(system, index)
        row.is_told(log)
        assert log.splitlines().count("tick 0") == 1


@on_the_cluster
@pytest.mark.row("the scheduler was restarted, and its workers with it")
def test_a_pod_is_adopted_whose_scheduler_was_killed_with_its_workers(
    system: System, row: Row, of_a_dead_scheduler: Mapped
) -> None:
    row.is_told(of_a_dead_scheduler.log(system, 0))


@on_the_cluster
@pytest.mark.row("the scheduler was restarted, and the worker goes on beside the next try")
def test_a_pod_is_adopted_though_the_worker_of_a_dead_scheduler_goes_on(
    system: System, row: Row, of_a_dead_scheduler: Mapped
) -> None:
    log = of_a_dead_scheduler.log(system, 1)
    row.is_told(log)
    assert log.splitlines().count("tick 0") == 1


def wait_until(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.5)
