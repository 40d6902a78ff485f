"""The stand-in's information about itself: its version, health, resources and schema."""

from __future__ import annotations

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from demo.local_pods.store import RESOURCES, Object


class _Always:
    """Gives every request the same answer."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(scope, receive, send)


def routes() -> list[Route]:
    """Return the routes of discovery."""
    health = _Always(PlainTextResponse("ok"))
    documents: dict[str, Object] = {
        "/version": _VERSION,
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": _resources()},
    }
    # A protobuf schema that has only the version of its format (field 1, a string): kubectl finds no schema for a pod in it,
    # and leaves the validation to the server.
    schema = Response(b"\n\x032.0", media_type="application/octet-stream")
    return [
        *(Route(path, health, methods=["GET"]) for path in ("/readyz", "/livez", "/healthz")),
        *(Route(path, _Always(JSONResponse(document)), methods=["GET"]) for path, document in documents.items()),
        Route("/openapi/v2", _Always(schema), methods=["GET"]),
    ]


# Statuses, messages and behaviour are those of this release; the other fields say that this is no Kubernetes.
_VERSION: Object = {
    "major": "1",
    "minor": "20",
    "gitVersion": "v1.20.2+local-pods-no-kubernetes",
    "gitCommit": "none: local pods, a stand-in of airflow-provider-dagconfig; this is no Kubernetes",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "local/processes",
}


def _resources() -> list[Object]:
    listed: list[Object] = [
        {
            "name": resource.plural,
            "singularName": resource.kind.lower(),
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs,
            "shortNames": resource.short_names,
        }
        for resource in RESOURCES.values()
    ]
    log = {"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]}
    return [*listed, log]
