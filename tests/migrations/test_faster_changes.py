"""Changes that keep all rules take a short way: it agrees with the long one, nobody else gets into it, and it may be repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.postgres import Database, Server, new_database
from psycopg.types.json import Jsonb

from airflow_provider_dagconfig.store.migrate import MigrationError, available, migrate

S = "financial_screener"
THIS = next(migration for migration in available() if migration.version == 18)
OF_JOBS = f"{S}.dagconfig_keeps_rules({S}.dag_configuration, {S}.dag_configuration)"

NAMES = st.sampled_from(["a", "b c", "", " a", "a\n", "a\u200b"])
CPUS = st.sampled_from(["500m", "2", "2000m", "1025", "0", "1Ki", "0.0001", "lots", None])
MEMORIES = st.sampled_from(["1Gi", "2G", "4Mi", "1Mi", "65Ti", "2 GB", "", None])
NUMBERS = st.sampled_from([-1, 0, 1, 5, 10, 11, 500, 1440, 1441, 604800, 604801, 1000000, 1000001, None])
FLAGS = st.sampled_from([True, False, None])
MOMENTS = st.sampled_from(["2026-11-24 06:00:00+00", "0001-01-01 00:00:00+00", "9999-12-31 00:00:00+00", "infinity", None])
VERSIONS = st.sampled_from([1, 7, 0, -1, 4611686018427387903, 4611686018427387904, None])
VALUES = {
    "dag_configuration": {
        **dict.fromkeys(("dag_name", "job_name"), NAMES),
        **dict.fromkeys(("cpu_request", "cpu_limit"), CPUS),
        **dict.fromkeys(("memory_request", "memory_limit", "memory_growth_limit"), MEMORIES),
        **dict.fromkeys(("batch_size", "timeout_seconds", "max_retries", "retry_delay_minutes", "priority"), NUMBERS),
        **dict.fromkeys(("retry_backoff_enabled", "enabled"), FLAGS),
        "memory_growth": st.sampled_from([2, 1.1, 1.05, 1.005, 10.5, None]),
        "description": st.sampled_from(["", "x" * 4000, "x" * 4001, None]),
        **dict.fromkeys(("created_at", "updated_at"), MOMENTS),
        "version": VERSIONS,
    },
    "exchange_groups": {
        **dict.fromkeys(("group_name", "display_name"), NAMES),
        "exchanges": st.sampled_from([["LSE"], ["LSE", "AIM"], ["LSE", "LSE"], [], [""], [None], None]),
        "primary_timezone": st.sampled_from(["Europe/London", "UTC", "Mars/Olympus", "", None]),
        **dict.fromkeys(("market_open_utc", "market_close_utc"), st.sampled_from(["08:00", "24:00", None])),
        "description": st.sampled_from(["", "x" * 4001, None]),
        "enabled": FLAGS,
        "priority": NUMBERS,
        **dict.fromkeys(("created_at", "updated_at"), MOMENTS),
        "version": VERSIONS,
    },
    "dag_configuration_overrides": {
        "reason": st.sampled_from(["why", "x" * 1000, "x" * 1001, None]),
        **dict.fromkeys(("starts_at", "ends_at", "created_at", "ended_at"), MOMENTS),
    },
}
"""Table to column to values, of which some keep the column's rules and some break one."""
ROWS = st.sampled_from(sorted(VALUES)).flatmap(
    lambda table: st.tuples(st.just(table), st.fixed_dictionaries(VALUES[table]), st.fixed_dictionaries({}, optional=VALUES[table]))
)
BOTH_WAYS = """
    SELECT
        financial_screener.dagconfig_keeps_rules(b, a),
        ARRAY(
            SELECT r.rule_name FROM financial_screener.dagconfig_broken_rules(
                %(table)s, to_jsonb(a),
                ARRAY(SELECT e.key FROM jsonb_each(to_jsonb(a)) AS e WHERE e.value IS DISTINCT FROM to_jsonb(b) -> e.key)
            ) AS r
        )
    FROM
        jsonb_populate_record(NULL::financial_screener.{table}, %(before)s) AS b,
        jsonb_populate_record(NULL::financial_screener.{table}, %(after)s) AS a
"""


@pytest.fixture(scope="module")
def connection(postgres: Server, _migrated_template: Database) -> Iterator[psycopg.Connection]:
    with (
        new_database(postgres, template=_migrated_template.name) as database,
        psycopg.connect(database.url, autocommit=True) as opened,
    ):
        yield opened


@pytest.fixture
def before(postgres: Server) -> Iterator[Database]:
    """A database without this migration."""
    with new_database(postgres) as database:
        migrate(database.url, 17)
        yield database


@settings(max_examples=300, deadline=None)
@given(rows=ROWS)
def test_the_short_way_and_the_long_one_agree(
    connection: psycopg.Connection, rows: tuple[str, dict[str, Any], dict[str, Any]]
) -> None:
    table, row, changes = rows
    query = BOTH_WAYS.format(table=table).encode()

    [found] = connection.execute(query, {"table": table, "before": Jsonb(row), "after": Jsonb({**row, **changes})})

    keeps, broken = found
    assert keeps is (broken == [])


def test_every_column_with_a_rule_has_values_that_keep_it_and_values_that_break_it(connection: psycopg.Connection) -> None:
    """The values of the property above."""
    with_rules = connection.execute(f"SELECT r.table_name, c FROM {S}.dagconfig_rules() AS r, unnest(r.columns) AS c").fetchall()

    assert set(with_rules) == {(table, column) for table, columns in VALUES.items() for column in columns}


def test_what_the_rules_say_is_held_after_they_were_changed(migrated_database: Database) -> None:
    change = f"UPDATE {S}.dag_configuration SET batch_size = 6 WHERE dag_name = 'calculate_indicators'"
    migrated_database.execute(f"""
        DO $do$
        BEGIN
            EXECUTE replace(
                pg_get_functiondef('{S}.dagconfig_rules()'::regprocedure), 'BETWEEN 1 AND 1000000', 'BETWEEN 7 AND 1000000'
            );
        END
        $do$;
        SELECT {S}.enforce_rules()
    """)

    with pytest.raises(psycopg.errors.CheckViolation, match="batch_size '6' of calculate_indicators/all must be"):
        migrated_database.execute(change)


def test_a_change_reads_of_the_audit_the_last_version_of_its_row_alone(migrated_database: Database) -> None:
    read = f"""
        SELECT t.seq_tup_read, i.idx_tup_read
        FROM pg_stat_user_tables AS t JOIN pg_stat_user_indexes AS i USING (relid)
        WHERE t.relid = '{S}.dag_configuration_audit'::regclass AND i.indexrelname = 'dag_configuration_audit_version'
    """
    changes = 200
    [(rows, entries)] = migrated_database.execute(read)
    with psycopg.connect(migrated_database.url, autocommit=True) as connection:
        for number in range(1, 1 + changes):
            connection.execute(
                f"UPDATE {S}.dag_configuration SET batch_size = {number} WHERE dag_name = 'calculate_indicators'".encode()
            )
        connection.execute("SELECT pg_stat_force_next_flush()")

    [(rows_after, entries_after)] = migrated_database.execute(read)

    assert rows_after == rows
    assert entries_after - entries <= 2 * changes


def test_a_function_of_somebody_elses_by_this_name_is_not_taken(before: Database) -> None:
    with before.role(f"USAGE, CREATE ON SCHEMA {S}") as app:
        with psycopg.connect(before.url_of(app), autocommit=True) as connection:
            connection.execute(f"CREATE FUNCTION {OF_JOBS} RETURNS boolean LANGUAGE sql AS 'SELECT true'".encode())

        with pytest.raises(MigrationError) as refused:
            migrate(before.url)
        assert f"there is a function {OF_JOBS} of {app} already" in str(refused.value)
        remedy = f"ALTER FUNCTION {OF_JOBS} RENAME TO former_dagconfig_keeps_rules"
        assert f"{remedy}; then migrate again" in str(refused.value)

        before.execute(remedy)
        migrate(before.url)
        [(owner,)] = before.execute(f"SELECT proowner::regrole::text FROM pg_proc WHERE oid = '{OF_JOBS}'::regprocedure")
        assert owner != app
        before.execute(f"DROP FUNCTION {OF_JOBS.replace('dagconfig_keeps', 'former_dagconfig_keeps')}")


def test_a_function_that_somebody_edited_is_named_and_kept_until_it_is_as_it_was(before: Database) -> None:
    before.execute(f"""
        CREATE OR REPLACE FUNCTION {S}.dagconfig_validate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN NEW; END $$
    """)

    with pytest.raises(MigrationError) as refused:
        migrate(before.url)
    assert "dagconfig_validate() was edited, and 018 does not find in it what it changes" in str(refused.value)
    assert "Run the CREATE OR REPLACE FUNCTION of it in migrations/010_rules.sql, then migrate again" in str(refused.value)

    [rules] = [migration.up for migration in available() if migration.file == "010_rules.sql"]
    [remedy] = re.findall(rf"CREATE OR REPLACE FUNCTION {S}\.dagconfig_validate\(\).*?\n\$\$;", rules, re.DOTALL)
    before.execute(remedy)
    assert [step.version for step in migrate(before.url, to=18)] == [18]


def test_nobody_else_calls_or_replaces_it_whatever_default_privileges_say(postgres: Server) -> None:
    with (
        new_database(postgres) as database,
        database.role(f"CREATE ON DATABASE {database.name}") as owner,
        database.role() as other,
    ):
        migrate(database.url_of(owner), to=17)
        database.execute(f"""
            ALTER DEFAULT PRIVILEGES IN SCHEMA {S} GRANT ALL ON FUNCTIONS TO {other};
            GRANT USAGE, CREATE ON SCHEMA {S} TO {other}
        """)
        migrate(database.url)
        owners = database.execute(f"""
            SELECT DISTINCT p.proowner::regrole::text, a.grantee::regrole::text
            FROM pg_proc AS p CROSS JOIN LATERAL aclexplode(p.proacl) AS a
            WHERE p.pronamespace = '{S}'::regnamespace AND p.proname LIKE '%keeps_rules'
        """)
        assert owners == [(owner, owner)]
        with psycopg.connect(database.url_of(other), autocommit=True) as connection:
            for statement in (
                f"CREATE OR REPLACE FUNCTION {OF_JOBS} RETURNS boolean LANGUAGE sql AS 'SELECT true'",
                f"SELECT {S}.dagconfig_make_keeps_rules()",
                f"SELECT {S}.dagconfig_keeps_rules(NULL::{S}.dag_configuration, NULL::{S}.dag_configuration)",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
        with psycopg.connect(database.url_of(owner), autocommit=True) as connection:
            connection.execute(f"UPDATE {S}.dag_configuration SET batch_size = 8".encode())
        assert migrate(database.url_of(owner)) == []


def test_by_psql_too_it_comes_and_goes(before: Database) -> None:
    for script in (THIS.up, THIS.up, THIS.down, THIS.up):
        done = before.psql("-q", "--single-transaction", script=script)
        assert (done.returncode, done.stderr) == (0, "")
        before.execute(f"UPDATE {S}.dag_configuration SET batch_size = batch_size + 1")
        with before.role("dagconfig_editor") as editor, psycopg.connect(before.url_of(editor)) as connection:
            connection.execute(f"UPDATE {S}.dag_configuration SET memory_limit = '9Gi', batch_size = batch_size + 1".encode())
            with pytest.raises(psycopg.errors.CheckViolation, match="memory_limit '2 GB' of calculate_indicators/all must be"):
                connection.execute(
                    f"UPDATE {S}.dag_configuration SET memory_limit = '2 GB' WHERE dag_name = 'calculate_indicators'".encode()
                )
