"""Whatever texts the database, a file or the command line hold, nothing of them does something to a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import psycopg
import pytest
from plugins.command_line import Answer
from plugins.postgres import Database, Server, new_database

from airflow_provider_dagconfig.store.migrate import migrate

DAG, JOB = "data_collection_equities", "us_markets"
HOSTILE = "\x1b]0;x\x07\x9b1m\u202e\u2028\r\n[red]%s{x}\x7f"
"""Sets a terminal's title, turns on bold type, turns letters round, goes to another line, looks like rich's and Python's markup."""
RAW = re.compile(r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u202f\u2060-\u206f]|^\s*\[red\]", re.MULTILINE)
Run = Callable[..., Answer]


def text_columns(database: Database, table: str) -> dict[str, int]:
    """The columns that hold a text, with the characters that they hold at most."""
    rows = database.execute(
        "SELECT column_name, coalesce(character_maximum_length, 1000) FROM information_schema.columns"
        " WHERE table_schema = 'financial_screener' AND table_name = %s AND data_type IN ('text', 'character varying')",
        [table],
    )
    return dict(rows)


def fill(connection: psycopg.Connection, table: str, columns: dict[str, int], where: str) -> None:
    """Put the hostile text into columns of a row, as far as it goes."""
    values = ", ".join(f"{column} = left(%(text)s, {length})" for column, length in columns.items())
    connection.execute(f"UPDATE financial_screener.{table} SET {values} WHERE {where}", {"text": HOSTILE})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hostile_database(postgres: Server) -> Iterator[Database]:
    """A database whose every text is hostile, past the rules: jobs, groups, overrides, ceilings, the audit, the migrations."""
    with new_database(postgres) as database:
        migrate(database.url)
        fill_all(database)
        yield database


def fill_all(database: Database) -> None:
    tables = [name for (name,) in database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'financial_screener'")]
    constraints = database.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE connamespace = 'financial_screener'::regnamespace AND contype IN ('c', 'f')"
    )
    columns = {table: text_columns(database, table) for table in tables}
    with psycopg.connect(database.url) as connection:
        connection.execute("SET session_replication_role = replica")
        for table, name in constraints:
            connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')  # type: ignore[arg-type]
        jobs, groups, overrides = "dag_configuration", "exchange_groups", "dag_configuration_overrides"
        # One row whose values cannot be used either, and one that can run.
        fill(connection, jobs, columns[jobs], f"dag_name = '{DAG}' AND job_name = '{JOB}'")
        names = ("dag_name", "job_name", "description", "created_by")
        fill(connection, jobs, {name: length for name, length in columns[jobs].items() if name in names[1:]}, "job_name = 'lse'")
        fill(connection, groups, columns[groups], "group_name = 'us_markets'")
        connection.execute(
            "UPDATE financial_screener.exchange_groups SET exchanges = ARRAY[%s, 'NYSE'] WHERE group_name = 'lse'", [HOSTILE]
        )
        for job in (JOB, HOSTILE):
            connection.execute(
                f"INSERT INTO financial_screener.{overrides} (dag_name, job_name, memory_limit,"  # type: ignore[arg-type]
                " starts_at, ends_at, reason, created_by)"
                " VALUES (%s, %s, '8Gi', now(), now() + interval '1 day', %s, %s)",
                [DAG, job, HOSTILE, HOSTILE],
            )
        fill(connection, overrides, {"dag_name": 100, "job_name": 100}, f"job_name = '{JOB}'")
        for dag, value in ((HOSTILE, "1Gi"), (None, "64Gi"), (DAG, "1Gi")):
            connection.execute(
                "INSERT INTO financial_screener.dagconfig_ceilings (dag_name, name, value, set_by, reason, updated_at)"
                " VALUES (%s, 'memory', %s, %s, %s, now())",
                [dag, value, HOSTILE, HOSTILE],
            )
        audit = "dag_configuration_audit"
        of_whom = {name: length for name, length in columns[audit].items() if name not in ("table_name", "operation", "group_name")}
        fill(connection, audit, of_whom, "group_name IS NULL")
        fill(connection, audit, {"changed_by": 100, "reason": 1000, "group_name": 1000}, "group_name = 'us_markets'")
        connection.execute(
            f"UPDATE financial_screener.{audit} SET operation = 'UPDATE', changed_columns = ARRAY['description', %(text)s],"  # type: ignore[arg-type]
            " old_values = jsonb_build_object('description', %(text)s::text),"
            " new_values = jsonb_build_object('description', %(text)s || 'y', 'memory_limit', %(text)s::text)"
            " WHERE audit_id IN (SELECT min(audit_id) FROM financial_screener.dag_configuration_audit)",
            {"text": HOSTILE},
        )
        for table in set(tables) - {jobs, groups, overrides, audit, "dagconfig_ceilings"}:
            kept = ("version", "checksum", "installation_id", "down")
            others = {name: length for name, length in columns[table].items() if name not in kept}
            for name, length in others.items():
                fill(connection, table, {name: length}, f"ctid = (SELECT max(ctid) FROM financial_screener.{table})")


def is_fit(answer: Answer) -> None:
    assert RAW.search(answer.out) is None, repr(answer.out)
    assert RAW.search(answer.err) is None, repr(answer.err)
    assert "Traceback" not in answer.err


OUTPUTS = [[], ["-o", "plain"], ["-o", "json"], ["-o", "yaml"]]
LOOKS = [
    ["list"],
    ["list", DAG],
    ["list", HOSTILE],
    ["get", HOSTILE, HOSTILE],
    ["get", DAG, HOSTILE],
    ["history"],
    ["history", DAG, HOSTILE],
    ["history", "--group", HOSTILE],
    ["diff", "--from", "1d"],
    ["at", "now", DAG, HOSTILE],
    ["override", "--list"],
    ["override", "--list", "--all", DAG, HOSTILE],
    ["groups", "list"],
    ["ceiling", "list"],
    ["doctor", "--no-cluster"],
    ["migrate", "--status"],
]


def shown_words(words: list[str]) -> str:
    return " ".join("HOSTILE" if word == HOSTILE else word.replace(HOSTILE, "HOSTILE") for word in words)


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda words: words[-1] if words else "table")
@pytest.mark.parametrize("words", LOOKS, ids=shown_words)
def test_nothing_that_is_stored_reaches_a_terminal_raw(
    dagconfig: Run, hostile_database: Database, words: list[str], output: list[str]
) -> None:
    answer = dagconfig(*words, *output, "--url", hostile_database.url)

    is_fit(answer)
    assert answer.out + answer.err


@pytest.mark.parametrize(
    "words", [["list"], ["history"], ["override", "--list"], ["groups", "list"], ["ceiling", "list"]], ids=" ".join
)
def test_what_looks_like_markup_is_shown_as_it_is(dagconfig: Run, hostile_database: Database, words: list[str]) -> None:
    shown = dagconfig(*words, "-o", "plain", "--url", hostile_database.url).out

    assert r"\x1b]0;x\x07\x9b1m\u202e\u2028\r\n[red]%s{x}\x7f" in shown


CHANGES = [
    ["set", DAG, HOSTILE, "batch_size=7"],
    ["set", HOSTILE, HOSTILE, "batch_size=7"],
    ["set", DAG, HOSTILE, f"description=another {HOSTILE}", "--by", HOSTILE, "--reason", HOSTILE],
    ["enable", HOSTILE, HOSTILE],
    ["disable", DAG, HOSTILE],
    ["delete", DAG, HOSTILE, "--yes"],
    ["delete", DAG, HOSTILE],
    ["rename", DAG, HOSTILE, "london"],
    ["rename", DAG, "asian_markets", HOSTILE],
    ["override", DAG, HOSTILE, "batch_size=7", "--for", "2h", "--reason", HOSTILE],
    ["override", "--end", "1"],
    ["override", "--end", "2"],
    ["override", "--extend", "2", "--for", "2h"],
    ["rollback", "1", "--yes"],
    ["rollback", DAG, HOSTILE, "--to", "1h", "--yes"],
    ["groups", "set", HOSTILE, "priority=3"],
    ["groups", "set", "lse", "priority=3"],
    ["groups", "add", HOSTILE, "exchanges=NYSE"],
    ["groups", "add", "asia", f"display_name={HOSTILE}", "exchanges=TSE"],
    ["groups", "disable", HOSTILE],
    ["groups", "remove", HOSTILE, "--yes"],
    ["ceiling", "set", HOSTILE, "memory=2Gi"],
    ["ceiling", "set", DAG, "memory=2Gi"],
    ["ceiling", "remove", HOSTILE, "memory", "--yes"],
]


@pytest.mark.parametrize("words", CHANGES, ids=shown_words)
def test_a_change_shows_nothing_raw(dagconfig: Run, hostile_database: Database, words: list[str]) -> None:
    is_fit(dagconfig(*words, "--dry-run", "--url", hostile_database.url))


@pytest.mark.parametrize(
    "words",
    [
        [HOSTILE],
        ["list", f"--{HOSTILE}"],
        ["list", "-o", HOSTILE],
        ["get", HOSTILE],
        ["get", DAG, f"x{HOSTILE}"],
        ["get", DAG, JOB, HOSTILE],
        ["set", DAG, JOB, HOSTILE],
        ["set", DAG, JOB, f"{HOSTILE}=1"],
        ["set", DAG, JOB, f"memory_limit={HOSTILE}"],
        ["override", DAG, JOB, "batch_size=1", "--reason", "x", "--for", HOSTILE],
        ["override", DAG, JOB, "batch_size=1", "--reason", "x", "--until", HOSTILE],
        ["history", "--since", HOSTILE],
        ["history", "--limit", HOSTILE],
        ["at", HOSTILE, DAG, JOB],
        ["rollback", HOSTILE],
        ["rollback", DAG, HOSTILE, "--to", "1h"],
        ["groups", "set", f"x{HOSTILE}", "priority=3"],
        ["groups", "set", "lse", f"exchanges={HOSTILE}"],
        ["ceiling", "set", f"memory={HOSTILE}"],
        ["apply", HOSTILE],
        ["export", f"/nowhere/{HOSTILE}"],
        ["list", "--schema", HOSTILE],
        ["migrate", "--status", "--schema", HOSTILE],
        ["doctor", "--no-cluster", "--schema", HOSTILE],
    ],
    ids=shown_words,
)
def test_what_is_typed_does_not_come_back_raw(dagconfig: Run, hostile_database: Database, words: list[str]) -> None:
    answer = dagconfig(*words, "--url", hostile_database.url)

    is_fit(answer)
    assert answer.code != 0


def test_a_connection_that_there_is_not_is_not_named_raw(dagconfig: Run) -> None:
    is_fit(dagconfig("list", "--conn-id", HOSTILE))


def test_a_file_with_such_texts_is_told_of_without_them(dagconfig: Run, hostile_database: Database, tmp_path: object) -> None:
    file = f"{tmp_path}/all.yaml"
    exported = dagconfig("export", "--url", hostile_database.url)
    is_fit(exported)
    with open(file, "w") as opened:
        opened.write(exported.out.replace("batch_size: 500", "batch_size: 501"))

    for words in (["diff", "--file", file], ["apply", file, "--dry-run"], ["apply", file]):
        is_fit(dagconfig(*words, "--url", hostile_database.url))
    with open(file, "w") as opened:
        opened.write('dag_configuration: {"\\e]0;\\a": {"\\u202e": {"\\e[31m": "\\x9b"}}}\n')
    is_fit(dagconfig("apply", file, "--url", hostile_database.url))


def test_a_question_is_not_asked_raw(dagconfig: Run, hostile_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "n")

    dagconfig("delete", DAG, HOSTILE, "--url", hostile_database.url)

    assert r"\x1b]0;x\x07" in asked[0]
    assert RAW.search(asked[0]) is None
