"""
The configuration store: what is read from the database and changed in it. It needs psycopg, and nothing of Airflow.

Its parts build upon each other: errors.py (what the database's errors mean), sessions.py (nothing waits without an end),
target.py (where a store is), connection.py, reading.py (what is in force), history.py (what was, and what is temporary),
changes.py. checks.py is what ``doctor`` asks, migrate.py brings a database up to date. All SQL about rows is there and in the
migrations. What the rows mean is in models; what becomes of a configuration in a pod is not here.
"""

from __future__ import annotations

from airflow_provider_dagconfig.store.changes import ChangingStore
from airflow_provider_dagconfig.store.errors import Location
from airflow_provider_dagconfig.store.target import Target

__all__ = ["Location", "Store", "Target"]


class Store(ChangingStore):
    """
    Read and change what the jobs run with.

    Each method opens a connection, runs one statement (a change: one transaction) and closes it; ``transaction()`` makes
    several of them one. Every name is qualified, and of a session's state only ``DateStyle`` and ``client_encoding`` matter, which
    PgBouncer carries along: it works through PgBouncer in transaction mode. Reading needs the role ``dagconfig_reader``,
    changing ``dagconfig_editor`` (or what the installation calls them), nothing more.

    :param target: the database and its schema; ``Store.from_url(url)`` makes it of a URL.
    :param waiting: is told whom a change waits for, each time that it lets others go first.

    All methods raise DagConfigUnreachableError, DagConfigBusyError, DagConfigSchemaNotFoundError, DagConfigNotMigratedError and
    DagConfigNotAllowedError, with the database, the schema and the remedy. Moments need a time zone; without one they are
    refused with DagConfigInvalidError. How long a statement waits and runs at most is in sessions.py.
    """
