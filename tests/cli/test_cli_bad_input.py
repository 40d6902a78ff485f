"""Whatever is typed, and whatever the database is like, a command ends in a sentence and an exit code: never in a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plugins.command_line import Answer
from plugins.postgres import PASSWORD, Database, Server, new_database

from airflow_provider_dagconfig.__main__ import main
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, JOB_COLUMNS
from airflow_provider_dagconfig.store.migrate import migrate

DAG, JOB = "data_collection_equities", "us_markets"
CODES = {0, 1, 2, 3, 4, 5}
READING = [
    ["list"],
    ["get", DAG, JOB],
    ["history"],
    ["diff", "--from", "1h"],
    ["at", "now", DAG, JOB],
    ["override", "--list"],
    ["groups", "list"],
    ["export"],
]
WRITING = [
    ["set", DAG, JOB, "batch_size=5"],
    ["disable", DAG, JOB],
    ["override", DAG, JOB, "batch_size=5", "--for", "1h", "--reason", "x"],
    ["rollback", "1", "--yes"],
    ["delete", DAG, JOB, "--yes"],
    ["groups", "add", "asia", "exchanges=TSE"],
    ["groups", "remove", "lse", "--yes"],
]
EVERY = [*READING, *WRITING, ["doctor", "--no-cluster"], ["migrate", "--status"]]
by_command = pytest.mark.parametrize("arguments", EVERY, ids=lambda a: "-".join(word for word in a if word.isalpha()))


def run(*arguments: str) -> Answer:
    """Run a command in this process; whatever it raises but SystemExit fails the test."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as exit_:
            code = exit_.code
    assert isinstance(code, int)
    return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def shared_database(postgres: Server) -> Iterator[Database]:
    """One database for all examples: their changes do not affect each other."""
    with new_database(postgres) as database:
        migrate(database.url)
        yield database


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word may be taken for the name of a file to write."""
    monkeypatch.chdir(tmp_path)


WORDS = [
    *(
        "list",
        "get",
        "set",
        "enable",
        "disable",
        "override",
        "history",
        "diff",
        "rollback",
        "at",
        "groups",
        "export",
        "apply",
        "add",
    ),
    *(
        "remove",
        DAG,
        JOB,
        "all",
        "lse",
        "now",
        "1h",
        "06:00",
        "2026-11-23 02:14+01:00",
        "9999-12-31",
        "0001-01-01",
        "-5",
        "1e400",
        "-",
    ),
    *("--for", "--until", "--from", "--to", "--file", "--reason", "--by", "--if-version", "--limit", "--end", "--list", "--all"),
    *("--dry-run", "--yes", "--create", "--delete", "--exit-code", "--group", "--since", "-o", "json", "yaml", "plain", "table"),
    *(
        "1",
        "999999999999999999",
        "99999999999999999999999",
        "/nowhere/at/all",
        "/",
        "x" * 3000,
        "\udcff",
        "\x1b[31m",
        "[/bold]",
        "%s%d",
        "",
    ),
]
TEXTS = st.text(st.characters(exclude_characters="\x00"), max_size=12)
ASSIGNMENTS = st.builds(
    lambda column, value: f"{column}={value}",
    st.sampled_from([*JOB_COLUMNS, *GROUP_COLUMNS]),
    st.one_of(
        TEXTS, st.sampled_from(["4Gi", "1e3", "-1", "99999999999", "true", "a,b", "0:0", "\udcff", "1e-999", "Europe/London"])
    ),
)
COMMANDS = st.sampled_from(
    [["groups", "set", "lse"], ["groups", "add"], *EVERY, ["set", DAG, JOB], ["set"], ["rollback", DAG, JOB, "--to"], []]
)
TYPED = st.builds(
    lambda command, words: [*command, *words], COMMANDS, st.lists(st.one_of(st.sampled_from(WORDS), ASSIGNMENTS, TEXTS), max_size=6)
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=TYPED)
@pytest.mark.usefixtures("elsewhere")
def test_whatever_is_typed(shared_database: Database, arguments: list[str]) -> None:
    answer = run("--url", shared_database.url, *arguments)

    assert answer.code in CODES
    assert "Traceback" not in answer.err
    assert PASSWORD not in answer.out + answer.err


WRONG_BYTES = "\udcff"
"""The character that Python decodes the byte 0xFF of a command line to."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", WRONG_BYTES],
        ["get", WRONG_BYTES, JOB],
        ["history", DAG, WRONG_BYTES],
        ["set", DAG, JOB, "batch_size=5", "--reason", WRONG_BYTES],
        ["set", DAG, JOB, f"description={WRONG_BYTES}"],
        ["disable", DAG, JOB, "--by", WRONG_BYTES],
        ["override", DAG, JOB, "batch_size=5", "--for", "1h", "--reason", WRONG_BYTES],
        ["rollback", DAG, WRONG_BYTES, "--to", "1h", "--yes"],
        ["at", "now", DAG, WRONG_BYTES],
        ["groups", "add", WRONG_BYTES, "exchanges=TSE"],
        ["groups", "set", "lse", f"exchanges={WRONG_BYTES}"],
        ["migrate", "--schema", WRONG_BYTES],
        ["list", "--schema", WRONG_BYTES],
        ["doctor", "--no-cluster", "--schema", WRONG_BYTES],
        ["apply", WRONG_BYTES],
        ["list", "--url", f"postgresql://u:hush{WRONG_BYTES}@127.0.0.1/db"],
        ["migrate", "--url", f"postgresql://u:hush{WRONG_BYTES}@127.0.0.1/db"],
    ],
    ids=lambda a: " ".join(word if word.isprintable() else "?" for word in a),
)
def test_bytes_that_are_no_utf_8(migrated_database: Database, arguments: list[str]) -> None:
    answer = run("--url", migrated_database.url, *arguments)

    assert answer.code in CODES - {0}
    assert "Traceback" not in answer.err
    assert "udcff" in answer.out + answer.err or "no URL of a PostgreSQL database" in answer.err
    assert "hush" not in answer.out + answer.err


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.text(max_size=80),
        st.text("{}[]:-,&*!|>'\"%@` \n\tab1?#", max_size=40),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(
                    st.sampled_from(["dag_configuration", "exchange_groups", "d", "j", *JOB_COLUMNS, *GROUP_COLUMNS]), inner
                ),
            ),
        ).map(repr),
    )
)
def test_whatever_a_file_holds(shared_database: Database, tmp_path: Path, text: str) -> None:
    file = tmp_path / "configuration.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    answer = run("--url", shared_database.url, "apply", str(file), "--dry-run")

    assert answer.code in CODES
    assert "Traceback" not in answer.err


@by_command
def test_a_server_that_is_away(arguments: list[str]) -> None:
    answer = run("--url", "postgresql://u:hush@127.0.0.1:1/db", *arguments)

    assert answer.code == 1
    assert "cannot be reached" in answer.out + answer.err
    assert "hush" not in answer.out + answer.err


@by_command
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mysql://u:hush@h/db", id="another kind"),
        pytest.param("postgresql://u:hush/hush@127.0.0.1/db", id="a raw slash"),
        pytest.param("postgresql://u:hush[hush@127.0.0.1/db", id="a raw bracket"),
        pytest.param("hush", id="a word"),
    ],
)
def test_an_invalid_url(arguments: list[str], url: str) -> None:
    answer = run("--url", url, *arguments)

    assert answer.code == 1
    assert "no URL of a PostgreSQL database" in answer.out + answer.err
    assert "postgresql://USER:PASSWORD@HOST:5432/DATABASE" in answer.out + answer.err
    assert "hush" not in answer.out + answer.err


@pytest.fixture(scope="module")
def never_migrated(postgres: Server) -> Iterator[Database]:
    with new_database(postgres) as database:
        yield database


@by_command
def test_a_database_that_was_never_migrated(never_migrated: Database, arguments: list[str]) -> None:
    answer = run("--url", never_migrated.url, *arguments)

    assert answer.code in (1, 3)
    assert "dagconfig migrate" in answer.out + answer.err or "pending" in answer.out


@pytest.fixture(scope="module")
def older(postgres: Server) -> Iterator[Database]:
    with new_database(postgres) as database:
        migrate(database.url, to=8)
        yield database


@by_command
def test_a_database_that_is_older_than_this_package(older: Database, arguments: list[str]) -> None:
    answer = run("--url", older.url, *arguments)

    assert answer.code in (1, 3)
    assert "dagconfig migrate" in answer.out + answer.err or "pending" in answer.out


@pytest.fixture(scope="module")
def without_rights(shared_database: Database) -> Iterator[str]:
    """The URL of a user who may connect, and no more."""
    with shared_database.role() as user:
        yield shared_database.url_of(user)


@by_command
def test_a_user_without_rights(without_rights: str, arguments: list[str]) -> None:
    answer = run("--url", without_rights, *arguments)

    assert answer.code == 1
    assert "permission denied" in answer.err or "may not read the tables" in answer.out
    assert PASSWORD not in answer.out + answer.err


@pytest.mark.parametrize("arguments", READING, ids=lambda a: a[0])
def test_a_reader_may_look(migrated_database: Database, arguments: list[str]) -> None:
    with migrated_database.role("dagconfig_reader") as user:
        assert run("--url", migrated_database.url_of(user), *arguments).code == 0


@pytest.mark.parametrize("arguments", WRITING, ids=lambda a: "-".join(word for word in a[:2] if word.isalpha()))
def test_a_reader_may_not_change_and_an_editor_may(migrated_database: Database, arguments: list[str]) -> None:
    with migrated_database.role("dagconfig_reader") as user:
        refused = run("--url", migrated_database.url_of(user), *arguments)
    with migrated_database.role("dagconfig_editor") as user:
        done = run("--url", migrated_database.url_of(user), *arguments)

    assert (refused.code, done.code) == (1, 0)
    assert "permission denied" in refused.err
    assert "GRANT dagconfig_editor TO" in refused.err


def process(module: list[str], *arguments: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *module, *arguments],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_module_works_without_a_metadata_database(migrated_database: Database, tmp_path: Path) -> None:
    nowhere = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://nobody@127.0.0.1:1/none"}
    answer = process(
        ["-m", "airflow_provider_dagconfig"], "--url", migrated_database.url, "list", "-o", "json", tmp_path=tmp_path, **nowhere
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert DAG in answer.stdout


UNREAD = """
import os, runpy, sys
import airflow_provider_dagconfig.cli.files, airflow_provider_dagconfig.cli.show  # what takes seconds, once for all

url, *commands = sys.argv[1:]
for command in commands:
    if not (process := os.fork()):
        break
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
else:
    sys.exit()
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, sys.stdout.fileno())
sys.argv = [sys.argv[0], "--url", url, *command.split()]
runpy.run_module("airflow_provider_dagconfig", run_name="__main__", alter_sys=True)
"""
"""Prints how each command ends whose reader has gone, as Python ends: it writes at the very end, too."""


def test_a_reader_that_has_gone_ends_a_command_quietly_as_a_shell_expects(migrated_database: Database, tmp_path: Path) -> None:
    commands = ["export", "list", "list -o plain"]

    ended = process(["-c", UNREAD], migrated_database.url, *commands, tmp_path=tmp_path)

    assert dict(zip(commands, ended.stdout.split(), strict=True)) == dict.fromkeys(commands, "141")
    assert ended.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [[], ["groups"], *([c] for c in ("list", "set", "override", "rollback", "apply", "doctor", "sweep", "migrate"))],
    ids=str,
)
def test_help_says_the_exit_codes(dagconfig: Callable[..., Answer], arguments: list[str]) -> None:
    answer = dagconfig(*arguments, "--help")

    assert answer.code == 0
    assert arguments in ([], ["groups"]) or "Exit codes:\n  0  " in answer.out


def test_airflows_other_commands_load_nothing_of_ours_but_the_command_table() -> None:
    script = """
import sys
import airflow.cli.cli_config
before = set(sys.modules)
from airflow_provider_dagconfig.cli.definition import get_dagconfig_commands
get_dagconfig_commands()
print(*sorted(set(sys.modules) - before))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    ours = "airflow_provider_dagconfig"
    assert set(result.stdout.split()) <= {ours, f"{ours}.cli", f"{ours}.cli.definition", f"{ours}.cli.parser"}
