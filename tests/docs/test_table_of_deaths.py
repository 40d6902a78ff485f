"""The table in docs/DAG_OPERATIONS.md of what happens when a part dies: each row has tests that show it, or its measurement."""

from __future__ import annotations

import ast

import pytest
from plugins.documents import ROOT
from plugins.reference import section, table

OPERATIONS = ROOT / "docs" / "DAG_OPERATIONS.md"

BY_HAND = "the row's seconds and what became of the task were measured by hand, with two Celery workers and two triggerers"
SHOWN = {
    "a worker, told to stop alone": [BY_HAND],
    "a worker and its tasks, told to stop": [
        BY_HAND,
        "tests/integration/test_airflow.py::test_a_task_whose_process_is_told_to_stop_leaves_its_pod_and_the_next_try_adopts_it",
    ],
    "a worker, killed": [
        BY_HAND,
        "tests/integration/test_retries.py::test_a_worker_died_and_its_pod_is_adopted_though_the_row_allows_no_retry",
    ],
    "a worker's pod (KubernetesExecutor), deleted or killed": [
        "tests/cluster/test_in_cluster.py::test_a_workers_pod_that_ends_leaves_the_jobs_pod_to_the_next_try"
    ],
    "a task's process, or its supervisor, killed": [
        BY_HAND,
        "tests/integration/test_airflow.py::test_each_map_index_adopts_its_own_pod",
    ],
    "a triggerer, told to stop": [BY_HAND],
    "a triggerer, killed": [BY_HAND, "tests/integration/test_deferred.py::test_another_triggerer_takes_over"],
    "a triggerer, frozen, and thawed beside another": [
        BY_HAND,
        "tests/chaos/test_chaos.py::test_no_work_is_lost_or_done_twice_whatever_fails",
    ],
    "the scheduler": [
        BY_HAND,
        "tests/integration/test_airflow.py::test_a_pod_is_adopted_whose_scheduler_was_killed_with_its_workers",
        "tests/integration/test_airflow.py::test_a_pod_is_adopted_though_the_worker_of_a_dead_scheduler_runs_on",
    ],
    "Airflow's API server": [BY_HAND, "tests/chaos/test_chaos.py::test_no_work_is_lost_or_done_twice_whatever_fails"],
    "Airflow's PostgreSQL, restarted": [BY_HAND],
    "the configuration's PostgreSQL": [
        "tests/integration/test_deferred.py::test_a_row_that_is_changed_and_switched_off_and_a_database_that_is_away",
        "tests/operators/test_deferrable.py::test_the_row_may_change_be_switched_off_or_be_away_meanwhile",
    ],
    "the broker (Redis, stopped for 15 s)": [BY_HAND],
    "the Kubernetes API server, killed": [
        BY_HAND,
        "tests/cluster/test_kubectl_run_real.py::test_a_restarted_api_server_is_found_again_and_no_line_comes_twice",
        "tests/cluster/test_kubectl_run_real.py::test_an_end_during_a_restart_of_the_api_server_is_seen_once_it_is_back",
        "tests/kubectl/test_watch_hub.py::test_an_api_server_that_is_away_is_said_once_and_waited_for",
    ],
    "the Kubernetes API server, frozen": [
        BY_HAND,
        "tests/cluster/test_kubectl_run_real.py::test_a_frozen_api_server_is_waited_for_and_no_line_is_lost",
        "tests/kubectl/test_watch_hub.py::test_a_watch_that_stalls_is_opened_anew",
    ],
    "the kubelet, restarted": [
        "tests/cluster/test_kubectl_run_real.py::test_a_kubelet_that_restarts_under_a_followed_log_loses_no_line"
    ],
    "the node": [
        "tests/cluster/test_kubectl_run_real.py::test_a_pod_on_a_lost_node_says_that_it_was_the_cluster",
        "tests/cluster/test_kubectl_run_real.py::test_a_node_that_is_lost_at_the_deadline_says_that_it_was_the_cluster",
    ],
    "the pod, deleted or evicted": [
        "tests/cluster/test_kubectl_run_real.py::test_an_eviction_says_that_it_was_the_cluster",
        "tests/operators/test_deferrable.py::test_a_pod_that_somebody_deletes_while_its_task_is_deferred",
        "tests/integration/test_retries.py::test_what_the_cluster_did_uses_up_no_retry",
    ],
}


def test_each_row_has_what_shows_it() -> None:
    assert [row[0] for row in table(section(OPERATIONS, "### When a part of it dies"))] == list(SHOWN)


@pytest.mark.parametrize("named", sorted({test for tests in SHOWN.values() for test in tests if test != BY_HAND}))
def test_what_shows_a_row_is_there(named: str) -> None:
    file, _, name = named.partition("::")
    assert name in {test.name for test in ast.parse((ROOT / file).read_text()).body if isinstance(test, ast.FunctionDef)}
