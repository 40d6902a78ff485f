"""The modules that the store loads: it works without Airflow, and a DAG file is parsed without the store."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
{before}
before = set(sys.modules)
import {module}
print(*sorted(set(sys.modules) - before))
"""


def loaded(module: str, before: str = "") -> set[str]:
    """The modules that a fresh Python loads for this one, or for several, beside those that it has already."""
    program = PROGRAM.format(module=module, before=before)
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # Airflow may print something before.
    return set(said.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", ["store", "store.migrate", "store.checks", "exceptions", "models"])
def test_it_stands_without_airflow(module: str) -> None:
    found = {name.partition(".")[0] for name in loaded(f"airflow_provider_dagconfig.{module}")}

    assert "airflow_provider_dagconfig" in found
    assert found & {"airflow", "sqlalchemy", "kubernetes"} == set()
    assert ("psycopg" in found) == module.startswith("store")


def test_a_dag_file_is_read_without_the_store() -> None:
    modules = {f"airflow_provider_dagconfig.{name}" for name in ("operators.kubectl_run", "task_groups.exchange_group")}
    found = loaded(", ".join(modules), before="import airflow.sdk")

    assert modules <= found
    unwanted = ("airflow.providers.postgres", "airflow_provider_dagconfig.store", "psycopg", "kubernetes")
    assert {name for name in found if name.startswith(unwanted)} == set()
