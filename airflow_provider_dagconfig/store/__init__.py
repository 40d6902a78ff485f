"""
The configuration store: it reads the database and changes it. It needs psycopg, but not Airflow.

Its modules build upon each other: errors.py (what the database's errors mean), sessions.py (every wait is bounded), target.py
(where a store is), connection.py, reading.py (what is in force), history.py (past and temporary values), changes.py. checks.py
has the queries of ``doctor``, migrate.py brings a database up to date. All SQL about rows is here and in the migrations. The
meaning of the rows is in models; the pod of a job is not here.
"""

from __future__ import annotations

from airflow_provider_dagconfig.store.changes import ChangingStore
from airflow_provider_dagconfig.store.errors import Location
from airflow_provider_dagconfig.store.target import Target

__all__ = ["Location", "Store", "Target"]


class Store(ChangingStore):
    """
    Reads and changes the configuration of the jobs.

    Each method opens a connection, runs one statement (a change: one transaction) and closes it. ``transaction()`` makes several
    calls one transaction. Every name is qualified, and of the session's state only ``DateStyle`` and ``client_encoding`` matter,
    which PgBouncer preserves: the store works through PgBouncer in transaction mode. Reading needs the role ``dagconfig_reader``,
    changing needs ``dagconfig_editor`` (or the installation's names for them), and nothing more.

    :param target: the database and its schema; ``Store.from_url(url)`` makes it from a URL.
    :param waiting: is called with a message about who holds the lock, each time that a change lets others go first.

    All methods raise DagConfigUnreachableError, DagConfigBusyError, DagConfigSchemaNotFoundError, DagConfigNotMigratedError and
    DagConfigNotAllowedError; the message has the database, the schema and the remedy. Moments need a time zone; without one they
    raise DagConfigInvalidError. sessions.py has the bounds on how long a statement waits and runs.
    """
