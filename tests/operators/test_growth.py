"""Memory that grows: from try to try, after a worker that died, up to what is allowed, and anew in the next run."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.airflow_versions import AIRFLOW
from plugins.tasks import DAG_ID, JOB, TaskResult, Tasks, TaskStateStore
from plugins.workers import worker

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow keeps something from try to try from 3.3 on")

ROUND = {"max_tries": 10}
EATS = ("tail", "/dev/zero")
"""More than any limit."""


@pytest.fixture
def growing(tasks: Tasks) -> Tasks:
    tasks.configure(memory_request="16Mi", memory_limit="32Mi", memory_growth=2, max_retries=9)
    return tasks


def memory(task: TaskResult) -> tuple[str, str]:
    """The request and the limit that a task ran with, as Rendered shows them."""
    shown = task.operator.dag_config
    assert shown is not None
    return shown["memory_request"], shown["memory_limit"]


def test_each_try_that_is_oomkilled_leaves_more_to_the_next_one(growing: Tasks) -> None:
    first, second = (growing.run(*EATS, try_number=number, **ROUND) for number in (1, 2))

    assert [memory(task) for task in (first, second)] == [("16Mi", "32Mi"), ("32Mi", "64Mi")]
    assert "needed more than memory_limit = 32Mi of " in first.error
    assert "The next try has 64Mi (memory_growth = 2)." in first.error
    assert "memory_limit = 64Mi" in second.error
    assert "memory_limit 64Mi, grown from 32Mi: try 1 was OOMKilled" in second.error


def test_the_reason_is_in_the_log_and_on_the_pod(growing: Tasks) -> None:
    growing.run(*EATS, on_finish_action="delete_pod", **ROUND)
    task = growing.run("true", try_number=2, on_finish_action="keep_pod", **ROUND)

    why = "grown from 32Mi: try 1 was OOMKilled"
    assert any(line.startswith(f"{DAG_ID}/{JOB}: version ") and line.endswith(f", memory_limit 64Mi {why}") for line in task.log)
    [pod] = growing.namespace.pods()
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "64Mi"
    assert pod["metadata"]["annotations"]["airflow-provider-dagconfig/sources.memory_limit"] == f"row, {why}"
    assert task.operator.dag_config is not None
    assert task.operator.dag_config["sources"]["memory_limit"] == f"row, {why}"


def test_a_clear_continues_from_there_and_the_next_run_begins_with_the_row(growing: Tasks) -> None:
    growing.run(*EATS, **ROUND)
    cleared = growing.run("true", try_number=2, max_tries=11)
    other = growing.run("true", run_id="the-next-run", **ROUND)
    assert [memory(task) for task in (cleared, other)] == [("32Mi", "64Mi"), ("16Mi", "32Mi")]


def test_a_run_that_needed_more_says_at_its_end_what_to_write_into_the_row(growing: Tasks) -> None:
    growing.run(*EATS, **ROUND)
    task = growing.run("true", try_number=2, **ROUND)

    [said] = [line for line in task.log if "needed more memory than it is given" in line]
    assert "it succeeded with memory_limit 64Mi instead of 32Mi (grown from 32Mi: try 1 was OOMKilled)" in said
    assert said.endswith(f"airflow dagconfig set {DAG_ID} {JOB} memory_request=32Mi memory_limit=64Mi")
    assert not any("needed more memory" in line for line in growing.run("true", run_id="the-next-run", **ROUND).log)


def test_it_grows_no_further_than_the_limit_and_the_ceiling(growing: Tasks) -> None:
    growing.configure(memory_growth_limit="48Mi")
    first, second = (growing.run(*EATS, try_number=number, **ROUND) for number in (1, 2))
    assert memory(second) == ("24Mi", "48Mi")
    assert "The next try has 48Mi" in first.error
    assert "The next try" not in second.error

    growing.configure(memory_growth_limit=None)
    DagConfigHook().set_ceiling("memory", "128Mi")
    third = growing.run(*EATS, try_number=3, **ROUND)
    DagConfigHook().set_ceiling("memory", "40Mi", DAG_ID, not_valid=True)
    fourth = growing.run(*EATS, try_number=4, **ROUND)
    assert [memory(task)[1] for task in (third, fourth)] == ["48Mi", "40Mi"]


def test_a_row_with_more_memory_meanwhile_is_the_base(growing: Tasks) -> None:
    growing.run(*EATS, **ROUND)
    growing.configure(memory_limit="96Mi")
    assert memory(growing.run("true", try_number=2, **ROUND)) == ("16Mi", "96Mi")


@pytest.mark.parametrize("exit_code", [1, 137])
def test_another_end_leaves_nothing(growing: Tasks, exit_code: int) -> None:
    """137 alone is no OOM: any SIGKILL of the container's main process looks so."""
    growing.run("sh", "-c", f"exit {exit_code}", **ROUND)
    assert memory(growing.run("true", try_number=2, **ROUND)) == ("16Mi", "32Mi")


def test_without_memory_growth_airflow_is_asked_for_nothing(growing: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    growing.configure(memory_growth=None)
    asked: list[str] = []
    get = TaskStateStore.get

    def note(store: Any, key: str, default: Any = None) -> Any:
        asked.append(key)
        return get(store, key, default)

    monkeypatch.setattr(TaskStateStore, "get", note)
    first, second = (growing.run(*EATS, try_number=number, **ROUND) for number in (1, 2))
    assert [memory(task)[1] for task in (first, second)] == ["32Mi", "32Mi"]
    assert "dagconfig_memory_limit" not in asked
    assert "The next try" not in first.error


def test_a_store_that_takes_nothing_hides_no_end(growing: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = TaskStateStore.set

    def refuse(store: Any, key: str, value: Any) -> None:
        if key == "dagconfig_memory_limit":
            raise ConnectionError("the API server is away")
        keep(store, key, value)

    monkeypatch.setattr(TaskStateStore, "set", refuse)
    task = growing.run(*EATS, **ROUND)
    assert "was OOMKilled" in task.error
    assert "The next try" not in task.error
    assert any("did not keep memory_limit 64Mi for the next try: the API server is away" in line for line in task.log)


def test_a_worker_died_and_its_pod_was_oomkilled(growing: Tasks, tmp_path: Any) -> None:
    """Nobody reported it: the next try sees the pod that it replaces."""
    with worker(growing, tmp_path, "sh", "-c", "sleep 2; exec tail /dev/zero", **ROUND) as first:
        first.wait_until_it_asks_for("/log")
        first.kill()
    growing.namespace.wait_for_pod(lambda pod: pod["status"]["phase"] == "Failed")

    task = growing.run("true", try_number=2, on_finish_action="keep_pod", **ROUND)

    assert (task.state, memory(task)) == ("success", ("32Mi", "64Mi"))
    [pod] = growing.namespace.pods()
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "64Mi"
    assert memory(growing.run("true", try_number=3, max_tries=11)) == ("32Mi", "64Mi")
