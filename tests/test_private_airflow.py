"""Imports from Airflow that are not in its public interface: each is listed, with the versions that have it."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from packaging.version import Version
from plugins.documents import ROOT

import airflow_provider_dagconfig
from airflow_provider_dagconfig import example_dags

PRIVATE: dict[str, list[str]] = {
    "airflow.cli.cli_config": [
        "ARG_OUTPUT",
        "ARG_VERBOSE",
        "ARG_YES",
        "ActionCommand",
        "Arg",
        "CLICommand",
        "DefaultHelpParser",
        "GroupCommand",
        "lazy_load_command",
    ],
    "airflow.cli.simple_table": ["AirflowConsole", "SimpleTable"],
    "airflow": ["settings"],
    "airflow.models.connection": ["Connection"],
    "airflow.models.taskinstance": ["TaskInstance"],
    "airflow.sdk.definitions._internal.expandinput": ["DictOfListsExpandInput", "MappedArgument"],
    "airflow.sdk.definitions._internal.mixins": ["DependencyMixin"],
    "airflow.sdk.definitions.edges": ["EdgeModifier"],
    "airflow.sdk.definitions.mappedoperator": ["OperatorPartial"],
    "airflow.sdk.definitions.taskgroup": ["MappedTaskGroup"],
    "airflow.sdk.execution_time": ["task_runner"],
    "airflow.sdk.execution_time.comms": ["GetTaskStates"],
    "airflow.sdk.log": ["mask_secret"],
    "airflow.triggers.base": ["BaseTrigger", "TriggerEvent"],
    "airflow.utils": ["yaml"],
    "airflow.utils.cli": ["suppress_logs_and_warning"],
    "airflow.utils.session": ["create_session"],
}
"""Modules and names; 3.1.8, 3.2.2 and 3.3.2 have them all."""


COMPAT = "airflow.providers.common.compat.sdk"
FIRST = {
    "AirflowException": "1.10.1",
    "AirflowFailException": "1.10.0",
    "AirflowNotFoundException": "1.10.1",
    "AirflowSkipException": "1.10.0",
    "AirflowTaskTimeout": "1.10.0",
    "Stats": "1.12.0",
    "conf": "1.12.0",
    "redact": "1.11.0",
    "timeout": "1.8.0",
}
"""Names of that module to the first version of its provider that has them. A Python may have none of the newest."""


def imported() -> set[tuple[str, str]]:
    """Module and name of each import from Airflow in the package and the example DAGs, the type checker's included."""
    folders = [Path(str(package.__file__)).parent for package in (airflow_provider_dagconfig, example_dags)]
    nodes = [node for folder in folders for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    return {
        (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "airflow"
        for alias in node.names
    }


def is_public(module: str) -> bool:
    return module == "airflow.sdk" or module.startswith("airflow.providers.")


def test_each_private_import_is_listed_and_no_other() -> None:
    listed = {(module, name) for module, names in PRIVATE.items() for name in names}
    assert {(module, name) for module, name in imported() if not is_public(module)} == listed


@pytest.mark.parametrize("module", PRIVATE)
def test_this_version_of_airflow_has_it(module: str) -> None:
    found = import_module(module)
    assert [name for name in PRIVATE[module] if not hasattr(found, name)] == []


def test_the_lowest_version_that_is_asked_for_has_all_that_is_imported() -> None:
    assert {name for module, name in imported() if module == COMPAT} == set(FIRST)
    [lowest] = re.findall(r'"apache-airflow-providers-common-compat>=([^"]*)"', (ROOT / "pyproject.toml").read_text())
    assert Version(lowest) >= max(map(Version, FIRST.values()))
