"""Objects as the rows that ``kubectl get`` prints. Kubernetes: API Concepts, "Receiving resources as Tables"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from demo.local_pods.store import Object

_Column = tuple[str, Callable[[Object], Any]]


def wanted(accept: str) -> bool:
    """Return whether a client asks for a table."""
    return "as=Table" in accept


def table(plural: str, objects: Iterable[Object], version: str) -> Object:
    """Return a table of objects of one kind."""
    columns = [("Name", _name), *_COLUMNS.get(plural, ()), ("Age", _age)]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [
            {"name": name, "type": "string", "format": "", "description": "", "priority": 0} for name, _ in columns
        ],
        "rows": [
            {
                "cells": [cell(found) for _, cell in columns],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": found["metadata"],
                },
            }
            for found in objects
        ],
    }


def _name(found: Object) -> str:
    return str(found["metadata"]["name"])


def _age(found: Object) -> str:
    made = datetime.strptime(found["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%S%z")
    seconds = int((datetime.now(timezone.utc) - made).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def _containers(pod: Object) -> list[Object]:
    return pod["status"].get("containerStatuses") or []


def _ready(pod: Object) -> str:
    return f"{sum(each['ready'] for each in _containers(pod))}/{len(pod['spec']['containers'])}"


def _pod_status(pod: Object) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    told = pod["status"].get("reason") or pod["status"]["phase"]
    for each in _containers(pod):
        told = (each["state"].get("waiting") or each["state"].get("terminated") or {}).get("reason", told)
    return str(told)


def _restarts(pod: Object) -> str:
    return str(sum(each["restartCount"] for each in _containers(pod)))


_COLUMNS: dict[str, tuple[_Column, ...]] = {
    "pods": (("Ready", _ready), ("Status", _pod_status), ("Restarts", _restarts)),
    "namespaces": (("Status", lambda found: found["status"]["phase"]),),
    "nodes": (
        ("Status", lambda _: "Ready"),
        ("Version", lambda found: found["status"]["nodeInfo"]["kubeletVersion"]),
    ),
    "secrets": (("Type", lambda found: found["type"]), ("Data", lambda found: str(len(found.get("data") or {})))),
    "configmaps": (("Data", lambda found: str(len(found.get("data") or {}))),),
    "events": (
        ("Type", lambda found: found["type"]),
        ("Reason", lambda found: found["reason"]),
        ("Object", lambda found: f"pod/{found['involvedObject']['name']}"),
        ("Message", lambda found: found["message"]),
    ),
}
