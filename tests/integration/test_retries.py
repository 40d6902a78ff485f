"""
Retries in a whole Airflow: scheduler, API server, LocalExecutor, its retry policy and its task state store.

One DAG a case, and all of them at once: a run takes as long as the longest. Each test looks at one run that has ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from plugins.cluster import Namespace
from plugins.postgres import NewDatabase, Server
from plugins.whole_runs import RUN, Runs, ids_of, whole_runs

from airflow_provider_dagconfig.kubectl.annotations import annotation
from benchmarks.tcp_proxy import Proxy

DAGS = """
# After a worker that died nobody asks the policy.
SOON = timedelta(seconds=1)
FAIL = ("sh", "-c", "exit 3")
FOR_A_WHILE = ("sleep", "25")

job("worker_died", *FOR_A_WHILE, retry_delay=SOON)
job("worker_died_once", *FOR_A_WHILE, retry_delay=SOON, run_once=True)
job("worker_and_pod_died", *FOR_EVER, retry_delay=SOON)
job("out_of_memory", "tail", "/dev/zero")
job("exit_3", *FAIL)
job("no_image", *FAIL, image="busybox:there-is-none", image_pull_policy="Never")
job("too_long", *FOR_EVER, execution_timeout=timedelta(seconds=10))
job("cleared_while_running", *FOR_EVER)
job("author_says_0", *FAIL, retries=0)
job("row_changed", *FOR_EVER)
job("database_away", *FOR_EVER, postgres_conn_id="through_proxy")
job("older_than_the_ceiling", *FAIL)
job("once", *FAIL, run_once=True)
job("off_while_running", *FOR_EVER)
job("off_between_tries", *FAIL)
job("invalid_row", *FAIL)
job("evicted", *FOR_EVER)
job("node_lost", *FOR_EVER)
job("lowered", "dd", "if=/dev/zero", "of=/dev/null", "bs=40M", "count=1")
mapped("mapped", "sh", "-c", over={"arguments": [["exit 3"], ["exit 0"]]})
mapped("mapped_not_rendered", "sh", "-c", over={"arguments": [["{{ nothing.there }}"]]})
mapped("mapped_with_a_wrong_argument", *FAIL, over={"on_finish_action": ["nonsense"]})
"""
IDS = ids_of(DAGS)

ROWS: dict[str, dict[str, Any]] = {
    "out_of_memory": {"memory_limit": "32Mi"},
    "exit_3": {"max_retries": 1},
    "no_image": {"max_retries": 5},
    "too_long": {"max_retries": 1},
    "author_says_0": {"max_retries": 5},
    "row_changed": {"retry_delay_minutes": 60},
    "database_away": {"max_retries": 1, "retry_delay_minutes": 7},
    "older_than_the_ceiling": {"max_retries": 5},
    "once": {"max_retries": 5},
    "off_while_running": {"max_retries": 5},
    "off_between_tries": {"max_retries": 5, "retry_delay_minutes": 60},
    "mapped": {"max_retries": 1},
    "invalid_row": {"max_retries": 5},
}
"""The differences from a job with no retry and no delay."""


pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def runs(
    real_cluster_namespace: Namespace,
    postgres: Server,
    new_migrated_database: NewDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runs]:
    """All runs, at their end."""
    folder = tmp_path_factory.mktemp("airflow")
    with whole_runs(folder, DAGS, real_cluster_namespace, postgres, new_migrated_database) as (begun, proxy, stack):
        begun.airflow.wait_for_dags(*IDS)
        begin(begun)
        meddle(begun, proxy, stack)
        begun.wait_for_all()
        yield begun


def begin(runs: Runs) -> None:
    """Start a run of each DAG, with its row."""
    runs.begin([dag_id for dag_id in IDS if dag_id != "lowered"], ROWS)
    # Airflow knows a run's previous one by its logical date.
    runs.insert("lowered", {})
    runs.airflow.trigger("lowered", "manual__before", logical_date="2026-11-22T02:00:00Z")
    # As it was written before there was a rule against it.
    runs.database.execute("""
        ALTER TABLE financial_screener.dag_configuration DROP CONSTRAINT rule_memory_limit, DISABLE TRIGGER USER;
        UPDATE financial_screener.dag_configuration SET memory_limit = 'plenty' WHERE dag_name = 'invalid_row';
        ALTER TABLE financial_screener.dag_configuration ENABLE TRIGGER USER
    """)
    # As it was made while its DAG had retries=2.
    runs.metadata.execute("UPDATE task_instance SET max_tries = 2 WHERE dag_id = 'older_than_the_ceiling'")
    runs.airflow.unpause(*IDS)


def meddle(runs: Runs, proxy: Proxy, stack: ExitStack) -> None:
    """Do what happens to the runs."""
    for dag_id in ("worker_died", "worker_died_once"):
        runs.kill_worker(dag_id)
    runs.kill_worker("worker_and_pod_died", lambda: runs.delete_pod("worker_and_pod_died"))

    runs.running_pod("row_changed")
    runs.configure("row_changed", max_retries=1, retry_delay_minutes=0)
    runs.delete_pod("row_changed")

    runs.running_pod("off_while_running")
    runs.configure("off_while_running", enabled=False)
    runs.delete_pod("off_while_running")

    runs.fail_pod("evicted", "Evicted")
    runs.fail_pod("node_lost", "NodeLost")
    for dag_id in ("evicted", "node_lost"):
        runs.remove_failed_pod(dag_id)
        runs.wait_no_longer(dag_id)

    runs.wait_for("off_between_tries", "up_for_retry")
    runs.configure("off_between_tries", enabled=False)
    runs.wait_no_longer("off_between_tries")

    runs.running_pod("cleared_while_running")
    runs.airflow.clear("cleared_while_running", RUN, "run")

    runs.running_pod("database_away")
    stack.enter_context(proxy.away())
    runs.delete_pod("database_away")

    runs.wait_for("exit_3", "failed", 2)
    runs.airflow.clear("exit_3", RUN, "run")

    for dag_id in ("row_changed", "evicted", "node_lost"):
        runs.delete_pod(dag_id, 2)
    runs.running_pod("cleared_while_running", 2)
    runs.wait_for("database_away", "up_for_retry")
    for dag_id in ("cleared_while_running", "database_away"):
        runs.airflow.set_state(dag_id, RUN, "run", "failed")

    runs.wait_until(lambda: runs.airflow.runs("lowered")["manual__before"] in ("success", "failed"), "a run with 128Mi ends")
    runs.configure("lowered", memory_limit="20Mi")
    runs.airflow.trigger("lowered", RUN, logical_date="2026-11-23T02:00:00Z")
    runs.wait_until(lambda: runs.airflow.runs("lowered").get(RUN) in ("success", "failed"), "a run with 20Mi ends")
    runs.wait_for("exit_3", "failed", 4)


def test_a_worker_died_and_its_pod_is_adopted_though_the_row_allows_no_retry(runs: Runs) -> None:
    assert runs.task("worker_died") == ("success", 2)
    assert len(runs.pods("worker_died")) == 1


def test_a_worker_and_its_pod_died_and_the_row_allows_no_other(runs: Runs) -> None:
    assert runs.task("worker_and_pod_died") == ("failed", 2)
    assert len(runs.pods("worker_and_pod_died")) == 1
    sentence = "No pod is made: max_retries = 0 allows 1 try, and it is used up (worker_and_pod_died/all"
    assert runs.says("worker_and_pod_died", 2).startswith(f"no retry: trying again does not mend it ({sentence}")


@pytest.mark.parametrize(("dag_id", "reason"), [("evicted", "Evicted"), ("node_lost", "NodeLost")])
def test_what_the_cluster_did_uses_up_no_retry(runs: Runs, dag_id: str, reason: str) -> None:
    assert runs.task(dag_id) == ("failed", 2)
    assert runs.says(dag_id, 1).startswith(
        f"this try failed through no fault of the job ({reason}): 1 of 3 such failures that do not count against its 0 retries;"
        " next at "
    )
    assert runs.says(dag_id, 2) == "no retry: try 1 of 1 failed (Deleted)"


def test_out_of_memory_counts(runs: Runs) -> None:
    assert runs.task("out_of_memory") == ("failed", 1)
    assert runs.says("out_of_memory") == "no retry: try 1 of 1 failed (OOMKilled)"


def test_a_failure_names_the_change_behind_it_and_the_run_before(runs: Runs) -> None:
    assert runs.task("lowered") == ("failed", 1)
    _, changed, ran, *_ = runs.error("lowered").splitlines()
    assert re.fullmatch(r"postgres changed memory_limit from 128Mi to 20Mi .* ago \(version 2\)\.", changed)
    assert re.fullmatch(r"It ran with memory_limit = 128Mi until .* ago: run manual__before succeeded\.", ran)


def test_a_row_with_one_retry_has_two_pods_and_two_more_once_it_is_cleared(runs: Runs) -> None:
    assert runs.task("exit_3") == ("failed", 4)
    assert [annotation(pod, "try-number") for pod in runs.pods("exit_3")] == ["1", "2", "3", "4"]
    for number in (1, 3):
        assert runs.says("exit_3", number).startswith("try 1 of 2 failed (exit code 3); next at ")
        assert runs.says("exit_3", number + 1) == "no retry: try 2 of 2 failed (exit code 3)"


def test_a_missing_image_is_not_waited_for_again(runs: Runs) -> None:
    assert runs.task("no_image") == ("failed", 1)
    assert len(runs.pods("no_image")) == 1
    assert runs.says("no_image") == "no retry: trying again does not mend it (ErrImageNeverPull)"


def test_an_execution_timeout_counts(runs: Runs) -> None:
    assert runs.task("too_long") == ("failed", 2)
    assert runs.says("too_long", 1).startswith("try 1 of 2 failed (execution_timeout); next at ")
    assert runs.says("too_long", 2) == "no retry: try 2 of 2 failed (execution_timeout)"


def test_a_task_that_is_cleared_while_it_runs_begins_anew(runs: Runs) -> None:
    first, second = runs.pods("cleared_while_running")
    assert (annotation(first, "try-number"), annotation(second, "try-number")) == ("1", "2")
    assert runs.says("cleared_while_running") == (
        "no retry: somebody ended the task or cleared it (the task's state in Airflow is restarting)"
    )


def test_zero_retries_in_the_dag_mean_no_retry(runs: Runs) -> None:
    assert runs.task("author_says_0") == ("failed", 1)
    assert runs.says("author_says_0") == (
        "no retry: try 1 of 6 failed (exit code 3), and the retries that the DAG allows are used up"
    )


def test_a_row_that_is_changed_while_the_task_runs_counts_when_it_fails(runs: Runs) -> None:
    assert runs.task("row_changed") == ("failed", 2)
    assert runs.says("row_changed", 1).startswith("try 1 of 2 failed (Deleted); next at ")
    assert len(runs.pods("row_changed")) == 2


def test_without_the_database_the_failure_keeps_what_the_try_had(runs: Runs) -> None:
    assert runs.says("database_away").startswith("try 1 of 2 failed (Deleted); next at ")
    assert runs.delay("database_away") == 7 * 60
    assert len(runs.pods("database_away")) == 1


def test_a_task_instance_from_before_the_ceiling_has_the_retries_that_it_was_made_with(runs: Runs) -> None:
    assert runs.task("older_than_the_ceiling") == ("failed", 3)
    assert len(runs.pods("older_than_the_ceiling")) == 3
    assert runs.says("older_than_the_ceiling", 2).startswith("try 2 of 6 failed (exit code 3); next at ")
    assert runs.says("older_than_the_ceiling", 3).endswith("the retries that the DAG allows are used up")


def test_a_job_that_may_run_once_has_one_pod(runs: Runs) -> None:
    assert runs.task("once") == ("failed", 1)
    assert runs.says("once") == "no retry: run_once allows one pod, and it was made (exit code 3)"
    assert runs.task("worker_died_once") == ("success", 2)
    assert (len(runs.pods("once")), len(runs.pods("worker_died_once"))) == (1, 1)


def test_a_row_that_is_switched_off_while_the_task_runs_ends_it(runs: Runs) -> None:
    assert runs.task("off_while_running") == ("failed", 1)
    assert runs.says("off_while_running").startswith("no retry: off_while_running/all is disabled: switched off by postgres at ")


def test_a_row_that_is_switched_off_between_two_tries_ends_it(runs: Runs) -> None:
    assert runs.task("off_between_tries") == ("failed", 2)
    assert len(runs.pods("off_between_tries")) == 1
    assert "off_between_tries/all is disabled: switched off by postgres at " in runs.says("off_between_tries", 2)


def test_a_row_that_can_not_be_used_is_not_tried_again(runs: Runs) -> None:
    assert runs.task("invalid_row") == ("failed", 1)
    assert "memory_limit" in runs.says("invalid_row")
    assert runs.pods("invalid_row") == []


def test_each_index_of_a_mapped_task_has_the_rows_retries(runs: Runs) -> None:
    assert (runs.task("mapped", 0), runs.task("mapped", 1)) == (("failed", 2), ("success", 1))
    assert (len(runs.pods("mapped", 0)), len(runs.pods("mapped", 1))) == (2, 1)
    assert runs.says("mapped", 2, 0) == "no retry: try 2 of 2 failed (exit code 3)"


def test_a_mapped_task_that_can_not_be_rendered_has_the_rows_retries(runs: Runs) -> None:
    assert runs.task("mapped_not_rendered", 0) == ("failed", 1)
    assert runs.says("mapped_not_rendered", 1, 0) == "no retry: try 1 of 1 failed (UndefinedError)"


def test_a_mapped_task_whose_arguments_are_wrong_is_not_tried_again(runs: Runs) -> None:
    assert runs.task("mapped_with_a_wrong_argument", 0) == ("failed", 1)
    assert runs.says("mapped_with_a_wrong_argument", 1, 0).startswith(
        "no retry: trying again does not mend it (on_finish_action is 'nonsense': "
    )
