"""Airflow's home for the tests: an empty directory, set before Airflow is first imported, and deleted after the last test."""

from __future__ import annotations

import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="dagconfig-airflow-home-")
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
# Seconds in which Airflow does not write a DAG with the same id again. With more, the next test would run the last test's DAG.
os.environ["AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL"] = "0"


def pytest_unconfigure() -> None:
    # Airflow's own threads may still write to the directory.
    shutil.rmtree(_home, ignore_errors=True)
