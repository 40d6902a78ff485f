"""
What can go wrong with the configuration store: one class a cause, so that callers can tell them apart.

Each message says what was wrong, where (connection, schema, row) and what to do; none holds a password. They know neither
Airflow nor the database: store/errors.py makes them of PostgreSQL's errors, and hooks/errors.py makes Airflow's of them. What
happens to a pod is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from airflow_provider_dagconfig.wording import printable


class DagConfigError(Exception):
    """The configuration could not be read or changed."""

    def __init__(self, message: str = "") -> None:
        # It has names and values that anybody may have written, and goes to terminals and logs.
        super().__init__(printable(message))


class DagConfigUnreachableError(DagConfigError):
    """There is no connection: unknown connection id, no such database, a server that is away, a refused login."""


class DagConfigBusyError(DagConfigError):
    """Somebody held a lock for too long, or a statement ran for too long. Nothing was changed, and it may be tried again."""


class DagConfigNotMigratedError(DagConfigError):
    """The database answers, but a table, a column or a function that the migrations make is missing."""


class DagConfigSchemaNotFoundError(DagConfigNotMigratedError):
    """The database answers, but has no such schema: it was never migrated, or the schema's name is wrong."""


class DagConfigNotAllowedError(DagConfigError):
    """The database's user lacks a privilege; the message says which, and the statement that grants it."""


class DagConfigNotFoundError(DagConfigError):
    """There is no such job, exchange group, override or audit entry."""


class DagConfigStaleError(DagConfigError):
    """The row has moved on from the version that the change was based on. Nothing was changed."""

    expected_version: int | None = None
    current_version: int | None = None
    """None where there is no row any more."""


class DagConfigConflictError(DagConfigError):
    """A later change touched what was to be rolled back, or it is over already, or somebody changed it at the same time."""

    detail: Mapping[str, Any] = MappingProxyType({})
    """What the database said of it: ``columns``, and ``entries``, the audit entries of the later changes."""


class DagConfigInvalidError(DagConfigError):
    """A value cannot be used, in a row or for a change; the message names row, column, value and remedy."""


class DagConfigCeilingError(DagConfigInvalidError):
    """A value is above a ceiling; the message names the ceiling, who set it, and what to do. Trying again does not help."""


class MigrationError(DagConfigError):
    """A migration cannot be applied: its file was edited, it is unknown, or the database refused it."""
