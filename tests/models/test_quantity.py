"""Quantities: what Kubernetes takes, what is meant by what it does not take, and how they compare."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity
from plugins.quantities import quantity_texts

from airflow_provider_dagconfig.cli.values import JOB_COLUMNS, UsageError, read_assignments
from airflow_provider_dagconfig.models import OVERRIDE_COLUMNS, DagConfig, InvalidRowError, Quantity


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
        ("memory_limit", "9 E", MEMORY),
        ("memory_limit", "64 TB", "write 64T or 64Ti"),
        ("memory_limit", "65 TB", "write 65T"),
        ("cpu_limit", "2000 cores", CPU),
        ("memory_limit", "-2 GB", MEMORY),
        ("memory_limit", "lots", MEMORY),
    ],
)
def test_a_mistyped_quantity_is_answered_with_what_its_column_takes(column: str, text: str, suggestion: str) -> None:
    said = f"{text!r} is no Kubernetes quantity; {suggestion}"
    row = {**DagConfig.defaults("d", "j").as_dict(), column: text}
    with pytest.raises(ValueError, match=re.escape(said) + "$"):
        OVERRIDE_COLUMNS[column].checked(text)
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
        OVERRIDE_COLUMNS[column].checked(text)
    except ValueError as error:
        for suggestion in re.findall(r"[\d.]+[A-Za-z]*", str(error).partition(" is no Kubernetes quantity; ")[2]):
            assert OVERRIDE_COLUMNS[column].checked(suggestion) == suggestion


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
