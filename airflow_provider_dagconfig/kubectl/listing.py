"""
The pods of one installation, whichever tasks' they are: they are listed, and dealt with as a sweep has decided.

A pod is deleted or marked only as it was seen: what has changed since is refused by the API server, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from airflow_provider_dagconfig.kubectl import requests
from airflow_provider_dagconfig.kubectl.claim import marked
from airflow_provider_dagconfig.kubectl.client import Client, Kubectl
from airflow_provider_dagconfig.kubectl.environment import KubectlSettings
from airflow_provider_dagconfig.kubectl.errors import PASSING, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.events import read_pods
from airflow_provider_dagconfig.kubectl.sweep import MARK, Fate, ListedPod, Verdict, mark

_ATTEMPTS = 3
"""A list of several pages is begun so often at most, where the API server forgets its place meanwhile (after some five minutes)."""


@dataclass(frozen=True)
class Done:
    """What was done with a pod, and why, as a sentence without its full stop."""

    pod: str
    did: Literal["deleted", "kept", "would", "failed"]
    """``would``: be deleted, were it not only tried."""
    why: str


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

    def all(self) -> list[ListedPod]:
        """
        Give all of them, those that have ended too, in order of their names. No more than a page of whole ones is held.

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

    def _pages(self) -> list[ListedPod]:
        pods: list[ListedPod] = []
        place: str | None = None
        while place != "":
            request = requests.list_pods(self._namespace, self._installation, place, self._page)
            page, place = read_pods(self._client.ask_json(request), request.verb)
            pods += map(ListedPod.read, page)
        return pods

    def deal_with(
        self, pod: ListedPod, verdict: Verdict, now: datetime, *, unknown: bool = False, only_tried: bool = False
    ) -> Done:
        """
        Do what was decided about a pod: delete it, mark it, or leave it.

        :param now: when it was decided.
        :param unknown: whether a pod that may be another Airflow's is deleted too.
        :param only_tried: change nothing.
        :return: what was done; a pod that has changed since it was listed is kept, and one that may not be deleted says so.
        :raises KubectlError: the API server does not answer: no other pod need be tried now.
        """
        if verdict.fate is Fate.DELETE_UNKNOWN and not unknown:
            command = f"airflow dagconfig sweep --namespace {self._namespace} --unknown"
            return Done(pod.name, "kept", f"{verdict.why}. To delete it: {command}")
        if verdict.fate is Fate.KEEP:
            return Done(pod.name, "kept", verdict.why)
        is_to_be_marked = verdict.fate is Fate.LOOK_AGAIN
        if only_tried:
            return Done(pod.name, "kept", verdict.why) if is_to_be_marked else Done(pod.name, "would", f"be deleted. {verdict.why}")
        try:
            if is_to_be_marked:
                self._mark(pod, now)
            else:
                self._kubectl(pod).delete(_as_it_was_seen(pod), unchanged=True)
        except KubectlError as error:
            if error.fault in (Fault.CONFLICT, Fault.NOT_FOUND):
                why = "It has changed since it was listed, so somebody has to do with it. The next sweep looks again"
                return Done(pod.name, "kept", why)
            if error.fault in PASSING:
                raise
            done, verb = ("marked, for a later sweep to delete it", "update") if is_to_be_marked else ("deleted", "delete")
            rule = f". {_to_the_role(verb)}" if error.fault is Fault.FORBIDDEN else ""
            return Done(pod.name, "failed", f"It could not be {done}: {error.message}{rule}")
        return Done(pod.name, "kept" if is_to_be_marked else "deleted", verdict.why)

    def _mark(self, pod: ListedPod, now: datetime) -> None:
        """Write on a pod that its task was seen to be finished."""
        kubectl = self._kubectl(pod)
        whole = kubectl.get()
        if (whole["metadata"].get("uid"), whole["metadata"]["resourceVersion"]) != (pod.uid, pod.resource_version):
            raise KubectlError(Fault.CONFLICT, f"pod {pod.name} has changed", "replace")
        kubectl.replace(marked(whole, MARK, mark(pod, now)))

    def _kubectl(self, pod: ListedPod) -> Kubectl:
        return Kubectl(self._environment, self._namespace, pod.name, settings=self._settings)


def cannot_list(error: KubectlError, namespace: str, source: str) -> str:
    """
    Say that the pods could not be listed, and what to do.

    :param source: where the credentials are from.
    """
    cause = error.trouble
    if error.fault is Fault.FORBIDDEN:
        cause = f"{_to_the_role('list')}. The API server said: {error.message}"
    return f"The pods in namespace {namespace} could not be listed. {cause} (credentials from {source})"


def _to_the_role(verb: str) -> str:
    return f"Add it to the Role of this user: apiGroups [''], resources [pods], verbs [{verb}]"


def _as_it_was_seen(pod: ListedPod) -> Mapping[str, Mapping[str, str]]:
    """What a deletion needs of a pod."""
    return {"metadata": {"uid": pod.uid, "resourceVersion": pod.resource_version}}
