"""
The hook that reads and writes the configuration store. All SQL of the package is here and in the migrations.

What the rows mean is in models.py; what becomes of a configuration in a pod is not here.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

import psycopg
from airflow.providers.common.compat.sdk import AirflowNotFoundException, conf
from airflow.providers.postgres.hooks.postgres import PostgresHook
from psycopg import sql
from psycopg.rows import dict_row

from airflow_provider_dagconfig.exceptions import (
    DagConfigInvalidError,
    DagConfigNotFoundError,
    DagConfigNotMigratedError,
    DagConfigSchemaNotFoundError,
    DagConfigUnreachableError,
    Purpose,
    Store,
)
from airflow_provider_dagconfig.models import (
    DEFAULT_SCHEMA,
    Change,
    DagConfig,
    ExchangeGroup,
    InvalidRowError,
    Quantity,
)

CONNECT_SECONDS = 10
"""How long a connection may take, where the Airflow connection's extra does not say ``connect_timeout``."""

_CONFIG_COLUMNS = (
    "cpu_request",
    "cpu_limit",
    "memory_request",
    "memory_limit",
    "batch_size",
    "timeout_seconds",
    "max_retries",
    "retry_delay_minutes",
    "retry_backoff_enabled",
    "enabled",
    "priority",
    "description",
)
_GROUP_COLUMNS = (
    "group_name",
    "display_name",
    "exchanges",
    "primary_timezone",
    "market_open_utc",
    "market_close_utc",
    "enabled",
    "priority",
    "description",
)

# One row, whatever is missing. Times of tables without a zone are taken in the session's, which is how now() wrote them.
_TASK_CONFIG = sql.SQL("""
    SELECT
        config.id, config.updated_at::timestamptz AS updated_at, {config_columns}, {group_columns},
        change.audit_id, change.changed_by, change.changed_at,
        disabled.audit_id AS disabled_audit_id, disabled.changed_by AS disabled_by, disabled.changed_at AS disabled_at
    FROM (
        SELECT %(dag_name)s::text AS dag_name, %(job_name)s::text AS job_name, %(group_name)s::text AS group_name
    ) AS asked
    LEFT JOIN {schema}.dag_configuration AS config
        ON config.dag_name = asked.dag_name AND config.job_name = asked.job_name
    LEFT JOIN {schema}.exchange_groups AS exchange_group ON exchange_group.group_name = asked.group_name
    LEFT JOIN LATERAL (
        SELECT a.audit_id, a.changed_by, a.changed_at::timestamptz AS changed_at
        FROM {schema}.dag_configuration_audit AS a
        WHERE a.dag_name = config.dag_name AND a.job_name = config.job_name
        ORDER BY a.audit_id DESC
        LIMIT 1
    ) AS change ON true
    LEFT JOIN LATERAL (
        SELECT a.audit_id, a.changed_by, a.changed_at::timestamptz AS changed_at
        FROM {schema}.dag_configuration_audit AS a
        WHERE
            a.dag_name = config.dag_name AND a.job_name = config.job_name
            AND a.new_values ->> 'enabled' = 'false' AND a.old_values ->> 'enabled' IS DISTINCT FROM 'false'
        ORDER BY a.audit_id DESC
        LIMIT 1
    ) AS disabled ON NOT config.enabled
""")
_GROUPS = sql.SQL("""
    SELECT {columns} FROM {schema}.exchange_groups AS exchange_group
    WHERE enabled ORDER BY priority DESC NULLS LAST, group_name
""")
_GROUP = sql.SQL("SELECT {columns} FROM {schema}.exchange_groups AS exchange_group WHERE group_name = %(group_name)s")
_GROUP_NAMES = sql.SQL("SELECT group_name FROM {schema}.exchange_groups ORDER BY group_name")
_UPDATE = sql.SQL("""
    SELECT {schema}.update_dag_config(
        p_dag_name => %(dag_name)s::text, p_job_name => %(job_name)s::text,
        p_cpu_request => %(cpu_request)s::text, p_cpu_limit => %(cpu_limit)s::text,
        p_memory_request => %(memory_request)s::text, p_memory_limit => %(memory_limit)s::text,
        p_batch_size => %(batch_size)s::integer, p_timeout_seconds => %(timeout_seconds)s::integer,
        p_updated_by => %(updated_by)s::text
    )
""")
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


class DagConfigHook(PostgresHook):
    """
    Read and change what the jobs run with.

    Each method opens a connection, runs one statement (``update_dag_config``: one transaction) and closes it. No session
    state is set and every name is qualified, so it works through PgBouncer in transaction mode. Reading needs USAGE on the
    schema and SELECT on ``dag_configuration``, ``exchange_groups`` and ``dag_configuration_audit``, nothing more.

    :param postgres_conn_id: the Airflow connection of the database. Default: ``[dagconfig] postgres_conn_id`` of
        airflow.cfg, else ``postgres_default``.
    :param schema: the database schema of the tables. Default: ``[dagconfig] schema`` of airflow.cfg, else
        ``financial_screener``.

    All methods raise DagConfigUnreachableError, DagConfigSchemaNotFoundError, DagConfigNotMigratedError and
    DagConfigNotAllowedError, with the connection id, the schema and the remedy.
    """

    def __init__(self, postgres_conn_id: str | None = None, schema: str | None = None, **kwargs: Any) -> None:
        super().__init__(postgres_conn_id=postgres_conn_id or configured_conn_id(), **kwargs)
        self.config_schema: str = schema or configured_schema()

    def get_dag_config(self, dag_name: str, job_name: str = "all") -> DagConfig:
        """
        Give what a job runs with; its row also when it is disabled, the defaults when it has none.

        A mistyped name has no row: ``origin`` of the result says whether defaults are in force.

        :raises DagConfigInvalidError: a value of the row cannot be used.
        """
        return self.get_task_config(dag_name, job_name, exchange_group=None)[0]

    def get_task_config(self, dag_name: str, job_name: str, exchange_group: str | None) -> tuple[DagConfig, ExchangeGroup | None]:
        """
        Give what a job runs with and its exchange group, in one round trip.

        :param exchange_group: the group's name; None for a job without one.
        :raises DagConfigInvalidError: a value of a row cannot be used.
        :raises DagConfigNotFoundError: there is no such group.
        """
        parameters = {"dag_name": dag_name, "job_name": job_name, "group_name": exchange_group}
        with self._open() as connection:
            row = _rows(connection, self._task_config_query(), parameters)[0]
            if exchange_group is not None and row["group_group_name"] is None:
                raise self._group_not_found(connection, exchange_group)
        config = self._config(dag_name, job_name, row)
        return config, None if exchange_group is None else _group(_prefixed(row, "group_"))

    def get_exchange_groups(self) -> list[ExchangeGroup]:
        """
        Give the enabled groups, by priority (highest first), then name.

        :raises DagConfigInvalidError: a group has no exchanges.
        """
        return [_group(_prefixed(row, "group_")) for row in self._enabled_group_rows()]

    def get_exchange_group_names(self) -> list[str]:
        """
        Give the names of the enabled groups, by priority (highest first), then name.

        A group that cannot be used is among them, so that only its own job fails.
        """
        return [row["group_group_name"] for row in self._enabled_group_rows()]

    def get_exchange_group(self, name: str) -> ExchangeGroup:
        """
        Give one group, also when it is disabled.

        :raises DagConfigNotFoundError: there is no such group.
        :raises DagConfigInvalidError: it has no exchanges.
        """
        query = _GROUP.format(columns=_select(_GROUP_COLUMNS, "exchange_group", "group_"), schema=self._schema)
        with self._open() as connection:
            rows = _rows(connection, query, {"group_name": name})
            if not rows:
                raise self._group_not_found(connection, name)
        return _group(_prefixed(rows[0], "group_"))

    def update_dag_config(
        self,
        dag_name: str,
        job_name: str = "all",
        *,
        cpu_request: str | Quantity | None = None,
        cpu_limit: str | Quantity | None = None,
        memory_request: str | Quantity | None = None,
        memory_limit: str | Quantity | None = None,
        batch_size: int | None = None,
        timeout_seconds: int | None = None,
        updated_by: str | None = None,
    ) -> DagConfig:
        """
        Change a job's row, or make it; None leaves a value as it is.

        The change and its audit entry are one transaction. It leaves a row that can be used, or changes nothing.

        :param updated_by: who is booked in the audit; None: the database's user.
        :return: what the job runs with now.
        :raises DagConfigInvalidError: a value of the row could not be used.
        """
        quantities = {
            "cpu_request": cpu_request,
            "cpu_limit": cpu_limit,
            "memory_request": memory_request,
            "memory_limit": memory_limit,
        }
        parameters: dict[str, Any] = {
            "dag_name": dag_name,
            "job_name": job_name,
            "group_name": None,
            "batch_size": batch_size,
            "timeout_seconds": timeout_seconds,
            "updated_by": updated_by,
            **{column: None if value is None else str(value) for column, value in quantities.items()},
        }
        with self._open("writing") as connection, connection.transaction():
            _rows(connection, _UPDATE.format(schema=self._schema), parameters)
            row = _rows(connection, self._task_config_query(), parameters)[0]
            # Raised inside the transaction, so that an invalid row is rolled back.
            return self._config(dag_name, job_name, row)

    @property
    def _schema(self) -> sql.Identifier:
        return sql.Identifier(self.config_schema)

    def _task_config_query(self) -> sql.Composed:
        return _TASK_CONFIG.format(
            config_columns=_select(_CONFIG_COLUMNS, "config", "config_"),
            group_columns=_select(_GROUP_COLUMNS, "exchange_group", "group_"),
            schema=self._schema,
        )

    def _enabled_group_rows(self) -> list[dict[str, Any]]:
        query = _GROUPS.format(columns=_select(_GROUP_COLUMNS, "exchange_group", "group_"), schema=self._schema)
        with self._open() as connection:
            return _rows(connection, query, {})

    def _config(self, dag_name: str, job_name: str, row: Mapping[str, Any]) -> DagConfig:
        """Read the configuration's part of a row of the query above."""
        if row["id"] is None:
            return DagConfig.defaults(dag_name, job_name, self.config_schema)
        values = _prefixed(row, "config_")
        try:
            return DagConfig.from_row(
                {**values, "dag_name": dag_name, "job_name": job_name, "updated_at": row["updated_at"]},
                origin=f"{self.config_schema}.dag_configuration, row {row['id']}",
                schema=self.config_schema,
                change=_change(row["audit_id"], row["changed_by"], row["changed_at"]),
                disabled_change=_change(row["disabled_audit_id"], row["disabled_by"], row["disabled_at"]),
            )
        except InvalidRowError as error:
            raise DagConfigInvalidError(str(error)) from error

    @contextmanager
    def _open(self, purpose: Purpose = "reading") -> Iterator[psycopg.Connection[Any]]:
        """Open a connection where each statement is its own transaction; close it at the end; explain what goes wrong."""
        store = self.store
        try:
            with closing(self.get_conn()) as opened:
                connection: Any = opened
                connection.autocommit = True
                yield connection
        except psycopg.Error as error:
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
            is_there, others = _rows(connection, _SCHEMAS, {"schema": self.config_schema})[0].values()
        if is_there:
            return None
        hint = f"The configuration's tables are in {', '.join(others)}; set [dagconfig] schema. " if others else ""
        return DagConfigSchemaNotFoundError(
            f"There is no schema {self.config_schema!r} ({store.connection}). {hint}To make it: {store.migrate_command}"
        )

    def _group_not_found(self, connection: psycopg.Connection[Any], name: str) -> DagConfigNotFoundError:
        rows = _rows(connection, _GROUP_NAMES.format(schema=self._schema), {})
        names = [row["group_name"] for row in rows]
        similar = difflib.get_close_matches(name, names, n=1)
        meant = f" Did you mean {similar[0]!r}?" if similar else ""
        return DagConfigNotFoundError(
            f"There is no exchange group {name!r} ({self.store}).{meant} There are: {', '.join(names) or 'none'}."
        )

    @property
    def store(self) -> Store:
        """
        Name the database and schema for messages.

        :raises DagConfigUnreachableError: there is no such Airflow connection, or it is no database's.
        """
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


def _rows(connection: Any, query: sql.Composable, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run one statement and give its rows by column, whatever cursor the Airflow connection's extra asks for."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cast("list[dict[str, Any]]", cursor.execute(query, parameters).fetchall())


def _select(columns: Sequence[str], table: str, prefix: str) -> sql.Composed:
    """The columns of one table under names that cannot clash with another table's."""
    return sql.SQL(", ").join(
        sql.SQL("{}.{} AS {}").format(sql.Identifier(table), sql.Identifier(column), sql.Identifier(prefix + column))
        for column in columns
    )


def _prefixed(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def _group(row: Mapping[str, Any]) -> ExchangeGroup:
    try:
        return ExchangeGroup.from_row(row)
    except InvalidRowError as error:
        raise DagConfigInvalidError(str(error)) from error


def _change(audit_id: int | None, changed_by: str | None, changed_at: Any) -> Change | None:
    return None if audit_id is None or changed_at is None else Change(audit_id, changed_by, changed_at)
