"""
The life of one pod for one try of a task: create or adopt it, follow it to its end, see that its log is whole, clean up.

One thread waits on kubectl's output with ``selectors``; nothing here knows Airflow or the database. What a status means is said in
``outcome``; how a log is followed in ``container_log``; which request is made how in ``client`` and ``kubectl.sh``.

A pod is worth more than the process that watches it. It is deleted where somebody decided that its work is not wanted: the API
server refused something, a deadline is over, or a kill whose reason was asked for. Any other exception leaves it to the next try,
which adopts it, and to its own ``activeDeadlineSeconds``.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_dagconfig.kubectl import outcome as outcomes
from airflow_provider_dagconfig.kubectl.client import PASSING, Fault, Kubectl, KubectlError, Stream, read_event
from airflow_provider_dagconfig.kubectl.container_log import ContainerLog
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.manifest import PREFIX, annotation, is_same_task_instance, try_number
from airflow_provider_dagconfig.kubectl.outcome import End, Existing, Outcome, Running, Waiting, read_status
from airflow_provider_dagconfig.kubectl.pauses import Pauses

Pod = Mapping[str, Any]

# The base container has ended and the pod's phase does not follow: another container goes on.
_PHASE_FOLLOWS = 5.0
# Seconds. A watch begins with the pod as it is; one that has not after this long may have been opened after the pod's deletion.
_WATCH_BEGINS = 10.0
# The API server ends a watch after 300 s (as kubectl.sh asks it to); one that goes on after that hears nothing any more.
_WATCH_ENDS = 330.0
# Seconds between two attempts to reach an API server that is away: the end of a pod is seen so soon after it is back.
_AWAY = 1.25
# How long after the time a node had for a deletion or a deadline it is taken for lost.
_NODE_ANSWERS = 30.0
# Silence after which the rest of a log is fetched in a request of its own.
_LOG_ENDS = 10.0
_KILL_SECONDS = 4
# An API server that starts has not read all roles yet.
_SERVER_SETTLES = 15.0


class PodKilled(Exception):
    """The run was told to stop. What became of the pod was said by ``note``."""


class PodTakenOver(Exception):
    """The pod is a later try's, which goes on with it."""


@dataclass(frozen=True)
class Verdict:
    """
    What a kill means for the pod.

    :param unwanted: somebody decided that the pod's work is not wanted.
    :param reason: who decided it, or why nobody did; a clause.
    """

    unwanted: bool
    reason: str


_NOBODY_TO_ASK = Verdict(True, "the task was told to stop")


@dataclass(frozen=True)
class Ended:
    """How it ended, the pod as it was last seen, and the last lines of its log."""

    outcome: Outcome
    pod: Pod
    last_lines: list[str]


def _same_task(pod: Pod, manifest: Pod) -> bool:
    """Whether a pod is this task instance's, of this installation."""
    return is_same_task_instance(pod, manifest) and annotation(pod, "installation") == annotation(manifest, "installation")


def _has_succeeded(view: Waiting | Running | Outcome) -> bool:
    outcome = view.ended if isinstance(view, Running) else view
    return isinstance(outcome, Outcome) and outcome.end is End.SUCCEEDED


def _marked(pod: Pod, name: str, text: str) -> dict[str, Any]:
    """The pod with one more of our annotations, or with another text in it."""
    metadata = pod["metadata"]
    return {**pod, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), f"{PREFIX}/{name}": text}}}


def _taken_over(pod: Pod, manifest: Pod) -> dict[str, Any]:
    """The pod with this try's number and installation in place of those that it has."""
    taken = _marked(pod, "try-number", str(try_number(manifest)))
    installation = annotation(manifest, "installation")
    if installation is None:
        return taken
    taken = _marked(taken, "installation", installation)
    labels = {**taken["metadata"].get("labels", {}), "installation": installation}
    return {**taken, "metadata": {**taken["metadata"], "labels": labels}}


class PodRun:
    """
    One pod, from its manifest to its end.

    :param kubectl: the requests about the pod.
    :param manifest: the pod to create; its annotations say whose it is.
    :param startup_timeout: seconds until the base container has to have started, and until the API server has to have taken
        the pod.
    :param timeout: seconds the pod may run; the kubelet holds it to that (activeDeadlineSeconds), the run only waits.
    :param grace_period: seconds between a deletion and the container's end at most.
    :param on_finish_action: ``delete_pod``, ``delete_succeeded_pod``, ``delete_active_pod`` or ``keep_pod``, for a pod that has
        ended. One that has not is always deleted.
    :param on_line: takes each line of the container's log; None reads no log.
    :param note: takes what the run has to say.
    :param former: the task's name from before installations had ids, for a try that is to go on with a pod that has it.
    :param judge_kill: asked once after :meth:`kill`, from :meth:`run` and never from a signal handler: is the pod unwanted, or was
        only this process told to stop? It has to answer within three seconds. Without it every kill means the pod.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        manifest: Mapping[str, Any],
        *,
        startup_timeout: float,
        timeout: float,
        grace_period: float = 30.0,
        on_finish_action: str = "delete_pod",
        on_line: Callable[[str], None] | None,
        note: Callable[[str], None],
        former: FormerName | None = None,
        judge_kill: Callable[[], Verdict] = lambda: _NOBODY_TO_ASK,
    ) -> None:
        self._kubectl = kubectl
        self._manifest = manifest
        self._container: str = manifest["spec"]["containers"][0]["name"]
        self._startup_timeout = startup_timeout
        self._timeout = timeout
        self._grace_period = grace_period
        self._on_finish_action = on_finish_action
        self._note = note
        self._former = former  # None once it is known whether a pod has that name
        self._judge_kill = judge_kill

        self._pod: Pod = manifest
        self._view: Waiting | Running | Outcome = Waiting("Pending")
        self._may_exist = False
        self._killed = False
        self._gone = self._replaced = False
        self._created_at = self._started_at = self._container_ended_at = self._deleting_at = 0.0
        self._unreachable: KubectlError | None = None
        self._troubled_at = float("-inf")
        self._unauthorized: set[str] = set()  # the requests whose credentials were not taken

        self._watch: Stream | None = None
        self._events_rest = b""
        self._watch_has_begun = False
        # A watch that begins tells the pod as it is, but nothing of one that is gone: after a watch that was lost it is looked for.
        self._is_to_be_looked_for = False
        self._watch_due = self._watch_since = 0.0
        self._watch_pauses, self._away_pauses = Pauses(), Pauses(_AWAY)

        self._on_line = on_line
        self._log: ContainerLog | None = None  # None until there is a pod, and where none is read

        # kill() runs in a signal handler; Python resumes an interrupted wait, so the wait is on a pipe too.
        self._wake_read: int
        self._wake_write: int | None
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> Ended:
        """
        Run the pod to its end.

        :raises KubectlError: the API server refused something, or was out of reach until the deadline. The pod's deletion was
            asked for.
        :raises PodKilled: after :meth:`kill`.
        :raises PodTakenOver: a later try has the pod.
        """
        try:
            pod = self._start()
            self._log = None if self._on_line is None else ContainerLog(self._kubectl, self._on_line)
            self._see(pod)
            outcome = self._follow()
            self._collect_log()
            # Before the deletion: where a line can't be written any more, the task's report would be lost too, and the next try
            # has to find the pod.
            self._note(f"Pod {self._kubectl.pod} has ended: {outcome.end.value} ({outcome.reason})")
            self._finish(outcome)
            self._may_exist = False  # what is left of it is to stay
        except KubectlError:
            self.abandon()
            raise
        except PodKilled:
            self._obey()
            raise
        finally:
            self._close()
        return Ended(outcome, self._pod, [] if self._log is None else list(self._log.last_lines))

    def kill(self) -> None:
        """
        End it from outside, fit for a signal handler: it only wakes :meth:`run`, which raises :class:`PodKilled`.

        What becomes of the pod is ``judge_kill``'s to say. After the end of :meth:`run` nothing happens.
        """
        self._killed = True
        if self._wake_write is not None:
            os.write(self._wake_write, b"k")

    def abandon(self, *, even_succeeded: bool = False) -> None:
        """
        Ask for the deletion of a pod whose work is not wanted, its grace period respected; say what came of it.

        :param even_succeeded: delete it too where it has succeeded. Else that is left to the next try, which collects it.
        """
        if not self._may_exist or self._gone:
            return
        try:
            told = self._delete_what_is_ours(even_succeeded=even_succeeded)
        except KubectlError as error:
            self._note(
                f"Pod {self._kubectl.pod} in namespace {self._kubectl.namespace} could not be deleted: {error.message}. "
                f"It ends by itself after {self._timeout:g} s (activeDeadlineSeconds)"
            )
        else:
            if told:
                self._note(told)

    def _obey(self) -> None:
        """Find out what a kill means, and do that."""
        verdict = self._judge_kill()
        if verdict.unwanted:
            # This try may not have looked at the pod of an earlier one yet.
            self._may_exist = True
            self.abandon(even_succeeded=True)
        elif self._may_exist and not self._gone:
            self._note(
                f"Pod {self._kubectl.pod} in namespace {self._kubectl.namespace} is left as it is: {verdict.reason}. The next try "
                f"adopts it; without one it ends after {self._timeout:g} s (activeDeadlineSeconds). To end it now: "
                f"kubectl delete pod -n {self._kubectl.namespace} {self._kubectl.pod}"
            )

    # --- starting ---

    def _start(self) -> Pod:
        """Create the pod, or adopt the one that an earlier create made; never two."""
        self._created_at = time.monotonic()
        pauses, answer_was_lost = Pauses(5.0), False
        own = self._kubectl
        while True:
            self._stop_if_killed()
            try:
                self._may_exist = True
                if (left := self._find_former()) is not None:
                    return self._adopt(left)
                self._kubectl, self._former = own, None
                return self._kubectl.create(self._manifest)
            except KubectlError as error:
                if error.fault is Fault.ALREADY_EXISTS:
                    existing, waits_for = self._existing()
                    if existing is not None:
                        return existing
                # In conflict with another pod about the namespace's quota; or a pod has changed, or gone, while it was adopted.
                elif error.fault is Fault.CONFLICT or (error.fault is Fault.NOT_FOUND and self._former is not None):
                    waits_for = error.message
                elif self._may_pass(error):
                    waits_for = error.trouble
                    if self._former is None and error.fault in (Fault.UNREACHABLE, Fault.SERVER_ERROR):
                        answer_was_lost = True
                else:
                    self._may_exist = answer_was_lost
                    raise
            if time.monotonic() - self._created_at > self._startup_timeout:
                raise KubectlError(
                    Fault.UNREACHABLE, f"not created in startup_timeout_seconds = {self._startup_timeout:g}: {waits_for}"
                )
            pause = pauses.next()
            self._note(f"Not created yet, next attempt in {pause:.0f} s: {waits_for}")
            self._pause(pause)

    def _existing(self) -> tuple[Pod | None, str]:
        """Look at the pod that has the name: adopt it, or see it off and give what is to be waited for."""
        try:
            pod: Pod = self._kubectl.get()
            if not _same_task(pod, self._manifest):
                self._may_exist = False
                raise KubectlError(
                    Fault.ALREADY_EXISTS,
                    f"pod {self._kubectl.pod} in namespace {self._kubectl.namespace} exists and is not this task's: "
                    "its annotations name another task or installation, or none. Delete or rename it",
                )
            same_try = try_number(pod) == try_number(self._manifest)
            verdict = outcomes.judge_existing(pod, same_try=same_try, collected=annotation(pod, "collected") is not None)
            if verdict is Existing.REPLACE:
                self._note(f"Replacing pod {self._kubectl.pod}, left from an earlier try")
                self._kubectl.delete(pod)
            elif verdict is Existing.ADOPT:
                pod = self._adopt(pod)
        except KubectlError as error:
            if error.fault in (Fault.CONFLICT, Fault.NOT_FOUND) or self._may_pass(error):  # it has changed since, or is gone
                return None, error.trouble if error.fault in PASSING else error.message
            raise
        return pod if verdict is Existing.ADOPT else None, f"pod {self._kubectl.pod} of an earlier try is still being deleted"

    def _find_former(self, seconds: int = 10) -> Pod | None:
        """Look for a pod under the task's former name, unless that was done, and turn to the name if there is one to go on with."""
        if self._former is None:
            return None
        pod = self._former.find(self._manifest, self._note, seconds)
        if pod is not None:
            self._kubectl = self._former.kubectl
        return pod

    def _adopt(self, pod: Pod) -> Pod:
        """Make an earlier try's pod this one's."""
        if pod["metadata"].get("deletionTimestamp"):
            raise KubectlError(Fault.CONFLICT, f"pod {self._kubectl.pod} of an earlier try is still being deleted")
        if self._is_later_trys(pod):
            raise PodTakenOver(
                f"pod {self._kubectl.pod} in namespace {self._kubectl.namespace} is a later try's, try {try_number(pod)}'s. "
                "If there is no such try (its run was deleted and made anew), delete the pod"
            )
        if try_number(pod) != try_number(self._manifest):
            self._note(
                f"Adopting pod {self._kubectl.pod}, made by try {try_number(pod)}: it keeps the configuration "
                f"it was made with ({annotation(pod, 'origin')})"
            )
            # The worker of the earlier try may still live, and be told to stop: then it leaves this pod alone.
            pod = self._kubectl.replace(_taken_over(pod, self._manifest))
        self._former = None
        return pod

    # --- following ---

    def _follow(self) -> Outcome:
        while True:
            self._stop_if_killed()
            outcome = self._decide()
            if outcome is not None:
                return outcome
            self._connect()
            ready = self._wait(self._seconds_to_next_step())
            if self._watch is not None and self._watch in ready:
                self._take_events(self._watch)
            if self._log is not None and self._log.stream in ready:
                self._take_log(self._log)
            elif self._log is not None:
                self._log.close_if_stalled()

    def _decide(self) -> Outcome | None:
        """The end, where it is known; waits that have become too long are ends too."""
        now = time.monotonic()
        if isinstance(self._view, Outcome):
            return self._view
        if self._gone:
            ended = self._view.ended if isinstance(self._view, Running) else None
            return ended or outcomes.deleted_by_others(self._pod)
        if self._deleting_at and (late := now - self._deleting_at - self._grace_period) > _NODE_ANSWERS:
            return outcomes.node_lost(self._pod, "the end of the pod, which is being deleted", late)
        if isinstance(self._view, Waiting):
            if self._view.hopeless:
                return outcomes.not_started(self._view)
            if now - self._created_at > self._startup_timeout:
                self._raise_if_unreachable("startup_timeout_seconds", self._startup_timeout)
                return outcomes.not_started(self._with_event(self._view), self._startup_timeout)
            return None
        if self._view.ended and now - self._container_ended_at > _PHASE_FOLLOWS:
            return self._view.ended
        if (late := now - self._started_at - self._timeout) > self._grace_period + _NODE_ANSWERS:
            self._raise_if_unreachable("timeout_seconds", self._timeout)
            return outcomes.node_lost(self._pod, f"the end of the pod at timeout_seconds = {self._timeout:g}", late)
        return None

    def _raise_if_unreachable(self, what: str, seconds: float) -> None:
        if self._unreachable:
            could_not = self._unreachable.words.replace("can't", "could not")
            raise KubectlError(
                self._unreachable.fault,
                f"{could_not} until the deadline ({what} = {seconds:g}): {self._unreachable.message}",
            )

    def _seconds_to_next_step(self) -> float:
        now = time.monotonic()
        steps = [now + 30.0]
        if self._watch is None:
            steps.append(self._watch_due)
        else:
            steps.append(self._watch_since + (_WATCH_ENDS if self._watch_has_begun else _WATCH_BEGINS))
        if self._log is not None and isinstance(self._view, Running):
            steps.append(self._log.next_step)
        if isinstance(self._view, Waiting):
            steps.append(self._created_at + self._startup_timeout)
        if self._container_ended_at:
            steps.append(self._container_ended_at + _PHASE_FOLLOWS)
        if self._deleting_at:
            steps.append(self._deleting_at + self._grace_period + _NODE_ANSWERS)
        if self._started_at:
            steps.append(self._started_at + self._timeout + self._grace_period + _NODE_ANSWERS)
        return max(0.0, min(steps) - now) + 0.01

    def _see(self, pod: Pod) -> None:
        """Take a newer state of the pod."""
        uid = self._pod["metadata"].get("uid")
        if uid is not None and pod["metadata"].get("uid") != uid:
            self._gone = self._replaced = True  # what has its name now, and is found in its place, is another try's
            return
        if self._is_later_trys(pod):
            self._pod = pod
            raise PodTakenOver(f"pod {self._kubectl.pod}: try {try_number(pod)} has adopted it, and goes on with it")
        self._pod = pod
        now = time.monotonic()
        before, self._view = self._view, read_status(pod, self._container)
        if self._started_at and isinstance(self._view, Waiting):
            self._view = before  # an older state, from the cache of another API server
        if isinstance(self._view, Waiting):
            if isinstance(before, Waiting):
                self._view = outcomes.more_telling(before, self._view)
            if self._view != before:
                self._note(f"Pod {self._kubectl.pod} waits: {self._view.reason} {self._view.message}".rstrip())
        elif not self._started_at and isinstance(self._view, Running):
            self._started_at = now
            self._note(f"Pod {self._kubectl.pod} runs on {pod.get('spec', {}).get('nodeName', 'its node')}")
        if isinstance(self._view, Running) and self._view.ended:
            self._container_ended_at = self._container_ended_at or now
        # One that was adopted keeps the times it was made with, and who deletes it may give it more grace.
        spec = pod.get("spec", {})
        self._timeout = spec.get("activeDeadlineSeconds", self._timeout)
        self._grace_period = spec.get("terminationGracePeriodSeconds", self._grace_period)
        if pod["metadata"].get("deletionTimestamp"):
            self._deleting_at = self._deleting_at or now
            self._grace_period = pod["metadata"].get("deletionGracePeriodSeconds", self._grace_period)

    def _connect(self) -> None:
        """Open what is closed and due: the watch, and the log once there is one."""
        now = time.monotonic()
        if self._watch is not None and now - self._watch_since > (_WATCH_ENDS if self._watch_has_begun else _WATCH_BEGINS):
            self._end_watch(None)
        if self._watch is None and now >= self._watch_due:
            try:
                if self._is_to_be_looked_for:
                    self._see(self._kubectl.get())
                    self._unauthorized.discard("get")
                    self._heard()
                    if self._gone or isinstance(self._view, Outcome):
                        return
                    self._is_to_be_looked_for = False
                self._watch, self._watch_since, self._watch_has_begun = self._kubectl.watch(), now, False
            except KubectlError as error:
                self._lost_watch(error, self._away_pauses)
        if self._log is not None and isinstance(self._view, Running):
            self._log.follow()

    def _take_events(self, watch: Stream) -> None:
        """Read whole lines of the watch; half of one waits for the rest in the pipe's next piece."""
        chunk = watch.read()
        *lines, self._events_rest = (self._events_rest + chunk).split(b"\n")
        if not chunk and self._events_rest:  # a line that was cut, or a page without line end
            lines.append(self._events_rest)
        error = None
        try:
            for line in lines:
                if isinstance(self._view, Outcome):
                    return  # the first end stands
                self._take_event(*read_event(line))
        except KubectlError as no_event:
            error = no_event
        if not chunk:
            self._end_watch(watch.error() or error)
        elif error is not None:
            self._end_watch(error)

    def _take_event(self, kind: str, pod: Pod) -> None:
        self._watch_has_begun = True
        self._watch_pauses.reset()
        self._unauthorized.discard("watch")
        self._heard()
        self._see(pod)
        self._gone = self._gone or kind == "DELETED"

    def _end_watch(self, error: KubectlError | None) -> None:
        """Look at the pod and watch it again after a pause, which grows from watch to watch unless one was good."""
        if self._watch is not None:
            self._watch.close()
        self._watch, self._events_rest, self._is_to_be_looked_for = None, b"", True
        if error is not None:
            self._lost_watch(error, self._watch_pauses)
        else:
            self._watch_due = time.monotonic() + self._watch_pauses.next()

    def _heard(self) -> None:
        """Take note of a good answer: what is lost next is looked for soon again."""
        self._away_pauses.reset()
        if self._unreachable:
            self._unreachable = None
            self._note("The API server answers again")
            if self._log is not None:
                self._log.retry_now()

    def _lost_watch(self, error: KubectlError, pauses: Pauses) -> None:
        if error.fault is Fault.NOT_FOUND:
            self._gone = True
            return
        if error.fault is not Fault.EXPIRED and not self._may_pass(error):
            raise error
        self._is_to_be_looked_for = True
        pause = pauses.next()
        self._watch_due = time.monotonic() + pause
        if error.fault in PASSING:
            self._unreachable = error
            self._note(f"{error.words[0].upper()}{error.words[1:]}, next attempt in {pause:.0f} s: {error.message}")

    def _may_pass(self, error: KubectlError) -> bool:
        """
        Tell whether to ask again.

        A server out of reach comes back; one that has just come back may forbid what it allows a moment later; a token may have
        been renewed since kubectl read it.
        """
        now = time.monotonic()
        if error.fault in PASSING:
            self._troubled_at = now
            return True
        if error.fault is Fault.UNAUTHORIZED and error.verb not in self._unauthorized:
            self._unauthorized.add(error.verb)
            return True
        return error.fault is Fault.FORBIDDEN and now - self._troubled_at < _SERVER_SETTLES

    def _with_event(self, waiting: Waiting) -> Waiting:
        """Add the last warning about the pod where its status has no sentence (a volume that can't be mounted)."""
        if waiting.message:
            return waiting
        try:
            warnings = [event for event in self._kubectl.events() if event.get("type") == "Warning"]
        except KubectlError:
            return waiting
        if not warnings:
            return waiting
        last = max(warnings, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        return Waiting(waiting.reason, f"{last.get('reason')}: {last.get('message')}")

    # --- the log ---

    def _take_log(self, log: ContainerLog) -> None:
        try:
            log.take(has_ended=isinstance(self._view, Outcome) or bool(self._container_ended_at))
            self._unauthorized.discard("log")
        except KubectlError as error:
            if error.fault not in (Fault.NOT_READY, Fault.NOT_FOUND, Fault.INVALID) and not self._may_pass(error):
                raise

    def _collect_log(self) -> None:
        """Read the log to its end, now that nothing more is written to it."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        log = self._log
        if log is None or self._replaced or not self._has_run():
            return
        attempts = Pauses()
        log.begin_rest(outcomes.finished_at(self._pod, self._container))
        while not log.is_whole:
            self._stop_if_killed()
            if log.is_given_up:
                self._note("The end of the log can't be read: its node does not answer")
                break
            log.ask_for_rest()
            if not self._wait(_LOG_ENDS):
                log.close()
                continue
            try:
                log.take_rest()
            except KubectlError as error:
                if not self._may_pass(error):
                    self._note(f"The end of the log can't be read: {error.message}")
                    break
                self._pause(attempts.next())
        log.end()

    def _has_run(self) -> bool:
        statuses = self._pod.get("status", {}).get("containerStatuses", ())
        states = [status.get("state", {}) for status in statuses if status["name"] == self._container]
        return any("running" in state or "terminated" in state for state in states)

    # --- ending ---

    def _finish(self, outcome: Outcome) -> None:
        """Delete the pod, or mark it as collected where it is to be kept."""
        if self._gone:
            return
        terminal = self._pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        keep = terminal and (
            self._on_finish_action in ("keep_pod", "delete_active_pod")
            or (self._on_finish_action == "delete_succeeded_pod" and outcome.end is not End.SUCCEEDED)
        )
        pauses = Pauses(8.0)
        is_stale = False
        for attempts_left in (3, 2, 1, 0):
            try:
                if is_stale:
                    pod, is_stale = self._kubectl.get(), False
                    if pod["metadata"].get("uid") != self._pod["metadata"].get("uid") or self._is_later_trys(pod):
                        return
                    self._pod = pod
                if keep:
                    # Its end was reported, so a cleared task runs anew.
                    self._kubectl.replace(_marked(self._pod, "collected", "true"))
                else:
                    self._kubectl.delete(self._pod)
                return
            except KubectlError as error:
                if error.fault is Fault.NOT_FOUND:
                    return
                if error.fault is Fault.CONFLICT:
                    is_stale = True
                elif not self._may_pass(error) or not attempts_left:
                    verb = "marked as collected" if keep else "deleted"
                    self._note(
                        f"Pod {self._kubectl.pod} in namespace {self._kubectl.namespace} could not be {verb}: {error.message}"
                    )
                    return
            self._pause(pauses.next())

    def _delete_what_is_ours(self, *, even_succeeded: bool) -> str | None:
        """Ask for the deletion of the pod as it is known; where it has changed, look whose it is. Gives what is to be said."""
        until = time.monotonic() + _KILL_SECONDS
        pod = self._pod
        while True:
            left = max(1, round(until - time.monotonic()))
            try:
                if pod is self._manifest:  # whether it was taken was never answered
                    former = self._find_former(left)
                    left = max(1, round(until - time.monotonic()))
                    pod = former or self._kubectl.get(left)
                    if former is None and not _same_task(pod, self._manifest):
                        return None
                if self._is_later_trys(pod):
                    return f"Pod {self._kubectl.pod} is left to try {try_number(pod)}, which has adopted it"
                if _has_succeeded(read_status(pod, self._container)) and not even_succeeded:
                    return (
                        f"Pod {self._kubectl.pod} in namespace {self._kubectl.namespace} has succeeded and is left: "
                        "the next try collects its result"
                    )
                self._kubectl.delete(pod, left, unchanged=True)
                return f"Pod {self._kubectl.pod} is being deleted, with {self._grace_period:g} s of grace"
            except KubectlError as error:
                if error.fault is Fault.NOT_FOUND:
                    return None
                if error.fault is not Fault.CONFLICT or time.monotonic() > until:
                    raise
                pod = self._manifest

    def _is_later_trys(self, pod: Pod) -> bool:
        return (try_number(pod) or 0) > (try_number(self._manifest) or 0)

    # --- waiting ---

    def _wait(self, seconds: float) -> list[Stream]:
        """Wait until a stream has something or the time is over."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            for stream in self._streams():
                selector.register(stream, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(seconds)]
        return [stream for stream in ready if isinstance(stream, Stream)]

    def _streams(self) -> list[Stream]:
        log = None if self._log is None else self._log.stream
        return [stream for stream in (self._watch, log) if stream is not None]

    def _pause(self, seconds: float) -> None:
        """Sleep, but not through :meth:`kill`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            selector.select(seconds)
        self._stop_if_killed()

    def _stop_if_killed(self) -> None:
        if self._killed:
            raise PodKilled(f"pod {self._kubectl.pod}: the task was told to stop")

    def _close(self) -> None:
        for stream in self._streams():
            stream.close()
        wake_write, self._wake_write = self._wake_write, None
        if wake_write is not None:
            os.close(wake_write)
            os.close(self._wake_read)
