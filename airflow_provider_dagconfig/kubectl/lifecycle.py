"""
Drives one pod's life in the worker: it waits, reads the log, writes notes, and obeys a kill.

One thread waits for kubectl's output. Other modules decide: ``outcome`` interprets a status, ``pod_life`` says what follows from
it, ``claim`` creates or adopts the pod, ``watching`` times the watch, ``container_log`` follows the log, ``release`` deletes or
keeps the pod. Nothing here knows Airflow or the database.

A pod is worth more than the process that watches it. It is deleted only if its work is not wanted: the API server refused
something, a deadline has passed, or ``judge_kill`` said so. After any other exception it is left to the next try, which adopts it,
and to its own ``activeDeadlineSeconds``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_provider_dagconfig.kubectl import outcome as outcomes
from airflow_provider_dagconfig.kubectl.annotations import identity
from airflow_provider_dagconfig.kubectl.claim import Claim, NotYet, Permit
from airflow_provider_dagconfig.kubectl.client import Kubectl, Stream
from airflow_provider_dagconfig.kubectl.container_log import ContainerLog
from airflow_provider_dagconfig.kubectl.ends import (
    Ended,
    Parting,
    PodFailed,
    PodNotCreated,
    PodOutOfReach,
    PodRefused,
    PodStopped,
    PodTakenOver,
)
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.events import WatchBytes
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome, Running
from airflow_provider_dagconfig.kubectl.patience import Patience, Pauses
from airflow_provider_dagconfig.kubectl.pod_life import Limits, PodLife, TakenOver, TooLate
from airflow_provider_dagconfig.kubectl.release import NOBODY_TO_ASK, Kill, Release, Why, is_kept
from airflow_provider_dagconfig.kubectl.waiting import Waiter
from airflow_provider_dagconfig.kubectl.watching import Watching

Pod = Mapping[str, Any]

# Seconds of silence. After them the rest of a log is fetched by another request.
_LOG_SILENCE_SECONDS = 10.0


class PodRun:
    """
    One pod, from its manifest to its end.

    :param kubectl: makes the requests about the pod.
    :param manifest: the pod to create; its annotations identify the owner.
    :param limits: the time limits.
    :param on_finish_action: ``delete_pod``, ``delete_succeeded_pod``, ``delete_active_pod`` or ``keep_pod``, for a pod that has
        ended. A pod that has not ended is always deleted.
    :param on_line: receives each line of the container's log; None to read no log.
    :param note: receives messages about the run.
    :param former: where to look for a pod whose name is from before installations had ids, if this try may adopt one.
    :param log_position: how far an earlier process of this try has read the log, from :class:`Parting`.
    :param judge_kill: returns whether the pod is unwanted, or only this process was told to stop. :meth:`run` calls it once after
        :meth:`kill`, never from a signal handler. It must answer within three seconds. By default the pod is unwanted.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        manifest: Pod,
        limits: Limits,
        *,
        on_finish_action: str = "delete_pod",
        on_line: Callable[[str], None] | None,
        note: Callable[[str], None],
        former: FormerName | None = None,
        judge_kill: Callable[[], Kill] = lambda: NOBODY_TO_ASK,
        permit: Permit | None = None,
        log_position: Mapping[str, Any] | None = None,
    ) -> None:
        self._manifest, self._limits, self._note, self._judge_kill = manifest, limits, note, judge_kill
        self._container: str = manifest["spec"]["containers"][0]["name"]
        self._on_finish_action, self._on_line, self._log_position = on_finish_action, on_line, log_position
        self._patience = Patience()
        self._claim = Claim(kubectl, manifest, note, self._may_retry, former, permit)
        self._release = Release(self._claim, manifest, note, self._may_retry)
        self._life = PodLife(manifest, limits, time.monotonic())
        self._watching = Watching()
        self._watch: Stream | None = None
        self._watch_bytes = WatchBytes()
        self._log: ContainerLog | None = None  # None until there is a pod, and if no log is read
        self._ended: Ended | None = None
        self._is_unwanted = False
        self._begun_at = time.time()

        self._killed = False
        self._waiter = Waiter()

    def run(self) -> Ended:
        """
        Run the pod to its end.

        :return: a success. Its pod remains until :meth:`finish`: if the success is lost, the next try collects it.
        :raises PodFailed: the pod ended otherwise. There is no result, so it is deleted, or kept as ``on_finish_action`` says.
        :raises PodRefused: the API server refused something. The deletion of this try's pod was requested.
        :raises PodNotAllowed: no pod exists to adopt, and the permit refused another one.
        :raises PodNotCreated: the API server did not accept the pod in time. The deletion of this try's pod was requested.
        :raises PodOutOfReach: the API server was away when the pod's start or end was due. Its deletion was requested.
        :raises PodStopped: after :meth:`kill`.
        :raises PodTakenOver: a later try owns the pod.
        """
        self.start()
        return self.wait_for_end()

    def start(self) -> bool:
        """
        Create the pod, or adopt the existing one.

        :return: whether its end is already known. Next, :meth:`wait_for_end` waits for it, or :meth:`detach` lets another process
            wait.
        :raises PodEnd: as for :meth:`run`.
        """
        with self._release_on_error():
            pod = self._create_or_adopt()
            self._open_log()
            self._record_state(pod)
            return self._life.verdict(time.monotonic()) is not None

    def wait_for_end(self) -> Ended:
        """
        Wait for the end of a pod that :meth:`start` or :meth:`~.resumption.ResumedPodRun.resume` has found.

        :raises PodEnd: as for :meth:`run`.
        """
        with self._release_on_error():
            return self._conclude(self._follow())

    def detach(self) -> Parting:
        """
        Stop watching a pod that still runs, so that another process can wait for it.

        :raises PodStopped: after :meth:`kill`.
        """
        with self._release_on_error():
            self._stop_if_killed()
        self._close()
        log = self._log_position if self._log is None else self._log.position
        return Parting(identity(self._life.pod, self._container), self._begun_at, log)

    def _open_log(self) -> None:
        if self._log is None and self._on_line is not None:
            self._log = ContainerLog(self._kubectl, self._on_line, self._log_position)

    def _conclude(self, outcome: Outcome) -> Ended:
        self._collect_log()
        # This raises if the log can't be written any more. The task's report is then lost too, and the next try must find the pod.
        self._note(f"Pod {self._kubectl.pod} has ended: {outcome.end.value} ({outcome.reason})")
        self._ended = Ended(outcome, self._life.pod, () if self._log is None else tuple(self._log.last_lines))
        self._close()
        if outcome.end is not End.SUCCEEDED:
            self.finish()
            raise PodFailed(self._ended)
        return self._ended

    @contextmanager
    def _release_on_error(self) -> Iterator[None]:
        """If the block raises, delete or keep the pod as the exception demands, and close what is open."""
        try:
            try:
                yield
            except KubectlError as error:
                self.abandon(Why.GIVEN_UP)
                raise PodRefused(error) from None
            except (PodNotCreated, PodOutOfReach):
                self.abandon(Why.GIVEN_UP)
                raise
            except PodStopped as stopped:
                stopped.by = self._handle_kill()
                raise
        except BaseException:
            self._close()
            raise

    def finish(self, environment: Mapping[str, str] | None = None) -> None:
        """
        Delete a pod whose success was reported, or mark it as collected if it is kept. Log a failure.

        :param environment: renewed credentials, if those of the run are gone; from :meth:`ClusterAccess.environment`.
        """
        if self._ended is None or self._life.is_gone:
            return
        keep = is_kept(self._ended.pod, self._ended.outcome, self._on_finish_action)
        if environment is not None:
            self._claim.kubectl = self._kubectl.within(environment)
        self._release.delete_or_mark(self._ended.pod, keep=keep, pause=time.sleep)

    def leave(self, reason: str) -> None:
        """
        Log that a pod is left as it is, because its success may not have been reported.

        :param reason: why nobody knows, as a clause.
        """
        self._note(
            f"Pod {self._kubectl.pod} in namespace {self._kubectl.namespace} has succeeded and is left: the next try collects its "
            f"result ({reason})"
        )

    def kill(self) -> None:
        """
        Stop the run. A signal handler may call this: it only wakes :meth:`run`, which raises :class:`PodStopped`.

        ``judge_kill`` decides what becomes of the pod. After the end of :meth:`run`, this has no effect.
        """
        self._killed = True
        self._waiter.wake()

    def abandon(self, why: Why) -> None:
        """
        Request the deletion of a pod whose work is not wanted, with its grace period, and log the result.

        :param why: the reason, which determines the pods that are left to the next try.
        """
        if not self._claim.may_exist or self._life.is_gone or self._ended is not None:
            return
        pod = None if self._life.pod is self._manifest else self._life.pod
        try:
            message = self._release.delete_unwanted(pod, self._life.grace_period, time.monotonic, why)
        except KubectlError as error:
            message = (
                f"Pod {self._kubectl.pod} in namespace {self._kubectl.namespace} could not be deleted: {error.message}. "
                f"It ends by itself after {self._life.timeout:g} s (activeDeadlineSeconds)"
            )
        self._is_unwanted = True
        if message:
            self._note(message)

    def _handle_kill(self) -> str | None:
        """Ask what a kill means, and obey. Return who decided that the pod's work is not wanted; None if nobody did."""
        verdict = self._judge_kill()
        if verdict.unwanted:
            # This try may not have looked for an earlier try's pod yet.
            self._claim.may_exist = True
            self.abandon(Why.PERSON)
            return verdict.reason
        if self._claim.may_exist and not self._life.is_gone:
            self._note(
                f"Pod {self._kubectl.pod} in namespace {self._kubectl.namespace} is left as it is: {verdict.reason}. The next try "
                f"adopts it; without one it ends after {self._life.timeout:g} s (activeDeadlineSeconds). To end it now: "
                f"kubectl delete pod -n {self._kubectl.namespace} {self._kubectl.pod}"
            )
        return None

    @property
    def had_pod(self) -> bool:
        """Whether the run has, or may have, created or adopted a pod."""
        return self._claim.may_exist

    @property
    def may_still_run(self) -> bool:
        """Whether a pod may exist that has not ended and whose deletion nobody requested."""
        return self._claim.may_exist and not (self._life.is_gone or self._is_unwanted) and self._ended is None

    @property
    def _kubectl(self) -> Kubectl:
        return self._claim.kubectl

    # --- starting ---

    def _create_or_adopt(self) -> Pod:
        """Create the pod, or adopt the one that an earlier create request made; never make two."""
        begun_at, pauses = time.monotonic(), Pauses(5.0)
        self._begun_at = time.time()
        self._life = PodLife(self._manifest, self._limits, begun_at)
        while True:
            self._stop_if_killed()
            pod = self._claim.attempt()
            if not isinstance(pod, NotYet):
                return pod
            if time.monotonic() - begun_at > self._limits.startup_timeout:
                raise PodNotCreated(self._limits.startup_timeout, pod.waits_for)
            pause = pauses.next()
            self._note(f"Not created yet, next attempt in {pause:.0f} s: {pod.waits_for}")
            self._pause(pause)

    # --- following ---

    def _follow(self) -> Outcome:
        while True:
            self._stop_if_killed()
            if (outcome := self._decide()) is not None:
                return outcome
            self._connect()
            ready = self._wait(self._seconds_to_next_step())
            if self._watch is not None and self._watch in ready:
                self._read_events(self._watch)
            if self._log is not None and self._log.stream in ready:
                self._read_log(self._log)
            elif self._log is not None:
                self._log.close_if_stalled()

    def _decide(self) -> Outcome | None:
        """Return the end if it is known. A wait that has exceeded its limit is an end, too."""
        verdict = self._life.verdict(time.monotonic())
        if isinstance(verdict, TakenOver):
            raise self._taken_over_error(verdict)
        if not isinstance(verdict, TooLate):
            return verdict
        if self._watching.trouble is not None:
            raise PodOutOfReach(self._watching.trouble, verdict.limit, verdict.seconds)
        return self._with_last_event(verdict)

    def _taken_over_error(self, by: TakenOver) -> PodTakenOver:
        message = f"pod {self._kubectl.pod}: try {by.by_try} has adopted it, and goes on with it"
        return PodTakenOver(message, by.by_try)

    def _with_last_event(self, late: TooLate) -> Outcome:
        """Add the pod's last warning event if its status gives no reason, as for a volume that can't be mounted."""
        return outcomes.with_warning_event(late.outcome, late.seconds, self.events()) if late.events_may_tell else late.outcome

    def events(self) -> list[dict[str, Any]]:
        """Return the pod's events, as the API server lists them; none if it does not."""
        try:
            return self._kubectl.events()
        except KubectlError:
            return []

    def _seconds_to_next_step(self) -> float:
        now = time.monotonic()
        if self._life.verdict(now) is not None:
            return 0.0
        steps = [now + 30.0, self._watching.next_step(), self._life.next_deadline()]
        if self._log is not None and isinstance(self._life.view, Running):
            steps.append(self._log.next_step)
        return max(0.0, min(steps) - now) + 0.01

    def _record_state(self, pod: Pod) -> None:
        """Record a newer state of the pod."""
        if note := self._life.record_state(pod, time.monotonic()):
            self._note(note)

    def _connect(self) -> None:
        """Reopen what is closed and due: the watch, and the log once it exists."""
        if self._watching.is_stalled(time.monotonic()):
            self._close_watch()
            self._watching.record_end(time.monotonic())
        if self._watching.is_due(time.monotonic()):
            try:
                if self._watching.requests_pod_first:
                    self._record_state(self._kubectl.get())
                    self._record_answer("get")
                    if self._decide() is not None:
                        return
                self._watch, self._watch_bytes = self._kubectl.watch(), WatchBytes()
                self._watching.record_opening(time.monotonic())
            except KubectlError as error:
                self._handle_failure(error)
        if self._log is not None and isinstance(self._life.view, Running) and self._log.follow() and not self._is_ours():
            self._log.postpone()

    def _read_events(self, watch: Stream) -> None:
        chunk = watch.read()
        try:
            for event in self._watch_bytes.feed(chunk):
                self._watching.record_event()
                self._record_answer("watch")
                self._record_state(event.pod)
                if event.kind == "DELETED":
                    self._life.record_deletion()
                if isinstance(self._life.view, Outcome):
                    return  # events after the end are ignored
        except KubectlError as no_event:
            error = (watch.error() if not chunk else None) or no_event
            self._close_watch()
            self._handle_failure(error)
            return
        if not chunk:
            ends_with = watch.error()
            self._close_watch()
            if ends_with is not None:
                self._handle_failure(ends_with)
            else:
                self._watching.record_end(time.monotonic())

    def _close_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _handle_failure(self, error: KubectlError) -> None:
        """Handle the failure of a watch, or of a request for the pod's state."""
        if error.fault is Fault.NOT_FOUND:
            self._life.record_deletion()
        elif error.fault is not Fault.EXPIRED and not self._may_retry(error):
            raise error
        elif note := self._watching.record_failure(error, time.monotonic()):
            self._note(note)

    def _record_answer(self, verb: str) -> None:
        """Record that the API server answered, and reset the backoff."""
        self._patience.record_answer(verb)
        if self._watching.record_answer():
            self._note("The API server answers again")
            if self._log is not None:
                self._log.retry_now()

    def _may_retry(self, error: KubectlError) -> bool:
        return self._patience.may_retry(error, time.monotonic())

    # --- the log ---

    def _read_log(self, log: ContainerLog) -> None:
        try:
            log.read_followed(has_ended=self._life.has_ended)
            self._patience.record_answer("log")
        except KubectlError as error:
            if error.fault not in (Fault.NOT_READY, Fault.NOT_FOUND, Fault.INVALID) and not self._may_retry(error):
                raise

    def _collect_log(self, *, is_over: bool = True) -> None:
        """
        Read the log to its end.

        :param is_over: whether the container writes no more. If False, a line that has no end yet is left for later.
        """
        self._close_watch()
        log = self._log
        if log is None or self._life.is_replaced or not outcomes.has_run(self._life.pod, self._container):
            return
        attempts = Pauses()
        log.begin_rest(outcomes.finished_at(self._life.pod, self._container))
        while not log.is_whole:
            self._stop_if_killed()
            if log.is_given_up:
                self._note("The end of the log can't be read: its node does not answer")
                break
            try:
                if log.request_rest() and not self._is_ours():
                    log.close()
                    if self._life.is_gone:
                        break
                    self._pause(attempts.next())
                    continue
                if not self._wait(_LOG_SILENCE_SECONDS):
                    log.close()
                    continue
                log.read_rest()
            except KubectlError as error:
                if not self._may_retry(error):
                    self._note(f"The end of the log can't be read: {error.message}")
                    break
                self._pause(attempts.next())
        if is_over:
            log.end()

    def _is_ours(self) -> bool:
        """
        Return whether the pod with the name is still this run's pod.

        Called after the log was reopened and before it is read: the pod that has the name now also had it when the log was
        reopened.
        """
        try:
            pod = self._kubectl.get()
        except KubectlError as error:
            if error.fault is Fault.NOT_FOUND:
                self._life.record_lost_name()
            elif not self._may_retry(error):
                raise
            return False
        self._record_answer("get")
        if pod["metadata"].get("uid") != self._life.pod["metadata"].get("uid"):
            self._life.record_lost_name()
            return False
        self._record_state(pod)
        return True

    # --- waiting ---

    def _wait(self, seconds: float) -> list[Stream]:
        return self._waiter.wait(self._streams(), seconds)

    def _streams(self) -> list[Stream]:
        log = None if self._log is None else self._log.stream
        return [stream for stream in (self._watch, log) if stream is not None]

    def _pause(self, seconds: float) -> None:
        """Sleep, but wake up for :meth:`kill`."""
        self._waiter.wait((), seconds)
        self._stop_if_killed()

    def _stop_if_killed(self) -> None:
        if self._killed:
            raise PodStopped(f"pod {self._kubectl.pod}: the task was told to stop")

    def _close(self) -> None:
        for stream in self._streams():
            stream.close()
        self._waiter.close()
