"""What models look like as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, time
from typing import Any

from airflow_provider_dagconfig.models.moments import Unreadable, moment_text
from airflow_provider_dagconfig.models.quantity import Quantity


def json_values(instance: Any) -> dict[str, Any]:
    """Give the fields of a dataclass as JSON has them."""
    return {f.name: json_value(getattr(instance, f.name)) for f in fields(instance)}


def json_value(value: Any) -> Any:
    """Give a value as JSON has it: quantities as written, times in ISO 8601, our own classes as dicts."""
    if isinstance(value, Quantity):
        return value.text
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, Unreadable):
        return str(value)
    if is_dataclass(value):
        return json_values(value)
    if isinstance(value, Mapping):
        return {name: json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return value
