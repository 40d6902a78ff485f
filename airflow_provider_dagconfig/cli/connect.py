"""The database that a command uses (--url, else an Airflow connection), and the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_dagconfig.cli.output import note
from airflow_provider_dagconfig.cli.values import UsageError
from airflow_provider_dagconfig.kubectl.access import ClusterAccess, ClusterAccessError, resolve_access
from airflow_provider_dagconfig.settings import configured_conn_id, configured_schema, unreadable_connection
from airflow_provider_dagconfig.store import Store

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow.models.connection import Connection


def store_of(args: Namespace) -> Store:
    """
    Return the store of the database that the arguments name.

    :raises UsageError: they name two.
    :raises DagConfigUnreachableError: the URL is not valid, or there is no such connection.
    """
    schema = args.schema or configured_schema()
    if args.url and args.conn_id:
        raise UsageError("--url and --conn-id both name a database; give one of them")
    if args.url:
        store = Store.from_url(args.url, schema)
    else:
        from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

        conn_id = args.conn_id or configured_conn_id()
        store = DagConfigHook(postgres_conn_id=conn_id, schema=schema, connection=airflow_connection(conn_id)).store
    store.waiting = note
    return store


def cluster_of(args: Namespace) -> ClusterAccess:
    """
    Return the credentials of the cluster that the arguments name: a connection's, else those that kubectl finds itself.

    :raises ClusterAccessError: there are none, there is no such connection, or Airflow cannot read it.
    """
    conn_id = args.kubernetes_conn_id or "kubernetes_default"
    connection: Connection | None = None
    if args.kubernetes_conn_id or not args.url:
        connection = airflow_connection(conn_id)
        if connection is None and (unreadable := unreadable_connection(conn_id)):
            raise ClusterAccessError(unreadable)
        if connection is None and args.kubernetes_conn_id:
            raise ClusterAccessError(f"there is no connection {conn_id!r}")
    return resolve_access(connection.extra_dejson if connection else {}, connection=conn_id)


def namespace_of(args: Namespace, access: ClusterAccess) -> str:
    """Return the namespace of the pods: that of the arguments, else the connection's, else ``default``."""
    return str(args.namespace or access.namespace or "default")


def airflow_connection(conn_id: str) -> Connection | None:
    """Return an Airflow connection; None where there is none."""
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        # On the command line, the Task SDK's lookup, which the hook would use, does not read Airflow's own database.
        return Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        return None
