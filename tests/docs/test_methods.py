"""The reference has every method of the store and of the hook, as its docstring says it."""

from __future__ import annotations

import re

from plugins.method_reference import PAGE, page

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.store import Store


def test_the_tables_are_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write them anew: make reference"


def test_each_method_that_hook_and_store_share_is_listed_once() -> None:
    listed = re.findall(r"^\| `(\w+)\(", page(), re.MULTILINE)
    assert sorted(listed) == sorted({name for name in dir(Store) if name[0] != "_" and callable(getattr(Store, name))})
    assert [name for name in listed if not hasattr(DagConfigHook, name)] == []
