"""The example DAGs are parsed often and by a process that has neither the database nor the cluster at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plugins.airflow_versions import make_dag_bag

import airflow_provider_dagconfig.example_dags

FOLDER = Path(airflow_provider_dagconfig.example_dags.__file__).parent
DAG_IDS = ["calculate_indicators", "data_collection_equities", "historical_load_equities", "sweep_pods"]

# libpq's connections are not Python's: they are caught in psycopg.
_PARSE = """
import json, sys
import airflow.settings, croniter
sys.path.insert(0, "tests")
from plugins.airflow_versions import make_dag_bag

calls = []
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.posix_spawn"):
        calls.append(event)
        raise OSError(f"{event} while a DAG file was parsed")
sys.addaudithook(refuse)

def connect(*args, **kwargs):
    calls.append("psycopg")
    raise OSError("a database connection while a DAG file was parsed")
import psycopg, psycopg2
psycopg.connect = psycopg.Connection.connect = psycopg2.connect = connect

bag = make_dag_bag(sys.argv[1], collect_dags=False, bundle_name="examples")
bag.collect_dags(sys.argv[1])
print(json.dumps({
    "dags": sorted(bag.dags), "errors": bag.import_errors, "calls": calls,
    "kubernetes": "kubernetes.client" in sys.modules,
    "runs_pods": [name for name in sys.modules if name.endswith(("operators.task_try", "kubectl.lifecycle"))],
}))
"""


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    process = subprocess.run([sys.executable, "-c", _PARSE, str(FOLDER)], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(process.stdout.splitlines()[-1])


def test_all_dags_are_parsed_without_database_network_or_processes(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert parsed["calls"] == []
    assert parsed["dags"] == DAG_IDS


def test_parsing_does_not_load_the_kubernetes_client(parsed: dict[str, Any]) -> None:
    assert not parsed["kubernetes"]


def test_parsing_does_not_load_what_only_a_running_task_needs(parsed: dict[str, Any]) -> None:
    assert parsed["runs_pods"] == []


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_a_copied_file_works_alone(dag_id: str, tmp_path: Path) -> None:
    (tmp_path / f"{dag_id}.py").write_text((FOLDER / f"{dag_id}.py").read_text())
    bag = make_dag_bag(tmp_path, bundle_name="examples")
    assert bag.import_errors == {}
    assert list(bag.dags) == [dag_id]
