"""What can be asked without a pod: which kubectl there is, which API server answers, and what it lets this user do."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.environment import KubectlSettings


class Questions(Kubectl):
    """
    Requests that change nothing.

    :param environment: from :meth:`ClusterAccess.environment`.
    :param namespace: the one that permissions are asked for.
    :param settings: which kubectl is run, and what it gets of this process's environment.
    """

    def __init__(self, environment: Mapping[str, str], namespace: str, settings: KubectlSettings | None = None) -> None:
        super().__init__(environment, namespace, pod="", settings=settings)

    def client_version(self) -> str:
        """The version of kubectl, such as v1.32.0."""
        return str(self._object("client").get("clientVersion", {}).get("gitVersion", "unknown"))

    def server_version(self) -> str:
        """The version of the API server."""
        return str(self._object("server").get("gitVersion", "unknown"))

    def may(self, verb: str, resource: str, subresource: str = "") -> tuple[bool, str]:
        """
        Ask the API server whether this user may do something with a resource of the core group.

        :return: the answer, and the reason that the server gave, if any.
        """
        attributes = {"namespace": self.namespace, "verb": verb, "resource": resource, "subresource": subresource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        status = self._object("review", review).get("status", {})
        return status.get("allowed") is True, str(status.get("reason", ""))
