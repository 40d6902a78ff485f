"""Airflow's home for the tests: an empty directory of their own, set before Airflow is first imported, gone after the last test."""

from __future__ import annotations

import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="dagconfig-airflow-home-")
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"


def pytest_unconfigure() -> None:
    # Airflow's own threads may still write to it.
    shutil.rmtree(_home, ignore_errors=True)
