"""The factor by which memory grows, as it is typed, shown, exported, undone and removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import airflow
import pytest
from plugins.command_line import Answer
from plugins.postgres import Database

Run = Callable[..., Answer]
JOB = ("calculate_indicators", "all")


def kept(database: Database) -> tuple[object, ...]:
    [row] = database.execute(
        "SELECT memory_growth, memory_growth_limit FROM financial_screener.dag_configuration WHERE job_name = 'all'"
    )
    return row


def test_it_is_set_shown_and_removed(store_cli: Run, migrated_database: Database) -> None:
    answer = store_cli("set", *JOB, "memory_growth=1.50", "memory_growth_limit=16Gi")
    assert (answer.code, answer.err) == (0, "")
    assert "memory_growth        - -> 1.5\n" in answer.out
    assert kept(migrated_database) == (Decimal("1.5"), "16Gi")
    assert "Nothing to do" in store_cli("set", *JOB, "memory_growth=1.5").out

    shown = json.loads(store_cli("get", *JOB, "-o", "json").out)
    assert (shown["memory_growth"], shown["memory_growth_limit"]) == (1.5, "16Gi")

    assert "memory_growth        1.5 -> -\n" in store_cli("set", *JOB, "memory_growth=", "memory_growth_limit=").out
    assert kept(migrated_database) == (None, None)


def test_an_export_that_is_applied_brings_it_back(store_cli: Run, migrated_database: Database, tmp_path: Path) -> None:
    without, grows = tmp_path / "without.yaml", tmp_path / "grows.yaml"
    store_cli("export", str(without))
    store_cli("set", *JOB, "memory_growth=1.1", "memory_growth_limit=16Gi")
    store_cli("export", str(grows))

    assert store_cli("apply", str(without), "--yes").code == 0
    assert kept(migrated_database) == (None, None)
    assert store_cli("apply", str(grows), "--yes").code == 0
    assert kept(migrated_database) == (Decimal("1.1"), "16Gi")
    assert "There is no difference" in store_cli("diff", "--file", str(grows)).out


def test_it_is_undone_by_entry_and_to_a_moment(store_cli: Run, migrated_database: Database, between: Callable[[], str]) -> None:
    store_cli("set", *JOB, "memory_growth=1.1")
    moment = between()
    store_cli("set", *JOB, "memory_growth=2")
    assert "memory_growth: 1.1 -> 2" in store_cli("history", *JOB).out

    assert store_cli("rollback", *JOB, "--to", moment, "--yes").code == 0
    assert kept(migrated_database) == (Decimal("1.1"), None)
    assert "Nothing to do" in store_cli("rollback", *JOB, "--to", moment, "--yes").out
    entry = json.loads(store_cli("history", *JOB, "--limit", "1", "-o", "json").out)[0]["audit_id"]
    assert store_cli("rollback", str(entry), "--yes").code == 0
    assert kept(migrated_database) == (Decimal(2), None)


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [("x2", "write 2"), ("1,5", "write 1.5"), ("double", "write one, such as 2 or 1.5"), ("1.005", "at most two decimals")],
)
def test_the_error_of_an_invalid_factor_says_how_to_write_it(store_cli: Run, typed: str, complaint: str) -> None:
    answer = store_cli("set", *JOB, f"memory_growth={typed}")
    assert (answer.code, answer.out) == (2, "")
    assert complaint in answer.err


@pytest.mark.parametrize("factor", ["0", "1", "1.09", "11"])
def test_a_factor_by_which_nothing_grows_sensibly_is_refused(store_cli: Run, factor: str) -> None:
    answer = store_cli("set", *JOB, f"memory_growth={factor}")
    assert answer.code == 1
    assert "from 1.1 to 10" in answer.err


@pytest.mark.parametrize(
    "command", [["set", *JOB], ["override", *JOB, "--for", "1h", "--reason", "why"]], ids=lambda words: words[0]
)
@pytest.mark.parametrize(("version", "notes"), [("3.2.2", 1), ("3.3.0", 0), ("4.0", 0)])
def test_an_airflow_in_which_nothing_grows_is_told_once(
    store_cli: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], version: str, notes: int
) -> None:
    monkeypatch.setattr(airflow, "__version__", version)

    answer = store_cli(*command, "memory_growth=2", "memory_growth_limit=16Gi")

    assert answer.code == 0
    assert answer.err.count(f"Memory does not grow with this Airflow, {version}") == notes
