"""Quantities, configurations and groups: what a row may hold and what it then means."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, replace
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from airflow_provider_dagconfig.cli.values import JOB_COLUMNS, UsageError, read_assignments
from airflow_provider_dagconfig.models import (
    OVERRIDE_COLUMNS,
    Change,
    DagConfig,
    ExchangeGroup,
    HistoryEntry,
    InvalidRowError,
    Override,
    Quantity,
    checked_value,
    parse_duration,
)

SUFFIXES = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]

numbers = st.from_regex(r"[+-]?([0-9]{1,6}(\.[0-9]{0,3})?|\.[0-9]{1,3})", fullmatch=True)
exponents = st.builds(str.__add__, st.sampled_from(["e", "E", "e+", "E-", "e-"]), st.sampled_from(["0", "3", "06"]))
quantity_texts = st.builds(str.__add__, numbers, st.sampled_from(SUFFIXES) | exponents)


def row(**values: object) -> dict[str, object]:
    """A row as the database gives it: the defaults, with these values."""
    defaults = {
        "dag_name": "data_collection_equities",
        "job_name": "us_markets",
        "cpu_request": "500m",
        "cpu_limit": "2000m",
        "memory_request": "1Gi",
        "memory_limit": "2Gi",
        "batch_size": 500,
        "timeout_seconds": 600,
        "max_retries": 2,
        "retry_delay_minutes": 5,
        "retry_backoff_enabled": True,
        "enabled": True,
        "priority": 5,
        "description": None,
    }
    return defaults | values


def config(**values: object) -> DagConfig:
    return DagConfig.from_row(row(**values), origin="financial_screener.dag_configuration, row 3")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("2", 2),
        ("+2", 2),
        ("-2", -2),
        ("1.5", Fraction(3, 2)),
        ("1.", 1),
        (".5", Fraction(1, 2)),
        ("007", 7),
        ("1n", Fraction(1, 10**9)),
        ("1u", Fraction(1, 10**6)),
        ("500m", Fraction(1, 2)),
        ("1k", 10**3),
        ("1M", 10**6),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1Ki", 2**10),
        ("1Mi", 2**20),
        ("1.5Gi", 3 * 2**29),
        ("1Ti", 2**40),
        ("1Pi", 2**50),
        ("7Ei", 7 * 2**60),
        ("12e6", 12 * 10**6),
        ("1E3", 1000),
        ("1E+3", 1000),
        ("1e-3", Fraction(1, 1000)),
        ("0.1", Fraction(1, 10)),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_a_quantity_has_its_exact_value_and_keeps_its_text(text: str, value: Fraction) -> None:
    quantity = Quantity.parse(text)

    assert quantity.value == value
    assert str(quantity) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "lots", "K", "m", ".", "+", "--1", "+-1", "1..5", "1,5", "1_000", "0x10", "NaN"),
        *(" 1", "1 ", "1\n", "1 Gi", "1K", "1ki", "1gi", "1GB", "1mi", "1mm", "1kMi", "1e", "1e1.5", "1e3k", "\u0661"),
    ],
    ids=ascii,
)
def test_what_is_outside_kubernetes_grammar_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no Kubernetes quantity; write "):
        Quantity.parse(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("9223372036854775808", "more than 2\\^63-1", id="one too many"),
        pytest.param("8Ei", "more than 2\\^63-1", id="capped to 2^63-1 by Kubernetes"),
        pytest.param("1e19", "more than 2\\^63-1", id="a large exponent"),
        pytest.param("0.1n", "finer than 1n", id="rounded up to 1n by Kubernetes"),
        pytest.param("1e-10", "finer than 1n", id="a small exponent"),
        pytest.param("1e999999999", "out of range", id="an exponent that would take for ever"),
        pytest.param("1e-999999999", "out of range", id="the same downwards"),
    ],
)
def test_what_kubernetes_would_change_silently_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Quantity.parse(text)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("2 GB", "write 2G or 2Gi"),
        ("512MB", "write 512M or 512Mi"),
        ("1.5K", "write 1.5k or 1.5Ki"),
        ("2gi", "write 2Gi"),
        ("4 GiB", "write 4Gi"),
        ("1,5Gi", "write 1.5Gi"),
        ("2 cores", "write 2"),
        ("500 mCPU", "write 500m"),
        ("lots", "write a number with a suffix, such as 500m or 2 for CPU, 512Mi or 2Gi for memory"),
    ],
)
def test_a_mistyped_quantity_is_answered_with_what_was_meant(text: str, suggestion: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is no Kubernetes quantity; {suggestion}") + "$"):
        Quantity.parse(text)


UNITS = st.sampled_from(
    ["", *"munkKMGTPE", "mi", "Ki", "KB", "kb", "mb", "MB", "MiB", "gb", "GiB", "g", "t", "B", "b", "cores", "cpu", "mCPU", "x"]
)
CPU, MEMORY = "write cores, such as 2, or thousandths of one, such as 500m", "write bytes with a suffix, such as 512Mi or 2Gi"


@pytest.mark.parametrize(
    ("column", "text", "suggestion"),
    [
        ("cpu_limit", "500 m", "write 500m"),
        ("cpu_limit", "500 M", "write 500m"),
        ("cpu_request", " 250m ", "write 250m"),
        ("cpu_request", "500mi", "write 500m"),
        ("cpu_limit", "1,5", "write 1.5"),
        ("cpu_limit", "2 vCPUs", "write 2"),
        ("cpu_limit", "500 millicores", "write 500m"),
        ("cpu_limit", "+500 m", "write 500m"),
        ("cpu_limit", "2 GB", CPU),
        ("cpu_limit", "512mb", CPU),
        ("cpu_limit", "2 k", CPU),
        ("cpu_limit", "-5 m", CPU),
        ("cpu_limit", "0 m", CPU),
        ("cpu_limit", "0,5 m", CPU),
        ("cpu_limit", "lots", CPU),
        ("memory_limit", "512 m", "write 512M or 512Mi"),
        ("memory_limit", "512 M", "write 512M or 512Mi"),
        ("memory_limit", "512mb", "write 512M or 512Mi"),
        ("memory_request", "64 mib", "write 64Mi"),
        ("memory_limit", "2 g", "write 2G or 2Gi"),
        ("memory_limit", "8000 K", "write 8000k or 8000Ki"),
        ("memory_limit", "4100 k", "write 4100Ki"),
        ("memory_limit", "2 cores", MEMORY),
        ("memory_limit", "500 mCPU", MEMORY),
        ("memory_limit", "2 ", MEMORY),
        ("memory_limit", "9 E", "write 9E"),
        ("memory_limit", "-2 GB", MEMORY),
        ("memory_limit", "lots", MEMORY),
    ],
)
def test_a_mistyped_quantity_is_answered_with_what_its_column_takes(column: str, text: str, suggestion: str) -> None:
    said = f"{text!r} is no Kubernetes quantity; {suggestion}"
    row = {**DagConfig.defaults("d", "j").as_dict(), column: text}
    with pytest.raises(ValueError, match=re.escape(said) + "$"):
        checked_value(column, text)
    with pytest.raises(InvalidRowError, match=re.escape(f"{column} {text!r} of d/j is no Kubernetes quantity; {suggestion}. ")):
        DagConfig.from_row(row, origin="")
    with pytest.raises(UsageError, match=re.escape(said) + "$"):
        read_assignments(JOB_COLUMNS, [f"{column}={text}"])


@given(
    st.sampled_from(["cpu_request", "cpu_limit", "memory_request", "memory_limit"]),
    st.builds(
        "{}{}{}{}".format, st.sampled_from(["", "-", "+", " "]), st.decimals(0, 10**20, places=3), st.sampled_from(["", " "]), UNITS
    ),
)
def test_each_suggestion_can_be_written(column: str, text: str) -> None:
    try:
        checked_value(column, text)
    except ValueError as error:
        for suggestion in re.findall(r"[\d.]+[A-Za-z]*", str(error).partition(" is no Kubernetes quantity; ")[2]):
            assert checked_value(column, suggestion) == suggestion


@given(quantity_texts)
def test_values_are_those_of_the_kubernetes_client(text: str) -> None:
    try:
        value = Quantity.parse(text).value
    except ValueError:
        # Only what Kubernetes would cap or round is refused of what the grammar allows.
        exact = Fraction(parse_quantity(text))
        assert abs(exact) > 2**63 - 1 or exact % Fraction(1, 10**9)
    else:
        assert value == Fraction(parse_quantity(text))


@given(st.text(alphabet="0123456789.+-eEinumkKMGTP bBg,", max_size=12))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    try:
        quantity = Quantity.parse(text)
    except ValueError:
        return

    assert quantity.value == Fraction(parse_quantity(text))


@given(quantity_texts, quantity_texts)
def test_quantities_compare_by_value_and_not_by_text(one: str, other: str) -> None:
    try:
        a, b = Quantity.parse(one), Quantity.parse(other)
    except ValueError:
        return

    assert (a < b) == (a.value < b.value)
    assert (a == b) == (a.value == b.value)
    assert a != b or hash(a) == hash(b)


def test_equal_quantities_are_one_key() -> None:
    assert {Quantity.parse("1000m"), Quantity.parse("1"), Quantity.parse("1e0")} == {Quantity.parse("1.0")}


def test_a_quantity_holds_no_float() -> None:
    assert Quantity.parse("0.1").value == Fraction(Decimal("0.1"))


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


@given(st.text(min_size=1), st.text(min_size=1))
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
    }
    assert values["disabled_change"] is None


def test_a_change_reads_as_who_when_and_why() -> None:
    at = datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc)

    assert str(Change(17, "admin", at)) == "by admin at 2026-11-23 02:14:05+00:00 (audit entry 17)"
    assert str(Change(17, "admin", at, "new feed")) == "by admin at 2026-11-23 02:14:05+00:00 (audit entry 17: new feed)"
    assert str(Change(18, None, at)) == "by an unknown user at 2026-11-23 02:14:05+00:00 (audit entry 18)"


@pytest.mark.parametrize("exchanges", [[], None, [""], ["NYSE", " "], ["NYSE", None]], ids=repr)
def test_a_group_without_exchanges_names_itself_and_the_remedy(exchanges: list[str]) -> None:
    with pytest.raises(InvalidRowError, match="of exchange group asian_markets is no list of exchange codes; write at least"):
        ExchangeGroup.from_row({"group_name": "asian_markets", "display_name": "Asia", "exchanges": exchanges})


def test_a_group_becomes_json() -> None:
    group = ExchangeGroup.from_row(
        {"group_name": "lse", "display_name": "London", "exchanges": ["LSE"], "market_open_utc": time(8), "priority": None}
    )

    values = json.loads(json.dumps(group.as_dict()))

    assert (values["exchanges"], values["market_open_utc"], values["priority"]) == (["LSE"], "08:00:00", 5)


AT = datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc)
BACKFILL = Override(
    *(7, "data_collection_equities", "us_markets", {"memory_limit": "4Gi"}),
    *(AT, AT + timedelta(hours=4), "month's end", "ann", AT),
)


def overridden(**values: object) -> DagConfig:
    sources = {"memory_request": "row", "memory_limit": BACKFILL.source}
    return config(**{"memory_limit": "4Gi", "sources": sources, "overrides": (BACKFILL,), **values})


def test_an_override_reads_as_until_when_who_and_why() -> None:
    assert str(BACKFILL) == "override 7 until 2026-11-23 06:14:05+00:00 by ann (month's end)"
    assert str(replace(BACKFILL, created_by=None, reason=None)) == "override 7 until 2026-11-23 06:14:05+00:00"


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


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("45m", timedelta(minutes=45)),
        ("2h", timedelta(hours=2)),
        ("1h30m", timedelta(minutes=90)),
        ("3d", timedelta(days=3)),
        ("2w", timedelta(weeks=2)),
        ("1w2d3h4m5s", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2 h", "2h ", "-2h", "1.5h", "30m1h", "2 hours", "2H", "0m", "999999999999w", "\u0662h"], ids=ascii
)
def test_what_is_no_duration_is_answered_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))} is no duration.* write "):
        parse_duration(text)


@given(st.sampled_from(OVERRIDE_COLUMNS), st.none() | st.booleans() | st.integers() | st.text() | quantity_texts | st.floats())
def test_a_new_value_that_is_taken_makes_a_row_that_runs(column: str, value: object) -> None:
    try:
        checked = checked_value(column, value)
    except ValueError:
        return

    # As request and limit at once, so that it has nothing to fit to but itself.
    resource = column.partition("_")[0]
    columns = (f"{resource}_request", f"{resource}_limit") if resource in ("cpu", "memory") else (column,)
    assert config(**dict.fromkeys(columns, checked)).as_dict()[column] == checked


def test_an_entry_without_its_columns_says_what_differs_but_for_what_the_store_keeps() -> None:
    old = {"id": 3, "dag_name": "d", "batch_size": 500, "updated_at": "2026-11-23"}
    entry = HistoryEntry(
        *(17, "UPDATE", "dag_configuration", "d", "j", None, None, "ann", None, AT, None),
        *((), None, old, {**old, "batch_size": 7, "updated_at": "2026-11-24"}),
    )

    assert entry.differences() == {"batch_size": (500, 7)}
    assert (entry.subject, entry.as_dict()["changed_at"]) == ("d/j", "2026-11-23 02:14:05+00:00")
