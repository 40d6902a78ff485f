"""The result first, then the deletion: a pod that has succeeded is deleted once Airflow has stored the success, not before."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskInstanceState
from airflow.sdk import BaseOperator

from airflow_provider_dagconfig.operators.after_report import after_success

BY_AUTHOR: dict[str, Callable[[Any], Any]] = {
    "a list": lambda callback: [callback],
    "a tuple": lambda callback: (callback,),
    "a function": lambda callback: callback,
    "nothing": lambda _: None,
}


def done(state: Any, map_index: int = -1, own: str = "a list") -> list[str]:
    """
    End a task with a success; return what was done once its callbacks have run.

    :param state: what Airflow answers, or what it raises.
    :param own: how the DAG's author sets a callback.
    """

    def get_task_states(**_: Any) -> Any:
        if isinstance(state, Exception):
            raise state
        return state

    calls = list[str]()
    task = BaseOperator(task_id="t")
    task.on_success_callback = BY_AUTHOR[own](lambda _: calls.append("the author's"))
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=map_index, get_task_states=get_task_states)
    after_success(task, ti, lambda: calls.append("deleted"), calls.append)
    for callback in task.on_success_callback:
        callback({})
    return calls


@pytest.mark.parametrize("state", TaskInstanceState, ids=str)
def test_a_pod_is_deleted_where_airflow_has_its_success_and_left_in_every_other_state(state: TaskInstanceState) -> None:
    left = f"the task's state in Airflow is {state.value}"
    assert done({"r": {"t": state}}) == ["the author's", "deleted" if state is TaskInstanceState.SUCCESS else left]


def test_a_task_that_was_cleared_meanwhile_finds_its_pod() -> None:
    assert done({"r": {"t": None}})[1] == "the task's state in Airflow is not started"


def test_a_pod_that_nobody_can_ask_for_any_more_is_deleted() -> None:
    assert done({}) == ["the author's", "deleted"]


def test_a_mapped_task_is_found_under_its_index() -> None:
    assert done({"r": {"t_3": "success"}}, map_index=3)[1] == "deleted"


def test_without_an_answer_the_pod_is_left() -> None:
    assert "Airflow could not be asked (EOFError" in done(EOFError("closed"))[1]


@pytest.mark.parametrize("own", BY_AUTHOR)
def test_the_authors_callbacks_are_kept_however_they_were_given(own: str) -> None:
    """A value that is assigned to a task after its creation stays as its author wrote it."""
    assert done({"r": {"t": "success"}}, own=own) == [*(["the author's"] if own != "nothing" else []), "deleted"]
