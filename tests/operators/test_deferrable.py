"""A task that is deferred: the worker makes the pod and leaves, the trigger waits, the worker comes back."""

from __future__ import annotations

import pytest
from plugins.cluster import is_running
from plugins.tasks import DAG_ID, JOB, Tasks

from airflow_provider_dagconfig.kubectl.annotations import annotation, identity
from airflow_provider_dagconfig.kubectl.report import Kind, Report


def test_a_deferred_task_has_its_log_and_its_result_once(tasks: Tasks) -> None:
    made: list[str] = []
    task = tasks.run_deferred(
        "sh",
        "-c",
        "for i in 1 2 3; do echo line $i; sleep 1; done; echo '{\"rows\": 7}' > /airflow/xcom/return.json",
        do_xcom_push=True,
        between=lambda: made.extend(tasks.namespace.left()),
    )
    assert (task.state, task.result) == ("success", {"rows": 7})
    assert [line for line in task.log if line.startswith("line")] == ["line 1", "line 2", "line 3"]
    assert len(made) == 1
    assert tasks.namespace.left() == []


def test_a_deferred_task_fails_with_the_end_of_its_pod(tasks: Tasks) -> None:
    task = tasks.run_deferred("sh", "-c", "echo about to fail; exit 3")
    assert task.state == "failed"
    assert "exit code 3" in task.error
    assert "about to fail" in task.error
    assert tasks.namespace.left() == []


def test_the_row_may_change_be_switched_off_or_be_away_meanwhile(tasks: Tasks) -> None:
    """The result is collected all the same, with the values that the pod was made with."""
    first = tasks.run("sh", "-c", "echo $BATCH", deferrable=True, env_vars={"BATCH": "{{ dag_config.batch_size }}"})
    assert first.left is not None
    event = first.left.fire()
    tasks.configure(batch_size=77, enabled=False)
    rendered = first.operator.dag_config
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", "postgresql://nobody@127.0.0.1:1/nowhere")
        task = tasks.run(
            "sh",
            "-c",
            "echo $BATCH",
            deferrable=True,
            env_vars={"BATCH": "{{ dag_config.batch_size }}"},
            left=first.left,
            event=event,
        )
    assert task.state == "success"
    assert rendered is not None
    assert str(rendered["batch_size"]) in task.log
    assert task.operator.dag_config == rendered
    assert task.operator.env_vars == {"BATCH": str(rendered["batch_size"])}
    assert rendered["batch_size"] != 77


def test_the_log_is_read_while_the_task_is_deferred(tasks: Tasks) -> None:
    script = "for i in 1 2 3 4 5 6; do echo line $i; sleep 1; done"
    deferrals: list[int] = []
    task = tasks.run_deferred("sh", "-c", script, logging_interval=2, between=lambda: deferrals.append(1))
    assert task.state == "success"
    assert [line for line in task.log if line.startswith("line")] == [f"line {i}" for i in range(1, 7)]
    assert len(deferrals) >= 3


def test_an_execution_timeout_holds_while_the_task_is_deferred(tasks: Tasks) -> None:
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    with pytest.raises(AirflowTaskTimeout, match="0:00:05"):
        tasks.run_deferred("sleep", "60", execution_timeout=timedelta(seconds=5), termination_grace_period=1)
    assert tasks.namespace.left() == []


def test_a_pod_that_does_not_start_in_time_fails_its_deferred_task(tasks: Tasks) -> None:
    task = tasks.run_deferred("sleep", "1", startup_timeout_seconds=4, node_selector={"there": "is-none"})
    assert task.state == "failed"
    assert "startup_timeout_seconds = 4" in task.error
    assert tasks.namespace.left() == []


def test_the_triggerer_knows_nothing_of_secrets(tasks: Tasks) -> None:
    task = tasks.run("sleep", "1", deferrable=True, env_vars={"TOKEN": "s3cret"})
    assert task.left is not None
    assert "s3cret" not in str(task.left)
    assert "s3cret" not in str(task.left.fire())


def test_a_failed_trigger_is_not_the_end_of_the_pod(tasks: Tasks) -> None:
    first = tasks.run("sh", "-c", "sleep 2; echo done", deferrable=True)
    assert first.left is not None
    first.left.method, first.left.kwargs = "__fail__", {"error": "Trigger failure", "traceback": ["ImportError: no such wheel"]}
    tasks.configure(enabled=False)
    task = tasks.run("sh", "-c", "sleep 2; echo done", deferrable=True, left=first.left)
    assert task.state == "success", task.error
    assert task.log.count("done") == 1
    assert any("no such wheel" in line for line in task.log)


def test_a_pod_that_somebody_deletes_while_its_task_is_deferred(tasks: Tasks) -> None:
    def delete() -> None:
        pod = tasks.namespace.wait_for_pod(is_running)
        tasks.namespace.cluster.kubectl("delete", "--raw", f"{tasks.namespace.path}/{pod['metadata']['name']}")

    task = tasks.run_deferred("sleep", "60", termination_grace_period=1, between=delete)
    assert task.state == "failed"
    assert "somebody deleted it" in task.error


def test_the_next_try_of_a_lost_worker_adopts_the_deferred_pod(tasks: Tasks) -> None:
    first = tasks.run("sh", "-c", "sleep 3; echo once", deferrable=True)
    assert first.left is not None
    task = tasks.run_deferred("sh", "-c", "sleep 3; echo once", try_number=2)
    assert task.state == "success"
    assert task.log.count("once") == 1
    assert any("Adopting pod" in line for line in task.log)
    # The first try's trigger leaves the pod alone.
    assert first.left.fire()["kind"] in ("taken over", "ended")


@pytest.mark.parametrize("kind", [Kind.TOO_LATE, Kind.OUT_OF_REACH])
def test_a_pod_that_runs_all_the_same_is_deferred_again(tasks: Tasks, kind: Kind) -> None:
    """The triggerer did not see it in time; by now it runs."""
    first = tasks.run("sleep", "60", deferrable=True)
    tasks.namespace.wait_for_pod(is_running)
    report = Report(kind, limit="startup_timeout_seconds", seconds=120.0, message="refused")
    task = tasks.run("sleep", "60", deferrable=True, left=first.left, event=report.as_dict())
    assert task.state == "deferred"
    assert len(tasks.namespace.left()) == 1


def test_the_jobs_container_need_not_stand_first(tasks: Tasks) -> None:
    """A webhook may put another one before it."""
    first = tasks.run("sh", "-c", "echo done", deferrable=True)
    assert first.left is not None
    [pod] = tasks.namespace.pods()
    pod["spec"]["containers"].insert(0, {"name": "injected", "image": "busybox"})
    assert identity(pod, "base")["spec"]["containers"] == [{"name": "base"}]
    assert first.left.trigger["watched"]["identity"]["spec"]["containers"] == [{"name": "base"}]


def test_the_pod_says_whose_it_is(tasks: Tasks) -> None:
    tasks.run("sleep", "1", deferrable=True)
    [pod] = tasks.namespace.pods()
    assert annotation(pod, "dag-id") == DAG_ID
    assert annotation(pod, "job_name") == JOB
