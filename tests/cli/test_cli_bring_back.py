"""`airflow dagconfig rollback` of what broke a rule: refused, with the command that brings back what the rules allow."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable

import pytest
from plugins.command_line import Answer
from plugins.postgres import Database, make_live

from airflow_provider_dagconfig.store.migrate import migrate

Run = Callable[..., Answer]
JOB = "UPDATE financial_screener.dag_configuration SET {} WHERE (dag_name, job_name) = ('data_collection_equities', 'lse')"
GROUP = "UPDATE financial_screener.exchange_groups SET {} WHERE group_name = 'lse'"


def last_entry(run: Run, *what: str) -> str:
    return str(json.loads(run("history", *what, "--limit", "1", "-o", "json").out)[0]["audit_id"])


def as_the_shell_reads_it(command: str) -> list[str]:
    out = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True).stdout.decode()
    return out.removesuffix("\0").split("\0")


@pytest.mark.parametrize(
    ("change", "deletion", "history"),
    [
        *(
            pytest.param(
                JOB.format(change), ["delete", "data_collection_equities", "lse"], ["data_collection_equities", "lse"], id=change
            )
            for change in (
                "memory_request = '3Gi', batch_size = 700",
                "memory_limit = '2 GB', description = 'a $HOME of London''s; \"x\"'",
                "cpu_limit = NULL, timeout_seconds = 0, priority = 42, enabled = NULL",
                "cpu_request = '4', cpu_limit = '0.5m'",
            )
        ),
        *(
            pytest.param(GROUP.format(change), ["groups", "remove", "lse"], ["--group", "lse"], id=change)
            for change in (
                "exchanges = '{}', enabled = false",
                "primary_timezone = 'EST5EDT4', priority = NULL, market_open_utc = '08:00', display_name = 'a  b'",
                "exchanges = '{LSE,LSE}', display_name = ''",
                "exchanges = ARRAY['LSE AIM'], market_open_utc = '24:00', market_close_utc = '24:00'",
            )
        ),
    ],
)
def test_a_deleted_row_that_broke_a_rule_comes_back_by_the_command_that_is_shown(
    store_cli: Run, before_the_rules: Callable[[str], None], change: str, deletion: list[str], history: list[str]
) -> None:
    before_the_rules(change)
    assert store_cli(*deletion, "--yes").code == 0
    entry = last_entry(store_cli, *history)

    refused = store_cli("rollback", entry, "--yes")
    words = shlex.split(refused.err.partition("To bring back what the rules allow: ")[2])

    assert (refused.code, words[:2]) == (1, ["airflow", "dagconfig"]), refused
    made = store_cli(*words[2:])
    assert made.code == 0, made
    again = store_cli("rollback", entry, "--yes")
    assert (again.code, "but for what breaks a rule" in again.out) == (0, True), again


def test_a_deleted_row_whose_name_broke_a_rule_comes_back_under_the_name_that_was_meant(
    store_cli: Run, before_the_rules: Callable[[str], None]
) -> None:
    before_the_rules(JOB.format("job_name = E' lse\\t', batch_size = 321, description = E'two\\nlines'"))
    store_cli("delete", "data_collection_equities", " lse\t", "--yes")

    refused = store_cli("rollback", last_entry(store_cli, "data_collection_equities"), "--yes")
    words = as_the_shell_reads_it(refused.err.partition("To bring back what the rules allow: ")[2])

    assert store_cli(*words[2:]).code == 0
    row = json.loads(store_cli("get", "data_collection_equities", "lse", "-o", "json").out)
    assert (row["batch_size"], row["description"]) == (321, "two\nlines")


def test_a_row_that_is_there_again_with_other_values_is_not_taken_for_it(
    store_cli: Run, before_the_rules: Callable[[str], None]
) -> None:
    before_the_rules(JOB.format("memory_request = '3Gi'"))
    store_cli("delete", "data_collection_equities", "lse", "--yes")
    entry = last_entry(store_cli, "data_collection_equities", "lse")
    store_cli("set", "data_collection_equities", "lse", "batch_size=123", "--create")

    assert store_cli("rollback", entry, "--yes").code == 4


def test_a_change_of_what_broke_a_rule_is_undone_as_far_as_the_rules_allow(
    store_cli: Run, before_the_rules: Callable[[str], None]
) -> None:
    before_the_rules(JOB.format("batch_size = -5"))
    store_cli("set", "data_collection_equities", "lse", "batch_size=700", "priority=2")
    entry = last_entry(store_cli, "data_collection_equities", "lse")

    refused = store_cli("rollback", entry, "--yes")

    assert refused.code == 1
    remedy = refused.err.partition("To bring back what the rules allow: ")[2].strip()
    assert remedy == "airflow dagconfig set data_collection_equities lse priority=9"


def test_a_job_that_was_mended_keeps_no_other_from_going_back(
    dagconfig: Run, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", database.url)
    migrate(make_live(database, "edits").url)
    [(moment,)] = database.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
    dagconfig("set", "data_collection_equities", "lse", "memory_request=1Gi")
    dagconfig("set", "data_collection_equities", "german_markets", "batch_size=500", "priority=1")
    dagconfig("set", "data_collection_equities", "us_markets", "batch_size=5")
    back = ["rollback", "data_collection_equities", "--to", str(moment), "--yes"]

    refused = dagconfig(*back)
    remedy = refused.err.partition("To bring back what the rules allow: ")[2].strip()

    assert (refused.code, remedy) == (1, "airflow dagconfig set data_collection_equities german_markets priority=8")
    assert dagconfig(*shlex.split(remedy)[2:]).code == 0
    done = dagconfig(*back)
    assert done.code == 0, done
    assert "data_collection_equities/lse stays as it is: memory_request was 3Gi, which breaks a rule" in done.err
    assert database.execute(
        "SELECT job_name, batch_size, memory_request, priority FROM financial_screener.dag_configuration"
        " WHERE dag_name = 'data_collection_equities' AND job_name <> 'european_markets' ORDER BY 1"
    ) == [("german_markets", 500, "1Gi", 8), ("lse", 500, "1Gi", 9), ("us_markets", 750, "1Gi", 10)]
    again = dagconfig(*back)
    assert (again.code, again.out.startswith("Nothing to do:")) == (0, True)
