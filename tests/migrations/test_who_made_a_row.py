"""Who created a row, and who changed it: an INSERT chooses neither created_at nor created_by, unless the row is restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from plugins.postgres import Database, Server, make_live, new_database

from airflow_provider_dagconfig.store.migrate import migrate

S = "financial_screener"
JOB = "dag_name = 'calculate_indicators' AND job_name = 'all'"
ROW = f"(SELECT created_at, created_by FROM {S}.dag_configuration WHERE dag_name = 'd' AND job_name = 'j')"
GROUP = f"SELECT created_at FROM {S}.exchange_groups WHERE group_name = 'g'"
FORGED = "created_at, created_by) VALUES ('d', 'j', '2001-02-03', 'ceo')"


@pytest.fixture(scope="module")
def shared(postgres: Server, _migrated_template: Database) -> Iterator[Database]:
    """One database for all tests; their changes are rolled back."""
    with new_database(postgres, template=_migrated_template.name) as migrated:
        yield migrated


@pytest.fixture(scope="module")
def editor(shared: Database) -> Iterator[str]:
    with shared.role("dagconfig_editor") as name:
        yield name


@contextmanager
def session(database: Database, user: str = "postgres") -> Iterator[psycopg.Connection]:
    """A transaction that is rolled back."""
    with psycopg.connect(database.url_of(user)) as connection:
        yield connection
        connection.rollback()


def ask(connection: psycopg.Connection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement).fetchall()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name) VALUES ('d', 'j')",
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name, {FORGED}",
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name, {FORGED} ON CONFLICT DO NOTHING",
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name, {FORGED}"
        " ON CONFLICT (dag_name, job_name) DO UPDATE SET created_by = EXCLUDED.created_by",
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name, created_at, created_by)"
        f" SELECT 'd', 'j', created_at, created_by FROM {S}.dag_configuration WHERE {JOB}",
        f"SET timezone = 'Asia/Tokyo'; INSERT INTO {S}.dag_configuration (dag_name, job_name, {FORGED}",
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name, created_at, created_by) VALUES ('d', 'j', 'infinity', NULL)",
        f"SELECT {S}.update_dag_config('d', 'j', p_updated_by => '')",
    ],
    ids=["plain", "forged", "do nothing", "do update", "a copy", "another time zone", "no moment", "nobody is named"],
)
@pytest.mark.parametrize("who", ["editor", "owner"])
def test_an_inserted_row_is_created_now_by_its_writer(shared: Database, editor: str, who: str, statement: str) -> None:
    user = {"editor": editor, "owner": "postgres"}[who]
    with session(shared, user) as connection:
        connection.execute(statement)  # type: ignore[arg-type]

        assert ask(connection, f"SELECT created_at = now(), created_by FROM {ROW}") == [(True, user)]


def test_the_author_named_to_a_function_created_the_row(shared: Database, editor: str) -> None:
    with session(shared, editor) as connection:
        ask(connection, f"SELECT {S}.update_dag_config('d', 'j', p_updated_by => 'maria')")

        assert ask(connection, f"SELECT created_at = now(), created_by FROM {ROW}") == [(True, "maria")]
        assert ask(
            connection,
            f"SELECT changed_by, session_user_name FROM {S}.dag_configuration_audit ORDER BY audit_id DESC LIMIT 1",
        ) == [("maria", editor)]


def test_a_group_is_made_when_it_is_inserted(shared: Database, editor: str) -> None:
    with session(shared, editor) as connection:
        connection.execute(
            f"INSERT INTO {S}.exchange_groups (group_name, display_name, exchanges, created_at)"
            " VALUES ('g', 'G', '{A}', '2001-02-03')"
        )

        assert ask(connection, f"{GROUP} AND created_at = now()") != []


@pytest.fixture
def former(migrated_database: Database) -> Database:
    """A database where maria made a row and somebody a group, and both were deleted."""
    migrated_database.execute(f"SELECT {S}.update_dag_config('d', 'j', p_updated_by => 'maria')")
    migrated_database.execute(f"SELECT {S}.update_exchange_group('g', p_exchanges => '{{A}}')")
    return migrated_database


def made(database: Database) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    return database.execute(f"SELECT * FROM {ROW}"), database.execute(GROUP)


def delete(database: Database) -> None:
    database.execute(f"DELETE FROM {S}.dag_configuration WHERE dag_name = 'd'")
    database.execute(f"DELETE FROM {S}.exchange_groups WHERE group_name = 'g'")


LAST = f"SELECT max(audit_id) FROM {S}.dag_configuration_audit WHERE"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_row_that_comes_back_was_made_when_it_was(former: Database, zone: str) -> None:
    before = made(former)
    moment = former.execute("SELECT clock_timestamp()")
    delete(former)

    former.execute(f"SET timezone = '{zone}'; SELECT {S}.rollback_dag_config('d', 'j', %s)".replace("%s", f"'{moment[0][0]}'"))
    former.execute(f"SET timezone = '{zone}'; SELECT {S}.rollback_change(({LAST} group_name = 'g'))")

    assert made(former) == before


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_an_editor_puts_a_row_back_by_hand_as_the_audit_has_it(former: Database, zone: str) -> None:
    before = made(former)
    delete(former)

    with former.role("dagconfig_editor") as editor:
        for table, which in (("dag_configuration", "dag_name = 'd'"), ("exchange_groups", "group_name = 'g'")):
            with psycopg.connect(former.url_of(editor)) as connection:
                connection.execute(f"SET timezone = '{zone}'")  # type: ignore[arg-type]
                connection.execute(f"""
                    INSERT INTO {S}.{table}
                    SELECT r.* FROM {S}.dag_configuration_audit AS a
                    CROSS JOIN jsonb_populate_record(NULL::{S}.{table}, a.old_values) AS r
                    WHERE a.audit_id = ({LAST} {which})
                """)  # type: ignore[arg-type]

        assert made(former) == before


@pytest.mark.parametrize(
    ("column", "value"), [("created_at", "created_at - interval '1 microsecond'"), ("created_by", "'peter'")], ids=["when", "who"]
)
def test_a_row_does_not_come_back_as_somebody_elses_or_from_another_time(former: Database, column: str, value: str) -> None:
    columns = {"created_at": "created_at", "created_by": "created_by"} | {column: value}
    kept = former.execute(f"CREATE TABLE public.kept AS SELECT {', '.join(columns.values())} FROM {ROW}; SELECT * FROM public.kept")
    delete(former)

    former.execute(
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name, created_at, created_by) SELECT 'd', 'j', * FROM public.kept"
    )

    [(at, by)] = former.execute(f"SELECT * FROM {ROW}")
    assert by == "postgres"
    assert at > kept[0][0]


def test_a_row_under_another_name_keeps_how_it_came_to_be_and_so_it_does_when_that_is_undone(former: Database) -> None:
    [before] = former.execute(f"SELECT * FROM {ROW}")
    former.execute(f"UPDATE {S}.dag_configuration SET job_name = 'other' WHERE dag_name = 'd'")
    assert former.execute(f"SELECT created_at, created_by FROM {S}.dag_configuration WHERE dag_name = 'd'") == [before]

    former.execute(f"SELECT {S}.rollback_change(({LAST} dag_name = 'd' AND job_name = 'j'))")

    assert former.execute(f"SELECT * FROM {ROW}") == [before]


def test_a_row_from_before_an_adoption_comes_back_as_it_was(database: Database) -> None:
    """Its entry is of 008, whose times have no zone."""
    make_live(database, "in_use")
    [(by, at)] = database.execute(f"""
        SELECT old_values ->> 'created_by', (old_values ->> 'created_at') || '+00' FROM {S}.dag_configuration_audit
        WHERE operation = 'DELETE'
    """)
    migrate(database.url)

    database.execute(f"SET timezone = 'Asia/Tokyo'; SELECT {S}.rollback_change(({LAST} operation = 'DELETE'))")

    assert database.execute(
        f"SELECT created_by, created_at = %s::timestamptz FROM {S}.dag_configuration"
        " WHERE dag_name = 'historical_load_equities' AND job_name = 'lse'",
        [at],
    ) == [(by, True)]


def test_a_moment_that_breaks_a_rule_does_not_come_back(migrated_database: Database) -> None:
    """Its row was older than the rule, and can be had back without it."""
    migrated_database.execute(f"""
        SET session_replication_role = replica;
        ALTER TABLE {S}.dag_configuration DROP CONSTRAINT rule_created_at;
        UPDATE {S}.dag_configuration SET created_at = 'infinity' WHERE {JOB};
        SET session_replication_role = origin;
        DELETE FROM {S}.dag_configuration WHERE {JOB};
    """)

    migrated_database.execute(f"SELECT {S}.rollback_change(({LAST} operation = 'DELETE'))")

    assert migrated_database.execute(f"SELECT isfinite(created_at) FROM {S}.dag_configuration WHERE {JOB}") == [(True,)]


@pytest.mark.parametrize(
    ("before", "named"),
    [
        ("", None),
        ("SET ROLE dagconfig_editor", None),
        ("SET application_name = 'ceo'", None),
        ("SET LOCAL dagconfig.updated_by = ''", None),
        ("SET LOCAL dagconfig.updated_by = 'maria'; SET LOCAL dagconfig.reason = 'quiet'", "maria"),
    ],
    ids=["plain", "another role", "the application's name", "nobody", "named"],
)
@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name) VALUES ('d', 'j')",
        f"UPDATE {S}.dag_configuration SET batch_size = 7 WHERE {JOB}",
        f"DELETE FROM {S}.dag_configuration WHERE {JOB}",
    ],
    ids=["insert", "update", "delete"],
)
def test_the_author_of_a_plain_statement_is_the_user_who_logged_in_unless_it_names_somebody(
    shared: Database, editor: str, before: str, named: str | None, statement: str
) -> None:
    with session(shared, editor) as connection:
        connection.execute(before or "SELECT")  # type: ignore[arg-type]
        connection.execute(statement)  # type: ignore[arg-type]

        assert ask(
            connection,
            f"SELECT changed_by, session_user_name, reason FROM {S}.dag_configuration_audit ORDER BY audit_id DESC LIMIT 1",
        ) == [(named or editor, editor, "quiet" if named else None)]


def test_a_setting_of_who_ends_with_its_transaction(shared: Database, editor: str) -> None:
    with psycopg.connect(shared.url_of(editor), autocommit=True) as connection:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL dagconfig.updated_by = 'maria'")
        with connection.transaction(force_rollback=True):
            connection.execute(f"UPDATE {S}.dag_configuration SET batch_size = 7 WHERE {JOB}")  # type: ignore[arg-type]

            assert ask(connection, f"SELECT changed_by FROM {S}.dag_configuration_audit ORDER BY audit_id DESC LIMIT 1") == [
                (editor,)
            ]


def test_the_owner_brings_rows_in_as_they_were_without_their_audit(postgres: Server) -> None:
    with new_database(postgres) as database, database.role(f"CREATE ON DATABASE {database.name}") as owner:
        migrate(database.url_of(owner))
        with psycopg.connect(database.url_of(owner)) as connection:
            connection.execute(f"""
                ALTER TABLE {S}.dag_configuration DISABLE TRIGGER USER;
                INSERT INTO {S}.dag_configuration (dag_name, job_name, {FORGED};
                ALTER TABLE {S}.dag_configuration ENABLE TRIGGER USER;
            """)  # type: ignore[arg-type]

        assert database.execute(f"SELECT created_at::date::text, created_by FROM {ROW}") == [("2001-02-03", "ceo")]
