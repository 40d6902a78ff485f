"""Where the documents are tried: local pods, an Airflow, and databases as those that they are about, in use for a while."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from plugins.airflow_shell import AirflowShell, airflow_shell
from plugins.documents import NAMESPACE, ROOT, Workplace
from plugins.earlier_builds import build, use
from plugins.postgres import PASSWORD, Database, Server, make_live, new_database

import airflow_provider_dagconfig.example_dags
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.store.migrate import migrate
from demo import local_pods

ROLES = ("airflow", "operators")
OWN_ROLES = ("staging_reader", "staging_editor")
"""The documents' names of the roles of a store that shares them with no other store."""
"""The database users that the documents' GRANTs are for."""
KINDS: dict[str, tuple[tuple[str, ...] | None, bool]] = {
    "empty": (None, False),
    "migrated": (None, True),
    "live": (("in_use",), False),
    "live, as it was": ((), False),
    "live, edited": (("edits",), False),
    "adopted, as it was": ((), True),
    "adopted, edited": (("edits",), True),
}
"""
Kinds of databases: what operators did to a live installation since 008 (None: there was none), and whether it is migrated. One more
is "earlier build".
"""


@pytest.fixture(scope="session")
def aged() -> Callable[[Database], Database]:
    """A function that lets all that is in a database have happened a month ago."""

    def age(database: Database) -> Database:
        database.execute("""
            SET session_replication_role = replica;
            UPDATE financial_screener.dag_configuration
            SET created_at = created_at - interval '30 days', updated_at = updated_at - interval '30 days';
            UPDATE financial_screener.exchange_groups
            SET created_at = created_at - interval '30 days', updated_at = updated_at - interval '30 days';
            UPDATE financial_screener.dag_configuration_audit SET changed_at = changed_at - interval '30 days'
        """)
        return database

    return age


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[str]:
    """Local pods, in which a job of a run is at work."""
    with local_pods.running() as pods:
        path = str(pods.kubeconfig)
        for command in (
            ["create", "namespace", NAMESPACE],
            ["create", "-n", NAMESPACE, "secret", "generic", "postgres-secret", "--from-literal=DATABASE_URL=none"],
        ):
            subprocess.run(["kubectl", "--kubeconfig", path, *command], check=True, capture_output=True)
        yield path


@pytest.fixture
def pod(kubeconfig: str, tmp_path: Path) -> None:
    """A pod as the operator makes it, of data_collection_equities/us_markets."""
    request = PodRequest(
        dag_id="data_collection_equities",
        run_id="manual",
        task_id="collect.run",
        map_index=0,
        dag_config=DagConfig.defaults("data_collection_equities", "us_markets"),
        image="busybox:latest",
        image_pull_policy="Never",
        cmds=["sleep", "600"],
        namespace=NAMESPACE,
    )
    manifest = tmp_path / "pod.json"
    manifest.write_text(json.dumps(build_pod(request)))
    subprocess.run(["kubectl", "--kubeconfig", kubeconfig, "apply", "-f", str(manifest)], check=True, capture_output=True)
    wait = ["wait", "-n", NAMESPACE, "pods", "--all", "--for=condition=Ready", "--timeout=30s"]
    subprocess.run(["kubectl", "--kubeconfig", kubeconfig, *wait], check=True, capture_output=True)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowShell]:
    """``airflow`` with the example DAGs, and months that are loaded."""
    folder = Path(airflow_provider_dagconfig.example_dags.__file__).parent
    with airflow_shell(tmp_path_factory.mktemp("airflow"), folder, {}) as shell:
        assert shell.run("variables", "set", "historical_load_equities_months", '["2026-10"]')[0] == 0
        yield shell


@pytest.fixture
def roles(postgres: Server) -> Iterator[None]:
    for role in ROLES:
        postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    yield
    for role in (*ROLES, *OWN_ROLES):
        postgres.execute(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture(scope="module")
def template(postgres: Server, aged: Callable[[Database], Database]) -> Iterator[Callable[[str], Database]]:
    """A function that returns a database of a kind, to copy: see KINDS."""
    with ExitStack() as stack:

        @cache
        def make(kind: str) -> Database:
            database = stack.enter_context(new_database(postgres))
            if kind == "earlier build":
                return use(build(database))
            since, is_migrated = KINDS[kind]
            if since is not None:
                make_live(database, *since)
            if is_migrated:
                migrate(database.url)
                aged(database)
            return database

        yield make


@pytest.fixture
def databases(postgres: Server, roles: None, template: Callable[[str], Database]) -> Iterator[Callable[[str], Database]]:
    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(new_database(postgres, template(kind).name))


@pytest.fixture
def folder(shell: AirflowShell, tmp_path: Path) -> Iterator[Path]:
    """The folder that commands run in: a clone of the repository, as far as they need one."""
    (tmp_path / "migrations").symlink_to(ROOT / "migrations")
    yield tmp_path
    # The next document does not see what this one adds to Airflow.
    shell.run("connections", "delete", "kubernetes_default")
    shell.run("connections", "delete", "postgres_default")


@pytest.fixture
def workplace(databases: Callable[[str], Database], kubeconfig: str, pod: None, shell: AirflowShell, folder: Path) -> Workplace:
    return Workplace(databases, kubeconfig, shell, folder)
