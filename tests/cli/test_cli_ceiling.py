"""`airflow dagconfig ceiling`: what the jobs may have at most, who said so, and where else it is seen."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

import pytest
from plugins.command_line import Answer
from plugins.postgres import Database

Run = Callable[..., Answer]
DAG = "data_collection_equities"
JOB = (DAG, "lse")


def ceilings(run: Run, *dag: str) -> list[tuple[str | None, str, str, bool]]:
    listed = json.loads(run("ceiling", "list", *dag, "-o", "json").out)
    return [(each["dag_name"], each["name"], each["value"], each["not_valid"]) for each in listed]


def pasted(run: Run, text: str) -> list[Answer]:
    """Run the commands in a text that are separated by semicolons."""
    commands = [shlex.split(command) for command in text.split(";") if command.strip()]
    assert all(words[:2] == ["airflow", "dagconfig"] for words in commands), text
    return [run(*words[2:]) for words in commands]


def test_they_are_set_for_all_dags_or_for_one(store_cli: Run) -> None:
    for_all = store_cli("ceiling", "set", "memory=64Gi", "cpu=16", "--by", "ann", "--reason", "budget")
    for_one = store_cli("ceiling", "set", DAG, "memory=8Gi", "--by", "bob")

    assert (for_all.code, for_all.err, for_one.code, for_one.err) == (0, "", 0, "")
    assert re.search(r"ceilings of all DAGs\n +memory +- -> 64Gi\n +cpu +- -> 16\n", for_all.out)
    assert ceilings(store_cli) == [(None, "cpu", "16", False), (None, "memory", "64Gi", False), (DAG, "memory", "8Gi", False)]
    assert ceilings(store_cli, "calculate_indicators") == [(None, "cpu", "16", False), (None, "memory", "64Gi", False)]
    table = store_cli("ceiling", "list").out
    assert re.search(r"all DAGs +\| memory +\| 64Gi \| holds +\| ann +\| 20[^|]*\| budget", table)


def test_there_may_be_none(store_cli: Run) -> None:
    answer = store_cli("ceiling", "list")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("There is no ceiling. To set one: airflow dagconfig ceiling set memory=64Gi")
    assert store_cli("ceiling", "list", "-o", "json").out == "[]\n"


def test_what_is_above_one_is_refused_with_who_set_it(store_cli: Run) -> None:
    store_cli("ceiling", "set", DAG, "memory=8Gi", "--by", "ann", "--reason", "budget")

    for words in (
        ["set", *JOB, "memory_limit=9Gi"],
        ["set", DAG, "new", "memory_limit=9Gi", "--create"],
        ["override", *JOB, "memory_limit=9Gi", "--for", "2h", "--reason", "why"],
    ):
        answer = store_cli(*words)
        assert answer.code == 1
        assert f"is above the ceiling memory = 8Gi of DAG {DAG}, set by ann at 20" in answer.err
        assert "(budget)" in answer.err
        assert "Write 8Gi or less" in answer.err


def test_get_shows_which_bounds_the_job_and_who_set_it(store_cli: Run) -> None:
    store_cli("ceiling", "set", "memory=64Gi", "cpu=16", "--by", "ann", "--reason", "budget")
    store_cli("ceiling", "set", DAG, "memory=8Gi", "cpu=32", "--by", "bob")

    shown = store_cli("get", *JOB).out
    assert re.search(r"^ceiling cpu = 16 of all DAGs, set by ann at 20.* \(budget\)$", shown, re.MULTILINE)
    assert re.search(rf"^ceiling memory = 8Gi of DAG {DAG}, set by bob at 20", shown, re.MULTILINE)
    assert shown.count("\nceiling ") == 2
    bounds = json.loads(store_cli("get", *JOB, "-o", "json").out)["ceilings"]
    assert [(each["name"], each["value"], each["set_by"]) for each in bounds] == [("cpu", "16", "ann"), ("memory", "8Gi", "bob")]


def test_one_that_has_no_effect_is_told(store_cli: Run) -> None:
    store_cli("ceiling", "set", "cpu=8", "--by", "ann")
    answer = store_cli("ceiling", "set", DAG, "cpu=16")
    assert answer.err.startswith("It has no effect yet: the ceiling cpu = 8 of all DAGs, set by ann at 20")
    assert re.search(rf"DAG {DAG} +\| cpu +\| 16 +\| no effect", store_cli("ceiling", "list").out)


def test_one_below_what_is_in_force_is_refused_and_the_commands_that_lower_it_work(store_cli: Run) -> None:
    store_cli("override", *JOB, "cpu_limit=6", "--for", "2h", "--reason", "why")
    refused = store_cli("ceiling", "set", "cpu=900m", "memory=64Gi")

    assert refused.code == 4
    assert "the ceiling cpu = 900m of all DAGs is below what is in force: calculate_indicators/all cpu_limit 4000m" in refused.err
    assert ceilings(store_cli) == []
    for answer in pasted(store_cli, refused.err.partition("or first: ")[2]):
        assert answer.code == 0, answer
    assert store_cli("ceiling", "set", "cpu=900m", "memory=64Gi").code == 0
    assert len(ceilings(store_cli)) == 2


def test_a_long_list_of_commands_is_cut(store_cli: Run) -> None:
    for number in range(9):
        store_cli("set", "d", f"job_{number}", "--create")
    assert re.search(r"timeout_seconds=1; and \d+ more$", store_cli("ceiling", "set", "timeout_seconds=1").err.strip())


def test_a_ceiling_that_is_not_valid_leaves_present_values_and_doctor_names_them(store_cli: Run) -> None:
    store_cli("override", *JOB, "memory_limit=6Gi", "--for", "2h", "--reason", "why")
    answer = store_cli("ceiling", "set", "memory=3Gi", "--not-valid", "--by", "ann", "--reason", "budget")
    assert answer.code == 0
    assert answer.err == "2 values are above it, and stay until they are changed; to see them: airflow dagconfig doctor\n"
    assert store_cli("disable", *JOB).code == store_cli("enable", *JOB).code == 0
    store_cli("ceiling", "set", "calculate_indicators", "memory=2Gi", "--not-valid")

    found = [each for each in json.loads(store_cli("doctor", "--no-cluster", "-o", "json").out) if each["check"] == "ceilings"]
    assert [each["result"] for each in found] == ["warn"] * 3
    assert found[0]["found"].startswith(
        "memory_limit 4Gi of calculate_indicators/all is above the ceiling memory = 3Gi of all DAGs"
    )
    assert f"memory_limit 6Gi of override 1 of {DAG}/lse is above the ceiling memory = 3Gi of all DAGs, set by ann" in " ".join(
        each["found"] for each in found
    )
    assert json.loads(store_cli("get", "calculate_indicators", "-o", "json").out)["problem"] is None
    for each in found:
        [done] = pasted(store_cli, each["remedy"].partition(": ")[2])
        assert done.code in (0, 4), done
    assert store_cli("ceiling", "set", "memory=3Gi").out.startswith("ceilings of all DAGs\n    memory  3Gi (not valid) -> 3Gi\n")
    store_cli("ceiling", "set", "calculate_indicators", "memory=2Gi")
    [fine] = [each for each in json.loads(store_cli("doctor", "--no-cluster", "-o", "json").out) if each["check"] == "ceilings"]
    assert fine["found"] == "memory = 3Gi of all DAGs, memory = 2Gi of DAG calculate_indicators; nothing is above one"


def test_where_the_defaults_are_above_one_a_job_without_a_row_is_told_what_it_needs(store_cli: Run) -> None:
    answer = store_cli("ceiling", "set", "short", "timeout_seconds=300", "memory=512Mi")
    assert answer.err.startswith("A job without a row cannot run: the defaults (memory_request 1Gi, memory_limit 2Gi,")

    [made] = pasted(store_cli, answer.err.partition(": airflow")[1].lstrip(": ") + answer.err.partition(": airflow")[2])

    assert made.code == 0
    assert json.loads(store_cli("get", "short", "JOB", "-o", "json").out)["problem"] is None


def test_a_dry_run_leaves_them_as_they_are(store_cli: Run) -> None:
    assert store_cli("ceiling", "set", "memory=64Gi", "--dry-run").out.endswith("Nothing was changed: --dry-run.\n")
    assert store_cli("ceiling", "set", "memory=1Gi", "--dry-run").code == 4
    store_cli("ceiling", "set", "memory=64Gi")
    assert store_cli("ceiling", "remove", "memory", "--dry-run").out.endswith("Nothing was changed: --dry-run.\n")
    assert ceilings(store_cli) == [(None, "memory", "64Gi", False)]
    assert store_cli("ceiling", "set", "memory=64Gi").out == "Nothing to do: the ceilings of all DAGs have these values already.\n"


def test_they_are_removed(store_cli: Run) -> None:
    store_cli("ceiling", "set", "memory=64Gi", "cpu=16")
    store_cli("ceiling", "set", DAG, "memory=8Gi")

    assert "Done: memory of DAG" in store_cli("ceiling", "remove", DAG, "memory", "--yes").out
    missing = store_cli("ceiling", "remove", DAG, "memory", "--yes")
    assert (missing.code, missing.err.startswith(f"Error: There is no ceiling memory of DAG {DAG}")) == (3, True)
    assert missing.err.endswith("There are: cpu of all DAGs, memory of all DAGs.\n")
    assert store_cli("ceiling", "remove", "cpu").err.endswith("To do it without being asked: --yes\n")
    assert "Done: cpu, memory of all DAGs are removed." in store_cli("ceiling", "remove", "cpu", "memory", "--yes").out
    assert ceilings(store_cli) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["set", "memory_limit=64Gi"], 2, "There is no ceiling 'memory_limit'. Did you mean 'memory'? There are: cpu, memory,"),
        (["set", f"{DAG}/lse", "memory=64Gi"], 2, f"A ceiling is of all jobs of a DAG; write {DAG} for {DAG}/lse"),
        (["set", DAG], 2, "Nothing is set; write CEILING=VALUE, such as memory=64Gi"),
        (["set", "memory=64 GB"], 2, "memory '64 GB' is no Kubernetes quantity; write 64G or 64Gi"),
        (["set", "max_retries=many"], 2, "max_retries 'many' is no whole number"),
        (["set", "max_retries=11"], 1, "the ceiling max_retries of all DAGs: 11 must be a whole number from 0 to 10"),
        (["set", "memory=8Gi", "memory=9Gi"], 2, "memory is set twice"),
        (["set", " x", "memory=64Gi"], 1, "dag_name ' x' of the ceiling memory must be a name without blanks around it"),
        (["remove", "mem"], 2, "There is no ceiling 'mem'. Did you mean 'memory'? There are: cpu, memory,"),
        (["remove", DAG, "mem"], 2, "There is no ceiling 'mem'. Did you mean 'memory'?"),
        (["remove", DAG, "memory", "--yes"], 3, f"There is no ceiling memory of DAG {DAG}"),
    ],
    ids=str,
)
def test_what_is_typed_wrong_says_what_to_type(store_cli: Run, words: list[str], code: int, message: str) -> None:
    answer = store_cli("ceiling", *words)
    assert (answer.code, answer.out) == (code, answer.out if code == 1 else "")
    assert message in answer.err


def test_who_does_not_own_the_tables_reads_them_and_is_told_who_sets_them(
    store_cli: Run, dagconfig: Run, migrated_database: Database
) -> None:
    store_cli("ceiling", "set", "memory=64Gi")
    with migrated_database.role("dagconfig_editor") as editor:
        url = ["--url", migrated_database.url_of(editor)]
        assert "64Gi" in dagconfig("ceiling", "list", *url).out
        for words in (["set", "memory=65Gi"], ["set", "memory=65Gi", "--dry-run"], ["remove", "memory", "--yes"]):
            answer = dagconfig("ceiling", *words, *url)
            assert answer.code == 1
            assert "Only the owner of the tables may set and remove ceilings: name that user's connection" in answer.err


def test_the_history_has_them_and_the_comparison_of_rows_has_not(store_cli: Run, between: Callable[[], str]) -> None:
    since = between()
    store_cli("ceiling", "set", DAG, "memory=64Gi", "--by", "ann", "--reason", "budget")
    store_cli("ceiling", "set", DAG, "memory=32Gi", "--by", "bob")
    store_cli("ceiling", "set", "cpu=64", "--not-valid")

    lines = store_cli("history", "--limit", "3", "-o", "plain").out.splitlines()[1:]
    assert re.search(r"ceiling cpu of all DAGs +made, not_valid: true, value: 64", lines[0])
    assert re.search(rf"bob \(postgres\) +ceiling memory of DAG {DAG} +value: 64Gi -> 32Gi", lines[1])
    assert re.search(rf"ann \(postgres\) +ceiling memory of DAG {DAG} +made, value: 64Gi +budget", lines[2])
    assert len(store_cli("history", DAG, "--since", since, "-o", "plain").out.splitlines()) == 3
    assert store_cli("diff", "--from", since).out == "There is no difference.\n"
    assert store_cli("diff", DAG, "--from", since).out == "There is no difference.\n"


def test_an_entry_of_one_is_not_rolled_back_and_the_command_that_is_shown_works(store_cli: Run) -> None:
    for words in (["set", "memory=64Gi"], ["set", "memory=32Gi"], ["remove", "memory", "--yes"]):
        assert store_cli("ceiling", *words).code == 0
    entries = [entry["audit_id"] for entry in json.loads(store_cli("history", "--limit", "3", "-o", "json").out)]
    for entry, left in zip(entries, [[(None, "memory", "32Gi", False)], [(None, "memory", "64Gi", False)], []], strict=True):
        refused = store_cli("rollback", str(entry), "--yes")
        assert refused.code == 4
        [done] = pasted(store_cli, refused.err.partition("may restore it: ")[2].strip() + (" --yes" if not left else ""))
        assert done.code == 0, done
        assert ceilings(store_cli) == left


class TestRollback:
    """Values above a present ceiling are not restored; the shown command restores the others."""

    @pytest.fixture
    def raised(self, store_cli: Run, between: Callable[[], str]) -> str:
        """A moment at which a job had 16Gi; it has 2Gi again, and the ceiling is 8Gi."""
        store_cli("set", *JOB, "memory_limit=16Gi", "memory_request=12Gi", "batch_size=7")
        store_cli("set", DAG, "us_markets", "batch_size=7")
        moment = between()
        store_cli("set", *JOB, "memory_limit=2Gi", "memory_request=1Gi", "batch_size=500")
        store_cli("set", DAG, "us_markets", "batch_size=500")
        store_cli("ceiling", "set", DAG, "memory=8Gi", "--by", "ann")
        return moment

    def test_an_entry(self, store_cli: Run, raised: str) -> None:
        entry = json.loads(store_cli("history", *JOB, "--limit", "1", "-o", "json").out)[0]["audit_id"]
        refused = store_cli("rollback", str(entry), "--yes")
        assert refused.code == 1
        assert f"is above the ceiling memory = 8Gi of DAG {DAG}, set by ann at 20" in refused.err

        [done] = pasted(store_cli, refused.err.partition("what the rules allow: ")[2])

        assert done.code == 0, done
        row = json.loads(store_cli("get", *JOB, "-o", "json").out)
        assert (row["memory_limit"], row["memory_request"], row["batch_size"]) == ("8Gi", "8Gi", 7)

    def test_a_job_to_a_moment(self, store_cli: Run, raised: str) -> None:
        refused = store_cli("rollback", *JOB, "--to", raised, "--yes")
        assert refused.code == 1

        [done] = pasted(store_cli, refused.err.partition("what the rules allow: ")[2])

        assert done.code == 0, done
        assert store_cli("rollback", *JOB, "--to", raised, "--yes").err == (
            f"{DAG}/lse stays as it is: memory_request was 12Gi, memory_limit was 16Gi, which is above a ceiling\n"
        )

    def test_the_other_jobs_of_the_dag_go_back(self, store_cli: Run, raised: str) -> None:
        store_cli("set", *JOB, "memory_limit=8Gi", "memory_request=8Gi", "batch_size=7")
        answer = store_cli("rollback", DAG, "--to", raised, "--yes")
        assert answer.code == 0
        assert "but for what is above a ceiling" in answer.out
        assert json.loads(store_cli("get", DAG, "us_markets", "-o", "json").out)["batch_size"] == 7


def test_a_file_with_a_value_above_one_changes_nothing(store_cli: Run, tmp_path: object) -> None:
    store_cli("ceiling", "set", "memory=8Gi", "--by", "ann")
    file = f"{tmp_path}/jobs.yaml"
    with open(file, "w") as opened:
        opened.write(f"dag_configuration: {{{DAG}: {{lse: {{batch_size: 7}}, us_markets: {{memory_limit: 9Gi}}}}}}\n")
    answer = store_cli("apply", file, "--yes")
    assert answer.code == 1
    assert "is above the ceiling memory = 8Gi of all DAGs, set by ann at 20" in answer.err
    assert json.loads(store_cli("get", *JOB, "-o", "json").out)["batch_size"] == 500
