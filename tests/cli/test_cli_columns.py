"""Each column, in each command that takes COLUMN=VALUE: it works there, or it is refused as wrong usage."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from plugins.command_line import Answer

from airflow_provider_dagconfig.models import CONFIG_COLUMNS, GROUP_COLUMNS

Run = Callable[..., Answer]
VALUES = {
    "cpu_request": "250m",
    "cpu_limit": "4",
    "memory_request": "512Mi",
    "memory_limit": "8Gi",
    "batch_size": "7",
    "timeout_seconds": "77",
    "max_retries": "4",
    "retry_delay_minutes": "3",
    "retry_backoff_enabled": "false",
    "enabled": "false",
    "priority": "4",
    "description": "x",
    "memory_growth": "1.5",
    "memory_growth_limit": "16Gi",
    "display_name": "Another name",
    "exchanges": "NYSE,AMEX",
    "primary_timezone": "Europe/Paris",
    "market_open_utc": "14:31",
    "market_close_utc": "21:01",
}
# Columns of the tables that nobody configures, and words that are no columns.
OTHERS = {
    "id": "1",
    "version": "2",
    "dag_name": "d",
    "job_name": "j",
    "group_name": "g",
    "updated_by": "eve",
    "no_such": "1",
    "": "x",
}
COMMANDS = {
    "set": (["set", "data_collection_equities", "us_markets"], []),
    "override": (["override", "data_collection_equities", "us_markets"], ["--for", "1h", "--reason", "why"]),
    "groups set": (["groups", "set", "us_markets"], []),
    "groups add": (["groups", "add", "moon_markets", "exchanges=LUNA"], []),
}


@pytest.fixture(params=COMMANDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def named_in_help(run: Run, name: str) -> set[str]:
    columns = run(*name.split(), "--help").out.partition("Columns:")[2].partition("Positional")[0]
    return set(re.findall(r"[a-z_]+", columns)) & {*CONFIG_COLUMNS, *GROUP_COLUMNS}


@pytest.mark.parametrize(("column", "value"), [*VALUES.items(), *OTHERS.items()], ids=[*VALUES, *OTHERS])
def test_a_column_works_or_is_refused_as_wrong_usage(store_cli: Run, name: str, column: str, value: str) -> None:
    words, options = COMMANDS[name]
    answer = store_cli(*words, f"{column}={value}", *options)
    twice = name == "groups add" and column == "exchanges"
    if column in named_in_help(store_cli, name) and not twice:
        assert (answer.code, answer.err) == (0, "")
        assert "Done" in answer.out
    else:
        assert answer.code == 2
        assert answer.err.startswith("Error:")


@pytest.mark.parametrize("words", [["batch_size="], ["batch_size"], ["=5"], ["batch_size=5", "batch_size=6"], ["batch_size=five"]])
@pytest.mark.parametrize("command", ["set", "override"])
def test_a_word_that_sets_nothing_is_refused_as_wrong_usage(store_cli: Run, command: str, words: list[str]) -> None:
    first, options = COMMANDS[command]
    answer = store_cli(*first, *words, *options)
    assert (answer.code, answer.out) == (2, "")


@pytest.mark.parametrize("value", ["", " ", "\t\n"], ids=["nothing", "a blank", "white space"])
def test_a_column_without_a_value_is_refused_as_wrong_usage(store_cli: Run, name: str, value: str) -> None:
    """All but those that an empty value removes, where there is a row from which it does; a blank may be a description."""
    words, options = COMMANDS[name]
    may_be_none = {"description"} if value else {"description", "market_open_utc", "market_close_utc"}
    if not value and name == "set":
        may_be_none |= {"memory_growth", "memory_growth_limit"}
    for column in sorted(named_in_help(store_cli, name) - may_be_none):
        others = [word for word in words if not word.startswith(f"{column}=")]
        answer = store_cli(*others, f"{column}={value}", *options)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"Error: {column} ")
        assert answer.err.count("\n") == 1


def test_a_column_that_is_given_twice_is_refused_as_wrong_usage(store_cli: Run, name: str) -> None:
    words, options = COMMANDS[name]
    words = [word for word in words if "=" not in word]
    for column in sorted(named_in_help(store_cli, name)):
        for second in (VALUES[column], ""):
            answer = store_cli(*words, f"{column}={VALUES[column]}", f"{column}={second}", *options)
            assert (answer.code, answer.out, answer.err) == (2, "", f"Error: {column} is set twice; write it once\n")


SECTIONS = {
    "dag_configuration: {data_collection_equities: {us_markets": (CONFIG_COLUMNS, "}}"),
    "exchange_groups: {us_markets": (GROUP_COLUMNS, "}"),
}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition(":")[0])
@pytest.mark.parametrize(("column", "value"), [*VALUES.items(), *OTHERS.items()], ids=[*VALUES, *OTHERS])
def test_a_column_works_in_a_file_or_is_refused_as_wrong_usage(
    store_cli: Run, tmp_path: Path, section: str, column: str, value: str
) -> None:
    columns, end = SECTIONS[section]
    file = tmp_path / "one.yaml"
    file.write_text(f"{section}: {{'{column}': '{value}'}}{end}\n")

    answer = store_cli("apply", str(file), "--yes")

    if column in columns:
        assert answer.code == 0
        assert "Done: 1 changed." in answer.out
    else:
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"Error: {file}, line 1: ")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition(":")[0])
def test_a_column_without_a_value_is_refused_in_a_file(store_cli: Run, tmp_path: Path, section: str) -> None:
    columns, end = SECTIONS[section]
    file = tmp_path / "one.yaml"
    for column in columns:
        if column != "description":
            file.write_text(f"{section}: {{{column}: ' '}}{end}\n")
            answer = store_cli("apply", str(file), "--yes")
            assert (answer.code, answer.out) == (2, "")
            assert f": {column} " in answer.err
