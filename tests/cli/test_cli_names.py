"""How a command takes a DAG and a job: as DAG JOB, as DAG/JOB, mistyped, in another order; and how a job gets another name."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from plugins.command_line import Answer
from plugins.postgres import Database

DAG, JOB = "data_collection_equities", "us_markets"
Run = Callable[..., Answer]


def stored(run: Run, dag: str = DAG, job: str = JOB) -> dict[str, object]:
    row: dict[str, object] = json.loads(run("get", dag, job, "-o", "json").out)
    return row


@pytest.mark.parametrize(
    "words",
    [
        ["get"],
        ["list"],
        ["history"],
        ["disable"],
        ["enable"],
        ["delete", "--dry-run"],
        ["set", "batch_size=7"],
        ["override", "--list"],
        ["override", "batch_size=7", "--for", "2h", "--reason", "x", "--dry-run"],
        ["rename", "other", "--dry-run"],
        ["at", "now"],
        ["diff", "--from", "1h"],
        ["rollback", "--to", "now"],
    ],
    ids=" ".join,
)
def test_a_slash_says_the_same_as_two_words(store_cli: Run, words: list[str]) -> None:
    name, rest = (words[:2], words[2:]) if words[0] == "at" else (words[:1], words[1:])

    as_one, as_two = store_cli(*name, f"{DAG}/{JOB}", *rest), store_cli(*name, DAG, JOB, *rest)

    assert (as_one.code, as_two.code) == (0, 0), (as_one, as_two)
    assert f"{DAG}/" not in as_one.err


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["get", JOB, DAG], id="get"),
        pytest.param(["set", JOB, DAG, "batch_size=5"], id="set"),
        pytest.param(["get", JOB], id="a job alone"),
        pytest.param(["history", JOB, DAG], id="history"),
    ],
)
def test_a_job_in_the_dags_place_is_told_and_no_row_is_offered(store_cli: Run, words: list[str]) -> None:
    answer = store_cli(*words)

    assert answer.code == 3
    assert "the dag comes first" in answer.err.lower()
    assert f"{DAG} {JOB}" in answer.err
    assert "--create" not in answer.err


@pytest.mark.parametrize(
    ("name", "meant"),
    [(["data_collection_equites", JOB], DAG), ([DAG, "us_market"], JOB), ([f"{DAG}/lsee"], "lse")],
    ids=["a DAG", "a job", "with a slash"],
)
def test_a_mistyped_name_is_not_offered_to_be_made(store_cli: Run, name: list[str], meant: str) -> None:
    answer = store_cli("set", *name, "batch_size=5")

    assert (answer.code, f"Did you mean '{meant}'?" in answer.err, "--create" in answer.err) == (3, True, False)


def test_a_dag_without_the_job_that_was_not_typed_is_not_offered_one(store_cli: Run) -> None:
    answer = store_cli("set", DAG, "batch_size=5")

    assert (answer.code, "--create" in answer.err) == (3, False)
    assert "There are: us_markets, lse" in answer.err


def test_a_new_name_is_offered_to_be_made_with_the_values_that_were_typed(store_cli: Run) -> None:
    refused = store_cli("set", "house_prices", "memory_limit=4Gi")

    words = refused.err.partition("To make a row for it: ")[2].split()
    assert words[:2] == ["airflow", "dagconfig"]
    assert store_cli(*words[2:]).code == 0
    assert stored(store_cli, "house_prices", "all")["memory_limit"] == "4Gi"


def test_values_may_stand_before_the_names(store_cli: Run) -> None:
    assert store_cli("set", "batch_size=5", DAG, "memory_limit=4Gi", JOB).code == 0
    assert store_cli("groups", "set", "exchanges=LSE,AIM", "lse").code == 0

    row = stored(store_cli)
    assert (row["batch_size"], row["memory_limit"]) == (5, "4Gi")


@pytest.mark.parametrize("words", [[DAG, "1m"], [DAG, JOB, "1m"]], ids=["in the job's place", "at the end"])
def test_a_moment_in_another_place_is_told_with_the_right_order(store_cli: Run, words: list[str]) -> None:
    answer = store_cli("at", *words)

    assert (answer.code, answer.err) == (
        2,
        f"Error: The moment comes first, then the DAG and the job: {' '.join(['1m', *words[:-1]])}\n",
    )


# --- rename ---


def test_a_job_gets_another_name_with_its_values_and_its_overrides(store_cli: Run, migrated_database: Database) -> None:
    store_cli("set", DAG, JOB, "batch_size=321", "description=two\nlines")
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", "--reason", "tonight")
    store_cli("override", DAG, JOB, "memory_limit=9Gi", "--from", "3h", "--for", "2h", "--reason", "later")
    migrated_database.execute("ALTER TABLE financial_screener.dag_configuration ADD COLUMN mine text DEFAULT 'kept'")
    before = stored(store_cli)

    answer = store_cli("rename", DAG, JOB, "americas", "--reason", "more than the US")

    after = stored(store_cli, job="americas")
    passing = ("job_name", "version", "updated_at", "change", "sources")
    assert answer.code == 0, answer
    assert {k: v for k, v in after.items() if k not in passing} == {k: v for k, v in before.items() if k not in passing}
    overrides = json.loads(store_cli("override", "--list", "--all", "-o", "json").out)
    assert [(each["job_name"], each["state"], each["reason"]) for each in overrides] == [
        ("americas", "planned", "later"),
        ("americas", "active", "tonight"),
        (JOB, "ended", "later"),
        (JOB, "ended", "tonight"),
    ]
    assert [each["ends_at"] for each in overrides[:2]] == [each["ends_at"] for each in overrides[2:]]
    assert migrated_database.execute("SELECT mine FROM financial_screener.dag_configuration WHERE job_name = 'americas'") == [
        ("kept",)
    ]


def test_the_history_of_either_name_names_the_other(store_cli: Run) -> None:
    store_cli("rename", DAG, JOB, "americas", "--reason", "more than the US")

    old, new = (json.loads(store_cli("history", DAG, job, "-o", "json").out)[0]["reason"] for job in (JOB, "americas"))

    assert (old, new) == (f"renamed from {DAG}/{JOB} to {DAG}/americas: more than the US",) * 2


def test_what_refers_to_the_row_still_does(store_cli: Run, migrated_database: Database) -> None:
    migrated_database.execute(
        "CREATE TABLE financial_screener.notes (job integer REFERENCES financial_screener.dag_configuration ON DELETE CASCADE)"
    )
    migrated_database.execute(
        "INSERT INTO financial_screener.notes"
        " SELECT id FROM financial_screener.dag_configuration WHERE (dag_name, job_name) = (%s, %s)",
        [DAG, JOB],
    )

    assert store_cli("rename", DAG, JOB, "americas").code == 0

    of = "SELECT c.job_name FROM financial_screener.notes AS n JOIN financial_screener.dag_configuration AS c ON c.id = n.job"
    assert migrated_database.execute(of) == [("americas",)]


def test_the_shown_way_back_restores_the_old_name(store_cli: Run) -> None:
    before = stored(store_cli)
    words = store_cli("rename", DAG, JOB, "americas", "--to-dag", "prices").out.partition("To undo it: ")[2].split()

    assert store_cli(*words[2:]).code == 0

    after = stored(store_cli)
    assert {k: v for k, v in after.items() if k not in ("version", "updated_at", "change")} == {
        k: v for k, v in before.items() if k not in ("version", "updated_at", "change")
    }


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        pytest.param([DAG, JOB, "lse"], 4, f"There is a row for {DAG}/lse already", id="a name that is taken"),
        pytest.param([DAG, "asia", "lse"], 3, "There is no row for the job 'asia'", id="no such job"),
        pytest.param([DAG, JOB], 2, "DAG JOB NEW_JOB", id="no new name"),
        pytest.param([DAG, JOB, " lse"], 1, "without blanks or invisible characters around it", id="a name that breaks a rule"),
        pytest.param([DAG, JOB, "americas", "--if-version", "7"], 4, "it is at version 1", id="another version"),
    ],
)
def test_a_rename_that_is_refused_changes_nothing(store_cli: Run, words: list[str], code: int, complaint: str) -> None:
    store_cli("override", DAG, JOB, "memory_limit=8Gi", "--for", "2h", "--reason", "tonight")
    before = store_cli("history", "-o", "json").out

    answer = store_cli("rename", *words)

    assert (answer.code, complaint in answer.err) == (code, True), answer
    assert store_cli("history", "-o", "json").out == before
