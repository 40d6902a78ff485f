"""The changes that a rollback undoes, and those that it reports instead."""

from __future__ import annotations

import json

import psycopg
import pytest
from plugins.postgres import Database

S = "financial_screener"
JOB = "dag_name = 'calculate_indicators' AND job_name = 'all'"


def change(database: Database, statement: str) -> int:
    """Make a change; give the number of its last entry."""
    database.execute(statement)
    return int(database.execute(f"SELECT max(audit_id) FROM {S}.dag_configuration_audit")[0][0])


def roll_back(database: Database, audit_id: int) -> None:
    database.execute(f"SELECT {S}.rollback_change(%s)", [audit_id])


def value(database: Database, column: str, where: str = JOB) -> object:
    return database.execute(f"SELECT {column} FROM {S}.dag_configuration WHERE {where}")[0][0]


def test_one_change_after_another_is_taken_back_from_the_last(migrated_database: Database) -> None:
    first, second, third = (
        change(migrated_database, f"UPDATE {S}.dag_configuration SET batch_size = {size} WHERE {JOB}") for size in (7, 8, 9)
    )

    for entry in (third, second, first):
        roll_back(migrated_database, entry)

    assert value(migrated_database, "batch_size") == 1000


def test_a_row_that_was_made_does_not_go_with_what_was_added_to_it(migrated_database: Database) -> None:
    made = change(migrated_database, f"SELECT {S}.update_dag_config('d', 'j')")
    described = change(migrated_database, f"SELECT {S}.update_dag_config('d', 'j', p_description => 'Mine')")

    with pytest.raises(psycopg.Error, match="description of d/j changed again since") as error:
        roll_back(migrated_database, made)

    assert error.value.sqlstate == "DC409"
    assert json.loads(str(error.value.diag.message_detail))["entries"] == [described]
    roll_back(migrated_database, described)
    roll_back(migrated_database, made)
    assert migrated_database.execute(f"SELECT FROM {S}.dag_configuration WHERE dag_name = 'd'") == []


def test_both_entries_of_a_change_of_name_are_taken_back(migrated_database: Database) -> None:
    made = change(migrated_database, f"UPDATE {S}.dag_configuration SET job_name = 'every' WHERE {JOB}")

    roll_back(migrated_database, made - 1)
    assert value(migrated_database, "batch_size") == 1000

    roll_back(migrated_database, made)
    assert migrated_database.execute(
        f"SELECT job_name, count(*) OVER () FROM {S}.dag_configuration WHERE dag_name = 'calculate_indicators'"
    ) == [("all", 1)]


def test_rows_come_back_though_their_ids_were_given_again(migrated_database: Database) -> None:
    last = change(migrated_database, f"TRUNCATE {S}.dag_configuration RESTART IDENTITY")
    migrated_database.execute(f"SELECT {S}.update_dag_config('d', 'j')")

    for entry in range(last - 8, last + 1):
        roll_back(migrated_database, entry)

    assert migrated_database.execute(f"SELECT count(*), count(DISTINCT id) FROM {S}.dag_configuration") == [(10, 10)]


def test_columns_of_somebody_elses_are_taken_back_too(migrated_database: Database) -> None:
    migrated_database.execute(f"""
        ALTER TABLE {S}.dag_configuration ADD COLUMN owner text, ADD COLUMN loud text GENERATED ALWAYS AS (upper(job_name)) STORED;
        UPDATE {S}.dag_configuration SET owner = 'ann'
    """)
    changed = change(migrated_database, f"UPDATE {S}.dag_configuration SET owner = 'bob' WHERE {JOB}")

    roll_back(migrated_database, changed)
    assert value(migrated_database, "owner") == "ann"

    roll_back(migrated_database, change(migrated_database, f"DELETE FROM {S}.dag_configuration WHERE {JOB}"))
    assert (value(migrated_database, "owner"), value(migrated_database, "loud")) == ("ann", "ALL")


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("UPDATE {} SET market_open_utc = '08:00', exchanges = '{{LSE,AIM}}' WHERE group_name = 'lse'", "market_open_utc"),
        ("DELETE FROM {} WHERE group_name = 'lse'", "exchanges"),
        ("TRUNCATE {}", "priority"),
    ],
    ids=["update", "delete", "truncate"],
)
def test_a_group_is_what_it_was(migrated_database: Database, statement: str, column: str) -> None:
    look = f"SELECT {column}, exchanges, created_at FROM {S}.exchange_groups WHERE group_name = 'lse'"
    before = migrated_database.execute(look)
    migrated_database.execute(statement.format(f"{S}.exchange_groups"))

    migrated_database.execute(
        f"SELECT {S}.rollback_change(max(audit_id)) FROM {S}.dag_configuration_audit WHERE group_name = 'lse'"
    )

    assert migrated_database.execute(look) == before
