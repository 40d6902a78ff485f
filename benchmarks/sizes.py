"""The sizes of a run: the ordinary one, the long one, and the smallest, which only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sizes:
    """Rounds, rows, pods and seconds, one field for each."""

    imports: int = 7
    """Rounds of imports."""
    warm_ups: int = 1
    """Rounds before these; they fill caches, also kubectl's, and are not counted."""
    tasks: int = 5
    """Rounds of tasks with one pod each."""
    counted_tasks: int = 2
    """Rounds of tasks whose requests are counted. Their number hardly varies."""
    pod_seconds: int = 3
    """Seconds that a pod of these runs."""
    long_pod_seconds: int = 0
    """Seconds that another pod runs whose requests are counted too; 0 for none."""
    look_ups: int = 300
    """Rounds of reading a task's configuration, and of the bare query."""
    rows: int = 100_000
    entries: int = 1_000_000
    overrides: int = 1_000
    queries: int = 500
    """Rounds of a query in the empty and in the large store."""
    update_rounds: int = 5
    updates: int = 1_000
    """Updates by each of eight clients in a round."""
    jobs: int = 10_000
    """Jobs in a listing; a tenth of them is listed too, to show the growth."""
    parses: int = 5
    groups: int = 1_000
    short_pods: int = 100
    """Short pods in a round, many at a time."""
    short_pod_rounds: int = 2
    slots: int = 16
    real_pods: int = 60
    """Deferred pods on the cluster."""
    real_quiet_seconds: int = 60
    played_pods: int = 100
    """Deferred pods that a server plays."""
    many_played_pods: int = 1_000
    """Deferred played pods, for this provider alone."""
    quiet_seconds: int = 180
    settle_seconds: int = 15
    """Seconds until all triggers have looked at their pods for the first time."""
    churn_minutes: int = 0
    """Minutes in which deferred tasks come and go; 0 for none."""
    churn_pods: int = 50
    churn_life: int = 60
    """Seconds that each of these pods runs."""


ORDINARY = Sizes()
LONG = replace(ORDINARY, long_pod_seconds=300, quiet_seconds=600, churn_minutes=30)
SMOKE = Sizes(
    imports=1,
    warm_ups=0,
    tasks=1,
    counted_tasks=1,
    pod_seconds=1,
    look_ups=3,
    rows=100,
    entries=200,
    overrides=10,
    queries=3,
    update_rounds=1,
    updates=5,
    jobs=100,
    parses=1,
    groups=20,
    short_pods=2,
    short_pod_rounds=1,
    slots=2,
    real_pods=2,
    real_quiet_seconds=2,
    played_pods=3,
    many_played_pods=5,
    quiet_seconds=3,
    settle_seconds=3,
)
