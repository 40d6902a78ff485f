"""The audit's entry of a change, the counting of versions, and the functions that change rows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from plugins.postgres import Database

from airflow_provider_dagconfig.store.migrate import MigrationError, migrate

JOB = "dag_name = 'calculate_indicators' AND job_name = 'all'"
AUDIT = "financial_screener.dag_configuration_audit"


def last_entry(database: Database, *columns: str) -> tuple[object, ...]:
    return database.execute(f"SELECT {', '.join(columns)} FROM {AUDIT} ORDER BY audit_id DESC LIMIT 1")[0]


def entries(database: Database) -> int:
    return int(database.execute(f"SELECT count(*) FROM {AUDIT}")[0][0])


def version(database: Database, where: str = JOB) -> int:
    return int(database.execute(f"SELECT version FROM financial_screener.dag_configuration WHERE {where}")[0][0])


def test_an_entry_says_who_when_why_and_what(migrated_database: Database) -> None:
    migrated_database.execute(
        "SELECT financial_screener.update_dag_config('calculate_indicators', 'all', p_memory_limit => '8Gi', p_batch_size => 7,"
        " p_updated_by => 'maria', p_reason => 'OOMKilled since Monday')"
    )

    assert last_entry(
        migrated_database,
        "operation",
        "table_name",
        "dag_name",
        "job_name",
        "group_name",
        "changed_by",
        "session_user_name",
        "reason",
    ) == ("UPDATE", "dag_configuration", "calculate_indicators", "all", None, "maria", "postgres", "OOMKilled since Monday")
    columns, before, after, row_version, changed_at = last_entry(
        migrated_database, "changed_columns", "old_values", "new_values", "row_version", "changed_at"
    )
    assert columns == ["batch_size", "memory_limit"]
    assert (before["memory_limit"], after["memory_limit"]) == ("4Gi", "8Gi")  # type: ignore[index]
    assert row_version == version(migrated_database) == 2
    assert isinstance(changed_at, datetime)
    assert abs(datetime.now(timezone.utc) - changed_at) < timedelta(minutes=1)


def test_updated_at_is_the_time_of_the_last_entry(migrated_database: Database) -> None:
    migrated_database.execute(
        f"UPDATE financial_screener.dag_configuration SET batch_size = 7, updated_at = '2000-01-01' WHERE {JOB}"
    )

    assert migrated_database.execute(f"SELECT updated_at FROM financial_screener.dag_configuration WHERE {JOB}") == [
        last_entry(migrated_database, "changed_at")
    ]


def test_entries_are_in_one_zone_whatever_the_session_has(migrated_database: Database) -> None:
    migrated_database.execute(
        f"SET timezone = 'Asia/Tokyo'; UPDATE financial_screener.dag_configuration SET batch_size = 7 WHERE {JOB}"
    )

    values = last_entry(migrated_database, "new_values")[0]
    assert values["updated_at"].endswith("+00:00")  # type: ignore[index]


@pytest.mark.parametrize(
    ("statement", "operations"),
    [
        (
            "INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges) VALUES ('a', 'A', '{A}')",
            ["INSERT"],
        ),
        ("UPDATE financial_screener.exchange_groups SET priority = 1 WHERE group_name = 'lse'", ["UPDATE"]),
        ("DELETE FROM financial_screener.exchange_groups WHERE group_name = 'lse'", ["DELETE"]),
        ("TRUNCATE financial_screener.exchange_groups", ["TRUNCATE"] * 4),
        ("TRUNCATE financial_screener.dag_configuration", ["TRUNCATE"] * 9),
        (
            "SELECT financial_screener.override_dag_config("
            "'calculate_indicators', 'all', now() + interval '1 hour', 'why', p_batch_size => 7)",
            ["INSERT"],
        ),
        (f"UPDATE financial_screener.dag_configuration SET job_name = 'every' WHERE {JOB}", ["DELETE", "INSERT"]),
    ],
    ids=["insert", "update", "delete", "truncate groups", "truncate jobs", "override", "rename"],
)
def test_every_kind_of_change_has_an_audit_entry(migrated_database: Database, statement: str, operations: list[str]) -> None:
    before = entries(migrated_database)

    migrated_database.execute(statement)

    booked = migrated_database.execute(f"SELECT operation FROM {AUDIT} ORDER BY audit_id OFFSET {before}")
    assert [operation for (operation,) in booked] == operations


def test_an_entry_of_a_group_has_its_name(migrated_database: Database) -> None:
    migrated_database.execute("SELECT financial_screener.delete_exchange_group('lse', p_updated_by => 'ann', p_reason => 'closed')")

    assert last_entry(migrated_database, "table_name", "group_name", "dag_name", "changed_by", "reason") == (
        *("exchange_groups", "lse", None, "ann", "closed"),
    )


def test_a_change_that_is_rolled_back_has_no_entry(migrated_database: Database) -> None:
    before = entries(migrated_database)
    with psycopg.connect(migrated_database.url) as connection:
        connection.execute(f"UPDATE financial_screener.dag_configuration SET batch_size = 7 WHERE {JOB}")
        connection.rollback()

    assert entries(migrated_database) == before


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE financial_screener.dag_configuration SET batch_size = batch_size, updated_at = now() WHERE {JOB}",
        "SELECT financial_screener.update_dag_config('calculate_indicators', 'all', p_memory_limit => '4Gi')",
        "UPDATE financial_screener.exchange_groups SET priority = priority",
        f"UPDATE financial_screener.dag_configuration SET version = 77, created_by = 'me', created_at = now(), id = 77 WHERE {JOB}",
    ],
    ids=["update", "function", "group", "what is not the writer's"],
)
def test_what_changes_nothing_writes_nothing(migrated_database: Database, statement: str) -> None:
    rows = "SELECT * FROM financial_screener.dag_configuration ORDER BY id"
    before = migrated_database.execute(rows), entries(migrated_database)

    migrated_database.execute(statement)

    assert (migrated_database.execute(rows), entries(migrated_database)) == before


def test_versions_count_on_when_a_row_comes_back(migrated_database: Database) -> None:
    for statement in ("UPDATE {} SET batch_size = 7", "DELETE FROM {}"):
        migrated_database.execute(statement.format("financial_screener.dag_configuration") + f" WHERE {JOB}")
    migrated_database.execute("SELECT financial_screener.update_dag_config('calculate_indicators', 'all')")

    assert version(migrated_database) == 4
    assert migrated_database.execute(
        f"SELECT operation, row_version FROM {AUDIT} WHERE dag_name = 'calculate_indicators' ORDER BY audit_id"
    ) == [("INSERT", None), ("UPDATE", 2), ("DELETE", 3), ("INSERT", 4)]


def test_a_row_that_was_restored_alone_counts_on_from_its_last_entry(migrated_database: Database) -> None:
    for size in (7, 8, 9):
        migrated_database.execute(f"UPDATE financial_screener.dag_configuration SET batch_size = {size} WHERE {JOB}")
    migrated_database.execute(f"""
        ALTER TABLE financial_screener.dag_configuration DISABLE TRIGGER USER;
        UPDATE financial_screener.dag_configuration SET version = 1, batch_size = 6 WHERE {JOB};
        ALTER TABLE financial_screener.dag_configuration ENABLE TRIGGER USER
    """)

    migrated_database.execute(f"UPDATE financial_screener.dag_configuration SET batch_size = 5 WHERE {JOB}")

    assert version(migrated_database) == 5


@pytest.mark.parametrize(
    ("statement", "message", "expected", "actual"),
    [
        ("update_dag_config('calculate_indicators', 'all', p_batch_size => 7, p_expected_version => 3)", "is at version 1", 3, 1),
        ("update_dag_config('calculate_indicators', 'all', p_expected_version => 0)", "is there already, at version 1", 0, 1),
        ("update_dag_config('no', 'row', p_expected_version => 2)", "no/row is no longer there", 2, 0),
        ("delete_dag_config('calculate_indicators', 'all', p_expected_version => 3)", "is at version 1", 3, 1),
        ("update_exchange_group('lse', p_priority => 1, p_expected_version => 3)", "exchange group lse is at version 1", 3, 1),
        ("delete_exchange_group('lse', p_expected_version => 3)", "exchange group lse is at version 1", 3, 1),
        (
            "rollback_dag_config('calculate_indicators', 'all', now(), p_expected_version => 3)",
            "calculate_indicators/all is at version 1, and the change is based on version 3",
            *(3, 1),
        ),
    ],
)
def test_a_change_based_on_another_version_is_refused(
    migrated_database: Database, statement: str, message: str, expected: int, actual: int
) -> None:
    before = entries(migrated_database)

    with pytest.raises(psycopg.Error, match=message) as error:
        migrated_database.execute(f"SELECT financial_screener.{statement}")

    assert error.value.sqlstate == "DC409"
    assert json.loads(str(error.value.diag.message_detail)) == {"kind": "stale", "expected": expected, "actual": actual}
    assert entries(migrated_database) == before


def test_the_stated_version_is_accepted_while_it_is_the_rows(migrated_database: Database) -> None:
    for number in (1, 2, 3):
        migrated_database.execute(
            "SELECT financial_screener.update_dag_config("
            "'calculate_indicators', 'all', p_batch_size => %s, p_expected_version => %s)",
            [number, number],
        )

    assert version(migrated_database) == 4


@pytest.mark.parametrize(
    "statement", ["delete_dag_config('no', 'row')", "delete_exchange_group('nowhere')", "rollback_change(999)", "end_override(9)"]
)
def test_what_is_not_there_is_said_so(migrated_database: Database, statement: str) -> None:
    with pytest.raises(psycopg.Error, match="there is no ") as error:
        migrated_database.execute(f"SELECT financial_screener.{statement}")

    assert error.value.sqlstate == "DC404"


def test_every_column_of_a_job_can_be_set(migrated_database: Database) -> None:
    migrated_database.execute("""
        SELECT financial_screener.update_dag_config(
            'd', 'j', '100m', '1', '64Mi', '1Gi', 10, 60, 'maria', 0, 1, FALSE, FALSE, 9, 'Mine', 'a try', 0
        )
    """)

    assert migrated_database.execute("""
        SELECT cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds, created_by, max_retries,
            retry_delay_minutes, retry_backoff_enabled, enabled, priority, description, version
        FROM financial_screener.dag_configuration WHERE dag_name = 'd'
    """) == [("100m", "1", "64Mi", "1Gi", 10, 60, "maria", 0, 1, False, False, 9, "Mine", 1)]


def test_an_empty_description_removes_it(migrated_database: Database) -> None:
    migrated_database.execute("SELECT financial_screener.update_dag_config('calculate_indicators', 'all', p_description => '')")

    assert migrated_database.execute(f"SELECT description FROM financial_screener.dag_configuration WHERE {JOB}") == [(None,)]


def test_every_column_of_a_group_can_be_set(migrated_database: Database) -> None:
    migrated_database.execute("""
        SELECT financial_screener.update_exchange_group(
            'asia', 'Asia', '{TSE,HKEX}', 'Asia/Tokyo', '00:00', '06:00', FALSE, 6, 'Far east', 'maria', 'new market', 0
        )
    """)
    migrated_database.execute("SELECT financial_screener.update_exchange_group('asia', p_enabled => TRUE)")

    assert migrated_database.execute("""
        SELECT display_name, exchanges, primary_timezone, market_open_utc::text, market_close_utc::text, enabled, priority,
            description, version
        FROM financial_screener.exchange_groups WHERE group_name = 'asia'
    """) == [("Asia", ["TSE", "HKEX"], "Asia/Tokyo", "00:00:00", "06:00:00", True, 6, "Far east", 2)]


def test_a_new_group_without_exchanges_is_refused(migrated_database: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="exchanges NULL of exchange group asia must be a list of 1 to 500"):
        migrated_database.execute("SELECT financial_screener.update_exchange_group('asia')")


def test_a_name_that_is_too_long_for_the_audit_does_not_stop_a_change(migrated_database: Database) -> None:
    migrated_database.execute("SELECT financial_screener.update_dag_config('d', 'j', p_updated_by => repeat('x', 300))")

    assert last_entry(migrated_database, "changed_by") == ("x" * 100,)


def test_reasons_and_names_end_with_the_call(migrated_database: Database) -> None:
    migrated_database.execute(
        "SELECT financial_screener.update_dag_config('d', 'j', p_updated_by => 'maria', p_reason => 'why');"
        " UPDATE financial_screener.dag_configuration SET batch_size = 3 WHERE dag_name = 'd'"
    )

    assert last_entry(migrated_database, "changed_by", "reason") == ("postgres", None)


def test_the_old_entries_stay_with_their_columns_in_place(adopted_database: Database) -> None:
    # The zone of this session: that of the times without one.
    old = (
        f"SELECT audit_id, operation, dag_name, job_name, old_values, new_values, changed_by, changed_at::timestamptz FROM {AUDIT}"
    )
    before = adopted_database.execute(f"{old} ORDER BY 1")

    migrate(adopted_database.url)

    assert [row[:8] for row in adopted_database.execute(f"SELECT * FROM {AUDIT} ORDER BY 1")] == before
    assert adopted_database.execute(f"SELECT DISTINCT table_name FROM {AUDIT}") == [("dag_configuration",)]


@pytest.mark.parametrize(
    ("table", "column"), [("dag_configuration", "version integer"), ("dag_configuration_audit", "reason character varying(10)")]
)
def test_a_column_of_somebody_elses_is_not_taken_for_the_stores(adopted_database: Database, table: str, column: str) -> None:
    name = column.partition(" ")[0]
    adopted_database.execute(f"ALTER TABLE financial_screener.{table} ADD COLUMN {column}")

    with pytest.raises(
        MigrationError, match=f"{table} has a column {name} of another kind.* RENAME COLUMN {name} TO former_{name}"
    ):
        migrate(adopted_database.url)

    adopted_database.execute(f"ALTER TABLE financial_screener.{table} RENAME COLUMN {name} TO former_{name}")
    migrate(adopted_database.url)


def test_every_time_has_a_zone(migrated_database: Database) -> None:
    assert (
        migrated_database.execute("""
        SELECT table_name::text, column_name::text FROM information_schema.columns
        WHERE table_schema = 'financial_screener' AND data_type = 'timestamp without time zone'
    """)
        == []
    )
