"""The meaning of a SIGTERM, for each state of the task in Airflow, and if Airflow does not answer."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskInstanceState

from airflow_provider_dagconfig.operators import kill_reason
from airflow_provider_dagconfig.operators.kill_reason import judge_kill

DECIDED = {"success", "failed", "skipped", "removed", "restarting"}


def instance(answer: Any, map_index: int | None = -1, asked: list[dict[str, Any]] | None = None) -> Any:
    """A task instance whose ``get_task_states`` returns this answer, or the result of calling it."""

    def get_task_states(**question: Any) -> Any:
        if asked is not None:
            asked.append(question)
        return answer() if callable(answer) else answer

    return SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=map_index, get_task_states=get_task_states)


@pytest.mark.parametrize("state", [*TaskInstanceState, *(state.value for state in TaskInstanceState), None], ids=repr)
def test_the_pod_is_unwanted_where_the_task_was_ended_or_cleared_and_in_no_other_state(state: Any) -> None:
    verdict = judge_kill(instance({"r": {"t": state}}))
    assert verdict.unwanted is (state is not None and str(getattr(state, "value", state)) in DECIDED)


@pytest.mark.parametrize(
    "answer",
    [{}, {"r": {}}, {"r": None}, {"r": {"another": "running"}}, {"another": {"t": "running"}}],
    ids=["nothing", "no-task", "no-tasks", "another-task", "another-run"],
)
def test_a_task_instance_that_airflow_does_not_know_is_unwanted(answer: Any) -> None:
    """Its run was deleted. That is not the same as a state that is None: such a task has not begun."""
    verdict = judge_kill(instance(answer))
    assert verdict.unwanted
    assert "does not know this task instance" in verdict.reason


def test_a_mapped_task_is_asked_for_by_its_index_and_found_under_it() -> None:
    asked: list[dict[str, Any]] = []
    assert judge_kill(instance({"r": {"t_3": "failed"}}, map_index=3, asked=asked)).unwanted
    assert not judge_kill(instance({"r": {"t_3": "running"}}, map_index=3)).unwanted
    assert asked == [{"dag_id": "d", "task_ids": ["t"], "run_ids": ["r"], "map_index": 3}]


def test_a_task_that_is_not_mapped_is_asked_for_as_airflow_keeps_it() -> None:
    asked: list[dict[str, Any]] = []
    judge_kill(instance({}, map_index=None, asked=asked))
    assert asked[0]["map_index"] == -1


def test_without_an_answer_in_time_the_pod_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_reason, "ANSWER_SECONDS", 0.2)
    away = threading.Event()
    verdict = judge_kill(instance(away.wait))
    away.set()
    assert not verdict.unwanted
    assert "did not answer in 0.2 s" in verdict.reason


@pytest.mark.parametrize("error", [BrokenPipeError("gone"), EOFError("closed"), RuntimeError("no")], ids=repr)
def test_a_question_that_fails_leaves_the_pod(error: Exception) -> None:
    def fail() -> Any:
        raise error

    verdict = judge_kill(instance(fail))
    assert not verdict.unwanted
    assert type(error).__name__ in verdict.reason
