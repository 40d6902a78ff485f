"""Airflow's home for the tests: an empty directory of their own, set before Airflow is first imported, gone after the last test."""

from __future__ import annotations

import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="dagconfig-airflow-home-")
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
# Seconds within which Airflow writes no DAG of the same id again: the next test's DAG would run as the one before.
os.environ["AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL"] = "0"


def pytest_unconfigure() -> None:
    # Airflow's own threads may still write to it.
    shutil.rmtree(_home, ignore_errors=True)
