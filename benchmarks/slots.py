"""
A worker with slots: it has imported Airflow, and forks a process for each task, as Airflow's LocalExecutor does.

It runs tasks of one operator, one in each slot, and prints how long all of them took and how many failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback

from benchmarks import one_task, peers


def run_task(operator: str, namespace: str, seconds: int, run_id: str) -> int:
    """Run a task in a forked process; return the process's id at once."""
    pid = os.fork()
    if pid:
        return pid
    try:
        # The logs of tasks are not needed; the last output of a process says why it failed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        one_task.execute(peers.make_operator(operator, namespace, seconds), run_id, None, None)
    except BaseException:  # noqa: BLE001 - whatever it is, the process must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operator")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--seconds", type=int, default=1)
    arguments = parser.parse_args()
    import airflow.sdk.execution_time.task_runner  # noqa: F401
    from airflow.sdk import DAG, BaseOperator  # noqa: F401

    begins = time.monotonic()
    running: set[int] = set()
    failed = 0
    for number in range(arguments.tasks):
        if len(running) == arguments.slots:
            pid, status = os.wait()
            running.discard(pid)
            failed += status != 0
        sys.stdout.flush()
        running.add(run_task(arguments.operator, arguments.namespace, arguments.seconds, f"manual__{number}"))
    while running:
        pid, status = os.wait()
        running.discard(pid)
        failed += status != 0
    print(json.dumps({"seconds": time.monotonic() - begins, "failed": failed}))


if __name__ == "__main__":
    main()
