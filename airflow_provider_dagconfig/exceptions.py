"""
The errors of the configuration store: one class for each cause, so that callers can tell them apart.

Each message says what was wrong, where (connection, schema, row) and what to do. No message contains a password. This module
knows neither Airflow nor the database: store/errors.py turns PostgreSQL's errors into these, and hooks/errors.py turns these
into Airflow's. The errors of a pod are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from airflow_provider_dagconfig.wording import printable


class DagConfigError(Exception):
    """The configuration could not be read or changed."""

    def __init__(self, message: str = "") -> None:
        # A message contains names and values from users, and is written to terminals and logs.
        super().__init__(printable(message))


class DagConfigUnreachableError(DagConfigError):
    """There is no connection: an unknown connection id, no such database, a server that is down, or a refused login."""


class DagConfigBusyError(DagConfigError):
    """Another session held a lock for too long, or a statement ran for too long. Nothing was changed. Retrying may help."""


class DagConfigNotMigratedError(DagConfigError):
    """The database answers, but a table, a column or a function that the migrations make is missing."""


class DagConfigSchemaNotFoundError(DagConfigNotMigratedError):
    """The database answers, but has no such schema: it was never migrated, or the schema's name is wrong."""


class DagConfigNotAllowedError(DagConfigError):
    """The database's user lacks a privilege. The message names it, and the statement that grants it."""


class DagConfigNotFoundError(DagConfigError):
    """There is no such job, exchange group, override or audit entry."""


class DagConfigStaleError(DagConfigError):
    """The row no longer has the version that the change was based on. Nothing was changed."""

    expected_version: int | None = None
    current_version: int | None = None
    """None where the row no longer exists."""


class DagConfigConflictError(DagConfigError):
    """A later change touched what a rollback would undo, an override has ended already, or another transaction changed the same."""

    detail: Mapping[str, Any] = MappingProxyType({})
    """The detail that the database gave: ``columns``, and ``entries``, the audit entries of the later changes."""


class DagConfigInvalidError(DagConfigError):
    """A value cannot be used, in a row or in a change. The message names the row, the column, the value and the remedy."""


class DagConfigCeilingError(DagConfigInvalidError):
    """A value is above a ceiling. The message names the ceiling, who set it, and what to do. Retrying does not help."""


class MigrationError(DagConfigError):
    """A migration cannot be applied: its file was edited, it is not known, or the database refused it."""
