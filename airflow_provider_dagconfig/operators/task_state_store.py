"""
The data that a task instance keeps between tries, in the task state store of Airflow 3.3. Older versions have no such store.

Its keys belong to the task instance and outlive retries and clears; they are deleted with the dag run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROUND = "dagconfig_round"
"""The key of what happened since the last clear: see ``operators/tries.py``."""

GROWTH = "dagconfig_memory_limit"
"""The key of the memory limit that an OOMKilled try stores for the next one."""


def can_remember(context: Mapping[str, Any]) -> bool:
    """Return whether this Airflow has a task state store."""
    return context.get("task_state_store") is not None


def recall(context: Mapping[str, Any], key: str) -> Any:
    """
    Return what an earlier try stored, as JSON values; None if it stored nothing, or if there is no task state store.

    :param context: the task's.
    :raises Exception: Airflow's, if its API did not answer.
    """
    return context["task_state_store"].get(key) if can_remember(context) else None


def remember(context: Mapping[str, Any], key: str, value: Any) -> None:
    """
    Store a value for the next tries; without a task state store, nothing happens.

    :param context: the task's.
    :param value: JSON values; not None.
    :raises Exception: Airflow's, if its API did not answer.
    """
    if can_remember(context):
        context["task_state_store"].set(key, value)
