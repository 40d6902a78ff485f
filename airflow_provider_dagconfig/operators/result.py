"""Reads what a container wrote for ``do_xcom_push``: JSON that Airflow can store, or an error that says what is wrong with it."""

from __future__ import annotations

import json
import math
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

_MAX_BYTES = 4096
"""Bytes, Kubernetes' limit for a termination message. Longer ones are cut there."""
_MAX_DEPTH = 100
"""Levels of nested lists and dicts. A deeper value is refused: Airflow and PostgreSQL use one call per level."""
_SUBJECT = "do_xcom_push: what the container wrote to /airflow/xcom/return.json"
_REMEDY = "leave larger results in storage and return where they are"


def read_result(text: str | None) -> Any:
    """
    Return the value of a termination message.

    :return: the JSON value; None if the message is empty or blank.
    :raises AirflowException: it is not JSON, was cut, or is a value that Airflow's database can't store.
    """
    if not text or not text.strip():
        return None
    size = len(text.encode(errors="replace"))
    try:
        value = json.loads(text)
        _check_value(value, 0)
    except RecursionError:
        raise _unfit_error(f"has more than {_MAX_DEPTH} lists or dicts inside each other") from None
    except ValueError as error:
        # A character that was cut in two is missing.
        cut = f" (it was cut after {size} bytes)" if size > _MAX_BYTES - 4 else ""
        raise AirflowException(
            f"{_SUBJECT} ({size} bytes) is no JSON{cut}: {error}. At most 4,096 bytes get through; {_REMEDY}"
        ) from None
    return value


def _check_value(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, float) and not math.isfinite(value):
        raise _unfit_error("has NaN or an infinite number, which JSON lacks")
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= character <= "\udfff" for character in value)):
        raise _unfit_error("has a NUL or half a character (\\u0000, \\ud800) in a text, which PostgreSQL takes in no JSON")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_value(key, depth)
            _check_value(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_value(item, depth + 1)


def _unfit_error(why: str) -> AirflowException:
    return AirflowException(f"{_SUBJECT} {why}, so Airflow can't store it. Write null or a text in its place")
