"""Functions and comments have plain names: what called a function by its former name goes on, and what others made stays theirs."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from plugins.postgres import Database, Server, new_database
from plugins.present_schema import described

from airflow_provider_dagconfig.store.migrate import MigrationError, available, migrate

S = "financial_screener"
THIS = next(migration for migration in available() if migration.version == 19)
SIGNATURES = {
    "dagconfig_book_on(text,text)": "dagconfig_set_author(text,text)",
    "dagconfig_booked_on()": "dagconfig_author()",
    "dagconfig_book(text,text,jsonb,jsonb)": "dagconfig_write_audit(text,text,jsonb,jsonb)",
}
"""Former to present."""
CHANGE = f"SELECT {S}.update_dag_config('calculate_indicators', 'all', p_batch_size => 8, p_updated_by => 'ann', p_reason => 'why')"
LAST_ENTRY = f"SELECT changed_by, reason FROM {S}.dag_configuration_audit ORDER BY audit_id DESC LIMIT 1"


@pytest.fixture
def before(postgres: Server) -> Iterator[Database]:
    """A database without this migration."""
    with new_database(postgres) as database:
        migrate(database.url, 18)
        yield database


def functions(database: Database) -> set[str]:
    return {
        signature
        for (signature,) in database.execute(
            f"SELECT replace(oid::regprocedure::text, '{S}.', '') FROM pg_proc WHERE pronamespace = '{S}'::regnamespace"
        )
    }


def test_by_psql_too_it_comes_and_goes(before: Database) -> None:
    without = described(before)

    for script, names in ((THIS.up, SIGNATURES.values()), (THIS.up, SIGNATURES.values()), (THIS.down, SIGNATURES)):
        done = before.psql("-q", "--single-transaction", script=script)
        assert (done.returncode, done.stderr) == (0, "")
        assert functions(before) & {*SIGNATURES, *SIGNATURES.values()} == set(names)
        before.execute(CHANGE)
        assert before.execute(LAST_ENTRY) == [("ann", "why")]
    assert described(before) == without


def test_where_psql_left_no_record_all_files_are_applied_again_and_leave_the_present_names(migrated_database: Database) -> None:
    once = described(migrated_database)
    migrated_database.execute(f"DROP TABLE {S}.dagconfig_migrations")

    migrate(migrated_database.url)

    assert described(migrated_database) == once


def test_a_function_of_the_owner_that_calls_one_keeps_working(before: Database) -> None:
    before.execute(f"""
        CREATE FUNCTION {S}.mine() RETURNS text LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM {S}.dagconfig_book_on('maria', 'mine');
            RETURN {S}.dagconfig_booked_on();
        END
        $$
    """)

    for version in (19, 18):
        migrate(before.url, to=version)
        assert before.execute(f"SELECT {S}.mine()") == [("maria",)]


@pytest.mark.parametrize("signature", SIGNATURES.values())
def test_a_function_of_somebody_elses_by_a_present_name_is_not_called(before: Database, signature: str) -> None:
    with before.role(f"USAGE, CREATE ON SCHEMA {S}") as app:
        with psycopg.connect(before.url_of(app), autocommit=True) as connection:
            connection.execute(f"CREATE FUNCTION {S}.{signature} RETURNS text LANGUAGE sql AS 'SELECT NULL'".encode())

        with pytest.raises(MigrationError) as refused:
            migrate(before.url)
        assert f"there is a function {S}.{signature} of {app} already" in str(refused.value)
        _, _, remedy = str(refused.value).partition("ALTER FUNCTION ")
        remedy, _, _ = remedy.partition(";")

        before.execute(f"ALTER FUNCTION {remedy}")
        migrate(before.url)
        before.execute(CHANGE)
        assert before.execute(LAST_ENTRY) == [("ann", "why")]
        before.execute(f"DROP FUNCTION {S}.former_{signature}")


def test_a_comment_that_somebody_changed_stays(before: Database) -> None:
    column, function = f"COLUMN {S}.dag_configuration.enabled", f"FUNCTION {S}.quantity_value(text)"
    before.execute(f"COMMENT ON {column} IS 'ours'; COMMENT ON {function} IS 'ours too'")

    for version in (19, 18):
        migrate(before.url, to=version)
        schema = described(before)
        assert f"COMMENT ON {column} IS 'ours';" in schema["dag_configuration"]
        assert f"COMMENT ON {function} IS 'ours too';" in schema["quantity_value"]


def test_the_comments_that_the_store_knows_are_those_that_it_made(migrated_database: Database) -> None:
    assert migrated_database.execute(f"SELECT name FROM {S}.dagconfig_comments() WHERE present IS DISTINCT FROM comment") == []
