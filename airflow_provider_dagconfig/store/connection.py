"""The part of the store that everything is asked through: connections, transactions, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg import sql

from airflow_provider_dagconfig.exceptions import (
    DagConfigInvalidError,
    DagConfigNotMigratedError,
    DagConfigSchemaNotFoundError,
)
from airflow_provider_dagconfig.models import DEFAULT_SCHEMA, shell_word
from airflow_provider_dagconfig.store import sessions
from airflow_provider_dagconfig.store.target import Target

if TYPE_CHECKING:
    from typing_extensions import Self

    from airflow_provider_dagconfig.store.errors import Location, Purpose
    from airflow_provider_dagconfig.store.sessions import Session

# The schemas in this database that hold the configuration's table: at most one, unless somebody keeps several.
_SCHEMAS = sql.SQL("""
    SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s) AS is_there, ARRAY(
        SELECT n.nspname::text FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relname = 'dag_configuration' AND c.relkind IN ('r', 'p') ORDER BY 1
    ) AS others
""")


class ConnectedStore:
    """
    The part of the store that opens connections.

    :param target: the database and its schema.
    :param waiting: is told whom a change waits for, each time that it lets others go first.
    """

    def __init__(self, target: Target, waiting: Callable[[str], None] = lambda _: None) -> None:
        self.target = target
        self.waiting = waiting
        self._in_transaction: Session | None = None

    @classmethod
    def from_url(cls, url: str, schema: str = DEFAULT_SCHEMA) -> Self:
        """
        Take the database by its URL: ``postgresql://USER:PASSWORD@HOST:5432/DATABASE``.

        :raises DagConfigUnreachableError: it is no such URL. The message does not show it: it may hold a password.
        """
        return cls(Target.from_url(url, schema))

    @property
    def location(self) -> Location:
        """The database and schema, as messages name them."""
        return self.target.location

    @property
    def schema(self) -> str:
        """The database schema of the tables."""
        return self.target.schema

    @contextmanager
    def transaction(self, *, force_rollback: bool = False) -> Iterator[None]:
        """
        Make all that is asked of this store inside the block one transaction: all of it happens, or nothing.

        Inside another such block it is a part of that one.

        :param force_rollback: only try it: nothing happens, but what would be refused is refused.
        """
        if self._in_transaction is not None:
            yield
            return
        with self._open("writing") as session, session.transaction(sessions.WRITING, force_rollback=force_rollback):
            self._in_transaction = session
            try:
                yield
            finally:
                self._in_transaction = None

    @property
    def _schema(self) -> sql.Identifier:
        return sql.Identifier(self.schema)

    def _ask(
        self, query: sql.SQL, parameters: Mapping[str, Any], *, purpose: Purpose = "reading", **parts: sql.Composable
    ) -> list[dict[str, Any]]:
        """Run one statement, with the store's schema for ``{schema}`` in it and its other parts, and give its rows by column."""
        with self._open(purpose) as session:
            return session.rows(query.format(schema=self._schema, **parts), parameters)

    @contextmanager
    def _open(self, purpose: Purpose = "reading") -> Iterator[Session]:
        """Open a connection where each statement is its own transaction, or take that of the transaction."""
        if self._in_transaction is not None:
            with self.target.explained(purpose):
                yield self._in_transaction
            return
        try:
            with self.target.session(purpose, self._tell) as session:
                yield session
        except DagConfigNotMigratedError as error:
            raise self._missing_schema() or error from error.__cause__

    def _tell(self, text: str) -> None:
        # Looked up at that moment: it may be another one then.
        self.waiting(text)

    def _missing_schema(self) -> DagConfigSchemaNotFoundError | None:
        """See whether it is the whole schema that is missing, and where the tables are instead."""
        with self.target.session() as session:
            is_there, others = session.rows(_SCHEMAS, {"schema": self.schema})[0].values()
        if is_there:
            return None
        to_make = "To make it"
        if others:
            to_make = (
                f"The configuration's tables are in {', '.join(others)}: give --schema {shell_word(others[0])}, or set [dagconfig]"
                f" schema in airflow.cfg. To make others in {self.schema!r}"
            )
        return DagConfigSchemaNotFoundError(
            f"There is no schema {self.schema!r} ({self.location.connection}). {to_make}: {self.location.command('migrate')}"
        )


def with_zone(moment: datetime, parameter: str) -> datetime:
    """
    See that a moment is one, wherever it is read.

    :raises DagConfigInvalidError: it has no time zone.
    """
    if moment.utcoffset() is None:
        raise DagConfigInvalidError(
            f"{parameter} {moment.isoformat(sep=' ')} has no time zone, so it could be any of 24 moments; say which one:"
            " datetime(..., tzinfo=timezone.utc)"
        )
    return moment
