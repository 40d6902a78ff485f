"""
The HTTP side: authentication, and create, get, list, watch, replace, patch and delete as in the API server.

Discovery, tables and the options of a log request have their own modules.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.local_pods import discovery, pod_logs, protobuf, tables
from demo.local_pods.admission import admit, refuse
from demo.local_pods.node import Node
from demo.local_pods.store import (
    RESOURCES,
    ApiError,
    Object,
    Resource,
    Selector,
    Store,
    field_selector,
    label_selector,
    now,
    timestamp,
)

# The API server ends a watch after 30 to 60 minutes.
_LONGEST_WATCH_SECONDS = 1800
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_FIXED = {"spec", "status"}
_FINISHED = ("Succeeded", "Failed")
_TRUE = ("1", "true")


def application(store: Store, node: Node, token: str) -> ASGIApp:
    """Return the application. Every request needs the token."""
    api = _Api(store, node)
    reading, writing = ["GET"], ["POST", "DELETE"]
    single = [*reading, "PUT", "PATCH", "DELETE"]
    routes = [
        *discovery.routes(),
        Route("/api/v1/namespaces/{namespace}/pods/{name}/log", api.log),
        Route("/api/v1/namespaces/{namespace}/pods/{name}/status", api.status, methods=["PUT"]),
        Route("/api/v1/namespaces/{namespace}/{plural}", _handled(api.collection), methods=reading + writing),
        Route("/api/v1/namespaces/{namespace}/{plural}/{name}", _handled(api.single), methods=single),
        Route("/api/v1/{plural}", _handled(api.collection), methods=reading + writing),
        Route("/api/v1/{plural}/{name}", _handled(api.single), methods=single),
    ]
    handlers: Any = {ApiError: _refused, HTTPException: _unknown}
    return _Authenticated(Starlette(routes=routes, exception_handlers=handlers), token)


def create_namespace(store: Store, new: Object) -> Object:
    """
    Store a new namespace, with the service account of its pods.

    :raises ApiError: AlreadyExists.
    """
    namespace = store.create("namespaces", new)
    store.create("serviceaccounts", {"metadata": {"name": "default", "namespace": new["metadata"]["name"]}})
    return namespace


class _Authenticated:
    """Refuses requests without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._wanted):
                refusal = _json(ApiError(401, "Unauthorized", "Unauthorized").status, 401)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _json(content: Object, code: int = 200) -> Response:
    body = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    return Response(body, status_code=code, media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _json(error.status, error.code)


async def _unknown(_: Request, error: Exception) -> Response:
    """Answer for a path or a method that does not exist."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        message = "the server does not allow this method on the requested resource"
        return _json(ApiError(405, "MethodNotAllowed", message, {}).status, 405)
    return _json(_missing().status, 404)


def _missing() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def _handled(handler: Callable[[Request, Resource], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        resource = RESOURCES.get(request.path_params["plural"])
        if resource is None or (not resource.namespaced and "namespace" in request.path_params):
            raise _missing()
        if _VERBS.get(request.method, "get") not in resource.verbs:
            raise HTTPException(405)
        return await handler(request, resource)

    return handle


class _Api:
    def __init__(self, store: Store, node: Node) -> None:
        self._store = store
        self._node = node
        self._emptying: set[asyncio.Task[None]] = set()

    async def collection(self, request: Request, resource: Resource) -> Response:
        namespace = request.path_params.get("namespace", "")
        if request.method == "POST":
            return await self._create(request, resource, namespace)
        query = request.query_params
        by_field = field_selector(resource.plural, query.get("fieldSelector", ""))
        by_label = label_selector(query.get("labelSelector", ""))

        def selector(found: Object) -> bool:
            return by_field(found) and by_label(found)

        if request.method == "DELETE":
            return await self._delete_all(resource, namespace, selector)
        if query.get("watch") in _TRUE:
            return self._watch(request, resource, namespace, selector)
        items = [found for found in self._store.list(resource.plural, namespace) if selector(found)]
        version = str(self._store.version)
        if tables.wanted(request.headers.get("accept", "")):
            return _json(tables.table(resource.plural, items, version))
        items, place = _page(items, pod_logs.number(query.get("limit")), query.get("continue", ""))
        metadata = {"resourceVersion": version, **({"continue": place} if place else {})}
        return _json({"kind": f"{resource.kind}List", "apiVersion": "v1", "metadata": metadata, "items": items})

    async def _create(self, request: Request, resource: Resource, namespace: str) -> Response:
        if resource.namespaced and not namespace:
            raise HTTPException(405)
        new = admit(resource.plural, await _body(request, resource), namespace)
        if resource.namespaced:
            self._admit_into(resource, new)
        if request.query_params.get("dryRun"):
            return _json(new, 201)
        if resource.plural == "namespaces":
            return _json(create_namespace(self._store, new), 201)
        return _json(self._store.create(resource.plural, new), 201)

    def _admit_into(self, resource: Resource, new: Object) -> None:
        """
        Check what must exist before an object can be created.

        :raises ApiError: NotFound without the namespace; Forbidden if it is terminating, or without the service account.
        """
        namespace, name = new["metadata"]["namespace"], new["metadata"]["name"]
        if self._store.get("namespaces", "", namespace)["status"]["phase"] == "Terminating":
            message = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise _forbidden(resource.plural, name, message, [cause])
        account = new["spec"]["serviceAccountName"] if resource.plural == "pods" else "default"
        if self._store.find("serviceaccounts", namespace, account) is None:
            message = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise _forbidden("pods", name, message)

    def _watch(self, request: Request, resource: Resource, namespace: str, selector: Selector) -> Response:
        query = request.query_params
        version = query.get("resourceVersion") or "0"
        if not version.isdecimal():
            message = f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
            raise ApiError(500, "", message)
        since = int(version) or None
        seconds = pod_logs.number(query.get("timeoutSeconds")) or _LONGEST_WATCH_SECONDS
        as_table = tables.wanted(request.headers.get("accept", ""))

        async def lines() -> AsyncIterator[bytes]:
            changes = self._store.watch(resource.plural, namespace, selector, since)
            until = asyncio.get_running_loop().time() + seconds
            try:
                while (left := until - asyncio.get_running_loop().time()) > 0:
                    change, found = await asyncio.wait_for(changes.__anext__(), left)
                    if as_table:
                        found = tables.table(resource.plural, [found], found["metadata"]["resourceVersion"])
                    yield _line(change, found)
            except asyncio.TimeoutError:
                pass
            except ApiError as error:
                yield _line("ERROR", error.status)
            finally:
                await changes.aclose()  # type: ignore[attr-defined]

        return StreamingResponse(lines(), media_type="application/json")

    async def single(self, request: Request, resource: Resource) -> Response:
        key = request.path_params.get("namespace", ""), request.path_params["name"]
        if resource.namespaced and not key[0]:
            raise _missing()
        found = self._store.get(resource.plural, *key)
        if request.method == "GET":
            if tables.wanted(request.headers.get("accept", "")):
                return _json(tables.table(resource.plural, [found], found["metadata"]["resourceVersion"]))
            return _json(found)
        if request.method == "DELETE":
            return _json(await self._delete(request, resource, found))
        new = await _body(request, resource)
        if request.method == "PATCH":
            kind = request.headers.get("content-type", "").partition(";")[0]
            if kind not in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
                raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
            new = _merged(found, new)
        return _json(self._store.update(resource.plural, *key, lambda now_: _replaced(resource, now_, new)))

    async def _delete(self, request: Request, resource: Resource, found: Object) -> Object:
        options = await _body(request, resource, empty={})
        preconditions = options.get("preconditions") or {}
        for field, word, guess in (
            ("uid", "UID", "deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", "modified"),
        ):
            wanted, recorded = preconditions.get(field), found["metadata"][field]
            if wanted and wanted != recorded:
                name = found["metadata"]["name"]
                message = (
                    f'Operation cannot be fulfilled on {resource.kind} "{name}": the {word} in the precondition ({wanted}) '
                    f"does not match the {word} in record ({recorded}). The object might have been {guess}"
                )
                raise ApiError(409, "Conflict", message, {"name": name, "kind": resource.kind})
        grace = options.get("gracePeriodSeconds")
        if grace is None:
            grace = pod_logs.number(request.query_params.get("gracePeriodSeconds"))
        return self._end(resource, found, grace)

    async def _delete_all(self, resource: Resource, namespace: str, selector: Selector) -> Response:
        if not resource.namespaced or not namespace:
            raise HTTPException(405)
        items = [found for found in self._store.list(resource.plural, namespace) if selector(found)]
        for found in items:
            self._end(resource, found, None)
        metadata = {"resourceVersion": str(self._store.version)}
        return _json({"kind": f"{resource.kind}List", "apiVersion": "v1", "metadata": metadata, "items": items})

    def _end(self, resource: Resource, found: Object, grace: int | None) -> Object:
        """Delete an object: a pod when its processes have ended, a namespace when it is empty, other objects at once."""
        if resource.plural == "pods":
            return self._end_pod(found, grace)
        if resource.plural == "namespaces":
            return self._end_namespace(found)
        name, uid = found["metadata"]["name"], found["metadata"]["uid"]
        self._store.remove(resource.plural, found["metadata"].get("namespace", ""), name)
        details = {"name": name, "kind": resource.plural, "uid": uid}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _end_pod(self, found: Object, grace: int | None) -> Object:
        metadata = found["metadata"]
        key = metadata["namespace"], metadata["name"]
        if grace is None:
            grace = found["spec"]["terminationGracePeriodSeconds"]
        if grace < 0 or not found["spec"].get("nodeName") or found["status"]["phase"] in _FINISHED:
            grace = 0
        # A running grace period can only be made shorter.
        if metadata.get("deletionGracePeriodSeconds", grace + 1) <= grace:
            return found
        until = timestamp(datetime.now(timezone.utc) + timedelta(seconds=grace))
        marks = {"deletionTimestamp": until, "deletionGracePeriodSeconds": grace}
        ending = self._store.update("pods", *key, lambda pod: pod["metadata"].update(marks))
        if grace == 0:
            self._store.remove("pods", *key)
        return ending

    def _end_namespace(self, found: Object) -> Object:
        name = found["metadata"]["name"]
        if name == "default":
            raise _forbidden("namespaces", name, "this namespace may not be deleted")

        def mark(namespace: Object) -> None:
            namespace["metadata"].setdefault("deletionTimestamp", now())
            namespace["status"] = {"phase": "Terminating"}

        ending = self._store.update("namespaces", "", name, mark)
        task = asyncio.ensure_future(self._empty(name))
        self._emptying.add(task)
        task.add_done_callback(self._emptying.discard)
        return ending

    async def _empty(self, namespace: str) -> None:
        """Delete all objects in a namespace, and then the namespace."""
        for resource in RESOURCES.values():
            if resource.namespaced:
                for found in list(self._store.list(resource.plural, namespace)):
                    self._end(resource, found, None)
        while any(self._store.list("pods", namespace)):
            await asyncio.sleep(0.1)
        for event in list(self._store.list("events", namespace)):
            self._end(RESOURCES["events"], event, None)
        if self._store.find("namespaces", "", namespace) is not None:
            self._store.remove("namespaces", "", namespace)

    async def status(self, request: Request) -> Response:
        """Replace a pod's status, as its node's kubelet may. The pod runs on, and overwrites the status at its next change."""
        new = (await _body(request, RESOURCES["pods"])).get("status") or {}
        key = request.path_params["namespace"], request.path_params["name"]
        return _json(self._store.update("pods", *key, lambda pod: pod.update(status=new)))

    async def log(self, request: Request) -> Response:
        """Return a container's log."""
        query, name = request.query_params, request.path_params["name"]
        pod = self._store.get("pods", request.path_params["namespace"], name)
        options = pod_logs.options(query, name)
        container = pod_logs.container_name(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            return PlainTextResponse("")
        previous = query.get("previous") in _TRUE
        log = self._node.log(pod["metadata"]["uid"], container, previous=previous)
        if log is None:
            raise pod_logs.no_log(pod, container, previous=previous)
        return StreamingResponse(log.read(options), media_type="text/plain")


def _page(items: list[Object], limit: int | None, place: str) -> tuple[list[Object], str]:
    """
    Return one page of a list that is ordered by namespace and name.

    :param place: where the page begins; empty for the first page.
    :return: the page, and where the next one begins; empty after the last page.
    """

    def key(found: Object) -> tuple[str, str]:
        return found["metadata"].get("namespace", ""), found["metadata"]["name"]

    namespace, _, name = place.partition("/")
    rest = [found for found in items if key(found) >= (namespace, name)]
    if not limit or len(rest) <= limit:
        return rest, ""
    return rest[:limit], "/".join(key(rest[limit]))


def _forbidden(plural: str, name: str, message: str, causes: list[Object] | None = None) -> ApiError:
    details = {"name": name, "kind": plural, **({"causes": causes} if causes else {})}
    return ApiError(403, "Forbidden", f'{plural} "{name}" is forbidden: {message}', details)


async def _body(request: Request, resource: Resource, empty: Object | None = None) -> Any:
    body = await request.body()
    if not body and empty is not None:
        return empty
    try:
        if request.headers.get("content-type") == protobuf.MEDIA_TYPE:
            return protobuf.decode(body)
        return json.loads(body)
    except ValueError as error:
        shown = body[:200].decode(errors="replace") or "<empty>"
        message = (
            f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind; "
            f"json parse error: {error} ({shown})"
        )
        raise ApiError(400, "BadRequest", message) from None


def _line(change: str, found: Object) -> bytes:
    return json.dumps({"type": change, "object": found}, separators=(",", ":")).encode() + b"\n"


def _merged(old: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    new = {**old, **{key: _merged(old.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in new.items() if value is not None}


def _replaced(resource: Resource, old: Object, new: Object) -> Object:
    """
    Return the object as it is after an update.

    :raises ApiError: Conflict if it has changed meanwhile, Invalid if a field may not be changed.
    """
    name = old["metadata"]["name"]
    given = new.get("metadata") or {}
    if given.get("name", name) != name:
        message = f"the name of the object ({given['name']}) does not match the name on the URL ({name})"
        raise ApiError(400, "BadRequest", message)
    conflict = f'Operation cannot be fulfilled on {resource.plural} "{name}": '
    version, uid = given.get("resourceVersion"), given.get("uid")
    details = {"name": name, "kind": resource.plural}
    if uid and uid != old["metadata"]["uid"]:
        told = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
        raise ApiError(409, "Conflict", conflict + told, details)
    if version and version != old["metadata"]["resourceVersion"]:
        told = "the object has been modified; please apply your changes to the latest version and try again"
        raise ApiError(409, "Conflict", conflict + told, details)
    checked = {**new, "metadata": {**given, "name": name, "resourceVersion": ""}}
    checked = admit(resource.plural, json.loads(json.dumps(checked)), old["metadata"].get("namespace", ""))
    if resource.plural == "pods" and _fixed_spec(checked["spec"]) != _fixed_spec(old["spec"]):
        message = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
            "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to "
            "existing tolerations)"
        )
        refuse("Pod", name, [("FieldValueForbidden", "spec", message)])
    kept = {key: old[key] for key in _FIXED & old.keys()}
    free = {key: value for key, value in checked.items() if key not in ("kind", "apiVersion", "metadata")}
    metadata = {key: value for key, value in old["metadata"].items() if key not in ("labels", "annotations")}
    changed = {key: given[key] for key in ("labels", "annotations") if given.get(key)}
    return {
        "kind": resource.kind,
        "apiVersion": "v1",
        "metadata": {**metadata, **changed},
        **free,
        **kept,
    }


def _fixed_spec(spec: Object) -> Object:
    changeable = ("activeDeadlineSeconds", "tolerations", "nodeName")
    return {
        **{key: value for key, value in spec.items() if key not in changeable},
        "containers": [{**container, "image": ""} for container in spec["containers"]],
    }
