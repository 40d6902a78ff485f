"""
All migrations together: up, down and up again on each PostgreSQL, from nothing and from a live database; a dump restored
elsewhere; PgBouncer in transaction mode.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from plugins.pgbouncer import pgbouncer
from plugins.postgres import Database, Server, make_live, new_database

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.store.migrate import available, migrate

HERE = Path(__file__).parent
S = "financial_screener"
OF_008 = {
    "dag_configuration": "id, dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit, batch_size,"
    " timeout_seconds, max_retries, retry_delay_minutes,"
    " retry_backoff_enabled, enabled, priority, description, created_at::timestamptz,"
    " updated_at::timestamptz, created_by",
    "exchange_groups": "id, group_name, display_name, exchanges, primary_timezone, market_open_utc, market_close_utc,"
    " enabled, priority, description, created_at::timestamptz, updated_at::timestamptz",
    "dag_configuration_audit": "audit_id, operation, dag_name, job_name, old_values, new_values, changed_by,"
    " changed_at::timestamptz",
}


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    return {table: database.execute(f"SELECT {columns} FROM {S}.{table} ORDER BY 1") for table, columns in OF_008.items()}


def objects(database: Database) -> list[str]:
    """Everything that is in the schema, as pg_dump describes it."""
    dump = subprocess.run(
        [database.server.bin / "pg_dump", "--schema-only", "--no-owner", f"--schema={S}", database.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [line for line in dump.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict"))]


def works(database: Database) -> None:
    """The quick reference, and one of each of what is more."""
    result = database.psql("-q", "-f", str(HERE / "quick_reference.sql"))
    assert result.returncode == 0, result.stderr
    job = "'calculate_indicators', 'all'"
    database.execute(f"SELECT {S}.override_dag_config({job}, now() + interval '1 hour', 'why', p_batch_size => 7)")
    assert database.execute(f"SELECT batch_size FROM {S}.get_dag_config('calculate_indicators')") == [(7,)]
    with pytest.raises(psycopg.errors.CheckViolation, match="memory_limit 'lots'"):
        database.execute(f"SELECT {S}.update_dag_config({job}, p_memory_limit => 'lots')")
    version = database.execute(f"SELECT version FROM {S}.effective_dag_config({job})")[0][0]
    database.execute(
        f"SELECT {S}.update_dag_config({job}, p_priority => 3, p_updated_by => 'ann', p_expected_version => %s)", [version]
    )
    database.execute(f"SELECT {S}.rollback_change(max(audit_id), 'ann') FROM {S}.dag_configuration_audit")
    assert database.execute(
        f"SELECT operation, changed_by, session_user_name, changed_columns, row_version FROM {S}.dag_configuration_audit"
        " ORDER BY audit_id DESC LIMIT 1"
    ) == [("UPDATE", "ann", "postgres", ["priority"], version + 2)]


@pytest.fixture(params=[15, 16, 18], ids="PostgreSQL {}".format)
def server(request: pytest.FixtureRequest, postgres_of: Callable[[int], Server]) -> Server:
    return postgres_of(request.param)


@pytest.mark.parametrize("adopted", [False, True], ids=["from nothing", "from a live database"])
def test_up_down_and_up_again(server: Server, adopted: bool) -> None:
    with new_database(server) as database:
        if adopted:
            make_live(database, "in_use")
        migrate(database.url, to=8)
        before, objects_of_008 = contents(database), objects(database)

        migrate(database.url)
        assert contents(database) == before
        violations = f"SELECT * FROM {S}.rule_violations()"
        assert len(database.execute(violations)) == (3 if adopted else 0)

        assert [step.version for step in migrate(database.url, to=8)] == [m.version for m in reversed(available()[1:])]
        assert contents(database) == before
        assert objects(database) == objects_of_008

        migrate(database.url)
        assert contents(database) == before
        works(database)
        migrate(database.url, to=8)
        database.execute(f"SELECT {S}.update_dag_config('calculate_indicators', 'all', p_batch_size => 9)")
        assert database.execute(f"SELECT batch_size FROM {S}.get_dag_config('calculate_indicators')") == [(9,)]


@pytest.mark.parametrize("last", [16, 17, 18, 19])
def test_each_file_may_be_repeated_until_a_later_one_makes_something_of_it_anew(migrated_database: Database, last: int) -> None:
    migrate(migrated_database.url, last)
    before = objects(migrated_database), contents(migrated_database)

    for migration in available()[1:]:
        if migration.version == last or last == 16 > migration.version:
            result = migrated_database.psql("-q", "--single-transaction", script=migration.up)
            assert result.returncode == 0, result.stderr
            assert (objects(migrated_database), contents(migrated_database)) == before


@pytest.mark.parametrize("migration", available()[1:-1], ids=lambda migration: migration.file)
def test_psql_does_not_go_back_out_of_order(migrated_database: Database, migration: Any) -> None:
    result = migrated_database.psql("-q", "--single-transaction", script=migration.down)

    assert f"later migrations than {migration.version:03} are applied" in result.stderr


def test_a_dump_restored_elsewhere_keeps_everything_working(server: Server) -> None:
    with new_database(server) as database, new_database(server) as restored:
        make_live(database, "in_use")
        migrate(database.url)
        database.execute(
            f"SELECT {S}.override_dag_config("
            "'data_collection_equities', 'lse', now() + interval '1 hour', 'why', p_batch_size => 7)"
        )
        dump = subprocess.run([server.bin / "pg_dump", database.url], capture_output=True, text=True, check=True).stdout

        result = restored.psql("-q", script=dump)

        assert result.returncode == 0, result.stderr
        assert contents(restored) == contents(database)
        assert objects(restored) == objects(database)
        assert restored.execute(f"SELECT batch_size FROM {S}.get_dag_config('data_collection_equities', 'lse')") == [(7,)]
        assert migrate(restored.url) == []
        works(restored)
        with restored.role("dagconfig_reader") as reader, psycopg.connect(restored.url_of(reader)) as connection:
            connection.execute(f"SELECT * FROM {S}.get_dag_config('calculate_indicators')")


def test_it_works_through_pgbouncer_in_transaction_mode(postgres: Server) -> None:
    with new_database(postgres) as database, pgbouncer(database) as through:
        migrate(through.url)
        works(through)

        # The author of a call does not become the author of the next client's change on the same server connection.
        # Statements are not prepared: PgBouncer before 1.21 does not carry them from one server connection to another.
        options: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}
        with psycopg.connect(through.url, **options) as one, psycopg.connect(through.url, **options) as other:
            for number in range(20):
                one.execute(f"SELECT {S}.update_dag_config('d', 'j', p_batch_size => %s, p_updated_by => 'ann')", [number + 1])
                other.execute(f"UPDATE {S}.dag_configuration SET priority = %s WHERE dag_name = 'd'", [number % 10 + 1])
        assert database.execute(
            f"SELECT changed_by, count(*) FROM {S}.dag_configuration_audit WHERE dag_name = 'd' GROUP BY 1 ORDER BY 1"
        ) == [("ann", 20), ("postgres", 20)]


def test_the_date_style_of_a_database_makes_no_difference_behind_pgbouncer(postgres: Server) -> None:
    with new_database(postgres) as database, pgbouncer(database) as through:
        database.execute(f"ALTER DATABASE {database.name} SET datestyle TO 'SQL, DMY'")
        migrate(through.url)
        for hook in [DagConfigHook.from_url(through.url) for _ in range(3)] * 3:
            with hook.transaction():
                assert isinstance(hook.get_dag_config("calculate_indicators").updated_at, datetime)
            assert isinstance(hook.get_dag_config("calculate_indicators").updated_at, datetime)
