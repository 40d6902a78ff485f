"""
One watch for all pods that triggers wait for in a cluster's namespace, in an asyncio loop. A triggerer uses it.

Theory of operation: a :class:`WatchHub` is one way to a cluster. :meth:`WatchHub.pod` gives a :class:`Sight` of one pod, which
delivers each observed state of it. Its user feeds them to a pure life (``pod_life``); no decision is made here. Behind it, a
:class:`Watch` lists the operator's pods once, then follows their changes from the list's version on, with one kubectl. It keeps
the essentials of each pod, so that a later sight gets its state at once. If a stream ends or stalls, the next one starts at the
last version that was received. After an error the pods are listed again, and the differences are delivered, so that no change is
lost and none is repeated. If permitted, a second namespace of the same cluster is watched together with all others; otherwise it
gets its own kubectl.

Blocking calls (a list, a request for one pod) run in threads, so nothing here holds up the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from airflow_provider_dagconfig.kubectl import requests
from airflow_provider_dagconfig.kubectl.client import Client, Stream
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.events import Event, WatchBytes, essentials, read_json, read_pod, read_pods
from airflow_provider_dagconfig.kubectl.patience import Patience
from airflow_provider_dagconfig.kubectl.requests import PodPath
from airflow_provider_dagconfig.kubectl.watching import Watching

Pod = Mapping[str, Any]
Name = tuple[str, str]
"""A pod's namespace and name."""

SILENT = 90.0
"""Seconds without a line. After them a watch counts as stalled and is reopened; bookmarks arrive every minute."""

SHOWS = 10.0
"""Seconds that an open watch has to show a pod. After them the pod itself is requested."""

_MAX_CONCURRENT_REQUESTS = 4
"""Maximum number of concurrent requests for single pods; each is a kubectl process."""


class Sight:
    """The observations of one pod, for one waiting trigger."""

    def __init__(self, watch: Watch, name: Name, uid: str | None) -> None:
        self._watch, self.name, self._uid = watch, name, uid
        self._events: deque[Event | str | KubectlError] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._was_shown = False
        self._begun_at = time.monotonic()

    @property
    def trouble(self) -> KubectlError | None:
        """Why the API server is unreachable now; None if it answers."""
        return self._watch.trouble

    async def next(self, seconds: float) -> Event | str | None:
        """
        Wait for the next observation: a state of the pod, or a message for the log.

        :param seconds: the timeout; after it the result is None.
        :raises KubectlError: the pods can't be watched.
        """
        until = time.monotonic() + seconds
        while not self._events:
            now, request_at = time.monotonic(), self._begun_at + self._watch.hub.shows
            if not self._was_shown and now >= request_at:
                await self._request_unseen_pod()
            elif now >= until:
                return None
            else:
                await self._wait((until if self._was_shown else min(until, request_at)) - now)
        event = self._events.popleft()
        if isinstance(event, KubectlError):
            raise event
        return event

    async def _wait(self, seconds: float) -> None:
        """Wait until an observation arrives. It uses a future and a timer, since a thousand sights wait at a time."""
        loop = asyncio.get_running_loop()
        self._arrival = arrival = loop.create_future()
        timer = loop.call_later(seconds, _wake, arrival)
        try:
            await arrival
        finally:
            timer.cancel()
            self._arrival = None

    async def request_pod(self) -> Event | None:
        """
        Request the pod itself before the lack of observations leads to a decision.

        :return: its state; None if the API server is away.
        :raises KubectlError: the request is not permitted.
        """
        try:
            pod = await self._watch.hub.get_pod(self.name)
        except KubectlError as error:
            if error.fault is Fault.NOT_FOUND:
                return Event("DELETED", {})
            if not self._watch.patience.may_retry(error, time.monotonic()):
                raise
            return None
        if requests.MANAGED_BY not in (f"{key}={value}" for key, value in (pod["metadata"].get("labels") or {}).items()):
            raise KubectlError(Fault.INVALID, f"pod {self.name[1]} has lost its label {requests.MANAGED_BY}: no watch tells of it")
        return Event("MODIFIED", essentials(pod))

    async def _request_unseen_pod(self) -> None:
        """Request a pod that the watch does not show: it is gone, or the watch does not cover it."""
        self._begun_at = time.monotonic()
        # If a list is still due, it will show the pod, or that it is gone.
        if self._watch.is_following and (event := await self.request_pod()) is not None and not self._was_shown:
            self.receive(event, is_certain=True)

    def receive(self, event: Event | str | KubectlError, *, is_certain: bool = False) -> None:
        """
        Receive an observation.

        :param is_certain: whether the pod that has the name now is meant. If not, a pod with another uid is ignored until the pod
            itself was observed: a watch that lags behind may still report an earlier pod.
        """
        if isinstance(event, Event):
            is_own = self._uid is None or not event.pod or event.pod["metadata"].get("uid") == self._uid
            if not (is_own or is_certain or self._was_shown):
                return
            self._was_shown = True
        self._events.append(event)
        if self._arrival is not None:
            _wake(self._arrival)


class Watch:
    """
    The pods of one namespace, or of all namespaces, as long as a sight of one of them exists.

    :param namespace: None for all namespaces.
    """

    def __init__(self, hub: WatchHub, namespace: str | None) -> None:
        self.hub, self.namespace = hub, namespace
        self.patience = Patience()
        self.sights: list[Sight] = []
        self.is_following = False
        """Whether the pods are known and their changes are received."""
        self._by_name: dict[Name, list[Sight]] = {}
        self._pods: dict[Name, Pod] = {}
        self._version: str | None = None
        self._watching = Watching()
        # Outside of every trigger's context, because Airflow separates the triggers' logs by their contexts.
        self._task = contextvars.Context().run(asyncio.ensure_future, self._run())

    @property
    def trouble(self) -> KubectlError | None:
        """Why the API server is unreachable now; None if it answers."""
        return self._watching.trouble

    @property
    def has_ended(self) -> bool:
        """Whether the watch has stopped."""
        return self._task.done()

    def add(self, sight: Sight) -> None:
        """Add a sight of a pod. If the pod is known, the sight gets its state at once."""
        self.sights.append(sight)
        self._by_name.setdefault(sight.name, []).append(sight)
        if (pod := self._pods.get(sight.name)) is not None:
            sight.receive(Event("MODIFIED", pod))

    def remove(self, sight: Sight) -> None:
        """Remove a sight of a pod. The watch ends with its last sight."""
        if sight not in self.sights:
            return
        self.sights.remove(sight)
        same_name = self._by_name[sight.name]
        same_name.remove(sight)
        if not same_name:
            del self._by_name[sight.name]
        if not self.sights:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                await asyncio.sleep(max(0.0, self._watching.next_step() - time.monotonic()))
                try:
                    if self._version is None:
                        await self._list()
                    await self._follow()
                    self._watching.record_end(time.monotonic())
                except KubectlError as error:
                    await self._handle_failure(error)
        except KubectlError as error:
            self.hub.handle_failed_watch(self, error)
        except Exception as error:  # noqa: BLE001 - all sights must receive it, whatever it is
            self.hub.handle_failed_watch(self, KubectlError(Fault.MISCONFIGURED, f"{type(error).__name__}: {error}", "watch"))

    async def _handle_failure(self, error: KubectlError) -> None:
        """Handle the failure of a list or a watch: back off, or raise the error if a retry can't help."""
        self._version = None
        if error.fault is not Fault.EXPIRED and not self.patience.may_retry(error, time.monotonic()):
            raise error
        if error.fault in (Fault.UNAUTHORIZED, Fault.MISCONFIGURED):
            await self.hub.renew()
        if note := self._watching.record_failure(error, time.monotonic()):
            self._deliver_to_all(note)

    async def _list(self) -> None:
        """List all pods, and deliver the differences to the known states."""
        pods: dict[Name, Pod] = {}
        continue_token: str | None = None
        # A pod that a sight waits for from now on may be younger than the list.
        waited_for = set(self._by_name)
        while continue_token != "":
            page, continue_token, version = await self.hub.list_page(self.namespace, continue_token)
            pods |= page
        before, self._pods, self._version = self._pods, pods, version
        self._record_answer("list")
        for name in list(self._by_name):
            if name not in pods:
                if name in waited_for:
                    self._deliver(name, Event("DELETED", before.get(name, {})), is_certain=True)
            elif before.get(name, {}).get("metadata", {}).get("resourceVersion") != pods[name]["metadata"]["resourceVersion"]:
                self._deliver(name, Event("MODIFIED", pods[name]), is_certain=True)

    async def _follow(self) -> None:
        """Deliver each change until the watch ends."""
        assert self._version is not None
        client = await self.hub.client()
        stream = client.open(requests.watch_all(self.namespace, self._version))
        self._watching.record_opening(time.monotonic())
        self.is_following = True
        try:
            await self._read_events(stream)
        finally:
            self.is_following = False
            await asyncio.to_thread(stream.close)

    async def _read_events(self, stream: Stream) -> None:
        watch_bytes = WatchBytes()
        while (chunk := await _next_chunk(stream, self.hub.silent)) is not None:
            try:
                for event in watch_bytes.feed(chunk):
                    self._record_event(event)
            except KubectlError as no_event:
                # kubectl's error says more than the half line that it left.
                raise (None if chunk else await asyncio.to_thread(stream.error)) or no_event from None
            if not chunk:
                if error := await asyncio.to_thread(stream.error):
                    raise error
                return

    def _record_event(self, event: Event) -> None:
        self._record_answer("watch")
        self._watching.record_event()
        metadata = event.pod["metadata"]
        self._version = metadata["resourceVersion"]
        if event.kind == "BOOKMARK":
            return
        name, pod = (metadata["namespace"], metadata["name"]), essentials(event.pod)
        if event.kind == "DELETED":
            self._pods.pop(name, None)
        else:
            self._pods[name] = pod
        self._deliver(name, Event(event.kind, pod))

    def _record_answer(self, verb: str) -> None:
        self.patience.record_answer(verb)
        if self._watching.record_answer():
            self._deliver_to_all("The API server answers again")

    def _deliver(self, name: Name, event: Event, *, is_certain: bool = False) -> None:
        for sight in self._by_name.get(name, ()):
            sight.receive(event, is_certain=is_certain)

    def _deliver_to_all(self, observation: str | KubectlError) -> None:
        for sight in self.sights:
            sight.receive(observation)

    def fail(self, error: KubectlError) -> None:
        """Tell all sights that there is nothing to wait for."""
        self._deliver_to_all(error)


class WatchHub:
    """
    One way to a cluster, for all that wait for pods there.

    :param connect: returns the client, as a context in which its credentials last. Its argument says whether to look up the
        credentials again, because the earlier ones were refused.
    :param silent: seconds without a line. After them a watch is reopened.
    :param shows: seconds that a watch has to show a pod. After them the pod itself is requested.
    """

    def __init__(
        self, connect: Callable[[bool], Awaitable[AbstractContextManager[Client]]], silent: float = SILENT, shows: float = SHOWS
    ) -> None:
        self.silent, self.shows = silent, shows
        self._connect, self._is_stale = connect, False
        self._open = ExitStack()
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._request_slots = asyncio.Semaphore(_MAX_CONCURRENT_REQUESTS)
        self._watches: dict[str | None, Watch] = {}
        self._may_watch_all = True

    @contextmanager
    def pod(self, namespace: str, name: str, uid: str | None) -> Iterator[Sight]:
        """
        Give a sight of a pod until the block ends.

        :param uid: the pod's uid. Another pod with the name counts only after this one was observed, or is known to be gone.
        """
        sight = Sight(self._watch_of(namespace), (namespace, name), uid)
        sight._watch.add(sight)
        try:
            yield sight
        finally:
            sight._watch.remove(sight)
            self._watches = {scope: watch for scope, watch in self._watches.items() if watch.sights}
            if not self._watches:
                self._client = None
                self._open.close()

    def _watch_of(self, namespace: str) -> Watch:
        """Return the watch that covers a namespace."""
        alive = {scope: watch for scope, watch in self._watches.items() if not watch.has_ended}
        for scope in (namespace, None):
            if scope in alive:
                return alive[scope]
        scope = None if alive and self._may_watch_all else namespace
        watch = self._watches[scope] = Watch(self, scope)
        return watch

    def handle_failed_watch(self, watch: Watch, error: KubectlError) -> None:
        """Handle a watch that ended with an error. If watching all namespaces is forbidden, watch each one by itself."""
        self._watches.pop(watch.namespace, None)
        if watch.namespace is not None or error.fault is not Fault.FORBIDDEN:
            watch.fail(error)
            return
        self._may_watch_all = False
        for sight in list(watch.sights):
            sight._watch = self._watch_of(sight.name[0])
            sight._watch.add(sight)
        watch.sights.clear()

    # --- requests ---

    async def client(self) -> Client:
        """
        Return the client. The first call looks up its credentials.

        :raises KubectlError: there are no credentials.
        """
        async with self._connecting:
            if self._client is None:
                self._client = self._open.enter_context(await self._connect(self._is_stale))
                self._is_stale = False
            return self._client

    async def renew(self) -> None:
        """Let the next request look up the credentials again."""
        async with self._connecting:
            self._client, self._is_stale = None, True
            self._open.close()

    async def get_pod(self, name: Name) -> Pod:
        """
        Return the present state of a pod.

        :raises KubectlError: there is no such pod, or no answer.
        """
        async with self._request_slots:
            client = await self.client()
            request = requests.get(PodPath(*name))
            return read_pod(read_json(await asyncio.to_thread(client.ask, request), request.verb), request.verb)

    async def list_page(self, namespace: str | None, continue_token: str | None) -> tuple[dict[Name, Pod], str, str]:
        """
        Return one page of pods, the place where the next page begins, and the version of the list.

        :raises KubectlError: there is no answer.
        """
        client, request = await self.client(), requests.list_all(namespace, continue_token)

        def ask() -> tuple[dict[Name, Pod], str, str]:
            document = client.ask_json(request)
            pods, next_token = read_pods(document, request.verb)
            page: dict[Name, Pod] = {(pod["metadata"]["namespace"], pod["metadata"]["name"]): essentials(pod) for pod in pods}
            return page, next_token, str(document["metadata"]["resourceVersion"])

        return await asyncio.to_thread(ask)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _next_chunk(stream: Stream, seconds: float) -> bytes | None:
    """Return the next bytes of a stream: empty at its end, None if none arrive in time."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(stream.fileno(), arrived.set)
    try:
        await asyncio.wait_for(arrived.wait(), seconds)
    except asyncio.TimeoutError:
        return None
    finally:
        loop.remove_reader(stream.fileno())
    return stream.read()
