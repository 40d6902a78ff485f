"""
### Indicators for all equities

Started by `data_collection_equities` and `historical_load_equities` when they have loaded something.

CPU, memory, batch size and timeout are the row `calculate_indicators`/`all` of `dag_configuration`; a changed row
holds for the next run.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

with DAG(
    dag_id="calculate_indicators",
    description="Calculate the indicators of all equities",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["equities", "dagconfig"],
):
    ConfiguredKubectlRunOperator(
        task_id="calculate",
        job_name="all",
        name="calculate-indicators",
        namespace="financial-screener",
        image="financial-data-collector:latest",
        image_pull_policy="Never",
        cmds=["python", "/app/src/main_enhanced.py"],
        arguments=[
            "--execution-id",
            "{{ run_id }}",
            "--mode",
            "indicators",
            "--batch-size",
            "{{ dag_config.batch_size }}",
        ],
        # The secret's value never leaves Kubernetes: the kubelet reads it when it starts the container.
        env_vars=[
            {
                "name": "DATABASE_URL",
                "valueFrom": {"secretKeyRef": {"name": "postgres-secret", "key": "DATABASE_URL"}},
            },
        ],
        labels={"app": "data-collector", "job-type": "indicators", "market": "all"},
    )
