"""
The objects of the stand-in, in memory, with Kubernetes' resource versions and watches.

admission.py validates objects, node.py runs pods, and api.py serves all of it over HTTP.
"""

from __future__ import annotations

import asyncio
import copy
import re
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

Object = dict[str, Any]
Selector = Callable[[Object], bool]

# Versions up to this one are "too old" to watch from, as on a server that has been running for a while.
_FIRST_VERSION = 100
# Changes that are kept for watches that resume; an API server keeps about as many.
_HISTORY = 2000


class ApiError(Exception):
    """
    An error response to a request.

    :param code: the HTTP status code.
    :param reason: Kubernetes' ``Status.reason``; empty where the API server leaves it out.
    :param message: ``Status.message``, in the API server's words.
    """

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            **({"reason": reason} if reason else {}),
            **({"details": details} if details is not None else {}),
            "code": code,
        }
        self.code = code


@dataclass(frozen=True)
class Resource:
    """A kind of object that is served under ``/api/v1``."""

    plural: str
    kind: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = ("create", "delete", "get", "list", "patch", "update", "watch")


RESOURCES = {
    resource.plural: resource
    for resource in (
        Resource("namespaces", "Namespace", ("ns",), namespaced=False),
        Resource("nodes", "Node", ("no",), namespaced=False, verbs=("get", "list", "watch")),
        Resource("pods", "Pod", ("po",)),
        Resource("secrets", "Secret"),
        Resource("configmaps", "ConfigMap", ("cm",)),
        Resource("serviceaccounts", "ServiceAccount", ("sa",)),
        Resource("events", "Event", ("ev",)),
    )
}


def not_found(plural: str, name: str) -> ApiError:
    """Return the error for an object that does not exist."""
    return ApiError(404, "NotFound", f'{plural} "{name}" not found', {"name": name, "kind": plural})


def now() -> str:
    """Return the time as Kubernetes' ``metav1.Time``: UTC, whole seconds."""
    return timestamp(datetime.now(timezone.utc))


def timestamp(when: datetime) -> str:
    """Return a time as Kubernetes' ``metav1.Time``."""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Change:
    """One change of one object, as a watch reports it."""

    version: int
    type: str
    plural: str
    object: Object
    before: Object | None


class Store:
    """
    Objects by resource, namespace and name. An object that it returns is never changed later, and callers must not change it.

    Kubernetes: API Concepts, "Resource versions" and "Efficient detection of changes".
    """

    def __init__(self) -> None:
        self.version = _FIRST_VERSION
        self._objects: dict[str, dict[tuple[str, str], Object]] = {plural: {} for plural in RESOURCES}
        self._history: deque[Change] = deque(maxlen=_HISTORY)
        self._watchers: set[asyncio.Queue[Change]] = set()

    def find(self, plural: str, namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        return self._objects[plural].get((namespace, name))

    def get(self, plural: str, namespace: str, name: str) -> Object:
        """
        Return an object.

        :raises ApiError: NotFound.
        """
        found = self.find(plural, namespace, name)
        if found is None:
            raise not_found(plural, name)
        return found

    def list(self, plural: str, namespace: str = "") -> Iterator[Object]:
        """Yield the objects of a namespace, or of all namespaces, in order of namespace and name."""
        for (of, _), found in sorted(self._objects[plural].items()):
            if namespace in ("", of):
                yield found

    def create(self, plural: str, new: Object) -> Object:
        """
        Store a new object.

        :raises ApiError: AlreadyExists.
        """
        namespace, name = new["metadata"].get("namespace", ""), new["metadata"]["name"]
        existing = self.find(plural, namespace, name)
        if existing is not None:
            prefix = "object is being deleted: " if "deletionTimestamp" in existing["metadata"] else ""
            details = {"name": name, "kind": plural}
            raise ApiError(409, "AlreadyExists", f'{prefix}{plural} "{name}" already exists', details)
        new = copy.deepcopy(new)
        # The keys are in the API server's order: kind and identity first.
        metadata = new["metadata"]
        identity = {key: metadata.pop(key) for key in ("name", "generateName", "namespace") if key in metadata}
        new["metadata"] = {**identity, "uid": str(uuid.uuid4()), "creationTimestamp": now(), **metadata}
        ordered = {"kind": RESOURCES[plural].kind, "apiVersion": "v1", **new}
        return self._put("ADDED", plural, ordered, None)

    def update(self, plural: str, namespace: str, name: str, change: Callable[[Object], Object | None]) -> Object:
        """
        Change an object.

        :param change: is called with a copy that it may change; it may return another object to store instead.
        :return: the changed object. If nothing changed, its version stays the same.
        :raises ApiError: NotFound, and the errors of ``change``.
        """
        before = self.get(plural, namespace, name)
        after = copy.deepcopy(before)
        after = change(after) or after
        if after == before:
            return before
        return self._put("MODIFIED", plural, after, before)

    def remove(self, plural: str, namespace: str, name: str) -> Object:
        """
        Remove an object.

        :raises ApiError: NotFound.
        """
        before = self.get(plural, namespace, name)
        return self._put("DELETED", plural, copy.deepcopy(before), before)

    def _put(self, type_: str, plural: str, new: Object, before: Object | None) -> Object:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        key = new["metadata"].get("namespace", ""), new["metadata"]["name"]
        if type_ == "DELETED":
            del self._objects[plural][key]
        else:
            self._objects[plural][key] = new
        change = Change(self.version, type_, plural, new, before)
        self._history.append(change)
        for queue in self._watchers:
            queue.put_nowait(change)
        return new

    async def watch(
        self, plural: str, namespace: str = "", selector: Selector = lambda _: True, since: int | None = None
    ) -> AsyncIterator[tuple[str, Object]]:
        """
        Yield changes, as they happen.

        :param since: a resource version: only later changes are reported. None: the existing objects are reported first, as ADDED.
        :return: pairs of ADDED, MODIFIED or DELETED, as seen through the selector, and the object.
        :raises ApiError: Expired, if the version is older than the kept changes.
        """
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            if since is None:
                for found in list(self.list(plural, namespace)):
                    if selector(found):
                        yield "ADDED", found
            else:
                oldest = self._history[0].version - 1 if self._history else self.version
                if since < oldest:
                    raise ApiError(410, "Expired", f"too old resource version: {since} ({oldest})")
                queue = self._replay(queue, since)
            while True:
                change = await queue.get()
                if change.plural != plural or namespace not in ("", change.object["metadata"].get("namespace", "")):
                    continue
                seen = _seen(change, selector)
                if seen is not None:
                    yield seen, change.object
        finally:
            self._watchers.discard(queue)

    def _replay(self, queue: asyncio.Queue[Change], since: int) -> asyncio.Queue[Change]:
        for change in self._history:
            if change.version > since:
                queue.put_nowait(change)
        return queue


def _seen(change: Change, selector: Selector) -> str | None:
    """Return the type of a change for a client that sees only the selected objects; None if it sees nothing of it."""
    after = change.type != "DELETED" and selector(change.object)
    before = change.before is not None and selector(change.before)
    if after:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None


_FIELDS = {
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase"),
    "events": (
        *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
        *("reason", "source", "type"),
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
}


def field_selector(plural: str, text: str) -> Selector:
    """
    Read a field selector: ``metadata.name=x,status.phase!=Failed``.

    :raises ApiError: BadRequest, if a field cannot be used in a selector.
    """
    terms = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"([^=!]*)(==|=|!=)(.*)", part)
        if match is None:
            raise ApiError(400, "BadRequest", f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = match.groups()
        if path not in ("metadata.name", "metadata.namespace", *_FIELDS.get(plural, ())) and path:
            raise ApiError(400, "BadRequest", f"field label not supported: {path}")
        if path:
            terms.append((path.split("."), value, operator != "!="))
    return lambda found: all((_field(found, path) == value) is wanted for path, value, wanted in terms)


def _field(found: Any, path: list[str]) -> str:
    for name in path:
        found = found.get(name, "") if isinstance(found, dict) else ""
    return str(found)


_REQUIREMENT = re.compile(
    r"\s*(?:!\s*(?P<absent>[\w./-]+)|(?P<key>[\w./-]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)"
    r"|(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?)\s*(?:,|$)"
)


def label_selector(text: str) -> Selector:
    """
    Read a label selector: ``a=b,c!=d,e in (f,g),h,!i``.

    :raises ApiError: BadRequest, if it cannot be parsed.
    """
    terms: list[Callable[[dict[str, str]], bool]] = []
    at = 0
    while at < len(text):
        match = _REQUIREMENT.match(text, at)
        if match is None or match.end() == at:
            raise ApiError(400, "BadRequest", f"unable to parse requirement: found '{text[at:]}'")
        at = match.end()
        terms.append(_label_term(**match.groupdict()))
    return lambda found: all(term(found["metadata"].get("labels") or {}) for term in terms)


def _label_term(
    absent: str | None, key: str | None, op: str | None, value: str | None, set: str | None, values: str | None
) -> Callable[[dict[str, str]], bool]:
    if key is None:
        return lambda labels: absent not in labels
    if op is not None:
        return lambda labels: (labels.get(key) == value) is (op != "!=")
    if set is not None:
        allowed = {part.strip() for part in (values or "").split(",")}
        return lambda labels: (labels.get(key) in allowed) is (set == "in")
    return lambda labels: key in labels
