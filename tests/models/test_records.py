"""How changes, overrides and entries of the history read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from airflow_provider_dagconfig.models import Change, HistoryEntry, Override

AT = datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc)


def test_a_change_reads_as_who_when_and_why() -> None:
    assert str(Change(17, "admin", AT)) == "by admin at 2026-11-23 02:14:05+00:00 (audit entry 17)"
    assert str(Change(17, "admin", AT, "new feed")) == "by admin at 2026-11-23 02:14:05+00:00 (audit entry 17: new feed)"
    assert str(Change(17, "maria", AT, None, "operators")).startswith("by maria (operators) at 2026-11-23")
    assert str(Change(17, "maria", AT, None, "maria")).startswith("by maria at 2026-11-23")
    assert str(Change(18, None, AT)) == "by an unknown user at 2026-11-23 02:14:05+00:00 (audit entry 18)"


def test_an_override_reads_as_until_when_who_and_why() -> None:
    override = Override(7, "d", "j", {"batch_size": 7}, AT, AT + timedelta(hours=4), "month's end", "ann", AT)

    assert str(override) == "override 7 until 2026-11-23 06:14:05+00:00 by ann (month's end)"
    assert str(replace(override, created_by=None, reason=None)) == "override 7 until 2026-11-23 06:14:05+00:00"


def test_an_entry_without_its_columns_says_what_differs_but_for_what_the_store_keeps() -> None:
    old = {"id": 3, "dag_name": "d", "batch_size": 500, "updated_at": "2026-11-23"}
    entry = HistoryEntry(
        *(17, "UPDATE", "dag_configuration", "d", "j", None, None, "ann", None, AT, None),
        *((), None, old, {**old, "batch_size": 7, "updated_at": "2026-11-24"}),
    )

    assert entry.differences() == {"batch_size": (500, 7)}
    assert (entry.subject, entry.as_dict()["changed_at"]) == ("d/j", "2026-11-23 02:14:05+00:00")
