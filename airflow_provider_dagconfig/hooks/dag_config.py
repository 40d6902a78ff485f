"""The hook: it finds Airflow's connection and gives access to the configuration store behind it, also by its own methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.providers.postgres.hooks.postgres import PostgresHook

from airflow_provider_dagconfig.exceptions import DagConfigUnreachableError
from airflow_provider_dagconfig.hooks.errors import airflow_errors
from airflow_provider_dagconfig.models import shell_word
from airflow_provider_dagconfig.settings import configured_conn_id, configured_schema, unreadable_connection
from airflow_provider_dagconfig.store import Location, Store, Target
from airflow_provider_dagconfig.store.target import CONNECTION_DEFAULTS
from airflow_provider_dagconfig.wording import printable

if TYPE_CHECKING:
    from typing_extensions import Self

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _store_method(method: Callable[Concatenate[Store, _P], _R]) -> Callable[Concatenate[DagConfigHook, _P], _R]:
    """Turn a method of the store into a method of the hook that raises Airflow's errors."""

    @wraps(method)
    def call(hook: DagConfigHook, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with airflow_errors():
            return method(hook.store, *args, **kwargs)

    return call


class DagConfigHook(PostgresHook):
    """
    Reads and changes the configuration of the jobs.

    It is a PostgresHook, and supports all that the Airflow connection's extra may contain. It has the methods of the
    :class:`~airflow_provider_dagconfig.store.Store`, which is its attribute ``store``. Each method opens a connection, runs one
    statement (a change: one transaction) and closes it; ``transaction()`` makes several calls one transaction. Reading needs the
    role ``dagconfig_reader``, changing needs ``dagconfig_editor`` (or the installation's names for them), and nothing more.

    :param postgres_conn_id: the Airflow connection of the database. Default: ``[dagconfig] postgres_conn_id`` of
        airflow.cfg, else ``postgres_default``. Without Airflow's connections: ``DagConfigHook.from_url(url)``.
    :param schema: the database schema of the tables. Default: ``[dagconfig] schema`` of airflow.cfg, else
        ``financial_screener``.

    All methods raise DagConfigUnreachableError, DagConfigBusyError, DagConfigSchemaNotFoundError, DagConfigNotMigratedError and
    DagConfigNotAllowedError; the message has the connection id, the schema and the remedy. Here they are AirflowExceptions too.
    Moments need a time zone; without one they raise DagConfigInvalidError. store/sessions.py has the bounds on how long a statement
    waits and runs; get_conn() returns a connection without these bounds, as PostgresHook does.
    """

    def __init__(self, postgres_conn_id: str | None = None, schema: str | None = None, **kwargs: Any) -> None:
        super().__init__(postgres_conn_id=postgres_conn_id or configured_conn_id(), **kwargs)
        self.config_schema: str = schema or configured_schema()
        self.waiting: Callable[[str], None] = lambda text: self.log.warning("%s", printable(text))
        """Is called with a message about who holds the lock, each time that a change lets others go first."""
        self._url_target: Target | None = None

    @classmethod
    def from_url(cls, url: str, schema: str | None = None) -> Self:
        """
        Take the database from a URL: ``postgresql://USER:PASSWORD@HOST:5432/DATABASE``. No Airflow connection is read.

        :raises DagConfigUnreachableError: it is not such a URL. The message does not show it: it may contain a password.
        """
        hook = cls(schema=schema)
        with airflow_errors():
            hook._url_target = Target.from_url(url, hook.config_schema)
        return hook

    @cached_property
    def store(self) -> Store:
        """
        The configuration store in this database.

        :raises DagConfigUnreachableError: there is no such Airflow connection, or it is not one of a PostgreSQL database.
        """
        with airflow_errors():
            location = self._url_target.location if self._url_target else self._location()
        # Both are looked up at each call: they may have been replaced.
        return Store(Target(lambda: self.get_conn(), location), waiting=lambda text: self.waiting(text))

    def get_conn(self) -> Any:
        """Return a new connection to the database."""
        if self._url_target is None:
            return super().get_conn()
        self.conn = self._url_target.connect()
        return self.conn

    @contextmanager
    def transaction(self, *, force_rollback: bool = False) -> Iterator[None]:
        """
        Make all calls of this hook inside the block one transaction: all of them take effect, or none.

        A block inside another one is part of the outer transaction.

        :param force_rollback: roll back at the end. Errors are raised as if the changes were made.
        """
        with airflow_errors(), self.store.transaction(force_rollback=force_rollback):
            yield

    get_dag_config = _store_method(Store.get_dag_config)
    get_task_config = _store_method(Store.get_task_config)
    get_dag_configs = _store_method(Store.get_dag_configs)
    get_dag_config_row = _store_method(Store.get_dag_config_row)
    get_job_names = _store_method(Store.get_job_names)
    get_exchange_groups = _store_method(Store.get_exchange_groups)
    get_exchange_group_names = _store_method(Store.get_exchange_group_names)
    get_all_exchange_groups = _store_method(Store.get_all_exchange_groups)
    get_exchange_group = _store_method(Store.get_exchange_group)
    get_ceilings = _store_method(Store.get_ceilings)
    get_installation = _store_method(Store.get_installation)
    get_group_disabled_change = _store_method(Store.get_group_disabled_change)

    get_history = _store_method(Store.get_history)
    get_change = _store_method(Store.get_change)
    get_last_change_of = _store_method(Store.get_last_change_of)
    get_overrides = _store_method(Store.get_overrides)
    get_override = _store_method(Store.get_override)
    get_dag_config_at = _store_method(Store.get_dag_config_at)
    get_exchange_group_at = _store_method(Store.get_exchange_group_at)
    get_rule_violations = _store_method(Store.get_rule_violations)
    get_ceiling_violations = _store_method(Store.get_ceiling_violations)

    update_dag_config = _store_method(Store.update_dag_config)
    rename_dag_config = _store_method(Store.rename_dag_config)
    delete_dag_config = _store_method(Store.delete_dag_config)
    update_exchange_group = _store_method(Store.update_exchange_group)
    delete_exchange_group = _store_method(Store.delete_exchange_group)
    override_dag_config = _store_method(Store.override_dag_config)
    end_override = _store_method(Store.end_override)
    rollback_change = _store_method(Store.rollback_change)
    rollback_dag_config = _store_method(Store.rollback_dag_config)
    set_ceiling = _store_method(Store.set_ceiling)
    remove_ceiling = _store_method(Store.remove_ceiling)

    def _location(self) -> Location:
        conn_id = self.get_conn_id()
        try:
            airflow_connection = self.connection
        except AirflowNotFoundException as error:
            if unreadable := unreadable_connection(conn_id):
                raise DagConfigUnreachableError(unreadable) from error
            raise DagConfigUnreachableError(
                f"There is no Airflow connection {conn_id!r} to reach the configuration database by. A command takes another one"
                " with --conn-id ID, or the database with --url postgresql://USER@HOST:5432/DATABASE. To add it, for the tasks too:"
                f" airflow connections add {shell_word(conn_id)} --conn-uri postgresql://USER:PASSWORD@HOST:5432/DATABASE"
            ) from error
        if airflow_connection.conn_type not in ("postgres", "postgresql", None, ""):
            raise DagConfigUnreachableError(
                f"The Airflow connection {conn_id!r} is of type {airflow_connection.conn_type!r}; the configuration"
                " database needs one of type 'postgres'"
            )
        options: tuple[str, ...] = ("--conn-id", conn_id) if conn_id != configured_conn_id() else ()
        options += ("--schema", self.config_schema) if self.config_schema != configured_schema() else ()
        login, host = airflow_connection.login or "", airflow_connection.host or "localhost"
        database = self.database or airflow_connection.schema or ""
        where = f"{login}@{host}:{airflow_connection.port or 5432}/{database}"
        return Location(f"connection {conn_id!r} ({where})", self.config_schema, login, options)

    def _create_connection(self, conn_args: dict[str, Any]) -> Any:
        return super()._create_connection({**CONNECTION_DEFAULTS, **conn_args})
