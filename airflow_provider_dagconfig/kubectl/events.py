"""
What the API server sends, read: the bytes of a watch become events, and an answer is taken for a pod only if it is one. Pure.

Who answers may be a proxy with a page, and a connection may break in the middle of a line.
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
    """ADDED, MODIFIED or DELETED; or BOOKMARK, whose object has nothing but a ``resourceVersion``."""
    pod: Mapping[str, Any]


class WatchBytes:
    """The bytes of one watch, in pieces of any length."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """
        Take a piece, and an empty one at the end of the watch.

        :return: the events whose lines it completes; half of a line waits for the next piece.
        :raises KubectlError: as :func:`read_event` does, after the events before that line.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if not chunk and self._rest:  # a line that was cut, or a page without a line end
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            yield read_event(line)


def read_event(line: bytes) -> Event:
    """
    Read a line of a watch.

    :raises KubectlError: the version that was asked for is too old (EXPIRED); the API server can't go on (SERVER_ERROR); or the
        line is no event, as what a proxy says, or half of a line (UNREACHABLE).
    """
    try:
        event = json.loads(line)
        kind, told = str(event["type"]), event["object"]
        if kind == "ERROR":
            fault = Fault.EXPIRED if told.get("code") == 410 else Fault.SERVER_ERROR
            raise KubectlError(fault, f"the watch ended with an error: {told.get('message')}", "watch")
        if kind == "BOOKMARK":
            return Event(kind, {"metadata": {"resourceVersion": str(told["metadata"]["resourceVersion"])}})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise KubectlError(Fault.UNREACHABLE, f"the watch told no event: {_beginning(line)}", "watch") from None
    return Event(kind, read_pod(told, "watch"))


def read_pod(document: Any, verb: str) -> dict[str, Any]:
    """
    Take a document for a pod if it has what all API servers give a pod.

    :param verb: the request that it answers, for the message.
    :raises KubectlError: it is no pod (UNREACHABLE).
    """
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or "name" not in metadata or "resourceVersion" not in metadata:
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no pod: {_beginning(json.dumps(document).encode())}", verb)
    return document  # type: ignore[no-any-return]


def read_pods(document: Any, verb: str) -> tuple[list[dict[str, Any]], str]:
    """
    Read one page of a list of pods.

    :param verb: the request that it answers, for the message.
    :return: the pods, and the place where the next page begins; empty after the last one.
    :raises KubectlError: it is no list of pods (UNREACHABLE).
    """
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no list: {_beginning(json.dumps(document).encode())}", verb)
    return [read_pod(item, verb) for item in items], str((document.get("metadata") or {}).get("continue") or "")


_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_SPEC = ("nodeName", "activeDeadlineSeconds", "terminationGracePeriodSeconds")


def essentials(pod: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give the parts of a pod from which it is known whose it is and how far it is: a tenth of it, for who holds many pods.

    Without a variable's value, a volume, or the API server's own notes.
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
    Read an answer.

    :raises KubectlError: it is no JSON (UNREACHABLE).
    """
    try:
        document: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise KubectlError(Fault.UNREACHABLE, f"the answer to {verb} is no JSON: {_beginning(answer)}", verb) from None
    return document


def _beginning(answer: bytes) -> str:
    return repr(answer[:200].decode(errors="replace"))
