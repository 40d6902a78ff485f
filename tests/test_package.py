"""The wheel: what is in it, and that it works where nothing else of this repository is."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import distributions
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from plugins.airflow_shell import empty_airflow_shell
from plugins.postgres import Database

from airflow_provider_dagconfig import __version__, get_provider_info
from airflow_provider_dagconfig.store.migrate import available

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_dagconfig"
# Files that a clone does not have.
_OWN = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


# Only the first process compiles Airflow.
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: what an earlier build left in the folder does not get into it."""
    folder = tmp_path_factory.mktemp("build")
    source = shutil.copytree(ROOT, folder / "source", ignore=_OWN)
    run(UV, "build", "--wheel", "--out-dir", folder, source, folder=folder)
    [wheel] = folder.glob("*.whl")
    return wheel


def wheel_content(wheel: Path) -> dict[str, str]:
    """A wheel's files, by their names."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.fixture(scope="module")
def content(wheel: Path) -> dict[str, str]:
    return wheel_content(wheel)


def source_files() -> set[str]:
    """The files that are the package, under their names in it."""
    top_level = {"": ROOT / PACKAGE} | {f"{name}/": ROOT / name for name in ("docs", "example_dags", "migrations")}
    return {
        f"{PACKAGE}/{prefix}{path.relative_to(folder)}"
        for prefix, folder in top_level.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_package_and_no_other(content: dict[str, str]) -> None:
    assert {name for name in content if ".dist-info/" not in name} == source_files()


def test_an_index_page_has_links_that_work_where_the_repository_is_named(tmp_path: Path) -> None:
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=_OWN)
    repository = "https://git.example.com/data/dagconfig"
    run(UV, "build", "--wheel", "--out-dir", tmp_path, source, folder=tmp_path, PROJECT_URL=repository)
    [wheel] = tmp_path.glob("*.whl")
    metadata = Parser().parsestr(next(text for name, text in wheel_content(wheel).items() if name.endswith(".dist-info/METADATA")))
    links = re.findall(r"\]\(([^)]+)\)", metadata.get_payload())
    assert f"{repository}/blob/v{__version__}/docs/INSTALL.md#what-is-supported" in links
    assert f"{repository}/raw/v{__version__}/docs/demo.svg" in links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    labels = dict(url.split(", ") for url in metadata.get_all("Project-URL"))
    assert labels == {
        "Repository": repository,
        "Documentation": f"{repository}/blob/v{__version__}/README.md",
        "Changelog": f"{repository}/blob/v{__version__}/CHANGELOG.md",
    }


def test_a_project_url_that_is_none_is_refused_with_an_example() -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "--name"],
        cwd=ROOT,
        env={**os.environ, "PROJECT_URL": "git@git.example.com:data"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PROJECT_URL is 'git@git.example.com:data': write where the repository is, such as https://" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "kubectl/kubectl.sh",
        "migrations/008_dag_configuration_tables.sql",
        "migrations/008_dag_configuration_tables.down.sql",
        "example_dags/data_collection_equities.py",
        "docs/DAG_CONFIGURATION.md",
    ],
)
def test_the_wheel_has(name: str, content: dict[str, str]) -> None:
    assert f"{PACKAGE}/{name}" in content


def test_every_folder_with_python_files_or_documents_is_a_listed_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    folders = {Path(name).parent for name in source_files() if name.endswith((".py", ".md"))}
    packages = {".".join(folder.parts) for folder in folders}
    assert set(setup["options"]["packages"].split()) == packages


def imported_when_run(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, but for those that only the type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
        else:
            yield from imported_when_run(node)


def distributions_of_modules() -> dict[str, str]:
    """The distribution that has a module, of all that are installed."""
    return {
        str(file).removesuffix(".py").removesuffix("/__init__").replace("/", "."): canonicalize_name(distribution.name)
        for distribution in distributions()
        for file in distribution.files or ()
        if file.suffix == ".py"
    }


def test_what_the_wheel_imports_it_declares(content: dict[str, str]) -> None:
    metadata = Parser().parsestr(content[f"{PACKAGE}-{__version__}.dist-info/METADATA"])
    declared = {canonicalize_name(Requirement(text).name) for text in metadata.get_all("Requires-Dist", [])}
    # Airflow's two parts: it pins them itself.
    declared |= {"apache-airflow-core", "apache-airflow-task-sdk"}
    imported = {
        (name, module)
        for name, text in content.items()
        if name.endswith(".py")
        for module in imported_when_run(ast.parse(text))
        if module.partition(".")[0] not in {PACKAGE, *sys.stdlib_module_names}
    }
    distribution = distributions_of_modules()
    assert imported
    assert sorted((name, module) for name, module in imported if distribution[module] not in declared) == []


def test_the_source_distribution_makes_the_same_wheel_and_has_no_test(content: dict[str, str], tmp_path: Path) -> None:
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=_OWN)
    built = subprocess.run([UV, "build", "--out-dir", tmp_path, source], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    # A folder that setuptools takes for a package that was forgotten, say.
    assert "SetuptoolsDeprecationWarning" not in built.stderr
    assert "Package would be ignored" not in built.stderr
    [made] = tmp_path.glob("*.whl")
    assert wheel_content(made) == content
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as distribution:
        names = {name.partition("/")[2] for name in distribution.getnames()}
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "README.md", "pyproject.toml", "setup.cfg"} <= names
    assert [name for name in names if name.startswith("tests")] == []


def test_the_wheel_says_what_it_is(wheel: Path, content: dict[str, str]) -> None:
    folder = f"{PACKAGE}-{__version__}.dist-info"
    metadata = Parser().parsestr(content[f"{folder}/METADATA"])
    assert wheel.name == f"{PACKAGE}-{__version__}-py3-none-any.whl"
    assert (metadata["Name"], metadata["Version"], metadata["License-Expression"]) == (
        "airflow-provider-dagconfig",
        __version__,
        "Apache-2.0",
    )
    assert metadata.get_payload() == (ROOT / "README.md").read_text()
    assert content[f"{folder}/licenses/LICENSE"] == (ROOT / "LICENSE").read_text()
    entry_points = configparser.ConfigParser()
    entry_points.read_string(content[f"{folder}/entry_points.txt"])
    assert dict(entry_points["apache_airflow_provider"]) == {"provider_info": f"{PACKAGE}:get_provider_info"}


def test_the_documents_that_the_readme_names_are_in_the_wheel(content: dict[str, str]) -> None:
    # An index shows the README beside none of the repository's files, so its text, not only its links, says where they are.
    named = set(re.findall(r"`(docs/\w+\.md)`", (ROOT / "README.md").read_text()))
    assert {f"{PACKAGE}/{name}" for name in named} == {
        name for name in content if name.startswith(f"{PACKAGE}/docs/") and name.endswith(".md")
    }


def test_the_provider_info_is_valid_in_airflows_schema() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    # Both know keys that the other one lacks; what neither has is a mistyped key.
    of_yaml = json.loads(files("airflow").joinpath("provider.yaml.schema.json").read_text())
    info = get_provider_info()
    assert [error.message for error in Draft7Validator(schema).iter_errors(info)] == []
    assert set(info) - set(schema["properties"]) - set(of_yaml["properties"]) == set()


def test_the_provider_info_names_modules_and_classes_that_exist() -> None:
    from importlib import import_module

    info = get_provider_info()
    for kind in ("hooks", "operators"):
        for entry in info[kind]:
            for name in entry["python-modules"]:
                import_module(name)
    for name in info["cli"]:
        module, _, function = name.rpartition(".")
        assert callable(getattr(import_module(module), function))
    assert info["versions"][0] == __version__


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with nothing but the wheel and what it needs, in the versions of uv.lock."""
    folder = tmp_path_factory.mktemp("installed")
    export = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--output-file"]
    run(UV, *export, folder / "constraints.txt", folder=ROOT)
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", folder=folder)
    programs = folder / "venv" / "bin"
    run(
        *(UV, "pip", "install", "--quiet", "--python", programs / "python"),
        *("--constraint", folder / "constraints.txt", wheel),
        folder=folder,
    )
    return programs


def test_installed_alone_airflow_knows_it_and_it_migrates(installed: Path, database: Database, tmp_path: Path) -> None:
    environment = {"AIRFLOW_CONN_POSTGRES_DEFAULT": database.url, **COMPILED}
    # One process for all but the last: each takes seconds to load Airflow.
    with empty_airflow_shell(tmp_path, environment, installed / "python") as shell:

        def airflow(*arguments: str) -> str:
            code, printed = shell.run(*arguments)
            assert code == 0, printed
            return printed

        providers = json.loads(airflow("providers", "list", "--output", "json"))
        assert {"airflow-provider-dagconfig": __version__}.items() <= {p["package_name"]: p["version"] for p in providers}.items()
        assert "migrate" in airflow("dagconfig", "--help")
        applied = [f"applied   {migration.file}" for migration in available()]
        assert airflow("dagconfig", "migrate").splitlines()[:-1] == applied
        assert "us_markets" in airflow("dagconfig", "list")
    program = (installed / "airflow", "config", "get-value", "dagconfig", "schema")
    assert run(*program, folder=tmp_path, AIRFLOW_HOME=str(tmp_path), **COMPILED).strip() == "financial_screener"


def test_installed_alone_it_is_imported_from_there(installed: Path, tmp_path: Path) -> None:
    modules = [
        "hooks.dag_config",
        "operators.kubectl_run",
        "task_groups.exchange_group",
        "example_dags.historical_load_equities",
    ]
    program = f"""
import importlib, sys
from airflow_provider_dagconfig.kubectl.client import SCRIPT
assert SCRIPT.is_file()
for name in {modules!r}:
    print(importlib.import_module("{PACKAGE}." + name).__file__)
"""
    printed = run(installed / "python", "-I", "-c", program, folder=tmp_path, AIRFLOW_HOME=str(tmp_path))
    paths = [Path(line) for line in printed.splitlines() if line.startswith("/")]
    assert len(paths) == len(modules)
    assert [path for path in paths if installed.parent not in path.parents] == []
