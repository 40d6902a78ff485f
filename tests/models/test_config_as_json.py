"""A job's configuration goes to JSON values and back, so that a process may hand it to another one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dagconfig.models import (
    CONFIG_COLUMNS,
    OVERRIDE_COLUMNS,
    Change,
    DagConfig,
    DecimalColumn,
    InvalidRowError,
    NumberColumn,
    Override,
    Quantity,
    RowChange,
    Unreadable,
    in_range,
)


def written(thousandths: int, unit: str) -> st.SearchStrategy[Quantity]:
    """A quantity in more than one way: with decimals, and in thousandths of the unit where Kubernetes has a word for them."""
    texts = [f"{thousandths / 1000}{unit}"] + ([f"{thousandths}m"] if unit == "" else [])
    return st.sampled_from([Quantity.parse(text) for text in texts])


def pairs(least: int, most: int, unit: str) -> st.SearchStrategy[tuple[Quantity, Quantity]]:
    """A request, and a limit that is not below it."""
    numbers = st.lists(st.integers(least, most), min_size=2, max_size=2).map(sorted)
    return numbers.flatmap(lambda two: st.tuples(written(two[0], unit), written(two[1], unit)))


ZONES = st.integers(-18 * 60, 18 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(timezones=ZONES).map(lambda moment: in_range(moment, moment.isoformat()))
READABLE = MOMENTS.filter(lambda moment: not isinstance(moment, Unreadable))
ANY_MOMENTS = MOMENTS | st.sampled_from([Unreadable("infinity"), Unreadable("0044-03-15 12:00:00+00 BC")])
TEXTS = st.none() | st.text()
CHANGES = st.none() | st.builds(Change, st.integers(0), TEXTS, ANY_MOMENTS, TEXTS, TEXTS)
SCALARS = st.none() | st.booleans() | st.integers() | st.text()
SHORT = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
DIFFERENCES = st.dictionaries(st.sampled_from([*CONFIG_COLUMNS]), st.tuples(SHORT, SHORT), max_size=2)
ROW_CHANGES = st.none() | st.builds(
    RowChange, st.integers(0), TEXTS, ANY_MOMENTS, operation=st.sampled_from(["INSERT", "UPDATE"]), differences=DIFFERENCES
)
OVERRIDES = st.builds(
    Override,
    *(st.integers(0), st.text(), st.text(), st.dictionaries(st.sampled_from([*OVERRIDE_COLUMNS]), SCALARS)),
    *(READABLE, READABLE, TEXTS, TEXTS, ANY_MOMENTS, st.none() | READABLE, st.sampled_from(["planned", "active", "ended"])),
)


@st.composite
def configs(draw: st.DrawFn) -> DagConfig:
    """A configuration with any value in each of its columns."""
    cpu, memory = draw(pairs(1, 1_024_000, "")), draw(pairs(4_000, 999_000, draw(st.sampled_from(["Mi", "Gi", "G"]))))
    numbers = {
        name: draw(st.integers(column.least, column.most))
        for name, column in CONFIG_COLUMNS.items()
        if isinstance(column, NumberColumn)
    }
    decimals = {
        name: draw(st.none() | st.decimals(column.least, column.most, places=2))
        for name, column in CONFIG_COLUMNS.items()
        if isinstance(column, DecimalColumn)
    }
    return DagConfig(
        *(draw(st.text()), draw(st.text()), *cpu, *memory),
        **numbers,
        **decimals,
        retry_backoff_enabled=draw(st.booleans()),
        enabled=draw(st.booleans()),
        description=draw(TEXTS),
        memory_growth_limit=draw(st.none() | written(8_000, "Gi")),
        origin=draw(st.text()),
        updated_at=draw(st.none() | ANY_MOMENTS),
        change=draw(CHANGES),
        row_change=draw(ROW_CHANGES),
        disabled_change=draw(CHANGES),
        schema=draw(st.text()),
        version=draw(st.none() | st.integers(1)),
        sources=draw(st.dictionaries(st.sampled_from([*CONFIG_COLUMNS]), st.text())),
        overrides=tuple(draw(st.lists(OVERRIDES, max_size=3))),
    )


# How fast a busy machine makes examples is no part of it.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs())
def test_a_configuration_goes_to_json_and_back(config: DagConfig) -> None:
    read = DagConfig.from_dict(json.loads(json.dumps(config.to_dict())))

    assert read == config
    # Quantities that are equal may be written in two ways, and moments in two zones.
    assert read.to_dict() == config.to_dict()


CONFIG = DagConfig.defaults("data_collection_equities", "us_markets")
OVERRIDE = Override(
    *(7, "data_collection_equities", "us_markets", {"memory_limit": "4Gi"}),
    *(datetime(2026, 11, 23, tzinfo=timezone.utc), datetime(2026, 11, 24, tzinfo=timezone.utc), None, "ann"),
    datetime(2026, 11, 23, tzinfo=timezone.utc),
)
OVERRIDDEN = replace(CONFIG, overrides=(OVERRIDE,)).to_dict()


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def in_the_override(**values: Any) -> dict[str, Any]:
    return {**OVERRIDDEN, "overrides": [{**OVERRIDDEN["overrides"][0], **values}]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({**OVERRIDDEN, "format": 4}, "in format 4 cannot be read: this version of .* reads format 3. Let", id="newer"),
        pytest.param(
            without(without({**OVERRIDDEN, "format": 2}, "memory_growth"), "memory_growth_limit"),
            "in format 2 cannot be read",
            id="older, before memory grew",
        ),
        pytest.param(without(OVERRIDDEN, "format"), "in format NULL cannot be read", id="no-format"),
        pytest.param(CONFIG.as_dict(), "in format NULL cannot be read", id="what-people-read"),
        pytest.param({**OVERRIDDEN, "format": True}, "in format True cannot be read", id="format-of-another-kind"),
        pytest.param({**OVERRIDDEN, "gpu_limit": "1"}, "nothing is known of gpu_limit", id="unknown-field"),
        pytest.param(in_the_override(why="x"), r"nothing is known of overrides\[0\].why", id="unknown-field-within"),
        pytest.param(without(OVERRIDDEN, "origin"), "there is no origin", id="missing-though-it-has-a-default"),
        pytest.param({**OVERRIDDEN, "batch_size": "5"}, "batch_size is '5', and no int", id="text-for-a-number"),
        pytest.param({**OVERRIDDEN, "batch_size": True}, "batch_size is True, and no int", id="truth-for-a-number"),
        pytest.param({**OVERRIDDEN, "batch_size": None}, "batch_size is NULL, and no int", id="null"),
        pytest.param({**OVERRIDDEN, "memory_growth": "2"}, "memory_growth is '2', and no Decimal", id="text-for-a-decimal"),
        pytest.param({**OVERRIDDEN, "memory_growth": True}, "memory_growth is True, and no Decimal", id="truth-for-a-decimal"),
        pytest.param({**OVERRIDDEN, "cpu_limit": 2}, "cpu_limit is 2, and no Quantity", id="number-for-a-quantity"),
        pytest.param({**OVERRIDDEN, "cpu_limit": "two"}, "cpu_limit: 'two' is no Kubernetes quantity", id="no-quantity"),
        pytest.param({**OVERRIDDEN, "updated_at": 5}, "updated_at is 5, and no datetime", id="number-for-a-moment"),
        pytest.param({**OVERRIDDEN, "sources": {"a": 1}}, "sources.a is 1, and no str", id="number-in-a-mapping"),
        pytest.param({**OVERRIDDEN, "change": "ann"}, "change is 'ann', and no object", id="text-for-a-change"),
        pytest.param({**OVERRIDDEN, "overrides": {}}, "overrides is {}, and no tuple", id="an-object-for-a-list"),
        pytest.param(in_the_override(state="gone"), r"overrides\[0\].state is 'gone'", id="another-state"),
    ],
)
def test_what_to_dict_did_not_write_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DagConfig.from_dict(values)


def test_values_that_no_job_can_run_with_are_refused_as_a_rows_are() -> None:
    with pytest.raises(InvalidRowError, match="batch_size 0 of data_collection_equities/us_markets is too small"):
        DagConfig.from_dict({**CONFIG.to_dict(), "batch_size": 0})
