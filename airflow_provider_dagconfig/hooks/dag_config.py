"""
The hook that reads and writes the configuration store.

Its parts build upon each other: connection.py (where the store is, and what its errors mean), reading.py (what is in force),
history.py (what was, and what is temporary), changes.py. All SQL about rows is there and in the migrations. What the rows
mean is in models.py; what becomes of a configuration in a pod is not here.
"""

from __future__ import annotations

from airflow_provider_dagconfig.hooks.changes import ChangingHook
from airflow_provider_dagconfig.hooks.connection import configured_conn_id, configured_schema

__all__ = ["DagConfigHook", "configured_conn_id", "configured_schema"]


class DagConfigHook(ChangingHook):
    """
    Read and change what the jobs run with.

    Each method opens a connection, runs one statement (a change: one transaction) and closes it; ``transaction()`` makes
    several of them one. No session state is set and every name is qualified, so it works through PgBouncer in transaction
    mode. Reading needs the role ``dagconfig_reader``, changing ``dagconfig_editor``, nothing more.

    :param postgres_conn_id: the Airflow connection of the database. Default: ``[dagconfig] postgres_conn_id`` of
        airflow.cfg, else ``postgres_default``. Without Airflow's connections: ``DagConfigHook.from_url(url)``.
    :param schema: the database schema of the tables. Default: ``[dagconfig] schema`` of airflow.cfg, else
        ``financial_screener``.

    All methods raise DagConfigUnreachableError, DagConfigBusyError, DagConfigSchemaNotFoundError, DagConfigNotMigratedError and
    DagConfigNotAllowedError, with the connection id, the schema and the remedy. Moments need a time zone; without one they are
    refused with DagConfigInvalidError. How long a statement waits and runs at most is in sessions.py; get_conn() gives a
    connection without these bounds, as PostgresHook does.
    """
