"""The example DAGs as they stand, run on local pods and a real database."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from plugins.airflow_versions import make_dag_bag
from plugins.dag_runs import DagRunResult

import airflow_provider_dagconfig.example_dags
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.operators import sweep
from demo import local_pods

Run = Callable[..., DagRunResult]

FOLDER = Path(airflow_provider_dagconfig.example_dags.__file__).parent
COLLECTOR = Path(local_pods.__file__).parents[1] / "collector"
NAMESPACE = "financial-screener"
# A run's id is its time.
TIMES = (datetime(2026, 3, 10, 23, tzinfo=timezone.utc) + timedelta(seconds=number) for number in itertools.count())


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[str]:
    """Local pods with the namespace, the secrets and the image that the DAGs name."""
    with local_pods.running({"financial-data-collector:latest": COLLECTOR}) as pods:
        config = str(pods.kubeconfig)
        create(config, "/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for name, key in (("postgres-secret", "DATABASE_URL"), ("data-api-secrets", "EODHD_API_KEY")):
            data = {key: base64.b64encode(b"a secret").decode()}
            secret = {"kind": "Secret", "metadata": {"name": name}, "data": data}
            create(config, f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)
        yield config


def create(kubeconfig: str, path: str, manifest: dict[str, Any]) -> None:
    kubectl(kubeconfig, "create", "--raw", path, "-f", "-", body={"apiVersion": "v1", **manifest})


def kubectl(kubeconfig: str, *arguments: str, body: Any = None) -> str:
    command = ["kubectl", "--kubeconfig", kubeconfig, *arguments]
    return subprocess.run(command, input=json.dumps(body), text=True, check=True, capture_output=True).stdout


@pytest.fixture
def database(migrated_database: Any, kubeconfig: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The database behind the DAGs, with two groups: two pods show what four would."""
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.airflow_connection().get_uri())
    migrated_database.execute(
        "UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name IN ('german_markets', 'european_markets')"
    )
    return migrated_database


@pytest.fixture
def months(airflow_metadata: None) -> Iterator[Callable[..., list[str] | None]]:
    """Read the loaded months, or write them first."""
    from airflow.models import Variable

    name = "historical_load_equities_months"

    def months(*loaded: str) -> list[str] | None:
        if loaded:
            Variable.set(name, list(loaded), serialize_json=True)
        return Variable.get(name, default_var=None, deserialize_json=True)

    yield months
    Variable.delete(name)


@pytest.fixture
def run(run_dag: Run, database: Any) -> Run:
    """Run one of the example DAGs, by its id."""
    dags: dict[str, DAG] = make_dag_bag(FOLDER, bundle_name="examples").dags

    def run(dag_id: str, **arguments: Any) -> DagRunResult:
        return run_dag(dags[dag_id], dags["calculate_indicators"], run_after=next(TIMES), **arguments)

    return run


def indicator_runs() -> int:
    from airflow.models import DagRun

    return len(DagRun.find(dag_id="calculate_indicators"))


@pytest.fixture
def indicators() -> Callable[[], int]:
    """Count the runs of calculate_indicators that the test has triggered."""
    before = indicator_runs()
    return lambda: indicator_runs() - before


def disable(database: Any, dag_name: str, *job_names: str) -> None:
    database.execute(
        "UPDATE financial_screener.dag_configuration SET enabled = FALSE WHERE dag_name = %s AND job_name = ANY(%s)",
        [dag_name, list(job_names)],
    )


def break_job(database: Any, dag_name: str, job_name: str) -> None:
    """Give a job so many batches that it runs into its timeout."""
    database.execute(
        "UPDATE financial_screener.dag_configuration SET batch_size = 1, timeout_seconds = 1 WHERE dag_name = %s AND job_name = %s",
        [dag_name, job_name],
    )


def test_collection_runs_all_groups_and_then_the_indicators(run: Run, indicators: Callable[[], int]) -> None:
    result = run("data_collection_equities")
    assert result.states("collect.run") == ["success", "success"]
    assert result.labels("collect.run") == ["us_markets", "lse"]
    assert result.state == "success"
    assert indicators() == 1


def test_a_disabled_job_does_not_hold_up_the_indicators(run: Run, database: Any, indicators: Callable[[], int]) -> None:
    disable(database, "data_collection_equities", "lse")
    result = run("data_collection_equities")
    assert result.states("collect.run") == ["success", "skipped"]
    assert result.labels("collect.run") == ["us_markets", "lse"]
    assert result.state == "success"
    assert indicators() == 1


def test_with_all_jobs_disabled_there_is_nothing_to_calculate(run: Run, database: Any, indicators: Callable[[], int]) -> None:
    disable(database, "data_collection_equities", "us_markets", "lse")
    result = run("data_collection_equities")
    assert result.states("calculate_indicators") == ["skipped"]
    assert indicators() == 0


def test_a_failed_group_keeps_the_indicators_from_running(run: Run, database: Any, indicators: Callable[[], int]) -> None:
    break_job(database, "data_collection_equities", "lse")
    result = run("data_collection_equities")
    assert result.states("collect.run") == ["success", "failed"]
    assert result.state == "failed"
    assert indicators() == 0


def test_the_indicators_run_with_the_row_all(run: Run) -> None:
    assert run("calculate_indicators").states("calculate") == ["success"]


def test_the_historical_load_records_the_month_and_triggers_the_indicators(
    run: Run, months: Callable[..., list[str] | None], indicators: Callable[[], int]
) -> None:
    result = run("historical_load_equities")
    assert result.state == "success"
    assert result.xcoms("determine_next_month") == [{"start_date": "2026-02-01", "end_date": "2026-02-28"}]
    assert months() == ["2026-02"]
    assert indicators() == 1


def test_the_next_historical_load_takes_the_month_before(run: Run, months: Callable[..., list[str] | None]) -> None:
    months("2026-02", "2026-01")
    result = run("historical_load_equities")
    assert result.xcoms("determine_next_month") == [{"start_date": "2025-12-01", "end_date": "2025-12-31"}]
    assert months() == ["2025-12", "2026-01", "2026-02"]


def test_a_failed_month_is_not_recorded_and_is_tried_again(
    run: Run, database: Any, months: Callable[..., list[str] | None], indicators: Callable[[], int]
) -> None:
    break_job(database, "historical_load_equities", "lse")
    result = run("historical_load_equities")
    assert result.states("load.run") == ["success", "failed"]
    assert result.states("finalize_month") == result.states("calculate_indicators") == ["upstream_failed"]
    assert months() is None
    assert indicators() == 0

    database.execute("UPDATE financial_screener.dag_configuration SET batch_size = 500, timeout_seconds = 600")
    again = run("historical_load_equities")
    assert again.xcoms("determine_next_month") == result.xcoms("determine_next_month")
    assert months() == ["2026-02"]


def test_a_month_that_no_group_loaded_is_not_recorded(run: Run, database: Any, months: Callable[..., list[str] | None]) -> None:
    disable(database, "historical_load_equities", "us_markets", "lse")
    result = run("historical_load_equities")
    assert result.states("finalize_month") == result.states("calculate_indicators") == ["skipped"]
    assert months() is None


def test_a_month_counts_as_loaded_when_a_group_is_switched_off(
    run: Run, database: Any, months: Callable[..., list[str] | None]
) -> None:
    disable(database, "historical_load_equities", "lse")
    run("historical_load_equities")
    assert months() == ["2026-02"]


def test_when_all_months_are_loaded_the_run_stops_by_itself_and_says_so(
    run: Run,
    months: Callable[..., list[str] | None],
    indicators: Callable[[], int],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    months(*(f"{2025 + (month + 2) // 12}-{(month + 2) % 12 + 1:02}" for month in range(12)))
    result = run("historical_load_equities", conf={"target_years": 1})
    assert result.state == "success"
    assert {run.state for run in result.tasks.values()} == {"skipped"}
    assert "All 12 months of the last 1 years are loaded" in caplog.text + "".join(capfd.readouterr())
    assert indicators() == 0


def test_a_damaged_variable_fails_with_the_remedy(
    run: Run, months: Callable[..., list[str] | None], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    months("last month")
    result = run("historical_load_equities")
    assert result.states("determine_next_month") == ["failed"]
    output = caplog.text + "".join(capfd.readouterr())
    assert "must be a JSON list of months" in output
    assert "delete it to load all months again" in output


def test_the_sweep_deletes_what_a_task_that_has_finished_left_behind_and_no_other_airflows_pod(
    run: Run, database: Any, kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(installation,)] = database.execute("SELECT installation_id FROM financial_screener.dagconfig_installation")

    def leave_a_pod(run_id: str) -> str:
        request = PodRequest(
            dag_id="calculate_indicators",
            run_id=run_id,
            task_id="calculate",
            dag_config=DagConfig.defaults("calculate_indicators", "all"),
            image="financial-data-collector:latest",
            image_pull_policy="Never",
            cmds=["true"],
            namespace=NAMESPACE,
            installation=installation,
        )
        manifest = build_pod(request)
        create(kubeconfig, f"/api/v1/namespaces/{NAMESPACE}/pods", manifest)
        name = str(manifest["metadata"]["name"])
        kubectl(kubeconfig, "wait", "-n", NAMESPACE, "pod", name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        return name

    left, anothers = leave_a_pod(run("calculate_indicators").run_id), leave_a_pod("of another Airflow")
    in_half_an_hour = datetime.now(timezone.utc) + timedelta(minutes=30)
    monkeypatch.setattr(sweep, "now", lambda: in_half_an_hour)

    result = run("sweep_pods")

    assert result.state == "success"
    [swept] = result.xcoms("sweep")
    assert (swept["deleted"], swept["failed"], swept["unknown"]) == (1, 0, 1)
    names = kubectl(kubeconfig, "get", "pods", "-n", NAMESPACE, "-o", "name").split()
    assert f"pod/{anothers}" in names
    assert f"pod/{left}" not in names
    kubectl(kubeconfig, "delete", "pod", "-n", NAMESPACE, anothers)
