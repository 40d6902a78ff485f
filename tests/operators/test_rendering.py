"""How the configuration reaches templates, the Rendered tab and the grid, in runs of whole DAGs on the local pods."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from plugins.dag_runs import DagRunResult
from plugins.postgres import Database
from pytest_mock import MockerFixture

from airflow_provider_dagconfig.operators import texts
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

POD = {"namespace": "default", "image": "busybox:latest", "image_pull_policy": "IfNotPresent", "cmds": ["echo"]}
RunDag = Callable[..., DagRunResult]


@pytest.fixture(autouse=True)
def _local_pods(local_pods: Any, store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(local_pods.kubeconfig))


def rendered(run: DagRunResult, dag_id: str, task_id: str) -> list[dict[str, Any]]:
    """The Rendered tab's values, by map index."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session
    from sqlalchemy import select

    table = RenderedTaskInstanceFields
    query = select(table.rendered_fields).where(table.dag_id == dag_id, table.task_id == task_id, table.run_id == run.run_id)
    with create_session() as session:
        return list(session.scalars(query.order_by(table.map_index)))


def test_the_rendered_tab_shows_the_configuration_and_what_became_of_the_templates(run_dag: RunDag) -> None:
    from airflow.sdk import DAG

    with DAG("rendered_example", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        ConfiguredKubectlRunOperator(
            task_id="collect",
            dag_name="data_collection_equities",
            job_name="lse",
            exchange_group="lse",
            arguments=["{{ dag_config.batch_size }}", "{{ exchange_group.exchanges | join(',') }}"],
            **POD,
        )
    run = run_dag(dag)
    assert run.states("collect") == ["success"]
    [fields] = rendered(run, "rendered_example", "collect")
    assert fields["arguments"] == ["500", "LSE"]
    assert fields["dag_config"]["memory_limit"] == "128Mi"
    assert fields["dag_config"]["batch_size"] == 500


def test_a_mapped_operator_resolves_a_row_for_each_instance_and_may_name_them(run_dag: RunDag) -> None:
    from airflow.sdk import DAG

    with DAG("mapped_example", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        ConfiguredKubectlRunOperator.partial(
            task_id="collect",
            dag_name="data_collection_equities",
            arguments=["{{ dag_config.job_name }}", "{{ dag_config.batch_size }}"],
            map_index_template="{{ dag_config.job_name }}",
            **POD,
        ).expand(job_name=["us_markets", "lse"])
    run = run_dag(dag)
    assert run.states("collect") == ["success", "success"]
    assert run.labels("collect") == ["us_markets", "lse"]
    fields = rendered(run, "mapped_example", "collect")
    assert [one["arguments"] for one in fields] == [["us_markets", "500"], ["lse", "500"]]


def test_what_chooses_the_row_may_be_a_template_itself(run_dag: RunDag) -> None:
    from airflow.sdk import DAG

    with DAG("data_collection_equities", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        ConfiguredKubectlRunOperator(
            task_id="collect",
            job_name="{{ dag_run.conf['market'] }}",
            exchange_group="{{ dag_run.conf['market'] }}",
            arguments=["{{ dag_config.origin }}"],
            **POD,
        )
    run = run_dag(dag, conf={"market": "german_markets"})
    assert run.states("collect") == ["success"]
    [fields] = rendered(run, "data_collection_equities", "collect")
    assert fields["arguments"] == ["financial_screener.dag_configuration, row 3"]


def test_a_disabled_job_is_skipped_while_it_is_rendered(run_dag: RunDag, store: Database) -> None:
    from airflow.sdk import DAG

    store.execute("UPDATE financial_screener.dag_configuration SET enabled = FALSE WHERE job_name = 'lse'")
    with DAG("skipped_example", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        ConfiguredKubectlRunOperator.partial(task_id="collect", dag_name="data_collection_equities", **POD).expand(
            job_name=["lse", "us_markets"]
        )
    assert run_dag(dag).states("collect") == ["skipped", "success"]


def test_the_rendered_tab_hides_secrets_in_a_list_of_variables_as_in_a_dict(run_dag: RunDag, mocker: MockerFixture) -> None:
    from airflow.sdk import DAG
    from kubernetes.client import V1EnvVar

    variables = [
        {"name": "API_PASSWORD", "value": "{{ 'hunter' ~ 2 }}-listed"},
        V1EnvVar(name="API_TOKEN", value="hunter3-modelled"),
        {"name": "MARKET", "value": "exchange-lse"},
        {"name": "MAP", "value": "0"},
    ]
    masked = mocker.spy(texts, "mask_secret")
    with DAG("hidden_example", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        ConfiguredKubectlRunOperator(
            task_id="collect", dag_name="data_collection_equities", job_name="lse", env_vars=variables, **POD
        )
    run = run_dag(dag)
    assert run.states("collect") == ["success"]
    [fields] = rendered(run, "hidden_example", "collect")
    assert "hunter" not in str(fields)
    assert "exchange-lse" in str(fields["env_vars"])
    # Airflow warns of a short text that it is asked to mask, so that it is asked for no other variable.
    assert {call.args[1] for call in masked.call_args_list} == {"API_PASSWORD", "API_TOKEN"}
