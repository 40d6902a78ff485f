"""The database that a message is about, and the meaning of PostgreSQL's errors for the configuration store."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from airflow_provider_dagconfig.exceptions import (
    DagConfigBusyError,
    DagConfigCeilingError,
    DagConfigConflictError,
    DagConfigError,
    DagConfigInvalidError,
    DagConfigNotAllowedError,
    DagConfigNotFoundError,
    DagConfigNotMigratedError,
    DagConfigStaleError,
    DagConfigUnreachableError,
)
from airflow_provider_dagconfig.models import command_line
from airflow_provider_dagconfig.store.roles import Roles
from airflow_provider_dagconfig.wording import without_user_information

WHO_MAY_GRANT = "A superuser, or a member of {role} WITH ADMIN OPTION,"
"""The users that may grant the role in PostgreSQL. Owning the tables is not enough."""

DATABASE_ERRORS = (psycopg.Error, UnicodeEncodeError)
"""The errors that psycopg raises; the second for a text with a lone surrogate, which Python makes of invalid bytes in arguments."""

Purpose = Literal["reading", "writing", "owning", "migrating"]


@dataclass(frozen=True)
class Location:
    """The database and the schema that a message is about."""

    connection: str
    """For people: ``connection 'postgres_default' (airflow@db:5432/screener)``, without a password."""
    schema: str
    user: str
    """The database's user, for the statements that grant a privilege."""
    options: tuple[str, ...] = ()
    """The options that select this database on the command line: ``--conn-id``, or ``--url`` without a password, and ``--schema``;
    empty for the default."""

    def __str__(self) -> str:
        return f"{self.connection}, schema {self.schema}"

    def command(self, name: str, *arguments: str, options: Sequence[str] = ()) -> str:
        """
        Return a command that can be pasted, and goes to this database.

        The parameters are those of :func:`~airflow_provider_dagconfig.models.command_line`.
        """
        return command_line(name, *arguments, options=[*options, *self.options])

    def explain(self, error: Exception, *, purpose: Purpose = "reading", roles: Callable[[], Roles] = Roles) -> DagConfigError:
        """
        Return the store's error for an error of the database.

        :param error: one of :data:`DATABASE_ERRORS`; its ``sqlstate`` decides (PostgreSQL: Appendix A, Error Codes).
        :param purpose: what the statement was for; it decides which privileges are needed.
        :param roles: returns the roles that have these privileges. It is called only if one is missing.
        """
        if isinstance(error, UnicodeEncodeError):
            # The message does not show the text itself: it may be a connection's password.
            characters = ascii(error.object[error.start : error.end])
            return DagConfigInvalidError(f"{characters} in a text is no character that UTF-8 has ({self}). Nothing was changed.")
        sqlstate: str = getattr(error, "sqlstate", None) or ""
        primary, message = _messages(error)
        if sqlstate == "42501":
            return DagConfigNotAllowedError(f"{message} ({self}). {self._privilege_remedy(purpose, roles)}")
        if sqlstate == "DC404":
            return DagConfigNotFoundError(f"{primary} ({self}).{_hint(error)}")
        if sqlstate == "DC409":
            return self._conflict_error(error)
        if sqlstate[:2] == _CONCURRENT_CHANGE:
            return DagConfigConflictError(
                f"Another transaction changed it at the same time: {primary} ({self}). Nothing was changed; try it again."
            )
        if sqlstate in GAVE_UP:
            return DagConfigBusyError(f"{message} ({self}). Nothing was changed, and it may be tried again.")
        if sqlstate in _MISSING_OBJECT:
            return DagConfigNotMigratedError(f"{primary} ({self}). To bring the database up to date: {self.command('migrate')}")
        if sqlstate[:2] in _REFUSED_VALUE or isinstance(error, psycopg.DataError):
            if (getattr(getattr(error, "diag", None), "constraint_name", None) or "").startswith(_CEILING):
                return DagConfigCeilingError(f"{primary} ({self}). Nothing was changed.{_hint(error)}")
            return DagConfigInvalidError(f"{message} ({self}). Nothing was changed.")
        if not sqlstate or sqlstate[:2] in _NO_CONNECTION:
            return DagConfigUnreachableError(f"The configuration database cannot be reached ({self}): {message}")
        return DagConfigError(f"{message} ({self})")

    def _conflict_error(self, error: Exception) -> DagConfigError:
        detail = _detail(error)
        message = f"{_messages(error)[0]} ({self}). Nothing was changed.{_hint(error)}"
        if detail.get("kind") == "stale":
            stale = DagConfigStaleError(message)
            # Version 0 means that there is no row.
            stale.expected_version, stale.current_version = detail.get("expected"), detail.get("actual") or None
            return stale
        conflict = DagConfigConflictError(message)
        conflict.detail = detail
        return conflict

    def _privilege_remedy(self, purpose: Purpose, roles: Callable[[], Roles]) -> str:
        if purpose == "migrating":
            return (
                "To migrate, use a user who owns the schema and its tables, or if there is no schema yet, may CREATE in the"
                " database"
            )
        if purpose == "owning":
            return "Only the owner of the tables may set and remove ceilings: name that user's connection by --conn-id or --url"
        user = '"' + self.user.replace('"', '""') + '"'
        role = roles().editor if purpose == "writing" else roles().reader
        return f"{WHO_MAY_GRANT.format(role=role)} may run: GRANT {role} TO {user};"


LOCK_TIMEOUT = "55P03"
GAVE_UP = {
    LOCK_TIMEOUT,
    "57014",  # statement_timeout, or pg_cancel_backend
    "25P04",  # transaction_timeout, where the user has set one
}
"""The SQLSTATEs of a statement that the server ended because it waited or ran for too long."""
_MISSING_OBJECT = {
    "3F000",  # no such schema
    "42P01",  # no such table
    "42703",  # no such column
    "42883",  # no such function
}
_CONCURRENT_CHANGE = "40"  # serialization failure, deadlock
_REFUSED_VALUE = {
    "22",  # too long, out of range
    "23",  # a constraint
    "P0",  # raised by a trigger or function
}
_CEILING = "ceiling_"
"""The beginning of the name of the constraint where a value is above a ceiling; the ceiling's name follows."""
_NO_CONNECTION = {
    "08",  # connection lost
    "28",  # login refused
    "3D",  # no such database
    "53",  # too many connections
    "57",  # starting up, shutting down
}


def _messages(error: Exception) -> tuple[str, str]:
    """Return the message of the server, or else of the driver, as one line: alone, and with its detail and hint."""
    diagnosis = getattr(error, "diag", None)
    parts = [getattr(diagnosis, part, None) for part in ("message_primary", "message_detail", "message_hint")]
    primary = parts[0] or without_user_information(" ".join(str(error).split()))
    return primary, ". ".join(part.rstrip(".") for part in (primary, *parts[1:]) if part)


def _hint(error: Exception) -> str:
    hint = getattr(getattr(error, "diag", None), "message_hint", None)
    return f" {hint}" if hint else ""


def _detail(error: Exception) -> dict[str, Any]:
    """Return the detail that the migrations' functions write as JSON; empty where there is none."""
    try:
        detail = json.loads(getattr(getattr(error, "diag", None), "message_detail", None) or "{}")
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}
