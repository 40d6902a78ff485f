"""
The cost of importing an operator, above that of Airflow alone.

Each import has its own process, which first imports what every task's process has (`airflow.sdk` and its task runner). Memory is
the process's maximum, CPU is the process's. What an operator loads later, when its task runs, is in the figures of a task below.
No process compiles anything: pip compiles what it installs, and this package is compiled in the first round, which does not count.
"""

from __future__ import annotations

from benchmarks.figures import Figure, Goal, above, ratio
from benchmarks.peers import AIRFLOW, BASH, OURS, POD
from benchmarks.processes import run
from benchmarks.workplace import Workplace

TITLE = "Import"
BUDGET = 240
NEEDS_CLUSTER = False

WHO = (OURS, POD, BASH, AIRFLOW)


def measure(place: Workplace) -> list[Figure]:
    """Import each operator in turn."""
    environment = place.environment()
    taken: dict[str, dict[str, list[float]]] = {unit: {who: [] for who in WHO} for unit in ("MB", "CPU s")}
    for number, who in place.in_turn(place.sizes.warm_ups + place.sizes.imports, WHO):
        cost = run("one_task", who, environment=environment)
        if number >= place.sizes.warm_ups:
            for unit, values in taken.items():
                values[who].append(cost[unit])
    goal = Goal("<= 1/10 of KubernetesPodOperator", most=0.1)
    figures = []
    for name, unit in (("memory", "MB"), ("CPU", "CPU s")):
        own = above(taken[unit], AIRFLOW)
        figures.append(ratio(f"import: {name}, above Airflow alone", unit, own, goal, to=POD))
        figures.append(Figure(f"import: {name}, with Airflow", unit, taken[unit]))
    return figures
