"""Unreadable values are refused when written; a database that has some already migrates, names them, and can be repaired."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from plugins.command_line import Answer, dagconfig
from plugins.earlier_builds import build
from plugins.postgres import Database

from airflow_provider_dagconfig.store.migrate import migrate

__all__ = ["dagconfig"]

S = "financial_screener"
JOB = "'data_collection_equities', 'lse'"
OVERRIDES = f"{S}.dag_configuration_overrides"
MOMENTS = ["infinity", "-infinity", "0044-03-15 12:00+00 BC", "0001-01-01 12:00+00", "9999-12-31 12:00+00", "294276-12-31 12:00+00"]
CONTROLS = ["a\nb", "a\tb", "\x01", "\x1b[31mred", "\x7f", "a\u0085b", "\u009f"]


def refusal(database: Database, statement: str, parameters: list[str] | None = None) -> str:
    with pytest.raises(psycopg.errors.CheckViolation) as error:
        database.execute(statement, parameters)
    return str(error.value.diag.message_primary)


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment[0] not in "-0" and moment != "infinity"])
def test_an_override_ends_at_a_moment_that_can_be_read(migrated_database: Database, moment: str) -> None:
    said = refusal(migrated_database, f"SELECT {S}.override_dag_config({JOB}, '{moment}', 'for ever', p_batch_size => 7)")

    assert said.startswith(f"ends_at '{moment[:-9].partition(' ')[0]}")
    assert said.endswith(
        "of data_collection_equities/lse must be a moment from 0001-01-02 to 9999-12-30, such as 2026-11-24 06:00:00+00"
    )


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("column", ["starts_at", "ends_at", "created_at", "ended_at"])
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_whoever_writes_an_override_is_held_to_the_rules(migrated_database: Database, role: str, column: str, moment: str) -> None:
    migrated_database.execute(f"SELECT {S}.override_dag_config({JOB}, now() + interval '1 hour', 'why', p_batch_size => 7)")

    said = refusal(migrated_database, f"SET session_replication_role = {role}; UPDATE {OVERRIDES} SET {column} = '{moment}'")

    assert column in said or "override_end" in said


@pytest.mark.parametrize("table", ["dag_configuration", "exchange_groups"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_row_that_no_trigger_saw_came_to_be_at_a_moment_that_can_be_read(
    migrated_database: Database, table: str, moment: str
) -> None:
    columns, values = {
        "dag_configuration": ("dag_name, job_name", "'d', 'j'"),
        "exchange_groups": ("group_name, display_name, exchanges", "'g', 'G', '{LSE}'"),
    }[table]

    insert = f"INSERT INTO {S}.{table} ({columns}, created_at) VALUES ({values}, '{moment}')"
    said = refusal(migrated_database, f"SET session_replication_role = replica; {insert}")

    assert said.endswith('violates check constraint "rule_created_at"')


@pytest.mark.parametrize("column", ["market_open_utc", "market_close_utc"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {S}.exchange_groups SET {column} = '24:00' WHERE group_name = 'us_markets'",
        "SELECT {S}.update_exchange_group('us_markets', p_{column} => '24:00')",
        "SELECT {S}.update_exchange_group('new', p_exchanges => '{{LSE}}', p_{column} => '24:00')",
    ],
)
def test_a_time_of_day_can_be_read(migrated_database: Database, statement: str, column: str) -> None:
    assert f"{column} '24:00:00' of exchange group" in refusal(migrated_database, statement.format(S=S, column=column))


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (f"SELECT {S}.update_dag_config(%s, 'lse')", "dag_name"),
        (f"SELECT {S}.update_dag_config('d', %s)", "job_name"),
        (f"UPDATE {S}.dag_configuration SET job_name = %s WHERE job_name = 'lse' AND dag_name LIKE 'data%%'", "job_name"),
        (f"SELECT {S}.update_exchange_group(%s, p_exchanges => '{{LSE}}')", "group_name"),
        (f"SELECT {S}.update_exchange_group('lse', p_display_name => %s)", "display_name"),
        (f"SELECT {S}.update_exchange_group('lse', p_exchanges => ARRAY['LSE', %s])", "exchanges"),
    ],
)
def test_a_name_has_no_control_characters(migrated_database: Database, statement: str, said: str, name: str) -> None:
    assert refusal(migrated_database, statement, [name]).startswith(f"{said} ")


@pytest.mark.parametrize("name", ["Ünïcödé €", "日本", "a b", "it's"])
def test_other_characters_are_fine(migrated_database: Database, name: str) -> None:
    migrated_database.execute(f"SELECT {S}.update_dag_config(%s, %s)", [name, name])
    migrated_database.execute(f"SELECT {S}.update_exchange_group(%s, %s, ARRAY['LSE'])", [name, name])


@pytest.fixture
def odd(database: Database) -> Database:
    """A database of a build that had not these rules yet, with each kind of what they refuse."""
    build(database, to=15)
    database.execute(f"""
        SELECT {S}.override_dag_config({JOB}, '200000-01-01', 'for ever', p_batch_size => 7);
        SELECT {S}.override_dag_config({JOB}, '200000-01-01', 'later', p_batch_size => 8, p_starts_at => '100000-01-01');
        SELECT {S}.update_dag_config('data_collection_equities', E'new\\nline');
        SELECT {S}.update_exchange_group(E'bell\\x07', p_exchanges => '{{LSE}}');
        UPDATE {S}.exchange_groups SET market_close_utc = '24:00' WHERE group_name = 'us_markets';
        INSERT INTO {S}.dag_configuration (dag_name, job_name, created_at) VALUES ('old', 'times', '-infinity');
        INSERT INTO {S}.exchange_groups (group_name, display_name, exchanges, created_at) VALUES ('old', 'o', '{{A}}', 'infinity');
        INSERT INTO {S}.dag_configuration (dag_name, job_name) VALUES ('old', 'version');
        SET session_replication_role = replica;
        UPDATE {S}.dag_configuration SET version = 9223372036854775807 WHERE job_name = 'version';
    """)
    return database


BROKEN = {
    ("override 1 of data_collection_equities/lse", "ends_at"),
    ("override 2 of data_collection_equities/lse", "ends_at"),
    ("override 2 of data_collection_equities/lse", "starts_at"),
    ("data_collection_equities/new\nline", "job_name"),
    ("bell\x07", "group_name"),
    ("bell\x07", "display_name"),
    ("us_markets", "market_close_utc"),
    ("old/times", "created_at"),
    ("old", "created_at"),
    ("old/version", "version"),
}


def violations(database: Database) -> set[tuple[object, ...]]:
    return set(database.execute(f"SELECT row_key, column_name FROM {S}.rule_violations()"))


def test_a_database_that_has_such_values_migrates_and_goes_back(odd: Database) -> None:
    # Without what is NULL: columns that were not there before hold nothing.
    rows = f"""
        SELECT
            (SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(c))) FROM {S}.dag_configuration AS c),
            (SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(o))) FROM {OVERRIDES} AS o)
    """
    before = odd.execute(rows)
    notices: list[str] = []

    migrate(odd.url, notice=notices.append)

    assert [notice for notice in notices if "rules" in notice] == [
        f"9 rules are broken by rows from before there were rules; they stay as they are. SELECT * FROM {S}.rule_violations();"
    ]
    assert violations(odd) == BROKEN
    migrate(odd.url, to=9)
    migrate(odd.url)
    assert violations(odd) == BROKEN
    assert odd.execute(rows) == before


def test_what_doctor_says_mends_it(odd: Database, dagconfig: Callable[..., Answer]) -> None:
    migrate(odd.url)
    for statement in (
        f"SELECT {S}.end_override(1, 'ann', 'cannot be read')",
        f"SELECT {S}.end_override(2)",
        f"UPDATE {S}.dag_configuration SET job_name = 'new_line' WHERE job_name = E'new\\nline'",
        f"UPDATE {S}.exchange_groups SET group_name = 'bell', display_name = 'Bell' WHERE group_name = E'bell\\x07'",
        f"SELECT {S}.update_exchange_group('us_markets', p_market_close_utc => '23:59')",
        f"SELECT {S}.update_dag_config('old', 'times')",
        f"SELECT {S}.update_exchange_group('old')",
        f"SELECT {S}.update_dag_config('old', 'version')",
    ):
        odd.execute(statement)

    assert violations(odd) == set()
    migrate(odd.url)
    assert odd.execute(f"SELECT {S}.enforce_rules()") == [(0,)]
    assert dagconfig("doctor", "--no-cluster", "--url", odd.url).code == 0
    # The audit keeps the former values; the planned override was never in force.
    assert odd.execute(f"SELECT old_values ->> 'ends_at' FROM {S}.dag_configuration_audit WHERE reason = 'cannot be read'") == [
        ("200000-01-01T00:00:00+00:00",)
    ]
    assert odd.execute(
        f"SELECT ended_at <= now(), starts_at <= now() AND ended_at > starts_at FROM {OVERRIDES} ORDER BY override_id"
    ) == [(True, True), (True, False)]
    # It counts on from the last version that the audit has.
    assert odd.execute(f"SELECT version FROM {S}.dag_configuration WHERE job_name = 'version'") == [(2,)]


@pytest.mark.parametrize(
    ("column", "moment"),
    [("ended_at", "infinity"), ("ended_at", "-infinity"), ("ended_at", "2100-01-01"), ("ends_at", "infinity"),
     ("ends_at", "-infinity"), ("starts_at", "-infinity"), ("starts_at", "infinity"), ("created_at", "infinity")],
)  # fmt: skip
def test_an_override_is_ended_whatever_moment_it_holds(migrated_database: Database, column: str, moment: str) -> None:
    end = f"SELECT {S}.end_override(1)"
    migrated_database.execute(f"""
        SELECT {S}.override_dag_config({JOB}, now() + interval '1 hour', 'why', p_batch_size => 7);
        ALTER TABLE {OVERRIDES} DROP CONSTRAINT rule_{column};
        ALTER TABLE {OVERRIDES} DROP CONSTRAINT override_ends_after_it_starts;
        ALTER TABLE {OVERRIDES} DROP CONSTRAINT override_ended_before_its_end;
        SET session_replication_role = replica;
        UPDATE {OVERRIDES} SET {column} = '{moment}'
    """)

    migrated_database.execute(end)

    ended = f"SELECT coalesce(ended_at, ends_at) <= now() AND starts_at < ends_at FROM {OVERRIDES}"
    assert migrated_database.execute(ended) == [(True,)]
    assert migrated_database.execute(f"SELECT batch_size FROM {S}.effective_dag_config({JOB})") != [(7,)]
    assert violations(migrated_database) == set()
    with pytest.raises(psycopg.Error, match="override 1 of data_collection_equities/lse has ended already"):
        migrated_database.execute(end)


def test_the_end_of_an_override_that_exposes_another_is_refused_as_before(migrated_database: Database) -> None:
    migrated_database.execute(f"""
        SELECT {S}.update_dag_config({JOB}, p_memory_request => '1Gi', p_memory_limit => '2Gi');
        SELECT {S}.override_dag_config({JOB}, '2100-01-01', 'more', p_memory_limit => '8Gi');
        SELECT {S}.override_dag_config({JOB}, '2100-01-01', 'more', p_memory_request => '6Gi')
    """)

    assert "memory_request '6Gi'" in refusal(migrated_database, f"SELECT {S}.end_override(1)")
