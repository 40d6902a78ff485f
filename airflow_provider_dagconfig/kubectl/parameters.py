"""
Reads the parameters of a pod: texts, lists, dicts and the kubernetes client's models become plain data. Pure.

For an invalid parameter, an error names it and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from numbers import Number
from typing import Any
from uuid import UUID

from airflow_provider_dagconfig.kubectl import names
from airflow_provider_dagconfig.kubectl.annotations import readable
from airflow_provider_dagconfig.models import Quantity

_FREE_KEYS = frozenset(
    # In these fields the keys are the user's, not the names of Kubernetes' fields.
    {"annotations", "labels", "limits", "matchLabels", "nodeSelector", "options", "requests", "volumeAttributes"}
)


class ManifestError(ValueError):
    """A parameter can't be part of a pod. The message names the parameter and what to write instead."""


def to_plain(value: Any) -> Any:
    """
    Turn the kubernetes client's models into plain data, as its ``ApiClient.sanitize_for_serialization`` does.

    At any depth, models (all objects with ``attribute_map`` and ``openapi_types``) become dicts with camelCase keys, tuples become
    lists, and dates become ISO 8601 texts. A model's attributes that are None are omitted; all other values stay.
    """
    if hasattr(value, "attribute_map") and hasattr(value, "openapi_types"):
        attributes = {field: getattr(value, name) for name, field in value.attribute_map.items()}
        return {field: to_plain(item) for field, item in attributes.items() if item is not None}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def read_fields(parameter: str, values: Any) -> list[dict[str, Any]]:
    """Read a list of models or dicts; None becomes an empty list."""
    if values is None:
        return []
    if not isinstance(values, list | tuple):
        raise ManifestError(f"{parameter} is a {kind_of(values)}, no list; write [...] around it")
    return [read_field(f"{parameter}[{index}]", value) or {} for index, value in enumerate(values)]


def read_field(parameter: str, value: Any) -> dict[str, Any] | None:
    """Read a model or dict; None stays None."""
    if value is None:
        return None
    plain = _without_none(to_plain(value))
    if not isinstance(plain, dict):
        raise ManifestError(
            f"{parameter} is a {kind_of(value)}; write a dict with Kubernetes' fields, or a model of the kubernetes client"
        )
    _check_keys(parameter, plain)
    return plain


def _without_none(value: Any) -> Any:
    """Remove fields that are None: they count as not given."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def _check_keys(parameter: str, value: Any) -> None:
    """Refuse field names that Kubernetes does not have: the API server would drop them silently."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_keys(f"{parameter}[{index}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or "_" in key:
                camel = re.sub(r"_+([A-Za-z0-9])", lambda match: match[1].upper(), str(key))
                raise ManifestError(f"{parameter} has {key!r}, but Kubernetes' fields are in camelCase; write {camel!r}")
            if key not in _FREE_KEYS:
                _check_keys(f"{parameter}.{key}", item)
    elif isinstance(value, str):
        read_text(parameter, value)


def read_text(parameter: str, value: Any) -> str:
    """
    Read a text for a process or a field. A number or time becomes the text that a template would have written for it.

    None, booleans and containers are refused: the texts that they would become ("None", "True") are hardly ever intended. Messages
    do not show the value, which may be a password.
    """
    if isinstance(value, str):
        text = str.__str__(value)
        if "\0" in text or readable(text) != text:
            raise ManifestError(f"{parameter} has a NUL or a lone surrogate in it, which no process can be given")
        return text
    if value is None:
        raise ManifestError(f"{parameter} is None; give it a text ('' for an empty one), or leave it out")
    if isinstance(value, bool):
        raise ManifestError(f"{parameter} is {value}, a boolean; write the text that is meant, such as 'true' or 'True'")
    if isinstance(value, Number | date | time | UUID | Quantity):
        return str(value)
    raise ManifestError(f"{parameter} is a {kind_of(value)}; write a text")


def read_texts(parameter: str, values: Any) -> list[str]:
    """Read a list of texts."""
    if values is None:
        return []
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise ManifestError(f"{parameter} is a {kind_of(values)}; write a list of texts, as in ['python', '-m', 'collector']")
    return [read_text(f"{parameter}[{index}]", value) for index, value in enumerate(values)]


def read_optional_text(parameter: str, value: Any) -> str | None:
    return None if value is None else read_text(parameter, value)


def read_label(parameter: str, value: Any) -> str:
    text = read_text(parameter, value)
    if not names.is_label(text):
        raise ManifestError(
            f"{parameter} is {shown(text)}; write at most {names.MAX_LABEL_LENGTH} lower case letters, digits and '-',"
            " with a letter or digit at both ends (RFC 1123 label)"
        )
    return text


def read_subdomain(parameter: str, value: Any) -> str:
    text = read_text(parameter, value)
    if not names.is_subdomain(text):
        raise ManifestError(
            f"{parameter} is {shown(text)}; write at most 253 lower case letters, digits, '-' and '.', with a letter"
            " or digit at both ends (RFC 1123 subdomain)"
        )
    return text


def read_switch(parameter: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ManifestError(f"{parameter} is {shown(value)}; write True or False")


def read_seconds(parameter: str, value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ManifestError(f"{parameter} is {shown(value)}; write a whole number of seconds, 0 or more")


def read_mapping(parameter: str, values: Any, none: str | None = None) -> dict[str, str]:
    """Read a dict of texts. None becomes ``none``, or is refused if ``none`` is None."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ManifestError(f"{parameter} is a {kind_of(values)}, {shown(values)}; write a dict")
    texts: dict[str, str] = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise ManifestError(f"{parameter} has the key {shown(key)}; write a text")
        if value is None and none is not None:
            value = none
        texts[key] = readable(value) if isinstance(value, str) else read_text(f"{parameter}[{key!r}]", value)
    return texts


def kind_of(value: Any) -> str:
    return type(value).__name__


def shown(value: Any) -> str:
    """Return a value's repr for a message; a long one without its middle."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:120]}...{text[-60:]}"
