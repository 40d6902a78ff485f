"""
What can go wrong with the configuration store: one class a cause, so that callers can tell them apart, and the
translation of the database's errors into them.

Each message says what was wrong, where (connection, schema, row) and what to do; none holds a password. What happens to
a pod is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import psycopg
from airflow.sdk.exceptions import AirflowException

from airflow_provider_dagconfig.models import quoted_schema


class DagConfigError(AirflowException):
    """The configuration could not be read or changed."""


class DagConfigUnreachableError(DagConfigError):
    """There is no connection: unknown connection id, no such database, a server that is away, a refused login."""


class DagConfigNotMigratedError(DagConfigError):
    """The database answers, but a table, a column or a function that the migrations make is missing."""


class DagConfigSchemaNotFoundError(DagConfigNotMigratedError):
    """The database answers, but has no such schema: it was never migrated, or the schema's name is wrong."""


class DagConfigNotAllowedError(DagConfigError):
    """The database's user lacks a privilege; the message says which, and the statement that grants it."""


class DagConfigNotFoundError(DagConfigError):
    """There is no such exchange group."""


class DagConfigInvalidError(DagConfigError):
    """A row holds a value that cannot be used; the message names the row, the column, the value and the remedy."""


Purpose = Literal["reading", "writing", "migrating"]


@dataclass(frozen=True)
class Store:
    """Which database and schema a message is about."""

    connection: str
    """As a person says it: ``connection 'postgres_default' (airflow@db:5432/screener)``, without a password."""
    schema: str
    user: str
    """The database's user, for the statements that grant a privilege."""
    migrate_command: str = "airflow dagconfig migrate"

    def __str__(self) -> str:
        return f"{self.connection}, schema {self.schema}"

    def explain(self, error: Exception, *, purpose: Purpose = "reading") -> DagConfigError:
        """
        Say what an error of the database means for the configuration store.

        :param error: a ``psycopg.Error``; its ``sqlstate`` decides (PostgreSQL: Appendix A, Error Codes).
        :param purpose: what was tried; it decides which privileges are needed.
        """
        sqlstate: str = getattr(error, "sqlstate", None) or ""
        primary, said = _said(error)
        if sqlstate == "42501":
            return DagConfigNotAllowedError(f"{said} ({self}). {self._needed(purpose)}")
        if sqlstate in _MISSING_OBJECT:
            return DagConfigNotMigratedError(f"{primary} ({self}). To bring the database up to date: {self.migrate_command}")
        if sqlstate[:2] in _REFUSED_VALUE or isinstance(error, psycopg.DataError):
            return DagConfigInvalidError(f"{said} ({self}). Nothing was changed.")
        if not sqlstate or sqlstate[:2] in _NO_CONNECTION:
            return DagConfigUnreachableError(f"The configuration database cannot be reached ({self}): {said}")
        return DagConfigError(f"{said} ({self})")

    def _needed(self, purpose: Purpose) -> str:
        if purpose == "migrating":
            return (
                "To migrate, use a user who owns the schema and its tables, or where there is none yet, may CREATE in the database"
            )
        schema = quoted_schema(self.schema)
        user = '"' + self.user.replace('"', '""') + '"'
        tables = ("dag_configuration", "exchange_groups", "dag_configuration_audit")
        grants = [f"GRANT USAGE ON SCHEMA {schema} TO {user};"]
        grants += [f"GRANT SELECT ON {', '.join(f'{schema}.{table}' for table in tables)} TO {user};"]
        if purpose == "writing":
            grants += [
                f"GRANT INSERT, UPDATE ON {schema}.dag_configuration TO {user};",
                f"GRANT USAGE ON SEQUENCE {schema}.dag_configuration_id_seq TO {user};",
            ]
        return f"Its owner may run: {' '.join(grants)}"


_MISSING_OBJECT = {
    "3F000",  # no such schema
    "42P01",  # no such table
    "42703",  # no such column
    "42883",  # no such function
}
_REFUSED_VALUE = {
    "22",  # too long, out of range
    "23",  # a constraint
    "P0",  # raised by a trigger or function
}
_NO_CONNECTION = {
    "08",  # connection lost
    "28",  # login refused
    "3D",  # no such database
    "53",  # too many connections
    "57",  # starting up, shutting down
}


def _said(error: Exception) -> tuple[str, str]:
    """Give the server's message, or else the driver's, as one line: alone, and with its detail and hint."""
    diagnosis = getattr(error, "diag", None)
    parts = [getattr(diagnosis, part, None) for part in ("message_primary", "message_detail", "message_hint")]
    primary = parts[0] or " ".join(str(error).split())
    return primary, ". ".join(part.rstrip(".") for part in (primary, *parts[1:]) if part)
