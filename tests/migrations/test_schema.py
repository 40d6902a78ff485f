"""The present schema by subject is what the migrations make, on each PostgreSQL; each thing is in one place and says what it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from plugins.postgres import Database, Server, make_live, new_database
from plugins.present_schema import FOLDER, POSTGRES, by_subject, described

from airflow_provider_dagconfig.store.migrate import Migration, available, migrate

RUNNERS = ("dagconfig_migrations",)
"""The table that the runner makes; it is in no file."""


@pytest.fixture(scope="module", params=[15, 16, 18], ids="PostgreSQL {}".format)
def server(request: pytest.FixtureRequest, postgres_of: Callable[[int], Server]) -> Server:
    return postgres_of(request.param)


@pytest.fixture(scope="module")
def migrated(server: Server) -> Iterator[Database]:
    with new_database(server) as database:
        migrate(database.url)
        yield database


def uncommented(database: Database) -> dict[str, str]:
    """The schema without what is said of it: an installation's own words stay."""
    return {name: re.sub(r"^COMMENT ON .*\n?", "", text, flags=re.MULTILINE).rstrip() for name, text in described(database).items()}


def test_the_files_are_up_to_date(postgres_of: Callable[[int], Server]) -> None:
    with new_database(postgres_of(POSTGRES)) as database:
        migrate(database.url)
        wanted = by_subject(described(database, without=RUNNERS))
    found = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.sql")}
    assert found == wanted, "write them anew: make schema"


def test_they_make_the_same_database_as_the_migrations(server: Server, migrated: Database) -> None:
    with new_database(server) as database:
        # A function may use what comes in a later file.
        script = "SET check_function_bodies = off;\n" + "\n".join(file.read_text() for file in sorted(FOLDER.glob("*.sql")))
        made = database.psql("-q", script=script)
        assert (made.returncode, made.stderr) == (0, "")
        assert described(database) == described(migrated, without=RUNNERS)


def test_every_table_column_view_and_function_says_what_it_is(migrated: Database) -> None:
    silent = migrated.execute("""
        SELECT c.oid::regclass::text FROM pg_class AS c
        WHERE c.relnamespace = 'financial_screener'::regnamespace AND c.relkind IN ('r', 'v')
            AND obj_description(c.oid, 'pg_class') IS NULL
        UNION ALL
        SELECT c.oid::regclass || '.' || a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'financial_screener'::regnamespace AND c.relkind IN ('r', 'v')
            AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL
        UNION ALL
        SELECT p.oid::regprocedure::text FROM pg_proc AS p
        WHERE p.pronamespace = 'financial_screener'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
    """)
    assert silent == []


def defined_in(migration: Migration) -> list[str]:
    return re.findall(r"CREATE (?:OR REPLACE )?FUNCTION financial_screener\.(\w+)", migration.up)


def test_each_function_of_the_first_release_is_defined_in_one_file_and_later_ones_in_each_file_once() -> None:
    """Migrations of a release are not edited, so what a later one changes it defines anew."""
    first = [name for migration in available()[1:] if migration.version <= 16 for name in defined_in(migration)]
    for defined in (first, *(defined_in(migration) for migration in available())):
        assert len(set(defined)) == len(defined)


def test_up_down_up_gives_the_same_schema(server: Server, migrated: Database) -> None:
    with new_database(server) as database:
        for version in (None, 7, None):
            migrate(database.url, version)
        assert described(database) == described(migrated)


def test_each_version_is_the_same_on_the_way_up_and_on_the_way_back(postgres: Server) -> None:
    with new_database(postgres) as database:
        at: dict[int, dict[str, str]] = {}
        for migration in available():
            migrate(database.url, migration.version)
            at[migration.version] = described(database)
        for lower, upper in reversed(list(pairwise(at))):
            migrate(database.url, lower)
            assert described(database) == at[lower]
            migrate(database.url, upper)
            assert described(database) == at[upper]
            migrate(database.url, lower)


@pytest.mark.parametrize(("version", "since"), [(15, "in_use"), (16, "edits"), (18, "")])
def test_up_down_up_of_an_adopted_database_gives_the_same_schema(
    postgres_of: Callable[[int], Server], version: int, since: str
) -> None:
    with new_database(postgres_of(version)) as database:
        make_live(database, *filter(None, [since]))
        migrate(database.url)
        first = described(database)
        migrate(database.url, 8)
        migrate(database.url)
        assert described(database) == first


def test_functions_and_triggers_of_an_adopted_database_are_those_of_a_new_one(server: Server, migrated: Database) -> None:
    with new_database(server) as database:
        make_live(database)
        migrate(database.url)
        adopted, new = uncommented(database), uncommented(migrated)
        assert adopted.keys() == new.keys()
        assert {name: text for name, text in adopted.items() if "FUNCTION" in text} == {
            name: text for name, text in new.items() if "FUNCTION" in text
        }
