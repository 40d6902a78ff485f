"""A job's configuration: usable rows, the messages about unusable ones, and their remedies."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugins.quantities import quantity_texts

from airflow_provider_dagconfig.models import (
    CONFIG_COLUMNS,
    OVERRIDE_COLUMNS,
    Change,
    DagConfig,
    InvalidRowError,
    Override,
    Quantity,
)


def row(**values: object) -> dict[str, object]:
    """A row as the database returns it: the defaults, with these values."""
    defaults = {name: column.default for name, column in CONFIG_COLUMNS.items()}
    return {"dag_name": "data_collection_equities", "job_name": "us_markets", **defaults, **values}


def config(**values: object) -> DagConfig:
    return DagConfig.from_row(row(**values), origin="financial_screener.dag_configuration, row 3")


def test_a_configuration_has_the_rows_values() -> None:
    change = Change(17, "admin", datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc))

    made = DagConfig.from_row(row(memory_limit="4Gi"), origin="financial_screener.dag_configuration, row 3", change=change)

    assert made.memory_limit == Quantity.parse("4Gi")
    assert made.batch_size == 500
    assert made.change == change
    assert made.origin == "financial_screener.dag_configuration, row 3"


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        config().batch_size = 1  # type: ignore[misc]


def test_defaults_say_that_there_is_no_row() -> None:
    made = DagConfig.defaults("data_collection_equites", "us_markets")

    assert made.origin == "defaults: no row for data_collection_equites/us_markets in financial_screener.dag_configuration"
    assert (made.cpu_limit.text, made.memory_limit.text, made.batch_size, made.enabled) == ("2000m", "2Gi", 500, True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            {"memory_limit": "2 GB"},
            "memory_limit '2 GB' of data_collection_equities/us_markets is no Kubernetes quantity; write 2G or 2Gi."
            " To mend it: SELECT financial_screener.update_dag_config('data_collection_equities', 'us_markets',"
            " p_memory_limit => '2Gi');",
            id="no quantity",
        ),
        pytest.param(
            {"memory_request": "4Gi"},
            "memory_request '4Gi' of data_collection_equities/us_markets is over memory_limit '2Gi'; lower it, or raise the"
            " limit. To mend it: SELECT financial_screener.update_dag_config('data_collection_equities', 'us_markets',"
            " p_memory_request => '2Gi');",
            id="request over limit",
        ),
        pytest.param(
            {"max_retries": -1},
            "max_retries -1 of data_collection_equities/us_markets is too small; write 0 or more. To mend it: SELECT"
            " financial_screener.update_dag_config('data_collection_equities', 'us_markets', p_max_retries => 2);",
            id="too small",
        ),
        pytest.param(
            {"batch_size": None},
            "batch_size NULL of data_collection_equities/us_markets is no value; the column's default is 500. To mend it:"
            " SELECT financial_screener.update_dag_config('data_collection_equities', 'us_markets', p_batch_size => 500);",
            id="NULL",
        ),
    ],
)
def test_a_bad_row_names_dag_job_column_value_and_remedy(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRowError) as error:
        config(**values)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cpu_limit", "lots"),
        ("cpu_limit", "0"),
        ("cpu_limit", "0.5m"),
        ("cpu_request", "-1"),
        ("cpu_request", "0.0001"),
        ("memory_limit", "2"),
        ("memory_limit", "-1Gi"),
        ("batch_size", -5),
        ("batch_size", 0),
        ("timeout_seconds", 0),
        ("retry_delay_minutes", -1),
        ("enabled", None),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(column: str, value: object) -> None:
    with pytest.raises(InvalidRowError) as error:
        config(**{column: value})

    assert error.value.column == column
    assert str(error.value).startswith(f"{column} {'NULL' if value is None else repr(value)} of data_collection_equities")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"cpu_request": "0", "memory_request": "0"}, id="nothing reserved"),
        pytest.param({"cpu_request": "2", "cpu_limit": "2000m"}, id="request and limit equal in other words"),
        pytest.param({"priority": None}, id="no priority"),
        pytest.param({"max_retries": 0, "retry_delay_minutes": 0}, id="no retries"),
    ],
)
def test_unusual_but_sensible_rows_are_taken(values: dict[str, object]) -> None:
    assert config(**values).enabled


def test_a_disabled_job_is_read_whatever_else_is_wrong_with_its_row() -> None:
    made = config(enabled=False, memory_limit="2 GB", batch_size=-5)

    assert not made.enabled
    assert (made.memory_limit.text, made.batch_size) == ("2Gi", 500)
    assert "memory_limit '2 GB' is no Kubernetes quantity" in made.origin
    assert "batch_size -5 is too small" in made.origin


printable = st.text(min_size=1).filter(str.isprintable)


@given(printable, printable)
def test_the_statement_to_copy_quotes_any_name(dag_name: str, job_name: str) -> None:
    made = replace(DagConfig.defaults(dag_name, job_name), schema='a "b"')

    statement = made.update_statement("memory_limit", Quantity.parse("4Gi"))

    dag, job = (name.replace("'", "''") for name in (dag_name, job_name))
    schema = '"a ""b"""'
    assert statement == f"SELECT {schema}.update_dag_config('{dag}', '{job}', p_memory_limit => '4Gi');"


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("batch_size", 750, "SELECT financial_screener.update_dag_config('d', 'j', p_batch_size => 750);"),
        (
            "enabled",
            True,
            "SELECT financial_screener.update_dag_config('d', 'j', p_enabled => TRUE);",
        ),
    ],
)
def test_the_statement_to_copy_fits_the_column(column: str, value: object, expected: str) -> None:
    assert DagConfig.defaults("d", "j").update_statement(column, value) == expected


def test_a_configuration_becomes_json() -> None:
    change = Change(17, "admin", datetime(2026, 11, 23, 2, 14, 5, 1, tzinfo=timezone.utc), "new feed")
    made = DagConfig.from_row(row(updated_at=change.changed_at), origin="row 3", change=change)

    values = json.loads(json.dumps(made.as_dict()))

    assert values["cpu_limit"] == "2000m"
    assert values["batch_size"] == 500
    assert values["updated_at"] == "2026-11-23 02:14:05+00:00"
    assert values["change"] == {
        "audit_id": 17,
        "changed_by": "admin",
        "changed_at": "2026-11-23 02:14:05+00:00",
        "reason": "new feed",
        "session_user_name": None,
    }
    assert values["disabled_change"] is None


AT = datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc)
BACKFILL = Override(
    *(7, "data_collection_equities", "us_markets", {"memory_limit": "4Gi"}),
    *(AT, AT + timedelta(hours=4), "month's end", "ann", AT),
)


def overridden(**values: object) -> DagConfig:
    sources = {"memory_request": "row", "memory_limit": BACKFILL.source}
    return config(**{"memory_limit": "4Gi", "sources": sources, "overrides": (BACKFILL,), **values})


def test_an_override_is_in_the_configurations_json_by_its_id() -> None:
    values = json.loads(json.dumps(overridden().as_dict()))

    assert values["sources"]["memory_limit"] == "override 7 until 2026-11-23 06:14:05+00:00"
    assert values["overrides"]["7"]["values"] == {"memory_limit": "4Gi"}
    assert values["overrides"]["7"]["ends_at"] == "2026-11-23 06:14:05+00:00"


def test_the_statement_for_an_overridden_value_is_an_override_with_the_same_end() -> None:
    assert overridden().update_statement("memory_limit", "8Gi") == (
        "SELECT financial_screener.override_dag_config('data_collection_equities', 'us_markets',"
        " p_ends_at => '2026-11-23 06:14:05+00:00', p_reason => 'month''s end', p_memory_limit => '8Gi');"
    )
    assert overridden().update_statement("batch_size", 7).startswith("SELECT financial_screener.update_dag_config(")


@pytest.mark.parametrize(
    ("sources", "remedy"),
    [
        pytest.param({}, "SELECT financial_screener.update_dag_config(", id="the row"),
        pytest.param({"memory_limit": BACKFILL.source}, "SELECT financial_screener.end_override(7);", id="an override"),
        pytest.param(
            {"memory_limit": BACKFILL.source, "memory_request": "run"},
            'trigger the DAG with another memory_request in the conf\'s "dagconfig", or without',
            id="the run, above an override",
        ),
    ],
)
def test_what_is_mended_is_where_the_value_is_from(sources: dict[str, str], remedy: str) -> None:
    with pytest.raises(InvalidRowError, match="is over memory_limit '4Gi'") as error:
        overridden(memory_request="5Gi", sources=sources)

    assert error.value.remedy.startswith(remedy)


def test_a_configuration_with_sources_is_hashable() -> None:
    assert len({overridden(), overridden()}) == 1


@given(st.sampled_from([*OVERRIDE_COLUMNS]), st.none() | st.booleans() | st.integers() | st.text() | quantity_texts | st.floats())
def test_a_new_value_that_is_taken_makes_a_row_that_runs(column: str, value: object) -> None:
    try:
        checked = OVERRIDE_COLUMNS[column].checked(value)
    except ValueError:
        return

    # As request and limit at once, so that it has nothing to fit to but itself.
    resource, _, kind = column.partition("_")
    columns = (f"{resource}_request", f"{resource}_limit") if kind in ("request", "limit") else (column,)
    assert config(**dict.fromkeys(columns, checked)).as_dict()[column] == checked
