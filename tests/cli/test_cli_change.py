"""The commands that change what a job runs with, and those that take it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from plugins.command_line import Answer
from plugins.postgres import Database

DAG, JOB = "data_collection_equities", "us_markets"
Run = Callable[..., Answer]


def value_of(database: Database, column: str, job: str = JOB, dag: str = DAG) -> object:
    [(value,)] = database.execute(
        f"SELECT {column} FROM financial_screener.dag_configuration WHERE dag_name = %s AND job_name = %s", (dag, job)
    )
    return value


def last_entry(run: Run, *what: str) -> dict[str, object]:
    entry: dict[str, object] = json.loads(run("history", *(what or (DAG, JOB)), "--limit", "1", "-o", "json").out)[0]
    return entry


def test_set_shows_before_and_after_and_books_who_and_why(store_cli: Run, migrated_database: Database) -> None:
    answer = store_cli("set", DAG, JOB, "memory_limit=4Gi", "batch_size=750", "--reason", "month end", "--by", "ann")

    assert answer.code == 0
    assert "memory_limit  2Gi -> 4Gi" in answer.out
    assert "batch_size    500 -> 750" in answer.out
    assert "Done: version 2, entry " in answer.out
    assert (value_of(migrated_database, "memory_limit"), value_of(migrated_database, "batch_size")) == ("4Gi", 750)
    entry = last_entry(store_cli)
    assert (entry["changed_by"], entry["reason"]) == ("ann", "month end")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["set", DAG, JOB, "--reason", "x", "memory_limit=4Gi", "--by", "ann", "batch_size=5"], id="among the values"),
        pytest.param(["set", "--reason", "x", DAG, "--by=ann", JOB, "memory_limit=4Gi", "batch_size=5"], id="before the job"),
        pytest.param(["set", DAG, "--rea", "x", JOB, "--by", "ann", "memory_limit=4Gi", "--", "batch_size=5"], id="shortened"),
    ],
)
def test_options_may_stand_anywhere(store_cli: Run, migrated_database: Database, arguments: list[str]) -> None:
    answer = store_cli(*arguments)

    assert (answer.code, answer.err) == (0, "")
    assert (value_of(migrated_database, "memory_limit"), value_of(migrated_database, "batch_size")) == ("4Gi", 5)
    entry = last_entry(store_cli)
    assert (entry["changed_by"], entry["reason"]) == ("ann", "x")


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        pytest.param("--reson", "Error: there is no option --reson. For help: airflow dagconfig get --help", id="an option"),
        pytest.param("-x", "Error: unrecognized arguments: -x. For help", id="a letter"),
        pytest.param("us", "Error: unrecognized arguments: us. For help", id="a word"),
        pytest.param("postgresql://me:hush@db/x", "Error: unrecognized arguments: postgresql://***@db/x", id="a URL"),
    ],
)
def test_what_is_too_much_is_said_in_one_line_with_the_commands_help_to_ask_for(store_cli: Run, word: str, complaint: str) -> None:
    answer = store_cli("get", DAG, JOB, word)

    assert answer.code == 2
    assert complaint in answer.err
    assert (answer.err.count("\n"), answer.out) == (1, "")


def test_set_of_what_is_there_does_nothing(store_cli: Run) -> None:
    answer = store_cli("set", DAG, JOB, "memory_limit=2Gi")

    assert (answer.code, answer.out) == (0, f"Nothing to do: {DAG}/{JOB} has these values already (version 1).\n")


def test_a_dry_run_changes_nothing(store_cli: Run, migrated_database: Database) -> None:
    answer = store_cli("set", DAG, JOB, "memory_limit=4Gi", "--dry-run")

    assert answer.code == 0
    assert "2Gi -> 4Gi" in answer.out
    assert value_of(migrated_database, "memory_limit") == "2Gi"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["set", DAG, JOB, "priority=11"], "priority '11'", id="a rule"),
        pytest.param(["set", DAG, JOB, "memory_request=3Gi"], "memory_request '3Gi'", id="a rule of two columns"),
        pytest.param(["set", "new_dag", "batch_size=-1", "--create"], "batch_size '-1'", id="a row that is made"),
        pytest.param(["groups", "set", "lse", "priority=0"], "priority '0'", id="a group"),
        pytest.param(["groups", "add", "asia", "exchanges=TSE", "primary_timezone=Asia/Tokio"], "Asia/Tokio", id="a new group"),
    ],
)
def test_a_dry_run_is_refused_as_the_change_would_be(
    store_cli: Run, migrated_database: Database, arguments: list[str], complaint: str
) -> None:
    dry, done = store_cli(*arguments, "--dry-run"), store_cli(*arguments)

    assert (dry.code, dry.err) == (done.code, done.err)
    assert done.code == 1
    assert complaint in dry.err


def test_a_dry_run_of_a_rollback_is_refused_where_a_later_change_is_in_the_way(store_cli: Run) -> None:
    store_cli("set", DAG, JOB, "memory_limit=4Gi")
    entry = last_entry(store_cli)["audit_id"]
    store_cli("set", DAG, JOB, "memory_limit=5Gi")

    answer = store_cli("rollback", str(entry), "--dry-run")

    assert answer.code == 4
    assert "changed again since" in answer.err


def test_a_reader_is_told_by_a_dry_run_that_the_change_is_not_for_him(
    migrated_database: Database, dagconfig: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with migrated_database.role("dagconfig_reader") as user:
        monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.url_of(user))
        answer = dagconfig("set", DAG, JOB, "memory_limit=4Gi", "--dry-run")

    assert (answer.code, "2Gi -> 4Gi" in answer.out) == (1, True)
    assert "GRANT dagconfig_editor TO" in answer.err


def test_every_column_can_be_set(store_cli: Run, migrated_database: Database) -> None:
    values = {
        "cpu_request": "250m",
        "cpu_limit": "3",
        "memory_request": "512Mi",
        "memory_limit": "3Gi",
        "batch_size": 10,
        "timeout_seconds": 20,
        "max_retries": 4,
        "retry_delay_minutes": 6,
        "retry_backoff_enabled": False,
        "enabled": False,
        "priority": 2,
        "description": "a = b, c",
        "memory_growth": Decimal("1.5"),
        "memory_growth_limit": "8Gi",
    }

    answer = store_cli("set", "calculate_indicators", *(f"{column}={value}" for column, value in values.items()))

    assert (answer.code, answer.err) == (0, "")
    assert {column: value_of(migrated_database, column, "all", "calculate_indicators") for column in values} == values


def test_a_row_that_has_moved_on_is_not_changed(store_cli: Run, migrated_database: Database) -> None:
    store_cli("set", DAG, JOB, "memory_limit=4Gi")

    answer = store_cli("set", DAG, JOB, "memory_limit=3Gi", "--if-version", "1")

    assert answer.code == 4
    assert "it is at version 2, not 1. Nothing was changed" in answer.err
    assert value_of(migrated_database, "memory_limit") == "4Gi"


def test_a_job_is_made_only_when_told(store_cli: Run, migrated_database: Database) -> None:
    refused = store_cli("set", "brand_new", "nightly", "batch_size=5")
    made = store_cli("set", "brand_new", "nightly", "batch_size=5", "--create")

    assert (refused.code, made.code) == (3, 0)
    assert "To make a row for it: airflow dagconfig set brand_new nightly batch_size=5 --create" in refused.err
    assert value_of(migrated_database, "batch_size", "nightly", "brand_new") == 5


def test_disable_and_enable(store_cli: Run, migrated_database: Database) -> None:
    disabled = store_cli("disable", DAG, JOB, "--reason", "vendor is down")
    assert (disabled.code, value_of(migrated_database, "enabled")) == (0, False)
    assert "Its tasks are skipped from now on." in disabled.out

    assert store_cli("enable", DAG, JOB).code == 0
    assert value_of(migrated_database, "enabled") is True


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        pytest.param(["memory_limit=2 GB"], 2, "memory_limit '2 GB' is no Kubernetes quantity; write 2G or 2Gi", id="no quantity"),
        pytest.param(["batch_size=lots"], 2, "batch_size 'lots' is no whole number", id="no number"),
        pytest.param(["enabled=perhaps"], 2, "enabled 'perhaps' is neither true nor false", id="no truth"),
        pytest.param(["memory_limit"], 2, "'memory_limit' sets nothing; write COLUMN=VALUE", id="no assignment"),
        pytest.param(["batch_size=5", "batch_size=6"], 2, "batch_size is set twice", id="twice"),
        pytest.param([], 2, "Nothing is set; write COLUMN=VALUE", id="nothing"),
        pytest.param(["memory_request=8Gi"], 1, "memory_request", id="a request over its limit"),
        pytest.param(["batch_size=-5"], 1, "batch_size", id="a number out of range"),
        pytest.param(["batch_size=999999999999999999"], 1, "Nothing was changed", id="a number that is no integer"),
    ],
)
def test_a_value_that_cannot_be_is_refused(
    store_cli: Run, migrated_database: Database, arguments: list[str], code: int, complaint: str
) -> None:
    answer = store_cli("set", DAG, JOB, *arguments)

    assert answer.code == code
    assert complaint in answer.err
    assert migrated_database.execute("SELECT max(version) FROM financial_screener.dag_configuration") == [(1,)]


def test_an_override_holds_is_listed_and_can_be_ended(store_cli: Run) -> None:
    made = store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", "--reason", "OOMKilled", "--by", "ann")
    assert made.code == 0
    assert "memory_limit  2Gi -> 8Gi" in made.out
    [listed] = json.loads(store_cli("override", "--list", "-o", "json").out)
    assert (listed["values"], listed["reason"], listed["created_by"]) == ({"memory_limit": "8Gi"}, "OOMKilled", "ann")
    assert "8Gi*" in store_cli("list").out

    ended = store_cli("override", "--end", str(listed["override_id"]))

    assert ended.code == 0
    assert json.loads(store_cli("get", DAG, JOB, "-o", "json").out)["memory_limit"] == "2Gi"
    assert json.loads(store_cli("override", "--list", "-o", "json").out) == []
    assert len(json.loads(store_cli("override", "--list", "--all", "-o", "json").out)) == 1


def test_setting_a_value_that_is_overridden_says_when_it_will_hold(store_cli: Run) -> None:
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", "--reason", "OOMKilled")

    answer = store_cli("set", DAG, JOB, "memory_limit=4Gi")

    assert answer.code == 0
    assert "override 1 holds for memory_limit" in answer.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param([DAG, JOB, "batch_size=5", "--reason", "x"], "Say how long: --for 2h, or --until 06:00", id="no end"),
        pytest.param([DAG, JOB, "batch_size=5", "--for", "2h"], "Say why", id="no reason"),
        pytest.param([DAG, JOB, "batch_size=5", "--for", "soon", "--reason", "x"], "'soon' is no duration", id="no duration"),
        pytest.param([DAG, JOB, "batch_size=5", "--until", "later", "--reason", "x"], "'later' is no moment", id="no moment"),
        pytest.param([DAG, JOB, "batch_size=5", "--until", "2001-01-01", "--reason", "x"], "is in the past", id="the past"),
        pytest.param([DAG, JOB, "--for", "2h", "--reason", "x"], "Nothing is set", id="nothing set"),
        pytest.param(["--end", "1", DAG], "DAG cannot go with --end", id="two things at once"),
        pytest.param(["--for", "2h"], "Say which job", id="no job"),
    ],
)
def test_an_override_needs_an_end_a_reason_and_a_value(store_cli: Run, arguments: list[str], complaint: str) -> None:
    answer = store_cli("override", *arguments)

    assert answer.code == 2
    assert complaint in answer.err


def test_an_override_is_taken_back_like_any_change(store_cli: Run) -> None:
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", "--reason", "OOMKilled")

    assert store_cli("rollback", str(last_entry(store_cli)["audit_id"]), "--yes").code == 0

    assert json.loads(store_cli("get", DAG, JOB, "-o", "json").out)["memory_limit"] == "2Gi"


def test_an_unknown_override_cannot_be_ended(store_cli: Run) -> None:
    assert store_cli("override", "--end", "99").code == 3


def test_one_entry_is_rolled_back(store_cli: Run, migrated_database: Database) -> None:
    store_cli("set", DAG, JOB, "memory_limit=256Mi", "memory_request=128Mi")
    entry = last_entry(store_cli)["audit_id"]

    shown = store_cli("rollback", str(entry), "--dry-run")
    assert "memory_limit    256Mi -> 2Gi" in shown.out
    assert value_of(migrated_database, "memory_limit") == "256Mi"
    answer = store_cli("rollback", str(entry), "--yes", "--reason", "everything is OOMKilled")

    assert answer.code == 0
    assert (value_of(migrated_database, "memory_limit"), value_of(migrated_database, "memory_request")) == ("2Gi", "1Gi")
    assert last_entry(store_cli)["reason"] == "everything is OOMKilled"


def test_a_rollback_does_not_overwrite_a_later_change(store_cli: Run, migrated_database: Database) -> None:
    store_cli("set", DAG, JOB, "memory_limit=3Gi")
    entry = last_entry(store_cli)["audit_id"]
    store_cli("set", DAG, JOB, "memory_limit=4Gi")

    answer = store_cli("rollback", str(entry), "--yes")

    assert answer.code == 4
    assert value_of(migrated_database, "memory_limit") == "4Gi"


def test_a_job_goes_back_to_a_moment(store_cli: Run, migrated_database: Database, between: Callable[[], str]) -> None:
    before = between()
    store_cli("set", DAG, JOB, "memory_limit=3Gi")
    store_cli("set", DAG, JOB, "batch_size=5")

    answer = store_cli("rollback", DAG, JOB, "--to", before, "--yes")

    assert answer.code == 0
    assert (value_of(migrated_database, "memory_limit"), value_of(migrated_database, "batch_size")) == ("2Gi", 500)
    assert store_cli("rollback", DAG, JOB, "--to", before).out.startswith("Nothing to do:")


def test_a_job_that_had_no_row_then_is_refused_at_once(
    store_cli: Run, migrated_database: Database, between: Callable[[], str]
) -> None:
    before = between()
    store_cli("set", "brand_new", "nightly", "batch_size=5", "--create")

    answer = store_cli("rollback", "brand_new", "nightly", "--to", before, "--yes")

    assert (answer.code, answer.out) == (3, "")
    assert "brand_new/nightly had no row at " in answer.err
    assert "airflow dagconfig history brand_new nightly" in answer.err
    assert value_of(migrated_database, "batch_size", "nightly", "brand_new") == 5


def test_all_jobs_of_a_dag_go_back_together(store_cli: Run, migrated_database: Database, between: Callable[[], str]) -> None:
    before = between()
    store_cli("set", DAG, JOB, "memory_limit=3Gi")
    store_cli("set", DAG, "german_markets", "batch_size=5")
    store_cli("set", DAG, "asian_markets", "--create")
    store_cli("set", "historical_load_equities", JOB, "batch_size=7")
    migrated_database.execute("SELECT financial_screener.delete_dag_config(%s, 'lse')", (DAG,))

    shown = store_cli("rollback", DAG, "--to", before, "--dry-run")
    assert [line for line in shown.out.splitlines() if DAG in line] == [
        f"{DAG}/{JOB}",
        f"{DAG}/german_markets",
        f"+ {DAG}/lse (added)",
    ]
    assert value_of(migrated_database, "memory_limit") == "3Gi"
    answer = store_cli("rollback", DAG, "--to", before, "--yes", "--reason", "slower since nine")

    assert answer.code == 0
    assert "Made since then, and left as they are: asian_markets" in answer.err
    assert value_of(migrated_database, "memory_limit") == "2Gi"
    assert [value_of(migrated_database, "batch_size", job) for job in ("german_markets", "lse", "asian_markets")] == [500] * 3
    assert value_of(migrated_database, "batch_size", JOB, "historical_load_equities") == 7
    assert last_entry(store_cli)["reason"] == "slower since nine"
    assert store_cli("rollback", DAG, "--to", before).out.startswith(f"Nothing to do: {DAG} is as it was")


def test_no_job_of_a_dag_goes_back_where_one_cannot(
    store_cli: Run, migrated_database: Database, between: Callable[[], str]
) -> None:
    before = between()
    store_cli("set", DAG, JOB, "memory_limit=3Gi")
    store_cli("set", DAG, "lse", "memory_limit=8Gi")
    # With the row of before, the request of the override would be over the limit.
    store_cli("override", DAG, "lse", "memory_request=6Gi", "--for", "2h", "--reason", "quarter end")

    answer = store_cli("rollback", DAG, "--to", before, "--yes")

    assert answer.code == 1
    assert f"memory_request '6Gi' of {DAG}/lse" in answer.err
    assert (value_of(migrated_database, "memory_limit"), value_of(migrated_database, "memory_limit", "lse")) == ("3Gi", "8Gi")


@pytest.mark.parametrize(
    ("dag", "complaint"),
    [
        pytest.param(DAG, f"No job of {DAG} had a row at 2001-01-01 00:00:00 UTC", id="before there was a row"),
        pytest.param("data_colection_equities", f"Did you mean '{DAG}'?", id="a mistyped one"),
    ],
)
def test_a_dag_without_jobs_then_does_not_go_back(store_cli: Run, dag: str, complaint: str) -> None:
    answer = store_cli("rollback", dag, "--to", "2001-01-01", "--yes")

    assert (answer.code, answer.out) == (3, "")
    assert complaint in answer.err


def test_a_removed_group_comes_back(store_cli: Run, migrated_database: Database) -> None:
    store_cli("groups", "remove", "lse", "--yes")

    assert store_cli("rollback", str(last_entry(store_cli, "--group", "lse")["audit_id"]), "--yes").code == 0

    assert migrated_database.execute("SELECT exchanges FROM financial_screener.exchange_groups WHERE group_name = 'lse'") == [
        (["LSE"],)
    ]


@pytest.mark.parametrize("reply", ["n", "", EOFError], ids=str)
def test_a_rollback_asks_at_a_terminal(
    store_cli: Run, migrated_database: Database, monkeypatch: pytest.MonkeyPatch, reply: str | type[EOFError]
) -> None:
    def answered(_: str) -> str:
        if isinstance(reply, str):
            return reply
        raise reply

    store_cli("set", DAG, JOB, "memory_limit=3Gi")
    entry = last_entry(store_cli)["audit_id"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answered)

    assert store_cli("rollback", str(entry)).code == 1
    assert value_of(migrated_database, "memory_limit") == "3Gi"


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        pytest.param(["1"], 1, "To do it without being asked: --yes", id="without a terminal"),
        pytest.param(["999999"], 3, "There is no audit entry 999999", id="an unknown entry"),
        pytest.param(["one"], 2, "Say to which moment it goes back", id="no number"),
        pytest.param([DAG, JOB], 2, "Say to which moment it goes back", id="no moment"),
        pytest.param(["a", "b", "c"], 2, "Give the number of an entry, or a DAG and perhaps a job", id="too much"),
    ],
)
def test_a_rollback_that_is_not_clear_is_not_done(store_cli: Run, arguments: list[str], code: int, complaint: str) -> None:
    answer = store_cli("rollback", *arguments)

    assert answer.code == code
    assert complaint in answer.err
