"""The databases of the tests: each is as new, whatever the test before has done to its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from plugins.copies import Copies
from plugins.postgres import Database, Server, new_database

S = "financial_screener"
JOBS = f"{S}.dag_configuration"


@pytest.fixture
def copies(postgres: Server, _migrated_template: Database) -> Iterator[Copies]:
    copies = Copies(_migrated_template, lambda: new_database(postgres, _migrated_template.name))
    yield copies
    copies.drop()


def dump(database: Database) -> str:
    command = [database.server.bin / "pg_dump", database.url]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Each dump has a different key.
    return re.sub(r"\\(un)?restrict .*", "", dumped)


ROWS = {
    "nothing": "SELECT 1",
    "a change": f"SELECT {S}.update_dag_config('new', 'job')",
    "a deletion": f"DELETE FROM {JOBS}",
    "another order": f"UPDATE {JOBS} SET priority = 5 WHERE id = 1; UPDATE {JOBS} SET priority = 1 WHERE id = 1",
    "a number that was given out": f"SELECT nextval('{JOBS}_id_seq')",
    "what no trigger saw": f"SET session_replication_role = replica; UPDATE {JOBS} SET description = 'theirs'",
}
DEFINITIONS = {
    "a truncated table": f"TRUNCATE {JOBS}",
    "a dropped rule": f"ALTER TABLE {JOBS} DROP CONSTRAINT rule_priority",
    "a silent trigger": f"ALTER TABLE {JOBS} DISABLE TRIGGER USER",
    "a column": f"ALTER TABLE {JOBS} ADD COLUMN theirs text",
    "another function": f"ALTER FUNCTION {S}.rule_violations() SECURITY DEFINER",
    "a grant": f"GRANT SELECT ON {JOBS} TO PUBLIC",
    "a schema": "CREATE SCHEMA theirs",
    "a table": "CREATE TABLE theirs (id integer)",
    "a comment": f"COMMENT ON TABLE {JOBS} IS 'theirs'",
    "a default privilege": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "a dropped table": f"DROP TABLE {S}.dagconfig_ceilings CASCADE",
    "a publication": "CREATE PUBLICATION theirs",
    "a large object": "SELECT lo_from_bytea(0, 'theirs')",
    "a setting": "ALTER DATABASE {database} SET datestyle TO 'SQL, DMY'",
    "a grant on the database": "GRANT CREATE ON DATABASE {database} TO PUBLIC",
}


@pytest.fixture(scope="module")
def as_new(_migrated_template: Database) -> str:
    return dump(_migrated_template)


@pytest.mark.parametrize("statement", ROWS.values(), ids=ROWS)
def test_rows_are_put_back(copies: Copies, as_new: str, statement: str) -> None:
    with copies.lend() as database:
        database.execute(statement)
        name = database.name
    with copies.lend() as database:
        assert database.name == name
        assert dump(database) == as_new


@pytest.mark.parametrize("statement", DEFINITIONS.values(), ids=DEFINITIONS)
def test_a_database_that_is_changed_otherwise_is_lent_no_more(copies: Copies, statement: str) -> None:
    with copies.lend() as database:
        database.execute(statement.format(database=database.name))
        name = database.name
    with copies.lend() as database:
        assert database.name != name


def test_who_is_still_connected_writes_nothing_into_the_next_tests_database(copies: Copies) -> None:
    with copies.lend() as database:
        forgotten = psycopg.connect(database.url)
        forgotten.execute(f"DELETE FROM {JOBS}")
    with copies.lend() as database:
        with suppress(psycopg.OperationalError):
            forgotten.commit()
        assert database.execute(f"SELECT count(*) FROM {JOBS}") == [(9,)]
    forgotten.close()


def test_two_at_a_time_are_two(copies: Copies) -> None:
    with copies.lend() as one, copies.lend() as other:
        assert one.name != other.name
