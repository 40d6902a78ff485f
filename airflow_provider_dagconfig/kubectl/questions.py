"""Requests without a pod: the version of kubectl, the version of the API server, and what the server lets this user do."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_dagconfig.kubectl import requests
from airflow_provider_dagconfig.kubectl.client import Client
from airflow_provider_dagconfig.kubectl.environment import KubectlSettings
from airflow_provider_dagconfig.kubectl.requests import Request


class Questions(Client):
    """
    Requests that change nothing.

    :param environment: from :meth:`ClusterAccess.environment`.
    :param namespace: the namespace for which permissions are checked.
    :param settings: which kubectl runs, and which of this process's variables it gets.
    """

    def __init__(self, environment: Mapping[str, str], namespace: str, settings: KubectlSettings | None = None) -> None:
        super().__init__(environment, settings)
        self.namespace = namespace

    def client_version(self) -> str:
        """Return the version of kubectl, such as v1.32.0."""
        return str(self.ask_json(Request("client", "client", "")).get("clientVersion", {}).get("gitVersion", "unknown"))

    def server_version(self) -> str:
        """Return the version of the API server."""
        return str(self.ask_json(requests.server_version()).get("gitVersion", "unknown"))

    def may(self, verb: str, resource: str, subresource: str = "") -> tuple[bool, str]:
        """
        Ask the API server whether this user may do something with a resource of the core group.

        :return: the answer, and the server's reason, if any.
        """
        status = self.ask_json(requests.review(self.namespace, verb, resource, subresource)).get("status", {})
        return status.get("allowed") is True, str(status.get("reason", ""))
