"""
One process for one operator: it imports the operator, runs a task of it if a namespace is given, and prints the cost.

A process imports a module only once, so each measurement is a process. A deferrable operator takes two: the first one ends with the
deferral, and writes it to the file of ``--deferral``; the second one continues with the event of ``--event``. Linux: memory is read
from /proc.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import resource
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import peers


def execute(operator: Any, run_id: str, deferral: Path | None, event: Path | None) -> None:
    """Execute an operator as Airflow's task runner does, without Airflow's own traffic."""
    from airflow.providers.common.compat.sdk import TaskDeferred
    from airflow.sdk import DAG

    operator.dag = dag = DAG(peers.DAG_NAME)
    task_instance = SimpleNamespace(
        dag_id=dag.dag_id,
        run_id=run_id,
        task_id="work",
        map_index=-1,
        try_number=1,
        max_tries=0,
        xcom_push=lambda *_, **__: None,
        get_task_states=lambda **_: {run_id: {"work": "success"}},
    )
    context: Any = {"ti": task_instance, "run_id": run_id, "task": operator, "dag": dag}
    found = None if event is None else pickle.loads(event.read_bytes())
    if found is not None:  # as the API server sends it for a task that resumes
        task_instance._ti_context_from_server = SimpleNamespace(next_method=found["method"], next_kwargs=found["arguments"])
    operator.render_template_fields(context)
    try:
        if found is None:
            operator.execute(context)
        else:
            getattr(operator, found["method"])(context, event=found["payload"], **found["arguments"])
    except TaskDeferred as deferred:
        assert deferral is not None
        classpath, arguments = deferred.trigger.serialize()
        left = {"method": deferred.method_name, "arguments": deferred.kwargs or {}}
        deferral.write_bytes(pickle.dumps({**left, "classpath": classpath, "kwargs": arguments}))
        return
    # Airflow calls them after it has recorded the success; ours then deletes the pod.
    for callback in operator.on_success_callback or ():
        callback(context)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def memory_mb() -> float:
    """Return the peak memory of this process. getrusage would include the parent's memory from before the exec."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operator")
    parser.add_argument("--namespace", help="run a task there; default: only import")
    parser.add_argument("--seconds", type=int, default=3, help="how long its pod runs")
    parser.add_argument("--run-id", default="manual__1")
    parser.add_argument("--deferral", type=Path)
    parser.add_argument("--event", type=Path)
    arguments = parser.parse_args()
    # The imports that the process of each task has before it reads the DAG's file.
    import airflow.sdk.execution_time.task_runner  # noqa: F401
    from airflow.sdk import DAG, BaseOperator  # noqa: F401

    begins = time.time()
    peers.import_operator(arguments.operator)
    if arguments.namespace:
        operator = peers.make_operator(arguments.operator, arguments.namespace, arguments.seconds)
        execute(operator, arguments.run_id, arguments.deferral, arguments.event)
    print(json.dumps({"MB": memory_mb(), "CPU s": cpu_seconds(), "begins": begins, "ends": time.time()}))


if __name__ == "__main__":
    main()
