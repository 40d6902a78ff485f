"""The contents of the documents: sections, tables, names. Not a pytest plugin: it is imported."""

from __future__ import annotations

import re
from pathlib import Path

MIGRATION = Path(__file__).parents[2] / "docs" / "DAG_MIGRATION_GUIDE.md"
INSTALL = MIGRATION.with_name("INSTALL.md")


def section(document: Path, heading: str) -> str:
    """Return the text under a heading, up to the next heading."""
    text = document.read_text()
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    end = re.compile(r"^#+ ", re.MULTILINE).search(text, start)
    return text[start : end.start() if end else None]


def table(text: str) -> list[list[str]]:
    """Return the rows of the first table in a text, without its head."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return cells[2:]


def code(text: str) -> list[str]:
    """Return the texts between backticks."""
    return re.findall(r"`([^`]+)`", text)


def listed_parameters() -> dict[str, set[str]]:
    text = section(MIGRATION, "### The parameters")
    same, different, refused, without_effect, new = re.split(r"^\*\*[^*]*\*\*", text, flags=re.MULTILINE)[1:]
    return {
        "same": set(code(same)),
        "different": {name for row in table(different) for name in code(row[0])},
        "refused": {name for row in table(refused) for name in code(row[0])},
        "without effect": set(code(without_effect)),
        "new": set(code(new)),
    }
