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
