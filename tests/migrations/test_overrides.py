"""Values for a time, the configuration as it was, and the way back to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from plugins.postgres import Database

from airflow_provider_dagconfig.models import CONFIG_COLUMNS
from airflow_provider_dagconfig.store.migrate import migrate

JOB = "'calculate_indicators', 'all'"
AUDIT = "financial_screener.dag_configuration_audit"


class Store:
    """One job of a database, and the moments between the statements, each of which is a transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def one(self, sql: str, *parameters: object) -> Any:
        row = self.connection.execute(sql, parameters).fetchone()  # type: ignore[arg-type]
        return row[0] if row else None

    def update(self, **values: object) -> None:
        arguments = "".join(f", p_{name} => %s" for name in values)
        self.one(f"SELECT financial_screener.update_dag_config({JOB}{arguments})", *values.values())

    def override(self, until: str = "1 hour", start: str = "0", **values: object) -> int:
        arguments = "".join(f", p_{name} => %s" for name in values)
        return int(
            self.one(
                f"SELECT financial_screener.override_dag_config({JOB}, now() + interval '{until}', 'backfill',"
                f" p_starts_at => now() + interval '{start}'{arguments})",
                *values.values(),
            )
        )

    def effective(self, column: str, at: str = "now()") -> Any:
        return self.one(f"SELECT {column} FROM financial_screener.effective_dag_config({JOB}, {at})")

    def now(self) -> Any:
        return self.one("SELECT clock_timestamp()")

    def last_entry(self) -> int:
        return int(self.one(f"SELECT max(audit_id) FROM {AUDIT}"))


@pytest.fixture
def store(migrated_database: Database) -> Iterator[Store]:
    with psycopg.connect(migrated_database.url, autocommit=True) as connection:
        yield Store(connection)


def test_an_override_is_in_force_at_once_and_ends_by_itself(store: Store) -> None:
    store.override("1 second", memory_limit="8Gi")
    assert store.one("SELECT memory_limit FROM financial_screener.get_dag_config('calculate_indicators')") == "8Gi"

    store.one("SELECT pg_sleep(1.1)")

    assert store.one("SELECT memory_limit FROM financial_screener.get_dag_config('calculate_indicators')") == "4Gi"


def test_each_value_says_where_it_comes_from(store: Store) -> None:
    number = store.override(batch_size=7)

    sources = store.effective("sources")

    assert sources["batch_size"] == f"override {number}"
    assert sources["memory_limit"] == "row"
    assert set(store.one("SELECT sources FROM financial_screener.effective_dag_config('no', 'row')").values()) == {"default"}
    assert set(sources) == set(CONFIG_COLUMNS)


def test_the_newest_override_wins_a_column(store: Store) -> None:
    store.override(batch_size=7, priority=1)
    store.override(batch_size=8)

    assert (store.effective("batch_size"), store.effective("priority")) == (8, 1)


def test_an_override_may_begin_later(store: Store) -> None:
    store.override("2 hours", start="1 hour", enabled=False)

    assert store.effective("enabled") is True
    assert store.effective("enabled", "now() + interval '90 minutes'") is False
    assert store.effective("enabled", "now() + interval '2 hours'") is True


def test_an_override_may_be_ended_early(store: Store) -> None:
    number = store.override(batch_size=7)

    store.one("SELECT financial_screener.end_override(%s, 'ann', 'done')", number)

    assert store.effective("batch_size") == 1000
    assert store.connection.execute(
        f"SELECT operation, override_id, dag_name, changed_by, reason, changed_columns FROM {AUDIT} ORDER BY audit_id DESC LIMIT 2"
    ).fetchall()[0] == ("UPDATE", number, "calculate_indicators", "ann", "done", ["ended_at"])
    with pytest.raises(psycopg.Error, match=f"override {number} of calculate_indicators/all has ended already") as error:
        store.one("SELECT financial_screener.end_override(%s)", number)
    assert error.value.sqlstate == "DC409"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("now(), 'why', p_batch_size => 7", "must be a moment after its start and after now"),
        ("NULL, 'why', p_batch_size => 7", "ends_at NULL"),
        ("'infinity', 'why', p_batch_size => 7", "such as now\\(\\) \\+ interval '2 hours'"),
        (
            "now() + interval '1 hour', ' ', p_batch_size => 7",
            "reason ' ' of the override of calculate_indicators/all must be a text",
        ),
        ("now() + interval '1 hour', 'why'", "must set at least one value"),
        (
            "now() + interval '1 hour', 'why', p_batch_size => 0",
            "batch_size '0' of calculate_indicators/all .* must be a whole number",
        ),
        ("now() + interval '1 hour', 'why', p_memory_limit => '2 GB'", "memory_limit '2 GB' .* must be a Kubernetes quantity"),
        (
            "now() + interval '1 hour', 'why', p_memory_limit => '1Gi'",
            r"memory_request '2Gi' .* no more than memory_limit \('1Gi'\)",
        ),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(store: Store, arguments: str, message: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=message):
        store.one(f"SELECT financial_screener.override_dag_config({JOB}, {arguments})")


def test_an_override_of_a_job_without_a_row_is_refused(store: Store) -> None:
    with pytest.raises(psycopg.Error, match="there is no row for calculate_indicators/al to be overridden") as error:
        store.one(
            "SELECT financial_screener.override_dag_config("
            "'calculate_indicators', 'al', now() + interval '1 hour', 'why', p_batch_size => 7)"
        )

    assert error.value.sqlstate == "DC404"


def test_overrides_that_break_a_rule_once_another_ends_are_refused(store: Store) -> None:
    store.override("1 hour", memory_limit="8Gi")

    with pytest.raises(psycopg.errors.CheckViolation, match=r"memory_request '6Gi' .* \(override 2\) .* memory_limit \('4Gi'\)"):
        store.override("2 hours", memory_request="6Gi")

    store.override("50 minutes", memory_request="6Gi")
    with pytest.raises(psycopg.errors.CheckViolation, match="memory_request '6Gi'"):
        store.one("SELECT financial_screener.end_override(1)")


def test_a_row_is_not_changed_so_that_it_breaks_a_rule_with_an_override(store: Store) -> None:
    store.override(memory_limit="3Gi")

    with pytest.raises(
        psycopg.errors.CheckViolation, match=r"memory_request '4Gi' of calculate_indicators/all \(override 1\) must be"
    ):
        store.update(memory_request="4Gi")

    store.update(memory_request="3Gi", enabled=False)


def test_a_bad_row_may_be_helped_by_an_override_and_disabled(adopted_database: Database) -> None:
    migrate(adopted_database.url)
    adopted_database.execute(
        "SELECT financial_screener.override_dag_config("
        "'house_prices', 'all', now() + interval '1 hour', 'until mended', p_memory_limit => '2Gi', p_batch_size => 5)"
    )
    assert adopted_database.execute("SELECT memory_limit, batch_size FROM financial_screener.get_dag_config('house_prices')") == [
        ("2Gi", 5)
    ]

    adopted_database.execute("SELECT financial_screener.update_dag_config('house_prices', 'all', p_enabled => FALSE)")

    assert adopted_database.execute("SELECT enabled FROM financial_screener.get_dag_config('house_prices')") == [(False,)]


def test_a_job_is_seen_as_it_was(store: Store) -> None:
    moments = [store.now()]
    for size in (1, 2):
        store.update(batch_size=size)
        moments.append(store.now())
    store.one(f"SELECT financial_screener.delete_dag_config({JOB})")
    moments.append(store.now())

    at = f"SELECT (financial_screener.dag_config_at({JOB}, %s) ->> 'batch_size')::integer"
    assert [store.one(at, moment) for moment in moments] == [1000, 1, 2, None]
    assert store.one(f"SELECT financial_screener.dag_config_at({JOB}, now() - interval '1 year')") is None
    assert store.one("SELECT financial_screener.dag_config_at('no', 'row', now())") is None


def test_a_renamed_job_is_seen_under_the_name_it_had(store: Store) -> None:
    before = store.now()
    store.connection.execute("UPDATE financial_screener.dag_configuration SET job_name = 'every' WHERE job_name = 'all'")

    at = "SELECT financial_screener.dag_config_at('calculate_indicators', %s, %s) ->> 'batch_size'"
    assert [store.one(at, job, moment) for job in ("all", "every") for moment in (before, store.now())] == [
        "1000",
        None,
        None,
        "1000",
    ]


def test_a_group_is_seen_as_it_was(store: Store) -> None:
    before = store.now()
    store.one("SELECT financial_screener.update_exchange_group('lse', p_exchanges => '{LSE,AIM}')")

    at = "SELECT financial_screener.exchange_group_at('lse', %s) -> 'exchanges'"
    assert [store.one(at, moment) for moment in (before, store.now())] == [["LSE"], ["LSE", "AIM"]]


def test_what_was_in_force_is_seen_with_its_overrides(store: Store) -> None:
    store.override(batch_size=7)
    during = store.now()
    store.one("SELECT financial_screener.end_override(1)")
    store.update(memory_limit="8Gi")

    assert (
        store.one(f"SELECT (batch_size, memory_limit)::text FROM financial_screener.effective_dag_config({JOB}, %s)", during)
        == "(7,4Gi)"
    )


def test_a_row_without_entries_is_seen_since_it_was_made(store: Store) -> None:
    store.connection.execute("DELETE FROM financial_screener.dag_configuration_audit")

    assert store.one(f"SELECT financial_screener.dag_config_at({JOB}, now()) ->> 'batch_size'") == "1000"
    assert store.one(f"SELECT financial_screener.dag_config_at({JOB}, now() - interval '1 year')") is None


def test_the_rollback_of_an_entry_is_a_change_with_its_own_entry(store: Store) -> None:
    store.update(memory_limit="8Gi", timeout_seconds=60)
    entry = store.last_entry()
    store.update(batch_size=7)

    store.one("SELECT financial_screener.rollback_change(%s, 'maria')", entry)

    assert store.one(
        f"SELECT (memory_limit, timeout_seconds, batch_size, version)::text FROM financial_screener.effective_dag_config({JOB})"
    ) == ("(4Gi,3600,7,4)")
    assert store.connection.execute(
        f"SELECT operation, changed_by, reason, changed_columns FROM {AUDIT} ORDER BY audit_id DESC LIMIT 1"
    ).fetchall() == [("UPDATE", "maria", f"roll-back of entry {entry}", ["memory_limit", "timeout_seconds"])]


def test_a_later_change_of_the_same_column_is_reported_and_stays(store: Store) -> None:
    store.update(memory_limit="8Gi", batch_size=5)
    entry = store.last_entry()
    store.update(memory_limit="9Gi")

    with pytest.raises(
        psycopg.Error, match=f"entry {entry} cannot be rolled back: memory_limit of calculate_indicators/all"
    ) as error:
        store.one("SELECT financial_screener.rollback_change(%s)", entry)

    assert error.value.sqlstate == "DC409"
    assert json.loads(str(error.value.diag.message_detail)) == {
        "kind": "conflict",
        "columns": ["memory_limit"],
        "entries": [store.last_entry()],
    }
    assert store.effective("memory_limit") == "9Gi"


@pytest.mark.parametrize("table", ["dag_configuration", "exchange_groups"])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM financial_screener.{}", "TRUNCATE financial_screener.{}"], ids=["delete", "truncate"]
)
def test_rows_that_went_come_back_by_their_entries(store: Store, table: str, statement: str) -> None:
    rows = f"SELECT to_jsonb(t) - 'version' - 'updated_at' FROM financial_screener.{table} AS t ORDER BY id"
    before = store.connection.execute(rows).fetchall()
    store.connection.execute(statement.format(table))

    store.connection.execute(
        f"SELECT financial_screener.rollback_change(audit_id) FROM {AUDIT}"
        " WHERE operation IN ('DELETE', 'TRUNCATE') ORDER BY audit_id"
    )

    assert store.connection.execute(rows).fetchall() == before


def test_a_row_that_was_made_is_taken_away(store: Store) -> None:
    store.one("SELECT financial_screener.update_exchange_group('asia', p_exchanges => '{TSE}')")

    store.one("SELECT financial_screener.rollback_change(%s)", store.last_entry())

    assert store.one("SELECT count(*) FROM financial_screener.exchange_groups WHERE group_name = 'asia'") == 0


def test_an_override_that_was_made_is_ended(store: Store) -> None:
    store.override(batch_size=7)

    store.one("SELECT financial_screener.rollback_change(%s)", store.last_entry())

    assert store.effective("batch_size") == 1000
    with pytest.raises(psycopg.Error, match="ended override 1, which is not resumed"):
        store.one("SELECT financial_screener.rollback_change(%s)", store.last_entry())


def test_an_entry_from_before_this_audit_is_rolled_back_too(adopted_database: Database) -> None:
    entry = adopted_database.execute(
        f"SELECT audit_id FROM {AUDIT} WHERE operation = 'UPDATE' AND new_values ->> 'batch_size' = '600'"
    )[0][0]
    migrate(adopted_database.url)

    adopted_database.execute("SELECT financial_screener.rollback_change(%s)", [entry])

    assert adopted_database.execute(
        "SELECT batch_size FROM financial_screener.get_dag_config('data_collection_equities', 'us_markets')"
    ) == [(500,)]


def test_a_job_is_rolled_back_to_a_moment(store: Store) -> None:
    before = store.now()
    store.update(batch_size=5, memory_limit="8Gi")
    store.update(enabled=False, description="broken")

    store.one(f"SELECT financial_screener.rollback_dag_config({JOB}, %s, 'maria', 'bad night', 3)", before)

    assert store.one(
        f"SELECT (batch_size, memory_limit, enabled, version)::text FROM financial_screener.effective_dag_config({JOB})"
    ) == ("(1000,4Gi,t,4)")
    store.one(f"SELECT financial_screener.delete_dag_config({JOB})")
    store.one(f"SELECT financial_screener.rollback_dag_config({JOB}, %s)", before)
    assert store.effective("version") == 6


def test_a_job_is_not_rolled_back_to_a_moment_without_a_row(store: Store) -> None:
    with pytest.raises(psycopg.Error, match="there was no row for calculate_indicators/all at ") as error:
        store.one(f"SELECT financial_screener.rollback_dag_config({JOB}, now() - interval '1 year')")

    assert error.value.sqlstate == "DC404"


def test_a_roll_back_to_a_bad_value_is_refused(adopted_database: Database) -> None:
    migrate(adopted_database.url)
    adopted_database.execute("SELECT financial_screener.update_dag_config('house_prices', 'all', p_memory_limit => '2Gi')")

    with pytest.raises(psycopg.errors.CheckViolation, match="memory_limit '2 GB' of house_prices/all must be"):
        adopted_database.execute(f"SELECT financial_screener.rollback_change(max(audit_id)) FROM {AUDIT}")
