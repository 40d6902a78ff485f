"""Which month historical_load_equities loads next: pure date arithmetic."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_dagconfig.example_dags.historical_load_equities import complete_months, next_month

days = st.dates(min_value=date(1960, 1, 1), max_value=date(2200, 12, 31))
years = st.integers(min_value=1, max_value=12)


@pytest.mark.parametrize(
    ("today", "first", "last"),
    [
        pytest.param(date(2025, 10, 28), date(2025, 9, 1), date(2025, 9, 30), id="within a year"),
        pytest.param(date(2025, 10, 1), date(2025, 9, 1), date(2025, 9, 30), id="first day of a month"),
        pytest.param(date(2025, 10, 31), date(2025, 9, 1), date(2025, 9, 30), id="last day of a month"),
        pytest.param(date(2026, 1, 15), date(2025, 12, 1), date(2025, 12, 31), id="over the turn of the year"),
        pytest.param(date(2025, 12, 31), date(2025, 11, 1), date(2025, 11, 30), id="last day of a year"),
        pytest.param(date(2024, 3, 31), date(2024, 2, 1), date(2024, 2, 29), id="February of a leap year"),
        pytest.param(date(2025, 3, 31), date(2025, 2, 1), date(2025, 2, 28), id="February of another year"),
        pytest.param(date(2000, 3, 1), date(2000, 2, 1), date(2000, 2, 29), id="a century that is a leap year"),
        pytest.param(date(2100, 3, 1), date(2100, 2, 1), date(2100, 2, 28), id="a century that is none"),
    ],
)
def test_the_first_month_to_load_is_the_last_complete_one(today: date, first: date, last: date) -> None:
    assert next_month(today, years=2, loaded=[]) == (first, last)


def test_months_are_loaded_backwards() -> None:
    assert next_month(date(2026, 2, 10), years=2, loaded=["2026-01", "2025-12"]) == (date(2025, 11, 1), date(2025, 11, 30))


def test_a_month_that_is_missing_between_loaded_ones_is_next() -> None:
    loaded = ["2026-01", "2025-11", "2025-10"]
    assert next_month(date(2026, 2, 10), years=2, loaded=loaded) == (date(2025, 12, 1), date(2025, 12, 31))


def test_a_month_that_became_complete_is_next() -> None:
    loaded = ["2026-01", "2025-12"]
    assert next_month(date(2026, 3, 1), years=1, loaded=loaded) == (date(2026, 2, 1), date(2026, 2, 28))


def test_two_years_end_with_the_same_month_two_years_ago() -> None:
    months = complete_months(date(2025, 10, 28), years=2)
    assert (len(months), months[0], months[-1]) == (24, date(2025, 9, 1), date(2023, 10, 1))


def test_more_years_go_further_back() -> None:
    loaded = [f"{month:%Y-%m}" for month in complete_months(date(2025, 10, 28), years=2)]
    assert next_month(date(2025, 10, 28), years=2, loaded=loaded) is None
    assert next_month(date(2025, 10, 28), years=3, loaded=loaded) == (date(2023, 9, 1), date(2023, 9, 30))


@settings(deadline=None)
@given(today=days, years=years)
def test_every_day_before_this_month_is_in_one_month_without_gap(today: date, years: int) -> None:
    loaded: list[str] = []
    end = today.replace(day=1)
    while month := next_month(today, years, loaded):
        first, last = month
        assert last + timedelta(days=1) == end
        assert (first.day, first.month, first.year) == (1, last.month, last.year)
        loaded.append(f"{first:%Y-%m}")
        end = first
    assert len(loaded) == 12 * years
    assert (end.year, end.month) == (today.year - years, today.month)


@settings(deadline=None)
@given(today=days, years=years, data=st.data())
def test_what_is_loaded_is_not_loaded_again(today: date, years: int, data: st.DataObject) -> None:
    months = [f"{month:%Y-%m}" for month in complete_months(today, years)]
    loaded = data.draw(st.sets(st.sampled_from(months)))
    month = next_month(today, years, loaded)
    left = [name for name in months if name not in loaded]
    assert (f"{month[0]:%Y-%m}" if month else None) == (left[0] if left else None)
