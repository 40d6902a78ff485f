"""Mistyped input: read as it was meant, or refused with what to write instead."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from plugins.command_line import Answer

from airflow_provider_dagconfig.__main__ import make_parser
from airflow_provider_dagconfig.cli.definition import COMMANDS
from airflow_provider_dagconfig.cli.meant import meant_commands
from airflow_provider_dagconfig.cli.values import UsageError, read_moment

DAG, JOB = "data_collection_equities", "us_markets"
SET, GROUP = ["set", DAG, JOB], ["groups", "set", "us_markets"]
OVERRIDE = ["override", DAG, JOB, "memory_limit=8Gi", "--reason", "x"]
Run = Callable[..., Answer]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([*SET, "memory_limit=4", "Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit", "4Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit", "=", "4Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit", "=4Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit:4Gi"], "write memory_limit=4Gi"),
        ([*SET, "--memory-limit=4Gi"], f"write airflow dagconfig set {DAG} {JOB} memory_limit=4Gi"),
        ([*SET, "memory_limit=4GB"], "write 4G or 4Gi"),
        ([*SET, "cpu_limit=500 m"], "write 500m"),
        ([*SET, "timeout_seconds=1h"], "write 3600"),
        ([*SET, "retry_delay_minutes=1h30m"], "write 90"),
        ([*SET, "batch_size=1,000"], "write 1000"),
        ([*SET, "batch_size=many"], "write one, such as 5"),
        ([*SET, "description=two", "words"], "write 'description=two words'"),
        ([*SET, "memory=4Gi"], "Did you mean 'memory_limit'?"),
        ([*GROUP, "exchanges=NYSE", "NASDAQ"], "write exchanges=NYSE,NASDAQ"),
        ([*GROUP, "NYSE,NASDAQ"], "write exchanges=NYSE,NASDAQ"),
        ([*GROUP, "exchanges=NYSE NASDAQ"], "write NYSE,NASDAQ"),
        ([*OVERRIDE, "2h"], "write --for 2h"),
        ([*OVERRIDE, "--for", "2", "hours"], "write --for '2 hours'"),
        ([*OVERRIDE, "--until", "tomorrow", "6:00"], "write --until 'tomorrow 6:00'"),
        (["override", DAG, "memory_limit=8Gi", "--for", "2", "hours"], "write --for '2 hours'"),
        ([*OVERRIDE, "--for", "90"], "such as 90m"),
        ([*OVERRIDE, "--for", "soon"], "'soon' is no duration"),
        ([*OVERRIDE, "--for", "1M"], "'1M' is no duration"),
        (["override", "end", "7"], "override --end 7"),
        (["override", "list"], "override --list"),
    ],
    ids=lambda each: " ".join(each[2:]) if isinstance(each, list) else "",
)
def test_what_cannot_be_read_is_answered_with_what_to_write(store_cli: Run, words: list[str], meant: str) -> None:
    answer = store_cli(*words)

    assert (answer.code, meant in answer.err) == (2, True), answer


@pytest.mark.parametrize(
    ("words", "column", "value"),
    [
        ([*SET, "memory-limit=4Gi"], "memory_limit", "4Gi"),
        ([*SET, "MEMORY_LIMIT=4Gi"], "memory_limit", "4Gi"),
        (["set", "Memory-Limit=4Gi", f"{DAG}/{JOB}"], "memory_limit", "4Gi"),
        ([*OVERRIDE, "--until", "tomorrow"], "memory_limit", "8Gi"),
        ([*OVERRIDE, "--until", "until tomorrow 6:00"], "memory_limit", "8Gi"),
        ([*OVERRIDE, "--for", "2 hours"], "memory_limit", "8Gi"),
        ([*GROUP, "exchanges=NYSE, LSE, "], "exchanges", ["NYSE", "LSE"]),
        ([*GROUP, "exchanges=[NYSE,LSE]"], "exchanges", ["NYSE", "LSE"]),
        ([*GROUP, "exchanges=NYSE;LSE"], "exchanges", ["NYSE", "LSE"]),
        ([*GROUP, "exchanges=ARRAY['NYSE','LSE']"], "exchanges", ["NYSE", "LSE"]),
    ],
    ids=lambda each: " ".join(each[1:]) if isinstance(each, list) else "",
)
def test_what_can_be_read_as_it_was_meant_is(store_cli: Run, words: list[str], column: str, value: object) -> None:
    assert store_cli(*words).code == 0

    if words[0] == "groups":
        rows = json.loads(store_cli("groups", "list", "-o", "json").out)
        assert {row["group_name"]: row[column] for row in rows}["us_markets"] == value
    else:
        assert json.loads(store_cli("get", DAG, JOB, "-o", "json").out)[column] == value


def test_a_group_with_an_equals_sign_in_its_name_can_be_changed(store_cli: Run) -> None:
    assert store_cli("groups", "add", "a=b", "exchanges=LSE").code == 0
    assert store_cli("groups", "set", "a=b", "priority=3").code == 0


# --- commands and options that there are not ---


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("show DAG JOB", "get DAG JOB"),
        ("view DAG/JOB", "get DAG/JOB"),
        ("describe DAG", "get DAG"),
        ("ls", "list"),
        ("LIST DAG", "list DAG"),
        ("lst", "list"),
        ("jobs", "list"),
        ("status", "list"),
        ("status", "doctor"),
        ("rm DAG JOB", "delete DAG JOB"),
        ("remove DAG JOB", "delete DAG JOB"),
        ("edit DAG JOB memory_limit=4Gi", "set DAG JOB memory_limit=4Gi"),
        ("update DAG JOB batch_size=5 --reason 'a b'", "set DAG JOB batch_size=5 --reason 'a b'"),
        ("revert 17", "rollback 17"),
        ("undo 17", "rollback 17"),
        ("log DAG", "history DAG"),
        ("logs", "history"),
        ("pause DAG JOB", "disable DAG JOB"),
        ("resume DAG JOB", "enable DAG JOB"),
        ("import jobs.yaml", "apply jobs.yaml"),
        ("dump jobs.yaml", "export jobs.yaml"),
        ("check", "doctor"),
        ("upgrade", "migrate"),
        ("mv DAG JOB other", "rename DAG JOB other"),
        ("group list", "groups list"),
        ("groups get us_markets", "groups list"),
        ("groups ls", "groups list"),
        ("groups rm us_markets", "groups remove us_markets"),
        ("groups create asia exchanges=TSE", "groups add asia exchanges=TSE"),
        ("groups update lse priority=3", "groups set lse priority=3"),
        ("ceiling show", "ceiling list"),
        ("ceiling add memory=8Gi", "ceiling set memory=8Gi"),
        ("list --dag DAG", "list DAG"),
        ("list --dag=DAG -o json", "list DAG -o json"),
        ("get --dag-id DAG", "get DAG"),
        ("get --job-name JOB --dag-name DAG", "get DAG JOB"),
        ("history --dag DAG --last 3", "history DAG --limit 3"),
        ("history --json", "history --output=json"),
        ("set DAG JOB --name memory_limit --value 4Gi", "set DAG JOB memory_limit=4Gi"),
        ("set DAG JOB --column=memory_limit --value=4Gi --comment why", "set DAG JOB memory_limit=4Gi --reason why"),
        ("set DAG JOB --memory-limit 4Gi", "set DAG JOB memory_limit=4Gi"),
        ("set DAG JOB --set memory_limit=4Gi", "set DAG JOB memory_limit=4Gi"),
        ("groups set --name lse priority=3", "groups set lse priority=3"),
        ("override DAG JOB batch_size=5 --duration 2h -m why", "override DAG JOB batch_size=5 --for 2h --reason why"),
        ("delete DAG JOB --force", "delete DAG JOB --yes"),
        ("apply -f jobs.yaml --plan", "apply jobs.yaml --dry-run"),
        ("rollback --entry 17", "rollback 17"),
        ("at --date yesterday DAG JOB", "at yesterday DAG JOB"),
    ],
)
def test_what_there_is_not_is_answered_with_the_command_line_that_was_meant(dagconfig: Run, typed: str, meant: str) -> None:
    typed, meant = (text.replace("DAG", DAG).replace("JOB", JOB) for text in (typed, meant))

    answer = dagconfig(*shlex.split(typed))

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert re.search(
        rf"^Error: there is no (command '|option -).* airflow dagconfig {re.escape(meant)}(\. For help:| \()", answer.err
    )
    make_parser().parse_args(shlex.split(meant))


@pytest.mark.parametrize("typed", ["frobnicate", "groups 12", "list --x --dag", "get --nonsense x", "set --name"])
def test_what_nobody_can_guess_is_answered_in_one_line(dagconfig: Run, typed: str) -> None:
    answer = dagconfig(*typed.split())

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert re.search(r"^Error: .*\. For help: airflow dagconfig .*--help$", answer.err)


@pytest.mark.parametrize("group", [[], ["groups"], ["ceiling"]], ids=str)
def test_without_a_command_all_are_listed(dagconfig: Run, group: list[str]) -> None:
    answer = dagconfig(*group)

    assert (answer.code, answer.out) == (2, "")
    assert "list" in answer.err
    assert "required: COMMAND" in answer.err


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_a_letter_too_few_is_no_other_command(command: str) -> None:
    names = [each.name for each in COMMANDS]
    assert meant_commands(f"{command}s", names)[0] == command or f"{command}s" in names


# --- durations and moments ---

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=timezone.utc)
"""A Monday."""


@pytest.mark.parametrize(
    ("text", "next_", "last"),
    [
        ("06:00", "24 06:00", "23 06:00"),
        ("6am", "24 06:00", "23 06:00"),
        ("6:30 PM", "23 18:30", "22 18:30"),
        ("12am", "24 00:00", "23 00:00"),
        ("noon", "24 12:00", "23 12:00"),
        ("06:00 UTC", "24 06:00", "23 06:00"),
        ("06:00+01:00", "24 05:00", "23 05:00"),
        ("00:30+09:00", "23 15:30", "22 15:30"),
        ("today 06:00", "23 06:00", "23 06:00"),
        ("yesterday 22:00", "22 22:00", "22 22:00"),
        ("Friday", "27 00:00", "20 00:00"),
        ("friday 6pm", "27 18:00", "20 18:00"),
        ("Mon 15:00", "23 15:00", "16 15:00"),
        ("2026-11-24 6:00", "24 06:00", "24 06:00"),
        ("2026-11-24", "24 00:00", "24 00:00"),
        ("2 hours", "23 16:00", "23 12:00"),
        ("90 min", "23 15:30", "23 12:30"),
    ],
)
def test_a_moment_is_read_as_people_write_it(text: str, next_: str, last: str) -> None:
    for ago, expected in ((False, next_), (True, last)):
        assert f"{read_moment(text, NOW, ago=ago):%d %H:%M}" == expected


@pytest.mark.parametrize(
    ("text", "ago", "expected"),
    [
        ("tomorrow 6am", False, "24 06:00"),
        ("until tomorrow 6:00", False, "24 06:00"),
        ("tomorrow at 06:00", False, "24 06:00"),
        ("in 2 hours", False, "23 16:00"),
        ("2 hours ago", True, "23 12:00"),
        ("since yesterday", True, "22 00:00"),
    ],
)
def test_a_moment_is_read_with_the_words_around_it(text: str, ago: bool, expected: str) -> None:
    assert f"{read_moment(text, NOW, ago=ago):%d %H:%M}" == expected


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("2 hours ago", False),
        ("in 2 hours", True),
        ("until 06:00", True),
        ("24.11.2026", False),
        ("6", False),
        ("13pm", False),
        ("25:00", False),
        ("tomorrow evening", False),
        ("tomorrow midnight", False),
        ("someday 06:00", False),
        ("06:00 CET", False),
        ("2026-02-30 06:00", False),
    ],
)
def test_a_moment_that_is_not_certain_is_asked_for(text: str, ago: bool) -> None:
    with pytest.raises(UsageError, match="is no moment; write one in UTC"):
        read_moment(text, NOW, ago=ago)
