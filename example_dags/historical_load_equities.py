"""
### Past prices of all exchange groups, a month a day, then the indicators

Each run loads the most recent complete month that is not loaded yet, back to `target_years` before now, and does
nothing when all of them are. A month is done when every exchange group that ran has succeeded; if one failed, the
next run takes the same month again.

The months that are done are in the Airflow Variable `historical_load_equities_months`, a JSON list such as
`["2026-09", "2026-10"]`. Take a month out to load it again, for example after a new exchange group was added; delete
the Variable to start from the beginning.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection
from datetime import date
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, TriggerRule, Variable, get_current_context, task

from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.task_groups.exchange_group import ExchangeGroupTaskGroup

# A Variable, because operators can see and edit it in Airflow, it outlives the runs (XComs don't), and it needs no
# table of its own. Only one run at a time writes it (max_active_runs).
PROGRESS_VARIABLE = "historical_load_equities_months"


def complete_months(today: date, years: int) -> list[date]:
    """
    List the first days of the complete months of the last years, the most recent first.

    :param today: a day in the month after the most recent complete one.
    :param years: how far back to go, in years of 12 months.
    """
    last = today.year * 12 + (today.month - 1) - 1
    return [date(number // 12, number % 12 + 1, 1) for number in range(last, last - 12 * years, -1)]


def next_month(today: date, years: int, loaded: Collection[str]) -> tuple[date, date] | None:
    """
    Choose the most recent complete month that is not loaded.

    :param loaded: the loaded months, ``YYYY-MM``.
    :return: the month's first and last day; None when all months of the last years are loaded.
    """
    for first in complete_months(today, years):
        if f"{first:%Y-%m}" not in loaded:
            return first, first.replace(day=monthrange(first.year, first.month)[1])
    return None


def loaded_months() -> list[str]:
    """
    Read the loaded months from the Variable, in order.

    :raises AirflowException: somebody wrote something else into the Variable.
    """
    months = Variable.get(PROGRESS_VARIABLE, default=[], deserialize_json=True)
    if not isinstance(months, list) or not all(re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", str(month)) for month in months):
        raise AirflowException(
            f"The Variable {PROGRESS_VARIABLE} is {months!r}; it must be a JSON list of months such as "
            '["2026-09", "2026-10"]. Correct it, or delete it to load all months again.'
        )
    return sorted(months)


@task(multiple_outputs=True)
def determine_next_month() -> dict[str, str]:
    """Push ``start_date`` and ``end_date``, ISO dates, of the month to load; skip the run if there is no such month."""
    context = get_current_context()
    # The day of the run, not of the clock: a run that is cleared a month later means the same months.
    today = context["dag_run"].run_after.date()
    years = context["params"]["target_years"]
    month = next_month(today, years, loaded_months())
    if month is None:
        raise AirflowSkipException(
            f"All {12 * years} months of the last {years} years are loaded (Variable {PROGRESS_VARIABLE}): nothing to "
            "do. Raise the parameter target_years to go further back."
        )
    first, last = month
    return {"start_date": first.isoformat(), "end_date": last.isoformat()}


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def finalize_month() -> None:
    """Record the month as loaded."""
    # Pulled, not passed as an argument: as an upstream task determine_next_month would count as the one success that
    # the trigger rule asks of the groups.
    context: Any = get_current_context()
    month = context["ti"].xcom_pull(task_ids="determine_next_month", key="start_date")[: len("YYYY-MM")]
    Variable.set(PROGRESS_VARIABLE, sorted({*loaded_months(), month}), serialize_json=True)


with DAG(
    dag_id="historical_load_equities",
    description="Load past prices of every exchange group, a month a run, then calculate the indicators",
    doc_md=__doc__,
    schedule="0 23 * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    params={"target_years": Param(2, type="integer", minimum=1, maximum=50, title="Years to load, back from now")},
    tags=["equities", "dagconfig"],
):
    with ExchangeGroupTaskGroup(group_id="load") as load:
        ConfiguredKubectlRunOperator(
            task_id="run",
            job_name=load.exchange_group,
            exchange_group=load.exchange_group,
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
                "historical",
                "--start-date",
                "{{ ti.xcom_pull(task_ids='determine_next_month', key='start_date') }}",
                "--end-date",
                "{{ ti.xcom_pull(task_ids='determine_next_month', key='end_date') }}",
                "--skip-existing",
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
                "job-type": "historical",
                "market": "{{ exchange_group.group_name }}",
            },
        )

    (
        determine_next_month()
        >> load
        >> finalize_month()
        >> TriggerDagRunOperator(task_id="calculate_indicators", trigger_dag_id="calculate_indicators")
    )
