"""The metrics of a task's pods, as they are passed to Airflow's Stats."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from plugins.airflow_versions import AIRFLOW
from plugins.tasks import DAG_ID, JOB, Tasks

from airflow_provider_dagconfig.operators import metrics


class Seen:
    """Takes what Airflow's Stats takes."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any, dict[str, str]]] = []

    def incr(self, name: str, *, tags: dict[str, str]) -> None:
        self.told.append((name, 1, tags))

    def timing(self, name: str, took: timedelta, *, tags: dict[str, str]) -> None:
        self.told.append((name, took.total_seconds(), tags))

    def names(self) -> list[str]:
        return [name for name, _, _ in self.told]

    def tags(self, name: str) -> dict[str, str]:
        return next(tags for told, _, tags in self.told if told == name)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    stats = Seen()
    monkeypatch.setattr(metrics, "Stats", stats)
    return stats


def test_a_success(tasks: Tasks, seen: Seen) -> None:
    tasks.run("sh", "-c", "sleep 1")
    assert seen.names() == ["dagconfig.pods.created", "dagconfig.pods.ended", "dagconfig.pod.pending", "dagconfig.pod.running"]
    of_the_job = {"dag_id": DAG_ID, "job_name": JOB, "namespace": tasks.namespace.name}
    assert seen.tags("dagconfig.pods.created") == of_the_job
    assert seen.tags("dagconfig.pods.ended") == {**of_the_job, "end": "succeeded", "reason": "Completed"}
    took = {name: value for name, value, _ in seen.told}
    assert 1 <= took["dagconfig.pod.running"] < 60


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="the policy is asked from Airflow 3.3 on; below it the same is counted before")
def test_a_failure_and_what_follows(tasks: Tasks, seen: Seen) -> None:
    tasks.configure(max_retries=1)
    tasks.run("sh", "-c", "exit 3", max_tries=10)
    assert seen.tags("dagconfig.pods.ended")["end"] == "exited"
    assert seen.tags("dagconfig.retries")["cause"] == "job"
    tasks.run("sh", "-c", "exit 3", try_number=2, max_tries=10)
    assert seen.tags("dagconfig.no_retry")["cause"] == "job"


def test_a_pod_that_was_adopted_is_not_one_that_was_created(tasks: Tasks, seen: Seen) -> None:
    tasks.run("true", report="running")  # Airflow did not get the success
    seen.told.clear()
    tasks.run("true", try_number=2)
    assert seen.names()[:2] == ["dagconfig.pods.adopted", "dagconfig.pods.ended"]


def test_a_pod_that_was_replaced(tasks: Tasks, seen: Seen) -> None:
    tasks.run("true", on_finish_action="keep_pod")
    seen.told.clear()
    tasks.run("true", try_number=2)
    assert seen.names()[:2] == ["dagconfig.pods.replaced", "dagconfig.pods.created"]


def test_where_metrics_are_off_nothing_is_said(tasks: Tasks) -> None:
    task = tasks.run("true")
    assert task.state == "success"
    assert not any("statsd" in line.lower() for line in task.log)


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="memory grows from Airflow 3.3 on")
def test_a_try_that_had_more_memory_than_its_row_says(tasks: Tasks, seen: Seen) -> None:
    tasks.configure(memory_request="16Mi", memory_limit="32Mi", memory_growth=2)
    tasks.run("tail", "/dev/zero", max_tries=10)
    assert "dagconfig.memory.grown" not in seen.names()
    tasks.run("true", try_number=2, max_tries=10)
    assert seen.names().count("dagconfig.memory.grown") == 1
