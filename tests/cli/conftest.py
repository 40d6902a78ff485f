"""The command line for the tests beside this file."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from plugins.command_line import Answer, dagconfig
from plugins.postgres import Database

__all__ = ["dagconfig"]


@pytest.fixture
def store_cli(
    dagconfig: Callable[..., Answer], migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """A function that runs `airflow dagconfig ARGUMENTS` on a migrated database, which is the default connection's."""
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.url)
    return dagconfig


@pytest.fixture
def between(migrated_database: Database) -> Callable[[], str]:
    """A function that returns a moment between the last action and the next one, by the database's clock."""

    def moment() -> str:
        time.sleep(0.01)
        [(now,)] = migrated_database.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
        time.sleep(0.01)
        return str(now)

    return moment


@pytest.fixture
def before_the_rules(migrated_database: Database) -> Callable[[str], None]:
    """A function that makes a change as if it were older than the rules: no trigger and no constraint sees it."""

    def change(statement: str) -> None:
        migrated_database.execute(rf"""
            DO $$
            DECLARE c record;
            BEGIN
                FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE conname LIKE 'rule\_%' LOOP
                    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);
                END LOOP;
            END $$;
            ALTER TABLE financial_screener.dag_configuration DISABLE TRIGGER USER;
            ALTER TABLE financial_screener.exchange_groups DISABLE TRIGGER USER;
            {statement};
            ALTER TABLE financial_screener.dag_configuration ENABLE TRIGGER USER;
            ALTER TABLE financial_screener.exchange_groups ENABLE TRIGGER USER
    """)

    return change
