"""Retries by the row: what Airflow is told when a task fails, which try may make a pod, and what the log says."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, TaskGroup
from plugins.airflow_versions import AIRFLOW
from plugins.cluster import is_running
from plugins.tasks import DAG_ID, JOB, TaskResult, Tasks, TaskStateStore
from plugins.workers import holding, worker

from airflow_provider_dagconfig.kubectl.annotations import try_number
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.operators.retry_policy import RowRetryPolicy
from airflow_provider_dagconfig.operators.tries import Tries
from airflow_provider_dagconfig.retries import Cause, Round
from airflow_provider_dagconfig.task_groups.exchange_group import ExchangeGroupTaskGroup

POD: dict[str, Any] = {"task_id": "collect", "image": "busybox:latest"}
ROUND = {"max_tries": 10}
MINUTE = timedelta(minutes=1)

has_policies = pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow has retry policies from 3.3 on")
has_none = pytest.mark.skipif(AIRFLOW >= (3, 3), reason="Airflow has retry policies from 3.3 on")


# --- the parameters of the DAG's author ---


def test_without_retries_the_row_counts_up_to_its_own_maximum() -> None:
    with DAG("prices"):
        task = ConfiguredKubectlRunOperator(**POD)
    assert task.retries == 10
    if AIRFLOW >= (3, 3):
        assert isinstance(task.retry_policy, RowRetryPolicy)
        assert task.retry_delay == MINUTE, "for a worker that died: nobody asks the policy then"


def test_a_mapped_task_has_the_same() -> None:
    with DAG("prices"):
        alone = ConfiguredKubectlRunOperator.partial(**POD).expand(job_name=["a", "b"])
        with ExchangeGroupTaskGroup("groups") as group:
            in_group = ConfiguredKubectlRunOperator(task_id="run", image="busybox", job_name=group.exchange_group)
    assert (alone.retries, in_group.retries) == (10, 10)
    if AIRFLOW >= (3, 3):
        assert isinstance(alone.retry_policy, RowRetryPolicy)
        assert alone.retry_delay == MINUTE


@pytest.mark.parametrize("where", ["task", "dag", "task group", "partial", "partial in a dag", "partial's default_args"])
@pytest.mark.parametrize("retries", [0, 4])
def test_the_authors_retries_are_the_ceiling(where: str, retries: int) -> None:
    given = {"retries": retries, "retry_delay": timedelta(minutes=7)}
    of_dag = given if where in ("dag", "partial in a dag") else {}
    of_group = given if where == "task group" else {}
    own = {"task": given, "partial": given, "partial's default_args": {"default_args": given}}.get(where, {})
    task: Any
    with DAG("prices", default_args=of_dag), TaskGroup("group", default_args=of_group):
        if where.startswith("partial"):
            task = ConfiguredKubectlRunOperator.partial(**POD, **own).expand(job_name=["a", "b"])
        else:
            task = ConfiguredKubectlRunOperator(**POD, **own)
    assert (task.retries, task.retry_delay) == (retries, timedelta(minutes=7))


def test_a_task_may_keep_the_retries_of_its_dag() -> None:
    with DAG("prices"):
        task = ConfiguredKubectlRunOperator(**POD, retries_from_row=False)
        mapped = ConfiguredKubectlRunOperator.partial(**POD | {"task_id": "many"}, retries_from_row=False).expand(job_name=["a"])
    assert (task.retries, mapped.retries) == (0, 0)
    assert getattr(task, "retry_policy", None) is None
    assert getattr(mapped, "retry_policy", None) is None


def test_a_platform_may_leave_retries_to_the_dags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__RETRIES_FROM_ROW", "False")
    with DAG("prices"):
        assert ConfiguredKubectlRunOperator(**POD).retries == 0
        assert ConfiguredKubectlRunOperator(**POD | {"task_id": "other"}, retries_from_row=True).retries == 10


@has_policies
def test_an_authors_policy_stands_above_the_row() -> None:
    from airflow.sdk import ExceptionRetryPolicy

    policy = ExceptionRetryPolicy(rules=[])
    with DAG("prices"):
        task = ConfiguredKubectlRunOperator(**POD, retry_policy=policy, retries=3)
    assert (task.retry_policy, task.retries) == (policy, 3)


@pytest.mark.parametrize("name", ["retries_from_row", "run_once"])
def test_what_is_neither_true_nor_false_is_refused(name: str) -> None:
    with DAG("prices"), pytest.raises(ValueError, match=f"{name} of task collect is 'yes'; write True or False"):
        ConfiguredKubectlRunOperator(**POD, **{name: "yes"})


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        (
            "RETRIES_FROM_ROW",
            "maybe",
            "The option retries_from_row of [dagconfig] (AIRFLOW__DAGCONFIG__RETRIES_FROM_ROW) is 'maybe'",
        ),
        ("CLUSTER_RETRIES", "many%", "The option cluster_retries of [dagconfig] (AIRFLOW__DAGCONFIG__CLUSTER_RETRIES) is 'many%'"),
        ("CLUSTER_RETRIES", "11", "write a whole number from 0 to 10; or remove it, and it is 3"),
    ],
)
def test_an_unknown_option_is_named(tasks: Tasks, monkeypatch: pytest.MonkeyPatch, option: str, value: str, sentence: str) -> None:
    monkeypatch.setenv(f"AIRFLOW__DAGCONFIG__{option}", value)
    if option == "RETRIES_FROM_ROW":
        with pytest.raises(ValueError, match="retries_from_row") as refused:
            tasks.operator("true")
        assert sentence in str(refused.value)
    else:
        task = tasks.run("true", **ROUND)
        assert task.raised is AirflowFailException
        assert sentence in task.error
        assert tasks.namespace.pods() == []


@has_none
def test_run_once_is_refused_where_airflow_keeps_nothing() -> None:
    with DAG("prices"), pytest.raises(ValueError, match=r"run_once of task collect needs Airflow 3\.3"):
        ConfiguredKubectlRunOperator(**POD, run_once=True)
    with DAG("prices"), pytest.raises(ValueError, match=r"run_once of task collect needs Airflow 3\.3"):
        ConfiguredKubectlRunOperator.partial(**POD, run_once=True)


# --- a failure ---


def delay(task: TaskResult) -> timedelta | None:
    assert task.decision is not None
    return task.decision.retry_delay if task.decision.action.value == "retry" else None


def last_line(task: TaskResult, about: str) -> str:
    return next(line for line in reversed(task.log) if about in line)


@has_policies
def test_the_row_says_how_often_and_when(tasks: Tasks) -> None:
    tasks.configure(max_retries=2, retry_delay_minutes=4, retry_backoff_enabled=False)
    delays = [delay(tasks.run("sh", "-c", "exit 3", try_number=number, **ROUND)) for number in (1, 2, 3)]
    assert delays == [4 * MINUTE, 4 * MINUTE, None]


@has_policies
def test_the_row_is_read_anew_when_the_task_fails(tasks: Tasks) -> None:
    """An operator changes it during the incident, and the next failure obeys."""
    tasks.configure(max_retries=0)
    change = {"max_retries": 5, "retry_delay_minutes": 9, "retry_backoff_enabled": False}
    task = tasks.run("sh", "-c", "sleep 1; exit 3", while_running=lambda _: tasks.configure(**change), **ROUND)
    assert delay(task) == 9 * MINUTE
    assert "try 1 of 6 failed (exit code 3); next at " in last_line(task, "next at")


@has_policies
def test_a_row_that_was_switched_off_meanwhile_ends_it(tasks: Tasks) -> None:
    task = tasks.run("sh", "-c", "sleep 1; exit 3", while_running=lambda _: tasks.configure(enabled=False), **ROUND)
    assert delay(task) is None
    assert last_line(task, "no retry: ").startswith(f"no retry: {DAG_ID}/{JOB} is disabled: switched off by ")


def test_a_row_that_was_switched_off_between_two_tries_ends_it(tasks: Tasks) -> None:
    """Skipped, the task would look as if nothing had failed."""
    tasks.run("false", **ROUND)
    tasks.configure(enabled=False)
    task = tasks.run("true", try_number=2, **ROUND)
    assert task.raised is AirflowFailException
    assert task.error.startswith(f"No pod is made: {DAG_ID}/{JOB} is disabled: switched off by ")
    assert task.error.endswith("To run the job again, switch it on and clear the task")
    assert last_line(task, "no retry: ").startswith(f"no retry: trying again does not mend it (No pod is made: {DAG_ID}/{JOB} is")
    assert tasks.namespace.pods() == []
    assert tasks.run("true", try_number=3, max_tries=12).state == "skipped", "a clear begins anew"


@has_policies
def test_a_pod_is_adopted_though_its_row_was_switched_off_meanwhile(tasks: Tasks, tmp_path: Any) -> None:
    """As where its worker had lived: nobody decided that it is to be ended."""
    command = ("sh", "-c", "sleep 3; echo done")
    with worker(tasks, tmp_path, *command, **ROUND) as first:
        first.wait_until_it_asks_for("/log")
        first.kill()
    tasks.configure(enabled=False)
    task = tasks.run(*command, try_number=2, **ROUND)
    assert (task.state, task.log.count("done")) == ("success", 1)


@has_policies
def test_without_the_database_the_try_keeps_what_it_had(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.configure(max_retries=1, retry_delay_minutes=3, retry_backoff_enabled=False)

    def leave(_: object) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", "postgresql://nobody@127.0.0.1:1/none")

    task = tasks.run("sh", "-c", "sleep 1; exit 3", while_running=leave, **ROUND)
    assert delay(task) == 3 * MINUTE


@has_policies
def test_a_database_that_is_away_is_not_the_jobs_fault(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", "postgresql://nobody@127.0.0.1:1/none")
    delays = [delay(tasks.run("true", try_number=number, **ROUND)) for number in (1, 2, 3)]
    assert all(each is not None and MINUTE <= each <= 1.25 * MINUTE for each in delays)


@has_policies
def test_what_no_try_can_mend_is_not_tried_again(tasks: Tasks) -> None:
    tasks.configure(max_retries=9)
    task = tasks.run("true", image="busybox:there-is-none", image_pull_policy="Never", **ROUND)
    assert delay(task) is None
    assert last_line(task, "no retry") == "no retry: trying again does not mend it (ErrImageNeverPull)"


def test_an_error_of_airflows_that_stands_for_itself_says_so(tasks: Tasks) -> None:
    task = tasks.run("true", dag_run=None, job_name="", **ROUND)
    assert task.raised is AirflowFailException
    assert last_line(task, "no retry").startswith("no retry: trying again does not mend it (job_name of task collect is ''")


@has_policies
def test_a_group_of_tries_begins_anew_when_the_task_is_cleared(tasks: Tasks) -> None:
    tasks.configure(max_retries=0)
    assert delay(tasks.run("false", try_number=1, max_tries=10)) is None
    again = tasks.run("sh", "-c", "exit 0", try_number=2, max_tries=11)
    assert again.state == "success"


@has_policies
def test_the_authors_ceiling_holds(tasks: Tasks) -> None:
    tasks.configure(max_retries=5)
    task = tasks.run("false", retries=0, max_tries=0)
    assert last_line(task, "no retry").endswith("and the retries that the DAG allows are used up")


@has_policies
@pytest.mark.parametrize("state", ["restarting", "failed"])
def test_a_task_that_a_person_ended_has_no_other_decision(tasks: Tasks, state: str) -> None:
    def stop(operator: ConfiguredKubectlRunOperator) -> None:
        tasks.namespace.wait_for_pod(is_running)
        operator.on_kill()

    task = tasks.run("sleep", "600", termination_grace_period=0, while_running=stop, state_in_airflow=state, **ROUND)
    assert delay(task) is None
    assert (
        last_line(task, "no retry") == f"no retry: somebody ended the task or cleared it (the task's state in Airflow is {state})"
    )


@has_policies
@pytest.mark.parametrize(("error", "action"), [(ValueError("on_finish_action is 'none'"), "fail"), (OSError("away"), "default")])
def test_a_mapped_task_that_can_not_be_made_is_tried_again_only_where_that_may_pass(
    caplog: pytest.LogCaptureFixture, error: Exception, action: str
) -> None:
    with DAG("prices"):
        mapped = ConfiguredKubectlRunOperator.partial(**POD).expand(on_finish_action=["none"])
    with caplog.at_level("INFO"):
        decision = RowRetryPolicy().evaluate(error, 1, 10, {"ti": SimpleNamespace(task=mapped)})  # type: ignore[typeddict-item]
    assert decision.action.value == action
    assert ("no retry: trying again does not mend it (on_finish_action is 'none')" in caplog.messages) is (action == "fail")


@has_policies
def test_the_line_that_says_what_is_next_is_in_no_group(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow opens one after execute, and another before; its page shows their names alone."""
    tasks.run("false", **ROUND)
    assert [line for line in tasks.log if "group::" in line or "; next at " in line][-2] == "::endgroup::"
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", "postgresql://nobody@127.0.0.1:1/none")
    tasks.run("false", **ROUND)
    *_, ended, error, ended_again, last = tasks.log
    assert (ended, ended_again) == ("::endgroup::", "::endgroup::")
    assert error.startswith("The configuration database cannot be reached"), "in one line, before Airflow's traceback"
    assert "; next at " in last


# --- a worker that died ---


@has_policies
def test_a_worker_died_and_its_pod_is_adopted_though_the_row_allows_no_retry(tasks: Tasks, tmp_path: Any) -> None:
    tasks.configure(max_retries=0)
    command = ("sh", "-c", "sleep 3; echo done")
    with worker(tasks, tmp_path, *command, **ROUND) as first:
        first.wait_until_it_asks_for("/log")
        first.kill()
    task = tasks.run(*command, try_number=2, **ROUND)
    assert (task.state, task.log.count("done")) == ("success", 1)


@has_policies
def test_a_worker_died_and_its_pod_is_gone(tasks: Tasks, tmp_path: Any) -> None:
    tasks.configure(max_retries=0)
    with worker(tasks, tmp_path, "sleep", "600", termination_grace_period=0, **ROUND) as first:
        first.wait_until_it_asks_for("/log")
        first.kill()
    [pod] = tasks.namespace.pods()
    tasks.namespace.cluster.kubectl("delete", "pod", "-n", tasks.namespace.name, pod["metadata"]["name"])
    task = tasks.run("sleep", "600", try_number=2, **ROUND)
    assert task.raised is AirflowFailException
    assert task.error.startswith("No pod is made: max_retries = 0 allows 1 try, and it is used up (data_collection_equities/us")
    assert task.error.endswith("there is no pod of an earlier try to adopt. To run the job again, clear the task")
    assert tasks.namespace.pods() == []


@has_policies
def test_a_worker_died_and_its_pod_failed(tasks: Tasks, tmp_path: Any) -> None:
    """It failed while nobody looked, and there may be no other: how it failed is the task's end."""
    tasks.configure(max_retries=0)
    command = ("sh", "-c", "echo bad; exit 4")
    with worker(tasks, tmp_path, *command, kubectl=holding(tmp_path, "*watch=true*"), **ROUND) as first:
        first.wait_until_held()
        tasks.namespace.wait_for_pod(lambda pod: pod["status"]["phase"] == "Failed")
        first.kill()
    task = tasks.run(*command, try_number=2, **ROUND)
    assert "failed with exit code 4" in task.error
    assert delay(task) is None
    assert "bad" in task.log
    assert tasks.namespace.pods() == []


@has_policies
def test_a_try_that_adopts_costs_nothing(tasks: Tasks, tmp_path: Any) -> None:
    tasks.configure(max_retries=1, retry_backoff_enabled=False, retry_delay_minutes=2)
    with worker(tasks, tmp_path, "sleep", "600", termination_grace_period=0, **ROUND) as first:
        first.wait_until_it_asks_for("/log")
        first.kill()

    def delete_what_it_has(_: object) -> None:
        pod = tasks.namespace.wait_for_pod(lambda pod: try_number(pod) == 2)
        tasks.namespace.cluster.kubectl("delete", "pod", "-n", tasks.namespace.name, pod["metadata"]["name"])

    adopting = tasks.run("sleep", "600", try_number=2, while_running=delete_what_it_has, **ROUND)
    assert delay(adopting) == 2 * MINUTE
    assert "try 1 of 2 failed (Deleted)" in last_line(adopting, "next at")
    assert delay(tasks.run("false", try_number=3, **ROUND)) is None


# --- Airflow's API is away ---


@has_policies
def test_where_a_pod_cannot_be_counted_none_is_made(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Airflow's API is away")

    monkeypatch.setattr(TaskStateStore, "set", refuse)
    with pytest.raises(OSError, match="Airflow's API is away"):
        tasks.run("true", run_once=True, **ROUND)
    assert tasks.namespace.pods() == []
    assert tasks.log[-1] == "Airflow's API is away", "in one line, before Airflow's traceback"


@has_policies
@pytest.mark.parametrize("cause", [Cause.NOBODY, Cause.JOB])
def test_a_failure_that_changes_no_count_writes_no_count(cause: Cause) -> None:
    """An earlier try that still runs when a later one has its pod may write nothing any more: Airflow answers 404."""

    class ReadOnly:
        def get(self, _: str) -> dict[str, int]:
            return {"max_tries": 10, "pods": 1, "own": 1}

    context = {"ti": SimpleNamespace(try_number=2, max_tries=10), "task_state_store": ReadOnly()}
    assert Tries(context, 10).count_failure(cause, had_pod=True) == Round(pods=1, own=1)


# --- run_once ---


@has_policies
def test_a_job_that_may_run_once(tasks: Tasks) -> None:
    tasks.configure(max_retries=5)
    task = tasks.run("false", run_once=True, **ROUND)
    assert delay(task) is None
    assert last_line(task, "no retry") == "no retry: run_once allows one pod, and it was made (exit code 1)"
    second = tasks.run("true", run_once=True, try_number=2, **ROUND)
    assert second.raised is AirflowFailException
    assert "run_once allows one pod, and one was made since the task was last cleared" in second.error
    cleared = tasks.run("true", run_once=True, try_number=3, max_tries=13)
    assert cleared.state == "success"


@has_policies
def test_a_job_that_may_run_once_without_the_rows_retries(tasks: Tasks) -> None:
    arguments: dict[str, Any] = {"run_once": True, "retries_from_row": False, "retries": 4}
    assert tasks.run("false", **arguments, **ROUND).decision is None
    assert "run_once allows one pod" in tasks.run("true", **arguments, try_number=2, **ROUND).error


# --- below Airflow 3.3 ---


@has_none
def test_the_rows_number_counts_without_a_policy(tasks: Tasks) -> None:
    tasks.configure(max_retries=1)
    first = tasks.run("false", try_number=1, **ROUND)
    assert first.raised is not AirflowFailException
    assert "try 1 of 2 failed (exit code 1); next after the DAG's retry_delay" in last_line(first, "next after")
    second = tasks.run("false", try_number=2, **ROUND)
    assert second.raised is AirflowFailException
    assert last_line(second, "no retry") == "no retry: try 2 of 2 failed (exit code 1)"


@has_none
def test_an_error_of_a_template_counts_too(tasks: Tasks) -> None:
    tasks.configure(max_retries=0)
    task = tasks.run("{{ nothing.there }}", **ROUND)
    assert task.raised is AirflowFailException
    assert last_line(task, "no retry") == "no retry: try 1 of 1 failed (UndefinedError)"


@has_none
def test_a_worker_that_died_is_counted_by_its_try(tasks: Tasks) -> None:
    tasks.configure(max_retries=0)
    task = tasks.run("true", try_number=2, **ROUND)
    assert "No pod is made: max_retries = 0 allows 1 try" in task.error
    cleared = tasks.run("true", try_number=3, max_tries=12)
    assert cleared.state == "success", "it is the first try since the clear"
