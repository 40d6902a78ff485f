"""The log of a try, as somebody who was woken up reads it: docs/log_of_an_oom.txt is one, made here."""

from __future__ import annotations

import logging
import re

import pytest
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
"""What differs from run to run, and what the document has in its place."""


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
    log = tasks.run("true", exchange_group="us_markets").log
    folded = log[log.index("::group::Configuration") + 1 :]
    folded = folded[: folded.index("::endgroup::")]
    assert "cpu_request = 50m (row)" in folded
    assert any(re.fullmatch(r"batch_size = 7 \(override \d+ until .*\)", line) for line in folded)
    assert any(line.startswith("exchanges of us_markets = ") for line in folded)
