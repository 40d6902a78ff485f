"""Values above a ceiling, and the messages about them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_dagconfig.models import DagConfig, Quantity, Unreadable
from airflow_provider_dagconfig.models.ceiling import BOUNDED, Ceiling, above, binding, checked_ceiling, problem_of, within

DAG = "data_collection_equities"
AT = datetime(2026, 11, 24, 6, tzinfo=timezone.utc)


def ceiling(name: str, value: str, dag: str | None = None, **more: Any) -> Ceiling:
    return Ceiling(**{"name": name, "value": value, "dag_name": dag, "not_valid": False, "set_by": "ann", "updated_at": AT, **more})


def config(**by: str) -> DagConfig:
    """The defaults, with the sources that are given."""
    defaults = DagConfig.defaults(DAG, "lse")
    return replace(defaults, sources={**defaults.sources, **by})


def test_of_two_the_lower_one_holds_and_of_two_that_are_equal_the_dags_own() -> None:
    low, high = ceiling("memory", "8Gi"), ceiling("memory", "16Gi", DAG)
    assert binding([high, low]) == binding([low, high]) == [low]
    for_all, own = ceiling("cpu", "4"), ceiling("cpu", "4000m", DAG)
    assert binding([for_all, low, own, high]) == [own, low]
    assert binding([]) == []


@pytest.mark.parametrize(
    ("name", "most", "too_much"),
    [("cpu", "4000m", "4.001"), ("memory", "1Gi", "1025Mi"), ("timeout_seconds", "60", 61), ("max_retries", "0", 1)],
)
def test_each_bounds_its_columns(name: str, most: str, too_much: object) -> None:
    bound = ceiling(name, most)
    for column in BOUNDED[name]:
        assert above({column: too_much}, [bound]) == {column: (too_much, bound)}
        assert within({column: too_much}, [bound])[column] == (int(most) if isinstance(too_much, int) else most)
        assert above({column: most}, [bound]) == above({column: None}, [bound]) == {}


def test_what_is_no_quantity_is_not_above_one() -> None:
    assert above({"memory_limit": "lots", "cpu_limit": ""}, [ceiling("memory", "4Mi"), ceiling("cpu", "1m")]) == {}


def test_rows_and_overrides_are_the_databases_to_hold() -> None:
    bounds = [ceiling("memory", "4Mi"), ceiling("cpu", "1m"), ceiling("timeout_seconds", "1"), ceiling("max_retries", "0")]
    assert problem_of(config(**dict.fromkeys(DagConfig.defaults(DAG, "lse").sources, "row")), bounds) is None


def test_a_runs_value_is_named_with_the_ceiling_and_who_set_it() -> None:
    bounds = [ceiling("memory", "1Gi", reason="budget"), ceiling("timeout_seconds", "60", DAG, set_by="bob")]
    assert problem_of(config(memory_limit="run", timeout_seconds="run"), bounds) == (
        "The dag run's conf sets too much for data_collection_equities/lse: memory_limit '2Gi' is above the ceiling"
        " memory = 1Gi of all DAGs, set by ann at 2026-11-24 06:00:00+00:00 (budget); timeout_seconds '600' is above the"
        " ceiling timeout_seconds = 60 of DAG data_collection_equities, set by bob at 2026-11-24 06:00:00+00:00."
        ' Trigger the run with memory_limit 1Gi or less and timeout_seconds 60 or less in its "dagconfig", or without'
    )


def test_a_default_is_named_with_what_makes_a_row() -> None:
    problem = problem_of(config(), [ceiling("memory", "512Mi")])
    assert problem is not None
    assert problem.startswith("data_collection_equities/lse has no row: memory_request '1Gi', the default, is above the ceiling")
    assert problem.endswith(
        "To make it one: airflow dagconfig set data_collection_equities lse memory_request=512Mi memory_limit=512Mi --create"
    )


def test_where_one_is_not_valid_a_default_may_be_above_it_and_a_runs_value_may_not() -> None:
    bound = ceiling("memory", "512Mi", not_valid=True)
    assert problem_of(config(), [bound]) is None
    assert problem_of(config(memory_limit="run"), [bound]) is not None


def test_it_is_json() -> None:
    assert ceiling("cpu", "4", reason="budget").as_dict() == {
        "name": "cpu",
        "value": "4",
        "dag_name": None,
        "not_valid": False,
        "set_by": "ann",
        "updated_at": "2026-11-24 06:00:00+00:00",
        "reason": "budget",
    }
    assert ceiling("cpu", "4", updated_at=Unreadable("infinity")).as_dict()["updated_at"] == "infinity"


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [("cpu", "4", "4"), ("cpu", 4, "4"), ("memory", Quantity.parse("8Gi"), "8Gi"), ("timeout_seconds", "600", "600")],
)
def test_what_it_may_be_is_the_columns_rule(name: str, value: object, written: str) -> None:
    assert checked_ceiling(name, value) == written


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cpu", "4 cores", "'4 cores' is no Kubernetes quantity; write 4"),
        ("memory", "1Mi", "'1Mi' must be "),
        ("timeout_seconds", "1h", "'1h' must be a whole number from 1 to 604800, such as 600"),
        ("max_retries", 11, "11 must be a whole number from 0 to 10, such as 2"),
        ("max_retries", True, "True must be a whole number from 0 to 10, such as 2"),
    ],
)
def test_the_error_of_an_invalid_value_says_what_to_write(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        checked_ceiling(name, value)
