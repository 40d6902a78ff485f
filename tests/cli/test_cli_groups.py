"""`airflow dagconfig groups`: adding a market, changing it, leaving it out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest
from plugins.command_line import Answer
from plugins.postgres import Database

Run = Callable[..., Answer]


def names(run: Run) -> list[str]:
    return [group["group_name"] for group in json.loads(run("groups", "list", "-o", "json").out)]


def test_groups_are_listed_in_their_order_the_disabled_too(store_cli: Run) -> None:
    store_cli("groups", "disable", "lse")

    assert names(store_cli) == ["us_markets", "lse", "german_markets", "european_markets"]
    row = next(line for line in store_cli("groups", "list").out.splitlines() if line.startswith("lse"))
    assert "off" in row


def test_a_market_is_added(store_cli: Run, migrated_database: Database) -> None:
    answer = store_cli(
        "groups",
        "add",
        "asian_markets",
        "exchanges=TSE,HKEX",
        "display_name=Asian Markets",
        "priority=6",
        "market_open_utc=00:30",
        "--by",
        "ann",
    )

    assert (answer.code, answer.err) == (0, "")
    assert names(store_cli)[-1] == "asian_markets"
    assert migrated_database.execute(
        "SELECT display_name, exchanges, market_open_utc::text, version FROM financial_screener.exchange_groups WHERE priority = 6"
    ) == [("Asian Markets", ["TSE", "HKEX"], "00:30:00", 1)]


@pytest.mark.parametrize(
    "assignments",
    [
        pytest.param(["exchanges=LSE,AIM", "display_name=London's own", "market_open_utc=08:00"], id="values"),
        pytest.param(["exchanges=LSE"], id="defaults"),
        pytest.param(["exchanges=LSE", "enabled=false", "description=a b; c"], id="words"),
    ],
)
def test_a_group_that_is_there_is_given_the_values_by_the_command_that_is_shown(store_cli: Run, assignments: list[str]) -> None:
    refused = store_cli("groups", "add", "lse", *assignments)
    words = shlex.split(refused.err.partition("To give it these: ")[2])

    assert (refused.code, words[:4]) == (4, ["airflow", "dagconfig", "groups", "set"])
    assert store_cli(*words[2:]).code == 0
    again = store_cli("groups", "add", "lse", *assignments)
    assert (again.code, "Nothing to do" in again.out) == (0, True)


def test_a_group_is_changed_and_its_version_guards_it(store_cli: Run) -> None:
    changed = store_cli("groups", "set", "lse", "exchanges=LSE,AIM", "--if-version", "1")
    stale = store_cli("groups", "set", "lse", "exchanges=LSE", "--if-version", "1")

    assert (changed.code, stale.code) == (0, 4)
    assert "exchanges  LSE -> LSE,AIM" in changed.out


def test_a_group_is_removed_only_when_confirmed(store_cli: Run) -> None:
    assert store_cli("groups", "remove", "lse").code == 1
    assert "lse" in names(store_cli)

    removed = store_cli("groups", "remove", "lse", "--yes")

    assert removed.code == 0
    assert "lse" not in names(store_cli)
    assert "To undo it: airflow dagconfig rollback " in removed.out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        pytest.param(["add", "x"], 2, "Say which exchanges it has", id="no exchanges"),
        pytest.param(["add", "lse", "exchanges=LSE"], 4, "There is an exchange group 'lse' already", id="there already"),
        pytest.param(["add", "x", "exchanges=A,A"], 1, "exchanges", id="one twice"),
        pytest.param(["add", "x", "exchanges=A,,B"], 1, "exchanges", id="an empty one"),
        pytest.param(["set", "lse", "primary_timezone=Europe/Londn"], 1, "primary_timezone", id="no timezone"),
        pytest.param(["set", "lse", "market_open_utc=25:00"], 2, "'25:00' is no time of day", id="no time"),
        pytest.param(["set", "lse"], 2, "Nothing is set", id="nothing"),
        pytest.param(["remove", "nobody", "--yes"], 3, "There is no exchange group 'nobody'", id="an unknown one"),
    ],
)
def test_a_group_that_cannot_be_is_refused(store_cli: Run, arguments: list[str], code: int, complaint: str) -> None:
    before = names(store_cli)

    answer = store_cli("groups", *arguments)

    assert answer.code == code
    assert complaint in answer.err
    assert names(store_cli) == before
