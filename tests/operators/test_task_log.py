"""The log of a try, as somebody who was woken up reads it: docs/log_of_an_oom.txt is one, made here."""

from __future__ import annotations

import logging
import re

import pytest
import structlog
from plugins.airflow_versions import AIRFLOW
from plugins.documents import ROOT
from plugins.tasks import DAG_ID, JOB, Tasks

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.operators import task_log

DOCUMENT = ROOT / "docs" / "log_of_an_oom.txt"
WORDS = {
    r"[\w-]+-[bcdfghjklmnpqrstvwxz2456789]{12}\b": "collect-data-collection-equities-20261123t020000-k7x2mzq4bw9c",
    r"dagconfig-test-[0-9a-f]+": "financial-screener",
    r"runs on \S+": "runs on node-1",
    r"\d\d:\d\d UTC": "21:14 UTC",
    r"changed by (\w+) \(\w+\) [\w ]+? \(": r"changed by \1 20 minutes ago (",
    r"^dba \(\w+\) changed (.*?) (?:a moment|\d+ \w+) ago": r"dba changed \1 20 minutes ago",
    r"version \d+": "version 4",
    r"rollback \d+": "rollback 17",
    r"row \d+": "row 1",
}
"""Texts that differ from run to run, and the document's text for each."""


def as_documented(lines: list[str]) -> list[str]:
    told = [line for line in lines if "execute cannot be called outside" not in line]
    for pattern, word in WORDS.items():
        told = [re.sub(pattern, word, line) for line in told]
    # Airflow's own groups are not in it; and whether the pod's start is seen before its end depends on the machine.
    told = [line for line in told if " waits: " not in line and " runs on " not in line]
    ends = [number for number, line in enumerate(told) if line == "::endgroup::"]
    return [line for number, line in enumerate(told) if number not in (ends[0], ends[-1])]


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow's groups and its retry policy are those of 3.3")
def test_the_log_in_the_documents_is_that_of_a_task(tasks: Tasks) -> None:
    DagConfigHook().update_dag_config(DAG_ID, JOB, memory_limit="64Mi", updated_by="dba", reason="the nodes are full")
    task = tasks.run("sh", "-c", "echo Prices of 2026-11-23: 500 of 5213 assets; exec tail /dev/zero", max_tries=10)
    before, after = task.log[:-2], task.log[-2:]
    log = as_documented([*before, "(Airflow's traceback, which ends with:)", *task.error.splitlines(), *after])
    assert "\n".join(log) + "\n" == DOCUMENT.read_text()


def test_the_manifest_is_told_on_request_and_hides_what_is_secret(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = [{"name": "API_PASSWORD", "value": "hunter2-listed"}, {"name": "MARKET", "value": "exchange-lse"}]
    assert not any("Manifest" in line for line in tasks.run("true", env_vars=variables).log)
    monkeypatch.setattr(task_log, "DEBUG", logging.CRITICAL)
    log = "\n".join(tasks.run("true", env_vars=variables, task_id="second").log)
    manifest = log.partition("::group::Manifest\n")[2].partition("::endgroup::")[0]
    assert '"image": "busybox:latest"' in manifest
    assert "exchange-lse" in manifest
    assert "hunter2" not in log


def test_each_value_says_where_it_is_from(tasks: Tasks) -> None:
    DagConfigHook().override_dag_config(DAG_ID, JOB, for_="2h", reason="month's end", batch_size=7)
    configuration = folded(tasks.run("true", exchange_group="us_markets").log, "Configuration")
    assert "cpu_request = 50m (row)" in configuration
    assert any(re.fullmatch(r"batch_size = 7 \(override \d+ until .*\)", line) for line in configuration)
    assert any(line.startswith("exchanges of us_markets = ") for line in configuration)


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_events_of_a_pod_that_did_not_start_are_in_the_log(tasks: Tasks, deferrable: bool) -> None:
    run = tasks.run_deferred if deferrable else tasks.run
    task = run("true", startup_timeout_seconds=4, node_selector={"there": "is-none"})
    assert task.state == "failed"
    assert [line for line in folded(task.log, "Events of the pod") if re.search(r"Z Warning FailedScheduling.*: 0/1 nodes", line)]


def test_a_pod_that_ran_is_not_asked_for_its_events(tasks: Tasks) -> None:
    assert "::group::Events of the pod" not in tasks.run("false").log


def test_events_are_in_the_order_in_which_they_happened() -> None:
    """As the API of events has them since 1.19, and as it had them before; and the one has control characters in it."""
    events = [
        {"lastTimestamp": "2026-11-23T02:00:09Z", "type": "Warning", "reason": "Failed", "message": "no image\x1b[31m", "count": 3},
        {"eventTime": "2026-11-23T02:00:01.5Z", "lastTimestamp": None, "type": "Normal", "reason": "Scheduled", "message": "to n1"},
        {"metadata": {"creationTimestamp": "2026-11-23T02:00:05Z"}, "reason": "Pulling"},
    ]
    with structlog.testing.capture_logs() as log:
        task_log.log_events(structlog.get_logger(), events)
    assert [entry["event"] for entry in log[1:-1]] == [
        "2026-11-23T02:00:01.5Z Normal Scheduled: to n1",
        "2026-11-23T02:00:05Z Pulling: ",
        "2026-11-23T02:00:09Z Warning Failed (3 times): no image\\x1b[31m",
    ]


def folded(log: list[str], title: str) -> list[str]:
    """The lines of a group."""
    lines = log[log.index(f"::group::{title}") + 1 :]
    return lines[: lines.index("::endgroup::")]
