"""
The tables of the methods that the store and the hook have, made from their signatures and docstrings, for docs/REFERENCE.md.

What stands in that page outside of the two marks is written by hand, and stays.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_dagconfig.store.changes import ChangingStore
from airflow_provider_dagconfig.store.connection import ConnectedStore
from airflow_provider_dagconfig.store.history import HistoryStore
from airflow_provider_dagconfig.store.reading import ReadingStore

PAGE = Path(__file__).parents[2] / "docs" / "REFERENCE.md"
BEGIN, END = "<!-- made by make reference: what follows is overwritten -->", "<!-- end of what make reference makes -->"
PARTS: dict[str, type] = {
    "Read what is in force": ReadingStore,
    "Look back": HistoryStore,
    "Change": ChangingStore,
    "Connect and join": ConnectedStore,
}
"""The heading of each table, and the class whose own methods are in it."""

_FIELD = re.compile(r"^:(param|return|raises)(?: (\w+))?: ", re.MULTILINE)


class _Text(str):
    """An annotation, which a signature shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def methods_of(owner: type) -> dict[str, Callable[..., Any]]:
    """Give the public methods that a class defines itself, by name."""
    public = {name: value for name, value in vars(owner).items() if name[0] != "_"}
    return {name: getattr(owner, name) for name, value in public.items() if callable(value) or isinstance(value, classmethod)}


def tables() -> str:
    """Give all tables, each under its heading."""
    parts = []
    for heading, owner in PARTS.items():
        rows = [_row(name, method) for name, method in methods_of(owner).items()]
        parts.append("\n".join([f"### {heading}", "", "| method | does | raises |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def page() -> str:
    """Give the whole page, with the tables as they are to be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _row(name: str, method: Callable[..., Any]) -> str:
    text, fields = _read(inspect.getdoc(method) or "")
    does = [text]
    does += [f"`{parameter}`: {said}" for kind, parameter, said in fields if kind == "param"]
    does += [f"Returns {said}" for kind, _, said in fields if kind == "return"]
    raises = [f"`{error}`: {said}" for kind, error, said in fields if kind == "raises"]
    cells = [f"`{name}{_signature(method)}`", "<br>".join(does), "<br>".join(raises)]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _read(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Split a docstring into its text and its fields: kind, name, what is said."""
    text, *rest = _FIELD.split(text)
    fields = [(kind, name or "", _joined(said)) for kind, name, said in zip(rest[::3], rest[1::3], rest[2::3], strict=True)]
    return _joined(text), fields


def _joined(text: str) -> str:
    return " ".join(text.split())


def _signature(method: Callable[..., Any]) -> str:
    signature = inspect.signature(method)
    parameters = [
        parameter.replace(annotation=_shown(parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(signature.replace(parameters=parameters, return_annotation=_shown(signature.return_annotation)))


def _shown(annotation: Any) -> Any:
    return _Text(annotation) if isinstance(annotation, str) else annotation


def _cell(text: str) -> str:
    """Make Markdown of what a docstring has of reStructuredText."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`").replace("|", r"\|")


def main() -> None:
    """Write the tables anew."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
