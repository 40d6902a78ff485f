"""A pod that a LimitRange forbids: the sentences are those of Kubernetes' plugin/pkg/admission/limitranger."""

from __future__ import annotations

import dataclasses

import pytest

from airflow_provider_dagconfig.kubectl.limit_range import limit_range_remedy
from airflow_provider_dagconfig.models import DagConfig, Quantity

AMOUNTS = {"cpu_request": "500m", "cpu_limit": "2", "memory_request": "1Gi", "memory_limit": "2Gi"}
CONFIG = dataclasses.replace(
    DagConfig.defaults("collection", "us_markets"),
    **{column: Quantity.parse(amount) for column, amount in AMOUNTS.items()},
    origin="financial_screener.dag_configuration, row 1",
)
FORBIDDEN = 'pods "collect" is forbidden: '


def sets(column: str, value: str) -> str:
    return f"SELECT financial_screener.update_dag_config('collection', 'us_markets', p_{column} => '{value}');"


@pytest.mark.parametrize(
    ("sentence", "names", "statements"),
    [
        pytest.param(
            "maximum memory usage per Container is 1536Mi, but limit is 2Gi",
            "memory_limit = 2Gi of",
            [sets("memory_limit", "1536Mi")],
            id="most",
        ),
        pytest.param(
            "maximum memory usage per Container is 512Mi, but limit is 2Gi",
            "memory_request = 1Gi and memory_limit = 2Gi of",
            [sets("memory_request", "512Mi"), sets("memory_limit", "512Mi")],
            id="most-of-both",
        ),
        pytest.param(
            "minimum cpu usage per Container is 3, but request is 500m",
            "cpu_limit = 2 and cpu_request = 500m of",
            [sets("cpu_limit", "3"), sets("cpu_request", "3")],
            id="least-of-both",
        ),
        pytest.param(
            "[maximum cpu usage per Pod is 1500m, but limit is 2, "
            "minimum memory usage per Container is 1100Mi, but request is 1Gi]",
            "cpu_limit = 2 and memory_request = 1Gi of",
            [sets("cpu_limit", "1500m"), sets("memory_request", "1100Mi")],
            id="two-at-once",
        ),
        pytest.param(
            "cpu max limit to request ratio per Container is 3, but provided ratio is 4.000000",
            "cpu_request = 500m of",
            [sets("cpu_request", "667m")],
            id="ratio",
        ),
        pytest.param(
            "memory max limit to request ratio per Container is 1, but provided ratio is 2.000000",
            "memory_request = 1Gi of",
            [sets("memory_request", "2048Mi")],
            id="ratio-of-memory",
        ),
    ],
)
def test_a_limit_range_names_the_row_and_the_statements_that_fit(sentence: str, names: str, statements: list[str]) -> None:
    remedy = limit_range_remedy(FORBIDDEN + sentence, CONFIG)
    assert f"a LimitRange of the namespace, and {names} collection/us_markets (financial_screener.dag_config" in remedy
    assert remedy.splitlines()[1:] == ["To be within it from the next run on:", *statements]


@pytest.mark.parametrize(
    "sentence",
    [
        "maximum memory usage per Container is 1Gi, but limit is 3Gi",
        "maximum memory usage per Container is 1Gi. No limit is specified",
        "maximum ephemeral-storage usage per Container is 1Gi, but limit is 2Gi",
        "minimum memory usage per Pod is 4Gi, but request is 1100Mi",
    ],
)
def test_another_containers_resources_are_not_taken_for_the_rows(sentence: str) -> None:
    remedy = limit_range_remedy(FORBIDDEN + sentence, CONFIG)
    assert "none of the row's values is beyond it: look at the resources of other containers" in remedy
    assert "SELECT" not in remedy


def test_other_errors_have_no_limit_ranges_remedy() -> None:
    assert limit_range_remedy(f"{FORBIDDEN}exceeded quota: compute, requested: limits.cpu=2", CONFIG) == ""
