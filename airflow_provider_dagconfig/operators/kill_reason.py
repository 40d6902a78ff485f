"""
Why a task was told to stop: Airflow is asked for its state, since a signal has no sender.

A worker's task gets SIGTERM when a person marked or cleared it, and as well when nobody decided anything: after heartbeats that
failed (``[workers] max_failed_heartbeats``), and when the worker's whole process group is stopped. Source: ``supervisor.py`` and
``task_runner.py`` of the Task SDK.
"""

from __future__ import annotations

import threading
from typing import Any

from airflow_provider_dagconfig.kubectl.lifecycle import Verdict

ANSWER_SECONDS = 3.0
"""Seconds that Airflow has to answer. After them the pod is left: the supervisor sends SIGKILL five seconds after SIGTERM."""

_DECIDED = ("success", "failed", "skipped", "removed", "restarting")
"""The states of a task that somebody ended or cleared. In every other one somebody else may go on with its pod, or nobody knows."""


def judge_kill(ti: Any) -> Verdict:
    """
    Ask Airflow whether somebody decided that the task's work is not wanted. Not for a signal handler, which could dead-lock.

    :param ti: the task instance in the context, with ``get_task_states``.
    :return: unwanted for a task instance that is a success, failed, skipped, removed or cleared, or that Airflow does not know; in
        any other state, and without an answer in time, not.
    """
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(
                ti.get_task_states(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=_map_index(ti))
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer, and the pod is left
            answers.append(error)

    # The request has no bound of its own: the supervisor tries again while Airflow's API server is away.
    asking = threading.Thread(target=ask, name="dagconfig-kill-reason", daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    if not answers:
        return Verdict(False, f"the task was told to stop, and Airflow did not answer in {ANSWER_SECONDS:g} s who decided that")
    if isinstance(answers[0], Exception):
        return Verdict(False, f"the task was told to stop, and Airflow could not be asked who decided that ({answers[0]!r})")
    return _verdict(ti, answers[0])


def _verdict(ti: Any, states: dict[str, Any]) -> Verdict:
    """Judge by what ``get_task_states`` gave: run id to task id, with the map index behind it, to state."""
    map_index = _map_index(ti)
    key = ti.task_id if map_index < 0 else f"{ti.task_id}_{map_index}"
    of_run = states.get(ti.run_id) or {}
    if key not in of_run:
        return Verdict(True, "Airflow does not know this task instance any more")
    state = None if of_run[key] is None else str(getattr(of_run[key], "value", of_run[key]))
    if state in _DECIDED:
        return Verdict(True, f"Airflow has the task as {state}")
    return Verdict(False, f"the task was told to stop, but nobody decided that: Airflow has it as {state or 'not started'}")


def _map_index(ti: Any) -> int:
    return -1 if ti.map_index is None else int(ti.map_index)
