"""
A pod from before installations had ids: it runs under the task's former name, and a later try is to go on with it.

Such a pod may be another Airflow's, with the same DAG, run and task, so little is taken for the task's own. Who adopts it, and what
follows, is ``claim``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_dagconfig.kubectl.annotations import annotation, is_same_task_instance, try_number
from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, former_name
from airflow_provider_dagconfig.kubectl.outcome import is_terminal


@dataclass(frozen=True)
class FormerName:
    """
    Where to look for it.

    :param kubectl: the requests about the pod of the former name.
    :param older_than: when the store's id was made. A younger pod without an id is another installation's.
    """

    kubectl: Kubectl
    older_than: datetime

    @classmethod
    def of(cls, request: PodRequest, kubectl: Callable[[str], Kubectl], created_at: datetime | None) -> FormerName | None:
        """
        Say where a try looks: only an earlier one can have left a pod there, so the first does not look.

        :param kubectl: gives the requests about the pod of a name.
        :param created_at: when the store's id was made; None where nobody knows, and no pod is older.
        """
        if request.try_number == 1 or created_at is None:
            return None
        return cls(kubectl(former_name(request)), created_at)

    def find(self, manifest: Mapping[str, Any], note: Callable[[str], None], seconds: int = 10) -> dict[str, Any] | None:
        """
        Look once.

        :param manifest: the pod that the try would make; its annotations say whose it is.
        :param note: is told why a pod is left alone.
        :param seconds: how long the request takes at most.
        :return: the pod that is this task's to go on with, adopted already or not; None where there is none.
        :raises KubectlError: the API server gave no answer, or refused one.
        """
        try:
            pod = self.kubectl.get(seconds)
        except KubectlError as error:
            if error.fault is Fault.NOT_FOUND:
                return None
            raise
        why_not = self._why_not(pod, manifest)
        if why_not is None:
            return pod
        note(f"Pod {self.kubectl.pod} in namespace {self.kubectl.namespace} is left alone: {why_not}")
        return None

    def _why_not(self, pod: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
        if not is_same_task_instance(pod, manifest):
            return "its annotations name another task or none"
        owner = annotation(pod, "installation")
        if owner is None:
            return self._why_not_adopted(pod, manifest)
        if owner != annotation(manifest, "installation"):
            return f"it is of installation {owner}"
        failed_before = pod.get("status", {}).get("phase") == "Failed" and try_number(pod) != try_number(manifest)
        if not pod["metadata"].get("deletionTimestamp") and (failed_before or annotation(pod, "collected") is not None):
            return "it has ended"
        return None

    def _why_not_adopted(self, pod: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
        """Say why a pod without an id is not to be adopted."""
        created_at = datetime.fromisoformat(pod["metadata"]["creationTimestamp"].replace("Z", "+00:00"))
        # Kubernetes cuts the parts of a second off.
        if created_at >= self.older_than.replace(microsecond=0):
            return "it has no installation's id, and is not older than the store's id"
        if (try_number(pod) or 0) >= (try_number(manifest) or 0):
            return "it has no installation's id, and no earlier try has made it"
        if is_terminal(pod) or annotation(pod, "collected") is not None:
            return "it has no installation's id, and has ended"
        return None
