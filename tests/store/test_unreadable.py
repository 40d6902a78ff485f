"""Values of PostgreSQL that Python does not have: they affect only their job or group, are named, and can be repaired."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from plugins.command_line import Answer, dagconfig
from plugins.postgres import Database, Server

from airflow_provider_dagconfig.exceptions import DagConfigInvalidError
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

__all__ = ["dagconfig"]

S = "financial_screener"
DAG = "data_collection_equities"
MOMENTS = (
    "infinity",
    "-infinity",
    "0044-03-15 12:00:00+00 BC",
    "10000-01-01",
    "200000-01-01",
    "294276-12-31",
    "9999-12-31 23:59:59-12",
)


def bypassing(database: Database, table: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement that no rule, trigger or constraint of the table sees."""
    return database.execute(f"""
        DO $$
        DECLARE c record;
        BEGIN
            FOR c IN
                SELECT conname FROM pg_constraint WHERE conrelid = '{S}.{table}'::regclass AND contype = 'c'
            LOOP EXECUTE format('ALTER TABLE {S}.{table} DROP CONSTRAINT %I', c.conname); END LOOP;
        END $$;
        ALTER TABLE {S}.{table} DISABLE TRIGGER USER;
        {statement};
        ALTER TABLE {S}.{table} ENABLE TRIGGER USER
    """)


def override_until(database: Database, moment: str, column: str = "ends_at") -> int:
    """An override of the job lse that is in force, with this in one of its columns."""
    made: int
    [(made,)] = database.execute(f"SELECT {S}.override_dag_config(%s, 'lse', '2100-01-01', 'for ever', p_batch_size => 7)", [DAG])
    bypassing(
        database,
        "dag_configuration_overrides",
        f"UPDATE {S}.dag_configuration_overrides SET {column} = '{moment}' WHERE override_id = {made}",
    )
    return made


@pytest.fixture
def run(migrated_database: Database, dagconfig: Callable[..., Answer]) -> Callable[..., Answer]:
    def run(*arguments: str) -> Answer:
        return dagconfig(*arguments, "--url", migrated_database.url)

    return run


@pytest.fixture
def hook(migrated_database: Database) -> DagConfigHook:
    return DagConfigHook.from_url(migrated_database.url)


@pytest.mark.parametrize(
    ("column", "moment"),
    [("ends_at", moment) for moment in MOMENTS if not moment.startswith("-inf") and not moment.endswith("BC")]
    + [("starts_at", moment) for moment in ("-infinity", "0044-03-15 12:00:00+00 BC")],
)
def test_an_override_with_an_unreadable_moment_harms_its_own_job_until_it_is_ended(
    migrated_database: Database, hook: DagConfigHook, run: Callable[..., Answer], column: str, moment: str
) -> None:
    made = override_until(migrated_database, moment, column)
    with pytest.raises(DagConfigInvalidError, match=rf"{column} '.*' of override {made} of {DAG}/lse .*end_override\({made}\)"):
        hook.get_dag_config(DAG, "lse")
    hook.get_dag_config(DAG, "us_markets")
    listed = {row["job_name"]: row["problem"] for row in json.loads(run("list", DAG, "-o", "json").out)}
    assert [job for job, problem in listed.items() if problem] == ["lse"]
    for command in (
        ["list"], ["get", DAG, "lse"], ["history"], ["override", "--list", "--all"], ["override", "--list", "-o", "json"],
        ["export", "-"],         ["get", DAG, "lse", "-o", "yaml"], ["diff", "--from", "1h"], ["at", "now", DAG, "lse"],
    ):  # fmt: skip
        assert run(*command).code == 0, command
    assert f"override {made}" in run("doctor", "--no-cluster").out
    assert run("set", DAG, "us_markets", "batch_size=9").code == 0
    assert run("disable", DAG, "lse").code == 0
    assert not hook.get_dag_config(DAG, "lse").enabled
    assert run("override", "--end", str(made)).code == 0
    assert run("enable", DAG, "lse").code == 0
    assert hook.get_dag_config(DAG, "lse").enabled


@pytest.mark.parametrize("column", ["market_open_utc", "market_close_utc"])
@pytest.mark.parametrize("repair", ["set", "disable"])
def test_a_group_with_an_unreadable_time_harms_its_own_tasks_only(
    migrated_database: Database, hook: DagConfigHook, run: Callable[..., Answer], column: str, repair: str
) -> None:
    bypassing(migrated_database, "exchange_groups", f"UPDATE {S}.exchange_groups SET {column} = '24:00' WHERE group_name = 'lse'")
    assert "lse" in hook.get_exchange_group_names()
    assert hook.get_task_config(DAG, "us_markets", "us_markets")[1] is not None
    with pytest.raises(DagConfigInvalidError, match=f"{column} '24:00:00' of exchange group lse .*groups set lse {column}="):
        hook.get_task_config(DAG, "lse", "lse")
    for command in (["groups", "list"], ["groups", "list", "-o", "yaml"], ["export", "-"], ["history"]):
        assert run(*command).code == 0, command
    assert column in run("doctor", "--no-cluster").out
    if repair == "set":
        assert run("groups", "set", "lse", f"{column}=14:30").code == 0
        assert "lse" in [group.group_name for group in hook.get_exchange_groups()]
    else:
        assert run("groups", "disable", "lse").code == 0
        assert "lse" not in [group.group_name for group in hook.get_exchange_groups()]


@pytest.mark.parametrize("style", ["SQL, DMY", "German", "Postgres, MDY", "ISO, YMD"])
def test_the_date_style_of_a_database_makes_no_difference(
    migrated_database: Database, hook: DagConfigHook, run: Callable[..., Answer], style: str
) -> None:
    migrated_database.execute(f"ALTER DATABASE {migrated_database.name} SET datestyle TO {style}")
    made = override_until(migrated_database, "200000-01-01")

    assert isinstance(hook.get_dag_config(DAG, "us_markets").updated_at, datetime)
    assert [str(override.ends_at) for override in hook.get_overrides()] == ["200000-01-01 00:00:00+00"]
    with pytest.raises(DagConfigInvalidError, match=rf"ends_at '200000-01-01.*' .*end_override\({made}\)"):
        hook.get_dag_config(DAG, "lse")
    for command in (["list"], ["history"], ["override", "--list"], ["at", "now", DAG, "lse"], ["migrate"], ["migrate", "--status"]):
        assert run(*command).code == 0, command
    assert run("override", "--end", str(made)).code == 0
    assert hook.get_dag_config(DAG, "lse").enabled


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_the_encoding_of_a_database_makes_no_difference(postgres: Server, dagconfig: Callable[..., Answer], encoding: str) -> None:
    text = {"LATIN1": "Zürich", "SQL_ASCII": "Zürich →", "EUC_JP": "日本"}[encoding]
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        url = postgres.url(name)
        assert dagconfig("migrate", "--url", url).code == 0
        assert dagconfig("set", DAG, "all", "--create", f"description={text}", "--url", url).code == 0
        assert dagconfig("groups", "add", text, "exchanges=LSE", "--url", url).code == 0
        hook = DagConfigHook.from_url(url)
        assert hook.get_dag_config(DAG, "all").description == text
        assert text in hook.get_exchange_group_names()
        assert text in dagconfig("get", DAG, "all", "--url", url).out
        assert text in dagconfig("groups", "list", "-o", "plain", "--url", url).out
        if encoding != "SQL_ASCII":
            refused = dagconfig("set", DAG, "all", "description=\N{PILE OF POO}", "--url", url)
            assert (refused.code, "Nothing was changed" in refused.err) == (1, True)
    finally:
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("moment", MOMENTS)
def test_when_a_migration_was_applied_is_told_as_it_is(
    migrated_database: Database, run: Callable[..., Answer], moment: str
) -> None:
    migrated_database.execute(f"UPDATE {S}.dagconfig_migrations SET applied_at = '{moment}' WHERE version = 12")

    assert run("migrate").code == 0
    assert re.search(r"012_\S+ *\| applied *\| \S", run("migrate", "--status").out)
    assert run("migrate", "--to", "13", "--yes").code == 0
    migrated_database.execute(f"UPDATE {S}.dagconfig_migrations SET checksum = 'other' WHERE version = 12")
    assert re.search(r"012_\S+ has been edited since postgres applied it on \S", run("migrate").err)


def test_a_record_that_is_no_list_of_grants_is_named_with_the_way_round_it(
    migrated_database: Database, run: Callable[..., Answer]
) -> None:
    migrated_database.execute(f"""UPDATE {S}.dagconfig_migrations SET revoked = '{{"a": 1}}' WHERE version = 15""")

    refused = run("migrate", "--to", "14", "--yes")

    assert refused.code == 1
    remedy = refused.err.partition("To go back without them: ")[2]
    migrated_database.execute(remedy)
    assert run("migrate", "--to", "14", "--yes").code == 0
