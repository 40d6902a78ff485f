"""The runner of the migrations: what it applies, records, refuses and adopts."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

import psycopg
import pytest
from plugins.postgres import PASSWORD, Database, Server, new_database

from airflow_provider_dagconfig.exceptions import DagConfigNotAllowedError, DagConfigUnreachableError
from airflow_provider_dagconfig.store import migrate as module
from airflow_provider_dagconfig.store.migrate import Migration, MigrationError, Step, Target, available, migrate, status

FIRST = "008_dag_configuration_tables.sql"
NEXT = Migration(
    9,
    "notes",
    up="CREATE TABLE financial_screener.notes (); COMMENT ON TABLE financial_screener.notes IS 'financial_screener 100%';",
    down="DROP TABLE financial_screener.notes;",
)
BROKEN = Migration(10, "broken", up="CREATE TABLE financial_screener.half (); SELECT 1 / 0;", down="")


@pytest.fixture
def with_migrations(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes these the package's migrations."""
    return lambda *migrations: monkeypatch.setattr(module, "available", lambda: list(migrations))


def states(database: Database) -> list[tuple[str, str]]:
    return [(state.file, state.state) for state in status(database.url)]


def records(database: Database) -> list[tuple[object, ...]]:
    return database.execute("SELECT version, name FROM financial_screener.dagconfig_migrations ORDER BY version")


def tables(database: Database, schema: str = "financial_screener") -> set[str]:
    return {name for (name,) in database.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = %s", [schema])}


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    return {name: database.execute(f"SELECT * FROM financial_screener.{name} ORDER BY 1") for name in tables(database)}


def all_applied() -> list[Step]:
    return [Step(migration.version, migration.file, "applied") for migration in available()]


@pytest.mark.parametrize("version", [15, 16, 18])
def test_up_down_and_up_again(postgres_of: Callable[[int], Server], version: int) -> None:
    with new_database(postgres_of(version)) as database:
        assert migrate(database.url) == all_applied()
        assert migrate(database.url, to=7) == [
            Step(step.version, step.file.replace(".sql", ".down.sql"), "reverted") for step in reversed(all_applied())
        ]
        assert tables(database) == {"dagconfig_migrations"}
        assert migrate(database.url) == all_applied()


def test_what_is_applied_is_recorded_with_checksum_time_and_user(database: Database) -> None:
    migrate(database.url, to=8)

    assert database.execute("""
        SELECT version, name, checksum, applied_by, applied_at BETWEEN now() - interval '1 minute' AND now()
        FROM financial_screener.dagconfig_migrations
    """) == [(8, "dag_configuration_tables", available()[0].checksum, "postgres", True)]


def test_the_second_time_there_is_nothing_to_do(database: Database) -> None:
    migrate(database.url)

    assert migrate(database.url) == []


def test_a_live_database_is_adopted(adopted_database: Database) -> None:
    rows = "SELECT * FROM financial_screener.dag_configuration ORDER BY id"
    before = adopted_database.execute(rows)
    assert states(adopted_database)[0] == (FIRST, "not recorded")

    assert migrate(adopted_database.url, to=8) == [Step(8, FIRST, "adopted")]

    assert adopted_database.execute(rows) == before
    assert states(adopted_database)[0] == (FIRST, "applied")


def test_a_database_that_psql_migrated_is_adopted(database: Database) -> None:
    assert database.psql("-q", script=available()[0].up).returncode == 0

    assert migrate(database.url, to=8) == [Step(8, FIRST, "adopted")]


def test_a_database_that_psql_brought_up_to_date_is_adopted(database: Database) -> None:
    for migration in available():
        assert database.psql("-q", "--single-transaction", script=migration.up).returncode == 0

    assert migrate(database.url) == [Step(8, FIRST, "adopted"), *all_applied()[1:]]


def test_psql_goes_back_and_the_record_stays_true(database: Database) -> None:
    migrate(database.url, to=8)

    assert database.psql("-q", script=available()[0].down).returncode == 0

    assert {state for _, state in states(database)} == {"pending"}


def test_tables_without_a_record_are_not_taken_back(adopted_database: Database) -> None:
    with pytest.raises(MigrationError, match=r"are there, but not recorded .* Adopt them first: airflow dagconfig migrate"):
        migrate(adopted_database.url, to=7)

    assert "dag_configuration" in tables(adopted_database)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_two_at_once_apply_it_once(database: Database, isolation: str) -> None:
    # As a user's default, a transaction would see what was there before it waited for the other run.
    options = "-c default_transaction_isolation=" + isolation.replace(" ", "\\ ")
    results: list[list[Step]] = []
    runs = [threading.Thread(target=lambda: results.append(migrate(f"{database.url}?options={quote(options)}"))) for _ in range(2)]
    with psycopg.connect(database.url) as connection:
        # Holds whichever run is first inside its transaction, until the second one waits.
        connection.execute("CREATE SCHEMA financial_screener")
        for thread in runs:
            thread.start()
        for _ in range(600):
            if database.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                break
            time.sleep(0.05)
        connection.rollback()
    for thread in runs:
        thread.join(timeout=60)

    # Each migration is a transaction, so both may have applied some.
    assert len(results) == 2
    assert sorted((step for steps in results for step in steps), key=lambda step: step.version) == all_applied()


def test_each_migration_is_one_transaction(database: Database, with_migrations: Callable[..., None]) -> None:
    with_migrations(available()[0], NEXT, BROKEN)

    with pytest.raises(MigrationError, match=r"010_broken\.sql was refused, and nothing of it is left: division by zero"):
        migrate(database.url)

    assert records(database) == [(8, "dag_configuration_tables"), (9, "notes")]
    assert "notes" in tables(database)
    assert "half" not in tables(database)


def test_what_was_applied_before_a_migration_is_refused_is_said_to_stay(
    database: Database, with_migrations: Callable[..., None]
) -> None:
    with_migrations(available()[0], NEXT, BROKEN)

    with pytest.raises(MigrationError, match="was refused, and nothing of it is left: ") as refused:
        migrate(database.url)

    before = "applied 008_dag_configuration_tables.sql, applied 009_notes.sql"
    assert str(refused.value).endswith(f", schema financial_screener). Before it was done, and stays: {before}")


@pytest.mark.parametrize(
    ("theirs", "drop", "named"),
    [
        pytest.param(
            "CREATE VIEW mine AS SELECT * FROM financial_screener.get_exchange_groups()",
            "DROP VIEW mine",
            "view mine depends on function financial_screener.get_exchange_groups()",
            id="a view over a function",
        ),
        pytest.param(
            "CREATE VIEW mine AS SELECT version FROM financial_screener.dag_configuration",
            "DROP VIEW mine",
            "view mine depends on column version of table financial_screener.dag_configuration",
            id="a view over a column that a later migration added",
        ),
        pytest.param(
            "CREATE TABLE mine (job integer REFERENCES financial_screener.dag_configuration (id))",
            "DROP TABLE mine",
            "constraint mine_job_fkey on table mine depends on table financial_screener.dag_configuration",
            id="a foreign key",
        ),
        pytest.param(
            "CREATE TABLE mine (entry bigint REFERENCES financial_screener.dag_configuration_overrides)",
            "ALTER TABLE mine DROP CONSTRAINT mine_entry_fkey",
            "constraint mine_entry_fkey on table mine depends on table financial_screener.dag_configuration_overrides",
            id="a foreign key on overrides",
        ),
    ],
)
def test_a_way_back_that_is_refused_has_lost_nothing(migrated_database: Database, theirs: str, drop: str, named: str) -> None:
    migrated_database.execute(
        "SELECT financial_screener.override_dag_config("
        "'data_collection_equities', 'lse', now() + interval '1 hour', 'a busy night', p_batch_size => 7)"
    )
    migrated_database.execute(theirs)
    before = contents(migrated_database)

    with pytest.raises(MigrationError) as refused:
        migrate(migrated_database.url, to=0)

    assert ".down.sql was refused, so nothing was taken back: " in str(refused.value)
    assert named in str(refused.value)
    assert str(refused.value).endswith(
        "Drop what depends on it, by name and without CASCADE, run this again, and make it anew afterwards"
    )
    assert contents(migrated_database) == before
    assert {state for _, state in states(migrated_database)} == {"applied"}

    migrated_database.execute(drop)
    assert [step.version for step in migrate(migrated_database.url, to=0)] == [m.version for m in reversed(available())]


def test_it_goes_to_any_version_and_back(database: Database, with_migrations: Callable[..., None]) -> None:
    with_migrations(available()[0], NEXT)

    assert [step.version for step in migrate(database.url, to=8)] == [8]
    assert [(step.version, step.action) for step in migrate(database.url)] == [(9, "applied")]
    assert [(step.version, step.action) for step in migrate(database.url, to=0)] == [(9, "reverted"), (8, "reverted")]


def test_an_unknown_version_is_refused(database: Database) -> None:
    with pytest.raises(MigrationError, match=r"There is no migration 099\. There are: 008, 009, "):
        migrate(database.url, to=99)


def test_an_edited_file_is_refused_by_name_with_the_remedy(database: Database, with_migrations: Callable[..., None]) -> None:
    first = available()[0]
    migrate(database.url, to=8)
    with_migrations(replace(first, up=first.up + "-- edited\n"))

    with pytest.raises(MigrationError, match=rf"{FIRST} has been edited since postgres applied it .* Reinstall .* new migration"):
        migrate(database.url)
    assert states(database) == [(FIRST, "edited")]


def test_a_database_of_a_later_version_is_left_alone(database: Database, with_migrations: Callable[..., None]) -> None:
    first = available()[0]
    with_migrations(first, NEXT)
    migrate(database.url)
    with_migrations(first)

    assert migrate(database.url) == []
    with pytest.raises(MigrationError, match=r"postgres applied 009_notes\.sql .* does not have\. Install the version"):
        migrate(database.url, to=8)
    assert states(database) == [(FIRST, "applied"), ("009_notes.sql", "unknown")]


@pytest.mark.parametrize("schema", ["job_settings", "Job-Settings", "a.b", "user", "x" * 63])
def test_any_sensible_schema_will_do(database: Database, schema: str) -> None:
    target = Target.from_url(database.url, schema)

    assert migrate(target) == all_applied()
    assert migrate(target) == []

    database.execute(f"""SELECT "{schema}".update_dag_config('calculate_indicators', p_job_name => 'all', p_batch_size => 7)""")
    assert database.execute(f"""SELECT batch_size FROM "{schema}".get_dag_config('calculate_indicators')""") == [(7,)]
    assert tables(database) == set()
    assert {step.action for step in migrate(target, to=0)} == {"reverted"}


def test_schemas_in_one_database_are_independent(migrated_database: Database) -> None:
    assert migrate(Target.from_url(migrated_database.url, "other")) == all_applied()
    assert tables(migrated_database, "other") == tables(migrated_database)


@pytest.mark.parametrize("schema", ["", "it's", 'a"b', "a$$b", "a%sb", "a\\b", "pg_mine", "1st", "x" * 64, "a b"])
def test_other_schema_names_are_refused(database: Database, schema: str) -> None:
    with pytest.raises(MigrationError, match="cannot be the configuration's schema"):
        migrate(Target.from_url(database.url, schema))


def test_status_changes_nothing(database: Database) -> None:
    assert {state for _, state in states(database)} == {"pending"}
    assert database.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'financial_screener'") == [(0,)]


def test_a_user_without_the_privilege_is_told_what_is_needed(database: Database) -> None:
    with database.role() as user, pytest.raises(DagConfigNotAllowedError) as error:
        migrate(database.url_of(user))

    assert f"permission denied for database {database.name} (database {user}@127.0.0.1:" in str(error.value)
    assert "To migrate, use a user who owns the schema and its tables, or" in str(error.value)


def test_a_user_who_may_create_in_the_database_migrates_it(database: Database) -> None:
    with database.role(f"CREATE ON DATABASE {database.name}") as user:
        assert migrate(database.url_of(user)) == all_applied()
        assert {state.applied_by for state in status(database.url_of(user))} == {user}
        assert {step.action for step in migrate(database.url_of(user), to=7)} == {"reverted"}


def test_psycopg_urls_of_sqlalchemy_are_understood(database: Database) -> None:
    assert migrate(database.url.replace("postgresql://", "postgresql+psycopg://")) == all_applied()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://u:hush/hush@127.0.0.1:1/db", id="slash in the password"),
        pytest.param("postgresql://u:hush@hush@127.0.0.1:1/db", id="at sign in the password"),
        pytest.param("postgresql://u:hush?hush@127.0.0.1:1/db", id="question mark in the password"),
        pytest.param("postgresql://u:hush#hush@127.0.0.1:1/db", id="hash in the password"),
        pytest.param("postgresql://u:hush%hush@127.0.0.1:1/db", id="percent sign in the password"),
        pytest.param("postgresql://u:hush[hush@127.0.0.1:1/db", id="square bracket in the password"),
        pytest.param("postgresql://u:hush]hush@127.0.0.1:1/db", id="closing bracket in the password"),
        pytest.param("postgresql://u:hush@127.0.0.1:1/db?nonsense=1", id="an unknown parameter"),
        pytest.param("mysql://u:hush@127.0.0.1/db", id="another database"),
        pytest.param("host=127.0.0.1 password=hush", id="no URL"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_bad_url_is_explained_without_showing_it(url: str) -> None:
    with pytest.raises(DagConfigUnreachableError, match="This is no URL of a PostgreSQL database") as error:
        migrate(url)

    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(lambda url: re.sub(r":\d+/", ":1/", url), "Connection refused", id="no server"),
        pytest.param(lambda url: url + "x", "does not exist", id="no such database"),
        pytest.param(lambda url: url.replace("secret", "wrong"), "password authentication failed", id="wrong password"),
    ],
)
def test_an_unreachable_database_is_named_without_its_password(
    database: Database, change: Callable[[str], str], complaint: str
) -> None:
    with pytest.raises(DagConfigUnreachableError, match=complaint) as error:
        migrate(change(database.url))

    assert "(database postgres@127.0.0.1:" in str(error.value)
    assert PASSWORD not in str(error.value)
    assert "wrong%20" not in str(error.value)


@pytest.mark.parametrize("migration", available(), ids=lambda migration: migration.file)
def test_each_file_can_be_applied_by_psql_and_by_the_runner(migration: Migration) -> None:
    for text in (migration.up, migration.down):
        code = re.sub(r"--.*", "", text)
        assert not re.search(r"^\s*(BEGIN|COMMIT|ROLLBACK)\s*;", code, flags=re.MULTILINE | re.IGNORECASE)
        assert not re.search(r"^\s*\\", code, flags=re.MULTILINE), "psql's own commands"


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.version for migration in available()] == list(range(8, 8 + len(available())))
