"""
The cost of a task with one pod.

Each task is a process that has imported Airflow, imports the operator and executes it as a worker does, but does not talk to
Airflow's API server; a deferrable task is two such processes, with Airflow's trigger runner between them. An observer with a
separate watch records when the pod was created, started to run and ended. Memory is the PSS of the process and all its
descendants, kubectl included: the median of the samples taken while the pod ran. CPU is the user and system time of the same
processes, import included; for a deferred task it includes the time of its trigger in the runner, which has loaded the trigger's
code before. Requests are counted by a proxy before the API server, in separate tasks, so that the proxy's delay is in no other
figure. "Airflow alone" is a task without a pod that sleeps as long: no operator can take less.
"""

from __future__ import annotations

import pickle
import statistics
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import Seen, new_namespace, observed, write_kubeconfig
from benchmarks.counting_proxy import counting_proxy
from benchmarks.figures import Figure, Goal, ratio, short
from benchmarks.peers import AIRFLOW, BASH, OURS, OURS_DEFERRED, POD, POD_DEFERRED, has_succeeded
from benchmarks.process_tree import Samples
from benchmarks.processes import run, run_sampled
from benchmarks.runner_process import RunnerProcess, running_triggers
from benchmarks.workplace import Workplace, say

TITLE = "A task and its pod"
BUDGET = 720
NEEDS_CLUSTER = True

SYNC = (OURS, POD, BASH)
DEFERRED = (OURS_DEFERRED, POD_DEFERRED)
WHO = (*SYNC, *DEFERRED)


def measure(place: Workplace) -> list[Figure]:
    """Run tasks in turn, and then others through the proxy."""
    assert place.kubeconfig is not None
    store, sizes = place.make_store("one_pod"), place.sizes
    with new_namespace(place.kubeconfig) as namespace:
        costs = _costs(place, store, namespace)
        requests = _requests(place, store, namespace, sizes.pod_seconds, sizes.warm_ups, sizes.counted_tasks)
        long = _requests(place, store, namespace, sizes.long_pod_seconds, 0, 1) if sizes.long_pod_seconds else None
    return _figures(place, costs, requests, long)


def _costs(place: Workplace, store: str, namespace: str) -> dict[str, list[dict[str, float]]]:
    """Run tasks, and return the cost of each."""
    assert place.kubeconfig is not None
    costs: dict[str, list[dict[str, float]]] = {who: [] for who in (*WHO, AIRFLOW)}
    environment = place.environment(store)
    with (
        observed(place.kubeconfig, namespace) as observer,
        running_triggers(OURS_DEFERRED, namespace, environment) as ours,
        running_triggers(POD_DEFERRED, namespace, environment) as theirs,
    ):
        for number, who in place.in_turn(place.sizes.warm_ups + place.sizes.tasks, tuple(costs)):
            before = set(observer.pods)
            task = _Task(who, namespace, place.sizes.pod_seconds, environment, place.folder)
            done, samples = task.run(ours if who == OURS_DEFERRED else theirs)
            if who == AIRFLOW:
                cost = _cost_without_pod(done, samples, place.sizes.pod_seconds)
            else:
                cost = _cost(done, samples, observer.end_of_another(before, 30))
            if number >= place.sizes.warm_ups:
                costs[who].append(cost)
    return costs


def _cost_without_pod(done: Mapping[str, float], samples: Samples, seconds: int) -> dict[str, float]:
    seen = samples.between(done["ends"] - seconds, done["ends"])
    return {"CPU s": done["CPU s"], **({"MB": statistics.median(seen)} if seen else {})}


def _cost(done: Mapping[str, float], samples: Samples, pod: Seen) -> dict[str, float]:
    assert pod.ended is not None
    cost = {
        "CPU s": done["CPU s"],
        "to created": pod.created - done["begins"],
        "to end": done["ends"] - pod.ended,
        "task": done["ends"] - done["begins"],
    }
    # On a slow node, a pod may have ended before it was seen running; then there is no sample.
    if seen := samples.between(pod.running or pod.created, pod.ended):
        cost["MB"] = statistics.median(seen)
    return cost


@dataclass(frozen=True)
class _Task:
    """A task whose pod runs for a number of seconds."""

    who: str
    namespace: str
    seconds: int
    environment: Mapping[str, str]
    folder: Path

    def run(self, runner: RunnerProcess) -> tuple[dict[str, float], Samples]:
        """
        Run it to its end.

        :param runner: gets the trigger of a deferrable task.
        """
        arguments = ["--namespace", self.namespace, "--seconds", str(self.seconds), "--run-id", f"manual__{uuid.uuid4().hex[:8]}"]
        if self.who in DEFERRED:
            return self._deferred(runner, arguments), Samples()
        return run_sampled("one_task", self.who, *arguments, environment=self.environment)

    def _deferred(self, runner: RunnerProcess, arguments: Sequence[str]) -> dict[str, float]:
        """Defer, let the trigger run, and resume."""
        deferral, event = self.folder / "deferral", self.folder / "event"
        first = run("one_task", self.who, *arguments, "--deferral", str(deferral), environment=self.environment)
        before = runner.cpu_seconds()
        runner.send(deferral=str(deferral))
        [fired] = runner.wait_for_events(1, 120 + self.seconds)
        in_runner = runner.cpu_seconds() - before
        if not has_succeeded(fired["payload"]):
            raise RuntimeError(f"the trigger fired {fired}")
        left = pickle.loads(deferral.read_bytes())
        event.write_bytes(pickle.dumps({name: left[name] for name in ("method", "arguments")} | {"payload": fired["payload"]}))
        last = run("one_task", self.who, *arguments, "--event", str(event), environment=self.environment)
        return {"CPU s": first["CPU s"] + in_runner + last["CPU s"], "begins": first["begins"], "ends": last["ends"]}


def _requests(place: Workplace, store: str, namespace: str, seconds: int, warm_ups: int, rounds: int) -> dict[str, list[list[str]]]:
    """Run tasks through the proxy, and return the requests of each."""
    assert place.kubeconfig is not None
    asked: dict[str, list[list[str]]] = {who: [] for who in WHO}
    with counting_proxy(place.kubeconfig) as proxy:
        environment = place.environment(store, write_kubeconfig(place.folder / "counted", proxy.address))
        with (
            running_triggers(OURS_DEFERRED, namespace, environment) as ours,
            running_triggers(POD_DEFERRED, namespace, environment) as theirs,
        ):
            for number, who in place.in_turn(warm_ups + rounds, WHO):
                before = len(proxy.requests)
                _Task(who, namespace, seconds, environment, place.folder).run(ours if who == OURS_DEFERRED else theirs)
                if number >= warm_ups:
                    asked[who].append(proxy.requests[before:])
    for who, numbers in asked.items():
        say(f"requests of {who}, pod of {seconds} s: {[len(requests) for requests in numbers]}")
    return asked


def _figures(
    place: Workplace,
    costs: dict[str, list[dict[str, float]]],
    requests: dict[str, list[list[str]]],
    long: dict[str, list[list[str]]] | None,
) -> list[Figure]:
    def column(key: str, who: Sequence[str] = SYNC) -> dict[str, list[float]]:
        return {one: [cost[key] for cost in costs.get(one, ()) if key in cost] for one in who}

    counted = [(place.sizes.pod_seconds, requests), *([(place.sizes.long_pod_seconds, long)] if long else [])]
    below = Goal("below KubernetesPodOperator's", most=1.0)
    cpu = Goal("<= 0.6 of KubernetesPodOperator", most=0.6)
    figures = [
        ratio(
            "memory of the whole process tree while the pod runs",
            "MB",
            column("MB", (*SYNC, AIRFLOW)),
            Goal("<= 0.7 of KubernetesPodOperator", most=0.7),
            to=POD,
            note=_least(column("MB", (AIRFLOW, POD))),
        ),
        ratio(
            "CPU of a task, import included",
            "CPU s",
            column("CPU s", (*SYNC, AIRFLOW)),
            cpu,
            to=POD,
            note=_least(column("CPU s", (AIRFLOW, POD))),
        ),
        ratio(
            "CPU of a deferred task, imports included",
            "CPU s",
            column("CPU s", DEFERRED),
            Goal("<= 0.6 of KubernetesPodOperator, deferrable", most=0.6),
            to=POD_DEFERRED,
        ),
        ratio("task's start to its pod's creation, import included", "s", column("to created"), below, to=POD),
        ratio("pod's end to the task's end", "s", column("to end"), below, to=POD),
        Figure(f"whole task with a pod of {place.sizes.pod_seconds} s", "s", column("task")),
    ]
    for seconds, asked in counted:
        numbers = {who: [float(len(one)) for one in rounds] for who, rounds in asked.items()}
        name = f"API requests of a pod of {seconds} s, its whole life"
        own = max(numbers[OURS], default=None)
        # There is one list and one watch for all pods, however many there are, so they are left out.
        own_requests = [[one for one in requests if "labelSelector=" not in one] for requests in asked[OURS_DEFERRED]]
        beside = max((float(len(requests)) for requests in own_requests), default=None)
        figures.append(
            Figure(
                name,
                "",
                {who: numbers[who] for who in SYNC},
                Goal("<= 4", most=4),
                own,
                note=_listed(asked[OURS][-1], "ours requested"),
            )
        )
        figures.append(
            Figure(
                f"{name}, deferred",
                "",
                {who: numbers[who] for who in DEFERRED},
                Goal("<= 4 beside the shared watch", most=4),
                beside,
                note=f"{_listed(asked[OURS_DEFERRED][-1], 'ours requested')};"
                f" {_listed(asked[POD_DEFERRED][-1], 'the peer requested')}",
            )
        )
    return figures


def _least(values: Mapping[str, Sequence[float]]) -> str:
    """Return a note with the ratio that no operator can go below."""
    alone = ratio("", "", values, None, to=POD).judged
    return "" if alone is None else f"Airflow alone takes {short(alone)} of what KubernetesPodOperator does"


def _listed(requests: list[str], what: str) -> str:
    """Return the requests without names and queries, each with its count."""
    kinds: dict[str, int] = {}
    for request in requests:
        method, _, address = request.partition(" ")
        path, _, query = address.partition("?")
        parts = path.split("/namespaces/", 1)[-1].split("/")[1:]
        kind = f"{method} {'/'.join(['NAME' if number == 1 else part for number, part in enumerate(parts)]) or path}"
        kind += " watch" if "watch=" in query else " follow" if "follow=true" in query.lower() else ""
        kinds[kind] = kinds.get(kind, 0) + 1
    return f"{what}: " + ", ".join(f"{kind}{f' ({count})' if count > 1 else ''}" for kind, count in kinds.items())
