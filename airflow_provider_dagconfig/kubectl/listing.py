"""
Lists the pods of one installation, of all its tasks, and carries out the decisions of a sweep about them.

A pod is deleted or marked only in the state in which it was seen: if it has changed since, the API server refuses, and that is
reported.
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
from airflow_provider_dagconfig.kubectl.errors import TRANSIENT, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.events import read_pods
from airflow_provider_dagconfig.kubectl.sweep import MARK, Fate, ListedPod, Verdict, mark

_ATTEMPTS = 3
"""
Attempts to read a list of several pages: the API server forgets the place in it after some five minutes. Then the error is raised.
"""


@dataclass(frozen=True)
class Done:
    """What was done with a pod, and why, as a sentence without a full stop."""

    pod: str
    did: Literal["deleted", "kept", "would", "failed"]
    """``would``: the pod would be deleted, but this is a dry run."""
    why: str


class InstallationPods:
    """
    The pods of an installation in a namespace.

    :param environment: from :meth:`ClusterAccess.environment`.
    :param namespace: the pods' namespace.
    :param installation: the installation's id on the pods.
    :param settings: which kubectl runs, and which of this process's variables it gets.
    :param page: the maximum number of pods in one answer.
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
        Return all pods in order of their names, including those that have ended. At most one page of whole pods is in memory.

        :raises KubectlError: there is no answer, or it is a refusal.
        """
        attempts = 1
        while True:
            try:
                return self._read_all_pages()
            except KubectlError as error:
                if error.fault is not Fault.EXPIRED or attempts == _ATTEMPTS:
                    raise
            attempts += 1

    def _read_all_pages(self) -> list[ListedPod]:
        pods: list[ListedPod] = []
        continue_token: str | None = None
        while continue_token != "":
            request = requests.list_pods(self._namespace, self._installation, continue_token, self._page)
            page, continue_token = read_pods(self._client.ask_json(request), request.verb)
            pods += map(ListedPod.read, page)
        return pods

    def deal_with(
        self, pod: ListedPod, verdict: Verdict, now: datetime, *, delete_unknown: bool = False, dry_run: bool = False
    ) -> Done:
        """
        Carry out a decision about a pod: delete it, mark it, or leave it.

        :param now: when the decision was made.
        :param delete_unknown: whether to delete a pod even if it may be another Airflow's.
        :param dry_run: change nothing.
        :return: what was done. A pod that has changed since it was listed is kept. If the deletion is forbidden, the result says
            so.
        :raises KubectlError: the API server does not answer, so other pods need not be tried now.
        """
        if verdict.fate is Fate.DELETE_UNKNOWN and not delete_unknown:
            command = f"airflow dagconfig sweep --namespace {self._namespace} --unknown"
            return Done(pod.name, "kept", f"{verdict.why}. To delete it: {command}")
        if verdict.fate is Fate.KEEP:
            return Done(pod.name, "kept", verdict.why)
        is_to_be_marked = verdict.fate is Fate.LOOK_AGAIN
        if dry_run:
            return Done(pod.name, "kept", verdict.why) if is_to_be_marked else Done(pod.name, "would", f"be deleted. {verdict.why}")
        try:
            if is_to_be_marked:
                self._mark(pod, now)
            else:
                self._kubectl(pod).delete(_observed_state(pod), unchanged=True)
        except KubectlError as error:
            if error.fault in (Fault.CONFLICT, Fault.NOT_FOUND):
                why = "It has changed since it was listed, so somebody is working with it. The next sweep checks again"
                return Done(pod.name, "kept", why)
            if error.fault in TRANSIENT:
                raise
            done, verb = ("marked, for a later sweep to delete it", "update") if is_to_be_marked else ("deleted", "delete")
            rule = f". {_role_remedy(verb)}" if error.fault is Fault.FORBIDDEN else ""
            return Done(pod.name, "failed", f"It could not be {done}: {error.message}{rule}")
        return Done(pod.name, "kept" if is_to_be_marked else "deleted", verdict.why)

    def _mark(self, pod: ListedPod, now: datetime) -> None:
        """Record on a pod that its task was seen to be finished."""
        kubectl = self._kubectl(pod)
        whole = kubectl.get()
        if (whole["metadata"].get("uid"), whole["metadata"]["resourceVersion"]) != (pod.uid, pod.resource_version):
            raise KubectlError(Fault.CONFLICT, f"pod {pod.name} has changed", "replace")
        kubectl.replace(marked(whole, MARK, mark(pod, now)))

    def _kubectl(self, pod: ListedPod) -> Kubectl:
        return Kubectl(self._environment, self._namespace, pod.name, settings=self._settings)


def cannot_list(error: KubectlError, namespace: str, source: str) -> str:
    """
    Return the message that the pods could not be listed, with the remedy.

    :param source: where the credentials come from.
    """
    cause = error.trouble
    if error.fault is Fault.FORBIDDEN:
        cause = f"{_role_remedy('list')}. The API server said: {error.message}"
    return f"The pods in namespace {namespace} could not be listed. {cause} (credentials from {source})"


def _role_remedy(verb: str) -> str:
    return f"Add it to the Role of this user: apiGroups [''], resources [pods], verbs [{verb}]"


def _observed_state(pod: ListedPod) -> Mapping[str, Mapping[str, str]]:
    """Return the parts of a pod that its deletion needs."""
    return {"metadata": {"uid": pod.uid, "resourceVersion": pod.resource_version}}
