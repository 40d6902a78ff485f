"""
The table in docs/DAG_OPERATIONS.md about a try that finds a pod: each row is shown by the tests that name it.

A test names its row by the marker ``row``, and uses the fixture ``row`` to check that the logs say what the table says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "DAG_OPERATIONS.md"
HEADER = "| what happened | what the next try finds | what it does | what the log says |"


@dataclass(frozen=True)
class Row:
    """One row, with the texts of the table."""

    happened: str
    finds: str
    does: str
    says: str

    @property
    def sentences(self) -> list[str]:
        """The texts in italics, in which ``…`` is any text."""
        return re.findall(r"\*([^*]+)\*", self.says)

    def is_told(self, *logs: str | Sequence[str]) -> None:
        """Check that the logs together contain all sentences of the row."""
        lines = [line for log in logs for line in (log.splitlines() if isinstance(log, str) else log)]
        patterns = {sentence: ".*".join(map(re.escape, sentence.split("…"))) for sentence in self.sentences}
        missing = [sentence for sentence, pattern in patterns.items() if not any(re.search(pattern, line) for line in lines)]
        assert missing == [], "\n".join(lines)


def rows() -> dict[str, Row]:
    """Return the rows of the table, by their first column."""
    lines = DOCUMENT.read_text().splitlines()
    found: dict[str, Row] = {}
    for line in lines[lines.index(HEADER) + 2 :]:
        if not line.startswith("|"):
            return found
        row = Row(*(cell.strip() for cell in line.strip("|").split("|")))
        assert row.happened not in found
        found[row.happened] = row
    return found


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """The row that the test's marker names."""
    marker = request.node.get_closest_marker("row")
    assert marker is not None, "the marker `row` says which row the test shows"
    return rows()[marker.args[0]]
