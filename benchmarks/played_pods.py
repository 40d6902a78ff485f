"""
A server that plays pods to real clients: it has the part of the Kubernetes API that is used for running pods.

It has list, watch (with bookmarks), get, create, replace, delete, the log and the events of pods in one namespace, by plain HTTP
and without credentials. A pod runs until :meth:`PlayedPods.finish`, which returns the moment. Requests are recorded.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from benchmarks.served import served

NAMESPACE = "default"
BOOKMARK_SECONDS = 60.0
"""Seconds between two bookmarks, as in Kubernetes."""
_TEMPLATE = Path(__file__).with_name("pod.json")
"""A running pod as Kubernetes 1.20 returned it, with its managed fields."""
_LOG = "".join(f"line {number}\n" for number in range(10))
_T = TypeVar("_T")


class PlayedPods:
    """The pods and their watches. Its public methods may be called from any thread."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, str]] = []
        """Moments (time.time) and requests as ``GET /path?query``, without ``GET /version``."""
        self.address = ""
        self._loop: asyncio.AbstractEventLoop
        self._pods: dict[str, dict[str, Any]] = {}
        self._version = 1000
        self._history: list[tuple[int, str, dict[str, Any]]] = []
        self._watchers: set[asyncio.Queue[tuple[int, str, dict[str, Any]]]] = set()

    def add(self, name: str, **annotations: str) -> None:
        """Add a running pod."""
        self._in_loop(lambda: self._make(name, annotations))

    def finish(self, name: str) -> float:
        """Let a pod succeed; return the moment (time.time)."""
        return self._in_loop(lambda: self._finish(name))

    def asked_between(self, begin: float, end: float) -> list[str]:
        """Return the requests between two moments."""
        return [request for at, request in list(self.requests) if begin <= at <= end]

    def _in_loop(self, call: Callable[[], _T]) -> _T:
        done: Future[_T] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(call()))
        return done.result(timeout=30)

    # --- the pods ---

    def _make(self, name: str, annotations: dict[str, str]) -> dict[str, Any]:
        pod: dict[str, Any] = json.loads(_TEMPLATE.read_text())
        pod["metadata"] |= {"name": name, "namespace": NAMESPACE, "uid": str(uuid.uuid4())}
        pod["metadata"].setdefault("annotations", {}).update(annotations)
        return self._note("ADDED", pod)

    def _finish(self, name: str) -> float:
        pod = json.loads(json.dumps(self._pods[name]))
        pod["status"]["phase"] = "Succeeded"
        for status in pod["status"]["containerStatuses"]:
            begun = status["state"].pop("running")["startedAt"]
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            status["state"]["terminated"] = {"exitCode": 0, "reason": "Completed", "startedAt": begun, "finishedAt": now}
            status["ready"] = False
        at = time.time()
        self._note("MODIFIED", pod)
        return at

    def _note(self, kind: str, pod: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        pod["metadata"]["resourceVersion"] = str(self._version)
        if kind == "DELETED":
            self._pods.pop(pod["metadata"]["name"], None)
        else:
            self._pods[pod["metadata"]["name"]] = pod
        event = (self._version, kind, pod)
        self._history.append(event)
        for queue in self._watchers:
            queue.put_nowait(event)
        return pod

    # --- the requests ---

    @web.middleware
    async def note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path != "/version":
            self.requests.append((time.time(), f"{request.method} {request.path_qs}"))
        answer: web.StreamResponse = await handler(request)
        return answer

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"major": "1", "minor": "32", "gitVersion": "v1.32.0", "platform": "linux/amd64"})

    async def list_or_watch(self, request: web.Request) -> web.StreamResponse:
        fits = _selects(request)
        if request.query.get("watch") in ("true", "1"):
            return await self._watch(request, fits)
        items = [pod for pod in self._pods.values() if fits(pod)]
        return web.json_response(
            {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(self._version)}, "items": items}
        )

    async def _watch(self, request: web.Request, fits: Callable[[dict[str, Any]], bool]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[tuple[int, str, dict[str, Any]]] = asyncio.Queue()
        since = request.query.get("resourceVersion", "0")
        if since in ("", "0"):
            past = [(self._version, "ADDED", pod) for pod in self._pods.values()]
        else:
            past = [event for event in self._history if event[0] > int(since)]
        self._watchers.add(queue)
        bookmarks = request.query.get("allowWatchBookmarks") in ("true", "1")
        end = time.monotonic() + float(request.query.get("timeoutSeconds", 1800))
        bookmark_at = time.monotonic() + BOOKMARK_SECONDS
        try:
            for _, kind, pod in past:
                await self._tell(response, kind, pod, fits)
            while (now := time.monotonic()) < end:
                if bookmarks and now >= bookmark_at:
                    await response.write(self._bookmark())
                    bookmark_at = now + BOOKMARK_SECONDS
                with suppress(asyncio.TimeoutError):
                    _, kind, pod = await asyncio.wait_for(queue.get(), min(end, bookmark_at if bookmarks else end) - now)
                    await self._tell(response, kind, pod, fits)
            if bookmarks:
                await response.write(self._bookmark())
        finally:
            self._watchers.discard(queue)
        return response

    async def _tell(
        self, response: web.StreamResponse, kind: str, pod: dict[str, Any], fits: Callable[[dict[str, Any]], bool]
    ) -> None:
        if fits(pod):
            await response.write(json.dumps({"type": kind, "object": pod}).encode() + b"\n")

    def _bookmark(self) -> bytes:
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(self._version)}}
        return json.dumps({"type": "BOOKMARK", "object": pod}).encode() + b"\n"

    async def create(self, request: web.Request) -> web.Response:
        given = await request.json()
        metadata = given["metadata"]
        if metadata["name"] in self._pods:
            return _status(409, "AlreadyExists", f'pods "{metadata["name"]}" already exists')
        pod = self._make(metadata["name"], metadata.get("annotations", {}))
        pod["metadata"]["labels"] = metadata.get("labels", {})
        pod["spec"]["containers"][0]["name"] = given["spec"]["containers"][0]["name"]
        pod["status"]["containerStatuses"][0]["name"] = given["spec"]["containers"][0]["name"]
        return web.json_response(pod, status=201)

    async def get(self, request: web.Request) -> web.Response:
        pod = self._pods.get(request.match_info["name"])
        return web.json_response(pod) if pod else _not_found(request)

    async def replace(self, request: web.Request) -> web.Response:
        if request.match_info["name"] not in self._pods:
            return _not_found(request)
        return web.json_response(self._note("MODIFIED", await request.json()))

    async def delete(self, request: web.Request) -> web.Response:
        pod = self._pods.get(request.match_info["name"])
        return web.json_response(self._note("DELETED", dict(pod, metadata=dict(pod["metadata"])))) if pod else _not_found(request)

    async def log(self, request: web.Request) -> web.Response:
        return web.Response(text=_LOG) if request.match_info["name"] in self._pods else _not_found(request)

    async def events(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") in ("true", "1", "True"):
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await asyncio.sleep(float(request.query.get("timeoutSeconds", 1800)))
            return response
        return web.json_response(
            {"kind": "EventList", "apiVersion": "v1", "metadata": {"resourceVersion": str(self._version)}, "items": []}
        )


def _selects(request: web.Request) -> Callable[[dict[str, Any]], bool]:
    """Return a filter by the selectors of a request: equalities of labels, and the pod's name."""
    fields = dict(part.split("=", 1) for part in request.query.get("fieldSelector", "").split(",") if part)
    labels = dict(part.split("=", 1) for part in request.query.get("labelSelector", "").split(",") if "=" in part)

    def fits(pod: dict[str, Any]) -> bool:
        metadata = pod["metadata"]
        own = metadata.get("labels", {})
        return fields.get("metadata.name", metadata["name"]) == metadata["name"] and all(
            own.get(label.removesuffix("!").removesuffix("=")) == value.removeprefix("=")
            for label, value in labels.items()
            if not label.endswith("!")
        )

    return fits


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code}
    return web.json_response(body, status=code)


def _not_found(request: web.Request) -> web.Response:
    return _status(404, "NotFound", f'pods "{request.match_info["name"]}" not found')


@contextmanager
def played_pods() -> Iterator[PlayedPods]:
    """Play pods at ``address`` until the block ends."""
    pods = PlayedPods()
    application = web.Application(middlewares=[pods.note], client_max_size=1 << 24)
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    application.router.add_get("/version", pods.version)
    application.router.add_get(path, pods.list_or_watch)
    application.router.add_post(path, pods.create)
    application.router.add_get(f"{path}/{{name}}", pods.get)
    application.router.add_put(f"{path}/{{name}}", pods.replace)
    application.router.add_delete(f"{path}/{{name}}", pods.delete)
    application.router.add_get(f"{path}/{{name}}/log", pods.log)
    application.router.add_get(f"/api/v1/namespaces/{NAMESPACE}/events", pods.events)
    with served(application) as (pods.address, pods._loop):
        yield pods
