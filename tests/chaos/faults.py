"""The faults of a task, of its servers, and of people: each is one function, and is recorded."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from chaos.stand import SECONDS, Key, Stand
from plugins.processes import below, parent, requests_of, task_processes

FROZEN_SECONDS = 28
"""Longer than the heartbeat's timeout: Airflow starts another try, and the frozen one runs on beside it."""


@dataclass
class Hit:
    """A fault that was made."""

    fault: str
    began: float
    ended: float
    instance: Key | None = None
    """The task instance whose process or pod it was."""

    def __str__(self) -> str:
        target = " of {}/{}[{}]".format(*self.instance) if self.instance else ""
        return f"{time.strftime('%H:%M:%S', time.localtime(self.began))} {self.fault}{target}, {self.ended - self.began:.0f} s"


@dataclass
class Faults:
    """Makes faults, one after the other, and remembers them."""

    stand: Stand
    random: random.Random
    hits: list[Hit] = field(default_factory=list)
    _thaws: list[threading.Timer] = field(default_factory=list)

    def run(self, name: str) -> None:
        """Cause a fault; do nothing if it needs a running pod and there is none."""
        began = time.time()
        instance = FAULTS[name](self)
        if instance is not NO_TARGET:
            self.hits.append(Hit(name, began, time.time(), instance))

    def thaw(self) -> None:
        """Wait until nothing is frozen any more."""
        for timer in self._thaws:
            timer.join()

    def a_running_pod(self) -> tuple[Key, str] | None:
        """Choose a pod that runs, of a task that should succeed and that no person has marked."""
        candidates = self.running_pods()
        return self.random.choice(candidates) if candidates else None

    def running_pods(self) -> list[tuple[Key, str]]:
        """The pods of which one is chosen."""
        marked = {hit.instance for hit in self.hits if hit.fault.startswith("mark_")}
        return sorted(
            (key, pod["metadata"]["name"]) for key, pod in self.stand.running().items() if key[1] in SECONDS and key not in marked
        )

    def a_task(self) -> tuple[Key, int] | None:
        """Choose a supervised task that waits for its pod in a worker; return it and its process."""
        ours = set(below(os.getpid()))
        waiting = [(key, pid) for key, pod in self.running_pods() for pid in sorted(task_processes(pod)) if parent(pid) in ours]
        return self.random.choice(waiting) if waiting else None

    def later_thaw(self, pids: list[int]) -> None:
        timer = threading.Timer(FROZEN_SECONDS, send, (pids, signal.SIGCONT))
        timer.start()
        self._thaws.append(timer)


NO_TARGET: Key = ("", "", -2)
Fault = Callable[[Faults], "Key | None"]


def away(way: str, seconds: float) -> Fault:
    """A server that refuses connections."""

    def fault(faults: Faults) -> None:
        with faults.stand.ways[way].away():
            time.sleep(seconds)

    return fault


def silent(way: str, seconds: float) -> Fault:
    """A server that stops answering, and later continues where it stopped."""

    def fault(faults: Faults) -> None:
        proxy = faults.stand.ways[way]
        proxy.silent.set()
        try:
            time.sleep(seconds)
        finally:
            proxy.silent.clear()

    return fault


def cut(way: str) -> Fault:
    """Connections that break, and can be made again at once."""

    def fault(faults: Faults) -> None:
        faults.stand.ways[way].cut()

    return fault


def signalled(number: signal.Signals, *, supervisor: bool = False) -> Fault:
    """A signal to a task's process, or to the one that supervises it."""

    def fault(faults: Faults) -> Key | None:
        if (chosen := faults.a_task()) is None:
            return NO_TARGET
        key, pid = chosen
        send([parent(pid) if supervisor else pid], number)
        return key

    return fault


def frozen(faults: Faults) -> Key | None:
    """A task with its supervisor and its kubectl, frozen until Airflow has given it up, and thawed beside its successor."""
    if (chosen := faults.a_task()) is None:
        return NO_TARGET
    key, pid = chosen
    pids = [parent(pid), pid, *below(pid)]
    send(pids, signal.SIGSTOP)
    faults.later_thaw(pids)
    return key


def triggerer_frozen(faults: Faults) -> Key | None:
    """A triggerer with its kubectl, frozen until another one has its triggers, and thawed beside it."""
    pids = faults.random.choice(faults.stand.triggerers()).tree
    send(pids, signal.SIGSTOP)
    faults.later_thaw(pids)
    return None


def triggerer_killed(faults: Faults) -> Key | None:
    """A triggerer and all it has started, but its kubectl, which has to end by itself. Then another one is started."""
    triggerer = faults.random.choice(faults.stand.triggerers())
    watches = set(requests_of("labelSelector="))
    send([pid for pid in triggerer.tree if pid not in watches], signal.SIGKILL)
    time.sleep(2)
    faults.stand.start_triggerer()
    return None


def pod_deleted(faults: Faults) -> Key | None:
    """``kubectl delete pod``, by a person."""
    if (chosen := faults.a_running_pod()) is None:
        return NO_TARGET
    faults.stand.namespace.cluster.kubectl(
        "-n", faults.stand.namespace.name, "delete", "pod", chosen[1], "--wait=false", check=False
    )
    return chosen[0]


def marked(state: str) -> Fault:
    """A task that a person marks."""

    def fault(faults: Faults) -> Key | None:
        if (chosen := faults.a_running_pod()) is None:
            return NO_TARGET
        run_id, task_id, map_index = chosen[0]
        faults.stand.act("PATCH", f"/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}", {"new_state": state})
        return chosen[0]

    return fault


def cleared(faults: Faults) -> Key | None:
    """A task that a person clears while it runs."""
    if (chosen := faults.a_running_pod()) is None:
        return NO_TARGET
    run_id, task_id, map_index = chosen[0]
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [[task_id, map_index]], "only_failed": False}
    faults.stand.act("POST", "/clearTaskInstances", body)
    return chosen[0]


FAULTS: dict[str, Fault] = {
    "kubernetes_away": away("kubernetes", 8),
    "kubernetes_silent": silent("kubernetes", 6),
    "kubernetes_cut": cut("kubernetes"),
    "airflow_away": away("airflow", 7),
    "airflow_cut": cut("airflow"),
    "store_away": away("store", 4),
    "task_killed": signalled(signal.SIGKILL),
    "task_told_to_stop": signalled(signal.SIGTERM),
    "supervisor_killed": signalled(signal.SIGKILL, supervisor=True),
    "task_frozen": frozen,
    "triggerer_killed": triggerer_killed,
    "triggerer_frozen": triggerer_frozen,
    "pod_deleted": pod_deleted,
    "mark_failed": marked("failed"),
    "mark_success": marked("success"),
    "cleared": cleared,
}
NEW_POD = {"pod_deleted", "cleared"}
"""After these a new pod is right."""
COSTS_A_TRY = NEW_POD | {"task_killed", "task_told_to_stop", "supervisor_killed", "task_frozen", "mark_failed", "mark_success"}
"""The task instance that they hit may lose the try that it is in."""
CUTS_OFF = {"airflow_away": 8.0, "airflow_cut": 8.0, "store_away": 8.0}
"""A try that begins or ends in one of these, or so many seconds after it, may be lost: it could not begin, or report its end."""


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        assert pid > 1, "0 is this process's own group"
        with suppress(ProcessLookupError):
            os.kill(pid, number)
