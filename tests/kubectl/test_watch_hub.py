"""One watch for many pods, in an asyncio loop: with a server that plays pods, streams that break, and invalid answers."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.events import Event
from airflow_provider_dagconfig.kubectl.requests import MANAGED_BY, Request
from airflow_provider_dagconfig.kubectl.watch_hub import Sight, WatchHub


class PlayedStream:
    """A kubectl with a watch."""

    def __init__(self, server: PlayedServer, namespace: str | None, since: int) -> None:
        self._server, self._namespace = server, namespace
        self._reading, self._writing = os.pipe()
        self.is_closed = False
        self.ends_with: KubectlError | None = None
        for version, kind, pod in server.changes:
            if version > since:
                self.tell(kind, pod)

    def tell(self, kind: str, pod: dict[str, Any]) -> None:
        if self._namespace in (None, pod["metadata"].get("namespace", self._namespace)):
            self.write(json.dumps({"type": kind, "object": pod}).encode() + b"\n")

    def write(self, text: bytes) -> None:
        if self._writing >= 0:
            os.write(self._writing, text)

    def end(self, error: KubectlError | None = None) -> None:
        self.ends_with = error
        os.close(self._writing)
        self._writing = -1

    def fileno(self) -> int:
        return self._reading

    def read(self) -> bytes:
        return os.read(self._reading, 1 << 16)

    def error(self) -> KubectlError | None:
        return self.ends_with

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            os.close(self._reading)
            if self._writing >= 0:
                self.end()
            self._server.streams.remove(self)


class PlayedServer:
    """Pods in two namespaces, and the client that asks for them."""

    def __init__(self) -> None:
        self.version = 100
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.changes: deque[tuple[int, str, dict[str, Any]]] = deque()
        self.streams: list[PlayedStream] = []
        self.asked: list[str] = []
        self.faults: dict[str, deque[Fault]] = {}
        self.may_list_all = True
        self.connected: list[bool] = []

    # --- the pods ---

    def set(self, name: str, namespace: str = "jobs", uid: str = "uid-1", phase: str = "Running") -> None:
        kind = "MODIFIED" if (namespace, name) in self.pods else "ADDED"
        key, _, value = MANAGED_BY.partition("=")
        metadata = {"name": name, "namespace": namespace, "uid": uid, "labels": {key: value}}
        pod = {"metadata": metadata, "spec": {"containers": [{"name": "base"}]}, "status": {"phase": phase}}
        self.pods[namespace, name] = self._note(kind, pod)

    def remove(self, name: str, namespace: str = "jobs") -> None:
        self._note("DELETED", self.pods.pop((namespace, name)))

    def _note(self, kind: str, pod: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        noted = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self.version)}}
        self.changes.append((self.version, kind, noted))
        for stream in self.streams:
            stream.tell(kind, noted)
        return noted

    # --- the client ---

    async def connect(self, is_stale: bool) -> Any:
        self.connected.append(is_stale)

        @contextmanager
        def client() -> Iterator[Any]:
            yield self

        return client()

    def ask_json(self, request: Request) -> dict[str, Any]:
        self._note_request(request)
        namespace = self._namespace(request)
        items = [pod for (of, _), pod in sorted(self.pods.items()) if namespace in (None, of)]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def ask(self, request: Request) -> bytes:
        self._note_request(request)
        *_, namespace, _, name = request.uri.split("/")
        if (namespace, name) not in self.pods:
            raise KubectlError(Fault.NOT_FOUND, "not found", "get")
        return json.dumps(self.pods[namespace, name]).encode()

    def open(self, request: Request) -> PlayedStream:
        self._note_request(request)
        since = int(parse_qs(urlsplit(request.uri).query)["resourceVersion"][0])
        self.streams.append(stream := PlayedStream(self, self._namespace(request), since))
        return stream

    def _note_request(self, request: Request) -> None:
        self.asked.append(f"{request.verb} {self._namespace(request) or 'all'}")
        if faults := self.faults.get(request.verb):
            raise KubectlError(faults.popleft(), "a played fault", request.verb)
        if self._namespace(request) is None and not self.may_list_all:
            raise KubectlError(Fault.FORBIDDEN, "pods is forbidden at the cluster scope", request.verb)

    def _namespace(self, request: Request) -> str | None:
        _, _, rest = urlsplit(request.uri).path.partition("/namespaces/")
        return rest.split("/")[0] or None


@pytest.fixture
def server() -> PlayedServer:
    return PlayedServer()


def play(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 30))


async def phases(sight: Sight, number: int, seconds: float = 10) -> list[str]:
    """The next observation of a pod: its phase, or that it is gone; or else a sentence for the log."""
    seen: list[str] = []
    while len(seen) < number:
        event = await sight.next(seconds)
        assert event is not None, f"nothing came after {seen}"
        if isinstance(event, Event):
            seen.append("gone" if event.kind == "DELETED" else event.pod["status"]["phase"])
        else:
            seen.append(event)
    return seen


async def stream_of(server: PlayedServer, number: int = 1) -> PlayedStream:
    """Wait until a watch has been opened for the so-manieth time."""
    while sum(asked.startswith("watch") for asked in server.asked) < number or not server.streams:
        await asyncio.sleep(0.01)
    return server.streams[-1]


def test_a_hundred_pods_are_seen_by_two_requests(server: PlayedServer) -> None:
    names = [f"pod-{number}" for number in range(100)]

    async def story() -> None:
        hub = WatchHub(server.connect)
        for name in names:
            server.set(name)

        async def wait(name: str) -> list[str]:
            with hub.pod("jobs", name, "uid-1") as sight:
                return await phases(sight, 2)

        waiting = [asyncio.ensure_future(wait(name)) for name in names]
        await stream_of(server)
        for name in names:
            server.set(name, phase="Succeeded")
        assert await asyncio.gather(*waiting) == [["Running", "Succeeded"]] * 100
        assert server.asked == ["list jobs", "watch jobs"]
        while server.streams:  # the watch ends with the last who waits
            await asyncio.sleep(0.01)

    play(story)


def test_a_later_trigger_sees_the_pod_at_once_without_a_request(server: PlayedServer) -> None:
    server.set("first")
    server.set("second", phase="Succeeded")

    async def story() -> None:
        hub = WatchHub(server.connect)
        with hub.pod("jobs", "first", "uid-1") as first:
            await phases(first, 1)
            with hub.pod("jobs", "second", "uid-1") as second:
                assert await phases(second, 1) == ["Succeeded"]
        assert server.asked == ["list jobs", "watch jobs"]

    play(story)


def test_a_trigger_that_comes_during_the_list_sees_the_pod_at_once(server: PlayedServer) -> None:
    server.set("first")
    server.set("second", phase="Succeeded")

    async def story() -> None:
        hub = WatchHub(server.connect)
        with hub.pod("jobs", "first", "uid-1") as first:
            while not server.asked:
                await asyncio.sleep(0)
            with hub.pod("jobs", "second", "uid-1") as second, hub.pod("jobs", "younger", "uid-1") as younger:
                assert await phases(second, 1) == ["Succeeded"]
                await phases(first, 1)
                await stream_of(server)
                server.set("younger")
                assert await phases(younger, 1) == ["Running"]
        assert server.asked == ["list jobs", "watch jobs"]

    play(story)


@pytest.mark.parametrize("how", ["in-a-line", "with-an-error", "with-an-expired-version", "as-a-proxys-page"])
def test_a_watch_that_breaks_misses_nothing_and_tells_nothing_twice(server: PlayedServer, how: str) -> None:
    server.set("pod")

    async def story() -> None:
        with WatchHub(server.connect).pod("jobs", "pod", "uid-1") as sight:
            assert await phases(sight, 1) == ["Running"]
            stream = await stream_of(server)
            server.streams.remove(stream)  # it tells nothing any more
            server.set("pod", phase="Succeeded")
            server.streams.append(stream)
            if how == "in-a-line":
                stream.write(b'{"type": "MODIFIED", "object": {"metad')
            elif how == "with-an-expired-version":
                stream.write(b'{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}\n')
            elif how == "as-a-proxys-page":
                stream.write(b"<html>502</html>\n")
            stream.end(KubectlError(Fault.UNREACHABLE, "reset", "watch") if how == "with-an-error" else None)
            seen = await phases(sight, 1 if how == "with-an-expired-version" else 3)
            assert seen.count("Succeeded") == 1
            assert await sight.next(1.5) is None, "told twice"

    play(story)


def test_a_watch_that_ends_without_an_error_continues_where_it_ended(server: PlayedServer) -> None:
    server.set("pod")

    async def story() -> None:
        with WatchHub(server.connect).pod("jobs", "pod", "uid-1") as sight:
            await phases(sight, 1)
            stream = await stream_of(server)
            stream.write(b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "150"}}}\n')
            server.version = 150
            stream.end()
            server.set("pod", phase="Succeeded")
            assert await phases(sight, 1) == ["Succeeded"]
            assert server.asked == ["list jobs", "watch jobs", "watch jobs"]

    play(story)


def test_a_watch_that_stalls_is_opened_anew(server: PlayedServer) -> None:
    server.set("pod")

    async def story() -> None:
        with WatchHub(server.connect, silent=0.3).pod("jobs", "pod", "uid-1") as sight:
            await phases(sight, 1)
            server.streams.remove(stalled := await stream_of(server))
            server.streams.append(stalled)
            stalled.tell = lambda *_: None  # type: ignore[method-assign]
            server.set("pod", phase="Failed")
            assert await phases(sight, 1) == ["Failed"]
            assert stalled.is_closed

    play(story)


def test_a_pod_that_went_while_nobody_listened(server: PlayedServer) -> None:
    server.set("pod")

    async def story() -> None:
        with WatchHub(server.connect).pod("jobs", "pod", "uid-1") as sight:
            await phases(sight, 1)
            stream = await stream_of(server)
            server.streams.clear()
            server.remove("pod")
            server.streams.append(stream)
            stream.write(b'{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}\n')
            assert await phases(sight, 1) == ["gone"]

    play(story)


def test_a_pod_that_was_gone_before(server: PlayedServer) -> None:
    async def story() -> None:
        with WatchHub(server.connect).pod("jobs", "pod", "uid-1") as sight:
            assert await phases(sight, 1) == ["gone"]

    play(story)


def test_an_earlier_pod_of_the_same_name_is_not_taken_for_it(server: PlayedServer) -> None:
    """The watch may lag: it still has the pod that was replaced."""
    server.set("other")
    server.set("pod", uid="uid-0", phase="Failed")

    async def story() -> None:
        hub = WatchHub(server.connect)
        with hub.pod("jobs", "other", "uid-1") as other:
            await phases(other, 1)
            await stream_of(server)
            with hub.pod("jobs", "pod", "uid-1") as sight:
                server.remove("pod")
                server.set("pod", uid="uid-1")
                assert await phases(sight, 1) == ["Running"]

    play(story)


def test_a_pod_that_the_watch_does_not_show_is_looked_at(server: PlayedServer) -> None:
    server.set("other")

    async def story() -> None:
        hub = WatchHub(server.connect, shows=0.2)
        with hub.pod("jobs", "other", "uid-1") as other:
            await phases(other, 1)
            await stream_of(server)
            with hub.pod("jobs", "pod", "uid-1") as sight:
                assert await phases(sight, 1) == ["gone"]
        assert server.asked == ["list jobs", "watch jobs", "get jobs"]

    play(story)


def test_an_api_server_that_is_away_is_said_once_and_waited_for(server: PlayedServer) -> None:
    server.set("pod")
    server.faults["list"] = deque([Fault.UNREACHABLE, Fault.UNREACHABLE])

    async def story() -> None:
        with WatchHub(server.connect).pod("jobs", "pod", "uid-1") as sight:
            assert sight.trouble is None
            seen = await phases(sight, 3)
            assert seen[0].startswith("The API server can't be reached")
            assert seen[1:] == ["The API server answers again", "Running"]

    play(story)


def test_credentials_that_are_not_taken_are_looked_up_again(server: PlayedServer) -> None:
    server.set("pod")
    server.faults["list"] = deque([Fault.UNAUTHORIZED])

    async def story() -> None:
        with WatchHub(server.connect).pod("jobs", "pod", "uid-1") as sight:
            assert (await phases(sight, 1))[-1] == "Running"
        assert server.connected == [False, True]

    play(story)


def test_an_error_that_waiting_does_not_repair_is_reported_to_all(server: PlayedServer) -> None:
    server.faults["list"] = deque([Fault.FORBIDDEN])

    async def story() -> None:
        hub = WatchHub(server.connect)
        with hub.pod("jobs", "one", "1") as one, hub.pod("jobs", "two", "2") as two:
            for sight in (one, two):
                with pytest.raises(KubectlError, match="a played fault"):
                    await sight.next(5)
        server.set("three")
        with hub.pod("jobs", "three", "uid-1") as sight:  # who comes later may have more luck
            assert await phases(sight, 1) == ["Running"]

    play(story)


def test_a_connection_that_cannot_be_read_is_told_too() -> None:
    async def connect(_: bool) -> Any:
        raise ValueError("no such connection")

    async def story() -> None:
        with WatchHub(connect).pod("jobs", "one", "1") as one, pytest.raises(KubectlError, match="no such connection"):
            await one.next(5)

    play(story)


@pytest.mark.parametrize("may_list_all", [True, False])
def test_a_second_namespace_is_watched_with_all_where_that_is_allowed(server: PlayedServer, may_list_all: bool) -> None:
    server.may_list_all = may_list_all
    for namespace in ("jobs", "night", "more"):
        server.set("pod", namespace)

    async def story() -> None:
        hub = WatchHub(server.connect)
        with hub.pod("jobs", "pod", "uid-1") as jobs:
            assert await phases(jobs, 1) == ["Running"]
            with hub.pod("night", "pod", "uid-1") as night, hub.pod("more", "pod", "uid-1") as more:
                assert await phases(night, 1) == ["Running"]
                assert await phases(more, 1) == ["Running"]
                server.set("pod", "night", phase="Succeeded")
                assert await phases(night, 1) == ["Succeeded"]
                assert await more.next(0.2) is None
            with hub.pod("night", "pod", "uid-1") as night:
                assert await phases(night, 1) == ["Succeeded"]
        listed = [asked for asked in server.asked if asked.startswith("list")]
        assert listed[:2] == ["list jobs", "list all"]
        assert (listed.count("list night"), listed.count("list more")) == ((0, 0) if may_list_all else (2, 1))

    play(story)


def test_watches_that_end_at_once_are_not_opened_in_a_rush(server: PlayedServer) -> None:
    server.set("pod")

    async def story() -> None:
        with WatchHub(server.connect).pod("jobs", "pod", "uid-1") as sight:
            await phases(sight, 1)
            deadline = asyncio.get_running_loop().time() + 4
            while asyncio.get_running_loop().time() < deadline:
                for stream in list(server.streams):
                    if stream._writing >= 0:
                        stream.end()
                await asyncio.sleep(0.01)
        assert len(server.asked) <= 5, server.asked

    play(story)
