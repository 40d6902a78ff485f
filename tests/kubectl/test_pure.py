"""No decision asks what time it is: an import contract keeps the module `time` out, and this the clock of `datetime`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from airflow_provider_dagconfig import kubectl

FOLDER = Path(kubectl.__file__).parent
ASKS = {"now", "utcnow", "today"}
DRIVERS = {"client", "container_log", "lifecycle", "resumption", "waiting", "watch_hub"}


@pytest.mark.parametrize("module", sorted(set(FOLDER.glob("*.py"))), ids=lambda path: path.stem)
def test_nothing_asks_the_time_but_who_waits(module: Path) -> None:
    tree = ast.parse(module.read_text())
    asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & ASKS
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert asked == set()
    assert module.stem in DRIVERS or not imported & {"time", "selectors", "subprocess", "threading"}
