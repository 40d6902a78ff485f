"""
Asks Airflow for the states of task instances, from a task by the Task SDK. Tries and times are not in the answer.

The answer maps run id to task id to state. The key of a mapped task ends with its map index: ``collect_1`` may be an instance of
``collect``, or a task with that name. So each question is about one map index.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from airflow_provider_dagconfig.hooks.asking import NoAnswerError, Question
from airflow_provider_dagconfig.kubectl.sweep import TaskFacts, TaskId

UNKNOWN = "unknown"
"""The state of a task instance that Airflow does not know, or no longer knows. No real state has this name."""


_MAX_TASKS = 10
"""Task instances in one question: their ids are in a URL, and a proxy accepts about 8,000 characters."""


def ask_state(ti: Any, seconds: float) -> str | None:
    """
    Return the state of a task instance. Do not call this in a signal handler: it could deadlock.

    :param ti: the task instance in the context, with ``get_task_states``.
    :param seconds: how long Airflow has to answer. While its API server is away, the supervisor retries for longer than a caller
        can wait.
    :return: such as ``running`` or ``success``; None for a task that has not started; :data:`UNKNOWN`.
    :raises NoAnswerError: there is no answer in time.
    """
    task = _task_id_of(ti)
    answer = Question(lambda: ti.get_task_states(**_question_arguments(task)), "Airflow").answer(seconds)
    return _state_in(answer, task)


async def ask_state_of(ti: Any) -> str | None:
    """
    Return the same in a trigger, which has only the ids of its task instance.

    :param ti: the trigger's ``task_instance``.
    :raises NoAnswerError: there is no readable answer.
    """
    # Imported here because only the triggerer needs it, and a worker does not.
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    task = _task_id_of(ti)
    try:
        answer: Any = await task_runner.SUPERVISOR_COMMS.asend(GetTaskStates(**_question_arguments(task)))
        return _state_in(answer.task_states, task)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer
        raise NoAnswerError(f"Airflow did not return the task's state: {type(error).__name__}: {error}") from None


def facts_of(ti: Any, tasks: Iterable[TaskId]) -> dict[TaskId, TaskFacts]:
    """
    Return the states of any task instances, in a task that has no database. Airflow does not know those that are missing.

    :param ti: the task instance in the context, with ``get_task_states``.
    """
    found: dict[TaskId, TaskFacts] = {}
    by_question = sorted(set(tasks), key=lambda task: (task.dag_id, task.map_index, task))
    for (dag_id, map_index), group in groupby(by_question, key=lambda task: (task.dag_id, task.map_index)):
        group_tasks = list(group)
        for start in range(0, len(group_tasks), _MAX_TASKS):
            batch = group_tasks[start : start + _MAX_TASKS]
            answer = ti.get_task_states(
                dag_id=dag_id,
                task_ids=sorted({task.task_id for task in batch}),
                run_ids=sorted({task.run_id for task in batch}),
                map_index=map_index,
            )
            states = {task: _state_in(answer, task) for task in batch}
            found |= {task: TaskFacts(state) for task, state in states.items() if state != UNKNOWN}
    return found


def _task_id_of(ti: Any) -> TaskId:
    return TaskId(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else int(ti.map_index))


def _question_arguments(task: TaskId) -> dict[str, Any]:
    """Return the arguments of the Task SDK's question for the state of one task."""
    return {"dag_id": task.dag_id, "task_ids": [task.task_id], "run_ids": [task.run_id], "map_index": task.map_index}


def _state_in(answer: Any, task: TaskId) -> str | None:
    key = task.task_id if task.map_index < 0 else f"{task.task_id}_{task.map_index}"
    states_of_run = answer.get(task.run_id) or {}
    if key not in states_of_run:
        return UNKNOWN
    return None if states_of_run[key] is None else str(getattr(states_of_run[key], "value", states_of_run[key]))
