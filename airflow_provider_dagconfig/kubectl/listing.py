"""The pods of one installation, whichever tasks' they are: they are listed, and deleted where they are as they were seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_dagconfig.kubectl import requests
from airflow_provider_dagconfig.kubectl.client import Client, Kubectl
from airflow_provider_dagconfig.kubectl.environment import KubectlSettings
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.events import read_pods

_ATTEMPTS = 3
"""A list of several pages is begun so often at most, where the API server forgets its place meanwhile (after some five minutes)."""


class InstallationPods:
    """
    The pods of an installation in a namespace.

    :param environment: from :meth:`ClusterAccess.environment`.
    :param namespace: where the pods run.
    :param installation: the id that is on the pods.
    :param settings: which kubectl is run, and what it gets of this process's environment.
    :param page: how many pods one answer has at most.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        namespace: str,
        installation: str,
        settings: KubectlSettings | None = None,
        page: int = requests.PAGE,
    ) -> None:
        self._environment, self._settings = environment, settings
        self._client = Client(environment, settings)
        self._namespace, self._installation, self._page = namespace, installation, page

    def all(self) -> list[dict[str, Any]]:
        """
        Give all of them, those that have ended too, in order of their names.

        :raises KubectlError: there is no answer, or it is no.
        """
        attempts = 1
        while True:
            try:
                return self._pages()
            except KubectlError as error:
                if error.fault is not Fault.EXPIRED or attempts == _ATTEMPTS:
                    raise
            attempts += 1

    def _pages(self) -> list[dict[str, Any]]:
        pods: list[dict[str, Any]] = []
        place: str | None = None
        while place != "":
            request = requests.list_pods(self._namespace, self._installation, place, self._page)
            page, place = read_pods(self._client.ask_json(request), request.verb)
            pods += page
        return pods

    def delete(self, pod: Mapping[str, Any]) -> None:
        """
        Ask for the deletion of a pod as it was listed; no error where it is gone.

        :raises KubectlError: CONFLICT, where another pod has the name or something about this one has changed since.
        """
        kubectl = Kubectl(self._environment, self._namespace, pod["metadata"]["name"], settings=self._settings)
        kubectl.delete(pod, unchanged=True)
