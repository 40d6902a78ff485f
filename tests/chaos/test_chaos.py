"""
Faults at random, and nothing is lost by them.

CHAOS_SECONDS says for how long faults are made (default 120), CHAOS_SEED which (default: always the same). What a fault meets
depends on when it comes, so a seed chooses the faults and not what they do.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos.faults import COSTS_A_TRY, CUTS_OFF, FAULTS, NEW_POD, Faults
from chaos.stand import SECONDS, Key, Stand, Try, key, running_stand
from plugins.cluster import Namespace
from plugins.postgres import Server
from plugins.processes import requests_of

DURATION = float(os.environ.get("CHAOS_SECONDS") or 120)
SEED = int(os.environ.get("CHAOS_SEED") or 20261125)
ENDED = ("success", "failed")


@pytest.mark.cluster
@pytest.mark.chaos
def test_no_work_is_lost_or_done_twice_whatever_fails(postgres: Server, real_namespace: Namespace, tmp_path: Path) -> None:
    with running_stand(postgres, real_namespace, tmp_path) as stand:
        faults = Faults(stand, random.Random(SEED))
        make_faults(faults)
        wait_until_ended(stand)
        found = list(violations(stand, faults))
        wait_until_left(stand, faults)
        found += list(what_is_left(stand, faults))
    tasks = len(stand.runs) * (sum(map(len, SECONDS.values())) + 1)
    print(f"\nseed {SEED}, {DURATION:.0f} s, {len(stand.runs)} runs, {tasks} tasks; faults:", *faults.hits, sep="\n  ")
    assert not found, "\n".join(found)


def make_faults(faults: Faults) -> None:
    """Start a run now and then, and make each fault once in some order, then any of them."""
    names = list(FAULTS)
    faults.random.shuffle(names)
    until = time.monotonic() + DURATION
    next_run = 0.0
    while time.monotonic() < until:
        if time.monotonic() >= next_run:
            faults.stand.trigger()
            next_run = time.monotonic() + 20
        time.sleep(faults.random.uniform(2, 5))
        faults.run(names.pop() if names else faults.random.choice(list(FAULTS)))
    faults.thaw()


def wait_until_ended(stand: Stand) -> None:
    deadline = time.monotonic() + 240
    while unended := {key: state for key, state in stand.states().items() if state not in ENDED}:
        assert time.monotonic() < deadline, f"not ended: {unended}"
        time.sleep(1)


def wait_until_left(stand: Stand, faults: Faults) -> None:
    """Wait for deletions, and for kubectls whose task was killed."""
    deadline = time.monotonic() + 45
    while list(what_is_left(stand, faults)) and time.monotonic() < deadline:
        time.sleep(1)


def violations(stand: Stand, faults: Faults) -> Iterator[str]:
    states = stand.states()
    assert states
    pods: dict[Key, list[str]] = {}
    for uid, pod in stand.watch.pods_by_uid().items():
        pods.setdefault(key(pod), []).append(uid)
    for instance, state in states.items():
        name = "{}/{}[{}]".format(*instance)
        hits = [hit for hit in faults.hits if hit.instance == instance]
        tries = stand.tries(instance)
        summary = f"{name}: " + ", ".join(f"{one.number} {one.state}" for one in tries) + f"; {[hit.fault for hit in hits]}"
        right = "failed" if instance[1] == "failing" else "success"
        for hit in hits:
            right = hit.fault.removeprefix("mark_") if hit.fault.startswith("mark_") else right
        if state != right:
            yield f"{summary}: it is {state}, not {right}"
        for one in tries:
            yield from (f"{name}, try {one.number}: {what}" for what in wrong_lines(one))
        if instance[1] in SECONDS:
            if state == "success" and not any(hit.fault == "mark_success" for hit in hits):
                seconds = SECONDS[instance[1]][instance[2]]
                if [number for _, number, _ in tries[-1].lines] != list(range(1, seconds + 1)):
                    yield f"{summary}: the log of the last try has not all of {seconds} lines: {tries[-1].lines}"
            allowed = 1 + sum(hit.fault in NEW_POD for hit in hits)
            if len(pods.get(instance, ())) > allowed:
                yield f"{summary}: its work began {len(pods[instance])} times: {pods[instance]}"
            yield from (f"{summary}: try {lost.number} was lost" for lost in lost_for_nothing(tries, instance, faults))


def wrong_lines(one: Try) -> Iterator[str]:
    if len({uid for uid, _, _ in one.lines}) > 1:
        yield f"lines of several pods: {one.lines}"
    numbers = [number for _, number, _ in one.lines]
    if numbers != sorted(set(numbers)):
        yield f"lines twice, or not in order: {numbers}"


def lost_for_nothing(tries: list[Try], instance: Key, faults: Faults) -> list[Try]:
    """The tries that ended without success and without a fault that may cost one."""
    reasons = Counter(hit.fault in COSTS_A_TRY for hit in faults.hits if hit.instance == instance)[True]
    lost = [one for one in tries if one.state != "success" and not was_cut_off(one, faults)]
    return lost[reasons:]


def was_cut_off(one: Try, faults: Faults) -> bool:
    return any(
        hit.began - 1 <= moment <= hit.ended + CUTS_OFF[hit.fault]
        for hit in faults.hits
        if hit.fault in CUTS_OFF
        for moment in (one.began, one.ended)
        if moment
    )


def what_is_left(stand: Stand, faults: Faults) -> Iterator[str]:
    """Pods, but those that were to be deleted by a process that was hit before it did; and processes."""
    may_stay = {hit.instance for hit in faults.hits if hit.fault in COSTS_A_TRY}
    for pod in stand.namespace.pods():
        if key(pod) not in may_stay or pod["status"].get("phase") not in ("Succeeded", "Failed"):
            yield f"pod {pod['metadata']['name']} of {key(pod)} is left: {pod['status'].get('phase')}"
    for pid in requests_of(f"/namespaces/{stand.namespace.name}/"):
        yield f"process {pid} still makes a request: {Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
