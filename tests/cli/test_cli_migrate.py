"""`airflow dagconfig migrate` as an operator types it: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from plugins.command_line import Answer
from plugins.documents import read_blocks
from plugins.postgres import PASSWORD, Database, new_database, running_server

from airflow_provider_dagconfig.store.migrate import available

INSTALL, GUIDE = (Path(__file__).parents[2] / "docs" / f"{name}.md" for name in ("INSTALL", "DAG_MIGRATION_GUIDE"))
FILES = [migration.file for migration in available()]
APPLIED = "".join(f"applied   {file}\n" for file in FILES)


def steps(answer: Answer) -> Answer:
    """Leave out the last line, which names the database."""
    *lines, last = answer.out.splitlines(keepends=True)
    assert last.startswith("Done: ")
    return replace(answer, out="".join(lines))


@pytest.fixture
def default_connection(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", database.url)
    return database


def test_migrate_uses_the_default_connection_and_says_what_it_did(
    dagconfig: Callable[..., Answer], default_connection: Database
) -> None:
    assert steps(dagconfig("migrate")) == Answer(0, APPLIED, "")
    again = dagconfig("migrate")
    assert again.out.startswith("Nothing to do: connection 'postgres_default' (postgres@127.0.0.1:")
    assert again.out.endswith(", schema financial_screener is up to date.\n")
    assert default_connection.execute("SELECT count(*) FROM financial_screener.dag_configuration") == [(9,)]


def test_migrate_takes_another_connection_and_schema(
    dagconfig: Callable[..., Answer], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OWNER", database.url)

    assert dagconfig("migrate", "--conn-id", "owner", "--schema", "job_settings").code == 0

    assert database.execute("SELECT count(*) FROM job_settings.dag_configuration") == [(9,)]


def test_migrate_finds_connections_in_airflows_own_database(
    dagconfig: Callable[..., Answer], database: Database, airflow_metadata: None
) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id="in_the_metadata", uri=database.url))

    assert steps(dagconfig("migrate", "--conn-id", "in_the_metadata")).out == APPLIED


def test_migrate_works_from_a_url_alone(dagconfig: Callable[..., Answer], database: Database) -> None:
    assert steps(dagconfig("migrate", "--url", database.url)) == Answer(0, APPLIED, "")


def test_migrate_adopts_a_live_database_and_says_so(dagconfig: Callable[..., Answer], adopted_database: Database) -> None:
    assert steps(dagconfig("migrate", "--url", adopted_database.url)).out == APPLIED.replace("applied", "adopted", 1)


def test_migrate_says_that_rows_from_before_break_rules(dagconfig: Callable[..., Answer], adopted_database: Database) -> None:
    adopted_database.execute(
        "SET search_path TO financial_screener; UPDATE dag_configuration SET batch_size = -5 WHERE job_name = 'lse'"
    )
    answer = dagconfig("migrate", "--url", adopted_database.url)
    assert answer.code == 0
    assert "broken by rows" in answer.err
    assert "SELECT * FROM financial_screener.rule_violations();" in answer.err


def test_what_the_document_says_installs_it_on_an_empty_server(dagconfig: Callable[..., Answer]) -> None:
    """As its administrator, its owner, Airflow's user and a person; and takes it away again. Roles are those of a whole server."""
    [install] = [block for block in read_blocks(INSTALL) if block.language == "sql"]
    remove = re.findall(r"`(DROP [^`]+;)`", GUIDE.read_text())
    with running_server(16) as server:
        assert Database(server, "postgres").psql("-q", script=install.text).returncode == 0
        database = Database(server, "screener")
        urls = {user: database.url_of(user, "PASSWORD") for user in ("owner", "airflow", "maria")}

        migrated = dagconfig("migrate", "--url", urls["owner"])
        assert (migrated.code, migrated.err) == (0, "")
        for user, may in (("airflow", "read, which is all that Airflow needs"), ("maria", "read and change")):
            looked = dagconfig("doctor", "--no-cluster", "--url", urls[user])
            assert (looked.code, f"{user} may {may}" in looked.out, looked.out.rstrip().endswith("0 to look at, 0 failed.")) == (
                *(0, True, True),
            ), looked
        change = ("set", "house_prices", "memory_limit=4Gi", "--create", "--url")
        assert dagconfig(*change, urls["airflow"]).code == 1
        assert dagconfig(*change, urls["maria"]).code == 0
        assert dagconfig("get", "house_prices", "--url", urls["airflow"]).code == 0
        assert dagconfig("ceiling", "set", "memory=64Gi", "--url", urls["owner"]).code == 0

        assert dagconfig("migrate", "--to", "007", "--yes", "--url", urls["owner"]).code == 0
        for statement in remove:
            database.execute(statement)
        left = database.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'dagconfig%' UNION SELECT nspname FROM pg_namespace"
        )
        assert not {"dagconfig_reader", "dagconfig_editor", "financial_screener"} & {name for (name,) in left}


def test_an_owner_who_may_make_no_roles_is_told_what_an_administrator_runs(dagconfig: Callable[..., Answer]) -> None:
    with running_server(16) as server, new_database(server) as database:
        for user in ("owner", "airflow"):
            database.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
        database.execute(f"GRANT CREATE ON DATABASE {database.name} TO owner")

        migrated = dagconfig("migrate", "--url", database.url_of("owner"))
        assert migrated.code == 0
        told = re.search(r"An administrator runs: (CREATE ROLE .*); then owner: (SELECT \S+\(\);.*)", migrated.err)
        assert told
        database.execute(told[1])
        with psycopg.connect(database.url_of("owner"), autocommit=True) as connection:
            connection.execute(told[2].encode())
        database.execute("GRANT dagconfig_reader TO airflow")

        looked = dagconfig("doctor", "--no-cluster", "--url", database.url_of("airflow"))
        assert (looked.code, "airflow may read, which is all that Airflow needs" in looked.out) == (0, True), looked


def test_status_tells_scripts_by_its_exit_code(dagconfig: Callable[..., Answer], database: Database) -> None:
    before = dagconfig("migrate", "--status", "--url", database.url, "-o", "json")
    dagconfig("migrate", "--url", database.url)
    after = dagconfig("migrate", "--status", "--url", database.url, "-o", "json")

    assert (before.code, after.code) == (3, 0)
    assert json.loads(before.out) == [{"migration": file, "state": "pending", "applied_at": "", "applied_by": ""} for file in FILES]
    assert json.loads(after.out)[0].keys() == {"migration", "state", "applied_at", "applied_by"}
    assert (json.loads(after.out)[0]["state"], json.loads(after.out)[0]["applied_by"]) == ("applied", "postgres")


@pytest.mark.parametrize("output", ["table", "plain", "yaml"])
def test_status_is_shown_in_airflows_formats(dagconfig: Callable[..., Answer], database: Database, output: str) -> None:
    shown = dagconfig("migrate", "--status", "--url", database.url, "-o", output).out

    assert FILES[0] in shown
    assert "pending" in shown


@pytest.mark.parametrize("version", ["007", "7", "0", "base"])
def test_going_back_takes_a_number_or_base(dagconfig: Callable[..., Answer], migrated_database: Database, version: str) -> None:
    answer = dagconfig("migrate", "--url", migrated_database.url, "--to", version, "--yes")

    assert steps(answer) == Answer(0, "".join(f"reverted  {file.replace('.sql', '.down.sql')}\n" for file in reversed(FILES)), "")


def test_going_back_is_not_done_unasked(dagconfig: Callable[..., Answer], migrated_database: Database) -> None:
    answer = dagconfig("migrate", "--url", migrated_database.url, "--to", "007")

    assert answer.code == 1
    question = f"This drops what {', '.join(FILES)} made, with its data and its audit. Database postgres@127.0.0.1:"
    assert answer.err.startswith(question)
    assert answer.err.endswith(", schema financial_screener. To do it without being asked: --yes\n")
    assert migrated_database.execute("SELECT count(*) FROM financial_screener.dag_configuration") == [(9,)]


@pytest.mark.parametrize(
    ("reply", "rows"), [("n", [(True,)]), ("", [(True,)]), ("y", [(False,)]), ("Yes", [(False,)]), (EOFError, [(True,)])], ids=str
)
def test_at_a_terminal_going_back_is_asked_for(
    dagconfig: Callable[..., Answer],
    migrated_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    reply: str | type[EOFError],
    rows: list[tuple[bool]],
) -> None:
    def answered(_: str) -> str:
        if isinstance(reply, str):
            return reply
        raise reply

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answered)

    dagconfig("migrate", "--url", migrated_database.url, "--to", "007")

    assert migrated_database.execute("SELECT to_regclass('financial_screener.dag_configuration') IS NOT NULL") == rows


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        pytest.param(["--url", "postgresql://u:hush@127.0.0.1:1/db"], 1, "cannot be reached", id="a dead server"),
        pytest.param(["--url", "postgresql://u:hush/hush@127.0.0.1/db"], 1, "no URL of a PostgreSQL database", id="a bad URL"),
        pytest.param(["--conn-id", "no_such_id"], 1, "There is no Airflow connection 'no_such_id'", id="a wrong connection id"),
        pytest.param(["--conn-id", "cluster"], 1, "is of type 'kubernetes'", id="a connection of another kind"),
        pytest.param(["--conn-id", "x", "--url", "postgresql://u:hush@h/db"], 2, "give one of them", id="two databases"),
        pytest.param(["--schema", "it's"], 1, "cannot be the configuration's schema", id="a bad schema"),
        pytest.param(["--to", "999"], 1, "There is no migration 999. There are: 008,", id="an unknown migration"),
        pytest.param(["--to", "latest"], 2, "'latest' is no migration; write its number, such as 008", id="no number"),
        pytest.param(["--status", "--url", "postgresql://u:hush@127.0.0.1:1/db"], 1, "cannot be reached", id="status, dead server"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(
    dagconfig: Callable[..., Answer],
    default_connection: Database,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    complaint: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", "kubernetes://u:hush@")

    answer = dagconfig("migrate", *arguments)

    assert answer.code == code
    assert complaint in answer.err
    assert "hush" not in answer.out + answer.err
    assert default_connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'financial_screener'") == [(0,)]


def test_a_missing_privilege_is_answered_in_one_sentence(dagconfig: Callable[..., Answer], database: Database) -> None:
    with database.role() as user:
        answer = dagconfig("migrate", "--url", database.url_of(user))

    assert answer.code == 1
    assert answer.err.startswith("Error: permission denied for database ")
    assert "To migrate, use a user who owns the schema" in answer.err


def test_the_installed_command_works_and_shows_no_password(database: Database, tmp_path: Path) -> None:
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    airflow = Path(sys.executable).with_name("airflow")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [airflow, "dagconfig", "migrate", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--url", database.url)
    failed = run("--url", database.url.replace("secret", "wrong"))

    assert (done.returncode, done.stdout.partition("Done: ")[0], done.stderr) == (0, APPLIED, "")
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: The configuration database cannot be reached")
    assert failed.stderr.count("\n") == 1
    for text in (PASSWORD, "secret%20of", "wrong%20of", "wrong of"):
        assert text not in done.stdout + done.stderr + failed.stdout + failed.stderr
