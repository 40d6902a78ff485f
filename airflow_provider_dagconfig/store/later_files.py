"""
Objects that a later migration creates in another form than an earlier one.

psql may have brought a database up to date without a record. Then all files are applied once more, each over the results of the
last one. PostgreSQL would not replace these objects, so they are dropped just before the file that creates them.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_dagconfig.models import quoted_schema

_DROP_BY_VERSION = {
    # 017 gives the functions two more parameters, and the view and effective_dag_config() two more columns.
    12: """
        DROP FUNCTION IF EXISTS {schema}.update_dag_config(
            text, text, text, text, text, text, integer, integer, text, integer, integer, boolean, boolean, integer, text, text,
            bigint, numeric, text
        );
    """,
    13: """
        DROP FUNCTION IF EXISTS {schema}.override_dag_config(
            text, text, timestamp with time zone, text, text, text, text, text, text, integer, integer, integer, integer, boolean,
            integer, boolean, timestamp with time zone, numeric, text
        );
        DROP FUNCTION IF EXISTS {schema}.effective_dag_config(text, text, timestamp with time zone);
        DROP VIEW {schema}.dag_configuration_override_periods;
    """,
}


def drop_replaced_objects(connection: psycopg.Connection[Any], schema: str, version: int) -> None:
    """Drop what this version's file creates, if 017 has given it another form."""
    view = f"{quoted_schema(schema)}.dag_configuration_override_periods"
    is_later = connection.execute(
        "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass(%s) AND attname = 'memory_growth'", [view]
    ).rowcount
    if is_later and version in _DROP_BY_VERSION:
        connection.execute(sql.SQL(_DROP_BY_VERSION[version]).format(schema=sql.Identifier(schema)))
