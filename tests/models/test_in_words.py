"""The configuration in force for a job, as one line, the first of a task's log."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_dagconfig.models import (
    DagConfig,
    ExchangeGroup,
    Override,
    Quantity,
    RowChange,
    Unreadable,
    ago,
    in_force,
    time_of_day,
)

NOW = datetime(2026, 11, 23, 21, 30, tzinfo=timezone.utc)
NO_ROW = DagConfig.defaults("collection", "us_markets")
GROUP = ExchangeGroup("us_markets", "US Markets", ("NYSE",), version=2)


def before(**duration: float) -> datetime:
    return NOW - timedelta(**duration)


def changed(reason: str | None = None, **differences: tuple[Any, Any]) -> RowChange:
    return RowChange(17, "dba", before(minutes=20), reason, "dba", "UPDATE", differences)


ROW = replace(NO_ROW, version=4, sources=dict.fromkeys(NO_ROW.sources, "row"))
OVERRIDE = Override(
    *(7, "collection", "us_markets", {"memory_limit": "4Gi"}),
    *(before(hours=1), NOW + timedelta(hours=8, minutes=30), "month's end", "ann", before(hours=1)),
)


@pytest.mark.parametrize(
    ("config", "group", "line"),
    [
        pytest.param(
            replace(ROW, row_change=changed("the markets have grown", batch_size=(500, 750))),
            None,
            "version 4, changed by dba 20 minutes ago (batch_size 500 -> 750: the markets have grown)",
            id="a-change",
        ),
        pytest.param(
            replace(ROW, row_change=changed("the markets have grown", batch_size=(500, 750)), overrides=(OVERRIDE,)),
            GROUP,
            "version 4, changed by dba 20 minutes ago (batch_size 500 -> 750: the markets have grown), override 7 until 06:00 UTC"
            " by ann (memory_limit 4Gi: month's end), exchange group us_markets version 2",
            id="an-override-and-a-group",
        ),
        pytest.param(
            replace(ROW, row_change=changed(memory_request=("1Gi", "2Gi"), memory_limit=("2Gi", "4Gi"))),
            None,
            "version 4, changed by dba 20 minutes ago (memory_request 1Gi -> 2Gi, memory_limit 2Gi -> 4Gi)",
            id="several-columns",
        ),
        pytest.param(
            replace(ROW, row_change=changed("x" * 500, description=(None, "y" * 4000))),
            None,
            f"version 4, changed by dba 20 minutes ago (description NULL -> {'y' * 57}...: {'x' * 57}...)",
            id="long-values",
        ),
        pytest.param(
            replace(ROW, version=1, row_change=RowChange(1, "system", before(days=3), None, "postgres", "INSERT")),
            None,
            "version 1, made by system (postgres) 3 days ago",
            id="never-changed",
        ),
        pytest.param(ROW, None, "version 4", id="no-history"),
        pytest.param(
            replace(ROW, batch_size=7, memory_limit=Quantity.parse("8Gi"), sources={"batch_size": "run", "memory_limit": "run"}),
            None,
            "version 4, memory_limit 8Gi, batch_size 7 by the run's conf",
            id="a-runs-conf",
        ),
        pytest.param(NO_ROW, None, "no row in financial_screener.dag_configuration, the defaults are in force", id="no-row"),
        pytest.param(
            replace(NO_ROW, row_change=RowChange(9, "eve", before(hours=2), "cleaning", None, "DELETE")),
            None,
            "no row in financial_screener.dag_configuration, the defaults are in force; the row was deleted by eve 2 hours ago"
            " (cleaning)",
            id="a-deleted-row",
        ),
    ],
)
def test_one_line_says_what_a_try_runs_with(config: DagConfig, group: ExchangeGroup | None, line: str) -> None:
    assert in_force(config, group, NOW) == f"collection/us_markets: {line}"


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (NOW + timedelta(seconds=3), "a moment ago"),
        (before(seconds=59), "a moment ago"),
        (before(minutes=1), "1 minute ago"),
        (before(minutes=59, seconds=59), "59 minutes ago"),
        (before(hours=1), "1 hour ago"),
        (before(hours=23), "23 hours ago"),
        (before(hours=24), "yesterday"),
        (before(hours=48), "2 days ago"),
        (Unreadable("infinity"), "at infinity"),
    ],
)
def test_an_age_is_told_in_words(moment: datetime, said: str) -> None:
    assert ago(moment, NOW) == said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 11, 24, 7, 0, tzinfo=timezone(timedelta(hours=1))), "06:00 UTC"),
        (NOW + timedelta(days=2), "2026-11-25 21:30 UTC"),
        (Unreadable("infinity"), "infinity"),
    ],
)
def test_a_moment_that_is_near_has_no_date(moment: datetime, said: str) -> None:
    assert time_of_day(moment, NOW) == said
