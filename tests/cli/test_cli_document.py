"""The YAML file of `export`: whatever a row holds comes back from it, and nothing of it reaches a terminal raw."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from plugins.command_line import Answer
from plugins.postgres import Database, Server, new_database

from airflow_provider_dagconfig.__main__ import main
from airflow_provider_dagconfig.cli.document import Document, read_document, write_document
from airflow_provider_dagconfig.exceptions import DagConfigStaleError
from airflow_provider_dagconfig.models import CONFIG_COLUMNS, GROUP_COLUMNS, is_name
from airflow_provider_dagconfig.store import Store
from airflow_provider_dagconfig.store.migrate import migrate

Run = Callable[..., Answer]
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
odd = st.text(st.sampled_from("\x01\t\n\r\x1b\x7f\x85\xa0\xad\u200b\u202e\u2028\u2029\ufeff\U000e0001 '\":#-{}[]&*!|>%@`\\ü日"))
texts = odd | st.text(characters) | st.sampled_from(["null", "~", "no", "1e3", "14:30", "2026-11-24", "<<", "=", "x" * 1000])
names = texts.filter(bool)


@given(
    dag=names, job=names, group=names, description=texts, exchanges=st.lists(st.from_regex(r"[\w.-]+", fullmatch=True), min_size=1)
)
def test_every_text_comes_back_and_none_is_raw(dag: str, job: str, group: str, description: str, exchanges: list[str]) -> None:
    document = Document(
        jobs={(dag, job): {"description": description, "memory_limit": "4Gi"}},
        groups={group: {"display_name": f"x{description}", "exchanges": exchanges, "description": description}},
    )

    text = write_document(document)

    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    again = read_document(text, "the export")
    assert (again.jobs, again.groups) == (
        # An empty text stands for None, and no other value here can be empty.
        {(dag, job): {"memory_limit": "4Gi", "description": description, "memory_growth": "", "memory_growth_limit": ""}},
        {
            group: {
                "display_name": f"x{description}",
                "exchanges": exchanges,
                "description": description,
                "market_open_utc": "",
                "market_close_utc": "",
            }
        },
    )


def test_a_missing_description_is_missing_again_after_an_export_and_apply(store_cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    for words in (["set", "calculate_indicators"], ["groups", "set", "lse"]):
        store_cli(*words, "description=")
    assert store_cli("export", str(file)).code == 0
    for words in (["set", "calculate_indicators"], ["groups", "set", "lse"]):
        store_cli(*words, "description=made since")

    assert store_cli("apply", str(file), "--yes").code == 0

    assert "made since" not in store_cli("export").out
    assert store_cli("apply", str(file)).out == "Nothing to do: the database is as the file says.\n"


@pytest.fixture(scope="module")
def shared_database(postgres: Server) -> Iterator[Database]:
    """One for all examples."""
    with new_database(postgres) as database:
        migrate(database.url)
        yield database


quantities = {"cpu": st.sampled_from(["1", "500m", "1.5", "1e0"]), "memory": st.sampled_from(["1Gi", "512Mi", "1e9", "1500M"])}
jobs = st.fixed_dictionaries(
    {
        **{f"{name}_{bound}": of for name, of in quantities.items() for bound in ("request", "limit")},
        "batch_size": st.integers(1, 1_000_000),
        "timeout_seconds": st.integers(1, 604_800),
        "max_retries": st.integers(0, 10),
        "retry_delay_minutes": st.integers(0, 1_440),
        "retry_backoff_enabled": st.booleans(),
        "enabled": st.booleans(),
        "priority": st.integers(1, 10),
        "description": st.none() | names | st.just("x" * 4_000),
        "memory_growth": st.none() | st.decimals("1.1", 10, places=2),
        "memory_growth_limit": st.none() | quantities["memory"],
    }
).map(lambda job: {**job, "cpu_request": "100m", "memory_request": "16Mi"})
times = st.none() | st.times().map(lambda at: at.replace(microsecond=0))
short_names = st.text(characters, min_size=1, max_size=50).filter(is_name) | st.sampled_from(
    ["no", "1e3", "14:30", "a\u202eb", "x" * 50]
)
groups = st.fixed_dictionaries(
    {
        "display_name": short_names,
        "exchanges": st.lists(st.sampled_from(["NO", "ON", "1e3", "NULL", "X_1", "A-B"]), min_size=1, unique=True),
        "primary_timezone": st.sampled_from(["UTC", "Asia/Tokyo"]),
        "market_open_utc": times,
        "market_close_utc": times,
        "enabled": st.booleans(),
        "priority": st.integers(1, 10),
        "description": st.none() | names | st.just("x" * 4_000),
    }
)


def all_values(database: Database) -> list[Any]:
    """The columns that people set, of each row, as they are stored."""
    of_jobs, of_groups = ", ".join(CONFIG_COLUMNS), ", ".join(GROUP_COLUMNS)
    return [
        database.execute(f"SELECT dag_name, job_name, {of_jobs} FROM financial_screener.dag_configuration ORDER BY 1, 2"),
        database.execute(f"SELECT group_name, {of_groups} FROM financial_screener.exchange_groups ORDER BY 1"),
    ]


def put(database: Database, table: str, key: str, values: dict[str, Any], name: str) -> None:
    """Write a row past the functions, which take NULL for what stays."""
    given = {**values, key: name, **({"dag_name": "a dag"} if table == "dag_configuration" else {})}
    places = ", ".join(f"%({column})s" for column in given)
    database.execute(f"DELETE FROM financial_screener.{table} WHERE {key} = %s", [name])
    database.execute(f"INSERT INTO financial_screener.{table} ({', '.join(given)}) VALUES ({places})", given)


def run(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(arguments)
    return out.getvalue()


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(name=short_names, job=jobs, other_job=jobs, group=groups, other_group=groups)
def test_an_export_brings_every_value_back_also_where_there_is_none(
    shared_database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    job: dict[str, Any],
    other_job: dict[str, Any],
    group: dict[str, Any],
    other_group: dict[str, Any],
) -> None:
    file = str(tmp_path_factory.mktemp("export") / "all.yaml")
    put(shared_database, "dag_configuration", "job_name", job, name)
    put(shared_database, "exchange_groups", "group_name", group, name)
    before = all_values(shared_database)
    run("export", file, "--url", shared_database.url)
    put(shared_database, "dag_configuration", "job_name", other_job, name)
    put(shared_database, "exchange_groups", "group_name", other_group, name)

    run("apply", file, "--yes", "--url", shared_database.url)

    assert all_values(shared_database) == before
    assert "the database is as the file says" in run("apply", file, "--url", shared_database.url)
    for table, key in (("dag_configuration", "job_name"), ("exchange_groups", "group_name")):
        shared_database.execute(f"DELETE FROM financial_screener.{table} WHERE {key} = %s", [name])

    run("apply", file, "--yes", "--url", shared_database.url)

    assert all_values(shared_database) == before


def test_a_time_of_a_market_is_removed_as_a_description_is(store_cli: Run, migrated_database: Database) -> None:
    assert store_cli("groups", "set", "lse", "market_open_utc=08:00", "market_close_utc=16:30").code == 0

    answer = store_cli("groups", "set", "lse", "market_open_utc=", "description=", "--by", "ann", "--reason", "x")

    assert answer.code == 0
    assert "market_open_utc  08:00:00 -> -" in answer.out
    [row] = migrated_database.execute(
        "SELECT market_open_utc, market_close_utc, description FROM financial_screener.exchange_groups WHERE group_name = 'lse'"
    )
    assert row == (None, time(16, 30), None)
    [(who, why, columns)] = migrated_database.execute(
        "SELECT changed_by, reason, changed_columns FROM financial_screener.dag_configuration_audit ORDER BY audit_id DESC LIMIT 1"
    )
    assert (who, why, columns) == ("ann", "x", ["market_open_utc"])
    assert store_cli("groups", "set", "lse", "market_open_utc=").out.startswith("Nothing to do")
    [(entry,)] = migrated_database.execute("SELECT max(audit_id) FROM financial_screener.dag_configuration_audit")
    assert store_cli("rollback", str(entry), "--yes").code == 0
    assert migrated_database.execute("SELECT market_open_utc FROM financial_screener.exchange_groups WHERE group_name = 'lse'") == [
        (time(8),)
    ]


def test_an_editor_may_remove_a_time_and_only_of_the_version_that_was_seen(migrated_database: Database) -> None:
    with migrated_database.role("dagconfig_editor") as user:
        store = Store.from_url(migrated_database.url_of(user))
        store.update_exchange_group("lse", market_close_utc=time(16, 30), expected_version=1)
        with pytest.raises(DagConfigStaleError):
            store.update_exchange_group("lse", market_close_utc="", expected_version=1)
        removed = store.update_exchange_group("lse", market_close_utc="", expected_version=2)

    assert removed.market_close_utc is None
    assert removed.version == 3
