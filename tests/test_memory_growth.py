"""By how much memory grows after a try that was OOMKilled, how it is written, and what the next try runs with."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dagconfig.memory_growth import Grown, grown, next_limit
from airflow_provider_dagconfig.models import CONFIG_COLUMNS, DagConfig, Override, Quantity
from airflow_provider_dagconfig.models.ceiling import Ceiling

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
OVERRIDE = Override(7, "d", "j", {"memory_limit": "48Mi"}, NOW, NOW, "why", "ann", NOW)


def config(
    limit: str = "32Mi", growth: str | None = "2", most: str | None = None, request: str = "16Mi", **values: Any
) -> DagConfig:
    row = {name: column.default for name, column in CONFIG_COLUMNS.items()}
    row |= {"dag_name": "d", "job_name": "j", "memory_limit": limit, "memory_request": request}
    row |= {
        "memory_growth": growth and Decimal(growth),
        "memory_growth_limit": most,
        "sources": dict.fromkeys(CONFIG_COLUMNS, "row"),
    }
    return DagConfig.from_row({**row, **values}, origin="row 3")


def ceiling(value: str | None) -> Ceiling | None:
    return Ceiling("memory", value, None, False, "ann", NOW) if value else None


def kept(limit: str, before: str = "32Mi", try_number: int = 1) -> Grown:
    return Grown(Quantity.parse(limit), Quantity.parse(before), try_number)


@pytest.mark.parametrize(
    ("limit", "growth", "most", "bound", "wanted"),
    [
        pytest.param("32Mi", "2", None, None, "64Mi", id="twice"),
        pytest.param("1.5Gi", "2", None, None, "3Gi", id="in the same unit"),
        pytest.param("512Mi", "2", None, None, "1Gi", id="in a larger unit"),
        pytest.param("1Gi", "1.5", None, None, "1.5Gi", id="with a decimal"),
        pytest.param("96Mi", "1.5", None, None, "144Mi", id="in the unit in which it is whole"),
        pytest.param("1Gi", "1.1", None, None, "1.1Gi", id="a factor that no float holds"),
        pytest.param("1.21Gi", "1.1", None, None, "1363Mi", id="of more than two decimals: whole Mi, rounded up"),
        pytest.param("2G", "2", None, None, "4G", id="in powers of 1000"),
        pytest.param("1e9", "2.5", None, None, "2.5G", id="an exponent"),
        pytest.param("1073741824", "2", None, None, "2Gi", id="bytes"),
        pytest.param("32Mi", None, "8Gi", None, None, id="no growth"),
        pytest.param("32Mi", "10", "100Mi", None, "100Mi", id="up to its limit"),
        pytest.param("32Mi", "10", None, "200Mi", "200Mi", id="up to the ceiling"),
        pytest.param("32Mi", "10", "100Mi", "64M", "64M", id="up to the lower of the two"),
        pytest.param("64Mi", "2", "64Mi", None, None, id="at its limit"),
        pytest.param("64Mi", "2", "32Mi", None, None, id="above its limit"),
        pytest.param("64Mi", "2", None, "48Mi", None, id="above a ceiling that is not valid for it"),
        pytest.param("40Ti", "2", None, None, "64Ti", id="what no machine has"),
    ],
)
def test_the_limit_after_a_try_that_was_oomkilled(
    limit: str, growth: str | None, most: str | None, bound: str | None, wanted: str | None
) -> None:
    found = next_limit(config(limit, growth, most), ceiling(bound))
    assert (found and found.text) == wanted


def test_it_grows_from_what_the_pod_had() -> None:
    """A pod that was adopted may be from before a change of the row."""
    assert str(next_limit(config("1Gi"), None, before=Quantity.parse("32Mi"))) == "64Mi"


def test_the_next_try_runs_with_it_and_says_why() -> None:
    found = grown(config(), kept("64Mi"), None)

    assert (str(found.memory_limit), str(found.memory_request)) == ("64Mi", "32Mi")
    assert found.sources["memory_limit"] == found.sources["memory_request"] == "row, grown from 32Mi: try 1 was OOMKilled"
    assert found.origin == "row 3; memory_limit 64Mi, grown from 32Mi: try 1 was OOMKilled"
    assert found.sources["batch_size"] == "row"


@pytest.mark.parametrize(
    ("now", "bound", "wanted"),
    [
        pytest.param(config(growth=None), None, "32Mi 16Mi", id="growth was switched off"),
        pytest.param(config("64Mi"), None, "64Mi 16Mi", id="the row gives as much"),
        pytest.param(config("1Gi", request="1Gi"), None, "1Gi 1Gi", id="the row gives more"),
        pytest.param(config(most="48Mi"), None, "48Mi 24Mi", id="its limit is lower now"),
        pytest.param(config(most="16Mi"), None, "32Mi 16Mi", id="its limit is below the row now"),
        pytest.param(config(), "48Mi", "48Mi 24Mi", id="the ceiling is lower now"),
        pytest.param(config(request="32Mi"), None, "64Mi 64Mi", id="a request that is the limit"),
        pytest.param(config("24Mi", request="20Mi"), "25Mi", "25Mi 21Mi", id="a request that is rounded up"),
        pytest.param(config("24Mi", request="24M"), "25Mi", "25Mi 25M", id="a request in another unit"),
        pytest.param(config("25Mi", request="24.5Mi"), "25.1Mi", "25.1Mi 25Mi", id="a request that stays within the limit"),
    ],
)
def test_what_is_in_force_now_is_the_base(now: DagConfig, bound: str | None, wanted: str) -> None:
    found = grown(now, kept("64Mi"), ceiling(bound))
    assert f"{found.memory_limit} {found.memory_request}" == wanted


def test_where_nothing_was_kept_nothing_changes() -> None:
    assert grown(config(), None, None) == config()


@pytest.mark.parametrize(
    "thing", [None, {}, "64Mi", {"limit": "lots", "before": "1Gi", "try": 1}, {"limit": "1Gi", "before": "1Gi"}]
)
def test_what_another_version_kept_does_not_count(thing: Any) -> None:
    assert Grown.from_kept(thing) is None


def test_what_is_kept_comes_back() -> None:
    assert Grown.from_kept(kept("64Mi").as_dict()) == kept("64Mi")


def test_a_statement_that_raises_it_is_for_the_override_that_it_grew_from() -> None:
    overridden = replace(config("48Mi", memory_limit="48Mi"), overrides=(OVERRIDE,))
    overridden = replace(overridden, sources={**overridden.sources, "memory_limit": OVERRIDE.source})
    found = grown(overridden, kept("96Mi", "48Mi"), None)
    assert found.sources["memory_limit"].startswith("override 7 until ")
    assert "override_dag_config" in found.update_statement("memory_limit", "128Mi")


FACTORS = st.decimals("1.1", 10, places=2)
LIMITS = st.builds("{}{}".format, st.integers(8, 900), st.sampled_from(["Mi", "Gi", "M", "G"]))


@given(LIMITS, FACTORS, st.none() | LIMITS, st.none() | LIMITS)
def test_it_is_never_above_what_is_allowed_and_never_lower_than_before(
    limit: str, factor: Decimal, most: str | None, bound: str | None
) -> None:
    now = config(limit, str(factor), most, request="4Mi")
    found = next_limit(now, ceiling(bound))
    if found is None:
        assert any(each and Quantity.parse(each) <= now.memory_limit for each in (most, bound))
        return
    assert now.memory_limit < found
    assert all(found <= Quantity.parse(each) for each in (most, bound) if each)
    after = grown(now, Grown(found, now.memory_limit, 1), ceiling(bound))
    assert after.memory_limit == found
    assert now.memory_request <= after.memory_request <= after.memory_limit
