"""
What a later migration has made in another form than an earlier one does.

In a database that psql brought up to date without a record all files are applied once more, each over what the last one left: what
PostgreSQL would not replace is dropped then, just before the file that makes it.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_dagconfig.models import quoted_schema

_FORMS = {
    # 017 gives the functions two more parameters, and the view and what is in force two more columns.
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


def make_way(connection: psycopg.Connection[Any], schema: str, version: int) -> None:
    """Drop what the file of this version makes, where 017 has made something else of it."""
    view = f"{quoted_schema(schema)}.dag_configuration_override_periods"
    is_later = connection.execute(
        "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass(%s) AND attname = 'memory_growth'", [view]
    ).rowcount
    if is_later and version in _FORMS:
        connection.execute(sql.SQL(_FORMS[version]).format(schema=sql.Identifier(schema)))
