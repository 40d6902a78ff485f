"""
The whole demo, which stays: PostgreSQL, API server, scheduler, DAG processor, triggerer, LocalExecutor and pods.

It takes long to start, so all that needs a whole Airflow is seen in this one: what the demo prints, what its two runs of the
collection did before and after the changed rows, and then more runs.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from plugins.adoption import Row
from plugins.cluster import Cluster
from plugins.processes import below, parent, task_processes
from plugins.whole_demo import Demo, running_demo

from airflow_provider_dagconfig.kubectl.annotations import annotation
from airflow_provider_dagconfig.models import Quantity
from demo import processes
from demo.airflow import STOP_SECONDS, Airflow
from demo.cluster import IMAGE, NAMESPACE, watched_pods

COLLECTION, HISTORICAL, INDICATORS = "data_collection_equities", "historical_load_equities", "calculate_indicators"
RUN_SECONDS = 300
MONTHS = "historical_load_equities_months"

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
    """A whole installation: Airflow, the rows and a cluster."""

    demo: Demo
    airflow: Airflow
    rows: str
    """The database of the rows, as a URL."""
    cluster: Cluster
    stack: ExitStack
    """Unwound before the demo ends."""
    runs: int = 0

    def start_process(self, command: list[str], variables: dict[str, str]) -> None:
        """Start a process in the place of one of the demo's that was killed."""
        started = processes.start(command, self.demo.output.with_name("started.log"), variables)
        self.stack.callback(processes.stop, [started], signal.SIGTERM, STOP_SECONDS)

    def execute(self, sql: str, database: str = "screener") -> None:
        """Run SQL in a database of the demo's server."""
        with psycopg.connect(urlsplit(self.rows)._replace(path=database).geturl()) as connection:
            connection.execute(sql.encode())

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
        [log] = self.demo.folder.glob("dagconfig-demo-*/pods.log")
        return {
            str(annotation(pod, "job_name")): pod
            for pod in watched_pods(log).values()
            if (annotation(pod, "dag-id"), annotation(pod, "run-id")) == (dag_id, run_id)
        }

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        return {instance.name: instance.state for instance in self.airflow.task_instances(dag_id, run_id)}

    def demo_run(self, name: str) -> str:
        """Give the id of the demo's run ``before`` or ``after`` the changed rows."""
        [run_id] = [run_id for run_id in self.airflow.runs(COLLECTION) if run_id.startswith(f"demo_{name}__")]
        return run_id

    def wait_for_new_run(self, dag_id: str, known: dict[str, str]) -> str:
        """Wait until a run has succeeded that was triggered since; give its id."""
        [run_id] = set(self.airflow.runs(dag_id)) - set(known)
        self.airflow.wait_for_run(dag_id, run_id, RUN_SECONDS)
        return run_id


@pytest.fixture(scope="module", params=["local-pods", pytest.param("cluster", marks=pytest.mark.cluster)])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("demo")
    dags = folder / "dags"
    dags.mkdir()
    (dags / "long.py").write_text(LONG)
    (dags / "twice.py").write_text(TWICE)
    is_real = request.param == "cluster"
    kubeconfig = request.getfixturevalue("real_cluster").kubeconfig if is_real else None
    arguments = ["--stay", "--dags", str(dags), "--picture", str(folder / "demo.svg")]
    with running_demo(folder / "output", *arguments, kubeconfig=kubeconfig) as demo:
        demo.wait_until(lambda: "Ctrl-C ends it." in demo.told(), 600)
        url, password = said(demo, r"Airflow: (\S+), user admin, password (\S+)")
        [rows] = said(demo, r"Rows: (\S+)")
        [kubeconfig] = said(demo, r"Pods: kubectl --kubeconfig (\S+) .*")
        airflow = Airflow(demo.folder, url, password)
        airflow.wait_for_dags(HISTORICAL, "long", "twice")
        airflow.unpause(HISTORICAL, "long", "twice")
        with ExitStack() as stack:
            yield System(demo, airflow, rows, Cluster(kubeconfig, is_real), stack)
        demo.send(signal.SIGINT)
        assert demo.process.wait(timeout=120) == 0, demo.told()
        assert demo.left_behind() == []


def said(demo: Demo, pattern: str) -> tuple[str, ...]:
    """Give the groups of a line that the demo has printed."""
    found = re.search(f"^{pattern}$", demo.told(), re.MULTILINE)
    assert found, demo.told()
    return found.groups()


def resources(pod: dict[str, Any]) -> dict[str, dict[str, str]]:
    return pod["spec"]["containers"][0]["resources"]


def option(pod: dict[str, Any], name: str) -> str:
    """The value that a pod's container gets for an option of its command line."""
    arguments = pod["spec"]["containers"][0]["args"]
    return arguments[arguments.index(name) + 1]


def amounts(*cells: str) -> list[list[Quantity]]:
    """Requests and limits of cells of the table; an API server writes 2000m as 2."""
    return [[Quantity.parse(text) for text in cell.split("/")] for cell in cells]


def test_the_demo_shows_what_the_changed_rows_changed(system: System) -> None:
    told = system.demo.told()
    beginning, _, end = told.partition("Before and after")
    assert [("no Kubernetes" in text) for text in (beginning, end)] == [not system.cluster.is_real] * 2
    table = [line.split() for line in told.splitlines() if line.rstrip().endswith(tuple("0123456789-"))]
    rows = {tuple(cells[:2]) if cells[1] in ("before", "after") else cells[0]: cells for cells in table if len(cells) > 6}
    before = rows["us_markets", "before"]
    assert (amounts(*before[3:5]), before[5:7]) == (amounts("500m/2000m", "1Gi/2Gi"), ["500", "success"])
    after = [cells for cells in table if cells[0] == "after"]
    assert (amounts(*after[0][2:4]), after[0][4:6]) == (amounts("500m/3000m", "1Gi/4Gi"), ["750", "success"])
    assert ["after", "-", "-", "-", "-", "skipped", "-"] in after
    unchanged = rows["asian_markets", "after"]
    assert (amounts(*unchanged[3:5]), unchanged[5:7]) == (amounts("500m/2000m", "1Gi/2Gi"), ["500", "success"])
    assert "cpu_limit: 2000m → 3000m" in told
    assert "enabled: True → False" in told


def test_the_demos_picture_shows_what_it_printed_but_no_password(system: System) -> None:
    picture = system.demo.output.with_name("demo.svg").read_text()
    assert picture.startswith("<svg")
    assert "european_markets" in picture
    assert system.airflow.password not in picture


def test_collection_runs_a_pod_a_group_with_what_the_rows_say_and_then_the_indicators(system: System) -> None:
    run_id = system.demo_run("before")

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
            "limits": {"cpu": "2", "memory": "2Gi"} if system.cluster.is_real else {"cpu": "2000m", "memory": "2Gi"},
        }
        assert pod["spec"]["activeDeadlineSeconds"] == 600
        assert option(pod, "--batch-size") == "500"
        assert pod["metadata"]["labels"]["market"] == job


def test_each_of_the_collections_triggered_the_indicators(system: System) -> None:
    triggered = system.airflow.runs(INDICATORS)
    assert list(triggered.values()) == ["success", "success"]
    for run_id in triggered:
        [pod] = system.pods(INDICATORS, run_id).values()
        assert option(pod, "--batch-size") == "1000"
        assert pod["spec"]["activeDeadlineSeconds"] == 3600


def test_the_containers_lines_are_in_the_tasks_log_once_and_no_secret_is_anywhere(system: System) -> None:
    password = urlsplit(system.rows).password
    assert password
    for run_id in system.airflow.runs(INDICATORS):
        log = system.airflow.task_log(INDICATORS, run_id, "calculate")
        assert log.count(f"indicators run {run_id}") == 1
        assert log.count("done: 600 assets") == 1
        pods = system.pods(INDICATORS, run_id)
        assert len(pods) == 1
        assert password not in log + str(pods) + str(system.airflow.rendered(INDICATORS, run_id, "calculate"))


def test_no_pod_stays_once_airflow_has_its_success(system: System) -> None:
    for run_id in system.airflow.runs(INDICATORS):
        wait_until(lambda of=run_id: not pods_of(system, of), 60)
        assert "has succeeded and is left" not in system.airflow.task_log(INDICATORS, run_id, "calculate")


def test_changed_rows_hold_for_the_next_run_without_a_new_parse(system: System) -> None:
    run_id = system.demo_run("after")

    assert system.states(COLLECTION, run_id) == {
        "collect_exchange_groups": "success",
        "collect.run us_markets": "success",
        "collect.run lse": "success",
        "collect.run german_markets": "success",
        "collect.run european_markets": "skipped",
        "collect.run asian_markets": "success",
        "calculate_indicators": "success",
    }
    pods = system.pods(COLLECTION, run_id)
    assert set(pods) == {"us_markets", "lse", "german_markets", "asian_markets"}
    changed = pods["us_markets"]
    assert resources(changed)["limits"]["memory"] == "4Gi"
    assert resources(changed)["limits"]["cpu"] in ("3", "3000m")
    assert option(changed, "--batch-size") == "750"
    assert annotation(changed, "change.changed_by") == "admin"
    assert option(pods["asian_markets"], "--exchanges") == "TSE,HKEX"
    rendered = system.airflow.rendered(COLLECTION, run_id, "collect.run", map_index=0)
    assert "750" in str(rendered["dag_config"])


def test_the_historical_load_gives_its_pods_the_months_dates_and_triggers_the_indicators(system: System) -> None:
    # Every pod asks for half a CPU: two groups show what all would, and that a group that is switched off has none.
    system.execute("UPDATE financial_screener.exchange_groups SET enabled = group_name IN ('us_markets', 'lse')")
    loaded = f"{datetime.now(timezone.utc).replace(day=1) - timedelta(days=1):%Y-%m}"
    system.airflow.request("POST", "/variables", {"key": MONTHS, "value": json.dumps([loaded])})
    indicators = system.airflow.runs(INDICATORS)
    run_id = system.run(HISTORICAL)

    month = system.airflow.xcom(HISTORICAL, run_id, "determine_next_month")
    taken = month["start_date"][:7]
    assert taken != loaded
    pods = system.pods(HISTORICAL, run_id)
    assert set(pods) == {"us_markets", "lse"}
    for pod in pods.values():
        assert (option(pod, "--start-date"), option(pod, "--end-date")) == (month["start_date"], month["end_date"])
        assert "--skip-existing" in pod["spec"]["containers"][0]["args"]
    assert set(json.loads(system.airflow.request("GET", f"/variables/{MONTHS}")["value"])) == {loaded, taken}
    system.wait_for_new_run(INDICATORS, indicators)


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
def test_a_task_whose_process_is_told_to_stop_leaves_its_pod_and_the_next_try_adopts_it(system: System, row: Row) -> None:
    """
    As where a worker's whole process group is stopped: the task's state in Airflow is running, so nobody decided that.

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
    """Kill the scheduler and the worker of one of two tasks; the other worker runs on. Then start another scheduler."""
    pods = killed.pods
    lost, zombie = (task_process(pod["metadata"]["name"]) for pod in pods)
    [scheduler] = [one for one in psutil.Process(system.demo.process.pid).children() if "scheduler" in one.cmdline()]
    command, variables = scheduler.cmdline(), scheduler.environ()
    scheduler.kill()
    kill(parent(lost))
    # As after an hour: a scheduler takes over what another has started that was not heard of for half a minute.
    system.execute(
        "UPDATE job SET latest_heartbeat = latest_heartbeat - interval '1 hour' WHERE job_type LIKE 'Scheduler%'", "airflow"
    )
    system.start_process(command, variables)
    wait_until_adopted(system, pods, 3)
    wait_until(lambda: not Path(f"/proc/{zombie}").exists(), 60)
    assert uids(wait_for_running_pods(system, killed.run_id, 2)) == uids(pods), "the zombie has deleted its successor's pod"
    return Mapped(killed.run_id, pods, 3)


@on_the_cluster
@pytest.mark.row("the task's process was killed, and another map index's too")
def test_each_map_index_adopts_its_own_pod(system: System, row: Row, killed: Mapped) -> None:
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
def test_a_pod_is_adopted_though_the_worker_of_a_dead_scheduler_runs_on(
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
