"""
One watch for all pods of a cluster's namespace that somebody waits for, in an asyncio loop: how a triggerer sees them.

Theory of operation: :class:`WatchHub` is one way to a cluster. :meth:`WatchHub.pod` gives a :class:`Sight` of one pod, which brings
each state of it that is seen; whoever has it drives a pure life with that (``pod_life``), and no decision is made here. Behind it a
:class:`Watch` lists the operator's pods once, then follows their changes from the list's version on, by one kubectl, and keeps the
essentials of each pod, so that a sight that begins later has its state at once. Where a stream breaks, stalls, or ends, the next
begins at the last version that was told; after an error the pods are listed anew, and what differs is told, so that no change is
missed and none is told twice. A second namespace of the same cluster is watched together with all others, where that is allowed,
else by a kubectl of its own.

What blocks (a list, a look at one pod) runs in threads: nothing here holds up the loop.
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
"""Seconds without a line after which a watch counts as stalled, and is opened anew: bookmarks come every minute."""

SHOWS = 10.0
"""Seconds that a watch that is open has to show a pod; after them the pod itself is looked at."""

_AT_ONCE = 4
"""Looks at single pods at a time: each is a kubectl."""


class Sight:
    """What is seen of one pod, by one who waits for it."""

    def __init__(self, watch: Watch, name: Name, uid: str | None) -> None:
        self._watch, self.name, self._uid = watch, name, uid
        self._events: deque[Event | str | KubectlError] = deque()
        self._came: asyncio.Future[None] | None = None
        self._was_shown = False
        self._begun_at = time.monotonic()

    @property
    def trouble(self) -> KubectlError | None:
        """Why the API server can't be reached now; None where it answers."""
        return self._watch.trouble

    async def next(self, seconds: float) -> Event | str | None:
        """
        Wait for what comes next: a state of the pod, or something for the log.

        :param seconds: how long at most; None after that.
        :raises KubectlError: the pods can't be watched.
        """
        until = time.monotonic() + seconds
        while not self._events:
            now, looks_at = time.monotonic(), self._begun_at + self._watch.hub.shows
            if not self._was_shown and now >= looks_at:
                await self._look()
            elif now >= until:
                return None
            else:
                await self._wait((until if self._was_shown else min(until, looks_at)) - now)
        event = self._events.popleft()
        if isinstance(event, KubectlError):
            raise event
        return event

    async def _wait(self, seconds: float) -> None:
        """Wait until something is told; a future and a timer, since a thousand do so at a time."""
        loop = asyncio.get_running_loop()
        self._came = came = loop.create_future()
        timer = loop.call_later(seconds, _wake, came)
        try:
            await came
        finally:
            timer.cancel()
            self._came = None

    async def look(self) -> Event | None:
        """
        Look at the pod itself, before something is decided because nothing was seen.

        :return: its state; None where the API server is away.
        :raises KubectlError: it may not be looked at.
        """
        try:
            pod = await self._watch.hub.look(self.name)
        except KubectlError as error:
            if error.fault is Fault.NOT_FOUND:
                return Event("DELETED", {})
            if not self._watch.patience.may_pass(error, time.monotonic()):
                raise
            return None
        if requests.MANAGED_BY not in (f"{key}={value}" for key, value in (pod["metadata"].get("labels") or {}).items()):
            raise KubectlError(Fault.INVALID, f"pod {self.name[1]} has lost its label {requests.MANAGED_BY}: no watch tells of it")
        return Event("MODIFIED", essentials(pod))

    async def _look(self) -> None:
        """Look at a pod that the watch does not show: it is gone, or the watch does not tell of it."""
        self._begun_at = time.monotonic()
        # A list that is still to come shows it, or that it is gone.
        if self._watch.is_following and (event := await self.look()) is not None and not self._was_shown:
            self.tell(event, is_certain=True)

    def tell(self, event: Event | str | KubectlError, *, is_certain: bool = False) -> None:
        """
        Take what was seen.

        :param is_certain: the pod that has the name by now is meant. Else one with another uid is an earlier one, of which a watch
            tells that lags behind, until the pod itself was seen.
        """
        if isinstance(event, Event):
            is_own = self._uid is None or not event.pod or event.pod["metadata"].get("uid") == self._uid
            if not (is_own or is_certain or self._was_shown):
                return
            self._was_shown = True
        self._events.append(event)
        if self._came is not None:
            _wake(self._came)


class Watch:
    """
    The pods of one namespace, or of all, for as long as somebody waits for one of them.

    :param namespace: None for all.
    """

    def __init__(self, hub: WatchHub, namespace: str | None) -> None:
        self.hub, self.namespace = hub, namespace
        self.patience = Patience()
        self.sights: list[Sight] = []
        self.is_following = False
        """Whether the pods are known, and their changes are told."""
        self._by_name: dict[Name, list[Sight]] = {}
        self._pods: dict[Name, Pod] = {}
        self._version: str | None = None
        self._watching = Watching()
        # In no trigger's context: each trigger's log is told apart by that.
        self._task = contextvars.Context().run(asyncio.ensure_future, self._run())

    @property
    def trouble(self) -> KubectlError | None:
        """Why the API server can't be reached now; None where it answers."""
        return self._watching.trouble

    @property
    def has_ended(self) -> bool:
        """Whether nothing is watched any more."""
        return self._task.done()

    def add(self, sight: Sight) -> None:
        """Begin to tell of a pod; at once where it is known."""
        self.sights.append(sight)
        self._by_name.setdefault(sight.name, []).append(sight)
        if (pod := self._pods.get(sight.name)) is not None:
            sight.tell(Event("MODIFIED", pod))

    def remove(self, sight: Sight) -> None:
        """Tell of a pod no more; the watch ends with the last one."""
        if sight not in self.sights:
            return
        self.sights.remove(sight)
        of_name = self._by_name[sight.name]
        of_name.remove(sight)
        if not of_name:
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
                    self._watching.ended(time.monotonic())
                except KubectlError as error:
                    await self._lost(error)
        except KubectlError as error:
            self.hub.refused(self, error)
        except Exception as error:  # noqa: BLE001 - all who wait have to hear of it, whatever it is
            self.hub.refused(self, KubectlError(Fault.MISCONFIGURED, f"{type(error).__name__}: {error}", "watch"))

    async def _lost(self, error: KubectlError) -> None:
        """Go on after a list or a watch that failed; raise what no waiting mends."""
        self._version = None
        if error.fault is not Fault.EXPIRED and not self.patience.may_pass(error, time.monotonic()):
            raise error
        if error.fault in (Fault.UNAUTHORIZED, Fault.MISCONFIGURED):
            await self.hub.renew()
        if note := self._watching.lost(error, time.monotonic()):
            self._tell_all(note)

    async def _list(self) -> None:
        """List all pods, and tell what is not known yet."""
        pods: dict[Name, Pod] = {}
        place: str | None = None
        # One that somebody waits for from now on may be younger than the list.
        waited_for = set(self._by_name)
        while place != "":
            page, place, version = await self.hub.list_page(self.namespace, place)
            pods |= page
        before, self._pods, self._version = self._pods, pods, version
        self._answered("list")
        for name in list(self._by_name):
            if name not in pods:
                if name in waited_for:
                    self._tell(name, Event("DELETED", before.get(name, {})), is_certain=True)
            elif before.get(name, {}).get("metadata", {}).get("resourceVersion") != pods[name]["metadata"]["resourceVersion"]:
                self._tell(name, Event("MODIFIED", pods[name]), is_certain=True)

    async def _follow(self) -> None:
        """Tell of each change until the watch ends."""
        assert self._version is not None
        client = await self.hub.client()
        stream = client.open(requests.watch_all(self.namespace, self._version))
        self._watching.opened(time.monotonic())
        self.is_following = True
        try:
            await self._take(stream)
        finally:
            self.is_following = False
            await asyncio.to_thread(stream.close)

    async def _take(self, stream: Stream) -> None:
        watch_bytes = WatchBytes()
        while (chunk := await _chunk(stream, self.hub.silent)) is not None:
            try:
                for event in watch_bytes.feed(chunk):
                    self._see(event)
            except KubectlError as no_event:
                # What kubectl says of it is better than half of a line.
                raise (None if chunk else await asyncio.to_thread(stream.error)) or no_event from None
            if not chunk:
                if error := await asyncio.to_thread(stream.error):
                    raise error
                return

    def _see(self, event: Event) -> None:
        self._answered("watch")
        self._watching.told()
        metadata = event.pod["metadata"]
        self._version = metadata["resourceVersion"]
        if event.kind == "BOOKMARK":
            return
        name, pod = (metadata["namespace"], metadata["name"]), essentials(event.pod)
        if event.kind == "DELETED":
            self._pods.pop(name, None)
        else:
            self._pods[name] = pod
        self._tell(name, Event(event.kind, pod))

    def _answered(self, verb: str) -> None:
        self.patience.was_answered(verb)
        if self._watching.heard():
            self._tell_all("The API server answers again")

    def _tell(self, name: Name, event: Event, *, is_certain: bool = False) -> None:
        for sight in self._by_name.get(name, ()):
            sight.tell(event, is_certain=is_certain)

    def _tell_all(self, what: str | KubectlError) -> None:
        for sight in self.sights:
            sight.tell(what)

    def fail(self, error: KubectlError) -> None:
        """Tell all who wait that there is nothing to wait for."""
        self._tell_all(error)


class WatchHub:
    """
    One way to a cluster, for all who wait for pods there.

    :param connect: gives the client, as a context in which its credentials last. It is told whether the credentials are to be
        looked up again, since those that it gave before were not taken.
    :param silent: seconds without a line after which a watch is opened anew.
    :param shows: seconds that a watch has to show a pod, before the pod itself is looked at.
    """

    def __init__(
        self, connect: Callable[[bool], Awaitable[AbstractContextManager[Client]]], silent: float = SILENT, shows: float = SHOWS
    ) -> None:
        self.silent, self.shows = silent, shows
        self._connect, self._is_stale = connect, False
        self._open = ExitStack()
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._looks = asyncio.Semaphore(_AT_ONCE)
        self._watches: dict[str | None, Watch] = {}
        self._may_watch_all = True

    @contextmanager
    def pod(self, namespace: str, name: str, uid: str | None) -> Iterator[Sight]:
        """
        See a pod until the block ends.

        :param uid: the pod's; another that has the name counts once this one was seen, or is known to be gone.
        """
        sight = Sight(self._watch_of(namespace), (namespace, name), uid)
        sight._watch.add(sight)
        try:
            yield sight
        finally:
            sight._watch.remove(sight)
            self._watches = {of: watch for of, watch in self._watches.items() if watch.sights}
            if not self._watches:
                self._client = None
                self._open.close()

    def _watch_of(self, namespace: str) -> Watch:
        """Give the watch that tells of a namespace."""
        alive = {of: watch for of, watch in self._watches.items() if not watch.has_ended}
        for of in (namespace, None):
            if of in alive:
                return alive[of]
        of = None if alive and self._may_watch_all else namespace
        watch = self._watches[of] = Watch(self, of)
        return watch

    def refused(self, watch: Watch, error: KubectlError) -> None:
        """Take note of a watch that ended because it may not be: of all namespaces, each is watched by itself."""
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
        Give the client; the first time its credentials are looked up.

        :raises KubectlError: there are none.
        """
        async with self._connecting:
            if self._client is None:
                self._client = self._open.enter_context(await self._connect(self._is_stale))
                self._is_stale = False
            return self._client

    async def renew(self) -> None:
        """Look the credentials up again at the next request."""
        async with self._connecting:
            self._client, self._is_stale = None, True
            self._open.close()

    async def look(self, name: Name) -> Pod:
        """
        Look at a pod.

        :raises KubectlError: there is none, or no answer.
        """
        async with self._looks:
            client = await self.client()
            request = requests.get(PodPath(*name))
            return read_pod(read_json(await asyncio.to_thread(client.ask, request), request.verb), request.verb)

    async def list_page(self, namespace: str | None, place: str | None) -> tuple[dict[Name, Pod], str, str]:
        """
        Give a page of pods, where the next one begins, and the version of the list.

        :raises KubectlError: there is no answer.
        """
        client, request = await self.client(), requests.list_all(namespace, place)

        def ask() -> tuple[dict[Name, Pod], str, str]:
            document = client.ask_json(request)
            pods, following = read_pods(document, request.verb)
            page: dict[Name, Pod] = {(pod["metadata"]["namespace"], pod["metadata"]["name"]): essentials(pod) for pod in pods}
            return page, following, str(document["metadata"]["resourceVersion"])

        return await asyncio.to_thread(ask)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _chunk(stream: Stream, seconds: float) -> bytes | None:
    """Wait for what a stream brings next: empty at its end, None where nothing comes in time."""
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(stream.fileno(), came.set)
    try:
        await asyncio.wait_for(came.wait(), seconds)
    except asyncio.TimeoutError:
        return None
    finally:
        loop.remove_reader(stream.fileno())
    return stream.read()
