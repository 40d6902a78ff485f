"""The commands that only look: what an operator sees of jobs, groups, their history and their past."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from plugins.command_line import Answer
from plugins.postgres import Database

from airflow_provider_dagconfig.cli.values import JOB_COLUMNS

DAG, JOB = "data_collection_equities", "us_markets"
Run = Callable[..., Answer]


def test_list_shows_each_dags_jobs_and_what_is_off(store_cli: Run, migrated_database: Database) -> None:
    migrated_database.execute("UPDATE financial_screener.dag_configuration SET enabled = false WHERE job_name = 'lse'")

    answer = store_cli("list")

    assert (answer.code, answer.err) == (0, "")
    titles = [
        line.strip()
        for line in answer.out.splitlines()
        if line.strip() in (DAG, "historical_load_equities", "calculate_indicators")
    ]
    assert titles == ["calculate_indicators", DAG, "historical_load_equities"]
    states = {
        next(cell.strip() for cell in line.split("|")): "off" in line.split("|")[7]
        for line in answer.out.splitlines()
        if "|" in line
    }
    assert (states["lse"], states["us_markets"]) == (True, False)


def test_list_for_scripts_has_every_column_with_its_type(store_cli: Run) -> None:
    jobs = json.loads(store_cli("list", DAG, "-o", "json").out)

    assert [job["job_name"] for job in jobs] == ["us_markets", "lse", "german_markets", "european_markets"]
    assert JOB_COLUMNS.keys() <= jobs[0].keys()
    assert (jobs[0]["batch_size"], jobs[0]["enabled"], jobs[0]["memory_limit"], jobs[0]["version"]) == (500, True, "2Gi", 1)


def test_plain_has_one_word_a_column(store_cli: Run) -> None:
    header, *rows = store_cli("list", "-o", "plain").out.splitlines()

    assert {len(row.split()) for row in rows} == {len(header.split())}


def test_get_says_where_each_value_is_from(store_cli: Run) -> None:
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", "--reason", "OOMKilled", "--by", "ann")

    found = json.loads(store_cli("get", DAG, JOB, "-o", "json").out)
    shown = store_cli("get", DAG, JOB).out

    assert (found["memory_limit"], found["cpu_limit"]) == ("8Gi", "2000m")
    assert found["sources"]["memory_limit"].startswith("override 1")
    assert found["sources"]["cpu_limit"] == "row"
    assert "override 1 (row: 2Gi)" in shown
    assert "by ann: OOMKilled" in shown


def test_get_names_the_rows_own_change_beside_its_version(store_cli: Run) -> None:
    store_cli("set", DAG, JOB, "batch_size=600", "--reason", "month end")
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", "--reason", "OOMKilled")
    [_, of_the_row] = json.loads(store_cli("history", DAG, JOB, "--limit", "2", "-o", "json").out)

    last = store_cli("get", DAG, JOB).out.splitlines()[-1]

    assert last.startswith("row at version 2, last changed ")
    assert last.endswith(f"(entry {of_the_row['audit_id']}: month end)")


def test_the_job_all_needs_not_be_said(store_cli: Run) -> None:
    named = store_cli("get", "calculate_indicators", "all", "-o", "json").out

    assert store_cli("get", "calculate_indicators", "-o", "json").out == named


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        pytest.param(["get", DAG, "us_market"], "Did you mean 'us_markets'?", id="a job"),
        pytest.param(["get", "data_colection_equities", JOB], f"Did you mean '{DAG}'?", id="a DAG"),
        pytest.param(["list", "calculate_indicator"], "Did you mean 'calculate_indicators'?", id="a DAG in list"),
        pytest.param(["history", DAG, "us_market"], "Did you mean 'us_markets'?", id="a job in history"),
        pytest.param(["history", "--group", "lsd"], "Did you mean 'lse'?", id="a group in history"),
        pytest.param(["diff", "--from", "1h", DAG, "us_market"], "Did you mean 'us_markets'?", id="a job in diff"),
        pytest.param(["at", "1h", DAG, "us_market"], "Did you mean 'us_markets'?", id="a job in at"),
        pytest.param(["set", DAG, "us_market", "batch_size=5"], "Did you mean 'us_markets'?", id="a job in set"),
        pytest.param(["rollback", DAG, "us_market", "--to", "1h"], "Did you mean 'us_markets'?", id="a job in rollback"),
        pytest.param(
            ["override", DAG, "us_market", "batch_size=5", "--for", "1h", "--reason", "x"],
            "Did you mean 'us_markets'?",
            id="a job in override",
        ),
        pytest.param(["groups", "disable", "german_market"], "Did you mean 'german_markets'?", id="a group"),
    ],
)
def test_a_mistyped_name_is_not_found_and_the_nearest_is_named(store_cli: Run, arguments: list[str], meant: str) -> None:
    answer = store_cli(*arguments)

    assert answer.code == 3
    assert meant in answer.err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        pytest.param(["set", DAG, JOB, "memroy_limit=4Gi"], "Did you mean 'memory_limit'?", id="a column"),
        pytest.param(["groups", "set", "lse", "exchange=LSE"], "Did you mean 'exchanges'?", id="a group's column"),
        pytest.param(["set", DAG, JOB, "batch_size=5", "--raeson", "x"], "did you mean --reason?", id="an option"),
    ],
)
def test_a_mistyped_argument_is_wrong_usage_and_the_nearest_is_named(store_cli: Run, arguments: list[str], meant: str) -> None:
    answer = store_cli(*arguments)

    assert answer.code == 2
    assert meant in answer.err


def test_history_tells_what_who_and_why_latest_first(store_cli: Run) -> None:
    store_cli("set", DAG, JOB, "memory_limit=4Gi", "--reason", "month end", "--by", "ann")
    store_cli("disable", DAG, JOB, "--by", "bob")

    entries = json.loads(store_cli("history", DAG, JOB, "-o", "json").out)
    shown = store_cli("history", DAG, JOB, "--limit", "2").out

    assert [entry["changed_by"] for entry in entries] == ["bob", "ann", "postgres"]
    assert (entries[1]["reason"], entries[1]["changed_columns"]) == ("month end", ["memory_limit"])
    assert "memory_limit: 2Gi -> 4Gi" in shown
    assert "(month end)" in shown
    assert "made" not in shown


def test_history_of_an_exchange_group(store_cli: Run) -> None:
    store_cli("groups", "set", "lse", "priority=3")

    shown = store_cli("history", "--group", "lse").out

    assert "exchange group lse" in shown
    assert "priority: 9 -> 3" in shown


def test_at_shows_the_row_as_it_was(store_cli: Run, between: Callable[[], str]) -> None:
    before = between()
    store_cli("set", DAG, JOB, "memory_limit=4Gi")

    then = json.loads(store_cli("at", before, DAG, JOB, "-o", "json").out)
    now = json.loads(store_cli("at", "now", DAG, JOB, "-o", "json").out)

    assert (then["memory_limit"], now["memory_limit"]) == ("2Gi", "4Gi")
    assert f"rollback {DAG} {JOB} --to" in store_cli("at", before, DAG, JOB).out


def test_before_its_creation_there_was_no_row(store_cli: Run) -> None:
    answer = store_cli("at", "2001-01-01", DAG, JOB)

    assert answer.code == 3
    assert "had no row at 2001-01-01 00:00:00 UTC" in answer.err


def test_diff_between_moments_shows_jobs_and_groups_that_changed(store_cli: Run, between: Callable[[], str]) -> None:
    before = between()
    store_cli("set", DAG, JOB, "memory_limit=4Gi")
    store_cli("set", DAG, "lse", "batch_size=5")
    store_cli("set", DAG, "lse", "batch_size=500")
    store_cli("groups", "disable", "lse")

    rows = json.loads(store_cli("diff", "--from", before, "-o", "json").out)

    assert [(row["subject"], row["column"], row["before"], row["after"]) for row in rows] == [
        (f"{DAG}/{JOB}", "memory_limit", "2Gi", "4Gi"),
        ("exchange group lse", "enabled", True, False),
    ]


def test_diff_ends_with_a_code_for_scripts_when_asked(store_cli: Run, between: Callable[[], str]) -> None:
    before = between()
    assert store_cli("diff", "--from", before, "--exit-code").code == 0
    store_cli("set", DAG, JOB, "memory_limit=4Gi")

    assert store_cli("diff", "--from", before, "--exit-code").code == 5
    assert store_cli("diff", "--from", before).code == 0


def test_a_row_that_cannot_be_used_is_listed_and_shown_with_what_is_wrong(
    dagconfig: Run, adopted_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", adopted_database.url)
    dagconfig("migrate")

    listed, shown = dagconfig("list"), dagconfig("get", "house_prices")
    halfway = dagconfig("set", "house_prices", "memory_limit=2Gi")
    mended = dagconfig("set", "house_prices", "memory_limit=2Gi", "batch_size=5")

    assert (listed.code, shown.code, halfway.code, mended.code) == (0, 0, 1, 0)
    assert "invalid" in listed.out
    assert "memory_limit '2 GB' of house_prices/all is no Kubernetes quantity" in shown.out
    assert "memory_limit  2 GB -> 2Gi" in mended.out


def test_text_of_the_store_can_neither_colour_nor_break_the_output(store_cli: Run, migrated_database: Database) -> None:
    migrated_database.execute(
        "UPDATE financial_screener.dag_configuration SET description = E'[/red] \\x1b[31m [bold]\\nx' WHERE job_name = 'us_markets'"
    )

    shown = store_cli("get", DAG, JOB).out

    assert "[/red] \\x1b[31m [bold]\\nx" in shown
    assert "\x1b" not in shown
