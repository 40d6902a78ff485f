"""The state that a command prints is the state of the database after it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugins.command_line import Answer
from plugins.postgres import Database

from airflow_provider_dagconfig.store.migrate import migrate

DAG, JOB = "data_collection_equities", "us_markets"
Run = Callable[..., Answer]


def override(run: Run, *assignments: str) -> str:
    assert run("override", DAG, JOB, *assignments, "--for", "2h", "--reason", "x").code == 0
    return str(json.loads(run("override", "--list", "-o", "json").out)[0]["override_id"])


def in_force(run: Run, column: str) -> Any:
    return json.loads(run("get", DAG, JOB, "-o", "json").out)[column]


def last_entry(run: Run) -> str:
    return str(json.loads(run("history", "--limit", "1", "-o", "json").out)[0]["audit_id"])


def as_they_are(run: Run) -> list[Any]:
    return [json.loads(run(*command, "-o", "json").out) for command in (["list"], ["groups", "list"], ["history"])]


# --- override --end ---


def test_the_end_of_an_override_says_what_holds_now(store_cli: Run) -> None:
    ended = override(store_cli, "memory_limit=8Gi", "batch_size=7")

    answer = store_cli("override", "--end", ended)

    assert answer.code == 0
    assert f"override {ended} of {DAG}/{JOB} has ended. Now: memory_limit=2Gi (row), batch_size=500 (row)" in answer.out


def test_the_end_of_an_override_names_the_one_that_holds_then(store_cli: Run) -> None:
    older = override(store_cli, "memory_limit=6Gi", "batch_size=6")
    newer = override(store_cli, "memory_limit=8Gi")

    answer = store_cli("override", "--end", newer)

    assert re.search(rf"Now: memory_limit=6Gi \(override {older} until [^()]+\)", answer.out)
    assert "row" not in answer.out
    assert in_force(store_cli, "memory_limit") == "6Gi"


def test_the_end_of_an_override_that_was_hidden_says_that_nothing_changed_by_it(store_cli: Run) -> None:
    older = override(store_cli, "memory_limit=6Gi")
    newer = override(store_cli, "memory_limit=8Gi")

    answer = store_cli("override", "--end", older)

    assert re.search(rf"Now: memory_limit=8Gi \(override {newer} until [^()]+\)", answer.out)


def test_the_end_of_an_override_of_a_job_without_a_row_names_the_defaults(store_cli: Run) -> None:
    ended = override(store_cli, "memory_limit=8Gi")
    assert store_cli("delete", DAG, JOB, "--yes").code == 0

    answer = store_cli("override", "--end", ended)

    assert "Now: memory_limit=2Gi (default)" in answer.out


# --- groups ---


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        pytest.param(["disable", "lse"], "It takes no part in the next runs", id="switched off"),
        pytest.param(["set", "lse", "priority=3", "enabled=false"], "It takes no part in the next runs", id="set off"),
        pytest.param(["set", "lse", "priority=3"], "The group's next task runs with it.", id="still on"),
    ],
)
def test_a_group_that_is_off_is_not_said_to_run(store_cli: Run, change: list[str], effect: str) -> None:
    answer = store_cli("groups", *change)

    assert effect in answer.out
    assert ("next task runs" in answer.out) == (effect == "The group's next task runs with it.")


def test_a_new_group_that_is_off_is_not_said_to_take_part(store_cli: Run) -> None:
    answer = store_cli("groups", "add", "asia", "exchanges=TSE", "enabled=false")

    assert "asia is disabled, and takes no part until it is enabled." in answer.out
    assert "next run" not in answer.out


# --- values that an override hides ---


def test_a_value_that_an_override_hides_is_not_said_to_be_what_the_job_runs_with(store_cli: Run) -> None:
    number = override(store_cli, "batch_size=7")

    hidden, besides, again = (
        store_cli("set", DAG, JOB, *values) for values in (["batch_size=8"], ["batch_size=9", "priority=3"], ["batch_size=9"])
    )

    assert "The job runs with it when the override has ended." in hidden.out
    assert "The job's next task runs with it." in besides.out
    assert "Nothing to do" in again.out
    for answer in (hidden, besides, again):
        assert f"override {number} holds for batch_size" in answer.err
    assert in_force(store_cli, "batch_size") == 7


def test_a_job_that_an_override_keeps_off_is_not_said_to_be_on(store_cli: Run) -> None:
    number = override(store_cli, "enabled=false")

    answer = store_cli("enable", DAG, JOB)

    assert "Nothing to do" in answer.out
    assert f"override {number} holds for enabled" in answer.err


def test_a_moment_in_the_future_is_not_past(store_cli: Run) -> None:
    answer = store_cli("at", "9999-01-01", DAG, JOB)

    assert (answer.code, "is still to come" in answer.err) == (2, True)


# --- apply, diff ---


@pytest.mark.parametrize("delete", [[], ["--delete"]], ids=["without", "with"])
def test_a_file_that_lacks_rows_does_not_say_that_the_database_is_like_it(
    store_cli: Run, tmp_path: Path, delete: list[str]
) -> None:
    """Rows that it lacks in a section that it has are deleted with --delete; a section that it lacks stays."""
    file = tmp_path / "part.yaml"
    assert store_cli("export", str(file)).code == 0
    file.write_text(re.sub(r"(?ms)^exchange_groups:.*?(?=^#)", "", file.read_text()))

    answer = store_cli("apply", str(file), "--yes", *delete)

    assert answer.code == 0
    assert answer.out == "Nothing to do: what the file says is in the database already.\n"


def test_a_file_that_has_all_says_that_the_database_is_like_it(store_cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    store_cli("export", str(file))

    assert store_cli("apply", str(file)).out == "Nothing to do: the database is as the file says.\n"


def test_a_difference_from_a_file_that_lacks_rows_names_them(store_cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "part.yaml"
    file.write_text(f"dag_configuration:\n  {DAG}:\n    {JOB}:\n      memory_limit: 2Gi\n")

    answer = store_cli("diff", "--file", str(file))

    assert f"Not in the file, and left as they are: calculate_indicators/all, {DAG}/lse" in answer.err
    assert answer.out == "There is no difference: what the file says is in the database already.\n"


# --- which database ---


@pytest.mark.parametrize(
    "command",
    [
        ["set", DAG, JOB, "batch_size=5"],
        ["disable", DAG, JOB],
        ["delete", DAG, JOB, "--yes"],
        ["rename", DAG, JOB, "americas"],
        ["override", DAG, JOB, "batch_size=5", "--for", "2h", "--reason", "x"],
        ["override", "--end", "1"],
        ["rollback", "1", "--yes"],
        ["rollback", DAG, JOB, "--to", "now", "--yes"],
        ["groups", "add", "asia", "exchanges=TSE"],
        ["groups", "set", "lse", "priority=3"],
        ["groups", "remove", "lse", "--yes"],
        ["apply", "FILE", "--yes"],
        ["export", "NEW"],
        ["migrate", "--to", "14", "--yes"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_was_done_names_the_database(store_cli: Run, migrated_database: Database, tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "part.yaml"
    file.write_text(f"dag_configuration:\n  {DAG}:\n    lse:\n      batch_size: 6\n")
    if command[:1] == ["override"]:
        override(store_cli, "priority=3")
    if command[0] == "rollback" and "--to" in command:
        command = [*command[:4], str(migrated_database.execute("SELECT clock_timestamp()::text")[0][0]), "--yes"]
        store_cli("set", DAG, JOB, "batch_size=5")
    words = [{"FILE": str(file), "NEW": str(tmp_path / "new.yaml")}.get(word, word) for word in command]

    answer = store_cli(*words)

    assert answer.code == 0, answer
    done = answer.out.partition("Done: ")[2]
    assert f"'postgres_default' (postgres@127.0.0.1:{migrated_database.server.port}/{migrated_database.name})" in done


@pytest.mark.parametrize(
    "command",
    [
        ["delete", DAG, JOB],
        ["groups", "remove", "lse"],
        ["rollback", "1"],
        ["apply", "FILE"],
        ["migrate", "--to", "14"],
    ],
    ids=lambda words: words[0],
)
def test_a_question_names_the_database(store_cli: Run, migrated_database: Database, tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "part.yaml"
    file.write_text(f"dag_configuration:\n  {DAG}:\n    lse:\n      batch_size: 6\n")

    answer = store_cli(*[{"FILE": str(file)}.get(word, word) for word in command])

    assert (answer.code, "--yes" in answer.err) == (1, True)
    assert f"/{migrated_database.name}), schema financial_screener" in answer.err


@pytest.mark.parametrize(
    "command", [["add", "asia", "exchanges=TSE"], ["set", "lse", "priority=3"], ["disable", "lse"]], ids=" ".join
)
def test_a_change_of_a_group_says_its_entry(store_cli: Run, command: list[str]) -> None:
    answer = store_cli("groups", *command)

    assert re.search(rf"Done: version \d, entry {last_entry(store_cli)}\.", answer.out)


# --- history ---


@pytest.mark.parametrize("what", [[], [DAG], ["--group", "lse"]], ids=["all", "a DAG", "a group"])
def test_no_entries_are_no_answer_to_a_history_of_no_entries(store_cli: Run, what: list[str]) -> None:
    store_cli("set", DAG, JOB, "batch_size=5")
    answer = store_cli("history", *what, "--limit", "0")
    assert answer.code == 2
    assert "write 1 or more" in answer.err
    assert "No change" not in answer.out + answer.err


def test_a_history_without_entries_says_what_it_looked_at(store_cli: Run, migrated_database: Database) -> None:
    migrated_database.execute("""
        ALTER TABLE financial_screener.dag_configuration_audit DISABLE TRIGGER USER;
        DELETE FROM financial_screener.dag_configuration_audit
    """)
    assert store_cli("history", DAG, "lse").err == f"No change of {DAG}/lse is recorded.\n"
    assert store_cli("history", "--group", "lse").err == "No change of exchange group lse is recorded.\n"
    since = store_cli("history", "--since", "9999-01-01")
    assert since.err == "No change is recorded since 9999-01-01 00:00:00 UTC.\n"


# --- rollback ---

UNDONE = [
    pytest.param(["set", DAG, JOB, "memory_limit=4Gi", "description=x"], id="a change"),
    pytest.param(["set", DAG, "asian_markets", "--create"], id="a new row"),
    pytest.param(["delete", DAG, JOB, "--yes"], id="a deleted row"),
    pytest.param(["groups", "set", "lse", "exchanges=LSE,AIM", "market_open_utc=07:30"], id="a group"),
    pytest.param(["groups", "add", "asia", "exchanges=TSE"], id="a new group"),
    pytest.param(["groups", "remove", "lse", "--yes"], id="a removed group"),
]


@pytest.mark.parametrize("change", UNDONE)
def test_what_is_undone_already_is_said_to_be(store_cli: Run, change: list[str]) -> None:
    assert store_cli(*change).code == 0
    entry = last_entry(store_cli)
    assert store_cli("rollback", entry, "--yes").code == 0
    before = as_they_are(store_cli)

    again, tried = store_cli("rollback", entry), store_cli("rollback", entry, "--dry-run")

    for answer in (again, tried):
        assert (answer.code, answer.err) == (0, "")
        assert f"Nothing to do: entry {entry} is undone already" in answer.out
        assert "->" not in answer.out
    assert as_they_are(store_cli) == before


@pytest.mark.parametrize("change", UNDONE)
def test_what_was_undone_and_done_again_can_be_undone_again(store_cli: Run, change: list[str]) -> None:
    before = as_they_are(store_cli)[:2]
    assert store_cli(*change).code == 0
    entry = last_entry(store_cli)
    assert store_cli("rollback", entry, "--yes").code == 0
    assert store_cli("rollback", last_entry(store_cli), "--yes").code == 0

    answer = store_cli("rollback", last_entry(store_cli), "--yes")

    assert (answer.code, answer.err) == (0, "")
    passing = ("updated_at", "version", "change")
    after = as_they_are(store_cli)[:2]
    assert [[{k: v for k, v in row.items() if k not in passing} for row in rows] for rows in after] == [
        [{k: v for k, v in row.items() if k not in passing} for row in rows] for rows in before
    ]


def test_an_entry_from_before_an_adoption_shows_what_its_rollback_does(
    dagconfig: Run, adopted_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", adopted_database.url)
    adopted_database.execute(
        "SET search_path = financial_screener;"
        f" UPDATE financial_screener.dag_configuration SET batch_size = 4321 WHERE (dag_name, job_name) = ('{DAG}', '{JOB}')"
    )
    [(entry, was)] = adopted_database.execute("""
        SELECT audit_id, (old_values ->> 'batch_size') FROM financial_screener.dag_configuration_audit
        ORDER BY audit_id DESC LIMIT 1
    """)
    migrate(adopted_database.url)

    shown = dagconfig("rollback", str(entry), "--dry-run")
    done = dagconfig("rollback", str(entry), "--yes")

    assert (shown.code, done.code) == (0, 0)
    for answer in (shown, done):
        assert re.search(rf"^    batch_size +4321 -> {was}$", answer.out, re.MULTILINE)
    assert in_force(dagconfig, "batch_size") == int(was)
    assert "undone already" in dagconfig("rollback", str(entry)).out
