"""
Finds out why a task was told to stop: a signal has no sender, so Airflow is asked for the task's state.

A task's process gets SIGTERM when a person marked or cleared the task. It also gets it when nobody decided anything: after failed
heartbeats (``[workers] max_failed_heartbeats``), and when the worker's whole process group is stopped. Source: ``supervisor.py``
and ``task_runner.py`` of the Task SDK.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_dagconfig.hooks.airflow_state import UNKNOWN, ask_state
from airflow_provider_dagconfig.hooks.asking import NoAnswerError
from airflow_provider_dagconfig.kubectl.release import Kill

ANSWER_SECONDS = 3.0
"""Seconds that Airflow has to answer. After them the pod is left: the supervisor sends SIGKILL five seconds after SIGTERM."""

_DECIDED_STATES = ("success", "failed", "skipped", "removed", "restarting")
"""The states of a task that somebody ended or cleared. In any other state somebody may continue with its pod, or it is unknown."""


def judge_kill(ti: Any) -> Kill:
    """
    Ask Airflow whether somebody decided that the task's work is not wanted. Not for a signal handler, which could deadlock.

    :param ti: the task instance in the context, with ``get_task_states``.
    :return: unwanted if the task instance is a success, failed, skipped, removed or cleared, or if Airflow does not know it. Not
        unwanted in any other state, and without an answer in time.
    """
    try:
        state = ask_state(ti, ANSWER_SECONDS)
    except NoAnswerError as error:
        return Kill(False, f"the task was told to stop, and it is not known whether somebody decided that: {error}")
    if state == UNKNOWN:
        return Kill(True, "Airflow does not know this task instance any more")
    if state in _DECIDED_STATES:
        return Kill(True, f"the task's state in Airflow is {state}")
    return Kill(
        False, f"the task was told to stop, but nobody decided that: the task's state in Airflow is {state or 'not started'}"
    )
