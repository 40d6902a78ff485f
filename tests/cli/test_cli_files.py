"""`airflow dagconfig export` and `apply`: the whole configuration as a file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins.command_line import Answer
from plugins.postgres import Database

from airflow_provider_dagconfig.cli.document import read_document
from airflow_provider_dagconfig.cli.values import UsageError

DAG, JOB = "data_collection_equities", "us_markets"
Run = Callable[..., Answer]


def everything(run: Run) -> tuple[Any, Any]:
    return json.loads(run("list", "-o", "json").out), json.loads(run("groups", "list", "-o", "json").out)


@pytest.fixture
def exported(store_cli: Run, tmp_path: Path) -> Path:
    file = tmp_path / "configuration.yaml"
    assert store_cli("export", str(file)).code == 0
    return file


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> str:
    document = yaml.safe_load(file.read_text())
    change(document)
    file.write_text(yaml.safe_dump(document))
    return str(file)


def test_what_was_exported_differs_in_nothing(store_cli: Run, exported: Path) -> None:
    answer = store_cli("apply", str(exported), "--delete")

    assert (answer.code, answer.out) == (0, "Nothing to do: the database is as the file says.\n")


def test_export_writes_to_standard_output_and_replaces_a_file_only_when_told(store_cli: Run, exported: Path) -> None:
    assert store_cli("export").out == exported.read_text()
    assert store_cli("export", str(exported)).code == 1
    assert store_cli("export", str(exported), "--force").code == 0


def test_an_exported_file_has_a_value_a_line(exported: Path) -> None:
    lines = exported.read_text().splitlines()

    assert lines.count("      memory_limit: 2Gi") == 8
    assert "    exchanges: [NYSE, NASDAQ]" in lines


def test_an_exported_database_can_be_made_again(store_cli: Run, exported: Path, migrated_database: Database) -> None:
    jobs, groups = everything(store_cli)
    migrated_database.execute("DELETE FROM financial_screener.dag_configuration; DELETE FROM financial_screener.exchange_groups")

    assert store_cli("apply", str(exported), "--yes").code == 0

    again = everything(store_cli)
    for before, after in zip([*jobs, *groups], [*again[0], *again[1]], strict=True):
        passing = ("updated_at", "change", "version")
        assert {k: v for k, v in before.items() if k not in passing} == {k: v for k, v in after.items() if k not in passing}


def test_apply_shows_the_difference_and_asks(store_cli: Run, exported: Path, migrated_database: Database) -> None:
    file = edit(exported, lambda d: d["dag_configuration"][DAG][JOB].update(memory_limit="4Gi"))

    shown, dry, applied = (
        store_cli("apply", file),
        store_cli("apply", file, "--dry-run", "--exit-code"),
        store_cli("apply", file, "--yes"),
    )

    assert (shown.code, dry.code, applied.code) == (1, 5, 0)
    for answer in (shown, dry, applied):
        assert "memory_limit  2Gi -> 4Gi" in answer.out
    assert "--yes" in shown.err
    assert migrated_database.execute("SELECT count(*) FROM financial_screener.dag_configuration WHERE memory_limit = '4Gi'") == [
        (2,)
    ]


def test_diff_compares_a_file_with_the_database(store_cli: Run, exported: Path) -> None:
    file = edit(exported, lambda d: d["dag_configuration"][DAG][JOB].update(memory_limit="4Gi"))

    answer = store_cli("diff", "--file", file, "--exit-code", "-o", "json")

    assert answer.code == 5
    assert [(row["subject"], row["before"], row["after"]) for row in json.loads(answer.out)] == [(f"{DAG}/{JOB}", "2Gi", "4Gi")]


def test_rows_that_the_file_lacks_go_only_when_told(store_cli: Run, exported: Path) -> None:
    file = edit(exported, lambda d: (d["dag_configuration"].pop("calculate_indicators"), d["exchange_groups"].pop("lse")))

    kept = store_cli("apply", file, "--yes")
    assert (kept.code, "Nothing to do" in kept.out) == (0, True)
    assert "Not in the file, and left as they are: calculate_indicators/all, exchange group lse" in kept.err

    assert store_cli("apply", file, "--yes", "--delete").code == 0
    jobs, groups = everything(store_cli)
    assert (len(jobs), len(groups)) == (8, 3)


def test_a_section_that_the_file_lacks_is_left_alone_even_then(store_cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(f"dag_configuration: {{{DAG}: {{{JOB}: {{}}}}}}\n")

    assert store_cli("apply", str(file), "--yes", "--delete").code == 0

    jobs, groups = everything(store_cli)
    assert (len(jobs), len(groups)) == (1, 4)


def test_all_is_applied_or_nothing(store_cli: Run, exported: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["dag_configuration"][DAG][JOB]["memory_limit"] = "4Gi"
        document["exchange_groups"]["lse"]["primary_timezone"] = "Europe/Londn"

    before = everything(store_cli)

    dry = store_cli("apply", edit(exported, change), "--dry-run")
    answer = store_cli("apply", edit(exported, change), "--yes")

    assert answer.code == 1
    assert "primary_timezone" in answer.err
    assert everything(store_cli) == before
    assert (dry.code, dry.err) == (answer.code, answer.err)


def test_apply_reads_standard_input(store_cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"dag_configuration: {{{DAG}: {{{JOB}: {{batch_size: 7}}}}}}"))

    assert "batch_size  500 -> 7" in store_cli("apply", "-", "--dry-run").out


def test_what_yaml_would_read_as_something_else_is_read_as_it_was_written(store_cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "nordic.yaml"
    file.write_text("exchange_groups:\n  nordic: {exchanges: [NO, ON, 1e3], market_open_utc: 08:00, market_close_utc: 16:25}\n")

    assert store_cli("apply", str(file), "--yes").code == 0

    group = everything(store_cli)[1][-1]
    assert (group["exchanges"], group["market_open_utc"], group["market_close_utc"]) == (
        ["NO", "ON", "1e3"],
        "08:00:00",
        "16:25:00",
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("a: [", "bad.yaml, line 1: this is no YAML", id="broken"),
        pytest.param("", "bad.yaml is empty", id="empty"),
        pytest.param("- a\n", "line 1: the file must be names with values below them", id="a list"),
        pytest.param("dag_config: {}\n", "There are: dag_configuration, exchange_groups", id="an unknown section"),
        pytest.param(
            "dag_configuration:\n  d:\n    j:\n      memroy_limit: 4Gi\n",
            "line 4: d/j: There is no column 'memroy_limit'. Did you mean 'memory_limit'?",
            id="an unknown column",
        ),
        pytest.param(
            "dag_configuration:\n  d:\n    j: {batch_size: lots}\n",
            "line 3: d/j: batch_size 'lots' is no whole number",
            id="a wrong value",
        ),
        pytest.param(
            "dag_configuration:\n  d:\n    j: {batch_size: 1}\n    j: {}\n", "line 4: 'j' is there twice", id="a name twice"
        ),
        pytest.param("dag_configuration: {d: {j: {batch_size: [1]}}}\n", "batch_size must be one value", id="a list for a value"),
        pytest.param("exchange_groups: {g: {exchanges: [[A]]}}\n", "exchanges must be a list of codes", id="a list in a list"),
        pytest.param("dag_configuration: {? [1] : {}}\n", "a name is missing", id="a name that is none"),
        pytest.param("a: &x [*x]\n", "There are: dag_configuration", id="an alias of itself"),
        pytest.param("a: !!python/object:os.system {}\n", "There are: dag_configuration", id="a tag"),
        pytest.param("a: b: c\n", "this is no YAML", id="two colons"),
        pytest.param("a\tb\x00", "this is no YAML", id="control characters"),
        pytest.param("[" * 5000, "this is no YAML", id="very deep"),
    ],
)
def test_a_file_that_is_wrong_is_told_with_its_line(store_cli: Run, tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)

    for command in (["apply", str(file), "--yes"], ["diff", "--file", str(file)]):
        answer = store_cli(*command)

        assert answer.code == 2
        assert complaint in answer.err


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        pytest.param(
            [
                "dag_configuration:",
                "  d:",
                "    a: {description: &word lots}",
                "    b:",
                "      priority: 1",
                "      batch_size: *word",
            ],
            "line 6: d/b: batch_size 'lots' is no whole number",
            id="a value behind an anchor",
        ),
        pytest.param(
            [
                "dag_configuration:",
                "  d:",
                "    a: &row",
                "      description: x",
                "    b: *row",
                "exchange_groups:",
                "  g: *row",
                "  h: 1",
            ],
            "line 8: exchange group h must be names with values below them",
            id="a row behind an anchor that is fine",
        ),
        pytest.param(
            ["dag_configuration:", "  d:", "    a: &row", "      cpu_limit: 2", "exchange_groups:", "  g: *row"],
            "line 4: exchange group g: There is no column 'cpu_limit'",
            id="a column inside an anchor",
        ),
        pytest.param(
            ["dag_configuration:", "  d:", "    a: {description: &none ~}", "  e: *none"],
            "line 4: DAG e is empty",
            id="a DAG behind an anchor",
        ),
        pytest.param(
            ["dag_configuration:", "  d:", "    a: {description: &word x}", "exchange_groups: *word"],
            "line 4: section exchange_groups must be names",
            id="a section behind an anchor",
        ),
        pytest.param(
            ["dag_configuration:", "  d:", "    a: {description: &word x}", "typo: *word"],
            "line 4: there is no section 'typo'",
            id="an unknown section behind an anchor",
        ),
        pytest.param(
            ["dag_configuratoin:", "  d:", "    a: {}"], "line 1: there is no section 'dag_configuratoin'", id="a mistyped section"
        ),
        pytest.param(
            ["dag_configuration:", "  d:", "    a:", "      memroy_limit:", "        4Gi"],
            "line 4: d/a: There is no column",
            id="a value on the next line",
        ),
        pytest.param(
            ["dag_configuration:", "  d:", "    a:", "      batch_size: >", "        lots", "        more"],
            "line 4: d/a: batch_size",
            id="a long value",
        ),
        pytest.param(
            ["dag_configuration:", "  d:", "    a:", "      description: 'x", "    b: {}", "    c: {}"],
            "(while scanning a quoted scalar that begins in line 4)",
            id="a quote that does not end",
        ),
        pytest.param(
            ["dag_configuration:", "  d:", "    a: {batch_size: 7", "    b: {}"],
            "(while parsing a flow mapping that begins in line 3)",
            id="a brace that does not end",
        ),
        pytest.param(
            ["dag_configuration:", "  d: *nothing"], "line 2: this is no YAML: found undefined alias", id="an alias of nothing"
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_line_where_it_stands(
    store_cli: Run, tmp_path: Path, lines: list[str], complaint: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("\n".join([*lines, ""]))

    answer = store_cli("apply", str(file), "--yes")

    assert answer.code == 2
    assert complaint in answer.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("dag_configuration:\n", "section dag_configuration is empty", id="section"),
        pytest.param("dag_configuration: ~\n", "section dag_configuration is empty", id="section-null"),
        pytest.param("dag_configuration: {}\n", "section dag_configuration is empty", id="section-braces"),
        pytest.param("dag_configuration: []\n", "must be names with values below them", id="section-list"),
        pytest.param("dag_configuration: ''\n", "must be names with values below them", id="section-text"),
        pytest.param("exchange_groups:\n", "section exchange_groups is empty", id="groups"),
        pytest.param("exchange_groups: {}\n", "section exchange_groups is empty", id="groups-braces"),
        pytest.param(
            "dag_configuration:\n  data_collection_equities:\n", "line 2: DAG data_collection_equities is empty", id="dag"
        ),
        pytest.param(
            "dag_configuration:\n  data_collection_equities: {}\n", "DAG data_collection_equities is empty", id="dag-braces"
        ),
        pytest.param("nothing: &n {}\ndag_configuration: *n\n", "There are: dag_configuration", id="anchor"),
        pytest.param("dag_configuration:\n  <<: {}\n", "write them out", id="merge"),
        pytest.param("# all of it\n", "is empty; it needs", id="comment"),
        pytest.param("~\n", "is empty; it needs", id="null"),
        pytest.param("---\n...\n", "is empty; it needs", id="document"),
        pytest.param("{}\n", "is empty; it needs", id="braces"),
        pytest.param("dag_configuration: {d: {j: {}}}\n", "has none of the 9 jobs that are there", id="another-databases-jobs"),
        pytest.param(
            "exchange_groups: {g: {exchanges: [A]}}\n", "has none of the 4 exchange groups that are there", id="anothers-groups"
        ),
    ],
)
def test_a_file_that_would_delete_all_rows_is_refused(store_cli: Run, tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "cut.yaml"
    file.write_text(text)
    before = everything(store_cli)
    answer = store_cli("apply", str(file), "--delete", "--yes")
    assert answer.code == 2
    assert complaint in answer.err
    assert everything(store_cli) == before


@pytest.mark.parametrize(
    ("text", "complaint", "remedy"),
    [
        pytest.param(
            f"dag_configuration: {{{DAG}: {{us_market: {{}}}}, calculate_indicators: {{all: {{}}}}}}\n",
            f"has none of the 4 jobs of {DAG} that are there",
            f"airflow dagconfig delete {DAG} us_markets",
            id="a mistyped job",
        ),
        pytest.param(
            "dag_configuration: {calculate_indicator: {all: {}}}\n",
            "has none of the 9 jobs that are there",
            "airflow dagconfig delete calculate_indicators all",
            id="a mistyped DAG",
        ),
        pytest.param(
            "exchange_groups: {LSE: {exchanges: [LSE]}}\n",
            "has none of the 4 exchange groups that are there",
            "airflow dagconfig groups remove lse",
            id="a mistyped group",
        ),
    ],
)
def test_what_is_deleted_to_the_last_row_is_deleted_by_name(
    store_cli: Run, tmp_path: Path, text: str, complaint: str, remedy: str
) -> None:
    file = tmp_path / "mistyped.yaml"
    file.write_text(text)
    before = everything(store_cli)

    refused = store_cli("apply", str(file), "--delete", "--yes")

    assert refused.code == 2
    assert complaint in refused.err
    assert everything(store_cli) == before
    commands = re.findall(r"airflow (dagconfig (?:delete|groups remove) [\w ]+)", refused.err)
    assert f"airflow {remedy.removeprefix('airflow ')}" in [f"airflow {command}" for command in commands]
    for command in commands:
        assert store_cli(*command.split()[1:], "--yes").code == 0
    assert store_cli("apply", str(file), "--delete", "--yes").code == 0


def test_a_row_that_is_deleted_by_name_is_shown_and_can_be_had_back(store_cli: Run, migrated_database: Database) -> None:
    before = everything(store_cli)
    asked, tried = store_cli("delete", DAG, JOB), store_cli("delete", DAG, JOB, "--dry-run")
    assert (asked.code, tried.code) == (1, 0)
    assert everything(store_cli) == before
    stale = store_cli("delete", DAG, JOB, "--if-version", "7", "--yes")
    assert (stale.code, everything(store_cli)) == (4, before)

    done = store_cli("delete", DAG, JOB, "--yes", "--reason", "mistyped", "--by", "maria")

    assert done.code == 0
    assert "memory_limit           2Gi" in done.out
    assert "defaults" in done.out
    assert len(everything(store_cli)[0]) == len(before[0]) - 1
    [(by, reason)] = migrated_database.execute(
        "SELECT changed_by, reason FROM financial_screener.dag_configuration_audit WHERE operation = 'DELETE'"
    )
    assert (by, reason) == ("maria", "mistyped")
    again = re.findall(r"airflow dagconfig (rollback \d+)", done.out)
    assert store_cli(*again[0].split(), "--yes").code == 0
    assert len(everything(store_cli)[0]) == len(before[0])
    assert store_cli("delete", DAG, "us_market", "--yes").code == 3


def test_an_export_that_is_cut_anywhere_is_refused(exported: Path) -> None:
    text = exported.read_text()
    assert read_document(text, "whole").jobs
    for end in sorted({*range(0, len(text) - 1, 17), *(match.end() for match in re.finditer("\n", text[:-1]))}):
        with pytest.raises(UsageError, match=r"cut\.yaml"):
            read_document(text[:end], "cut.yaml")


def test_an_export_that_was_edited_is_no_cut_one(store_cli: Run, exported: Path) -> None:
    text = exported.read_text()
    exported.write_text(f"# winter\n{text}  another: {{exchanges: [X]}}\n".replace("memory_limit: 2Gi", "memory_limit: 4Gi"))

    assert store_cli("apply", str(exported), "--delete", "--yes").code == 0


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        pytest.param("dag_configuration:\n  {}:\n    {}:\n      memory_limit: 4G", True, id="inside a value"),
        pytest.param("dag_configuration:\n  {}:\n    {}:\n      memory_lim", True, id="inside a name"),
        pytest.param("dag_configuration:\n  {}:\n    {}:\n      memory_limit: 4Gi\n", False, id="after a line"),
        pytest.param("dag_configuration: {{{}: {{{}: {{}}}}}}", False, id="braces"),
        pytest.param("dag_configuration:\n  {}:\n    {}:\n      description: 'x'", False, id="quotes"),
    ],
)
def test_a_file_that_ends_in_a_line_may_be_cut_and_deletes_nothing(store_cli: Run, tmp_path: Path, text: str, cut: bool) -> None:
    file = tmp_path / "cut.yaml"
    file.write_text(text.format(DAG, JOB))
    before = everything(store_cli)

    answer = store_cli("apply", str(file), "--delete", "--yes")

    assert answer.code == (2 if cut else 0)
    assert (everything(store_cli) == before) is cut


@pytest.mark.parametrize("value", ["", "~", "null", "{}", "[]"])
@pytest.mark.parametrize(
    "text",
    ["dag_configuration: {{d: {{j: {{memroy_limit: {}}}}}}}\n", "exchange_groups: {{g: {{exchange: {}}}}}\n"],
    ids=["job", "group"],
)
def test_a_mistyped_column_is_refused_whatever_its_value(store_cli: Run, tmp_path: Path, text: str, value: str) -> None:
    file = tmp_path / "mistyped.yaml"
    file.write_text(text.format(value))

    answer = store_cli("apply", str(file), "--yes")

    assert answer.code == 2
    assert "There is no column" in answer.err


def test_an_export_that_is_cut_anywhere_deletes_no_whole_table(store_cli: Run, exported: Path, tmp_path: Path) -> None:
    """Each cut at a line's end leaves rows of both tables, or is refused."""
    lines = exported.read_text().splitlines(keepends=True)
    file = tmp_path / "cut.yaml"
    for end in range(0, len(lines), 3):
        file.write_text("".join(lines[:end]))
        answer = store_cli("apply", str(file), "--delete", "--yes", "--dry-run")
        assert answer.code in (0, 2)
        removed = [line for line in answer.out.splitlines() if line.startswith("- ")]
        groups = [line for line in removed if line.startswith("- exchange group ")]
        assert len(removed) - len(groups) < 9
        assert len(groups) < 4


@pytest.mark.parametrize(
    "value", ["AMEX, NYSE", "[AMEX, NYSE]", "'[AMEX, NYSE]'", "AMEX;NYSE", "ARRAY['AMEX','NYSE']", "[ AMEX , 'NYSE' ]"]
)
def test_exchange_codes_are_read_in_a_file_as_at_the_command_line(store_cli: Run, tmp_path: Path, value: str) -> None:
    file = tmp_path / "codes.yaml"
    file.write_text(f"exchange_groups:\n  us_markets:\n    exchanges: {value}\n")

    assert store_cli("apply", str(file), "--yes").code == 0

    groups = {group["group_name"]: group["exchanges"] for group in everything(store_cli)[1]}
    assert groups["us_markets"] == ["AMEX", "NYSE"]


@pytest.mark.parametrize(
    "value", ["AMEX NYSE", "[AMEX NYSE]", "[AMEX;NYSE]", "['[AMEX', 'NYSE]']", "[\"'NYSE'\"]", "['ARRAY[AMEX]']", "AMEX|NYSE"]
)
@pytest.mark.parametrize("group", ["us_markets", "new_markets"])
def test_a_file_with_what_is_no_exchange_code_is_refused(store_cli: Run, tmp_path: Path, group: str, value: str) -> None:
    file = tmp_path / "codes.yaml"
    file.write_text(f"exchange_groups:\n  {group}:\n    exchanges: {value}\n")
    before = everything(store_cli)

    answer = store_cli("apply", str(file), "--yes")

    assert answer.code in (1, 2)
    assert "exchanges" in answer.err
    assert everything(store_cli) == before


def test_a_group_with_a_code_from_before_can_be_exported_and_changed(
    store_cli: Run, tmp_path: Path, break_rule: Callable[[str, str, str], None]
) -> None:
    break_rule("exchange_groups", "exchanges", "ARRAY['NYSE ARCA']")
    file = tmp_path / "configuration.yaml"
    assert store_cli("export", str(file)).code == 0

    same = store_cli("apply", str(file), "--yes")
    other = store_cli("apply", edit(file, lambda d: d["exchange_groups"]["lse"].update(priority=2)), "--yes")

    assert (same.code, other.code) == (0, 0)
    assert re.search(r"^    priority  \d+ -> 2$", other.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param(lambda path: None, "No such file or directory", id="none"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="a folder"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe\x00"), "this is no text in UTF-8", id="no text"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(store_cli: Run, tmp_path: Path, make: Callable[[Path], object], complaint: str) -> None:
    make(tmp_path / "file")

    answer = store_cli("apply", str(tmp_path / "file"))

    assert answer.code == 2
    assert complaint in answer.err
