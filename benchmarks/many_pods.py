"""
The time that many short pods take with a number of slots.

A worker process has imported Airflow and forks a process for each task, as LocalExecutor does; each process imports its operator
and runs one pod of one second. Airflow's scheduler and API server do not run: on a small machine they would dominate the time.
"""

from __future__ import annotations

from benchmarks.cluster import new_namespace
from benchmarks.figures import Figure, Goal, ratio
from benchmarks.peers import OURS, POD
from benchmarks.processes import run
from benchmarks.workplace import Workplace, say

TITLE = "Many pods"
BUDGET = 660
NEEDS_CLUSTER = True


def measure(place: Workplace) -> list[Figure]:
    """Run rounds of pods in turn, each in a new namespace."""
    sizes = place.sizes
    assert place.kubeconfig is not None
    environment = place.environment(place.make_store("many_pods"))
    values: dict[str, list[float]] = {OURS: [], POD: []}
    failed = dict.fromkeys(values, 0)
    for _, who in place.in_turn(sizes.short_pod_rounds, list(values)):
        with new_namespace(place.kubeconfig) as namespace:
            arguments = ["--namespace", namespace, "--tasks", str(sizes.short_pods), "--slots", str(sizes.slots)]
            done = run("slots", who, *arguments, environment=environment)
        values[who].append(done["seconds"])
        failed[who] += done["failed"]
        say(f"{who}: {done}")
    name = f"{sizes.short_pods} short pods a round with {sizes.slots} slots, {sizes.short_pod_rounds} rounds: wall clock"
    note = ", ".join(f"{count} tasks of {who} failed" for who, count in failed.items() if count)
    return [ratio(name, "s", values, Goal("below KubernetesPodOperator's", most=1.0), to=POD, note=note)]
