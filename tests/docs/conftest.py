"""Databases as those that the documents are about: in use for a while."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from plugins.postgres import Database


@pytest.fixture
def aged() -> Callable[[Database], Database]:
    """A function that lets all that is in a database have happened a month ago."""

    def age(database: Database) -> Database:
        database.execute("""
            SET session_replication_role = replica;
            UPDATE financial_screener.dag_configuration
            SET created_at = created_at - interval '30 days', updated_at = updated_at - interval '30 days';
            UPDATE financial_screener.exchange_groups
            SET created_at = created_at - interval '30 days', updated_at = updated_at - interval '30 days';
            UPDATE financial_screener.dag_configuration_audit SET changed_at = changed_at - interval '30 days'
        """)
        return database

    return age
