"""Which database a command is about: --url, else an Airflow connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_dagconfig.cli.output import note
from airflow_provider_dagconfig.cli.values import UsageError
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook, configured_conn_id, configured_schema
from airflow_provider_dagconfig.migrate import Target

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow.models.connection import Connection


def hook_of(args: Namespace) -> DagConfigHook:
    """
    Give the hook for the database that was named.

    :raises UsageError: two were.
    :raises DagConfigUnreachableError: the URL is none.
    """
    schema = args.schema or configured_schema()
    if args.url and args.conn_id:
        raise UsageError("--url and --conn-id both name a database; give one of them")
    if args.url:
        hook = DagConfigHook.from_url(args.url, schema)
    else:
        conn_id = args.conn_id or configured_conn_id()
        hook = DagConfigHook(postgres_conn_id=conn_id, schema=schema, connection=airflow_connection(conn_id))
    hook.waiting = note
    return hook


def airflow_connection(conn_id: str) -> Connection | None:
    """Look an Airflow connection up; None where there is none."""
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        # The Task SDK's look-up, which the hook uses by itself, leaves Airflow's own database out on the command line.
        return Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        return None


def target_of(args: Namespace) -> Target:
    """Give what migrations are run on, for the database that was named."""
    if args.url and not args.conn_id:
        return Target.from_url(args.url, args.schema or configured_schema())
    hook = hook_of(args)
    return Target(connect=hook.get_conn, store=hook.store)
