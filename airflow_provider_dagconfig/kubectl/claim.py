"""
One pod for one task instance: it is created, or the one that is there already is adopted or replaced.

The pod's name is a function of the task instance, so the API server refuses a second one. What is to be done about the one that is
there is :func:`judge_existing`, which is pure; :class:`Claim` makes the requests for it. It waits for nothing and knows no clock:
who drives it makes another attempt later.
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
from airflow_provider_dagconfig.kubectl.errors import PASSING, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.pod_life import is_later_trys

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
    Decide about a pod that is there.

    :param pod: as the API server gave it.
    :param manifest: the pod that this try would create; its annotations say whose it is.
    """
    if not is_same_task(pod, manifest):
        return Existing.ANOTHERS
    if pod["metadata"].get("deletionTimestamp"):
        return Existing.WAIT
    # A pod that was kept, and does not say which run it is of, may be of one that was deleted.
    is_left_over = annotation(pod, "collected") is not None and run_of(pod) is None
    if is_later_trys(pod, manifest) and not is_left_over:
        return Existing.LEAVE_TO_LATER_TRY
    if why_replaced(pod, manifest) is not None:
        return Existing.REPLACE
    return Existing.KEEP if try_number(pod) == try_number(manifest) else Existing.ADOPT


def why_replaced(pod: Pod, manifest: Pod) -> str | None:
    """
    Say why a pod of this task, and of no later try, is of no use to this try; None where it is.

    A clear starts the work anew, and is known by Airflow's counting to another number of tries. A pod that has succeeded is
    collected all the same: had Airflow heard of its success, it would be gone or marked.
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
    Whether the run of a pod was deleted before this try's, with the same id, began.

    A finished run begins anew too when its tasks are cleared. Then it was cleared more often, and its tries are counted further.
    """
    run, before = run_of(manifest), run_of(pod)
    if run is None or before is None or run[0] <= before[0]:
        return False
    return run[1] <= before[1] or (try_number(manifest) or 0) <= (try_number(pod) or 0)


def is_same_task(pod: Pod, manifest: Pod) -> bool:
    """Whether a pod is this task instance's, of this installation."""
    return is_same_task_instance(pod, manifest) and annotation(pod, "installation") == annotation(manifest, "installation")


def marked(pod: Pod, name: str, text: str) -> dict[str, Any]:
    """Give the pod with one more of our annotations, or with another text in it."""
    metadata = pod["metadata"]
    return {**pod, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), f"{PREFIX}/{name}": text}}}


def adopted(pod: Pod, manifest: Pod) -> dict[str, Any]:
    """Give the pod with what tells this try, its run and its installation in place of what it has."""
    taken = dict(pod)
    for name in ("try-number", "installation", "max-tries", "run-start", "run-clears"):
        if (text := annotation(manifest, name)) is not None:
            taken = marked(taken, name, text)
    installation = annotation(manifest, "installation")
    if installation is None:
        return taken
    labels = {**taken["metadata"].get("labels", {}), "installation": installation}
    return {**taken, "metadata": {**taken["metadata"], "labels": labels}}


@dataclass(frozen=True)
class NotYet:
    """An attempt that has to be made again. ``waits_for`` says why, as a clause."""

    waits_for: str


class Step(Enum):
    """What a claim does, or has done."""

    CREATING = "creating"
    CREATED = "created"
    ADOPTED = "adopted"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Permit:
    """
    Whether a try may make a pod, and who takes note of what becomes of that.

    :param refusal: why it may not, as a sentence; None where it may. One that is there is gone on with all the same.
    :param told: takes each step, before a pod is created (more than once where it takes several requests), and after it was
        created, adopted or deleted to be replaced; with the pod as it is, or was found.
    :param replacing: called with an earlier try's pod before it is deleted; gives another manifest for what takes its place, or
        None.
    """

    refusal: str | None = None
    told: Callable[[Step, Pod], None] = lambda _step, _pod: None
    replacing: Callable[[Pod], Pod | None] = lambda _pod: None


class Claim:
    """
    The pod of one try.

    :param kubectl: the requests about the pod.
    :param manifest: the pod to create; its annotations say whose it is.
    :param note: takes what is worth a line in the log.
    :param may_pass: whether to ask again after an error.
    :param former: the task's name from before installations had ids, for a try that is to go on with a pod that has it.
    :param permit: whether it may be created.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        manifest: Pod,
        note: Callable[[str], None],
        may_pass: Callable[[KubectlError], bool],
        former: FormerName | None = None,
        permit: Permit | None = None,
    ) -> None:
        self.kubectl = kubectl
        """The requests about the pod under the name that it has."""
        self.may_exist = False
        """Whether there may be a pod of this task: from the first attempt on, until it is known that there is none."""
        self._own, self._manifest, self._note, self._may_pass = kubectl, manifest, note, may_pass
        self._former = former  # None once it is known whether a pod has that name
        self._permit = permit or Permit()
        self._answer_was_lost = False

    def attempt(self) -> Pod | NotYet:
        """
        Try to create or adopt the pod, once.

        :return: the pod, which is this try's.
        :raises PodTakenOver: a later try has it.
        :raises PodNotAllowed: there is none to go on with, and none may be made.
        :raises KubectlError: something is refused that no waiting mends, or the name is another task's.
        """
        try:
            self.may_exist = self.may_exist or self._former is not None
            if (left := self._find_former()) is not None:
                # One without an id is looked at by former_name alone.
                is_ours = annotation(left, "installation") is not None
                replace = is_ours and judge_existing(left, self._manifest) is Existing.REPLACE
                return self._replace(left) if replace else self._adopt(left)
            self.kubectl, self._former = self._own, None
            if self._permit.refusal is None:  # who takes note may fail, and then nothing is asked for
                self._permit.told(Step.CREATING, self._manifest)
            self.may_exist = True
            if self._permit.refusal is not None:
                return self._take_existing()
            pod = self.kubectl.create(self._manifest)
            self._permit.told(Step.CREATED, pod)
            return pod
        except KubectlError as error:
            if error.fault is Fault.ALREADY_EXISTS:
                return self._take_existing()
            # In conflict with another pod about the namespace's quota; or a pod has changed, or gone, while it was adopted.
            if error.fault is Fault.CONFLICT or (error.fault is Fault.NOT_FOUND and self._former is not None):
                return NotYet(error.message)
            if not self._may_pass(error):
                if error.verb == "create" and self._is_there():
                    return self._take_existing()
                self.may_exist = self._answer_was_lost
                raise
            if self._former is None and error.fault in (Fault.UNREACHABLE, Fault.SERVER_ERROR):
                self._answer_was_lost = True
            return NotYet(error.trouble)

    def find(self, seconds: int) -> Pod | None:
        """
        Look whether there is a pod of this task, and change nothing.

        :param seconds: how long each of the two requests takes at most.
        :raises KubectlError: there is none (NOT_FOUND), or no answer.
        """
        if (former := self._find_former(seconds)) is not None:
            return former
        pod = self.kubectl.get(seconds)
        return pod if is_same_task(pod, self._manifest) else None

    def _is_there(self) -> bool:
        """
        Look, after a refusal, for a pod that an earlier try left, or a create whose answer was lost.

        The API server asks quotas, policies and webhooks before it sees that a name is taken; the pod may itself use up the quota.
        """
        if not self._answer_was_lost and (try_number(self._manifest) or 1) == 1:
            return False
        try:
            return is_same_task(self.kubectl.get(), self._manifest)
        except KubectlError:
            return False

    def _take_existing(self) -> Pod | NotYet:
        """Look at the pod that has the name: go on with it, or see it off and say what is to be waited for."""
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
            if error.fault in (Fault.CONFLICT, Fault.NOT_FOUND):  # it has changed since, or is gone
                return NotYet(error.message)
            if self._may_pass(error):
                return NotYet(error.trouble if error.fault in PASSING else error.message)
            raise

    def _adopt(self, pod: Pod) -> Pod | NotYet:
        """Go on with a pod of this task; an earlier try's becomes this one's."""
        name = self.kubectl.pod
        if pod["metadata"].get("deletionTimestamp"):
            return self._still_being_deleted()
        if is_later_trys(pod, self._manifest):
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
            # The worker of the earlier try may still live, and be told to stop: then it leaves this pod alone.
            found, pod = pod, self.kubectl.replace(adopted(pod, self._manifest))
            self._permit.told(Step.ADOPTED, found)
        else:  # the answer to its creation was lost
            self._permit.told(Step.CREATED, pod)
        self._former = None
        return pod

    def _replace(self, pod: Pod) -> Pod | NotYet:
        if self._permit.refusal is not None:
            if pod.get("status", {}).get("phase") == "Failed":
                return self._adopt(pod)  # there will be no other: how it failed is this task's end
            self.may_exist = False
            raise PodNotAllowed(self._permit.refusal)
        self._note(f"Replacing pod {self.kubectl.pod} of an earlier try: {why_replaced(pod, self._manifest)}")
        self._manifest = self._permit.replacing(pod) or self._manifest
        self.kubectl.delete(pod)
        self._permit.told(Step.REPLACED, pod)
        return self._still_being_deleted()

    def _still_being_deleted(self) -> NotYet:
        return NotYet(f"pod {self.kubectl.pod} of an earlier try is still being deleted")

    def _find_former(self, seconds: int = 10) -> Pod | None:
        """Look for a pod under the task's former name, unless that was done, and turn to the name if there is one to go on with."""
        if self._former is None:
            return None
        pod = self._former.find(self._manifest, self._note, seconds)
        if pod is not None:
            self.kubectl = self._former.kubectl
        return pod
