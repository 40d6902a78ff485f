"""The table of what a try does with the pod that it finds: each row has a test on the real cluster, and each such test its row."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from plugins.adoption import rows
from plugins.documents import ROOT

ON_THE_CLUSTER = {"tasks", "real_tasks", "system"}
"""Fixtures whose tests run on the real cluster, too."""


def shown() -> Iterator[tuple[str, ast.FunctionDef]]:
    """The rows that tests name, each with its test."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for test in ast.parse(path.read_text()).body:
            for decorator in test.decorator_list if isinstance(test, ast.FunctionDef) else ():
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.row":
                    yield ast.literal_eval(decorator.args[0]), test


def test_each_row_has_a_test_and_each_test_its_row() -> None:
    assert {row for row, _ in shown()} == set(rows())


def test_each_row_is_shown_on_the_real_cluster_and_its_log_is_compared() -> None:
    arguments = {test.name: {argument.arg for argument in test.args.args} for _, test in shown()}
    assert [name for name, given in arguments.items() if "row" not in given or not given & ON_THE_CLUSTER] == []


def test_each_row_says_what_the_log_says() -> None:
    assert [row.happened for row in rows().values() if not row.sentences] == []
