"""
Every block of the README and of docs/ is tried: SQL through psql, commands on a real database and local pods, DAGs parsed.

A document is read from its beginning, as a person would, on a database of its own that has all migrations (what is special about a
block, and how each kind is tried: plugins/documents.py). On adopted databases they are tried in test_adopted_documents.py. The
sentences in blocks of messages are checked in test_messages.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from plugins.cluster import Namespace
from plugins.dag_runs import DagRunResult
from plugins.documents import DOCUMENTS, NAMESPACE, ROOT, Block, Workplace, commands, parse_dags, read_blocks
from plugins.postgres import Database

from airflow_provider_dagconfig.run_overrides import run_overrides


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_works_in_its_order(document: Path, workplace: Workplace) -> None:
    for block in read_blocks(document):
        workplace.try_block(block)


@pytest.mark.parametrize(
    ("document", "dag_id", "task_id", "default", "set_to", "then"),
    [
        pytest.param("README.md", "house_prices", "collect", "500", "750", "skipped", id="README"),
        pytest.param("docs/INSTALL.md", "first_pod", "say", "2Gi", "3Gi", "success", id="INSTALL"),
    ],
)
def test_the_documented_dag_runs_with_what_its_row_says(
    document: str,
    dag_id: str,
    task_id: str,
    default: str,
    set_to: str,
    then: str,
    run_dag: Callable[..., DagRunResult],
    workplace: Workplace,
    kubeconfig: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the default, with what the first command sets, and after the last one: a switch-off in the README, a roll-back there."""
    blocks = read_blocks(ROOT / document)
    [shown] = [block for block in blocks if "runs" in block.notes]
    change, *_, last = [block for block in blocks if "airflow dagconfig" in block.text and dag_id in block.text]
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", workplace.database.url)
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    (tmp_path / "documented.py").write_text(shown.text)
    [dag] = parse_dags(tmp_path / "documented.py").values()

    assert run_dag(dag).states(task_id) == ["success"]
    assert shown.notes["runs"] in capsys.readouterr().out
    workplace.try_block(change)
    assert run_dag(dag).states(task_id) == ["success"]
    assert shown.notes["runs"].replace(default, set_to) in capsys.readouterr().out
    workplace.try_block(last)
    assert run_dag(dag).states(task_id) == [then]


@pytest.mark.cluster
def test_the_documented_rights_are_given_by_the_documented_manifests(real_namespace: Namespace, tmp_path: Path) -> None:
    # The second one is a ClusterRole for a triggerer: tests/cluster applies both, and lets tasks run with them.
    block, _ = [block for block in read_blocks(ROOT / "docs" / "INSTALL.md") if block.language == "yaml"]
    manifests = tmp_path / "rights.yaml"
    manifests.write_text(block.text.replace(NAMESPACE, real_namespace.name))
    kubectl = real_namespace.cluster.kubectl
    kubectl("apply", "-f", str(manifests))
    worker = ["--namespace", real_namespace.name, f"--as=system:serviceaccount:{real_namespace.name}:airflow-worker"]
    needed = [
        *((verb, "pods") for verb in ("get", "watch", "create", "update", "delete")),
        ("get", "pods/log"),
        ("list", "events"),
        ("list", "pods"),
    ]
    denied = [(verb, what) for verb, what in needed if kubectl("auth", "can-i", verb, what, *worker, check=False).strip() != "yes"]
    assert denied == []
    assert kubectl("auth", "can-i", "get", "secrets", *worker, check=False).strip() == "no"


RECORDED = "SELECT to_jsonb(c) - 'updated_at' - 'version' FROM financial_screener.dag_configuration AS c ORDER BY id"
DELETED = "DELETE FROM financial_screener.dag_configuration WHERE (dag_name, job_name) = ('data_collection_equities', 'lse')"
TOO_LITTLE = "UPDATE financial_screener.dag_configuration SET memory_request = '64Mi', memory_limit = '64Mi'"


def under(heading: str, language: str) -> list[Block]:
    """The blocks of a language under a heading of the operations' document."""
    document = ROOT / "docs" / "DAG_OPERATIONS.md"
    lines = document.read_text().splitlines()
    first = lines.index(heading) + 1
    last = next((number for number, line in enumerate(lines) if number > first and line.startswith("##")), len(lines))
    return [block for block in read_blocks(document) if first < block.line <= last and block.language == language]


@pytest.mark.parametrize(
    ("heading", "language", "number", "change"),
    [
        pytest.param("### Everything is OOMKilled since the last change", "bash", 0, f"{TOO_LITTLE} WHERE id = 1", id="one job"),
        pytest.param(
            "### Everything is OOMKilled since the last change",
            "bash",
            2,
            f"{TOO_LITTLE} WHERE dag_name = 'data_collection_equities'",
            id="all jobs",
        ),
        pytest.param("### A row was deleted", "bash", 0, DELETED, id="deleted"),
        pytest.param("### A row was deleted", "sql", 0, DELETED, id="deleted, in SQL"),
    ],
)
def test_an_emergencys_block_brings_the_rows_back(
    heading: str, language: str, number: int, change: str, workplace: Workplace
) -> None:
    database = workplace.database
    before = database.execute(RECORDED)
    database.execute(change)
    assert database.execute(RECORDED) != before
    block = under(heading, language)[number]
    workplace.try_block(replace(block, notes={}))
    assert database.execute(RECORDED) == before


def test_the_commands_of_the_emergency_are_three() -> None:
    [block, *_] = under("### Everything is OOMKilled since the last change", "bash")
    assert [words[:3] for words in commands(block.text)] == [
        ["airflow", "dagconfig", "history"],
        ["airflow", "dagconfig", "rollback"],
        ["airflow", "tasks", "clear"],
    ]


BEFORE_RULES = """
    ALTER TABLE financial_screener.dag_configuration DROP CONSTRAINT rule_{column}, DISABLE TRIGGER USER;
    UPDATE financial_screener.dag_configuration SET {column} = {value}
"""
OVERRIDE = """
    SELECT financial_screener.override_dag_config(
        'calculate_indicators', 'all', now() + interval '1 hour', 'quarter end', p_batch_size => 9
    )
"""


@pytest.mark.parametrize(
    ("heading", "trouble"),
    [
        pytest.param("### Rows that break a rule", BEFORE_RULES.format(column="cpu_limit", value="'2 cores'"), id="quantity"),
        pytest.param("### Rows that break a rule", BEFORE_RULES.format(column="batch_size", value="0"), id="number"),
        pytest.param(
            "### Values above a ceiling", "SELECT financial_screener.set_ceiling('cpu', '1', p_not_valid => true)", id="ceiling"
        ),
        pytest.param(
            "### Groups and jobs that don't fit together",
            "UPDATE financial_screener.exchange_groups SET group_name = 'us' WHERE group_name = 'us_markets'",
            id="group",
        ),
        pytest.param(
            "### Jobs that are switched off", "UPDATE financial_screener.dag_configuration SET enabled = FALSE", id="disabled"
        ),
        pytest.param("### What is set for a time", OVERRIDE, id="override"),
    ],
)
def test_a_monitoring_query_is_silent_until_there_is_trouble(heading: str, trouble: str, migrated_database: Database) -> None:
    [query, *_] = under(heading, "sql")
    assert migrated_database.execute(query.text) == []
    migrated_database.execute(trouble)
    assert migrated_database.execute(query.text) != []


def test_what_runs_are_triggered_with_is_understood() -> None:
    confs = [
        json.loads(words[words.index("--conf") + 1])
        for document in DOCUMENTS
        for block in read_blocks(document)
        if block.language == "bash"
        for words in commands(block.text)
        if "--conf" in words
    ]
    set_by_runs = [run_overrides(conf, "us_markets", list) for conf in confs if "dagconfig" in conf]
    assert len(set_by_runs) == 3
    assert all(set_by_runs)
