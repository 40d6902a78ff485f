"""Durations, as people type them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from airflow_provider_dagconfig.models import parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("45m", timedelta(minutes=45)),
        ("2h", timedelta(hours=2)),
        ("1h30m", timedelta(minutes=90)),
        ("3d", timedelta(days=3)),
        ("2w", timedelta(weeks=2)),
        ("2 hours", timedelta(hours=2)),
        ("90 min", timedelta(minutes=90)),
        ("1 day", timedelta(days=1)),
        ("1 day and 2 hours", timedelta(hours=26)),
        ("1 day, 2 Hours", timedelta(hours=26)),
        (" 2h  30m ", timedelta(minutes=150)),
        ("1.5h", timedelta(minutes=90)),
        ("2H", timedelta(hours=2)),
        ("1w2d3h4m5s", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "h",
        "-2h",
        "1,5h",
        "30m1h",
        "1h1h",
        "2 hourz",
        "1M",
        "1 month",
        "1h30",
        "0m",
        "999999999999w",
        "9" * 400 + "h",
        "\u0662h",
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_the_error_of_an_invalid_duration_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))} is no duration.* write "):
        parse_duration(text)
