"""Each way to a terminal or a log has one place, where what others wrote is made fit for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airflow_provider_dagconfig
from airflow_provider_dagconfig.exceptions import DagConfigError
from airflow_provider_dagconfig.wording import printable, printable_error, printables

ROOT = Path(airflow_provider_dagconfig.__file__).parent
MODULES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}
PRINTS = "cli/output.py"
"""The one module that prints."""
HELP = {"cli/parser.py": ["sys.stderr"]}
"""The parser itself prints only its help, which has no text of others."""
AS_IT_IS = 'task.log.info("%s", line)'
"""A pod's own line."""
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}

every_module = pytest.mark.parametrize("module", MODULES)


def written_to_terminals(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in ("print", "input", "sys.stdout", "sys.stderr"):
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (name for name in names if name.partition(".")[0] in ("rich", "tabulate") or name.endswith("simple_table"))


@every_module
def test_one_module_prints(module: str) -> None:
    found = list(written_to_terminals(MODULES[module]))
    assert module == PRINTS or found == HELP.get(module, [])


@every_module
def test_what_goes_into_a_log_is_made_fit_for_it(module: str) -> None:
    raw = []
    for node in ast.walk(MODULES[module]):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in LEVELS:
            continue
        if ast.unparse(node.func.value).rpartition(".")[2] not in ("log", "_log", "logger"):
            continue
        first, *values = node.args
        fit = [ast.unparse(value).lstrip("*").partition("(")[0] in ("printable", "printables") for value in values]
        if not isinstance(first, ast.Constant) or not all(fit):
            raw.append(ast.unparse(node).replace("'", '"'))
    assert raw == ([AS_IT_IS] if module == "operators/task_pod.py" else [])


TEXTS = st.text(st.characters() | st.sampled_from("\x1b\x07\x9b\x7f\u202e\u2028\r\n\ud800"))


@given(TEXTS)
def test_what_is_shown_can_be_seen_is_one_line_and_is_shown_alike_again(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert printable(shown) == shown
    assert not text.isprintable() or shown == text


@given(TEXTS)
def test_of_several_lines_only_the_ends_stay(text: str) -> None:
    assert printable(text, lines=True).split("\n") == [printable(line) for line in text.split("\n")]


def test_numbers_of_a_log_line_stay_numbers() -> None:
    assert printables("a\nb", 5, 0.5, None) == (r"a\nb", 5, 0.5, "None")


def test_an_error_says_nothing_raw_nor_does_what_it_is_from() -> None:
    try:
        try:
            raise ValueError("\x1b[31m")
        except ValueError as error:
            raise DagConfigError("row \x1b]0;x\x07\nis not there") from error
    except DagConfigError as error:
        told = printable_error(error)

    assert str(told) == r"row \x1b]0;x\x07\nis not there"
    assert str(told.__cause__) == r"\x1b[31m"
