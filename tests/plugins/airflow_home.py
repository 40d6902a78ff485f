"""Airflow's home for the tests: an empty directory of their own, set before Airflow is first imported."""

from __future__ import annotations

import os
import tempfile

_home = tempfile.mkdtemp(prefix="dagconfig-airflow-home-")
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
