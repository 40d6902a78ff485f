"""
A pod from before installations had ids: it has the task's former name, and a later try may continue with it.

Such a pod may belong to another Airflow with the same DAG, run and task, so only few of them are accepted. ``claim`` adopts the
pod.
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
    Where to look for such a pod.

    :param kubectl: makes the requests about the pod with the former name.
    :param older_than: when the store's id was made. A younger pod without an id belongs to another installation.
    """

    kubectl: Kubectl
    older_than: datetime

    @classmethod
    def of(cls, request: PodRequest, kubectl: Callable[[str], Kubectl], created_at: datetime | None) -> FormerName | None:
        """
        Return where a try looks; None for the first try, since only an earlier one can have left a pod there.

        :param kubectl: returns the requests about the pod with a name.
        :param created_at: when the store's id was made; None if unknown, and then no pod counts as older.
        """
        if request.try_number == 1 or created_at is None:
            return None
        return cls(kubectl(former_name(request)), created_at)

    def find(self, manifest: Mapping[str, Any], note: Callable[[str], None], seconds: int = 10) -> dict[str, Any] | None:
        """
        Look once.

        :param manifest: the pod that the try would make; its annotations identify the owner.
        :param note: receives the reason why a pod is left alone.
        :param seconds: the request's timeout.
        :return: this task's pod, adopted already or not; None if there is none.
        :raises KubectlError: the API server gave no answer, or a refusal.
        """
        try:
            pod = self.kubectl.get(seconds)
        except KubectlError as error:
            if error.fault is Fault.NOT_FOUND:
                return None
            raise
        reason = self._why_left_alone(pod, manifest)
        if reason is None:
            return pod
        note(f"Pod {self.kubectl.pod} in namespace {self.kubectl.namespace} is left alone: {reason}")
        return None

    def _why_left_alone(self, pod: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
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
        """Return why a pod without an id must not be adopted; None if it may be."""
        created_at = datetime.fromisoformat(pod["metadata"]["creationTimestamp"].replace("Z", "+00:00"))
        # Kubernetes cuts off fractions of a second.
        if created_at >= self.older_than.replace(microsecond=0):
            return "it has no installation's id, and is not older than the store's id"
        if (try_number(pod) or 0) >= (try_number(manifest) or 0):
            return "it has no installation's id, and no earlier try has made it"
        if is_terminal(pod) or annotation(pod, "collected") is not None:
            return "it has no installation's id, and has ended"
        return None
