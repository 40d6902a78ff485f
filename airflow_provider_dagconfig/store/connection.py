"""The base of the store: connections, transactions, and errors that say what to do."""

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

# The schemas of this database that hold the configuration's table: normally one at most.
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
    :param waiting: is called with a message about who holds the lock, each time that a change lets others go first.
    """

    def __init__(self, target: Target, waiting: Callable[[str], None] = lambda _: None) -> None:
        self.target = target
        self.waiting = waiting
        self._in_transaction: Session | None = None

    @classmethod
    def from_url(cls, url: str, schema: str = DEFAULT_SCHEMA) -> Self:
        """
        Take the database from a URL: ``postgresql://USER:PASSWORD@HOST:5432/DATABASE``.

        :raises DagConfigUnreachableError: it is not such a URL. The message does not show it: it may contain a password.
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
        Make all calls of this store inside the block one transaction: all of them take effect, or none.

        A block inside another one is part of the outer transaction.

        :param force_rollback: roll back at the end. Errors are raised as if the changes were made.
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
        """Run one statement and return its rows by column. ``{schema}`` becomes the store's schema, other names the other parts."""
        with self._open(purpose) as session:
            return session.rows(query.format(schema=self._schema, **parts), parameters)

    @contextmanager
    def _open(self, purpose: Purpose = "reading") -> Iterator[Session]:
        """Open a connection where each statement is its own transaction, or use that of the current transaction."""
        if self._in_transaction is not None:
            with self.target.explain_errors(purpose):
                yield self._in_transaction
            return
        try:
            with self.target.session(purpose, self._tell) as session:
                yield session
        except DagConfigNotMigratedError as error:
            raise self._schema_error() or error from error.__cause__

    def _tell(self, text: str) -> None:
        # self.waiting is looked up at each call: it may have been replaced.
        self.waiting(text)

    def _schema_error(self) -> DagConfigSchemaNotFoundError | None:
        """Return an error that says where the tables are instead, if the whole schema is missing; otherwise None."""
        with self.target.session() as session:
            has_schema, others = session.rows(_SCHEMAS, {"schema": self.schema})[0].values()
        if has_schema:
            return None
        remedy = "To make it"
        if others:
            remedy = (
                f"The configuration's tables are in {', '.join(others)}: give --schema {shell_word(others[0])}, or set [dagconfig]"
                f" schema in airflow.cfg. To make others in {self.schema!r}"
            )
        return DagConfigSchemaNotFoundError(
            f"There is no schema {self.schema!r} ({self.location.connection}). {remedy}: {self.location.command('migrate')}"
        )


def with_zone(moment: datetime, parameter: str) -> datetime:
    """
    Return the moment, if it is one everywhere.

    :raises DagConfigInvalidError: it has no time zone.
    """
    if moment.utcoffset() is None:
        raise DagConfigInvalidError(
            f"{parameter} {moment.isoformat(sep=' ')} has no time zone, so it could be any of 24 moments; say which one:"
            " datetime(..., tzinfo=timezone.utc)"
        )
    return moment
