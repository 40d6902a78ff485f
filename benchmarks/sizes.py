"""How large a run is: the ordinary one, the long one, and the smallest, which only shows that all of it works."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sizes:
    """Rounds, rows, pods and seconds; each is a field that the modules name."""

    imports: int = 7
    """Rounds of imports."""
    warm_ups: int = 1
    """Rounds before these, which fill caches, kubectl's among them, and are not counted."""
    tasks: int = 5
    """Rounds of tasks with one pod each."""
    counted_tasks: int = 2
    """Rounds of tasks whose requests are counted. They hardly vary."""
    pod_seconds: int = 3
    """How long a pod of these runs."""
    long_pod_seconds: int = 0
    """How long a pod runs whose requests are counted as well; 0: none."""
    look_ups: int = 300
    """Rounds of a task's configuration and of the bare query."""
    rows: int = 100_000
    entries: int = 1_000_000
    overrides: int = 1_000
    queries: int = 500
    """Rounds of a query in the empty and in the large store."""
    update_rounds: int = 5
    updates: int = 1_000
    """Updates of each of eight clients a round."""
    jobs: int = 10_000
    """Jobs that are listed; a tenth of them, too, to see how it grows."""
    parses: int = 5
    groups: int = 1_000
    short_pods: int = 100
    """Pods a round of many at a time."""
    short_pod_rounds: int = 2
    slots: int = 16
    real_pods: int = 60
    """Deferred pods on the cluster."""
    real_quiet_seconds: int = 60
    played_pods: int = 100
    """Deferred pods of a server that plays them."""
    many_played_pods: int = 1_000
    """The same, for this provider alone."""
    quiet_seconds: int = 180
    settle_seconds: int = 15
    """Until all triggers have looked at their pods for the first time."""
    churn_minutes: int = 0
    """How long deferred tasks come and go; 0: not at all."""
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
