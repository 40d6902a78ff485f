"""Which cluster a task's parameters and Airflow's connection lead to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import BaseHook

from airflow_provider_dagconfig.kubectl.access import ClusterAccess, ClusterAccessError, resolve_access
from airflow_provider_dagconfig.settings import unreadable_connection


def cluster_access(
    task_id: str,
    kubernetes_conn_id: str | None,
    *,
    config_file: str | None,
    cluster_context: str | None,
    in_cluster: bool | None,
) -> ClusterAccess:
    """
    Choose a task's credentials, by the parameters that the operators have under these names.

    :param task_id: for messages.
    :raises ClusterAccessError: there are none, or the connection can't be read, or is missing though it is not the one that is
        looked for by default.
    """
    extra: Mapping[str, Any] = {}
    if kubernetes_conn_id:
        try:
            extra = BaseHook.get_connection(kubernetes_conn_id).extra_dejson
        except AirflowNotFoundException:
            if unreadable := unreadable_connection(kubernetes_conn_id):
                # Another cluster than the one that was meant might be taken.
                raise ClusterAccessError(unreadable) from None
            if kubernetes_conn_id != "kubernetes_default":
                raise ClusterAccessError(
                    f"there is no connection {kubernetes_conn_id!r} (kubernetes_conn_id of task {task_id}): "
                    f"airflow connections add {kubernetes_conn_id} --conn-type kubernetes --conn-extra ..."
                ) from None
    return resolve_access(
        extra,
        connection=str(kubernetes_conn_id),
        config_file=config_file,
        cluster_context=cluster_context,
        in_cluster=in_cluster,
    )
