"""
Reads the API server's answers: the bytes of a watch become events, and an answer is accepted as a pod only if it is one. Pure.

A proxy may answer with a web page, and a connection may break in the middle of a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from airflow_provider_dagconfig.kubectl.annotations import IDENTITY
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError


class Event(NamedTuple):
    """One event of a watch."""

    kind: str
    """ADDED, MODIFIED, DELETED or BOOKMARK; the object of a BOOKMARK has only a ``resourceVersion``."""
    pod: Mapping[str, Any]


class WatchBytes:
    """The bytes of one watch, in pieces of any length."""

    def __init__(self) -> None:
        self._unfinished = b""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """
        Receive the next bytes; at the end of the watch, empty bytes.

        :return: the events whose lines these bytes complete. Half a line waits for the next bytes.
        :raises KubectlError: as :func:`read_event` does, after the events before that line.
        """
        *lines, self._unfinished = (self._unfinished + chunk).split(b"\n")
        if not chunk and self._unfinished:  # a line that was cut off, or a page without a line end
            lines.append(self._unfinished)
            self._unfinished = b""
        for line in lines:
            yield read_event(line)


def read_event(line: bytes) -> Event:
    """
    Read a line of a watch.

    :raises KubectlError: the requested version is too old (EXPIRED); the API server can't continue (SERVER_ERROR); or the line is
        not an event, but a proxy's answer or half a line (UNREACHABLE).
    """
    try:
        event = json.loads(line)
        kind, document = str(event["type"]), event["object"]
        if kind == "ERROR":
            fault = Fault.EXPIRED if document.get("code") == 410 else Fault.SERVER_ERROR
            raise KubectlError(fault, f"the watch ended with an error: {document.get('message')}", "watch")
        if kind == "BOOKMARK":
            return Event(kind, {"metadata": {"resourceVersion": str(document["metadata"]["resourceVersion"])}})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise KubectlError(
            Fault.UNREACHABLE, f"the watch sent something that is not an event: {_beginning(line)}", "watch"
        ) from None
    return Event(kind, read_pod(document, "watch"))


def read_pod(document: Any, verb: str) -> dict[str, Any]:
    """
    Return a document that has the parts which every API server gives a pod.

    :param verb: the request that it answers, for the message.
    :raises KubectlError: it is not a pod (UNREACHABLE).
    """
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or "name" not in metadata or "resourceVersion" not in metadata:
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no pod: {_beginning(json.dumps(document).encode())}", verb)
    return document  # type: ignore[no-any-return]


def read_pods(document: Any, verb: str) -> tuple[list[dict[str, Any]], str]:
    """
    Read one page of a list of pods.

    :param verb: the request that it answers, for the message.
    :return: the pods, and the place where the next page begins; empty after the last page.
    :raises KubectlError: it is not a list of pods (UNREACHABLE).
    """
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no list: {_beginning(json.dumps(document).encode())}", verb)
    return [read_pod(item, verb) for item in items], str((document.get("metadata") or {}).get("continue") or "")


_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_SPEC = ("nodeName", "activeDeadlineSeconds", "terminationGracePeriodSeconds")


def essentials(pod: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the parts of a pod that show its owner and its progress: a tenth of it, for a process that holds many pods.

    They contain no variable's value, no volume, and none of the API server's own notes.
    """
    metadata, spec = pod["metadata"], pod.get("spec", {})
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key in IDENTITY}
    containers = {
        kind: [{key: each[key] for key in ("name", "restartPolicy") if key in each} for each in spec[kind]]
        for kind in ("containers", "initContainers")
        if kind in spec
    }
    return {
        "metadata": {**{key: metadata[key] for key in _METADATA if key in metadata}, "annotations": annotations},
        "spec": {**{key: spec[key] for key in _SPEC if key in spec}, **containers},
        "status": pod.get("status", {}),
    }


def read_json(answer: bytes, verb: str) -> dict[str, Any]:
    """
    Return an answer's JSON.

    :raises KubectlError: it is not JSON (UNREACHABLE).
    """
    try:
        document: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no JSON: {_beginning(answer)}", verb) from None
    return document


def _beginning(answer: bytes) -> str:
    return repr(answer[:200].decode(errors="replace"))
