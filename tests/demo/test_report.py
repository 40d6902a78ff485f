from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from airflow_provider_dagconfig.models import HistoryEntry
from demo.airflow import TaskInstance
from demo.report import NONE, JobRun, audit_trail, comparison, job_runs


def shown(table: Table, width: int = 80) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(table)
    return output.getvalue()


def instance(map_index: int, label: str, state: str = "success", seconds: float | None = 4.21) -> TaskInstance:
    return TaskInstance("collect.run", map_index, label, state, seconds, try_number=1)


def pod(map_index: int, run_id: str = "r1", cpu_limit: str = "2000m") -> dict[str, Any]:
    ids = {"dag-id": "collection", "run-id": run_id, "task-id": "collect.run", "map-index": str(map_index)}
    resources = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": cpu_limit, "memory": "2Gi"}}
    return {
        "metadata": {"annotations": {f"airflow-provider-dagconfig/{key}": value for key, value in ids.items()}},
        "spec": {"containers": [{"resources": resources, "args": ["--mode", "incremental", "--batch-size", "500"]}]},
    }


def test_a_job_is_joined_with_the_pod_of_its_own_instance_and_run() -> None:
    pods = {"pod-a": pod(0), "pod-b": pod(1, cpu_limit="3000m"), "pod-old": pod(1, run_id="r0")}
    runs = job_runs("collection", "r1", "collect.run", [instance(0, "us_markets"), instance(1, "lse")], pods)
    assert runs == [
        JobRun("us_markets", "pod-a", "500m/2000m", "1Gi/2Gi", "500", "success", "4.2"),
        JobRun("lse", "pod-b", "500m/3000m", "1Gi/2Gi", "500", "success", "4.2"),
    ]


def test_a_skipped_job_has_no_pod() -> None:
    [run] = job_runs("collection", "r1", "collect.run", [instance(0, "lse", "skipped", None)], {})
    assert run == JobRun("lse", state="skipped")
    assert run.pod == NONE


def test_the_comparison_fits_80_columns_without_cutting_a_value() -> None:
    name = "european-markets-data-collection-eq-demo-after-3-bngb4s59bcjj"
    before = JobRun("european_markets", name, "500m/3000m", "1Gi/4Gi", "10000", "success", "123.4")
    text = shown(comparison(([before], [JobRun("european_markets", state="skipped")])))
    for value in ("european_markets", "…bngb4s59bcjj", "500m/3000m", "1Gi/4Gi", "10000", "success", "skipped", "123.4"):
        assert value in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_wide_terminal_shows_whole_pod_names() -> None:
    name = "european-markets-data-collection-eq-demo-after-3-bngb4s59bcjj"
    assert name in shown(comparison(([JobRun("lse", name)], []), width=160), width=160)


def test_jobs_that_only_one_run_had_are_in_the_table_once() -> None:
    text = shown(comparison(([JobRun("lse", state="success")], [JobRun("asian_markets", state="success")])))
    assert [line.split()[:2] for line in text.splitlines() if "success" in line] == [
        ["lse", "before"],
        ["asian_markets", "after"],
    ]


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        pytest.param("UPDATE", "cpu_limit: 2000m → 3000m", id="changed"),
        pytest.param("DELETE", "DELETE", id="deleted"),
    ],
)
def test_the_audit_trail_says_what_changed(operation: str, text: str) -> None:
    old = {"cpu_limit": "2000m", "batch_size": 500, "updated_at": "then"}
    entry = HistoryEntry(
        audit_id=1,
        operation=operation,
        table_name="dag_configuration",
        dag_name="d",
        job_name="lse",
        group_name=None,
        override_id=None,
        changed_by="admin",
        session_user_name="postgres",
        changed_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        reason=None,
        changed_columns=("cpu_limit",) if operation == "UPDATE" else ("batch_size", "cpu_limit"),
        row_version=2,
        old_values=old,
        new_values={**old, "cpu_limit": "3000m", "updated_at": "now"} if operation == "UPDATE" else None,
    )
    lines = shown(audit_trail([entry]))
    for word in (text, "03:04:05", "admin", "d/lse"):
        assert word in lines
    assert "batch_size" not in lines
    assert "updated_at" not in lines
