"""An installation names its roles: its names hold from then on, its stores share none with others, and messages have them."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from plugins.command_line import Answer, dagconfig
from plugins.earlier_builds import LAST_BUILD, build
from plugins.postgres import Database, Server, new_database
from plugins.present_schema import described

from airflow_provider_dagconfig.exceptions import DagConfigError, DagConfigInvalidError, DagConfigNotAllowedError, MigrationError
from airflow_provider_dagconfig.store import Store
from airflow_provider_dagconfig.store.migrate import Step, Target, available, migrate

__all__ = ["dagconfig"]

S = "financial_screener"
Names = dict[str, str]


@pytest.fixture
def named(postgres: Server) -> Iterator[Names]:
    """Names that nobody has; roles of them go at the end, when the databases are gone."""
    names = {f"{kind}_role": f"{kind}_{uuid.uuid4().hex[:8]}" for kind in ("reader", "editor")}
    yield names
    for name in names.values():
        postgres.execute(f"DROP ROLE IF EXISTS {name}")


@pytest.fixture
def empty(postgres: Server, named: Names) -> Iterator[Database]:
    with new_database(postgres) as database:
        yield database


@pytest.fixture
def migrated(postgres: Server, named: Names, _migrated_template: Database) -> Iterator[Database]:
    """A database whose roles have their default names."""
    with new_database(postgres, template=_migrated_template.name) as database:
        yield database


def names_of(database: Database) -> Names:
    [(reader, editor)] = database.execute(f"SELECT * FROM {S}.dagconfig_roles()")
    return {"reader_role": reader, "editor_role": editor}


def granted_to(database: Database) -> set[str]:
    """The roles that may do something in the schema, its owner aside."""
    return set(re.findall(r"^GRANT .* TO (\w+);$", "\n".join(described(database).values()), flags=re.MULTILINE))


def doctor(run: Callable[..., Answer], url: str, check: str) -> dict[str, str]:
    answer = run("doctor", "--no-cluster", "--url", url, "-o", "json")
    [finding] = [finding for finding in json.loads(answer.out) if finding["check"] == check]
    return dict(finding)


def test_a_new_store_has_the_names_and_grants_nothing_to_others(empty: Database, named: Names) -> None:
    migrate(empty.url, **named)

    assert names_of(empty) == named
    assert granted_to(empty) == set(named.values())
    assert migrate(empty.url, **named) == []
    assert migrate(empty.url) == []
    assert names_of(empty) == named


def test_psql_takes_the_names_from_settings(empty: Database, named: Names) -> None:
    migrate(empty.url, to=14)
    settings = [f"-c SET dagconfig.{kind} = '{name}'" for kind, name in named.items()]

    done = empty.psql("-q", "--single-transaction", *settings, "-f", "migrations/015_roles.sql")
    again = empty.psql("-q", "--single-transaction", "-f", "migrations/015_roles.sql")

    assert (done.returncode, again.returncode, done.stderr) == (0, 0, "")
    assert names_of(empty) == named
    assert granted_to(empty) == set(named.values())


def test_other_names_take_the_place_of_the_former_and_whoever_had_one_is_named(migrated: Database, named: Names) -> None:
    with migrated.role("dagconfig_reader") as airflow, migrated.role("dagconfig_editor") as maria:
        notices: list[str] = []

        assert migrate(migrated.url, **named, notice=notices.append) == [Step(15, "015_roles.sql", "granted")]

        assert granted_to(migrated) == set(named.values())
        with pytest.raises(DagConfigNotAllowedError):
            Store.from_url(migrated.url_of(airflow)).get_exchange_groups()
        [notice] = notices
        migrated.execute(notice.partition("An administrator lets them go on: ")[2])
        assert Store.from_url(migrated.url_of(airflow)).get_exchange_groups() != []
        Store.from_url(migrated.url_of(maria)).update_dag_config("calculate_indicators", batch_size=7)


def test_the_rights_are_those_that_the_default_names_have(migrated: Database, named: Names) -> None:
    before = "\n".join(described(migrated, without=("dagconfig_roles",)).values())

    migrate(migrated.url, **named)

    after = "\n".join(described(migrated, without=("dagconfig_roles",)).values())
    for kind, name in named.items():
        after = after.replace(f" TO {name};", f" TO dagconfig_{kind.partition('_')[0]};")
    assert sorted(after.splitlines()) == sorted(before.splitlines())


def test_one_name_can_be_given_alone(migrated: Database, named: Names) -> None:
    migrate(migrated.url, reader_role=named["reader_role"])

    assert names_of(migrated) == {"reader_role": named["reader_role"], "editor_role": "dagconfig_editor"}
    assert granted_to(migrated) == {named["reader_role"], "dagconfig_editor"}
    migrated.execute(f"SELECT {S}.grant_roles('dagconfig_reader'); REVOKE {named['reader_role']} FROM dagconfig_editor")


def test_a_store_of_an_earlier_build_gets_them_too(empty: Database, named: Names) -> None:
    build(empty, LAST_BUILD)

    steps = migrate(empty.url, **named)

    assert [step.action for step in steps] == ["renewed"] * len(available()[1:]) + ["granted"]
    assert (names_of(empty), granted_to(empty)) == (named, set(named.values()))


def test_the_way_back_takes_the_rights_of_these_roles(empty: Database, named: Names) -> None:
    migrate(empty.url, **named)

    migrate(empty.url, to=14)

    assert granted_to(empty) & set(named.values()) == set()


@pytest.mark.parametrize("name", ["Reader", "my-reader", "pg_reader", "public", "select", "a" * 64, "x'; DROP SCHEMA public; --"])
def test_a_name_that_sql_would_need_quotes_for_is_refused(migrated: Database, name: str) -> None:
    with pytest.raises(DagConfigInvalidError, match="must have a name that SQL reads without quotes"):
        migrate(migrated.url, reader_role=name)

    assert names_of(migrated)["reader_role"] == "dagconfig_reader"


def test_the_same_name_is_refused_in_a_new_store_and_no_role_is_left(empty: Database) -> None:
    with pytest.raises(DagConfigError, match=r"015_roles.sql was refused.*must have a name that SQL reads without quotes"):
        migrate(empty.url, reader_role="My reader")


def test_both_are_not_one(migrated: Database, named: Names) -> None:
    with pytest.raises(DagConfigInvalidError, match="reader and editor are two roles"):
        migrate(migrated.url, reader_role=named["editor_role"], editor_role=named["editor_role"])


def test_roles_cannot_be_named_before_their_migration(empty: Database, named: Names) -> None:
    with pytest.raises(MigrationError, match=r"There are no roles before 015_roles\.sql"):
        migrate(empty.url, to=14, **named)


def test_an_administrator_makes_them_where_the_owner_may_not(empty: Database, named: Names) -> None:
    with empty.role(f"CREATE ON DATABASE {empty.name}") as owner:
        notices: list[str] = []
        migrate(empty.url_of(owner), **named, notice=notices.append)
        hint = notices[-1].partition("An administrator runs: ")[2]
        administrators, _, owners = hint.partition(f"; then {owner}: ")

        empty.execute(administrators)
        with psycopg.connect(empty.url_of(owner), autocommit=True) as connection:
            assert connection.execute(owners).fetchone() == (True,)  # type: ignore[arg-type]

        assert granted_to(empty) == set(named.values())


@pytest.mark.parametrize("has", ["nothing", "the reader"])
def test_a_missing_right_names_the_role_that_has_it(empty: Database, named: Names, has: str) -> None:
    migrate(empty.url, **named)
    reader = named["reader_role"]
    with empty.role(*([reader] if has == "the reader" else [])) as user:
        store = Store.from_url(empty.url_of(user))
        if has == "nothing":
            with pytest.raises(DagConfigNotAllowedError, match=rf'may run: GRANT {reader} TO "{user}";'):
                store.get_exchange_groups()
        with pytest.raises(DagConfigNotAllowedError) as refused:
            store.update_dag_config("calculate_indicators", batch_size=7)

        empty.execute(str(refused.value).partition("may run: ")[2])
        store.update_dag_config("calculate_indicators", batch_size=7)


def test_the_doctor_knows_the_names(empty: Database, named: Names, dagconfig: Callable[..., Answer]) -> None:
    migrate(empty.url, **named)
    reader, editor = named.values()

    assert doctor(dagconfig, empty.url, "roles")["found"] == f"{reader} and {editor} are there"
    assert f"with {reader}, and people as ones with {editor}" in doctor(dagconfig, empty.url, "privileges")["remedy"]
    with empty.role() as user:
        assert f'GRANT {reader} TO "{user}";' in doctor(dagconfig, empty.url_of(user), "privileges")["remedy"]
    empty.execute(f"DROP OWNED BY {editor}; DROP ROLE {editor}")
    missing = doctor(dagconfig, empty.url, "roles")["remedy"]
    for statements in re.findall(r": ([A-Z].*?;)(?= Then|$)", missing):
        empty.execute(statements)
    assert doctor(dagconfig, empty.url, "roles")["found"] == f"{reader} and {editor} are there"


def test_the_doctor_says_where_else_the_roles_serve(
    empty: Database, postgres: Server, named: Names, dagconfig: Callable[..., Answer]
) -> None:
    migrate(empty.url, **named)
    migrate(Target.from_url(empty.url, "second"), **named)
    with new_database(postgres) as other:
        migrate(other.url, **named)

        finding = doctor(dagconfig, empty.url, "roles")

    assert finding["result"] == "ok"
    assert (
        f"; their members have the same rights in database {other.name}, schema second (`migrate --reader-role" in finding["found"]
    )


def test_the_command_says_what_it_did(migrated: Database, named: Names, dagconfig: Callable[..., Answer]) -> None:
    arguments = ["--reader-role", named["reader_role"], "--editor-role", named["editor_role"], "--url", migrated.url]

    first, again = dagconfig("migrate", *arguments), dagconfig("migrate", *arguments)

    assert (first.code, first.out.splitlines()[0]) == (0, "granted   015_roles.sql")
    assert again.out.startswith("Nothing to do")
