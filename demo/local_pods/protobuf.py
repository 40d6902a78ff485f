"""
Kubernetes' protobuf envelope, as far as kubectl uses it: kubectl 1.32 sends objects that its own commands create (``kubectl create
namespace``, ``secret``, ``configmap``) in it. Pods always come as JSON, and every answer is JSON.

Field numbers are from ``generated.proto`` of k8s.io/api/core/v1 and k8s.io/apimachinery.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

# How the bytes of a field become a value: by a function, or as a message, by number to name and kind of its fields.
_Kind = Callable[[bytes], Any]
_Message = dict[int, tuple[str, Any]]
_text: _Kind = bytes.decode
_encoded: _Kind = lambda raw: base64.b64encode(raw).decode()  # noqa: E731


def _entries(value: _Kind) -> tuple[_Kind]:
    """Mark a map: it has a message for each entry, with the key in field 1 and the value in field 2."""
    return (value,)


_METADATA: _Message = {
    1: ("name", _text),
    2: ("generateName", _text),
    3: ("namespace", _text),
    11: ("labels", _entries(_text)),
    12: ("annotations", _entries(_text)),
}
_KINDS: dict[str, _Message] = {
    "Namespace": {1: ("metadata", _METADATA)},
    "ServiceAccount": {1: ("metadata", _METADATA)},
    "ConfigMap": {1: ("metadata", _METADATA), 2: ("data", _entries(_text))},
    "Secret": {
        1: ("metadata", _METADATA),
        2: ("data", _entries(_encoded)),
        3: ("type", _text),
        4: ("stringData", _entries(_text)),
    },
}


def decode(body: bytes) -> dict[str, Any]:
    """
    Read an object.

    :raises ValueError: it is not such a message, or its kind is not supported here.
    """
    if not body.startswith(_MAGIC):
        raise ValueError("expected the envelope of Kubernetes' protobuf")
    envelope = dict(_fields(body[len(_MAGIC) :]))
    type_ = dict(_fields(envelope.get(1, b"")))
    version, kind = type_.get(1, b"").decode(), type_.get(2, b"").decode()
    if kind not in _KINDS:
        raise ValueError(f"{version} {kind} is not read from protobuf; send JSON")
    return {"kind": kind, "apiVersion": version, **_message(envelope.get(2, b""), _KINDS[kind])}


def _message(raw: bytes, known: _Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(raw):
        name, kind = known.get(number, ("", None))
        if isinstance(kind, tuple):
            entry = dict(_fields(value))
            found.setdefault(name, {})[entry.get(1, b"").decode()] = kind[0](entry.get(2, b""))
        elif isinstance(kind, dict):
            found[name] = _message(value, kind)
        elif kind is not None and value:
            found[name] = kind(value)
    return found


def _fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and bytes of a message's fields that hold bytes. Encoding: protobuf.dev, "Encoding"."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        wire = tag & 7
        if wire == 0:
            _, at = _varint(raw, at)
        elif wire == 2:
            length, at = _varint(raw, at)
            if at + length > len(raw):
                raise ValueError("a field ends after its message")
            yield tag >> 3, raw[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is not used by Kubernetes")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw):
            raise ValueError("a number ends after its message")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
