"""
The cost of deferred pods in the triggerer.

Airflow's trigger runner runs the triggers with which an operator defers, and nothing else. It is measured on the cluster, and with
played pods: a server of the benchmark answers real clients as an API server would, so that the number of pods does not depend on
the node (it uses plain HTTP, so no request has the cost of a TLS handshake). In the quiet minutes no pod changes. Memory is the
PSS of the runner and all its descendants, above the memory before the first trigger. Latency is the time from the pod's end, which
a separate watch or the playing server records, to the event in the runner; Airflow itself adds one or two seconds, for every
operator.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.cluster import kubectl, new_namespace, observed, write_kubeconfig
from benchmarks.figures import Figure, Goal, percentile, ratio
from benchmarks.peers import CONTAINER, IMAGE, LABELS, LIMITS, OURS_DEFERRED, POD_DEFERRED, REQUESTS
from benchmarks.played_pods import NAMESPACE, PlayedPods, played_pods
from benchmarks.process_tree import sampled
from benchmarks.runner_process import RunnerProcess, running_triggers
from benchmarks.workplace import Workplace, say

TITLE = "Deferred pods"
BUDGET = 1200
NEEDS_CLUSTER = True

WHO = (OURS_DEFERRED, POD_DEFERRED)


@dataclass(frozen=True)
class Cost:
    """The cost of a number of deferred pods."""

    pods: int
    megabytes: float
    """Memory of the runner, above an empty one."""
    cores: float
    requests: float | None
    """API requests for each pod in a minute; None where they were not counted."""
    latencies: Sequence[float]


def measure(place: Workplace) -> list[Figure]:
    """Measure real pods first, then played ones, then pods that come and go."""
    sizes = place.sizes
    real: dict[str, Cost] = {}
    played: dict[str, Cost] = {}
    churned: dict[str, list[float]] = {who: [] for who in WHO}
    for who in WHO:
        real[who] = _real(place, who, sizes.real_pods)
        say(f"{who}: {sizes.real_pods} real pods: {_shown(real[who])}")
    for who in WHO:
        played[who] = _played(place, who, sizes.played_pods)
        say(f"{who}: {sizes.played_pods} played pods: {_shown(played[who])}")
    many = _played(place, OURS_DEFERRED, sizes.many_played_pods)
    if sizes.churn_minutes:
        for who in WHO:
            churned[who] = _churn(place, who)
    return _figures(place, real, played, many, churned)


def _shown(cost: Cost) -> str:
    return (
        f"{cost.megabytes:.1f} MB, {cost.cores:.3f} cores, {cost.requests} requests, p50 {statistics.median(cost.latencies):.2f} s"
    )


def _quiet(runner: RunnerProcess, seconds: float) -> tuple[float, float, float, float]:
    """Wait; return MB, cores, and the moments of begin and end (time.time)."""
    begin, before = time.time(), runner.cpu_seconds()
    with sampled(runner.pid, every=max(1.0, seconds / 60)) as samples:
        time.sleep(seconds)
    end = time.time()
    seen = [megabytes for _, megabytes in samples.seen] or [runner.memory()]
    return statistics.median(seen), (runner.cpu_seconds() - before) / (end - begin), begin, end


def _real(place: Workplace, who: str, number: int) -> Cost:
    """Measure pods on the cluster, which end by themselves, one after the other, after the quiet time."""
    assert place.kubeconfig is not None
    names = [f"work-{index:03}" for index in range(number)]
    quiet = place.sizes.real_quiet_seconds
    with (
        new_namespace(place.kubeconfig) as namespace,
        observed(place.kubeconfig, namespace) as observer,
        running_triggers(who, namespace, place.environment()) as runner,
    ):
        # About two pods start in a second, and each gets the moment of its end.
        ends_at = time.time() + 20 + number * 1.0 + place.sizes.settle_seconds + quiet
        manifests = [_pod(name, f"sleep $(({ends_at + index * 0.5:.0f} - $(date +%s)))") for index, name in enumerate(names)]
        pods = {"apiVersion": "v1", "kind": "List", "items": manifests}
        kubectl(place.kubeconfig, "create", "--namespace", namespace, "--filename", "-", body=pods)
        observer.wait_for(lambda seen: sum(pod.running is not None for pod in seen.values()) == number, 240, "the pods to run")
        runner.send(pods=names)
        time.sleep(min(place.sizes.settle_seconds, max(0.0, ends_at - time.time() - quiet)))
        rest = ends_at - time.time() - 1
        if rest < quiet / 2:
            raise RuntimeError(f"the pods took so long to start that only {rest:.0f} quiet seconds are left")
        megabytes, cores, _, _ = _quiet(runner, min(rest, quiet))
        fired = runner.wait_for_events(number, 120 + number)
        megabytes -= runner.empty_memory
        observer.wait_for(lambda seen: all(pod.ended is not None for pod in seen.values()), 30, "the pods' ends")
        latencies = [event["at"] - (observer.pods[event["pod"]].ended or 0) for event in fired]
    return Cost(number, megabytes, cores, None, latencies)


def _pod(name: str, script: str) -> dict[str, object]:
    container = {
        "name": CONTAINER,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "resources": {"requests": REQUESTS, "limits": LIMITS},
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": LABELS}, "spec": spec}


def _played(place: Workplace, who: str, number: int) -> Cost:
    """Measure played pods, which end at irregular moments within about half a minute."""
    names = [f"work-{index:04}" for index in range(number)]
    with played_pods() as pods:
        for name in names:
            pods.add(name)
        kubeconfig = write_kubeconfig(place.folder / "played", pods.address)
        with running_triggers(who, NAMESPACE, place.environment(kubeconfig=kubeconfig)) as runner:
            runner.send(pods=names)
            time.sleep(place.sizes.settle_seconds + number / 50)
            megabytes, cores, begin, end = _quiet(runner, place.sizes.quiet_seconds)
            requests = len(pods.asked_between(begin, end)) / number / (end - begin) * 60
            ended = _finish_all(pods, names, 30.0)
            fired = runner.wait_for_events(number, 120)
            megabytes -= runner.empty_memory
    return Cost(number, megabytes, cores, requests, [event["at"] - ended[event["pod"]] for event in fired])


def _finish_all(pods: PlayedPods, names: Sequence[str], seconds: float) -> dict[str, float]:
    """End all pods in a random order, spread over a time; return the moments."""
    chance = random.Random(1)
    order = chance.sample(list(names), len(names))
    ended = {}
    for name in order:
        time.sleep(chance.uniform(0, 2 * min(seconds / len(names), 1.0)))
        ended[name] = pods.finish(name)
    return ended


def _churn(place: Workplace, who: str) -> list[float]:
    """Let deferred tasks come and go; return the runner's MB every ten seconds, without the first five minutes."""
    sizes, seen, number = place.sizes, list[float](), 0
    with played_pods() as pods:
        kubeconfig = write_kubeconfig(place.folder / "played", pods.address)
        with running_triggers(who, NAMESPACE, place.environment(kubeconfig=kubeconfig)) as runner:
            begin = time.monotonic()
            alive: list[tuple[float, str]] = []
            look_at = begin + 300
            while (now := time.monotonic()) < begin + sizes.churn_minutes * 60:
                for ends_at, name in list(alive):
                    if now >= ends_at:
                        pods.finish(name)
                        alive.remove((ends_at, name))
                if len(alive) < sizes.churn_pods:
                    number += 1
                    pods.add(f"work-{number:05}")
                    runner.send(pods=[f"work-{number:05}"])
                    alive.append((now + sizes.churn_life, f"work-{number:05}"))
                if now >= look_at:
                    seen.append(runner.memory())
                    look_at += 10
                time.sleep(0.05 if len(alive) == sizes.churn_pods else sizes.churn_life / sizes.churn_pods)
    return seen


def _figures(
    place: Workplace, real: dict[str, Cost], played: dict[str, Cost], many: Cost, churned: dict[str, list[float]]
) -> list[Figure]:
    sizes = place.sizes

    def column(costs: dict[str, Cost], value: Callable[[Cost], float]) -> dict[str, list[float]]:
        return {who: [value(costs[who])] if who in costs else [] for who in WHO}

    def latency(costs: dict[str, Cost], what: str, share: int, most: float) -> Figure:
        own = costs.get(OURS_DEFERRED)
        return Figure(
            f"pod's end to the trigger's event, {what}: p{share}",
            "s",
            column(costs, lambda cost: percentile(cost.latencies, share / 100)),
            Goal(f"<= {most} s", most=most),
            percentile(own.latencies, share / 100) if own else None,
        )

    def latencies(costs: dict[str, Cost], what: str) -> list[Figure]:
        return [latency(costs, what, 50, 0.2), latency(costs, what, 99, 1.0)]

    def shown(costs: dict[str, Cost], where: str, number: int) -> list[Figure]:
        return [
            ratio(
                f"triggerer: memory of {number} {where} pods, above an empty one",
                "MB",
                column(costs, lambda cost: cost.megabytes),
                Goal("<= 0.3 of KubernetesPodOperator, deferrable", most=0.3),
                to=POD_DEFERRED,
            ),
            Figure(f"triggerer: a core's share for {number} {where} pods", "", column(costs, lambda cost: cost.cores)),
            *latencies(costs, f"{number} {where} pods"),
        ]

    # The memory of 1,000 of our pods is compared per pod with that of the peer's 100: 1,000 of those would need ten times as much.
    a_pod = {OURS_DEFERRED: [many.megabytes / many.pods], POD_DEFERRED: list[float]()}
    if POD_DEFERRED in played:
        a_pod[POD_DEFERRED] = [played[POD_DEFERRED].megabytes / sizes.played_pods]
    both = {who: cost for who, cost in {**played, OURS_DEFERRED: many}.items() if cost}
    name = f"{sizes.many_played_pods} played pods (the peer: {sizes.played_pods})"
    figures = [
        Figure(
            "memory on the worker while a task is deferred",
            "MB",
            {OURS_DEFERRED: [0.0], POD_DEFERRED: [0.0]},
            Goal("0", most=0.0),
            0.0,
            note="not measured: the worker's process has ended",
        ),
        *shown(real, "real", sizes.real_pods),
        *shown(played, "played", sizes.played_pods),
        Figure(
            f"API requests a pod a minute, {name}",
            "",
            column(both, lambda cost: cost.requests or 0.0),
            Goal("<= 0.1", most=0.1),
            many.requests,
        ),
        Figure(
            f"triggerer: a core's share, {name}",
            "",
            column(both, lambda cost: cost.cores),
            Goal("<= 0.05", most=0.05),
            many.cores,
        ),
        ratio(f"triggerer: memory a pod, {name}", "MB", a_pod, Goal("<= 0.3 of the peer's", most=0.3), to=POD_DEFERRED),
        *latencies(both, name),
    ]
    if sizes.churn_minutes:
        figures.append(_flat(sizes.churn_minutes, sizes.churn_pods, churned))
    return figures


def _flat(minutes: int, pods: int, churned: dict[str, list[float]]) -> Figure:
    own = churned[OURS_DEFERRED]
    fifth = max(len(own) // 5, 1)
    return Figure(
        f"triggerer: memory in {minutes} minutes of {pods} deferred tasks at a time, its end against its beginning",
        "MB",
        churned,
        Goal("flat: <= 1.05", most=1.05),
        statistics.median(own[-fifth:]) / statistics.median(own[:fifth]) if own else None,
        is_ratio=True,
        note="without the first five minutes: the medians of the first and of the last fifth of the rest. Workers use no memory",
    )
