"""
### Pods that nobody comes back for

Deletes pods whose task Airflow counts as finished: those that ended more than ten minutes ago, and those that two runs of this DAG,
more than ten minutes apart, saw run on. A pod whose task this Airflow does not know is only listed in the log.

The worker's user needs the right to list pods.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_provider_dagconfig.operators.sweep import SweepPodsOperator

with DAG(
    dag_id="sweep_pods",
    description="Delete the pods that nobody comes back for",
    doc_md=__doc__,
    schedule=timedelta(minutes=15),
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    # The next run does what this one could not.
    default_args={"retries": 0},
    tags=["dagconfig"],
):
    SweepPodsOperator(task_id="sweep", namespace="financial-screener", execution_timeout=timedelta(minutes=10))
