"""
### Daily prices of all exchange groups, then the indicators

One pod for each enabled row of `exchange_groups`, in order of priority. CPU, memory, batch size and timeout of each
are the row `data_collection_equities`/*group* of `dag_configuration`; the next run uses a changed row.
"""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, TriggerRule

from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.task_groups.exchange_group import ExchangeGroupTaskGroup

with DAG(
    dag_id="data_collection_equities",
    description="Collect the day's prices of every exchange group, then calculate the indicators",
    doc_md=__doc__,
    schedule="30 21 * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["equities", "dagconfig"],
):
    with ExchangeGroupTaskGroup(group_id="collect") as collect:
        ConfiguredKubectlRunOperator(
            task_id="run",
            job_name=collect.exchange_group,
            exchange_group=collect.exchange_group,
            name="{{ exchange_group.group_name }}",
            namespace="financial-screener",
            image="financial-data-collector:latest",
            image_pull_policy="Never",
            cmds=["python", "/app/src/main_enhanced.py"],
            arguments=[
                "--execution-id",
                "{{ run_id }}",
                "--exchanges",
                "{{ exchange_group.exchanges | join(',') }}",
                "--mode",
                "incremental",
                "--batch-size",
                "{{ dag_config.batch_size }}",
            ],
            # The secrets' values never leave Kubernetes: the kubelet reads them when it starts the container.
            env_vars=[
                {
                    "name": "DATABASE_URL",
                    "valueFrom": {"secretKeyRef": {"name": "postgres-secret", "key": "DATABASE_URL"}},
                },
                {
                    "name": "EODHD_API_KEY",
                    "valueFrom": {"secretKeyRef": {"name": "data-api-secrets", "key": "EODHD_API_KEY"}},
                },
            ],
            labels={
                "app": "data-collector",
                "job-type": "incremental",
                "market": "{{ exchange_group.group_name }}",
            },
        )

    calculate_indicators = TriggerDagRunOperator(
        task_id="calculate_indicators",
        trigger_dag_id="calculate_indicators",
        # A disabled group is skipped and must not hold up the others' indicators. Without any new prices there is
        # nothing to calculate.
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )

    collect >> calculate_indicators
