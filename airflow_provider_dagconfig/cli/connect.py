"""Which database a command is about (--url, else an Airflow connection), and which cluster."""

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
    Give the store in the database that was named.

    :raises UsageError: two were.
    :raises DagConfigUnreachableError: the URL is none, or there is no such connection.
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
    Give the credentials of the cluster that was named: a connection's, else what kubectl finds by itself.

    :raises ClusterAccessError: there are none, or no such connection, or one that Airflow can't read.
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
    """Give the namespace of the pods: the one that was named, else the connection's, else ``default``."""
    return str(args.namespace or access.namespace or "default")


def airflow_connection(conn_id: str) -> Connection | None:
    """Look an Airflow connection up; None where there is none."""
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        # The Task SDK's look-up, which the hook uses by itself, leaves Airflow's own database out on the command line.
        return Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        return None
