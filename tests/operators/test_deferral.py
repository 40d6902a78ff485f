"""The state that a deferred task stores is restored unchanged, from where Airflow keeps it."""

from __future__ import annotations

from datetime import datetime, time, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_dagconfig.hooks.cluster_access import ClusterParameters
from airflow_provider_dagconfig.kubectl.ends import Parting
from airflow_provider_dagconfig.kubectl.pod_life import Limits
from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup, Installation
from airflow_provider_dagconfig.models.ceiling import Ceiling
from airflow_provider_dagconfig.operators.deferral import METHOD, Deferral, NotFoundError, read_deferral
from airflow_provider_dagconfig.operators.lookup import InForce

NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
GROUP = ExchangeGroup("lse", "London", ("LSE", "AIM"), market_open_utc=time(8, 0), market_close_utc=time(16, 30))
LEFT = Deferral(
    InForce(
        DagConfig.defaults("nightly", "lse"),
        GROUP,
        Installation("b7k2", NOON, "financial_screener.installation"),
        (Ceiling("memory", "8Gi", None, True, "ann", NOON, "budget"),),
    ),
    DagConfig.defaults("nightly", "lse"),
    {"job_name": "lse", "dag_name": None},
    ClusterParameters("kubernetes_default", None, "arm", None),
    Parting(
        {"metadata": {"name": "collect"}, "spec": {"containers": [{"name": "base"}]}}, 1_764_500_000.5, {"newest": 5, "recent": []}
    ),
    Limits(120, 600, 30),
    1_764_500_600.0,
)


def ti(**server: Any) -> SimpleNamespace:
    ids = {"dag_id": "nightly", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1}
    return SimpleNamespace(**ids, _ti_context_from_server=SimpleNamespace(**server) if server else None)


def test_the_state_is_restored_unchanged() -> None:
    assert Deferral.from_json(LEFT.to_json()) == LEFT


@pytest.mark.parametrize("encoded", [False, True], ids=["from-3.2-on", "3.1"])
def test_it_is_found_where_airflow_has_it(encoded: bool) -> None:
    kwargs = {"deferral": LEFT.to_json(), "event": {}}
    given = {"__type": "dict", "__var": kwargs} if encoded else kwargs
    assert read_deferral(ti(next_method=METHOD, next_kwargs=given)) == LEFT


def test_airflow_dags_test_drops_it_and_runs_all_in_one_process() -> None:
    LEFT.as_arguments(ti())
    assert read_deferral(ti(next_method=METHOD, next_kwargs={"event": {}})) == LEFT


def test_a_task_that_begins_has_left_nothing() -> None:
    assert read_deferral(ti()) is None
    assert read_deferral(ti(next_method=None, next_kwargs=None)) is None


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"format": 2}', LEFT.to_json().replace('"format": 1', '"format": 7', 1)])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(NotFoundError, match="cannot be read"):
        read_deferral(ti(next_method=METHOD, next_kwargs={"deferral": text}))


def test_a_trigger_that_failed_is_said() -> None:
    with pytest.raises(NotFoundError, match="its trigger failed"):
        read_deferral(ti(next_method="__fail__", next_kwargs={"error": "Trigger failure"}))
