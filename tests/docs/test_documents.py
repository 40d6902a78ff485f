"""
Every block of the README and of docs/ is tried: SQL through psql, commands on a real database and local pods, DAGs parsed.

A document is read from its beginning, as a person would, on a database of its own that has all migrations. A comment in HTML
before a block, invisible in the rendered page, says what is special about it (see ``Block``). A block or a command without a rule
fails. The sentences in blocks of messages are checked in test_messages.py.
"""

from __future__ import annotations

import configparser
import itertools
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from plugins.airflow_shell import AirflowShell, airflow_shell
from plugins.cluster import Namespace
from plugins.dag_runs import DagRunResult
from plugins.postgres import PASSWORD, Database, Server, make_live, new_database

import airflow_provider_dagconfig.example_dags
from airflow_provider_dagconfig.demo import local_pods
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.migrate import migrate
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.run_overrides import run_overrides

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMESPACE = "financial-screener"
ROLES = ("airflow", "operators")
"""The database users that the documents' GRANTs are for."""


@dataclass(frozen=True)
class Block:
    """
    A fenced block, with what the comment right before it says:

    - ``database: empty`` (or ``live``, ``migrated``): from here on a new database, with nothing, with the tables of 008 as they
      were before this package, or with all migrations
    - ``after: STATEMENT``: what has happened in the database before
    - ``exit code: N``: how its last command ends
    - ``runs: TEXT``: a DAG that prints TEXT on local pods
    - ``file: NAME``: a file that is there from now on
    - ``output``: what the block before has printed; ``message``: sentences of the code
    - ``checked only: REASON``: the command is not run; its flags exist
    """

    document: Path
    line: int
    language: str
    text: str
    notes: dict[str, str] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}, line {self.line}"


def read_blocks(document: Path) -> list[Block]:
    blocks: list[Block] = []
    lines = document.read_text().splitlines()
    number = 0
    while number < len(lines):
        if fence := re.fullmatch(r"( *)```(\w*)", lines[number]):
            indent, language = fence.groups()
            end = lines.index(f"{indent}```", number + 1)
            text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[number + 1 : end])
            blocks.append(Block(document, number + 1, language, text, _notes(lines[number - 1])))
            number = end
        number += 1
    return blocks


def _notes(line: str) -> dict[str, str]:
    comment = re.fullmatch(r" *<!-- (.*) -->", line)
    parts = comment[1].split("; ") if comment else []
    return {name: value for name, _, value in (part.partition(": ") for part in parts)}


def commands(script: str) -> list[list[str]]:
    """The commands of a script, which are plain ones: no pipes, variables or redirections."""
    lines = script.replace("\\\n", " ").splitlines()
    found = [words for words in (shlex.split(line, comments=True) for line in lines) if words]
    assert [words for words in found if {"|", ">", "<", "&&", ";", "&"} & set(words)] == []
    return found


class Workplace:
    """Where the blocks of a document are tried."""

    def __init__(self, new_database: Callable[[str], Database], kubeconfig: str, shell: AirflowShell, folder: Path) -> None:
        self._new_database = new_database
        self._kubeconfig = kubeconfig
        self._shell = shell
        self._folder = folder
        self._output = ""
        self.database = new_database("migrated")

    def try_block(self, block: Block) -> None:
        if "database" in block.notes:
            self.database = self._new_database(block.notes["database"])
        if "after" in block.notes:
            self.database.execute(block.notes["after"])
        rule = getattr(self, f"_try_{block.language}", None)
        assert rule is not None, f"there is no rule for a block of {block.language or 'no language'}"
        try:
            rule(block)
        except Exception as error:
            raise AssertionError(f"{block}:\n{block.text}\n{error}") from error

    def _try_sql(self, block: Block) -> None:
        done = self.database.psql("-q", script=block.text)
        assert done.returncode == 0, done.stderr

    def _try_bash(self, block: Block) -> None:
        self._output = ""
        *before, last = commands(block.text)
        for words in before:
            assert self._run(words, block) == 0, f"{shlex.join(words)}:\n{self._output}"
        assert self._run(last, block) == int(block.notes.get("exit code", 0)), f"{shlex.join(last)}:\n{self._output}"

    def _try_text(self, block: Block) -> None:
        if "output" in block.notes:
            printed, documented = ([line.rstrip() for line in text.strip().splitlines()] for text in (self._output, block.text))
            assert documented == printed
        else:
            assert "message" in block.notes

    def _try_python(self, block: Block) -> None:
        path = self._folder / "documented.py"
        path.write_text(block.text)
        assert parse_dags(path)

    def _try_yaml(self, block: Block) -> None:
        if "file" in block.notes:
            (self._folder / block.notes["file"]).write_text(block.text)
            return
        import kubernetes_validate

        for manifest in yaml.safe_load_all(block.text):
            for version in ("1.25", "1.37"):
                kubernetes_validate.validate(manifest, version, strict=True)

    def _try_ini(self, block: Block) -> None:
        from airflow_provider_dagconfig import get_provider_info

        parser = configparser.ConfigParser()
        parser.read_string(block.text)
        documented = {name: dict(parser[name]) for name in parser.sections()}
        config = get_provider_info()["config"]
        assert documented == {
            name: {option: facts["default"] for option, facts in part["options"].items()} for name, part in config.items()
        }

    def _try_dockerfile(self, block: Block) -> None:
        for line in block.text.splitlines():
            instruction, _, argument = line.partition(" ")
            if instruction == "FROM":
                assert re.fullmatch(r"apache/airflow:3\.\d+\.\d+", argument)
            elif instruction == "USER":
                assert argument in ("root", "airflow")
            elif "apt-get" in argument:
                [packages] = re.findall(r"apt-get install -y --no-install-recommends ([^&]*) &&", argument)
                assert packages.split() == ["kubernetes-client"]
            else:
                self._run_pip(shlex.split(argument))

    def _run(self, words: list[str], block: Block) -> int:
        if "checked only" in block.notes:
            return self._check_kubectl(words)
        rule = getattr(self, f"_run_{words[0]}", None)
        assert rule is not None, f"there is no rule for {words[0]}"
        code: int = rule(words)
        return code

    def _run_make(self, words: list[str]) -> int:
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in words[1:] if word not in targets] == []
        return 0

    def _run_pip(self, words: list[str]) -> int:
        assert words[:2] == ["pip", "install"]
        with_value = ("--extra-index-url", "--constraint")
        pairs = itertools.pairwise(words[1:])
        packages = [word for before, word in pairs if not word.startswith("-") and before not in with_value]
        assert set(packages) <= {"airflow-provider-dagconfig", "apache-airflow==${AIRFLOW_VERSION}"}
        assert "airflow-provider-dagconfig" in packages
        return 0

    def _run_psql(self, words: list[str]) -> int:
        return self._run_program(self.database.server.bin / words[0], *words[1:])

    _run_pg_dump = _run_psql

    def _run_kubectl(self, words: list[str]) -> int:
        return self._run_program(*words)

    def _run_program(self, program: str | Path, *arguments: str) -> int:
        server = self.database.server
        environment = {
            "KUBECONFIG": self._kubeconfig,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGUSER": "postgres",
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": self.database.name,
        }
        done = subprocess.run(
            [program, *arguments],
            cwd=self._folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        self._output += done.stdout + done.stderr
        return done.returncode

    def _check_kubectl(self, words: list[str]) -> int:
        program, *arguments = words
        assert program == "kubectl"
        flags = [word for word in arguments if word.startswith("-")]
        verb = arguments[: arguments.index(flags[0])]
        asked = [[*verb, "--help"], ["options"]]
        usages = [subprocess.run(["kubectl", *ask], capture_output=True, text=True, check=True).stdout for ask in asked]
        usage = "".join(usages)
        assert [flag for flag in flags if not re.search(rf"(^|\s){flag}[=,]", usage)] == []
        return 0

    def _run_airflow(self, words: list[str]) -> int:
        arguments = self._here(words[1:])
        environment = {"AIRFLOW_CONN_POSTGRES_DEFAULT": self.database.url, "KUBECONFIG": self._kubeconfig}
        code, printed = self._shell.run(*arguments, **environment)
        self._output += printed
        return code

    def _run_python(self, words: list[str]) -> int:
        return self._run_program(sys.executable, *self._here(words[1:]))

    def _here(self, words: list[str]) -> list[str]:
        """
        The words as they are true here: host, folder, numbers and versions are examples in the documents.

        The number of an entry, or of an override, is that of the latest one. Questions are answered with yes.
        """
        here = [str(self._folder / word) if re.fullmatch(r"[\w-]+\.yaml", word) else word for word in words]
        here = [re.sub(r"postgresql://.*", lambda _: self.database.url, word) for word in here]
        tables = "financial_screener.dag_configuration"
        if here[1] == "rollback" and here[2].isdigit():
            here[2] = self._ask(f"SELECT max(audit_id) FROM {tables}_audit")
        if "--end" in here:
            here[here.index("--end") + 1] = self._ask(f"SELECT max(override_id) FROM {tables}_overrides WHERE ended_at IS NULL")
        if "--if-version" in here:
            version = f"SELECT version FROM {tables} WHERE (dag_name, job_name) = ('{here[2]}', '{here[3]}')"
            here[here.index("--if-version") + 1] = self._ask(version)
        asks = here[0] == "dagconfig" and (here[1] in ("rollback", "apply") or here[1:3] == ["groups", "remove"])
        return [*here, "--yes"] if asks else here

    def _ask(self, query: str) -> str:
        [[answer]] = self.database.execute(query)
        return str(answer)


def parse_dags(path: Path) -> dict[str, Any]:
    """Parse a DAG file as Airflow does it, with no network at hand."""
    from airflow.dag_processing.dagbag import DagBag

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError("a connection while a DAG file was parsed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(psycopg.Connection, "connect", refuse)
        bag = DagBag(path, bundle_name="documents")
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[str]:
    """Local pods, in which a job of a run is at work."""
    with local_pods.running() as pods:
        path = str(pods.kubeconfig)
        for command in (
            ["create", "namespace", NAMESPACE],
            ["create", "-n", NAMESPACE, "secret", "generic", "postgres-secret", "--from-literal=DATABASE_URL=none"],
        ):
            subprocess.run(["kubectl", "--kubeconfig", path, *command], check=True, capture_output=True)
        yield path


@pytest.fixture
def pod(kubeconfig: str, tmp_path: Path) -> None:
    """A pod as the operator makes it, of data_collection_equities/us_markets."""
    request = PodRequest(
        dag_id="data_collection_equities",
        run_id="manual",
        task_id="collect.run",
        map_index=0,
        dag_config=DagConfig.defaults("data_collection_equities", "us_markets"),
        image="busybox:latest",
        image_pull_policy="Never",
        cmds=["sleep", "600"],
        namespace=NAMESPACE,
    )
    manifest = tmp_path / "pod.json"
    manifest.write_text(json.dumps(build_pod(request)))
    subprocess.run(["kubectl", "--kubeconfig", kubeconfig, "apply", "-f", str(manifest)], check=True, capture_output=True)
    wait = ["wait", "-n", NAMESPACE, "pods", "--all", "--for=condition=Ready", "--timeout=30s"]
    subprocess.run(["kubectl", "--kubeconfig", kubeconfig, *wait], check=True, capture_output=True)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowShell]:
    """``airflow`` with the example DAGs, and months that are loaded."""
    folder = Path(airflow_provider_dagconfig.example_dags.__file__).parent
    with airflow_shell(tmp_path_factory.mktemp("airflow"), folder, {}) as shell:
        assert shell.run("variables", "set", "historical_load_equities_months", '["2026-10"]')[0] == 0
        yield shell


@pytest.fixture
def roles(postgres: Server) -> Iterator[None]:
    for role in ROLES:
        postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    yield
    for role in ROLES:
        postgres.execute(f"DROP ROLE {role}")


@pytest.fixture
def databases(postgres: Server, roles: None, aged: Callable[[Database], Database]) -> Iterator[Callable[[str], Database]]:
    with ExitStack() as stack:

        def make(kind: str) -> Database:
            database = stack.enter_context(new_database(postgres))
            if kind == "live":
                make_live(database, "in_use")
            elif kind == "migrated":
                migrate(database.url)
                aged(database)
            else:
                assert kind == "empty"
            return database

        yield make


@pytest.fixture
def workplace(
    databases: Callable[[str], Database], kubeconfig: str, pod: None, shell: AirflowShell, tmp_path: Path
) -> Iterator[Workplace]:
    (tmp_path / "migrations").symlink_to(ROOT / "migrations")
    yield Workplace(databases, kubeconfig, shell, tmp_path)
    # What a document adds to Airflow is not there for the next one.
    shell.run("connections", "delete", "kubernetes_default")
    shell.run("connections", "delete", "postgres_default")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_works_in_its_order(document: Path, workplace: Workplace) -> None:
    for block in read_blocks(document):
        workplace.try_block(block)


def test_the_readmes_dag_runs_with_what_its_row_says(
    run_dag: Callable[..., DagRunResult],
    workplace: Workplace,
    kubeconfig: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocks = read_blocks(ROOT / "README.md")
    [shown] = [block for block in blocks if "runs" in block.notes]
    change, _, disable = [block for block in blocks if "airflow dagconfig" in block.text and "house_prices" in block.text]
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", workplace.database.url)
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    (tmp_path / "documented.py").write_text(shown.text)
    [dag] = parse_dags(tmp_path / "documented.py").values()

    assert run_dag(dag).states("collect") == ["success"]
    assert shown.notes["runs"] in capsys.readouterr().out
    workplace.try_block(change)
    assert run_dag(dag).states("collect") == ["success"]
    assert shown.notes["runs"].replace("500", "750") in capsys.readouterr().out
    workplace.try_block(disable)
    assert run_dag(dag).states("collect") == ["skipped"]


@pytest.mark.cluster
def test_the_documented_rights_are_given_by_the_documented_manifests(real_namespace: Namespace, tmp_path: Path) -> None:
    [block] = [block for block in read_blocks(ROOT / "docs" / "DAG_MIGRATION_GUIDE.md") if block.language == "yaml"]
    manifests = tmp_path / "rights.yaml"
    manifests.write_text(block.text.replace(NAMESPACE, real_namespace.name))
    kubectl = real_namespace.cluster.kubectl
    kubectl("apply", "-f", str(manifests))
    worker = ["--namespace", real_namespace.name, f"--as=system:serviceaccount:{real_namespace.name}:airflow-worker"]
    needed = [*((verb, "pods") for verb in ("get", "watch", "create", "update", "delete")), ("get", "pods/log"), ("list", "events")]
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
