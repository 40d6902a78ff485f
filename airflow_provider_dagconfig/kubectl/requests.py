"""
The requests to the Kubernetes API, each described once: what is asked, where, and how long it may take. Pure.

Who makes them, and with which process, is ``client`` and ``kubectl.sh``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from airflow_provider_dagconfig.kubectl.annotations import PREFIX
from airflow_provider_dagconfig.kubectl.names import label_value

PATIENCE = 10
"""Seconds that an answer may take. After them kubectl gives the request up, and it counts as a server out of reach."""

WATCH_SECONDS = 300
"""Seconds after which the API server ends a watch; then it is opened anew."""

MANAGED_BY = f"app.kubernetes.io/managed-by={PREFIX}"
"""Selects the operator's pods, by the label that all of them have."""

PAGE = 200
"""Pods that one answer to a list has at most: some 10 kB each."""


@dataclass(frozen=True)
class Request:
    """
    One request.

    :param verb: what it is called in messages.
    :param command: kubectl's word for its method: get (GET), create (POST), replace (PUT) or delete (DELETE).
    :param uri: the path and query.
    :param body: what is sent, as JSON; None sends nothing.
    :param seconds: how long it may take; None for a stream, which ends when the server ends it.
    """

    verb: str
    command: str
    uri: str
    body: Mapping[str, Any] | None = None
    seconds: int | None = PATIENCE


class PodPath(NamedTuple):
    """Which pod, and which of its containers, a request is about."""

    namespace: str
    pod: str
    container: str = "base"

    @property
    def pods(self) -> str:
        """The path of all pods of the namespace."""
        return pods_path(self.namespace)

    @property
    def uri(self) -> str:
        """The pod's own path."""
        return f"{self.pods}/{self.pod}"


def create(path: PodPath, manifest: Mapping[str, Any]) -> Request:
    """POST the manifest. A field that Kubernetes does not have is refused (from 1.25 on; before, it is dropped)."""
    return Request("create", "create", f"{path.pods}?fieldValidation=Strict", manifest)


def get(path: PodPath, seconds: int = PATIENCE) -> Request:
    """The pod as it is now."""
    return Request("get", "get", path.uri, seconds=seconds)


def watch(path: PodPath, seconds: int = WATCH_SECONDS) -> Request:
    """
    The pod as it is, where there is one, then each change of it; a JSON object a line.

    It names no version to begin at: one that a restarted API server does not know it refuses, again and again.
    """
    query = f"watch=true&fieldSelector=metadata.name%3D{path.pod}&timeoutSeconds={seconds}"
    return Request("watch", "get", f"{path.pods}?{query}", seconds=None)


def log(path: PodPath, since: str | None, *, follow: bool) -> Request:
    """
    The container's log, each line with its time.

    :param since: from this moment on (RFC 3339), or all of it.
    :param follow: also what is still to come.
    """
    query = f"container={path.container}&timestamps=true"
    query += f"&sinceTime={since}" if since else ""
    return Request("log", "get", f"{path.uri}/log?{query}{'&follow=true' if follow else ''}", seconds=None)


def events(path: PodPath) -> Request:
    """What happened to the pod, as the API server lists it."""
    selector = f"involvedObject.kind%3DPod,involvedObject.name%3D{path.pod}"
    return Request("events", "get", f"/api/v1/namespaces/{path.namespace}/events?fieldSelector={selector}")


def replace(path: PodPath, pod: Mapping[str, Any]) -> Request:
    """PUT the pod, whose ``resourceVersion`` must be the current one."""
    return Request("replace", "replace", path.uri, pod)


def delete(path: PodPath, pod: Mapping[str, Any], seconds: int = PATIENCE, *, unchanged: bool = False) -> Request:
    """
    Ask for the deletion of this pod and of no other that has its name; its own grace period holds.

    :param pod: as the API server gave it.
    :param unchanged: only if nothing about it has changed since.
    """
    known = ("uid", "resourceVersion") if unchanged else ("uid",)
    preconditions = {name: pod["metadata"][name] for name in known if name in pod["metadata"]}
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
    return Request("delete", "delete", path.uri, options, seconds)


def list_pods(namespace: str, installation: str, place: str | None = None, page: int = PAGE) -> Request:
    """
    The pods of an installation, a page of them.

    :param installation: the id that is on them as a label.
    :param place: where the page begins, as the page before says (``metadata.continue``); None for the first one.
    :param page: how many there are in an answer at most.
    """
    query = {"labelSelector": f"{MANAGED_BY},installation={label_value(installation)}", "limit": str(page)}
    if place:
        query["continue"] = place
    return Request("list", "get", f"{pods_path(namespace)}?{urlencode(query)}")


def pods_path(namespace: str | None) -> str:
    """Give the path of all pods of a namespace, or of all namespaces."""
    return "/api/v1/pods" if namespace is None else f"/api/v1/namespaces/{namespace}/pods"


def list_all(namespace: str | None, place: str | None = None) -> Request:
    """
    The operator's pods, whichever Airflow's, of a namespace or of all of them; a page.

    :param place: as in :func:`list_pods`.
    """
    query = {"labelSelector": MANAGED_BY, "limit": str(PAGE)} | ({"continue": place} if place else {})
    return Request("list", "get", f"{pods_path(namespace)}?{urlencode(query)}")


def watch_all(namespace: str | None, version: str, seconds: int = WATCH_SECONDS) -> Request:
    """
    Each change of these pods since a version; a JSON object a line.

    A bookmark tells every minute or so which version all before it was told of, so that the next watch begins there.
    """
    query = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "labelSelector": MANAGED_BY,
        "resourceVersion": version,
        "timeoutSeconds": str(seconds),
    }
    return Request("watch", "get", f"{pods_path(namespace)}?{urlencode(query)}", seconds=None)


def server_version() -> Request:
    """The version of the API server."""
    return Request("version", "get", "/version")


def review(namespace: str, verb: str, resource: str, subresource: str = "") -> Request:
    """Whether this user may do something with a resource of the core group."""
    attributes = {"namespace": namespace, "verb": verb, "resource": resource, "subresource": subresource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return Request("review", "create", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
