"""
Any value that a column's SQL type allows, written past the rules: it affects only its row, is named, and can be repaired.

Each example breaks every column of a table once, one row for each column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timezone
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from plugins.command_line import Answer, dagconfig, words_of
from plugins.postgres import Database, Server, new_database

from airflow_provider_dagconfig.cli.definition import CONFLICT, FAILED, NOT_FOUND, USAGE
from airflow_provider_dagconfig.exceptions import DagConfigInvalidError
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

__all__ = ["dagconfig"]

S = "financial_screener"
DAG = "broken"
# Not shrunk: an example takes seconds, and the assertions name the column and the value.
few = settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
)

NO_TEXTS = ["", " ", "a\nb", "\x01", "\x1b[31m", "ü\u0085", "it's \\", "-x", " a\t", "\u202e"]
MOMENTS = [
    "infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "0044-03-15 12:00+00 BC", "0001-01-01 00:00+00", "9999-12-31 23:59:59-12",
    "10000-01-01 00:00+00", "294276-12-31 23:59:59.999999+00", "2026-11-24 06:00+00",
]  # fmt: skip
LISTS = [
    "{}",
    "{NULL}",
    '{""}',
    "{{a,b},{c,d}}",
    "{{{NULL}}}",
    "[0:1]={a,b}",
    '{"a\nb"}',
    "{a,a}",
    '{"a,b","\\"{"}',
    f"{{{'x' * 10**6}}}",
]
FACTORS = ["NaN", "Infinity", "-Infinity", "0", "-1", "1", "1.005", "1e-300", "1e300", "2.000"]
JSON = ["null", "[]", "{}", '"x"', "5", "[[{}]]", '{"enabled": {"a": [1]}}', '{"batch_size": "many", "version": null}']
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def values_of(type_name: str, length: int | None, *, nullable: bool) -> st.SearchStrategy[Any]:
    """Values of a column of this type, the unusual ones first; as text if Python has no such value."""
    texts = st.sampled_from([text[: length or None] for text in NO_TEXTS]) | st.text(characters, max_size=length or 50)
    strategies: dict[str, st.SearchStrategy[Any]] = {
        # From 1000 on: below are the numbers of other rows.
        "int4": st.sampled_from([-(2**31), 2**31 - 1, 0, -1]) | st.integers(1000, 2**31 - 1),
        "int8": st.sampled_from([-(2**63), 2**63 - 1, 2**62, 0, -1]) | st.integers(1000, 2**63 - 1),
        "varchar": texts | st.just("x" * (length or 1)),
        "text": texts | st.just("x" * 10**6),
        "numeric": st.sampled_from(FACTORS) | st.decimals(-5, 20, places=3),
        "bool": st.booleans(),
        "timestamptz": st.sampled_from(MOMENTS) | st.datetimes(timezones=st.just(timezone.utc)),
        "time": st.sampled_from(["24:00", "00:00", "23:59:59.999999"]) | st.times(),
        "_text": st.sampled_from(LISTS) | st.lists(st.text(characters, max_size=5), max_size=3),
        "jsonb": st.sampled_from(JSON),
    }
    return strategies[type_name] | st.none() if nullable else strategies[type_name]


@dataclass(frozen=True)
class Store:
    """A database where no constraint is in the way."""

    database: Database
    run: Callable[..., Answer]

    @property
    def hook(self) -> DagConfigHook:
        return DagConfigHook.from_url(self.database.url)

    def columns(self, table: str) -> dict[str, st.SearchStrategy[Any]]:
        rows = self.database.execute(
            """
            SELECT column_name::text, udt_name::text, character_maximum_length, is_nullable = 'YES' FROM information_schema.columns
            WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
            """,
            [S, table],
        )
        return {name: values_of(type_name, length, nullable=nullable) for name, type_name, length, nullable in rows}

    def put(self, table: str, column: str, value: Any, where: str, returning: str) -> tuple[Any, ...]:
        """Write a value that no trigger sees; give what names the row then."""
        statement = f"""
            SET session_replication_role = replica;
            UPDATE {S}.{table} SET {column} = {literal(value)} WHERE {where} RETURNING {returning}
        """
        try:
            [row] = self.database.execute(statement)
        except psycopg.errors.ProgramLimitExceeded:
            # No index holds it, so no row can.
            return self.put(table, column, value[:1000], where, returning)
        return row

    def command(self, *words: str, names: tuple[str, ...] = ()) -> Answer:
        return self.run(*words, "--url", self.database.url, "--", *names) if names else self.run(*words, "--url", self.database.url)

    def findings(self) -> list[dict[str, str]]:
        found = json.loads(self.command("doctor", "--no-cluster", "-o", "json").out)
        return [each for each in found if each["check"] == "rows"]

    def mend(self) -> None:
        """Do what doctor says, until it has nothing more to say: three times at most."""
        for _ in range(4):
            findings = self.findings()
            remedies = dict.fromkeys(remedy for each in findings if (remedy := remedy_of(each)))
            if not remedies:
                break
            commands = [remedy for remedy in remedies if remedy.startswith("airflow dagconfig ")]
            typed = dict(zip(commands, words_of(commands), strict=True))
            for remedy in remedies:
                if remedy in typed:
                    words = typed[remedy][2:]
                    answer = self.command(*words, *(["--yes"] if words[0] == "delete" or words[1] == "remove" else []))
                    assert answer.code == 0, (remedy, answer.err)
                else:
                    self.database.execute(remedy.replace("%", "%%"), {})
        assert [each for each in findings if each["result"] != "ok"] == []


def typed_columns(columns: Iterable[str]) -> st.SearchStrategy[list[str]]:
    """Those whose rows are switched off by a typed command; for the others the hook does the same, in a third of the time."""
    return st.lists(st.sampled_from(sorted(columns)), min_size=3, max_size=3, unique=True)


NewStore = Callable[[], AbstractContextManager[Store]]


def literal(value: Any) -> str:
    if value is None or isinstance(value, bool | int):
        return "NULL" if value is None else str(value)
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(literal, value))}]::text[]"
    return "'" + str(value).replace("'", "''") + "'"


def remedy_of(finding: dict[str, str]) -> str:
    return f"{finding['found']}. {finding['remedy']}".partition("To mend it: ")[2].removesuffix(". ")


def is_unreadable(value: Any) -> bool:
    return value in ("24:00", *MOMENTS[:4], *MOMENTS[5:8])


@pytest.fixture(scope="module")
def _unbound(postgres: Server, _migrated_template: Database) -> Iterator[Database]:
    with new_database(postgres, template=_migrated_template.name) as database:
        database.execute(f"""
            DO $$
            DECLARE c record;
            BEGIN
                FOR c IN
                    SELECT conrelid::regclass AS relation, conname FROM pg_constraint
                    WHERE connamespace = '{S}'::regnamespace AND contype = 'c'
                LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.relation, c.conname); END LOOP;
            END $$;
            ALTER TABLE {S}.dag_configuration_overrides ALTER COLUMN override_id SET GENERATED BY DEFAULT
        """)
        yield database


@pytest.fixture
def new_store(
    postgres: Server, _unbound: Database, dagconfig: Callable[..., Answer]
) -> Callable[[], AbstractContextManager[Store]]:
    @contextmanager
    def make() -> Iterator[Store]:
        with new_database(postgres, template=_unbound.name) as database:
            yield Store(database, dagconfig)

    return make


def looking_works(store: Store) -> None:
    config, group, *_ = store.hook.get_task_config(DAG, "good", "good")
    assert config.enabled
    assert group in store.hook.get_exchange_groups()
    assert "good" in store.hook.get_exchange_group_names()
    for words in (
        ["list"], ["list", "-o", "json"], ["groups", "list"], ["groups", "list", "-o", "yaml"], ["override", "--list", "--all"],
        ["override", "--list", "--all", "-o", "json"], ["history", "--limit", "500"], ["history", "-o", "json"], ["export", "-"],
        ["diff", "--from", "1h"], ["migrate", "--status"],
    ):  # fmt: skip
        answer = store.command(*words)
        assert answer.code == 0, (words, answer.err)


def refusal(read: Callable[..., Any], *names: str) -> str | None:
    """Why something cannot be read; None where it can."""
    try:
        read(*names)
    except DagConfigInvalidError as error:
        return str(error)
    return None


def named(findings: list[dict[str, str]], column: str, row: str) -> bool:
    return any(f"{column} " in each["found"] and row in each["found"] and remedy_of(each) for each in findings)


@few
@given(data=st.data())
def test_any_value_of_a_job_harms_that_job_only(new_store: NewStore, data: st.DataObject) -> None:
    with new_store() as store:
        columns = store.columns("dag_configuration")
        for job in ("good", *columns):
            store.hook.update_dag_config(DAG, job)
        store.hook.update_exchange_group("good", exchanges=["LSE"])
        put = {}
        for column, values in columns.items():
            value = data.draw(values, label=column)
            put[column] = value, *store.put("dag_configuration", column, value, f"job_name = '{column}'", "dag_name, job_name")

        looking_works(store)
        findings, typed = store.findings(), data.draw(typed_columns(columns))
        for column, (value, dag, job) in put.items():
            problem = refusal(store.hook.get_dag_config, dag, job)
            assert problem is None or re.match(rf"{column} .* of {re.escape(f'{dag}/{job}')} .*To mend it: ", problem, re.DOTALL)
            assert not (problem or is_unreadable(value)) or named(findings, column, f"{dag}/{job}"), (column, value)
            if column in typed:
                for word in ("get", "disable"):
                    answer = store.command(word, names=(dag, job))
                    assert answer.code == 0, (column, value, answer.err)
            else:
                store.hook.update_dag_config(dag, job, enabled=False)
            assert not store.hook.get_dag_config(dag, job).enabled, (column, value)
        store.mend()
        store.database.execute(f"UPDATE {S}.dag_configuration SET enabled = true")
        assert [row.problem for row in store.hook.get_dag_configs() if row.problem] == []


@few
@given(data=st.data())
def test_any_value_of_a_group_harms_that_group_only(new_store: NewStore, data: st.DataObject) -> None:
    with new_store() as store:
        columns = store.columns("exchange_groups")
        for group in ("good", *columns):
            store.hook.update_exchange_group(group, exchanges=["LSE"])
        store.hook.update_dag_config(DAG, "good")
        put = {}
        for column, values in columns.items():
            value = data.draw(values, label=column)
            put[column] = value, *store.put("exchange_groups", column, value, f"group_name = '{column}'", "group_name")

        looking_works(store)
        findings, typed = store.findings(), data.draw(typed_columns(columns))
        for column, (value, group) in put.items():
            problem = refusal(store.hook.get_task_config, DAG, "good", group)
            assert problem is None or re.match(
                rf"{column} .* of exchange group {re.escape(group)} .*To mend it: ", problem, re.DOTALL
            )
            assert not (problem or is_unreadable(value)) or named(findings, column, group), (column, value)
            if column in typed:
                answer = store.command("groups", "disable", names=(group,))
                assert answer.code == 0, (column, value, answer.err)
            else:
                store.hook.update_exchange_group(group, enabled=False)
            assert not store.hook.get_exchange_group(group).enabled, (column, value)
        store.mend()
        store.database.execute(f"UPDATE {S}.exchange_groups SET enabled = true")
        assert len(store.hook.get_exchange_groups()) == len(store.hook.get_all_exchange_groups())


@few
@given(data=st.data())
def test_any_value_of_an_override_harms_its_job_only(new_store: NewStore, data: st.DataObject) -> None:
    with new_store() as store:
        columns = store.columns("dag_configuration_overrides")
        store.hook.update_exchange_group("good", exchanges=["LSE"])
        for job in ("good", *columns):
            store.hook.update_dag_config(DAG, job)
            store.hook.override_dag_config(DAG, job, for_="2h", reason="why", batch_size=7)
        put = {}
        for column, values in columns.items():
            value = data.draw(values, label=column)
            put[column] = (
                value,
                *store.put(
                    "dag_configuration_overrides", column, value, f"job_name = '{column}'", "override_id, dag_name, job_name"
                ),
            )

        looking_works(store)
        findings = store.findings()
        in_force = [each.override_id for each in store.hook.get_overrides()]
        for column, (value, number, dag, job) in put.items():
            problem = refusal(store.hook.get_dag_config, DAG, column)
            assert problem is None or (number in in_force and f"end_override({number})" in problem), (column, value, problem)
            assert not (problem or is_unreadable(value)) or named(findings, column, f"{dag}/{job}"), (column, value)
            if column != "enabled":
                store.hook.update_dag_config(DAG, column, enabled=False)
                assert not store.hook.get_dag_config(DAG, column).enabled, (column, value)
            if number in in_force:
                store.hook.end_override(number)
                assert store.hook.get_override(number).state == "ended", (column, value)
        store.mend()
        store.database.execute(f"UPDATE {S}.dag_configuration SET enabled = true")
        assert [row.problem for row in store.hook.get_dag_configs() if row.problem] == []


@few
@given(data=st.data())
def test_any_value_of_an_entry_hides_no_other_entry(new_store: NewStore, data: st.DataObject) -> None:
    with new_store() as store:
        columns = store.columns("dag_configuration_audit")
        store.hook.update_exchange_group("good", exchanges=["LSE"])
        for job in ("good", *columns):
            store.hook.update_dag_config(DAG, job)
            store.hook.update_dag_config(DAG, job, batch_size=7)
        put = {}
        for column, values in columns.items():
            value = data.draw(values, label=column)
            put[column] = (
                value,
                *store.put("dag_configuration_audit", column, value, f"job_name = '{column}' AND operation = 'UPDATE'", "audit_id"),
            )

        looking_works(store)
        typed = data.draw(typed_columns(columns))
        for column, (value, entry) in put.items():
            assert store.hook.get_change(entry).audit_id == entry
            if column in typed:
                assert store.command("get", DAG, column).code == 0, (column, value)
                assert store.command("history", DAG, column).code == 0, (column, value)
                # It may be refused, with what is wrong, and without a traceback.
                assert store.command("rollback", "--yes", names=(str(entry),)).code in (0, FAILED, USAGE, NOT_FOUND, CONFLICT)
            store.hook.update_dag_config(DAG, column, enabled=False)
            store.hook.update_dag_config(DAG, column, enabled=True, batch_size=8)
            assert store.hook.get_dag_config(DAG, column).batch_size == 8
        assert store.command("rollback", DAG, "good", "--to", "1m", "--yes").code in (0, 3)


@few
@given(data=st.data())
def test_any_value_of_a_record_is_told_and_hides_no_job(new_store: NewStore, data: st.DataObject) -> None:
    with new_store() as store:
        store.hook.update_exchange_group("good", exchanges=["LSE"])
        store.hook.update_dag_config(DAG, "good")
        for column, values in store.columns("dagconfig_migrations").items():
            value = data.draw(values, label=column)
            was = store.database.execute(f"SELECT {column}::text FROM {S}.dagconfig_migrations WHERE version = 15")[0][0]
            where = f"version = {value if column == 'version' else 15}"
            store.put("dagconfig_migrations", column, value, "version = 15", "version")

            status = store.command("migrate", "--status")
            assert len(status.out.splitlines()) > 9, (column, value, status.err)
            answer = store.command("migrate")
            assert answer.code == 0 or "roles" in answer.err or "dagconfig_migrations" in answer.err, (column, value, answer.err)
            assert store.command("doctor", "--no-cluster").code in (0, 1)
            assert store.hook.get_dag_config(DAG, "good").enabled

            store.put("dagconfig_migrations", column, was, where, "version")
