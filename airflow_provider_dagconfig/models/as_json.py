"""
Conversion of models to JSON: rounded, for people and templates, or exact, so that the same model can be made from it.

The type of a field decides how it is read back; there is no list of names.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from airflow_provider_dagconfig.models.invalid_row import shown
from airflow_provider_dagconfig.models.moments import Unreadable, moment_text, read_moment
from airflow_provider_dagconfig.models.quantity import Quantity

Model = TypeVar("Model")


def json_values(instance: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON values for people: moments are rounded to the second."""
    return _values(instance, moment_text)


def exact_values(instance: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON values; :func:`from_values` makes the same dataclass from them."""
    return _values(instance, datetime.isoformat)


def _values(instance: Any, moment: Callable[[datetime], str]) -> dict[str, Any]:
    return {f.name: _value(getattr(instance, f.name), moment) for f in fields(instance)}


def _value(value: Any, moment: Callable[[datetime], str]) -> Any:
    if isinstance(value, Quantity):
        return value.text
    if isinstance(value, Decimal):
        return json_number(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, Unreadable):
        return str(value)
    if is_dataclass(value):
        return _values(value, moment)
    if isinstance(value, Mapping):
        return {name: _value(item, moment) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item, moment) for item in value]
    return value


def json_number(value: Decimal) -> int | float:
    """Return a Decimal of few digits as a JSON number that reads back as the same value: 2 or 1.5."""
    return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)


def from_values(model: type[Model], values: Any, name: str = "") -> Model:
    """
    Make a dataclass from the result of :func:`exact_values`.

    :param name: the name of the field that holds it, for messages; empty for the outermost.
    :raises ValueError: names the field that is missing, that is unknown, or that has a value of another type.
    """
    within = f"{name}." if name else ""
    if not isinstance(values, Mapping):
        raise ValueError(f"{name or 'it'} is {shown(values)}, and no object")
    types_of = get_type_hints(model)
    known = [f.name for f in fields(model)]  # type: ignore[arg-type]
    if lacking := [field for field in known if field not in values]:
        raise ValueError(f"there is no {within}{lacking[0]}")
    if unknown := [str(field) for field in values if field not in known]:
        raise ValueError(f"nothing is known of {within}{unknown[0]}")
    return model(**{field: _read(types_of[field], values[field], f"{within}{field}") for field in known})


def _read(kind: Any, value: Any, name: str) -> Any:
    """Turn a JSON value into a value for a field of this type."""
    outer, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if outer in (Union, types.UnionType):
        # For a moment that may be unreadable, the text decides which of the two it is.
        return None if value is None and types.NoneType in inner else _read(inner[0], value, name)
    if outer is Literal and value in inner:
        return value
    if outer is tuple and isinstance(value, list):
        return tuple(_read(inner[0], item, f"{name}[{number}]") for number, item in enumerate(value))
    if outer is Mapping and isinstance(value, Mapping):
        return {key: _read(inner[1], item, f"{name}.{key}") for key, item in value.items()}
    if kind is datetime and isinstance(value, str):
        return read_moment(value)
    if kind is time and isinstance(value, str):
        try:
            return time.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{name} is {shown(value)}, and no time of day") from None
    if kind is Decimal and isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    if kind is Quantity and isinstance(value, str):
        try:
            return Quantity.parse(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if is_dataclass(kind) and kind is not Quantity:
        return from_values(kind, value, name)  # type: ignore[arg-type]
    # The type must be exactly this one: True is not a number here.
    if type(value) is not kind:
        raise ValueError(f"{name} is {shown(value)}, and no {getattr(kind, '__name__', kind)}")
    return value
