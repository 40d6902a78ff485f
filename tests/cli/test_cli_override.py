"""`airflow dagconfig override`: planned, tried, extended; and what it says it covers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from plugins.command_line import Answer
from plugins.postgres import PASSWORD, Database

DAG, JOB = "data_collection_equities", "us_markets"
WHY = ("--reason", "quarter end")
Run = Callable[..., Answer]


def overrides(run: Run) -> list[dict[str, Any]]:
    return list(json.loads(run("override", "--list", "--all", "-o", "json").out))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_an_override_that_is_only_tried_leaves_nothing(store_cli: Run) -> None:
    answer = store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", *WHY, "--dry-run")

    assert (answer.code, overrides(store_cli)) == (0, [])
    assert "memory_limit  2Gi -> 8Gi" in answer.out
    assert answer.out.endswith("Nothing was changed: --dry-run.\n")


def test_a_try_is_refused_as_the_override_would_be(store_cli: Run) -> None:
    answer = store_cli("override", DAG, JOB, "memory_limit=512Mi", "--for", "2h", *WHY, "--dry-run")

    assert (answer.code, "memory_request" in answer.err) == (1, True)


def test_an_override_may_begin_later(store_cli: Run) -> None:
    answer = store_cli("override", DAG, JOB, "memory_limit=8Gi", "--from", "3h", "--for", "2h", *WHY)

    [planned] = overrides(store_cli)
    assert (answer.code, planned["state"]) == (0, "planned")
    assert moment(planned["ends_at"]) - moment(planned["starts_at"]) == timedelta(hours=2)
    assert re.search(r"holds from [\d :-]+ UTC until [\d :-]+ UTC", answer.out)


@pytest.mark.parametrize("end", [["--until", "1h"], ["--for", "1h", "--until", "2h"]], ids=["ends before", "two ends"])
def test_a_beginning_after_the_end_is_refused(store_cli: Run, end: list[str]) -> None:
    answer = store_cli("override", DAG, JOB, "memory_limit=8Gi", "--from", "3h", *end, *WHY)

    assert (answer.code, overrides(store_cli)) == (2, [])


def test_it_says_what_it_covers_and_what_it_goes_before(store_cli: Run) -> None:
    store_cli("set", DAG, "all", "--create")
    store_cli("override", DAG, "memory_limit=6Gi", "batch_size=7", "--for", "4h", *WHY)

    answer = store_cli("override", DAG, "memory_limit=8Gi", "--for", "2h", *WHY)

    assert f"It covers memory_limit of {DAG}/all, and nothing else." in answer.out
    assert "For memory_limit it takes precedence over override 1 until" in answer.err
    assert "the others run as before: us_markets, lse, german_markets, european_markets." in answer.err


def test_an_override_of_a_job_that_is_off_says_that_it_stays_off(store_cli: Run) -> None:
    store_cli("disable", DAG, JOB)

    answer = store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", *WHY)

    assert f"{DAG}/{JOB} is disabled, and stays disabled. To enable it: airflow dagconfig enable {DAG} {JOB}" in answer.err


@pytest.mark.parametrize("start", [[], ["--from", "3h"]], ids=["in force", "planned"])
def test_an_override_is_extended_by_another_one_with_the_same_values(store_cli: Run, start: list[str]) -> None:
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "batch_size=7", *start, "--for", "2h", *WHY)
    [old] = overrides(store_cli)
    tried = store_cli("override", "--extend", "1", "--for", "90m", "--dry-run")
    assert (tried.code, overrides(store_cli)) == (0, [old])

    answer = store_cli("override", "--extend", "1", "--for", "90m")

    new, ended = overrides(store_cli)
    assert answer.code == 0
    assert (new["values"], new["reason"], new["state"]) == (old["values"], "quarter end", old["state"])
    assert moment(new["ends_at"]) - moment(old["ends_at"]) == timedelta(minutes=90)
    # The new override of one in force begins at once; times are shown to the second.
    assert moment(new["starts_at"]) >= moment(old["starts_at"])
    assert not start or new["starts_at"] == old["starts_at"]
    assert ended["state"] == "ended"
    assert "It takes the place of override 1." in answer.out


def test_what_has_ended_is_not_extended_but_made_again_by_the_command_that_is_shown(
    store_cli: Run, dagconfig: Run, migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "batch_size=7", "--for", "2h", "--reason", "why")
    ended = store_cli("override", "--end", "1")
    assert "Now: memory_limit=2Gi (row), batch_size=500 (row)" in ended.out
    entry = json.loads(store_cli("history", "--limit", "1", "-o", "json").out)[0]["audit_id"]

    by_url = dagconfig("override", "--extend", "1", "--for", "3h", "--url", migrated_database.url)
    for refused in (store_cli("override", "--extend", "1", "--for", "3h"), store_cli("rollback", str(entry), "--yes"), by_url):
        assert refused.code == 4
        words = refused.err.partition("To make it again: ")[2].split()
        assert store_cli(*words[2:]).code == 0
        assert overrides(store_cli)[0]["values"] == {"memory_limit": "8Gi", "batch_size": 7}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        pytest.param(
            ["--until", f"{datetime.now(timezone.utc) + timedelta(hours=1):%Y-%m-%d %H:%M}"], "already", id="an earlier end"
        ),
        pytest.param([], "Say how long", id="no end"),
        pytest.param(["--for", "1h", "--from", "1h"], "--from cannot go with --extend", id="a beginning"),
        pytest.param(["--for", "1h", "batch_size=8"], "COLUMN=VALUE cannot go with --extend", id="other values"),
    ],
)
def test_an_invalid_extension_is_refused(store_cli: Run, words: list[str], complaint: str) -> None:
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", *WHY)

    answer = store_cli("override", "--extend", "1", *words)

    assert (answer.code, complaint in answer.err) == (2, True), answer
    assert len(overrides(store_cli)) == 1
