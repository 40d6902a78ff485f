"""
The requests to the Kubernetes API. Each is described once: its method, its path and its timeout. Pure.

``client`` and ``kubectl.sh`` make the requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from airflow_provider_dagconfig.kubectl.annotations import PREFIX
from airflow_provider_dagconfig.kubectl.names import label_value

PATIENCE = 10
"""Seconds that an answer may take. After them kubectl gives up the request, and the server counts as unreachable."""

WATCH_SECONDS = 300
"""Seconds after which the API server ends a watch. Then the watch is reopened."""

MANAGED_BY = f"app.kubernetes.io/managed-by={PREFIX}"
"""Selects the operator's pods, all of which have this label."""

PAGE = 200
"""Maximum number of pods in one answer to a list, of some 10 kB each; the rest is in further pages."""


@dataclass(frozen=True)
class Request:
    """
    One request.

    :param verb: its name in messages.
    :param command: kubectl's word for its method: get (GET), create (POST), replace (PUT) or delete (DELETE).
    :param uri: the path and query.
    :param body: the JSON to send; None sends nothing.
    :param seconds: the timeout; None for a stream, which ends when the server ends it.
    """

    verb: str
    command: str
    uri: str
    body: Mapping[str, Any] | None = None
    seconds: int | None = PATIENCE


class PodPath(NamedTuple):
    """The pod, and the container in it, that a request is about."""

    namespace: str
    pod: str
    container: str = "base"

    @property
    def pods(self) -> str:
        """The path of all pods of the namespace."""
        return pods_path(self.namespace)

    @property
    def uri(self) -> str:
        """The path of the pod."""
        return f"{self.pods}/{self.pod}"


def create(path: PodPath, manifest: Mapping[str, Any]) -> Request:
    """POST the manifest. The server refuses a field that Kubernetes does not have (since 1.25; earlier ones drop it)."""
    return Request("create", "create", f"{path.pods}?fieldValidation=Strict", manifest)


def get(path: PodPath, seconds: int = PATIENCE) -> Request:
    """GET the current state of the pod."""
    return Request("get", "get", path.uri, seconds=seconds)


def watch(path: PodPath, seconds: int = WATCH_SECONDS) -> Request:
    """
    Watch the pod: its present state, if it exists, then each change, one JSON object per line.

    The request gives no resource version: a restarted API server would refuse a version that it does not know, again and again.
    """
    query = f"watch=true&fieldSelector=metadata.name%3D{path.pod}&timeoutSeconds={seconds}"
    return Request("watch", "get", f"{path.pods}?{query}", seconds=None)


def log(path: PodPath, since: str | None, *, follow: bool) -> Request:
    """
    GET the container's log, each line with its time.

    :param since: the moment to start at (RFC 3339); None for the whole log.
    :param follow: whether to continue with new lines.
    """
    query = f"container={path.container}&timestamps=true"
    query += f"&sinceTime={since}" if since else ""
    return Request("log", "get", f"{path.uri}/log?{query}{'&follow=true' if follow else ''}", seconds=None)


def events(path: PodPath) -> Request:
    """GET the pod's events."""
    selector = f"involvedObject.kind%3DPod,involvedObject.name%3D{path.pod}"
    return Request("events", "get", f"/api/v1/namespaces/{path.namespace}/events?fieldSelector={selector}")


def replace(path: PodPath, pod: Mapping[str, Any]) -> Request:
    """PUT the pod, whose ``resourceVersion`` must be the current one."""
    return Request("replace", "replace", path.uri, pod)


def delete(path: PodPath, pod: Mapping[str, Any], seconds: int = PATIENCE, *, unchanged: bool = False) -> Request:
    """
    DELETE exactly this pod, not another pod with its name. Its own grace period applies.

    :param pod: as the API server returned it.
    :param unchanged: delete the pod only if it has not changed since.
    """
    known = ("uid", "resourceVersion") if unchanged else ("uid",)
    preconditions = {name: pod["metadata"][name] for name in known if name in pod["metadata"]}
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
    return Request("delete", "delete", path.uri, options, seconds)


def list_pods(namespace: str, installation: str, continue_token: str | None = None, page: int = PAGE) -> Request:
    """
    GET one page of an installation's pods.

    :param installation: the id in the pods' label.
    :param continue_token: where the page begins, from the previous page (``metadata.continue``); None for the first page.
    :param page: the maximum number of pods in one answer.
    """
    query = {"labelSelector": f"{MANAGED_BY},installation={label_value(installation)}", "limit": str(page)}
    if continue_token:
        query["continue"] = continue_token
    return Request("list", "get", f"{pods_path(namespace)}?{urlencode(query)}")


def pods_path(namespace: str | None) -> str:
    """Return the path of all pods of a namespace; of all namespaces if it is None."""
    return "/api/v1/pods" if namespace is None else f"/api/v1/namespaces/{namespace}/pods"


def list_all(namespace: str | None, continue_token: str | None = None) -> Request:
    """
    GET one page of the operator's pods, of every Airflow, in a namespace or in all namespaces.

    :param continue_token: as for :func:`list_pods`.
    """
    query = {"labelSelector": MANAGED_BY, "limit": str(PAGE)} | ({"continue": continue_token} if continue_token else {})
    return Request("list", "get", f"{pods_path(namespace)}?{urlencode(query)}")


def watch_all(namespace: str | None, version: str, seconds: int = WATCH_SECONDS) -> Request:
    """
    Watch the same pods: each change since a version, one JSON object per line.

    About once a minute a bookmark gives the version up to which all changes were sent, so that the next watch can start there.
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
    """GET the version of the API server."""
    return Request("version", "get", "/version")


def review(namespace: str, verb: str, resource: str, subresource: str = "") -> Request:
    """Ask whether this user may do something with a resource of the core group."""
    attributes = {"namespace": namespace, "verb": verb, "resource": resource, "subresource": subresource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return Request("review", "create", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
