"""
What users of KubernetesPodOperator reported to Airflow, made again with this operator on the real cluster.

| issue | what was reported | where it is shown |
|---|---|---|
| apache/airflow#12136 | a job that runs long breaks where its log is followed | here |
| apache/airflow#23497 | a task that follows a log hangs once it was rotated | test_kubectl_run_real.py |
| apache/airflow#31335 | random failures of pods that succeed | here |
| apache/airflow#33498 | lines come twice where the log was interrupted | test_kubectl_run_real.py |
| apache/airflow#49466 | keep_pod keeps a pod that runs | here |
| apache/airflow#68445 | a task hangs on a pod that is Pending and has init containers | here |
| apache/airflow#73006 | a task is a success after SIGTERM | tests/integration/test_airflow.py |
"""

from __future__ import annotations

import re
import signal
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from plugins.cluster import is_running
from plugins.documents import ROOT
from plugins.tasks import Tasks

from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator


def slowed(folder: Path, requests: str, instead: str) -> str:
    """Make a kubectl that does something else at these requests: a piece of bash, with its arguments in ``$@``."""
    made = folder / "slowed-kubectl"
    made.write_text(f'#!/bin/bash\n[[ " $* " != {requests} ]] || {{ {instead}; }}\nexec kubectl "$@"\n')
    made.chmod(0o755)
    return str(made)


@pytest.mark.cluster
def test_keep_pod_keeps_no_pod_that_runs_when_the_tasks_time_is_over(real_tasks: Tasks) -> None:
    """apache/airflow#49466: with keep_pod, a pod that runs when execution_timeout is exceeded is left running."""
    main = threading.main_thread().ident
    assert main is not None
    timed_out: list[ConfiguredKubectlRunOperator] = []

    def time_is_over(*_: object) -> NoReturn:
        raise AirflowTaskTimeout("Timeout")

    def wait_and_raise(operator: ConfiguredKubectlRunOperator) -> None:
        real_tasks.namespace.wait_for_pod(is_running)
        timed_out.append(operator)
        signal.pthread_kill(main, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, time_is_over)
    try:
        with pytest.raises(AirflowTaskTimeout):
            real_tasks.run("sleep", "300", while_running=wait_and_raise, on_finish_action="keep_pod", termination_grace_period=1)
    finally:
        signal.signal(signal.SIGALRM, before)
    timed_out[0].on_kill()
    assert real_tasks.namespace.left() == []


@pytest.mark.cluster
def test_a_log_that_falls_silent_for_good_hangs_nothing_and_loses_nothing(
    real_tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apache/airflow#12136: the connection of a followed log stalls and never ends, while the job runs on and ends."""
    silent = slowed(tmp_path, '*"follow=true"*', 'kubectl "$@" | head -n 3; exec sleep 600')
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__KUBECTL", silent)
    script = "i=0; while [ $i -lt 20 ]; do echo tick $i; i=$((i+1)); sleep 0.4; done"
    begun = time.monotonic()
    task = real_tasks.run("sh", "-c", script)
    assert (task.state, task.error) == ("success", "")
    assert [line for line in task.log if line.startswith("tick")] == [f"tick {number}" for number in range(20)]
    assert time.monotonic() - begun < 120, "eight seconds of work"


@pytest.mark.cluster
def test_a_pending_pod_with_init_containers_fails_at_the_startup_timeout(real_tasks: Tasks) -> None:
    """apache/airflow#68445: the logs of init containers were waited for, and no limit was looked at, while the pod was Pending."""
    init = {"name": "prepare", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent", "command": ["true"]}
    task = real_tasks.run("true", node_selector={"no": "such-node"}, init_containers=[init], startup_timeout_seconds=4)
    assert task.state == "failed"
    assert "Unschedulable" in task.error
    assert "startup_timeout_seconds = 4" in task.error
    assert real_tasks.namespace.left() == []


@pytest.mark.cluster
def test_a_pod_that_has_begun_and_ended_between_two_looks_is_a_success(
    real_tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apache/airflow#31335: tasks failed at random whose pods had succeeded before anybody looked."""
    ended = f"until kubectl get pods -n {real_tasks.namespace.name} -o jsonpath={{.items[*].status.phase}} | grep -q Succeeded"
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__KUBECTL", slowed(tmp_path, '*"watch=true"*', f"{ended}; do sleep 0.2; done"))
    task = real_tasks.run("sh", "-c", "echo toto && sleep 2 && echo finish")
    assert (task.state, task.error) == ("success", "")
    assert [line for line in task.log if line in ("toto", "finish")] == ["toto", "finish"]
    assert not any(line.startswith("Pod") and " runs on " in line for line in task.log), "it was seen before its end"


def test_each_issue_is_named_by_the_test_that_shows_it() -> None:
    listed = re.findall(r"\| apache/airflow#(\d+) \|.*\| (?:here|(\S+)) \|", __doc__)
    assert len(listed) == 7
    for number, elsewhere in listed:
        [path] = (ROOT / "tests").glob(f"**/{Path(elsewhere or __file__).name}")
        assert re.search(rf'""".*apache/airflow#{number}:|^    apache/airflow#{number}:', path.read_text(), re.MULTILINE)
