"""Each remedy that `doctor` or an error shows is run as it stands, and that problem is gone: for every rule, alone and in pairs."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from plugins.command_line import Answer, words_of
from plugins.postgres import PASSWORD, Database, Server, new_database

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.store.migrate import migrate
from airflow_provider_dagconfig.store.target import Target

Run = Callable[..., Answer]
S = "financial_screener"
NEVER = ["'infinity'", "'0044-03-15 12:00+00 BC'", "'200000-01-01'"]
NO_NUMBER = ["NULL", "-1"]
NO_QUANTITY = ["'0.1m'", "NULL", "'half'", "'-1'", "'500 m'", "'9e9'"]
NO_CPU = [*NO_QUANTITY, "'1Ki'", "'1025'"]
NO_MEMORY = [*NO_QUANTITY[:-1], "'65Ti'"]
# A dollar sign stands for the row's number, so each row has different names.
JOB = {
    "dag_name": {"dag_name": ["' d$'", "E'd$\\t'", "'d$\u2003'", "'d$\u200b'", "E'd$\\x01x'", "E'-d$\\x1b[31m'"]},
    "job_name": {"job_name": ["'j$ '", "''", "E'j\\n$'"]},
    "cpu_request": {"cpu_request": NO_CPU},
    "cpu_limit": {"cpu_limit": NO_CPU},
    "memory_request": {"memory_request": NO_MEMORY},
    "memory_limit": {"memory_limit": NO_MEMORY},
    "cpu_request_within_limit": {"cpu_request": ["'3'", "'8'"], "cpu_limit": ["'2'", "'100m'"]},
    "memory_request_within_limit": {"memory_request": ["'3Gi'", "'8Gi'"], "memory_limit": ["'2Gi'", "'512Mi'"]},
    "memory_growth": {"memory_growth": ["1", "1.005", "'NaN'"]},
    "memory_growth_limit": {"memory_growth_limit": ["'half'", "'65Ti'"]},
    "batch_size": {"batch_size": NO_NUMBER},
    "timeout_seconds": {"timeout_seconds": ["0", "NULL"]},
    "max_retries": {"max_retries": NO_NUMBER},
    "retry_delay_minutes": {"retry_delay_minutes": NO_NUMBER},
    "retry_backoff_enabled": {"retry_backoff_enabled": ["NULL"]},
    "enabled": {"enabled": ["NULL"]},
    "priority": {"priority": ["42", "NULL"]},
    "description": {"description": ["repeat('x', 4001)"]},
    "created_at": {"created_at": NEVER},
    "updated_at": {"updated_at": NEVER},
    "version": {"version": ["0", "9223372036854775807"]},
}
"""Rule to values that break it: column to what is written there, one a round."""
GROUP = {
    "group_name": {"group_name": ["' g$'", "E'g$\\n'", "E'g\\x01$'"]},
    "display_name": {"display_name": ["''", "'  '", "' Asia'", "E'a\\x1b[31mb'"]},
    "description": {"description": ["repeat('x', 4001)"]},
    "exchanges": {
        "exchanges": ["'{}'", "'{LSE,LSE}'", "'{NULL}'", "ARRAY['LSE AIM', ' ']", "'{{a,b},{c,d}}'", "ARRAY[E'LSE\\x01AIM']"]
    },
    "primary_timezone": {"primary_timezone": ["'EST5EDT4'", "NULL"]},
    "market_open_utc": {"market_open_utc": ["'24:00'"]},
    "market_close_utc": {"market_close_utc": ["'24:00'"]},
    "enabled": {"enabled": ["NULL"]},
    "priority": {"priority": ["0", "NULL"]},
    "created_at": {"created_at": NEVER},
    "updated_at": {"updated_at": NEVER},
    "version": {"version": ["0", "9223372036854775807"]},
}
OVERRIDE = {
    "reason": {"reason": ["repeat('x', 1001)"]},
    "starts_at": {"starts_at": ["'-infinity'", "'0044-03-15 12:00+00 BC'"]},
    "ends_at": {"ends_at": ["'infinity'", "'200000-01-01'"]},
    "created_at": {"created_at": NEVER},
    "ended_at": {"ended_at": ["'infinity'", "'200000-01-01'"]},
}
# More than two of a row, and what depends on other rows and values.
JOBS_BESIDES = [
    {"cpu_limit": "NULL", "timeout_seconds": "0", "priority": "42"},
    {"cpu_request": "'half'", "cpu_limit": "NULL", "memory_limit": "'1k'", "memory_request": "''"},
    {"memory_request": "'8Gi'", "memory_limit": "'2 GB'"},
    {"cpu_request": "'half'", "cpu_limit": "'200m'"},
    {"cpu_request": "'0.1m'", "cpu_limit": "'0.5m'"},
    {"dag_name": "'meant'", "job_name": "'all'"},
    {"dag_name": "'meant '", "job_name": "'all'"},
    {"dag_name": "E'it''s\\t'", "job_name": "' all'", "batch_size": "-1"},
    {"dag_name": "' '", "job_name": "''"},
    {"dag_name": "'-d'", "job_name": "'-j'", "batch_size": "-1"},
    {"dag_name": "'a=b'", "job_name": "'c=d'", "batch_size": "-1", "cpu_limit": "'2 cores'"},
]
GROUPS_BESIDES = [
    {"group_name": "' g'", "exchanges": "'{}'", "priority": "0", "primary_timezone": "'EST5EDT4'", "market_open_utc": "'24:00'"},
    {"group_name": "'-g'", "exchanges": "'{NULL,a=b}'"},
    {"group_name": "'a=b'", "exchanges": "'{}'", "display_name": "''"},
]
ALIKE = {"updated_at", "version", "timeout_seconds", "max_retries", "retry_delay_minutes", "retry_backoff_enabled", "priority"}
"""Mended in the same way as created_at or batch_size, which stand for them in pairs."""
RULES = {"dag_configuration": JOB, "exchange_groups": GROUP, "dag_configuration_overrides": OVERRIDE}


def alone(rules: dict[str, dict[str, list[str]]]) -> Iterator[dict[str, str]]:
    for columns in rules.values():
        for values in itertools.zip_longest(*columns.values()):
            yield dict(zip(columns, values, strict=True))


def in_pairs(rules: dict[str, dict[str, list[str]]]) -> Iterator[dict[str, str]]:
    for one, other in itertools.combinations((columns for name, columns in rules.items() if name not in ALIKE), 2):
        yield {column: values[0] for column, values in {**one, **other}.items()}


@contextmanager
def without_rules(database: Database) -> Iterator[Callable[[str], None]]:
    """A function that writes rows as if they were older than the rules."""
    database.execute("""
        DO $$ DECLARE c record; BEGIN
            FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE contype = 'c' AND connamespace > 16384 LOOP
                EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);
            END LOOP;
        END $$
    """)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield lambda statement: connection.execute(statement.encode()) and None


def write(put: Callable[[str], None], table: str, rows: Iterable[dict[str, str]], schema: str = S) -> None:
    names = {
        "dag_configuration": {"dag_name": "'d$'", "job_name": "'j$'"},
        "exchange_groups": {"group_name": "'g$'", "display_name": "'G$'", "exchanges": "'{LSE}'"},
    }[table]
    for number, broken in enumerate(rows):
        row = {**names, **broken}
        values = ", ".join(row.values()).replace("$", str(number))
        put(f"INSERT INTO {schema}.{table} ({', '.join(row)}) VALUES ({values})")


@pytest.fixture
def broken(postgres: Server, _migrated_template: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database of rows and overrides that break every rule, and every two rules of a table together."""
    with new_database(postgres, template=_migrated_template.name) as database, without_rules(database) as put:
        for table, besides in (("dag_configuration", JOBS_BESIDES), ("exchange_groups", GROUPS_BESIDES)):
            write(put, table, [*alone(RULES[table]), *in_pairs(RULES[table]), *besides])
        for number, values in enumerate([*alone(OVERRIDE), *in_pairs(OVERRIDE)]):
            row = {
                "dag_name": "'o'",
                "job_name": f"'{number}'",
                "reason": "'x'",
                "batch_size": "7",
                "created_by": "'x'",
                "starts_at": "now()",
                "ends_at": "now() + interval '1 hour'",
                **values,
            }
            put(f"INSERT INTO {S}.dag_configuration (dag_name, job_name) VALUES ('o', '{number}')")
            put(f"INSERT INTO {S}.dag_configuration_overrides ({', '.join(row)}) VALUES ({', '.join(row.values())})")
        monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", database.url)
        yield database


@dataclass(frozen=True)
class Remedy:
    text: str
    words: list[str]
    """Empty for a statement."""

    def run(self, run: Run, database: Database) -> None:
        if not self.words:
            database.execute(self.text.replace("%", "%%"), {})
            return
        yes = ["--yes"] if {"delete", "remove"} & set(self.words[2:4]) else []
        answer = run(*self.words[2:4], *yes, *self.words[4:])
        assert answer.code == 0, (self.text, answer)


def shown(texts: Iterable[str]) -> list[Remedy]:
    """The commands to be pasted from several texts, each once."""
    found = dict.fromkeys(match[1] for text in texts if (match := re.search(r"To mend it: (.*)$", text, re.DOTALL)))
    commands = [text for text in found if text.startswith("airflow ")]
    words = dict(zip(commands, words_of(commands), strict=True))
    return [Remedy(text, words.get(text, [])) for text in found]


def findings(run: Run, *where: str) -> list[str]:
    rows = [each for each in json.loads(run("doctor", "--no-cluster", "-o", "json", *where).out) if each["check"] == "rows"]
    return [f"{each['found']}. {each['remedy']}" for each in rows if "breaks a rule" in each["found"]]


def test_every_rule_is_broken_here(broken: Database) -> None:
    rules = broken.execute(f"SELECT table_name, rule_name FROM {S}.dagconfig_rules()")
    assert {(table, name) for table, names in RULES.items() for name in names} == set(rules)


def test_what_the_doctor_shows_mends_every_rule_alone_and_in_pairs(dagconfig: Run, broken: Database) -> None:
    found = findings(dagconfig)
    assert len(found) >= 2 * len([*in_pairs(JOB), *in_pairs(GROUP)])

    for remedy in shown(found):
        remedy.run(dagconfig, broken)

    assert findings(dagconfig) == []


def test_what_an_error_shows_mends_what_it_is_about(dagconfig: Run, broken: Database) -> None:
    hook = DagConfigHook()
    before: set[str] = set()
    for _ in range(10):
        problems = [row.problem for row in [*hook.get_dag_configs(), *hook.get_all_exchange_groups()] if row.problem]
        named = {re.sub(r" (is|of two) .*", "", problem, flags=re.DOTALL) for problem in problems}
        assert not named & before, named & before
        if not problems:
            return
        before = named
        for remedy in shown(problems):
            remedy.run(dagconfig, broken)
    raise AssertionError(problems)


@pytest.mark.parametrize("way", ["--url", "--conn-id"])
def test_a_remedy_goes_to_the_database_that_was_asked(
    dagconfig: Run, migrated_database: Database, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Also in another schema; the default connection's database is not changed."""
    with new_database(migrated_database.server) as other:
        migrate(Target.from_url(other.url, "job settings".replace(" ", "-")))
        with without_rules(other) as put:
            put('UPDATE "job-settings".dag_configuration SET batch_size = -1')
            put("UPDATE \"job-settings\".exchange_groups SET market_close_utc = '24:00', exchanges = '{}'")
        monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.url)
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", other.url)
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        where = [way, other.url if way == "--url" else "other", "--schema", "job-settings"]

        listed = dagconfig("groups", "list", *where).out
        for remedy in shown([*findings(dagconfig, *where), *listed.splitlines()]):
            assert PASSWORD not in remedy.text
            remedy.run(dagconfig, other)

        assert findings(dagconfig, *where) == []
        assert migrated_database.execute(f"SELECT count(*) FROM {S}.dag_configuration_audit") == [(9,)]


def test_no_group_is_offered_another_markets_values(dagconfig: Run, broken: Database) -> None:
    problems = [row.problem or "" for row in DagConfigHook().get_all_exchange_groups()]
    remedies = shown([*findings(dagconfig), *problems])
    of_groups = [remedy.text for remedy in remedies if remedy.text.startswith("airflow dagconfig groups set")]

    assert of_groups
    assert [text for text in of_groups if re.search("NYSE|New_York|US Markets|14:30", text)] == []
