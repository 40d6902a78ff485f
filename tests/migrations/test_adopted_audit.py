"""A live installation that was adopted: its groups can be changed, lost rights are named, and the way back restores them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from plugins.postgres import Database, Server, make_live, new_database

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.store.migrate import migrate

HERE = Path(__file__).parent
S = "financial_screener"
TABLES = ("dag_configuration", "exchange_groups", "dag_configuration_audit")


@pytest.fixture(params=[15, 16, 18], ids="PostgreSQL {}".format)
def server(request: pytest.FixtureRequest, postgres_of: object) -> Server:
    return postgres_of(request.param)  # type: ignore[operator, no-any-return]


@pytest.fixture(params=["plain", "edits"])
def live(request: pytest.FixtureRequest, server: Server) -> Iterator[Database]:
    """A live installation, unchanged, and one that its operators have edited."""
    with new_database(server) as database:
        yield make_live(database, *(["edits"] if request.param == "edits" else []))


def comments(database: Database) -> set[tuple[str, str]]:
    return set(
        database.execute(f"""
            SELECT c.relname || coalesce('.' || a.attname, ''), d.description
            FROM pg_description AS d
            JOIN pg_class AS c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
            LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
            WHERE c.relnamespace = '{S}'::regnamespace
        """)
    )


def required(database: Database) -> set[str]:
    """The columns of the audit that may not be NULL."""
    rows = database.execute(f"""
        SELECT column_name FROM information_schema.columns
        WHERE table_schema = '{S}' AND table_name = 'dag_configuration_audit' AND is_nullable = 'NO'
    """)
    return {name for (name,) in rows}


def test_a_group_can_be_added_changed_switched_off_and_deleted(live: Database) -> None:
    migrate(live.url)
    hook = DagConfigHook.from_url(live.url)
    hook.update_exchange_group("moon_markets", display_name="The moon", exchanges=["LUNA"])
    hook.update_exchange_group("moon_markets", enabled=False)
    hook.delete_exchange_group("moon_markets")
    live.execute(f"UPDATE {S}.exchange_groups SET priority = 3 WHERE group_name = 'german_markets'")
    entries = live.execute(
        f"SELECT group_name FROM {S}.dag_configuration_audit WHERE table_name = 'exchange_groups' ORDER BY audit_id"
    )
    assert entries[-4:] == [("moon_markets",), ("moon_markets",), ("moon_markets",), ("german_markets",)]


def test_an_entry_of_a_job_still_needs_its_name(live: Database) -> None:
    migrate(live.url)
    with pytest.raises(psycopg.errors.CheckViolation):
        live.execute(f"INSERT INTO {S}.dag_configuration_audit (operation, table_name) VALUES ('UPDATE', 'dag_configuration')")


def test_every_statement_of_the_quick_reference_works_on_an_adopted_database(server: Server) -> None:
    with new_database(server) as database:
        migrate(make_live(database).url)
        done = database.psql("-q", "-f", str(HERE / "quick_reference.sql"))
        assert (done.returncode, done.stderr) == (0, "")


def test_the_way_back_requires_the_names_again_and_says_what_it_deletes(live: Database) -> None:
    before = required(live)
    migrate(live.url)
    live.execute(f"UPDATE {S}.exchange_groups SET priority = 3")
    said: list[str] = []
    migrate(live.url, to=8, notice=said.append)
    assert required(live) == before >= {"dag_name", "job_name"}
    [lost] = [text for text in said if "entries of exchange groups" in text]
    assert re.search(r"\b[1-9][0-9]* entries of exchange groups, which have none, are deleted", lost)


def test_comments_of_the_installation_survive_both_ways(live: Database) -> None:
    live.execute(
        f"COMMENT ON COLUMN {S}.dag_configuration.batch_size IS 'ours'; COMMENT ON TABLE {S}.exchange_groups IS 'ours, too'"
    )
    before = comments(live)
    migrate(live.url)
    assert before <= comments(live)
    migrate(live.url, to=8)
    assert before <= comments(live)


def test_a_role_that_read_by_publics_grants_is_named_with_a_grant_that_works_and_gets_them_back(live: Database) -> None:
    live.execute(f"GRANT USAGE ON SCHEMA {S} TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA {S} TO PUBLIC")
    with live.role() as reader:

        def reads() -> list[str]:
            readable = []
            for table in TABLES:
                with psycopg.connect(live.url_of(reader)) as connection:
                    try:
                        connection.execute(f"SELECT FROM {S}.{table}")  # type: ignore[arg-type]
                    except psycopg.errors.InsufficientPrivilege:
                        continue
                readable.append(table)
            return readable

        said: list[str] = []
        assert reads() == list(TABLES)
        migrate(live.url, notice=said.append)
        assert reads() == []
        [named] = [text for text in said if text.startswith(f"{reader} could read ")]
        live.execute(named.partition("no longer can. ")[2])
        assert reads() == list(TABLES)
        live.execute(f"REVOKE dagconfig_reader FROM {reader}")
        assert reads() == []
        migrate(live.url, to=8)
        assert reads() == list(TABLES)
