"""What Airflow has a task instance as: asked in a thread of its own, since the answer may never come."""

from __future__ import annotations

import threading
from typing import Any

UNKNOWN = "unknown"
"""Given for a task instance that Airflow does not know, or knows no more. No state has this name."""


class NoAnswerError(Exception):
    """Airflow could not be asked, or did not answer in time. The message is a clause that says which."""


def ask_state(ti: Any, seconds: float) -> str | None:
    """
    Ask for the state of a task instance. Not for a signal handler, which could dead-lock.

    :param ti: the task instance in the context, with ``get_task_states``.
    :param seconds: how long Airflow has to answer. While its API server is away the supervisor tries again, for longer than anybody
        can wait.
    :return: such as ``running`` or ``success``; None for one that is not started; :data:`UNKNOWN`.
    :raises NoAnswerError: there is no answer in time.
    """
    map_index = -1 if ti.map_index is None else int(ti.map_index)
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(ti.get_task_states(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index))
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer
            answers.append(error)

    asking = threading.Thread(target=ask, name="dagconfig-task-state", daemon=True)
    asking.start()
    asking.join(seconds)
    if not answers:
        raise NoAnswerError(f"Airflow did not answer in {seconds:g} s")
    if isinstance(answers[0], Exception):
        raise NoAnswerError(f"Airflow could not be asked ({answers[0]!r})")
    # Run id to task id, with the map index behind it, to state.
    key = ti.task_id if map_index < 0 else f"{ti.task_id}_{map_index}"
    of_run = answers[0].get(ti.run_id) or {}
    if key not in of_run:
        return UNKNOWN
    return None if of_run[key] is None else str(getattr(of_run[key], "value", of_run[key]))
