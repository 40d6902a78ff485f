"""
Where the configuration store is and how it is reached: connections, transactions, and errors that say what to do.

What is asked of it is in the other modules of this package.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, conf
from airflow.providers.postgres.hooks.postgres import PostgresHook
from psycopg import sql

from airflow_provider_dagconfig import sessions
from airflow_provider_dagconfig.exceptions import (
    DATABASE_ERRORS,
    DagConfigInvalidError,
    DagConfigNotMigratedError,
    DagConfigSchemaNotFoundError,
    DagConfigUnreachableError,
    Purpose,
    Store,
)
from airflow_provider_dagconfig.models import DEFAULT_SCHEMA
from airflow_provider_dagconfig.sessions import Session

if TYPE_CHECKING:
    from typing_extensions import Self

    from airflow_provider_dagconfig.migrate import Target

CONNECT_SECONDS = 10
"""How long a connection may take, where the Airflow connection's extra does not say ``connect_timeout``."""

# The schemas in this database that hold the configuration's table: at most one, unless somebody keeps several.
_SCHEMAS = sql.SQL("""
    SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s) AS is_there, ARRAY(
        SELECT n.nspname::text FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relname = 'dag_configuration' AND c.relkind IN ('r', 'p') ORDER BY 1
    ) AS others
""")


def configured_conn_id() -> str:
    """Give the connection id that ``[dagconfig]`` of airflow.cfg names."""
    return str(conf.get("dagconfig", "postgres_conn_id", fallback=PostgresHook.default_conn_name))


def configured_schema() -> str:
    """Give the database schema that ``[dagconfig]`` of airflow.cfg names."""
    return str(conf.get("dagconfig", "schema", fallback=DEFAULT_SCHEMA))


class StoreHook(PostgresHook):
    """
    A PostgresHook that knows the store's schema and says what its errors mean.

    :param postgres_conn_id: the Airflow connection of the database. Default: ``[dagconfig] postgres_conn_id`` of
        airflow.cfg, else ``postgres_default``.
    :param schema: the database schema of the tables. Default: ``[dagconfig] schema`` of airflow.cfg, else
        ``financial_screener``.
    """

    def __init__(self, postgres_conn_id: str | None = None, schema: str | None = None, **kwargs: Any) -> None:
        super().__init__(postgres_conn_id=postgres_conn_id or configured_conn_id(), **kwargs)
        self.config_schema: str = schema or configured_schema()
        self._target: Target | None = None
        self._in_transaction: Session | None = None
        self.waiting: Callable[[str], None] = self.log.warning
        """Is told whom a change waits for, each time that it lets others go first."""

    @classmethod
    def from_url(cls, url: str, schema: str | None = None) -> Self:
        """
        Take the database by its URL: ``postgresql://USER:PASSWORD@HOST:5432/DATABASE``. No Airflow connection is looked up.

        :raises DagConfigUnreachableError: it is no such URL. The message does not show it: it may hold a password.
        """
        from airflow_provider_dagconfig.migrate import Target

        hook = cls(schema=schema)
        hook._target = Target.from_url(url, hook.config_schema)
        return hook

    def get_conn(self) -> Any:
        """Open a connection to the database."""
        if self._target is None:
            return super().get_conn()
        self.conn = self._target.connect()
        return self.conn

    @contextmanager
    def transaction(self, *, force_rollback: bool = False) -> Iterator[None]:
        """
        Make all that is asked of this hook inside the block one transaction: all of it happens, or nothing.

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
    def store(self) -> Store:
        """
        Name the database and schema for messages.

        :raises DagConfigUnreachableError: there is no such Airflow connection, or it is no database's.
        """
        if self._target is not None:
            return self._target.store
        conn_id = self.get_conn_id()
        try:
            airflow_connection = self.connection
        except AirflowNotFoundException as error:
            raise DagConfigUnreachableError(
                f"There is no Airflow connection {conn_id!r} to reach the configuration database by. Add it with:"
                f" airflow connections add {conn_id} --conn-uri postgresql://USER:PASSWORD@HOST:5432/DATABASE"
            ) from error
        if airflow_connection.conn_type not in ("postgres", "postgresql", None, ""):
            raise DagConfigUnreachableError(
                f"The Airflow connection {conn_id!r} is of type {airflow_connection.conn_type!r}; the configuration"
                " database needs one of type 'postgres'"
            )
        migrate = "airflow dagconfig migrate"
        migrate += f" --conn-id {conn_id}" if conn_id != configured_conn_id() else ""
        migrate += f" --schema {shlex.quote(self.config_schema)}" if self.config_schema != configured_schema() else ""
        login, host = airflow_connection.login or "", airflow_connection.host or "localhost"
        database = self.database or airflow_connection.schema or ""
        where = f"{login}@{host}:{airflow_connection.port or 5432}/{database}"
        return Store(f"connection {conn_id!r} ({where})", self.config_schema, login, migrate_command=migrate)

    @property
    def _schema(self) -> sql.Identifier:
        return sql.Identifier(self.config_schema)

    def _ask(
        self, query: sql.SQL, parameters: Mapping[str, Any], *, purpose: Purpose = "reading", **parts: sql.Composable
    ) -> list[dict[str, Any]]:
        """Run one statement, with the store's schema for ``{schema}`` in it and its other parts, and give its rows by column."""
        with self._open(purpose) as session:
            return rows_of(session, query.format(schema=self._schema, **parts), parameters)

    @contextmanager
    def _open(self, purpose: Purpose = "reading") -> Iterator[Session]:
        """Open a connection where each statement is its own transaction; close it at the end; explain what goes wrong."""
        store = self.store
        try:
            if self._in_transaction is not None:
                yield self._in_transaction
                return
            with closing(self.get_conn()) as connection:
                yield Session(connection, store, self.get_conn, self.waiting)
        except DATABASE_ERRORS as error:
            explained = store.explain(error, purpose=purpose)
            if isinstance(explained, DagConfigNotMigratedError):
                explained = self._missing_schema(store) or explained
            raise explained from error

    def _create_connection(self, conn_args: dict[str, Any]) -> Any:
        """Bound the wait for a host that does not answer, and say in pg_stat_activity who is there."""
        defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "airflow-provider-dagconfig"}
        return super()._create_connection({**defaults, **conn_args})

    def _missing_schema(self, store: Store) -> DagConfigSchemaNotFoundError | None:
        """See whether it is the whole schema that is missing, and where the tables are instead."""
        with closing(self.get_conn()) as connection:
            session = Session(connection, store, self.get_conn, self.waiting)
            is_there, others = rows_of(session, _SCHEMAS, {"schema": self.config_schema})[0].values()
        if is_there:
            return None
        hint = f"The configuration's tables are in {', '.join(others)}; set [dagconfig] schema. " if others else ""
        return DagConfigSchemaNotFoundError(
            f"There is no schema {self.config_schema!r} ({store.connection}). {hint}To make it: {store.migrate_command}"
        )


def rows_of(session: Session, query: sql.Composable, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run one statement and give its rows by column."""
    return session.rows(query, parameters)


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
