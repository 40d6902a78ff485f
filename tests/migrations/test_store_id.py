"""The store's id: made once, read by whoever runs tasks, changed by the owner only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from airflow.providers.common.compat.sdk import conf
from plugins.postgres import Database, Server, new_database

from airflow_provider_dagconfig import settings
from airflow_provider_dagconfig.exceptions import DagConfigNotMigratedError
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.models import Installation, InstallationError
from airflow_provider_dagconfig.settings import configured_installation
from airflow_provider_dagconfig.store.migrate import migrate

S = "financial_screener"
TABLE = f"{S}.dagconfig_installation"


@pytest.fixture(params=[15, 16, 18], ids="PostgreSQL {}".format)
def database(request: pytest.FixtureRequest, postgres_of: Callable[[int], Server]) -> object:
    with new_database(postgres_of(request.param)) as database:
        yield database


def id_of(database: Database) -> str:
    [(installation_id,)] = database.execute(f"SELECT installation_id FROM {TABLE}")
    return str(installation_id)


def test_up_down_and_up_again_creates_another_id(database: Database) -> None:
    migrate(database.url)
    first = id_of(database)
    assert re.fullmatch("[a-z0-9]{10}", first)
    migrate(database.url, to=8)
    assert database.execute(f"SELECT to_regclass('{TABLE}')") == [(None,)]
    migrate(database.url)
    assert id_of(database) != first


def test_it_is_one_row_whose_id_the_owner_can_change(migrated_database: Database) -> None:
    before = id_of(migrated_database)
    created_at = migrated_database.execute(f"SELECT created_at FROM {TABLE}")
    with pytest.raises(psycopg.errors.UniqueViolation):
        migrated_database.execute(f"INSERT INTO {TABLE} DEFAULT VALUES")
    migrated_database.execute(f"UPDATE {TABLE} SET installation_id = DEFAULT")
    assert id_of(migrated_database) != before
    assert migrated_database.execute(f"SELECT created_at FROM {TABLE}") == created_at


@pytest.mark.parametrize("bad", ["", "-a", "a-", "A", "a_b", "a.b", "a\nb", "a\n", "é", "a" * 41])
def test_an_id_that_is_no_label_is_refused(migrated_database: Database, bad: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        migrated_database.execute(f"UPDATE {TABLE} SET installation_id = %s", [bad])


@pytest.mark.parametrize("bad", ["infinity", "-infinity", "200000-01-01", "0044-03-15 BC"])
def test_a_moment_that_cannot_be_read_is_refused(migrated_database: Database, bad: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        migrated_database.execute(f"UPDATE {TABLE} SET created_at = %s", [bad])


@pytest.mark.parametrize("role", ["dagconfig_reader", "dagconfig_editor"])
def test_the_roles_read_it_and_cannot_change_it(migrated_database: Database, role: str) -> None:
    with migrated_database.role(role) as user:
        hook = DagConfigHook.from_url(migrated_database.url_of(user))
        assert hook.get_installation().installation_id == id_of(migrated_database)
        assert hook.get_task_config("calculate_indicators", "all", None)[2] == hook.get_installation()
        for statement in (
            *(f"UPDATE {TABLE} SET installation_id = DEFAULT", f"UPDATE {TABLE} SET created_at = now()"),
            *(f"INSERT INTO {TABLE} DEFAULT VALUES", f"DELETE FROM {TABLE}", f"TRUNCATE {TABLE}"),
        ):
            with psycopg.connect(migrated_database.url_of(user)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


@pytest.mark.parametrize("public", [False, True], ids=["one role", "PUBLIC"])
def test_default_privileges_let_nobody_write_it(database: Database, public: bool) -> None:
    migrate(database.url, to=8)
    with database.role(f"USAGE ON SCHEMA {S}") as user:
        database.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {S} GRANT ALL ON TABLES TO {'PUBLIC' if public else user}")
        migrate(database.url)
        read = f"SELECT installation_id FROM {TABLE}"
        with psycopg.connect(database.url_of(user), autocommit=True) as connection:
            if not public:
                assert connection.execute(read.encode()).fetchall() == [(id_of(database),)]
            for statement in (
                *(f"UPDATE {TABLE} SET installation_id = DEFAULT", f"DELETE FROM {TABLE}", f"TRUNCATE {TABLE}"),
                *([read] if public else []),
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())


def test_a_role_with_its_own_grant_to_read_the_rows_keeps_running_tasks(database: Database) -> None:
    migrate(database.url, to=8)
    tables = f"{S}.dag_configuration, {S}.exchange_groups, {S}.dag_configuration_audit"
    with database.role(f"USAGE ON SCHEMA {S}", f"SELECT ON {tables}", f"EXECUTE ON ALL FUNCTIONS IN SCHEMA {S}") as user:
        migrate(database.url)
        hook = DagConfigHook.from_url(database.url_of(user))
        assert hook.get_task_config("calculate_indicators", "all", None)[2].installation_id == id_of(database)


def test_a_role_that_is_made_later_reads_it_once_it_is_granted_its_rights(postgres_of: Callable[[int], Server]) -> None:
    with new_database(postgres_of(16)) as database:
        migrate(database.url)
        database.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {S} FROM dagconfig_reader")
        database.execute(f"SELECT {S}.grant_roles()")
        with database.role("dagconfig_reader") as user:
            assert DagConfigHook.from_url(database.url_of(user)).get_installation().installation_id == id_of(database)


def test_a_store_without_it_is_told_with_the_command_that_makes_it(database: Database) -> None:
    migrate(database.url, to=8)
    hook = DagConfigHook.from_url(database.url)
    for read in (hook.get_installation, lambda: hook.get_task_config("calculate_indicators", "all", None)):
        with pytest.raises(DagConfigNotMigratedError, match="airflow dagconfig migrate"):
            read()


def test_a_row_that_was_deleted_is_told_with_the_statement_that_makes_it(migrated_database: Database) -> None:
    migrated_database.execute(f"DELETE FROM {TABLE}")
    hook = DagConfigHook.from_url(migrated_database.url)
    lost = hook.get_task_config("calculate_indicators", "all", None)[2]
    assert lost == hook.get_installation() == Installation(None, None, TABLE)
    with pytest.raises(ValueError, match="has no row") as error:
        lost.in_force(configured_installation())
    migrated_database.execute(str(error.value).rpartition(": ")[2])
    assert hook.get_installation().in_force(configured_installation()) == id_of(migrated_database)


def test_the_option_stands_above_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Installation("k3x9p2m7qa", None, TABLE)
    assert store.in_force(configured_installation()) == "k3x9p2m7qa"
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__INSTALLATION", " staging ")
    assert (
        store.in_force(configured_installation())
        == replace(store, installation_id=None).in_force(configured_installation())
        == "staging"
    )
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__INSTALLATION", "a" * 40)
    assert store.in_force(configured_installation()) == "a" * 40


BAD_OPTIONS = ["Staging", "-a", "a-", "a_b", "a.b", "a b", "é", "a" * 41, "", " ", "50%", "%", "%(a)s", "%%", "a%%b", "$NO_SUCH_"]


@pytest.mark.parametrize("bad", BAD_OPTIONS)
@pytest.mark.parametrize("place", ["environment", "airflow.cfg"])
def test_an_option_that_is_no_label_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, bad: str) -> None:
    monkeypatch.delenv("AIRFLOW__DAGCONFIG__INSTALLATION", raising=False)
    if place == "environment":
        monkeypatch.setenv("AIRFLOW__DAGCONFIG__INSTALLATION", bad)
    else:
        written = tmp_path / "airflow.cfg"
        written.write_text(f"[dagconfig]\ninstallation = {bad}\n")
        parser = type(conf)()
        parser.read(written)
        monkeypatch.setattr(settings, "conf", parser)
    with pytest.raises(InstallationError) as error:
        Installation("k3x9p2m7qa", None, TABLE).in_force(configured_installation())
    told = str(error.value)
    shown = repr(bad if place == "environment" else bad.strip())
    assert told.startswith(
        f"The option installation of [dagconfig] (AIRFLOW__DAGCONFIG__INSTALLATION) is {shown}: write at most 40"
    )
    assert told.endswith("or remove it, and the store's own id counts")
