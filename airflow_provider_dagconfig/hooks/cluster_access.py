"""The cluster that a task's parameters and Airflow's connection select."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import BaseHook

from airflow_provider_dagconfig.kubectl.access import ClusterAccess, ClusterAccessError, resolve_access
from airflow_provider_dagconfig.settings import unreadable_connection


@dataclass(frozen=True)
class ClusterParameters:
    """The parameters of an operator that select its cluster, under the operator's names."""

    kubernetes_conn_id: str | None
    config_file: str | None = None
    cluster_context: str | None = None
    in_cluster: bool | None = None

    @classmethod
    def of(cls, task: Any) -> ClusterParameters:
        """Take the rendered parameters of a task."""
        return cls(task.kubernetes_conn_id, task.config_file, task.cluster_context, task.in_cluster)

    def as_dict(self) -> dict[str, Any]:
        """Return the parameters by name, as JSON values."""
        return asdict(self)

    def access(self, task_id: str) -> ClusterAccess:
        """
        Return the credentials.

        :param task_id: for messages.
        :raises ClusterAccessError: there are none; or the connection cannot be read; or it is missing, though it is not the default
            connection.
        """
        try:
            return self._access(BaseHook.get_connection(self.kubernetes_conn_id).extra_dejson if self.kubernetes_conn_id else {})
        except AirflowNotFoundException:
            return self._without_connection(task_id)

    async def aaccess(self, task_id: str) -> ClusterAccess:
        """Return the credentials, in an asyncio loop."""
        try:
            connection = await BaseHook.aget_connection(self.kubernetes_conn_id) if self.kubernetes_conn_id else None
        except AirflowNotFoundException:
            return self._without_connection(task_id)
        return self._access(connection.extra_dejson if connection else {})

    def _without_connection(self, task_id: str) -> ClusterAccess:
        conn_id = str(self.kubernetes_conn_id)
        if unreadable := unreadable_connection(conn_id):
            # Without this error, the task could use another cluster than the one that was meant.
            raise ClusterAccessError(unreadable) from None
        if conn_id != "kubernetes_default":
            raise ClusterAccessError(
                f"there is no connection {conn_id!r} (kubernetes_conn_id of task {task_id}): "
                f"airflow connections add {conn_id} --conn-type kubernetes --conn-extra ..."
            ) from None
        return self._access({})

    def _access(self, extra: Mapping[str, Any]) -> ClusterAccess:
        return resolve_access(
            extra,
            connection=str(self.kubernetes_conn_id),
            config_file=self.config_file,
            cluster_context=self.cluster_context,
            in_cluster=self.in_cluster,
        )
