"""The benchmarks still work; what they measure is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from benchmarks import database, report
from benchmarks.cluster import kubectl, observed, write_kubeconfig
from benchmarks.counting_proxy import counting_proxy
from benchmarks.figures import Figure, Goal, Part, above, percentile, ratio
from benchmarks.played_pods import PlayedPods, played_pods
from benchmarks.sizes import SMOKE
from benchmarks.workplace import Workplace
from demo.postgres import Server

PODS = "/api/v1/namespaces/default/pods"
AT_MOST = Goal("<= 0.5 of the other", most=0.5)
A_POD = {"metadata": {"name": "two"}, "spec": {"containers": [{"name": "base"}]}}


@pytest.mark.parametrize(
    ("own", "goal", "verdict"),
    [
        pytest.param([1.0, 2.0, 30.0], AT_MOST, "met", id="by the median"),
        pytest.param([3.0], AT_MOST, "not met", id="missed"),
        pytest.param([], AT_MOST, "not there yet", id="nothing to measure yet"),
        pytest.param([3.0], Goal(">= 0.6", least=0.6), "met", id="at least"),
        pytest.param([3.0], None, "", id="only shown"),
    ],
)
def test_a_ratio_is_held_against_its_goal(own: list[float], goal: Goal | None, verdict: str) -> None:
    assert ratio("memory", "MB", {"ours": own, "theirs": [4.0]}, goal, to="theirs").verdict == verdict


def test_what_all_need_anyway_is_taken_off() -> None:
    assert above({"ours": [12.0], "theirs": [30.0], "Airflow": [11.0, 10.0, 9.0]}, "Airflow") == {"ours": [2.0], "theirs": [20.0]}


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 2.0, 3.0]
    hundred = [float(number) for number in range(1, 101)]
    assert (percentile(hundred, 0.5), percentile(hundred, 0.99)) == (50.0, 99.0)


def test_the_page_shows_each_goal_with_its_verdict_and_a_picture(tmp_path: Path) -> None:
    figures = [
        ratio("memory", "MB", {"ours": [1.0, 1.2, 1.4], "theirs": [4.0]}, AT_MOST, to="theirs"),
        ratio("CPU | waiting", "s", {"ours": [9.0], "theirs": [4.0]}, AT_MOST, to="theirs", note="who knows"),
        Figure("requests, deferred", "", {"ours": [], "theirs": [14.0]}, Goal("<= 4", most=4.0)),
    ]
    parts = [Part("one", "One part", "How it is done.", figures, 12, 60), Part("other", "Other", "So.", trouble="no cluster")]
    run = report.Run(parts, {"machine": "a small one"}, datetime(2026, 11, 30, tzinfo=timezone.utc), "make bench", is_smoke=False)
    report.write(run, tmp_path)
    lines = (tmp_path / "BENCHMARKS.md").read_text().splitlines()
    assert "| memory | <= 0.5 of the other | 0.30 | met |" in lines
    assert "| CPU \\| waiting | <= 0.5 of the other | 2.25 | **not met** |" in lines
    assert "| requests, deferred | <= 4 |  | not there yet |" in lines
    assert "| memory | ours | 1.20 MB (1.00 to 1.40) |" in lines
    assert {"| machine | a small one |", "This part did not come to its end: no cluster"} <= set(lines)
    drawn = ElementTree.parse(tmp_path / "benchmarks.svg").getroot()
    assert [title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")][1:] == [
        "memory: 0.30, goal <= 0.5 of the other, met",
        "CPU | waiting: 2.25, goal <= 0.5 of the other, not met",
    ]


@pytest.fixture
def place(postgres: Server, tmp_path: Path) -> Iterator[Workplace]:
    """A workplace of the smallest sizes on the tests' PostgreSQL, without a cluster."""
    databases = "SELECT datname FROM pg_database"
    before = set(postgres.execute(databases))
    yield Workplace(SMOKE, tmp_path, None, postgres, deadline=time.monotonic() + 600)
    for (name,) in set(postgres.execute(databases)) - before:
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_parts_without_airflow_yield_figures(place: Workplace) -> None:
    figures = list(database.measure(place))
    assert all(figure.values for figure in figures)
    assert {figure.verdict for figure in figures} <= {"met", "not met"}


@pytest.fixture
def played() -> Iterator[PlayedPods]:
    with played_pods() as pods:
        yield pods


def test_played_pods_are_seen_by_kubectl(played: PlayedPods, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "config", played.address)
    played.add("one")
    with observed(kubeconfig, "default") as observer:
        observer.wait_for(lambda pods: "one" in pods and pods["one"].running is not None, 30, "the pod")
        kubectl(kubeconfig, "create", "--raw", PODS, "-f", "-", body=A_POD)
        ended_at = played.finish("two")
        pod = observer.end_of_another({"one"}, 30)
    assert (pod.name, (pod.ended or 0) >= ended_at) == ("two", True)
    assert "line 9" in kubectl(kubeconfig, "get", "--raw", f"{PODS}/two/log")
    kubectl(kubeconfig, "delete", "--raw", f"{PODS}/two", "-f", "-", body={})
    with pytest.raises(RuntimeError, match="not found"):
        kubectl(kubeconfig, "get", "--raw", f"{PODS}/two")


def test_a_watch_of_played_pods_continues_where_it_stopped(played: PlayedPods, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "config", played.address)
    played.add("one")
    version = json.loads(kubectl(kubeconfig, "get", "--raw", PODS))["metadata"]["resourceVersion"]
    played.finish("one")
    watch = f"{PODS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={version}"
    events = [json.loads(line) for line in kubectl(kubeconfig, "get", "--raw", watch).splitlines()]
    assert [(event["type"], event["object"].get("status", {}).get("phase")) for event in events] == [
        ("MODIFIED", "Succeeded"),
        ("BOOKMARK", None),
    ]


def test_the_proxy_counts_what_goes_through_it(played: PlayedPods, tmp_path: Path) -> None:
    behind = write_kubeconfig(tmp_path / "behind", played.address)
    played.add("one")
    with counting_proxy(behind) as counted:
        kubeconfig = write_kubeconfig(tmp_path / "config", counted.address)
        kubectl(kubeconfig, "create", "--raw", f"{PODS}?fieldValidation=Strict", "-f", "-", body=A_POD)
        found = kubectl(kubeconfig, "get", "--raw", f"{PODS}?fieldSelector=metadata.name%3Done")
    assert [pod["metadata"]["name"] for pod in json.loads(found)["items"]] == ["one"]
    assert counted.requests == [f"POST {PODS}?fieldValidation=Strict", f"GET {PODS}?fieldSelector=metadata.name%3Done"]


@pytest.mark.cluster
def test_the_smallest_run_writes_a_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--output", str(tmp_path)]
    command += [f"--only={part}" for part in ("one_pod", "configuration", "parsing", "many_pods", "deferred")]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "BENCHMARKS.md").read_text()
    assert "no figure here means anything" in page
    assert "did not come to its end" not in page
