"""
The trigger of a deferred pod: waits in the triggerer until the observations of the pod lead to a verdict, and reports it.

It drives one pure life (``kubectl/pod_life``) with the observations of the triggerer's one watch of the namespace
(``kubectl/watch_hub``). The worker collects the log and the result when the task resumes.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_dagconfig.hooks.airflow_state import UNKNOWN, ask_state_of
from airflow_provider_dagconfig.hooks.asking import NoAnswerError
from airflow_provider_dagconfig.hooks.cluster_access import ClusterParameters
from airflow_provider_dagconfig.kubectl.access import ClusterAccess, ClusterAccessError
from airflow_provider_dagconfig.kubectl.claim import Claim
from airflow_provider_dagconfig.kubectl.client import Client, Kubectl
from airflow_provider_dagconfig.kubectl.errors import KubectlError
from airflow_provider_dagconfig.kubectl.events import Event
from airflow_provider_dagconfig.kubectl.outcome import Running
from airflow_provider_dagconfig.kubectl.pod_life import Limits, PodLife, TooLate
from airflow_provider_dagconfig.kubectl.release import Release, Why
from airflow_provider_dagconfig.kubectl.report import Kind, Report
from airflow_provider_dagconfig.kubectl.watch_hub import Sight, WatchHub
from airflow_provider_dagconfig.settings import configured_kubectl
from airflow_provider_dagconfig.wording import printable

VERSION = 1
"""Version of the trigger's arguments. A later wheel reads this version; this wheel only reports that it can't read a later one."""

ANSWER_SECONDS = 10.0
"""Seconds that Airflow has to report the state of a cancelled task. After them the pod is left."""

_DECIDED_STATES = ("success", "failed", "skipped", "removed", UNKNOWN)
"""
The states in which somebody ended a deferred task.

A task that resumes is None, scheduled, queued or running. So is a task that was cleared: its next try sees that by the pod.
"""

_HAS_ON_KILL = hasattr(BaseTrigger, "on_kill")
"""Whether Airflow says that a task was cancelled, as it does from 3.3 on. Below, any end of a trigger may mean that."""

_LONGEST_WAIT = 3600.0
"""Seconds until the verdict is computed again, since a life may have no deadline."""


@dataclass(frozen=True)
class Watched:
    """
    A pod to wait for. All times are seconds; moments are seconds since 1970.

    :param identity: the pod's owner and uid; from ``annotations.identity``.
    :param limits: the time limits.
    :param begun_at: when its try began.
    :param cluster: the parameters of the task that select the cluster.
    :param deadline: when the task's execution_timeout is over; None if there is none.
    :param log_every: how often its log should be read while it runs; None for never.
    """

    identity: Mapping[str, Any]
    limits: Limits
    begun_at: float
    cluster: ClusterParameters
    deadline: float | None = None
    log_every: float | None = None

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.identity["metadata"]["namespace"])

    @property
    def pod(self) -> str:
        """The pod's name."""
        return str(self.identity["metadata"]["name"])

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, from which :meth:`from_dict` makes the same object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Watched:
        """
        Make an object from the values of :meth:`as_dict`.

        :raises TypeError: a value is missing, or this version does not know one of them.
        :raises KeyError: the same.
        """
        return cls(**{**values, "limits": Limits(**values["limits"]), "cluster": ClusterParameters(**values["cluster"])})


class PodEvent(TriggerEvent):
    """An event that the triggerer's log shows in a few words."""

    def __repr__(self) -> str:
        report = Report.from_dict(self.payload)
        return f"{report.kind.value}{f': {report.outcome.reason}' if report.outcome else ''}"


class PodTrigger(BaseTrigger):
    """
    Waits for a pod of a ConfiguredKubectlRunOperator. It fires once, with a :class:`~..kubectl.report.Report` as a dict.

    :param version: the version of ``watched``.
    :param watched: a :class:`Watched`, as a dict.
    """

    def __init__(self, version: int, watched: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.version, self.watched = version, watched
        self._has_fired = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes the same trigger in another process."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"version": self.version, "watched": self.watched}

    def __repr__(self) -> str:
        return f"<PodTrigger of {self.watched.get('identity', {}).get('metadata', {}).get('name')}>"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire."""
        try:
            report = await self._report()
        except asyncio.CancelledError:
            # In a triggerer the trigger has a task instance. In `airflow dags test` it has none, and this is Ctrl-C.
            if self.task_instance is None and self.version == VERSION:
                await self._delete_and_log(Watched.from_dict(self.watched), "the trigger", Why.PERSON)
            raise
        # If the trigger is cancelled after this, the pod has its verdict and is the worker's.
        self._has_fired = True
        yield PodEvent(payload=report.as_dict())

    async def _report(self) -> Report:
        if self.version != VERSION:
            message = (
                f"the triggerer's version of airflow-provider-dagconfig reads format {VERSION} of a deferred task's state, and not "
                f"{self.version}: let all of Airflow's processes have the same one"
            )
            return Report(Kind.NOT_WATCHED, message=message)
        try:
            return await self._wait(Watched.from_dict(self.watched))
        except (KubectlError, ClusterAccessError) as error:
            return Report(Kind.NOT_WATCHED, message=getattr(error, "message", str(error)))
        except Exception as error:
            self.log.exception("The pod can't be watched")
            return Report(Kind.NOT_WATCHED, message=f"{type(error).__name__}: {error}")

    async def _wait(self, watched: Watched) -> Report:
        # The life's clock ignores changes of the wall clock.
        clock_offset = time.time() - time.monotonic()
        life = PodLife(watched.identity, watched.limits, watched.begun_at)
        log_at: float | None = None
        with hub_of(watched.cluster).pod(watched.namespace, watched.pod, watched.identity["metadata"].get("uid")) as sight:
            while True:
                now = time.monotonic() + clock_offset
                verdict = life.verdict(now)
                if isinstance(verdict, TooLate) and sight.trouble is None and await self._request_pod(sight, life, clock_offset):
                    verdict = life.verdict(time.monotonic() + clock_offset)
                if verdict is not None:
                    return Report.of(verdict, sight.trouble)
                if watched.deadline is not None and now >= watched.deadline:
                    return Report(Kind.TIMEOUT)
                if watched.log_every is not None and isinstance(life.view, Running):
                    log_at = log_at or now + watched.log_every
                    if now >= log_at:
                        return Report(Kind.LOG_DUE)
                steps = [life.next_deadline(), watched.deadline, log_at, now + _LONGEST_WAIT]
                wait = min(step for step in steps if step is not None) - now + 0.01
                self._record_event(await sight.next(wait), life, time.monotonic() + clock_offset)

    async def _request_pod(self, sight: Sight, life: PodLife, clock_offset: float) -> bool:
        """Request the pod itself before a wait counts as too long: the watch may have been silent for another reason."""
        event = await sight.request_pod()
        self._record_event(event, life, time.monotonic() + clock_offset)
        return event is not None

    def _record_event(self, event: Event | str | None, life: PodLife, now: float) -> None:
        if isinstance(event, str):
            self.log.info("%s", printable(event))
        elif event is not None:
            if event.pod and (note := life.record_state(event.pod, now)):
                self.log.info("%s", printable(note))
            if event.kind == "DELETED":
                life.record_deletion()

    async def on_kill(self) -> None:
        """
        Delete the pod if somebody ended the task.

        From 3.3 on Airflow calls this when it no longer wants the trigger, even if nobody ended the task, as when another
        triggerer takes it over. So Airflow is asked first.
        """
        await self._end_if_decided()

    async def cleanup(self) -> None:
        """Do the same as :meth:`on_kill` below Airflow 3.3."""
        if not _HAS_ON_KILL:
            await self._end_if_decided()

    async def _end_if_decided(self) -> None:
        if self._has_fired or self.task_instance is None or self.version != VERSION:
            return
        watched = Watched.from_dict(self.watched)
        try:
            state = await asyncio.wait_for(ask_state_of(self.task_instance), ANSWER_SECONDS)
        except (NoAnswerError, asyncio.TimeoutError) as error:
            self._log_left(watched, str(error) or f"Airflow did not answer in {ANSWER_SECONDS:g} s")
            return
        if state not in _DECIDED_STATES:
            self._log_left(watched, f"the task's state in Airflow is {state or 'not started'}")
            return
        await self._delete_and_log(watched, self.task_instance.task_id, Why.DEFERRED)

    async def _delete_and_log(self, watched: Watched, task_id: str, why: Why) -> None:
        """Delete the pod, and log it."""
        try:
            access = await watched.cluster.aaccess(task_id)
            message = await asyncio.to_thread(self._delete, watched, access, why)
        except (KubectlError, ClusterAccessError) as error:
            message = (
                f"Pod {watched.pod} in namespace {watched.namespace} could not be deleted: {getattr(error, 'message', error)}. It "
                f"ends by itself after {watched.limits.timeout:g} s (activeDeadlineSeconds)"
            )
        if message:
            self.log.info("%s", printable(message))

    def _log_left(self, watched: Watched, why: str) -> None:
        self.log.info("%s", printable(f"Pod {watched.pod} in namespace {watched.namespace} is left as it is: {why}"))

    def _delete(self, watched: Watched, access: ClusterAccess, why: Why) -> str | None:
        """Delete the pod, unless a later try owns it or its end was already handled."""
        container = watched.identity["spec"]["containers"][0]["name"]
        notes: list[str] = []
        with access.environment() as environment:
            kubectl = Kubectl(environment, watched.namespace, watched.pod, container, configured_kubectl())
            claim = Claim(kubectl, watched.identity, notes.append, lambda _: False)
            release = Release(claim, watched.identity, notes.append, lambda _: False)
            return release.delete_unwanted(None, watched.limits.grace_period, time.monotonic, why)


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ClusterParameters, WatchHub]] = weakref.WeakKeyDictionary()
"""The hubs of each event loop: all triggers of a triggerer share one loop; in `airflow dags test` each has its own."""


def hub_of(cluster: ClusterParameters) -> WatchHub:
    """Return the one hub of a cluster in this triggerer."""
    hubs = _hubs.setdefault(asyncio.get_running_loop(), {})
    if cluster not in hubs:
        hubs[cluster] = WatchHub(_Connection(cluster).client)
    return hubs[cluster]


class _Connection:
    """The credentials of a cluster, looked up once per process, and again if they were refused."""

    def __init__(self, cluster: ClusterParameters) -> None:
        self._cluster = cluster
        self._access: ClusterAccess | None = None

    async def client(self, is_stale: bool) -> AbstractContextManager[Client]:
        """Look up the credentials, and return a client as a context in which they last."""
        if self._access is None or is_stale:
            self._access = await self._cluster.aaccess("the triggerer")
        return _connected_client(self._access)


@contextmanager
def _connected_client(access: ClusterAccess) -> Iterator[Client]:
    with access.environment() as environment:
        yield Client(environment, configured_kubectl())
