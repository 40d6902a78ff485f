"""Values as an operator types them: assignments, moments."""

from __future__ import annotations

import contextlib
import re
from dataclasses import fields
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dagconfig.cli.values import (
    GROUP_COLUMNS,
    JOB_COLUMNS,
    UsageError,
    read_assignments,
    read_moment,
)
from airflow_provider_dagconfig.models import CONFIG_COLUMNS, ExchangeGroup
from airflow_provider_dagconfig.wording import did_you_mean

NOW = datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc)


def test_every_configurable_column_can_be_typed() -> None:
    assert list(JOB_COLUMNS) == list(CONFIG_COLUMNS)
    assert set(GROUP_COLUMNS) == {f.name for f in fields(ExchangeGroup)} - {"group_name", "version"}


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        pytest.param("MEMORY_LIMIT", JOB_COLUMNS, "memory_limit", id="capitals"),
        pytest.param("eod_pricse", ["EOD_Prices", "weekly"], "EOD_Prices", id="a name with capitals"),
    ],
)
def test_a_mistyped_name_is_known_in_capitals_too(word: str, known: list[str], meant: str) -> None:
    assert did_you_mean(word, known) == f" Did you mean {meant!r}?"


def test_a_value_may_hold_what_separates() -> None:
    assert read_assignments(JOB_COLUMNS, ["description=a=b, c", "batch_size=5"]) == {"description": "a=b, c", "batch_size": 5}


TWO_CODES = [
    "NYSE,NASDAQ",
    "NYSE, NASDAQ",
    " NYSE , NASDAQ ",
    "NYSE;NASDAQ",
    "NYSE; NASDAQ",
    "[NYSE,NASDAQ]",
    "[NYSE, NASDAQ]",
    "['NYSE', 'NASDAQ']",
    '["NYSE", "NASDAQ"]',
    "'NYSE','NASDAQ'",
    '"NYSE";"NASDAQ"',
    "'NYSE,NASDAQ'",
    '"[NYSE, NASDAQ]"',
    "(NYSE,NASDAQ)",
    "{NYSE,NASDAQ}",
    "'{NYSE,NASDAQ}'",
    '{"NYSE","NASDAQ"}',
    "ARRAY['NYSE','NASDAQ']",
    "array [ 'NYSE', 'NASDAQ' ]",
    "ARRAY['NYSE','NASDAQ']::text[]",
    "ARRAY['NYSE','NASDAQ']::varchar(10)[]",
    "'{NYSE,NASDAQ}'::text[]",
]


@pytest.mark.parametrize("text", TWO_CODES)
def test_exchange_codes_are_read_as_people_write_lists(text: str) -> None:
    assert read_assignments(GROUP_COLUMNS, [f"exchanges={text}"]) == {"exchanges": ["NYSE", "NASDAQ"]}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        pytest.param("NYSE", ["NYSE"], id="one"),
        pytest.param("[NYSE]", ["NYSE"], id="a list of one"),
        pytest.param("ARRAY['NYSE']", ["NYSE"], id="an array of one"),
        pytest.param("ARRAY", ["ARRAY"], id="a code that is called so"),
        pytest.param("NO,1e3,X-1,BRK.A,a_b", ["NO", "1e3", "X-1", "BRK.A", "a_b"], id="codes of many kinds"),
    ],
)
def test_exchange_codes_stay_as_they_are(text: str, codes: list[str]) -> None:
    assert read_assignments(GROUP_COLUMNS, [f"exchanges={text}"]) == {"exchanges": codes}


@pytest.mark.parametrize(
    "text",
    [
        "NYSE NASDAQ",
        "NYSE  NASDAQ",
        "NYSE\tNASDAQ",
        "NYSE\nNASDAQ",
        "NYSE|NASDAQ",
        "NYSE/NASDAQ",
        "[NYSE NASDAQ]",
        "[NYSE,NASDAQ",
        "NYSE,NASDAQ]",
        "[NYSE],[NASDAQ]",
        "'NYSE,NASDAQ",
        "ARRAY('NYSE','NASDAQ')",
        "NYSE=>NASDAQ",
        "NYSE:NASDAQ",
    ],
)
def test_what_is_no_list_of_codes_says_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_assignments(GROUP_COLUMNS, [f"exchanges={text}"])

    assert str(refused.value).startswith(f"exchanges {text!r} ")
    [remedy] = re.findall(r"; write (\S+)$", str(refused.value))
    assert read_assignments(GROUP_COLUMNS, [f"exchanges={remedy}"])["exchanges"][-1].endswith("NASDAQ")


_NO_CODE = set("[](){}<>'\"`,;|/\\=")


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_code_holds_what_separates_or_encloses(text: str) -> None:
    with contextlib.suppress(UsageError):
        for code in read_assignments(GROUP_COLUMNS, [f"exchanges={text}"])["exchanges"]:
            assert not _NO_CODE & set(code)
            assert "".join(code.split()) == code


@pytest.mark.parametrize(
    ("text", "ago", "moment"),
    [
        pytest.param("now", True, NOW, id="now"),
        pytest.param("2h", True, NOW - timedelta(hours=2), id="ago"),
        pytest.param("2h", False, NOW + timedelta(hours=2), id="ahead"),
        pytest.param("1d12h", True, NOW - timedelta(days=1, hours=12), id="days and hours"),
        pytest.param("02:00", True, NOW.replace(minute=0, second=0), id="earlier today"),
        pytest.param("03:00", True, NOW.replace(hour=3, minute=0, second=0) - timedelta(days=1), id="yesterday"),
        pytest.param("6:00", False, NOW.replace(hour=6, minute=0, second=0), id="later today"),
        pytest.param("02:00", False, NOW.replace(minute=0, second=0) + timedelta(days=1), id="tomorrow"),
        pytest.param("2026-11-23 02:14:05", True, NOW, id="UTC where nothing is said"),
        pytest.param("2026-11-23T02:14:05Z", True, NOW, id="Z"),
        pytest.param("2026-11-23 02:14:05 UTC", True, NOW, id="as we print it"),
        pytest.param("2026-11-23 03:14:05+01:00", True, NOW, id="another zone"),
        pytest.param("2026-11-23 02:14:05.000000+00", True, NOW, id="as PostgreSQL prints it"),
        pytest.param("2026-11-23 03:14:05.25+01", True, NOW + timedelta(seconds=0.25), id="a fraction of a second"),
        pytest.param("2026-11-23T03:14:05+0100", True, NOW, id="a zone without a colon"),
        pytest.param("2026-11-23", True, NOW.replace(hour=0, minute=0, second=0), id="a day"),
        pytest.param("2026-11-23 02", True, NOW.replace(minute=0, second=0), id="an hour of a day"),
        pytest.param("tomorrow 6", False, NOW.replace(hour=6, minute=0, second=0) + timedelta(days=1), id="an hour of tomorrow"),
    ],
)
def test_a_moment_can_be_typed_in_many_ways(text: str, ago: bool, moment: datetime) -> None:
    assert read_moment(text, NOW, ago=ago) == moment


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "6", "2M", "25:00", "tomorrow 25", "2026-13-01", "ago", "0h", "99999999d", "0001-01-01T00:00+14:00", "²h"],
)
def test_what_is_no_moment_is_said_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="is no moment; write one in UTC, such as '2026-11-23 02:14'"):
        read_moment(text, NOW, ago=True)


@given(st.text(max_size=20), st.booleans())
def test_any_text_is_a_moment_with_a_zone_or_is_refused(text: str, ago: bool) -> None:
    with contextlib.suppress(UsageError):
        assert read_moment(text, NOW, ago=ago).tzinfo is not None
