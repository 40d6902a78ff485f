"""The columns of memory that grows: in a database in use, on the way back, and who may call the replaced functions."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from plugins.postgres import Database, Server, make_live, new_database

from airflow_provider_dagconfig.store.migrate import MigrationError, available, migrate

S = "financial_screener"
JOB = "'calculate_indicators', 'all'"
GROWTH = f"SELECT memory_growth, memory_growth_limit FROM {S}.dag_configuration WHERE dag_name = 'calculate_indicators'"
THIS = next(migration for migration in available() if migration.version == 17)


@pytest.fixture
def before(postgres: Server) -> Iterator[Database]:
    """A database without these columns."""
    with new_database(postgres) as database:
        migrate(database.url, 16)
        yield database


def override(database: Database, **values: str) -> int:
    given = ", ".join(f"p_{column} => {value}" for column, value in values.items())
    return int(database.execute(f"SELECT {S}.override_dag_config({JOB}, now() + interval '1 hour', 'why', {given})")[0][0])


def test_the_way_back_takes_overrides_that_set_nothing_else_and_leaves_the_others(migrated_database: Database) -> None:
    override(migrated_database, memory_growth="2", memory_growth_limit="'8Gi'")
    stays = override(migrated_database, memory_growth="2", batch_size="7")

    migrate(migrated_database.url, 16)
    assert migrated_database.execute(f"SELECT override_id, batch_size FROM {S}.dag_configuration_overrides") == [(stays, 7)]
    [last] = migrated_database.execute(
        f"SELECT operation, old_values ->> 'memory_growth' FROM {S}.dag_configuration_audit ORDER BY audit_id DESC LIMIT 1"
    )
    assert last == ("DELETE", "2")

    migrate(migrated_database.url)
    assert migrated_database.execute(f"SELECT memory_growth FROM {S}.dag_configuration_overrides") == [(None,)]


def test_a_roll_back_to_before_there_were_the_columns_removes_what_they_hold(before: Database) -> None:
    [(then,)] = before.execute("SELECT clock_timestamp()")
    before.execute(f"SELECT {S}.update_dag_config({JOB}, p_batch_size => 7)")
    migrate(before.url)
    before.execute(f"SELECT {S}.update_dag_config({JOB}, p_memory_growth => 2, p_memory_growth_limit => '8Gi')")

    before.execute(f"SELECT {S}.rollback_dag_config({JOB}, %s)", [then])

    assert before.execute(GROWTH) == [(None, None)]
    # Entries from before the columns are undone all the same.
    before.execute(f"SELECT {S}.update_dag_config({JOB}, p_memory_growth => 2)")
    before.execute(f"DELETE FROM {S}.dag_configuration WHERE dag_name = 'calculate_indicators'")
    before.execute(f"SELECT {S}.rollback_change(max(audit_id)) FROM {S}.dag_configuration_audit")
    assert [str(value) for (value, _) in before.execute(GROWTH)] == ["2"]


def test_a_factor_is_kept_without_needless_zeros_and_0_or_an_empty_text_removes(migrated_database: Database) -> None:
    migrated_database.execute(f"SELECT {S}.update_dag_config({JOB}, p_memory_growth => 2.50, p_memory_growth_limit => '8Gi')")
    assert [tuple(map(str, row)) for row in migrated_database.execute(GROWTH)] == [("2.5", "8Gi")]

    migrated_database.execute(f"SELECT {S}.update_dag_config({JOB}, p_batch_size => 7)")
    assert [tuple(map(str, row)) for row in migrated_database.execute(GROWTH)] == [("2.5", "8Gi")]

    migrated_database.execute(f"SELECT {S}.update_dag_config({JOB}, p_memory_growth => 0, p_memory_growth_limit => '')")
    assert migrated_database.execute(GROWTH) == [(None, None)]


@pytest.mark.parametrize("values", ["p_memory_growth => 0", "p_memory_growth_limit => ''", "p_memory_growth => 1.005"])
def test_an_override_that_grows_nothing_is_refused(migrated_database: Database, values: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=r"memory_growth\w* '.*' of calculate_indicators/all"):
        migrated_database.execute(f"SELECT {S}.override_dag_config({JOB}, now() + interval '1 hour', 'why', {values})")


def test_a_column_of_somebody_elses_by_this_name_is_not_taken(postgres: Server) -> None:
    with new_database(postgres) as database:
        make_live(database)
        database.execute(f"ALTER TABLE {S}.dag_configuration ADD COLUMN memory_growth text DEFAULT 'fast'")

        with pytest.raises(MigrationError, match=r"has a column memory_growth of another kind than the one that 017 makes"):
            migrate(database.url)

        database.execute(f"ALTER TABLE {S}.dag_configuration RENAME COLUMN memory_growth TO former_memory_growth")
        migrate(database.url)
        assert database.execute(f"SELECT DISTINCT memory_growth, former_memory_growth FROM {S}.dag_configuration") == [
            (None, "fast")
        ]


def test_by_psql_too_editors_and_readers_may_call_what_is_made_anew_and_others_may_not(before: Database) -> None:
    for script in (THIS.up, THIS.down, THIS.up):
        done = before.psql("-q", "--single-transaction", script=script)
        assert (done.returncode, done.stderr) == (0, "")
        with before.role("dagconfig_editor") as editor, psycopg.connect(before.url_of(editor)) as connection:
            connection.execute(f"SELECT {S}.update_dag_config({JOB}, p_batch_size => 7)")
            connection.execute(f"SELECT {S}.override_dag_config({JOB}, now() + interval '1 hour', 'why', p_batch_size => 8)")
        with before.role("dagconfig_reader") as reader, psycopg.connect(before.url_of(reader)) as connection:
            assert connection.execute(f"SELECT batch_size FROM {S}.effective_dag_config({JOB})").fetchone() == (8,)
            connection.execute(f"SELECT FROM {S}.dag_configuration_override_periods")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {S}.update_dag_config({JOB}, p_batch_size => 9)")
