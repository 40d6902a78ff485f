"""The states of many task instances, asked for from a task: which questions are put, and whose state an answer is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from plugins.airflow_ids import keys, map_indexes, run_ids

from airflow_provider_dagconfig.hooks.airflow_state import facts_of
from airflow_provider_dagconfig.kubectl.sweep import TaskFacts, TaskId

States = dict[TaskId, str | None]


def airflow(states: States, asked: list[dict[str, Any]] | None = None) -> Any:
    """A task instance that is answered as Airflow's execution API does it (``get_task_instance_states``)."""

    def get_task_states(dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int) -> Any:
        if asked is not None:
            asked.append({"dag_id": dag_id, "task_ids": task_ids, "run_ids": run_ids, "map_index": map_index})
        answer: dict[str, dict[str, str | None]] = {}
        for task, state in states.items():
            if task.dag_id == dag_id and task.task_id in task_ids and task.run_id in run_ids and task.map_index == map_index:
                key = task.task_id if task.map_index < 0 else f"{task.task_id}_{task.map_index}"
                answer.setdefault(task.run_id, {})[key] = state
        return answer

    return SimpleNamespace(get_task_states=get_task_states)


names = st.sampled_from(["collect", "collect_1", "collect_1_1"]) | keys
tasks = st.builds(TaskId, names, run_ids, names, st.sampled_from([-1, 1, 11]) | map_indexes)


@given(st.dictionaries(tasks, st.none() | st.sampled_from(["success", "running"]), max_size=30), st.lists(tasks, max_size=5))
def test_each_task_instance_gets_its_own_state_and_an_unknown_one_gets_none(states: States, others: list[TaskId]) -> None:
    assert facts_of(airflow(states), [*states, *others]) == {task: TaskFacts(state) for task, state in states.items()}


def test_the_instances_of_a_dag_are_asked_for_together() -> None:
    asked: list[dict[str, Any]] = []
    facts_of(airflow({}, asked), [TaskId("d", "r1", "a", -1), TaskId("d", "r2", "b", -1), TaskId("d", "r1", "a", 3)])
    assert asked == [
        {"dag_id": "d", "task_ids": ["a", "b"], "run_ids": ["r1", "r2"], "map_index": -1},
        {"dag_id": "d", "task_ids": ["a"], "run_ids": ["r1"], "map_index": 3},
    ]


def test_many_are_asked_for_a_few_at_a_time() -> None:
    asked: list[dict[str, Any]] = []
    runs = [f"scheduled__2026-11-23T02:{minute:02}:00+00:00" for minute in range(60)]
    states = {TaskId("d", run, "collect", -1): "failed" for run in runs}

    assert len(facts_of(airflow(dict(states), asked), states)) == 60
    assert max(len(question["run_ids"]) for question in asked) * len(runs[0]) < 1_000


def test_an_enumeration_is_read_as_its_word() -> None:
    from airflow.providers.common.compat.sdk import TaskInstanceState

    task = TaskId("d", "r", "t", -1)
    assert facts_of(airflow({task: TaskInstanceState.UPSTREAM_FAILED}), [task])[task].is_finished
