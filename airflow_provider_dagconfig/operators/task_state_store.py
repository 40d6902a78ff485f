"""
What a task instance keeps from try to try, in Airflow's task state store: Airflow 3.3 has it, older ones have nothing like it.

Its keys belong to the task instance and outlive retries and clears; they go when the dag run is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROUND = "dagconfig_round"
"""The key of what happened since the last clear: see ``operators/rounds.py``."""

GROWTH = "dagconfig_memory_limit"
"""The key of the memory limit that an OOMKilled try leaves to the next one."""


def can_remember(context: Mapping[str, Any]) -> bool:
    """Whether this Airflow has a task state store."""
    return context.get("task_state_store") is not None


def recall(context: Mapping[str, Any], key: str) -> Any:
    """
    Read what an earlier try left, as JSON values; None where it left nothing, or where there is no task state store.

    :param context: the task's.
    :raises Exception: Airflow's, where its API did not answer.
    """
    return context["task_state_store"].get(key) if can_remember(context) else None


def remember(context: Mapping[str, Any], key: str, value: Any) -> None:
    """
    Leave something to the next tries; nothing happens where there is no task state store.

    :param context: the task's.
    :param value: JSON values; not None.
    :raises Exception: Airflow's, where its API did not answer.
    """
    if can_remember(context):
        context["task_state_store"].set(key, value)
