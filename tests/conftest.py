"""What all tests share: Airflow's home, PostgreSQL, and the cluster under test."""

from __future__ import annotations

pytest_plugins = [
    "plugins.postgres",
    "plugins.local_pods",
    "plugins.airflow_home",
    "plugins.dag_runs",
    "plugins.cluster",
    "plugins.tasks",
    "plugins.released",
    "plugins.answers",
    "plugins.adoption",
]
