"""
The blocks of the documents, and the environment in which they are run. Not a pytest plugin: it is imported.

An HTML comment before a block, invisible in the rendered page, has notes about it (see ``Block``). A block or a command without
a rule fails.
"""

from __future__ import annotations

import configparser
import itertools
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from plugins.airflow_shell import AirflowShell
from plugins.airflow_versions import make_dag_bag
from plugins.postgres import PASSWORD, Database

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")),
    *sorted((ROOT / "docs").glob("*.md")),
]
NAMESPACE = "financial-screener"


@dataclass(frozen=True)
class Block:
    """
    A fenced block, with the notes in the comment right before it:

    - ``database: empty`` (or ``live``, ``migrated``, ``earlier build``): from here on a new database: an empty one, one with the
      tables of 008 as they were before this package, one with all migrations, or one of an earlier build
    - ``after: STATEMENT``: what happened in the database before
    - ``exit code: N``: the exit code of its last command
    - ``runs: TEXT``: a DAG that prints TEXT on local pods
    - ``file: NAME``: a file that exists from now on
    - ``output``: the output of the last block; ``message``: sentences of the code
    - ``checked only: REASON``: the command is not run; its flags exist
    - ``run by: TEST``: statements for a server without the documented users; that test runs them
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
    """Return the commands of a script, which has no pipes, variables or redirections."""
    lines = script.replace("\\\n", " ").splitlines()
    found = [words for words in (shlex.split(line, comments=True) for line in lines) if words]
    assert [words for words in found if {"|", ">", "<", "&&", ";", "&"} & set(words)] == []
    return found


class Workplace:
    """The environment in which the blocks of a document are run."""

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
        if "run by" in block.notes:
            file, _, test = block.notes["run by"].partition("::")
            assert f"def {test}(" in (ROOT / file).read_text()
            return
        done = self.database.psql("-q", script=block.text)
        assert done.returncode == 0, done.stderr

    def _try_bash(self, block: Block) -> None:
        self._output = ""
        *before, last = commands(block.text)
        for words in before:
            self._try_command(words, block, 0)
        self._try_command(last, block, int(block.notes.get("exit code", 0)))

    def _try_command(self, words: list[str], block: Block, code: int) -> None:
        assert self._run(words, block) == code, f"{shlex.join(words)}:\n{self._output}"

    def _try_text(self, block: Block) -> None:
        if "output" in block.notes:
            # The documented database is another one than the test's, so both become the same placeholder.
            texts = (re.sub(r"\(\w+@[\w.]+:\d+/\w+\)", "(DATABASE)", text) for text in (self._output, block.text))
            printed, documented = ([line.rstrip() for line in text.strip().splitlines()] for text in texts)
            assert documented == printed
        else:
            assert "message" in block.notes

    def _try_python(self, block: Block) -> None:
        path = self._folder / "documented.py"
        if "program" in block.notes:
            path.write_text(re.sub(r"postgresql://\w+@db\.example\.com[^\"]*", self.database.url, block.text))
            assert self._run_program(sys.executable, str(path)) == 0, self._output
            return
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
        """Check that our section is documented completely, and that the documented options of Airflow's own sections exist."""
        from airflow.providers.common.compat.sdk import conf

        from airflow_provider_dagconfig import get_provider_info

        parser = configparser.ConfigParser()
        parser.read_string(block.text)
        documented = {name: dict(parser[name]) for name in parser.sections()}
        if set(documented).isdisjoint(config := get_provider_info()["config"]):
            known = {(section, option) for section, part in conf.configuration_description.items() for option in part["options"]}
            assert {(section, option) for section, options in documented.items() for option in options} <= known
            return
        # An option without a default is not set; a comment shows its example.
        options = [option for part in config.values() for option in part["options"].items()]
        unset = [f"# {name} = {facts['example']}" for name, facts in options if facts["default"] is None]
        assert [line for line in block.text.splitlines() if re.match(r"# \w+ =", line)] == unset
        assert documented == {
            name: {option: facts["default"] for option, facts in part["options"].items() if facts["default"] is not None}
            for name, part in config.items()
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
        rule = getattr(self, f"_run_{words[0].removeprefix('.venv/bin/')}", None)
        assert rule is not None, f"there is no rule for {words[0]}"
        code: int = rule(words)
        return code

    def _run_make(self, words: list[str]) -> int:
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in words[1:] if word not in targets] == []
        return 0

    def _run_pip(self, words: list[str]) -> int:
        assert words[:2] == ["pip", "install"]
        with_value = ("--index-url", "--constraint")
        pairs = itertools.pairwise(words[1:])
        packages = [word for before, word in pairs if not word.startswith("-") and before not in with_value]
        assert set(packages) <= {"airflow-provider-dagconfig", "apache-airflow==${AIRFLOW_VERSION}", "apache-airflow==3.3.2"}
        assert "--index-url" in words
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

    def _run_pytest(self, words: list[str]) -> int:
        """Tests that are named exist; a suite in the suite is not run."""
        for word in words[1:]:
            if word.startswith("tests/"):
                file, _, test = word.partition("::")
                assert f"def {test}" in (ROOT / file).read_text()
        return 0

    def _run_python(self, words: list[str]) -> int:
        if words[1:3] == ["-m", "pytest"]:
            return self._run_pytest(words[2:])
        return self._run_program(sys.executable, *self._here(words[1:]))

    def _here(self, words: list[str]) -> list[str]:
        """
        Return the words with the values of this test: host, folder, numbers and versions are examples in the documents.

        The number of an entry, or of an override, becomes that of the latest one. Questions are answered with yes.
        """
        here = [str(self._folder / word) if re.fullmatch(r"[\w-]+\.yaml", word) else word for word in words]
        here = [re.sub(r"postgresql://.*", lambda _: self.database.url, word) for word in here]
        tables = "financial_screener.dag_configuration"
        if here[1] == "rollback" and here[2].isdigit():
            here[2] = self._ask(f"SELECT max(audit_id) FROM {tables}_audit")
        for option in {"--end", "--extend"} & set(here):
            here[here.index(option) + 1] = self._ask(f"SELECT max(override_id) FROM {tables}_overrides WHERE ended_at IS NULL")
        if "--if-version" in here:
            version = f"SELECT version FROM {tables} WHERE (dag_name, job_name) = ('{here[2]}', '{here[3]}')"
            here[here.index("--if-version") + 1] = self._ask(version)
        asks = here[0] == "dagconfig" and (here[1] in ("rollback", "apply", "delete") or here[1:3] == ["groups", "remove"])
        return [*here, "--yes"] if asks else here

    def _ask(self, query: str) -> str:
        [[answer]] = self.database.execute(query)
        return str(answer)


def parse_dags(path: Path) -> dict[str, Any]:
    """Parse a DAG file as Airflow does, without a network."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError("a connection while a DAG file was parsed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(psycopg.Connection, "connect", refuse)
        bag = make_dag_bag(path, bundle_name="documents")
    assert bag.import_errors == {}
    return dict(bag.dags)
