"""Migration 008 as psql applies it: on an empty database and over a live installation, on each supported PostgreSQL."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from plugins.postgres import PASSWORD, Database, Server, make_live, new_database

from airflow_provider_dagconfig.models import DagConfig

HERE = Path(__file__).parent
UP = HERE.parents[1] / "migrations" / "008_dag_configuration_tables.sql"
DOWN = UP.with_suffix(".down.sql")

CONFIGURATIONS = [
    (dag, job, priority, "500m", "2000m", "1Gi", "2Gi", 500, 600)
    for dag in ("data_collection_equities", "historical_load_equities")
    for job, priority in (("us_markets", 10), ("lse", 9), ("german_markets", 8), ("european_markets", 7))
] + [("calculate_indicators", "all", 10, "1000m", "4000m", "2Gi", "4Gi", 1000, 3600)]
GROUPS = [
    ("us_markets", "US Markets (NYSE, NASDAQ)", ["NYSE", "NASDAQ"], "America/New_York", 10),
    ("lse", "London Stock Exchange", ["LSE"], "Europe/London", 9),
    ("german_markets", "German Markets (Frankfurt, XETRA)", ["FRANKFURT", "XETRA"], "Europe/Berlin", 8),
    ("european_markets", "European Markets (Euronext, BME, SIX)", ["EURONEXT", "BME", "SIX"], "Europe/Paris", 7),
]
TABLES = ("dag_configuration", "exchange_groups", "dag_configuration_audit")


def apply(database: Database, file: Path, *options: str) -> None:
    result = database.psql("-q", *options, "-f", str(file))
    assert result.returncode == 0, result.stderr


def contents(database: Database) -> list[list[tuple[object, ...]]]:
    return [database.execute(f"SELECT * FROM financial_screener.{table} ORDER BY 1") for table in TABLES]


def last_change(database: Database) -> tuple[object, ...]:
    return database.execute("""
        SELECT operation, dag_name, job_name, changed_by FROM financial_screener.dag_configuration_audit
        ORDER BY audit_id DESC LIMIT 1
    """)[0]


@pytest.fixture(params=[15, 16, 18], ids="PostgreSQL {}".format)
def server(request: pytest.FixtureRequest, postgres_of: Callable[[int], Server]) -> Server:
    return postgres_of(request.param)


@pytest.fixture(params=["new", "adopted"])
def migrated(request: pytest.FixtureRequest, server: Server) -> Iterator[Database]:
    """008 on an empty database and over a live one, on each server."""
    with new_database(server) as database:
        if request.param == "adopted":
            make_live(database, "in_use")
        apply(database, UP)
        yield database


@pytest.fixture
def fresh(database: Database) -> Database:
    apply(database, UP)
    return database


@pytest.fixture
def adopted(adopted_database: Database) -> Database:
    apply(adopted_database, UP)
    return adopted_database


def test_every_statement_of_the_quick_reference_runs(migrated: Database) -> None:
    apply(migrated, HERE / "quick_reference.sql")

    assert migrated.execute("SELECT * FROM financial_screener.get_dag_config('data_collection_equities', 'us_markets')")[0][:5] == (
        "1000m",
        "3000m",
        "2Gi",
        "4Gi",
        750,
    )
    assert migrated.execute(
        "SELECT batch_size, timeout_seconds FROM financial_screener.get_dag_config('calculate_indicators')"
    ) == [(1500, 4800)]
    assert ("asian_markets", "Asian Markets", ["TSE", "HKEX"], 6) in migrated.execute(
        "SELECT * FROM financial_screener.get_exchange_groups()"
    )
    assert last_change(migrated) == ("UPDATE", "historical_load_equities", "european_markets", "postgres")


def test_it_goes_down_and_up_again(migrated: Database) -> None:
    apply(migrated, DOWN, "--single-transaction")
    assert (
        migrated.execute("""
        SELECT relname::text FROM pg_class WHERE relnamespace = 'financial_screener'::regnamespace AND relname <> 'assets'
            AND relname <> 'assets_pkey'
        UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'financial_screener'::regnamespace
    """)
        == []
    )

    apply(migrated, UP, "--single-transaction")
    assert migrated.execute("SELECT count(*) FROM financial_screener.dag_configuration") == [(9,)]


def test_each_change_has_one_audit_entry(migrated: Database) -> None:
    before = len(contents(migrated)[2])

    migrated.execute("UPDATE financial_screener.dag_configuration SET priority = 3 WHERE job_name = 'all'")

    jobs = migrated.execute("SELECT count(*) FROM financial_screener.dag_configuration WHERE job_name = 'all'")[0][0]
    assert len(contents(migrated)[2]) == before + jobs


def test_a_new_database_has_the_nine_configurations_and_four_groups(fresh: Database) -> None:
    assert (
        fresh.execute("""
        SELECT dag_name, job_name, priority, cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds
        FROM financial_screener.dag_configuration ORDER BY id
    """)
        == CONFIGURATIONS
    )
    assert (
        fresh.execute("""
        SELECT group_name, display_name, exchanges, primary_timezone, priority
        FROM financial_screener.exchange_groups ORDER BY id
    """)
        == GROUPS
    )


def test_the_first_rows_are_in_the_audit(fresh: Database) -> None:
    assert fresh.execute("""
        SELECT operation, changed_by, count(*) FROM financial_screener.dag_configuration_audit GROUP BY 1, 2
    """) == [("INSERT", "postgres", 9)]


def test_a_new_database_has_the_tables_that_live_ones_have(fresh: Database, postgres: Server) -> None:
    columns = """
        SELECT table_name, column_name, data_type, udt_name, character_maximum_length, replace(column_default, 'pg_catalog.', '')
        FROM information_schema.columns
        WHERE table_schema = 'financial_screener' AND table_name = ANY(%s) ORDER BY table_name, ordinal_position
    """
    nullable = """
        SELECT table_name || '.' || column_name FROM information_schema.columns
        WHERE table_schema = 'financial_screener' AND table_name = ANY(%s) AND is_nullable = 'YES'
    """
    with new_database(postgres) as live:
        make_live(live)
        assert fresh.execute(columns, [list(TABLES)]) == live.execute(columns, [list(TABLES)])
        of_new, of_live = (set(database.execute(nullable, [list(TABLES)])) for database in (fresh, live))
    assert of_live < of_new
    assert of_new - of_live == {
        *((f"dag_configuration_audit.{column}",) for column in ("operation", "dag_name", "job_name", "changed_at")),
        ("exchange_groups.created_at",),
        ("exchange_groups.updated_at",),
    }


def test_repeating_it_changes_nothing(fresh: Database) -> None:
    fresh.execute("DELETE FROM financial_screener.dag_configuration WHERE job_name = 'lse'")
    fresh.execute("DELETE FROM financial_screener.exchange_groups")
    before = contents(fresh)

    apply(fresh, UP)

    assert contents(fresh) == before


def test_adopting_a_live_database_keeps_every_row_as_it_was(adopted_database: Database) -> None:
    before = contents(adopted_database)

    apply(adopted_database, UP)

    assert contents(adopted_database) == before
    assert adopted_database.execute("SELECT count(*) FROM financial_screener.assets") == [(0,)]


def test_adopting_leaves_other_triggers_alone(adopted_database: Database) -> None:
    adopted_database.execute("""
        CREATE FUNCTION financial_screener.touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.updated_at := '2000-01-01'; RETURN NEW; END $$;
        CREATE TRIGGER touch BEFORE UPDATE ON financial_screener.dag_configuration
        FOR EACH ROW EXECUTE FUNCTION financial_screener.touch();
    """)

    apply(adopted_database, UP)

    assert adopted_database.execute("""
        SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'financial_screener.dag_configuration'::regclass ORDER BY 1
    """) == [("audit_dag_configuration",), ("touch",)]


def test_functions_with_other_argument_types_are_replaced(adopted_database: Database) -> None:
    adopted_database.execute("""
        CREATE FUNCTION financial_screener.get_dag_config(p_dag_name text, p_job_name name) RETURNS integer
        LANGUAGE sql AS 'SELECT 1';
    """)

    apply(adopted_database, UP)

    assert adopted_database.execute("""
        SELECT proname::text, count(*) FROM pg_proc WHERE pronamespace = 'financial_screener'::regnamespace
        GROUP BY 1 ORDER BY 1
    """) == [("audit_dag_configuration", 1), ("get_dag_config", 1), ("get_exchange_groups", 1), ("update_dag_config", 1)]


def test_what_others_built_on_a_function_is_reported_and_stays(adopted_database: Database) -> None:
    adopted_database.execute("CREATE VIEW financial_screener.markets AS SELECT * FROM financial_screener.get_exchange_groups()")

    result = adopted_database.psql("-q", "--single-transaction", "-f", str(UP))

    assert "view financial_screener.markets depends on function" in result.stderr
    assert adopted_database.execute("SET LOCAL search_path = financial_screener; SELECT count(*) FROM markets") == [(5,)]


def test_a_disabled_job_comes_back_disabled_with_its_own_values(fresh: Database) -> None:
    fresh.execute("""
        UPDATE financial_screener.dag_configuration SET enabled = FALSE, memory_limit = '8Gi' WHERE job_name = 'all'
    """)

    assert fresh.execute("SELECT memory_limit, enabled FROM financial_screener.get_dag_config('calculate_indicators')") == [
        ("8Gi", False)
    ]


def test_without_a_row_the_defaults_are_those_of_the_table_and_of_the_models(fresh: Database) -> None:
    fresh.execute("INSERT INTO financial_screener.dag_configuration (dag_name, job_name) VALUES ('by', 'insert')")
    fresh.execute("SELECT financial_screener.update_dag_config('by', 'function')")
    query = "SELECT * FROM financial_screener.get_dag_config(%s, %s)"
    models = DagConfig.defaults("d", "j")

    of_the_function = fresh.execute(query, ["no such", "job"])

    assert of_the_function == fresh.execute(query, ["by", "insert"]) == fresh.execute(query, ["by", "function"])
    assert of_the_function == [
        (
            *map(str, (models.cpu_request, models.cpu_limit, models.memory_request, models.memory_limit)),
            *(models.batch_size, models.timeout_seconds, models.max_retries, models.retry_delay_minutes),
            *(models.retry_backoff_enabled, models.enabled),
        )
    ]


def test_groups_come_by_priority_then_name_without_disabled_ones(fresh: Database) -> None:
    fresh.execute("""
        INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges, priority)
        VALUES ('b', 'B', '{B}', 9), ('nowhere', 'N', '{N}', NULL);
        UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'german_markets'
    """)

    assert fresh.execute("SELECT group_name FROM financial_screener.get_exchange_groups()") == [
        ("us_markets",),
        ("b",),
        ("lse",),
        ("european_markets",),
        ("nowhere",),
    ]


def test_a_null_leaves_a_value_as_it_is(fresh: Database) -> None:
    fresh.execute("SELECT financial_screener.update_dag_config('calculate_indicators', 'all', p_batch_size => 1500)")

    assert fresh.execute("SELECT * FROM financial_screener.get_dag_config('calculate_indicators', 'all')") == [
        ("1000m", "4000m", "2Gi", "4Gi", 1500, 3600, 2, 5, True, True)
    ]


def test_created_by_stays_who_created_and_the_audit_has_who_changed(fresh: Database) -> None:
    fresh.execute("SELECT financial_screener.update_dag_config('new', 'job', p_updated_by => 'maria')")
    fresh.execute("SELECT financial_screener.update_dag_config('new', 'job', p_batch_size => 7, p_updated_by => 'peter')")

    assert fresh.execute("SELECT created_by FROM financial_screener.dag_configuration WHERE dag_name = 'new'") == [("maria",)]
    assert fresh.execute("""
        SELECT operation, old_values ->> 'batch_size', new_values ->> 'batch_size', changed_by
        FROM financial_screener.dag_configuration_audit WHERE dag_name = 'new' ORDER BY audit_id
    """) == [("INSERT", None, "500", "maria"), ("UPDATE", "500", "7", "peter")]


@pytest.mark.parametrize(
    ("statement", "changed_by"),
    [
        pytest.param("SELECT financial_screener.update_dag_config('d', 'j')", "system", id="nobody named"),
        pytest.param("SELECT financial_screener.update_dag_config('d', 'j', p_updated_by => NULL)", "postgres", id="null"),
        pytest.param("UPDATE financial_screener.dag_configuration SET priority = 1 WHERE dag_name = 'd'", "postgres", id="update"),
        pytest.param("DELETE FROM financial_screener.dag_configuration WHERE dag_name = 'd'", "postgres", id="delete"),
        pytest.param(
            "SELECT financial_screener.update_dag_config('d', 'j', p_updated_by => 'peter');"
            " UPDATE financial_screener.dag_configuration SET priority = 1 WHERE dag_name = 'd'",
            "postgres",
            id="a plain update after the function in the same transaction",
        ),
    ],
)
def test_the_audit_names_the_author_of_a_change(fresh: Database, statement: str, changed_by: str) -> None:
    fresh.execute("SELECT financial_screener.update_dag_config('d', 'j', p_updated_by => 'maria')")

    fresh.execute(statement)

    assert last_change(fresh)[-1] == changed_by


def test_a_refused_update_leaves_no_name_behind(fresh: Database) -> None:
    with psycopg.connect(fresh.url) as connection:
        with pytest.raises(psycopg.errors.StringDataRightTruncation), connection.transaction():
            connection.execute(
                "SELECT financial_screener.update_dag_config('d', 'j', p_cpu_limit => repeat('1', 99), p_updated_by => 'eve')"
            )
        connection.execute("INSERT INTO financial_screener.dag_configuration (dag_name, job_name) VALUES ('d', 'j')")

    assert last_change(fresh) == ("INSERT", "d", "j", "postgres")


def test_a_writer_needs_no_privilege_on_the_audit(fresh: Database) -> None:
    grants = (
        "USAGE ON SCHEMA financial_screener",
        "SELECT, INSERT, UPDATE ON financial_screener.dag_configuration",
        "USAGE ON SEQUENCE financial_screener.dag_configuration_id_seq",
    )
    with fresh.role(*grants) as writer, psycopg.connect(fresh.url_of(writer), autocommit=True) as connection:
        connection.execute("SELECT financial_screener.update_dag_config('d', 'j', p_updated_by => NULL)")

        assert last_change(fresh) == ("INSERT", "d", "j", writer)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM financial_screener.dag_configuration_audit")


def test_nobody_can_forge_entries_through_a_table_of_their_own(fresh: Database) -> None:
    with (
        fresh.role("USAGE ON SCHEMA financial_screener") as stranger,
        psycopg.connect(fresh.url_of(stranger), autocommit=True) as connection,
    ):
        connection.execute("CREATE TEMPORARY TABLE mine (dag_name text, job_name text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="audit_dag_configuration"):
            connection.execute("""
                CREATE TRIGGER forge AFTER INSERT ON mine
                FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration()
            """)


def test_the_functions_do_not_look_at_the_callers_search_path(fresh: Database) -> None:
    with psycopg.connect(fresh.url) as connection:
        connection.execute("CREATE TEMPORARY TABLE dag_configuration (LIKE financial_screener.dag_configuration)")
        connection.execute("""
            CREATE FUNCTION pg_temp.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'shadowed'; END $$;
        """)
        connection.execute("SET LOCAL search_path = pg_temp, financial_screener, pg_catalog")

        connection.execute("SELECT update_dag_config('calculate_indicators', 'all', p_batch_size => 7)")

        assert connection.execute("SELECT batch_size FROM get_dag_config('calculate_indicators')").fetchall() == [(7,)]
        assert connection.execute("SELECT count(*) FROM pg_temp.dag_configuration").fetchall() == [(0,)]


def test_a_user_who_owns_the_schema_only_can_apply_it(database: Database) -> None:
    with database.role() as owner:
        database.execute(f"CREATE SCHEMA financial_screener AUTHORIZATION {owner}")
        result = subprocess.run(
            [database.server.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", UP, database.url_of(owner)],
            capture_output=True,
            text=True,
            check=False,
        )

        assert result.returncode == 0, result.stderr
        assert PASSWORD not in result.stderr


@pytest.mark.parametrize("file", [UP, DOWN], ids=["up", "down"])
def test_psql_is_stopped_when_later_migrations_are_applied(fresh: Database, file: Path) -> None:
    fresh.execute("""
        CREATE TABLE financial_screener.dagconfig_migrations (version integer);
        INSERT INTO financial_screener.dagconfig_migrations VALUES (8), (9)
    """)
    before = contents(fresh)

    result = fresh.psql("-q", "-f", str(file))

    assert "later migrations than 008 are applied" in result.stderr
    assert contents(fresh) == before


def test_a_dump_restored_elsewhere_works(fresh: Database, postgres: Server) -> None:
    dump = subprocess.run([postgres.bin / "pg_dump", fresh.url], capture_output=True, text=True, check=True).stdout

    with new_database(postgres) as restored:
        result = restored.psql("-q", script=dump)
        assert result.returncode == 0, result.stderr
        apply(restored, HERE / "quick_reference.sql")
        assert last_change(restored) == ("UPDATE", "historical_load_equities", "european_markets", "postgres")
