"""
Every statement and command of the documents is tried where a live installation was adopted: one as it came, and one whose
operators had edited it, some of it to values that break a rule. Outputs are compared on a clean database only, in
test_documents.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from plugins.airflow_shell import AirflowShell
from plugins.documents import DOCUMENTS, Block, Workplace, read_blocks
from plugins.postgres import Database


@dataclass(frozen=True)
class Refusal:
    """A command that must fail where operators had made such edits, until somebody does what it shows."""

    document: str
    command: str
    """Its first words."""
    says: str


BREAKS_RULES = "memory_limit '2 GB' of historical_load_equities/asian_markets breaks a rule"
MUST_FAIL = [
    Refusal("DAG_CONFIGURATION.md", "airflow dagconfig diff --file configuration.yaml", "memory_limit '2 GB' is no Kubernetes"),
    Refusal(
        "DAG_CONFIGURATION.md", "airflow dagconfig doctor", "priority '42' of data_collection_equities/european_markets breaks"
    ),
    Refusal("DAG_MIGRATION_GUIDE.md", "airflow dagconfig doctor", BREAKS_RULES),
    Refusal("DAG_MIGRATION_GUIDE.md", "psql", 'column "owner_team" of relation "dag_configuration" does not exist'),
    # The row that was deleted asks for more memory than its limit.
    Refusal("DAG_OPERATIONS.md", "airflow dagconfig rollback 18", "memory_request '3Gi' of data_collection_equities/lse must be"),
    Refusal("DAG_OPERATIONS.md", "airflow dagconfig doctor", BREAKS_RULES),
    # Operators had added that market.
    Refusal("EXCHANGE_GROUPS.md", "airflow dagconfig groups add asian_markets", "an exchange group 'asian_markets' already"),
    Refusal("INSTALL.md", "airflow dagconfig doctor", BREAKS_RULES),
]
"""In the documents' order. What each shows is done as it stands, and then it must pass; all others pass at once."""

SHOWN = re.compile(r": ((?:airflow dagconfig|ALTER TABLE|GRANT|SELECT|UPDATE) .*)$", re.MULTILINE)
SHOWN_OF_A_FILE = re.compile(r"(?P<file>/\S+), line (?P<line>[0-9]+): .* '(?P<value>.*)' is .*; write (?P<instead>\S+)")


class AdoptedWorkplace(Workplace):
    """Where the database was a live installation."""

    def __init__(self, expected: list[Refusal], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.expected = expected
        """The refusals that are still to come."""
        self._shown = ""
        """All that was printed since the last refusal."""
        self._resolved: dict[tuple[str, ...], list[str]] = {}

    def _try_command(self, words: list[str], block: Block, code: int) -> None:
        self._resolved.clear()
        self._output = ""
        # An exit code other than 0 tells of rows that this database need not have.
        passes = self._run(words, block) in (0, code)
        self._shown += self._output
        if passes:
            return
        assert self.expected, f"{shlex.join(words)}:\n{self._output}"
        refusal = self.expected.pop(0)
        assert shlex.join(words).startswith(refusal.command), f"{shlex.join(words)}:\n{self._output}"
        assert refusal.says in self._output
        self._do_what_is_shown()
        self._shown = self._output = ""
        assert self._run(words, block) == code, f"{shlex.join(words)}, after its remedies:\n{self._output}"

    def _do_what_is_shown(self) -> None:
        if of_a_file := SHOWN_OF_A_FILE.search(self._output):
            path, line = Path(of_a_file["file"]), int(of_a_file["line"]) - 1
            lines = path.read_text().splitlines(keepends=True)
            assert of_a_file["value"] in lines[line]
            lines[line] = lines[line].replace(of_a_file["value"], of_a_file["instead"])
            path.write_text("".join(lines))
            return
        # psql tells what PostgreSQL says: what the commands before it have shown, was for it.
        remedies = list(dict.fromkeys(SHOWN.findall(self._output) or SHOWN.findall(self._shown)))
        assert remedies, f"no remedy is shown:\n{self._output}"
        for remedy in remedies:
            if remedy.startswith("airflow "):
                assert self._run_airflow(shlex.split(remedy)) == 0, f"{remedy}:\n{self._output}"
            else:
                done = self.database.psql("-q", "-c", remedy)
                assert done.returncode == 0, f"{remedy}:\n{done.stderr}"

    def _here(self, words: list[str]) -> list[str]:
        """The same numbers the second time: of the entry that was to be rolled back, not of what was done since."""
        return self._resolved.setdefault(tuple(words), super()._here(words))


@pytest.mark.parametrize("kind", ["as it was", "edited"])
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_statement_and_command_works_on_an_adopted_database(
    document: Path,
    kind: str,
    databases: Callable[[str], Database],
    kubeconfig: str,
    pod: None,
    shell: AirflowShell,
    folder: Path,
) -> None:
    def of_kind(name: str) -> Database:
        return databases({"migrated": f"adopted, {kind}", "live": f"live, {kind}"}.get(name, name))

    expected = [refusal for refusal in MUST_FAIL if kind == "edited" and refusal.document == document.name]
    workplace = AdoptedWorkplace(expected, of_kind, kubeconfig, shell, folder)
    for block in read_blocks(document):
        if block.language in ("sql", "bash") or "file" in block.notes:
            workplace.try_block(block)
    assert workplace.expected == []
