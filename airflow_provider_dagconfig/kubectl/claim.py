"""
One pod for one task instance: creates the pod, or adopts or replaces the existing one.

The pod's name is a function of the task instance, so the API server refuses a second pod. :func:`judge_existing`, which is pure,
decides about an existing pod; :class:`Claim` makes the requests. It does not wait and knows no clock: its caller makes the next
attempt later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_dagconfig.kubectl.annotations import (
    PREFIX,
    annotation,
    is_same_task_instance,
    max_tries,
    run_of,
    try_number,
)
from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.ends import PodNotAllowed, PodTakenOver
from airflow_provider_dagconfig.kubectl.errors import TRANSIENT, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.pod_life import is_owned_by_later_try

Pod = Mapping[str, Any]


class Existing(Enum):
    """What to do about a pod that already has the name."""

    KEEP = "it is this try's already"
    ADOPT = "make an earlier try's pod this one's"
    REPLACE = "delete it, and create the pod anew"
    WAIT = "wait until it is gone"
    LEAVE_TO_LATER_TRY = "a later try has it"
    ANOTHERS = "it is another task's or nobody's"


def judge_existing(pod: Pod, manifest: Pod) -> Existing:
    """
    Decide what to do about an existing pod.

    :param pod: as the API server returned it.
    :param manifest: the pod that this try would create; its annotations identify the owner.
    """
    if not is_same_task(pod, manifest):
        return Existing.ANOTHERS
    if pod["metadata"].get("deletionTimestamp"):
        return Existing.WAIT
    # A pod that was kept and does not name its run may belong to a deleted run.
    is_left_over = annotation(pod, "collected") is not None and run_of(pod) is None
    if is_owned_by_later_try(pod, manifest) and not is_left_over:
        return Existing.LEAVE_TO_LATER_TRY
    if why_replaced(pod, manifest) is not None:
        return Existing.REPLACE
    return Existing.KEEP if try_number(pod) == try_number(manifest) else Existing.ADOPT


def why_replaced(pod: Pod, manifest: Pod) -> str | None:
    """
    Return why this try cannot use a pod that its own task made, in this or an earlier try; None if it can.

    Clearing a task starts the work anew; this shows in Airflow's ``max_tries``. But a pod that has succeeded is still collected:
    if Airflow had recorded its success, the pod would be deleted or marked.
    """
    if annotation(pod, "collected") is not None:
        return "its end was reported"
    if _is_of_a_deleted_run(pod, manifest):
        return "its run was deleted, and made anew with the same id"
    if try_number(pod) == try_number(manifest):
        return None
    phase = pod.get("status", {}).get("phase")
    if phase == "Failed":
        return "it failed"
    before, now = max_tries(pod), max_tries(manifest)
    if phase != "Succeeded" and before is not None and now is not None and now != before:
        return "the task was cleared"
    return None


def _is_of_a_deleted_run(pod: Pod, manifest: Pod) -> bool:
    """
    Return whether the run of a pod was deleted, and this try's run was made later with the same id.

    A finished run that is cleared also gets a new start. But then it has more clears, and its try numbers continue.
    """
    run, before = run_of(manifest), run_of(pod)
    if run is None or before is None or run[0] <= before[0]:
        return False
    return run[1] <= before[1] or (try_number(manifest) or 0) <= (try_number(pod) or 0)


def is_same_task(pod: Pod, manifest: Pod) -> bool:
    """Return whether a pod belongs to this task instance of this installation."""
    return is_same_task_instance(pod, manifest) and annotation(pod, "installation") == annotation(manifest, "installation")


def marked(pod: Pod, name: str, text: str) -> dict[str, Any]:
    """Return the pod with one of our annotations added or replaced."""
    metadata = pod["metadata"]
    return {**pod, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), f"{PREFIX}/{name}": text}}}


def adopted(pod: Pod, manifest: Pod) -> dict[str, Any]:
    """Return the pod with the annotations and labels of this try, its run and its installation in place of the earlier ones."""
    pod_of_this_try = dict(pod)
    for name in ("try-number", "installation", "max-tries", "run-start", "run-clears"):
        if (text := annotation(manifest, name)) is not None:
            pod_of_this_try = marked(pod_of_this_try, name, text)
    installation = annotation(manifest, "installation")
    if installation is None:
        return pod_of_this_try
    labels = {**pod_of_this_try["metadata"].get("labels", {}), "installation": installation}
    return {**pod_of_this_try, "metadata": {**pod_of_this_try["metadata"], "labels": labels}}


@dataclass(frozen=True)
class NotYet:
    """The attempt has to be repeated. ``waits_for`` says why, as a clause."""

    waits_for: str


class Step(Enum):
    """A step that a claim takes or has taken."""

    CREATING = "creating"
    CREATED = "created"
    ADOPTED = "adopted"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Permit:
    """
    Whether a try may create a pod, and the callbacks that record each step.

    :param refusal: why the try may not create a pod, as a sentence; None if it may. An existing pod is adopted in either case.
    :param on_step: receives each step: before a pod is created (several times if that takes several requests), and after a pod was
        created, adopted, or deleted to be replaced. Its second argument is the manifest, the new pod, or the existing pod as it
        was found.
    :param before_replacing: called with an earlier try's pod before that is deleted. Returns another manifest for its replacement,
        or None.
    """

    refusal: str | None = None
    on_step: Callable[[Step, Pod], None] = lambda _step, _pod: None
    before_replacing: Callable[[Pod], Pod | None] = lambda _pod: None


class Claim:
    """
    The pod of one try.

    :param kubectl: makes the requests about the pod.
    :param manifest: the pod to create; its annotations identify the owner.
    :param note: receives messages for the log.
    :param may_retry: returns whether to retry a request after its error.
    :param former: where to look for a pod whose name is from before installations had ids; None if this try may not adopt one.
    :param permit: whether the pod may be created.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        manifest: Pod,
        note: Callable[[str], None],
        may_retry: Callable[[KubectlError], bool],
        former: FormerName | None = None,
        permit: Permit | None = None,
    ) -> None:
        self.kubectl = kubectl
        """Makes the requests about the pod, under its present name."""
        self.may_exist = False
        """Whether a pod of this task may exist: True from the first attempt on, until it is known that none exists."""
        self._own_kubectl, self._manifest, self._note, self._may_retry = kubectl, manifest, note, may_retry
        self._former = former  # None once it is known whether a pod has that name
        self._permit = permit or Permit()
        self._answer_was_lost = False

    def attempt(self) -> Pod | NotYet:
        """
        Try once to create or adopt the pod.

        :return: the pod, which this try now owns.
        :raises PodTakenOver: a later try owns the pod.
        :raises PodNotAllowed: no pod exists to adopt, and none may be created.
        :raises KubectlError: a request was refused and a retry would not help, or another task uses the name.
        """
        try:
            self.may_exist = self.may_exist or self._former is not None
            if (former_pod := self._find_former()) is not None:
                # A pod without an installation id was judged by former_name alone.
                is_ours = annotation(former_pod, "installation") is not None
                replace = is_ours and judge_existing(former_pod, self._manifest) is Existing.REPLACE
                return self._replace(former_pod) if replace else self._adopt(former_pod)
            self.kubectl, self._former = self._own_kubectl, None
            if self._permit.refusal is None:  # the callback may raise; then no request is made
                self._permit.on_step(Step.CREATING, self._manifest)
            self.may_exist = True
            if self._permit.refusal is not None:
                return self._take_existing()
            pod = self.kubectl.create(self._manifest)
            self._permit.on_step(Step.CREATED, pod)
            return pod
        except KubectlError as error:
            if error.fault is Fault.ALREADY_EXISTS:
                return self._take_existing()
            # CONFLICT: another pod changed the namespace's quota at the same time. Or the pod changed, or vanished, during its
            # adoption.
            if error.fault is Fault.CONFLICT or (error.fault is Fault.NOT_FOUND and self._former is not None):
                return NotYet(error.message)
            if not self._may_retry(error):
                if error.verb == "create" and self._has_pod():
                    return self._take_existing()
                self.may_exist = self._answer_was_lost
                raise
            if self._former is None and error.fault in (Fault.UNREACHABLE, Fault.SERVER_ERROR):
                self._answer_was_lost = True
            return NotYet(error.trouble)

    def find(self, seconds: int) -> Pod | None:
        """
        Return this task's pod, or None if the name is another task's. Change nothing.

        :param seconds: timeout of each of the two requests.
        :raises KubectlError: there is no pod (NOT_FOUND), or no answer.
        """
        if (former := self._find_former(seconds)) is not None:
            return former
        pod = self.kubectl.get(seconds)
        return pod if is_same_task(pod, self._manifest) else None

    def _has_pod(self) -> bool:
        """
        After a refusal, check whether a pod exists: one of an earlier try, or one whose create request lost its answer.

        The API server checks quotas, policies and webhooks before it checks the name, and the pod itself may use up the quota.
        """
        if not self._answer_was_lost and (try_number(self._manifest) or 1) == 1:
            return False
        try:
            return is_same_task(self.kubectl.get(), self._manifest)
        except KubectlError:
            return False

    def _take_existing(self) -> Pod | NotYet:
        """Adopt the pod that has the name; or delete it, or wait for its deletion, and return what the next attempt waits for."""
        name, namespace = self.kubectl.pod, self.kubectl.namespace
        try:
            pod = self.kubectl.get()
            verdict = judge_existing(pod, self._manifest)
            if verdict is Existing.ANOTHERS:
                self.may_exist = False
                raise KubectlError(
                    Fault.ALREADY_EXISTS,
                    f"pod {name} in namespace {namespace} exists and is not this task's: its annotations name another task or "
                    "installation, or none. Delete or rename it",
                )
            return self._replace(pod) if verdict is Existing.REPLACE else self._adopt(pod)
        except KubectlError as error:
            if error.fault is Fault.NOT_FOUND and self._permit.refusal is not None:
                self.may_exist = False
                raise PodNotAllowed(self._permit.refusal) from None
            if error.fault in (Fault.CONFLICT, Fault.NOT_FOUND):  # the pod has changed, or is gone
                return NotYet(error.message)
            if self._may_retry(error):
                return NotYet(error.trouble if error.fault in TRANSIENT else error.message)
            raise

    def _adopt(self, pod: Pod) -> Pod | NotYet:
        """Continue with a pod of this task. A pod of an earlier try becomes this try's."""
        name = self.kubectl.pod
        if pod["metadata"].get("deletionTimestamp"):
            return self._still_being_deleted()
        if is_owned_by_later_try(pod, self._manifest):
            by_try = try_number(pod)
            raise PodTakenOver(
                f"pod {name} in namespace {self.kubectl.namespace} is a later try's, try {by_try}'s. If there is no such try (its "
                "run was deleted and made anew), delete the pod",
                by_try,
            )
        if try_number(pod) != try_number(self._manifest):
            self._note(
                f"Adopting pod {name}, made by try {try_number(pod)}: it keeps the configuration it was made with "
                f"({annotation(pod, 'origin')})"
            )
            # The worker of the earlier try may still run and be told to stop. It then leaves this pod alone.
            found, pod = pod, self.kubectl.replace(adopted(pod, self._manifest))
            self._permit.on_step(Step.ADOPTED, found)
        else:  # this try created it, and the answer was lost
            self._permit.on_step(Step.CREATED, pod)
        self._former = None
        return pod

    def _replace(self, pod: Pod) -> Pod | NotYet:
        if self._permit.refusal is not None:
            if pod.get("status", {}).get("phase") == "Failed":
                return self._adopt(pod)  # no other pod will be created: this pod's failure is the task's
            self.may_exist = False
            raise PodNotAllowed(self._permit.refusal)
        self._note(f"Replacing pod {self.kubectl.pod} of an earlier try: {why_replaced(pod, self._manifest)}")
        self._manifest = self._permit.before_replacing(pod) or self._manifest
        self.kubectl.delete(pod)
        self._permit.on_step(Step.REPLACED, pod)
        return self._still_being_deleted()

    def _still_being_deleted(self) -> NotYet:
        return NotYet(f"pod {self.kubectl.pod} of an earlier try is still being deleted")

    def _find_former(self, seconds: int = 10) -> Pod | None:
        """Look once for a pod under the task's former name. If the try can continue with it, use that name from then on."""
        if self._former is None:
            return None
        pod = self._former.find(self._manifest, self._note, seconds)
        if pod is not None:
            self.kubectl = self._former.kubectl
        return pod
