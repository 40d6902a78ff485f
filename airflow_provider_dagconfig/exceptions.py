"""
What can go wrong with the configuration store: one class a cause, so that callers can tell them apart.

Each message says what was wrong, where (connection id, schema, row) and what to do; none holds a password. What
happens to a pod is not here.
"""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowException


class DagConfigError(AirflowException):
    """The configuration could not be read or changed."""


class DagConfigUnreachableError(DagConfigError):
    """There is no connection: unknown connection id, no such database, a server that is away, a refused login."""


class DagConfigNotMigratedError(DagConfigError):
    """The database answers, but the schema, a table, a column or a function that the migrations make is missing."""


class DagConfigNotAllowedError(DagConfigError):
    """The database's user lacks a privilege; the message says which, and the statement that grants it."""


class DagConfigNotFoundError(DagConfigError):
    """There is no such exchange group."""


class DagConfigInvalidError(DagConfigError):
    """A row holds a value that cannot be used; the message names the row, the column, the value and the remedy."""
