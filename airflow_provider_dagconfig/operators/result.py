"""Reads what a container wrote for ``do_xcom_push``: JSON that Airflow can store, or an error that says what is wrong with it."""

from __future__ import annotations

import json
import math
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

_MOST_BYTES = 4096
"""Bytes, Kubernetes' limit for a termination message. Longer ones are cut there."""
_DEEPEST = 100
"""Levels of nested lists and dicts. A deeper value is refused: Airflow and PostgreSQL use one call per level."""
_FILE = "do_xcom_push: what the container wrote to /airflow/xcom/return.json"
_ELSEWHERE = "leave larger results in storage and return where they are"


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
        _check(value, 0)
    except RecursionError:
        raise _unfit(f"has more than {_DEEPEST} lists or dicts inside each other") from None
    except ValueError as error:
        # A character that was cut in two is missing.
        cut = f" (it was cut after {size} bytes)" if size > _MOST_BYTES - 4 else ""
        raise AirflowException(
            f"{_FILE} ({size} bytes) is no JSON{cut}: {error}. At most 4,096 bytes get through; {_ELSEWHERE}"
        ) from None
    return value


def _check(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(value, float) and not math.isfinite(value):
        raise _unfit("has NaN or an infinite number, which JSON lacks")
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= character <= "\udfff" for character in value)):
        raise _unfit("has a NUL or half a character (\\u0000, \\ud800) in a text, which PostgreSQL takes in no JSON")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)


def _unfit(why: str) -> AirflowException:
    return AirflowException(f"{_FILE} {why}, so Airflow can't store it. Write null or a text in its place")
