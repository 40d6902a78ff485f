"""Memory that grows, where the kernel of a real node ends what needs more."""

from __future__ import annotations

import pytest
from plugins.airflow_versions import AIRFLOW
from plugins.tasks import TaskResult, Tasks

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow keeps something from try to try from 3.3 on"),
]

ROUND = {"max_tries": 10}
NEEDS_100_MI = ("sh", "-c", "mkfifo /tmp/f; head -c 100m /dev/zero > /tmp/f & exec tail /tmp/f > /dev/null")
"""It is the main process that grows: with cgroup v1 a child's end is not the container's."""


def test_a_job_that_needs_100_mi_grows_until_it_succeeds_and_the_next_run_begins_anew(real_tasks: Tasks) -> None:
    real_tasks.configure(memory_request="16Mi", memory_limit="32Mi", memory_growth=2, memory_growth_limit="1Gi", max_retries=9)

    def run(try_number: int, **arguments: object) -> tuple[TaskResult, dict[str, str]]:
        """A try, and the memory of its pod, which is kept to be looked at."""
        task = real_tasks.run(*NEEDS_100_MI, try_number=try_number, on_finish_action="keep_pod", **{**ROUND, **arguments})
        run_id = arguments.get("run_id")
        [pod] = [
            each
            for each in real_tasks.namespace.pods()
            if run_id is None or each["metadata"]["annotations"]["airflow-provider-dagconfig/run-id"] == run_id
        ]
        resources = pod["spec"]["containers"][0]["resources"]
        return task, {kind: resources[kind]["memory"] for kind in ("requests", "limits")}

    tries = [run(number) for number in (1, 2, 3)]

    assert [memory for _, memory in tries] == [
        {"requests": "16Mi", "limits": "32Mi"},
        {"requests": "32Mi", "limits": "64Mi"},
        {"requests": "64Mi", "limits": "128Mi"},
    ]
    assert [task.state for task, _ in tries] == ["failed", "failed", "success"]
    assert all("was OOMKilled" in task.error for task, _ in tries[:2])
    assert any("it succeeded with memory_limit 128Mi instead of 32Mi" in line for line in tries[2][0].log)

    cleared, memory = run(4, max_tries=13)
    assert (cleared.state, memory["limits"]) == ("success", "128Mi")
    following, memory = run(1, run_id="the-next-run")
    assert (following.state, memory["limits"]) == ("failed", "32Mi")
