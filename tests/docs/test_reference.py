"""The columns, parameters, fields and links in the documents are those that exist."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
from airflow.cli.cli_config import GroupCommand
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from packaging.version import Version
from plugins.documents import DOCUMENTS
from plugins.postgres import PASSWORD, Database
from plugins.reference import INSTALL, MIGRATION, code, listed_parameters, section, table
from plugins.released import WHEEL

import airflow_provider_dagconfig
from airflow_provider_dagconfig.cli import definition
from airflow_provider_dagconfig.cli.definition import COMMANDS
from airflow_provider_dagconfig.exceptions import DagConfigNotAllowedError
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.kubectl.access import resolve_access
from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.operators.ported_parameters import INSTEAD, WITHOUT_EFFECT
from airflow_provider_dagconfig.operators.sweep import SweepPodsOperator
from airflow_provider_dagconfig.store.migrate import available
from airflow_provider_dagconfig.task_groups.exchange_group import ExchangeGroupTaskGroup

ROOT = Path(__file__).parents[2]
CHANGELOG = ROOT / "CHANGELOG.md"
CONFIGURATION, GROUPS = ROOT / "docs" / "DAG_CONFIGURATION.md", ROOT / "docs" / "EXCHANGE_GROUPS.md"
OPERATIONS, ARCHITECTURE = ROOT / "docs" / "DAG_OPERATIONS.md", ROOT / "docs" / "ARCHITECTURE.md"
DEVELOPERS = [ROOT / "CONTRIBUTING.md", ARCHITECTURE]


def without_blocks(text: str) -> str:
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)


# --- the database ---

_TYPES = {
    "character varying": "varchar",
    "timestamp without time zone": "timestamp",
    "time without time zone": "time",
    "timestamp with time zone": "timestamptz",
}


def columns(database: Database, name: str) -> dict[str, tuple[str, str]]:
    """Type and default of each column, as the documents write them."""
    rows = database.execute(
        """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), coalesce(pg_get_expr(d.adbin, d.adrelid), '')
        FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
        """,
        [f"financial_screener.{name}"],
    )
    found = {}
    for column, kind, default in rows:
        for long, short in _TYPES.items():
            kind = kind.replace(long, short)
        default = re.sub(r"^'(.*)'::.*", r"`\1`", default)
        default = "" if default.startswith("nextval") else default.replace("now()", "now")
        found[column] = (kind, default)
    return found


@pytest.mark.parametrize(
    ("document", "heading", "name", "has_defaults"),
    [
        pytest.param(CONFIGURATION, "## The columns", "dag_configuration", True, id="dag_configuration"),
        pytest.param(CONFIGURATION, "## The audit", "dag_configuration_audit", False, id="dag_configuration_audit"),
        pytest.param(GROUPS, "## The columns", "exchange_groups", True, id="exchange_groups"),
    ],
)
def test_each_column_is_described_with_its_type_and_default(
    document: Path, heading: str, name: str, has_defaults: bool, migrated_database: Database
) -> None:
    documented = {
        column: (kind, rest[0] if has_defaults else "")
        for names, kind, *rest in table(section(document, heading))
        for column in code(names)
    }
    real = columns(migrated_database, name)
    assert documented == {column: (kind, default if has_defaults else "") for column, (kind, default) in real.items()}


def privileges(role: str) -> list[str]:
    """The documented GRANTs to a role."""
    return re.findall(rf"^GRANT ([^;]*?) TO {role};$", section(CONFIGURATION, "### Roles"), re.MULTILINE)


def hook_of(database: Database, role: str, monkeypatch: pytest.MonkeyPatch) -> DagConfigHook:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", database.url_of(role, PASSWORD))
    return DagConfigHook()


def test_airflows_user_can_read_with_the_documented_privileges_and_no_more(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with migrated_database.role(*privileges("airflow")) as role:
        hook = hook_of(migrated_database, role, monkeypatch)
        job, group, *_ = hook.get_task_config("data_collection_equities", "us_markets", "us_markets")
        assert (job.batch_size, group and group.group_name) == (500, "us_markets")
        assert len(hook.get_exchange_groups()) == 4
        with pytest.raises(DagConfigNotAllowedError):
            hook.update_dag_config("data_collection_equities", "us_markets", batch_size=1)


@pytest.mark.parametrize("document", [CONFIGURATION, GROUPS], ids=lambda path: path.name)
def test_operators_can_do_all_that_is_documented_with_the_documented_privileges(
    document: Path, migrated_database: Database, aged: Callable[[Database], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(migrated_database)
    for statement in re.findall(r"<!-- after: (.*?) -->", document.read_text()):
        migrated_database.execute(statement)
    blocks = re.findall(r"```sql\n(.*?)```", document.read_text(), re.DOTALL)
    # Roles are an administrator's, and the owner's.
    statements = [block for block in blocks if "grant" not in block.lower()]
    with migrated_database.role(*privileges("operators")) as role:
        hook_of(migrated_database, role, monkeypatch).update_dag_config("data_collection_equities", "us_markets", batch_size=1)
        migrated_database.execute(f"GRANT {role} TO postgres")
        done = migrated_database.psql("-q", script=f"SET ROLE {role};\n{''.join(statements)}")
        assert done.returncode == 0, done.stderr


# --- the command line ---


def command_options(commands: Iterable[Any], before: str = "") -> dict[str, set[str]]:
    """The long options of each command, without those that all have."""
    found: dict[str, set[str]] = {}
    for command in commands:
        name = f"{before}{command.name}"
        if isinstance(command, GroupCommand):
            found |= command_options(command.subcommands, f"{name} ")
        else:
            found[name] = {argument.flags[-1] for argument in command.args if argument.flags[0].startswith("-")} - IN_ALL
    return found


IN_ALL = {"--conn-id", "--url", "--schema", "--verbose"}


def test_each_command_is_listed_with_its_options() -> None:
    listed = {
        " ".join(itertools.takewhile(lambda word: re.fullmatch("[a-z]+", word), usage.split())): set(code(options))
        for usages, _, options in table(section(CONFIGURATION, "## The command line").partition("| exit code |")[0])
        for usage in code(usages)
    }
    assert listed == command_options(COMMANDS)


def test_the_exit_codes_are_listed() -> None:
    codes = "".join(section(CONFIGURATION, "## The command line").partition("| exit code |")[1:])
    listed = [int(row[0]) for row in table(codes)]
    assert listed == [0, definition.FAILED, definition.USAGE, definition.NOT_FOUND, definition.CONFLICT, definition.DIFFERENT]
    assert definition.PENDING == definition.NOT_FOUND


def test_each_column_with_a_rule_is_listed(migrated_database: Database) -> None:
    rules = migrated_database.execute(
        "SELECT unnest(columns) FROM financial_screener.dagconfig_rules() WHERE table_name = 'dag_configuration'"
    )
    listed = {name for columns, _ in table(section(CONFIGURATION, "### The rules")) for name in code(columns)}
    assert listed == {column for (column,) in rules}


def test_each_migration_is_described() -> None:
    text = section(MIGRATION, "### What the migrations make")
    described = re.findall(r"^\| (\d{3}) \|", text, re.MULTILINE)
    assert [8, *map(int, described)] == [migration.version for migration in available()]


def test_each_function_of_the_migrations_is_named(migrated_database: Database) -> None:
    functions = migrated_database.execute(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'financial_screener'::regnamespace"
    )
    named = set(re.findall(r"\w+", section(MIGRATION, "### What the migrations make")))
    internal = re.compile("dagconfig_.*|audit_dag_configuration")
    assert {name for (name,) in functions if not internal.fullmatch(name)} - named == set()


# --- the operator ---


def parameters(function: Any) -> set[str]:
    return {name for name in inspect.signature(function).parameters if name not in ("self", "kwargs")}


OURS, THEIRS = parameters(ConfiguredKubectlRunOperator.__init__), parameters(KubernetesPodOperator.__init__)


def test_each_parameter_of_kubernetes_pod_operator_is_in_one_list() -> None:
    listed = listed_parameters()
    assert listed["same"] | listed["different"] == OURS & THEIRS
    assert listed["same"] & listed["different"] == set()
    assert listed["refused"] == INSTEAD.keys()
    assert listed["without effect"] == WITHOUT_EFFECT
    assert listed["new"] == OURS - THEIRS


def test_what_is_the_same_has_the_same_default() -> None:
    def defaults(function: Any) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}

    ours, theirs = defaults(ConfiguredKubectlRunOperator.__init__), defaults(KubernetesPodOperator.__init__)
    same = listed_parameters()["same"]
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}


def test_the_values_that_are_accepted_all_the_same_are_listed() -> None:
    rows = table(re.split(r"^\*\*[^*]*\*\*", section(MIGRATION, "### The parameters"), flags=re.MULTILINE)[3])
    listed = {name: tuple(map(ast.literal_eval, code(row[2]))) for row in rows for name in code(row[0])}
    assert listed == {name: accepted for name, (_, accepted) in INSTEAD.items()}


def test_templated_parameters_are_listed() -> None:
    [listed] = re.findall(r"The templated parameters are (.*?)\. Give", CONFIGURATION.read_text(), re.DOTALL)
    assert set(code(listed)) == set(ConfiguredKubectlRunOperator.template_fields) - {"dag_config"}


def test_what_templates_can_use_is_listed() -> None:
    rows = table(section(CONFIGURATION, "## What a DAG can use"))
    listed = {code(name)[0]: set(code(names)) for name, names in rows[:2]}
    assert listed == {
        "dag_config": {field.name for field in fields(DagConfig)},
        "exchange_group": {field.name for field in fields(ExchangeGroup)},
    }


def test_the_sweeps_parameters_are_listed_and_are_those_of_the_jobs_operator() -> None:
    [listed] = re.findall(r"It has the\nparameters (.*?) of\n", OPERATIONS.read_text(), re.DOTALL)
    assert set(code(listed)) == parameters(SweepPodsOperator.__init__)

    def defaults(function: Any) -> dict[str, Any]:
        return {name: inspect.signature(function).parameters[name].default for name in code(listed)}

    assert defaults(SweepPodsOperator.__init__) == defaults(ConfiguredKubectlRunOperator.__init__)


def test_the_task_groups_parameters_are_listed() -> None:
    listed = GROUPS.read_text().partition("The parameters of the task group: ")[2]
    assert set(code(listed)) == parameters(ExchangeGroupTaskGroup.__init__) - {"default_args", "task_group_args"} | {"TaskGroup"}


@pytest.mark.parametrize("name", [code(row[0])[0] for row in table(section(INSTALL, "### Credentials"))])
def test_each_documented_field_of_the_connection_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("{}")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    (tmp_path / "token").write_text("token")
    values = {
        "kube_config_path": str(kubeconfig),
        "kube_config": '{"clusters": [{}]}',
        "in_cluster": True,
        "disable_verify_ssl": True,
    }
    with_it = resolve_access({name: values.get(name, "x")}, connection="it", service_account=tmp_path)
    assert with_it != resolve_access({}, connection="it", service_account=tmp_path)


# --- the documents themselves ---


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterable[Any]:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)]+)\)", without_blocks(document.read_text())):
            if not target.startswith("https://"):
                yield pytest.param(document, target, id=f"{document.name}: {target}")


@pytest.mark.parametrize(("document", "target"), links())
def test_a_link_leads_somewhere(document: Path, target: str) -> None:
    name, _, anchor = target.partition("#")
    linked = document.parent / name if name else document
    assert linked.exists()
    if anchor:
        assert anchor in anchors(linked)


def test_files_that_are_named_exist() -> None:
    named = {
        path for document in DOCUMENTS for path in re.findall(r"(?<![\w/])(?:example_dags|migrations)/[\w.]+", document.read_text())
    }
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DEVELOPERS, ids=lambda path: path.name)
def test_files_that_a_page_for_developers_names_exist(document: Path) -> None:
    named = {
        path
        for path in code(without_blocks(document.read_text()))
        if re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)*(/|\.(py|sql|md|toml|lock))", path)
    }
    assert named
    folders = (ROOT, Path(airflow_provider_dagconfig.__file__).parent)
    assert [path for path in named if not any((folder / path).exists() for folder in folders)] == []


def test_each_layer_of_the_contracts_is_described() -> None:
    [contract] = re.findall(
        r'^name = "Imports go downward".*?^layers = \[(.*?)^\]', (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE
    )
    layers = re.findall(r"airflow_provider_dagconfig\.(\w+)|\"(demo)\"", contract)
    described = {re.sub(r"/|\.py", "", name) for row in table(section(ARCHITECTURE, "## The layers")) for name in code(row[0])}
    assert described == {"".join(layer) for layer in layers}


def test_supported_versions_are_those_of_the_package() -> None:
    supported = dict(table(section(INSTALL, "## What is supported")))
    package = metadata("airflow-provider-dagconfig")
    assert f">={supported['Python'].split()[0]}" in package["Requires-Python"]
    assert f"apache-airflow>={supported['Airflow'].split()[0]}" in package.get_all("Requires-Dist", [])


def test_the_changelog_has_the_packages_version_or_says_that_it_is_unreleased() -> None:
    from airflow_provider_dagconfig import __version__

    newest, *earlier = re.findall(r"^## (.*)$", CHANGELOG.read_text(), re.MULTILINE)
    released = earlier if Version(__version__).is_devrelease else [newest, *earlier]
    assert newest.split()[0] == ("Unreleased" if Version(__version__).is_devrelease else __version__)
    assert [heading for heading in released if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading)] == []
    # The upgrade is tested from the release that users have.
    assert WHEEL.name.split("-")[1] == earlier[0].split()[0]
