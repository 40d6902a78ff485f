"""A database of a build from before the first release: recognised, brought over with all its data, at once or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from plugins.command_line import Answer, dagconfig
from plugins.earlier_builds import BUILDS, JOB, LAST_BUILD, OF_OTHER_NAMES, build, use
from plugins.postgres import Database, Server, make_live, new_database
from plugins.present_schema import described

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.store.migrate import MigrationError, Step, available, migrate, status

__all__ = ["dagconfig"]

S = "financial_screener"
TABLES = (
    "dag_configuration",
    "exchange_groups",
    "dag_configuration_audit",
    "dag_configuration_overrides",
    "dagconfig_installation",
    "dagconfig_ceilings",
)
RENEWED = [Step(migration.version, migration.file, "renewed") for migration in available()[1:]]


SINCE = "'{memory_growth,memory_growth_limit}'::text[]"
"""Columns that none of these builds had."""


def data(database: Database) -> dict[str, list[dict[str, object]]]:
    return {
        table: [row for (row,) in database.execute(f"SELECT to_jsonb(t) - {SINCE} AS r FROM {S}.{table} AS t ORDER BY r")]
        for table in TABLES
        if database.execute("SELECT to_regclass(%s)", [f"{S}.{table}"]) != [(None,)]
    }


def comments(database: Database) -> set[str]:
    return set(re.findall(r"^COMMENT ON .* IS (.*)$", "\n".join(described(database).values()), flags=re.MULTILINE))


def records(database: Database) -> list[tuple[object, ...]]:
    return database.execute(f"SELECT * FROM {S}.dagconfig_migrations ORDER BY 1")


def readable_by_all(database: Database) -> set[str]:
    found = database.execute(f"""
        SELECT c.relname::text FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.relnamespace = '{S}'::regnamespace AND a.grantee = 0 AND a.privilege_type = 'SELECT' AND c.relname LIKE 'dag%'
            OR c.relname = 'exchange_groups' AND a.grantee = 0 AND a.privilege_type = 'SELECT'
    """)
    return {name for (name,) in found}


@pytest.fixture(scope="module")
def new(postgres: Server, _migrated_template: Database) -> Iterator[dict[str, str]]:
    """The schema of a new database."""
    with new_database(postgres, template=_migrated_template.name) as database:
        yield described(database)


@pytest.mark.parametrize("commit", BUILDS)
def test_it_becomes_as_a_new_one_and_keeps_its_data(database: Database, new: dict[str, str], commit: str) -> None:
    before = data(use(build(database, commit)))
    in_force = f"SELECT to_jsonb(e) - {SINCE} #- '{{sources,memory_growth}}' #- '{{sources,memory_growth_limit}}'"
    in_force += f" FROM {S}.effective_dag_config({JOB}) AS e"
    runs_with = database.execute(in_force)

    assert migrate(database.url) == RENEWED

    after = data(database)
    assert {table: after[table] for table in before} == before
    assert len(before["dag_configuration_overrides"]) == 2
    assert database.execute(in_force) == runs_with
    assert described(database) == new
    assert migrate(database.url) == []
    assert {state.state for state in status(database.url)} == {"applied"}


@pytest.mark.parametrize("version", [15, 18])
def test_the_same_works_on_each_postgresql(postgres_of: Callable[[int], Server], version: int) -> None:
    with new_database(postgres_of(version)) as former, new_database(postgres_of(version)) as new:
        before = data(use(build(former, LAST_BUILD)))
        migrate(former.url)
        migrate(new.url)
        assert data(former) == before
        assert described(former) == described(new)


@pytest.mark.parametrize("to", [9, 11, 13, 15])
def test_a_part_of_a_build_is_brought_over_too(database: Database, new: dict[str, str], to: int) -> None:
    before = data(use(build(database, OF_OTHER_NAMES, to)))

    assert migrate(database.url) == RENEWED

    after = data(database)
    for table, rows in before.items():
        # Before 010 the times had no zone.
        known = [{column for column in row if to > 9 or not column.endswith("_at")} for row in rows]
        assert [{column: row[column] for column in columns} for columns, row in zip(known, after[table], strict=True)] == [
            {column: row[column] for column in columns} for columns, row in zip(known, rows, strict=True)
        ]
    assert described(database) == new


@pytest.mark.parametrize("to", [11, 13])
def test_a_part_of_a_build_that_has_files_of_today_is_brought_over_too(database: Database, new: dict[str, str], to: int) -> None:
    before = data(use(build(database, LAST_BUILD, to)))

    assert migrate(database.url) == RENEWED

    assert {table: rows for table, rows in data(database).items() if table in before} == before
    assert described(database) == new
    assert {state.state for state in status(database.url)} == {"applied"}


@pytest.mark.parametrize("commit", [BUILDS[0], OF_OTHER_NAMES, LAST_BUILD])
@pytest.mark.parametrize("since", ["in_use", "edits"])
def test_an_adopted_one_keeps_its_rows_entries_and_comments(database: Database, commit: str, since: str) -> None:
    said = comments(make_live(database, since))
    before = data(use(build(database, commit)))
    # The first builds lost those of functions.
    said &= comments(database)

    assert migrate(database.url) == RENEWED

    after = data(database)
    assert {table: after[table] for table in before} == before
    assert said - comments(database) == set()
    assert migrate(database.url) == []
    database.execute(f"UPDATE {S}.exchange_groups SET priority = 3 WHERE group_name = 'lse'")


@pytest.mark.parametrize("commit", [OF_OTHER_NAMES, LAST_BUILD])
def test_rows_that_break_a_rule_stay_and_are_named(database: Database, commit: str) -> None:
    build(make_live(database, "in_use"), commit)
    violations = f"SELECT row_key, column_name, value FROM {S}.rule_violations() ORDER BY 1, 2"
    before, notices = database.execute(violations), list[str]()

    migrate(database.url, notice=notices.append)

    assert database.execute(violations) == before != []
    assert [notice for notice in notices if notice.startswith(f"{len(before)} rules are broken by rows from before")]


def test_versions_that_two_changes_took_at_the_same_time_do_not_stop_it(database: Database) -> None:
    """Until there was an index for it, that could happen."""
    use(build(database, BUILDS[0]))
    entries = f"SELECT row_version FROM {S}.dag_configuration_audit WHERE dag_name = 'mine' ORDER BY audit_id"
    database.execute(f"""
        INSERT INTO {S}.dag_configuration_audit (operation, dag_name, job_name, table_name, row_version, new_values)
        SELECT operation, dag_name, job_name, table_name, row_version, new_values FROM {S}.dag_configuration_audit
        WHERE dag_name = 'mine'
    """)
    assert database.execute(entries) == [(1,), (1,)]

    migrate(database.url)

    assert database.execute(entries) == [(1,), (None,)]


def test_where_it_is_refused_everything_is_as_before(database: Database) -> None:
    use(build(database))
    database.execute(f"CREATE TABLE {S}.dag_configuration_override_periods (theirs text)")
    before = described(database), data(database), records(database)

    with pytest.raises(MigrationError, match=r"013_overrides.sql was refused, so nothing was brought over: .* is not a view"):
        migrate(database.url)

    assert (described(database), data(database), records(database)) == before
    database.execute(f"DROP TABLE {S}.dag_configuration_override_periods")
    assert migrate(database.url) == RENEWED


def test_status_says_what_an_earlier_build_applied(database: Database, dagconfig: Callable[..., Answer]) -> None:
    build(database, OF_OTHER_NAMES, 10)

    states = [(state.file, state.state) for state in status(database.url)]

    assert states == [
        ("008_dag_configuration_tables.sql", "applied"),
        ("009_rules.sql", "earlier build"),
        ("010_audit.sql", "earlier build"),
        *((migration.file, "pending") for migration in available()[1:]),
    ]
    assert dagconfig("migrate", "--status", "--url", database.url).code == 3


def test_status_says_which_of_the_files_of_today_an_earlier_build_applied_in_another_form(database: Database) -> None:
    build(database, LAST_BUILD, 12)

    states = [(state.file, state.state) for state in status(database.url)]

    assert ("010_rules.sql", "applied") in states
    assert [file for file, state in states if state == "earlier build"] == ["011_audit.sql", "012_changes.sql"]
    assert {("011_audit.sql", "pending"), ("013_overrides.sql", "pending")} <= set(states)


@pytest.mark.parametrize("to", ["007", "008", "012"])
def test_it_goes_to_no_other_version_until_it_is_brought_over(
    database: Database, dagconfig: Callable[..., Answer], to: str
) -> None:
    build(database, OF_OTHER_NAMES, 14)
    before = described(database), records(database)

    answer = dagconfig("migrate", "--to", to, "--url", database.url)

    assert answer.code == 1
    assert "An earlier build of airflow-provider-dagconfig migrated this database" in answer.err
    assert " by other files (009_rules.sql, 010_audit.sql, " in answer.err
    assert "Bring it over first: airflow dagconfig migrate --url postgresql://" in answer.err
    assert (described(database), records(database)) == before


@pytest.mark.parametrize("commit", [OF_OTHER_NAMES, LAST_BUILD])
def test_the_way_back_restores_what_an_earlier_build_revoked(database: Database, commit: str) -> None:
    build(make_live(database), commit)
    revoked = [["TABLE", table, None, None, "SELECT", False] for table in ("dag_configuration", "exchange_groups")]
    database.execute(
        f"UPDATE {S}.dagconfig_migrations SET revoked = CASE name WHEN 'roles' THEN %s::jsonb ELSE '[]' END",
        [json.dumps(revoked)],
    )
    migrate(database.url)
    assert readable_by_all(database) == set()

    notices: list[str] = []
    migrate(database.url, 8, notice=notices.append)

    assert readable_by_all(database) == {"dag_configuration", "exchange_groups"}
    assert not any("PUBLIC" in notice for notice in notices)


def test_the_way_back_says_so_where_an_earlier_build_did_not_record_what_it_took(database: Database) -> None:
    build(make_live(database), BUILDS[0])
    migrate(database.url)

    notices: list[str] = []
    migrate(database.url, 8, notice=notices.append)

    [notice] = [notice for notice in notices if "not recorded what PUBLIC was granted" in notice]
    database.execute(re.findall(r"GRANT .*;", notice)[0])
    assert readable_by_all(database) == {"dag_configuration", "exchange_groups", "dag_configuration_audit"}


def test_a_role_with_its_own_grant_to_read_the_rows_keeps_running_tasks(database: Database) -> None:
    use(build(database))
    tables = ", ".join(f"{S}.{table}" for table in data(database))
    with database.role(f"USAGE ON SCHEMA {S}", f"SELECT ON {tables}", f"EXECUTE ON ALL FUNCTIONS IN SCHEMA {S}") as user:
        hook = DagConfigHook.from_url(database.url_of(user))
        migrate(database.url)
        assert hook.get_task_config("calculate_indicators", "all", None)[0].batch_size == 7
