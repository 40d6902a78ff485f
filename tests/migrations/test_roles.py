"""The rights of a reader and of an editor, and what they cannot do in any way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from plugins.postgres import Database, Server, new_database, running_server

from airflow_provider_dagconfig.store.migrate import migrate

HERE = Path(__file__).parent
S = "financial_screener"
TABLES = (
    *("dag_configuration", "exchange_groups", "dag_configuration_overrides", "dag_configuration_audit"),
    "dagconfig_installation",
)
NEW_ENTRY = (
    f"INSERT INTO {S}.dag_configuration_audit (operation, dag_name, job_name, changed_by) VALUES ('UPDATE', 'd', 'j', 'ceo')"
)

READS = [
    *(f"SELECT * FROM {S}.{table}" for table in TABLES),
    f"SELECT * FROM {S}.dag_configuration_override_periods",
    f"SELECT * FROM {S}.get_dag_config('calculate_indicators')",
    f"SELECT * FROM {S}.effective_dag_config('calculate_indicators', 'all')",
    f"SELECT * FROM {S}.effective_dag_config('calculate_indicators', 'all', now() - interval '1 hour')",
    f"SELECT * FROM {S}.get_exchange_groups()",
    f"SELECT {S}.dag_config_at('calculate_indicators', 'all', now())",
    f"SELECT {S}.exchange_group_at('lse', now())",
    f"SELECT * FROM {S}.rule_violations()",
    f"SELECT {S}.quantity_value('2Gi')",
    f"SELECT * FROM {S}.dagconfig_migrations",
]
WRITES = [
    f"INSERT INTO {S}.dag_configuration (dag_name, job_name) VALUES ('d', 'j')",
    f"UPDATE {S}.dag_configuration SET enabled = FALSE",
    f"DELETE FROM {S}.dag_configuration",
    f"INSERT INTO {S}.exchange_groups (group_name, display_name, exchanges) VALUES ('a', 'A', '{{A}}')",
    f"UPDATE {S}.exchange_groups SET enabled = FALSE",
    f"DELETE FROM {S}.exchange_groups WHERE group_name = 'lse'",
    f"SELECT {S}.update_dag_config('calculate_indicators', 'all', p_batch_size => 7)",
    f"SELECT {S}.update_dag_config('new', 'all', p_batch_size => 7)",
    f"SELECT {S}.delete_dag_config('calculate_indicators', 'all')",
    f"SELECT {S}.update_exchange_group('lse', p_priority => 1)",
    f"SELECT {S}.delete_exchange_group('lse')",
    f"SELECT {S}.override_dag_config('calculate_indicators', 'all', now() + interval '1 hour', 'why', p_batch_size => 7)",
    f"SELECT {S}.end_override(1)",
    f"SELECT {S}.rollback_change(12)",
    f"SELECT {S}.rollback_dag_config('calculate_indicators', 'all', clock_timestamp())",
]
NEVER = [
    *(f"TRUNCATE {S}.{table}" for table in TABLES),
    NEW_ENTRY,
    f"UPDATE {S}.dag_configuration_audit SET changed_by = 'ceo'",
    f"DELETE FROM {S}.dag_configuration_audit",
    f"COPY {S}.dag_configuration_audit (operation) FROM STDIN",
    f"MERGE INTO {S}.dag_configuration_audit AS a USING (VALUES (1)) AS v ON TRUE WHEN MATCHED THEN DELETE",
    f"SELECT * FROM {S}.dag_configuration_audit FOR UPDATE",
    f"WITH gone AS (DELETE FROM {S}.dag_configuration_audit RETURNING *) SELECT * FROM gone",
    f"INSERT INTO {S}.dag_configuration_overrides (dag_name, job_name, starts_at, ends_at, reason, created_by, batch_size)"
    " VALUES ('calculate_indicators', 'all', '2000-01-01', '2099-01-01', 'why', 'ceo', 7)",
    f"UPDATE {S}.dag_configuration_overrides SET reason = 'forged'",
    f"DELETE FROM {S}.dag_configuration_overrides",
    f"SELECT setval('{S}.dag_configuration_audit_audit_id_seq', 1)",
    f"SELECT nextval('{S}.dag_configuration_audit_audit_id_seq')",
    f"SELECT setval('{S}.dag_configuration_id_seq', 1)",
    f"SELECT {S}.dagconfig_write_audit('UPDATE', 'dag_configuration', NULL, '{{\"dag_name\": \"d\"}}')",
    f"SELECT {S}.enforce_rules()",
    f"SELECT {S}.grant_roles()",
    f"SELECT {S}.grant_roles('{{me}}')",
    f"SELECT {S}.dagconfig_name_roles('a_reader', '{{me}}')",
    f"SELECT {S}.dagconfig_revoke('dagconfig_reader')",
    f"SELECT {S}.dagconfig_grant_functions('dagconfig_editor', true)",
    f"ALTER TABLE {S}.dag_configuration DISABLE TRIGGER ALL",
    f"ALTER TABLE {S}.dag_configuration_audit ADD COLUMN mine text",
    f"DROP TRIGGER audit_dag_configuration ON {S}.dag_configuration",
    f"DROP TABLE {S}.dag_configuration_audit",
    f"CREATE RULE forge AS ON INSERT TO {S}.dag_configuration_audit DO INSTEAD NOTHING",
    f"CREATE TABLE {S}.mine ()",
    f"CREATE FUNCTION {S}.update_dag_config(text, text) RETURNS void LANGUAGE sql AS ''",
    f"CREATE OR REPLACE FUNCTION {S}.audit_dag_configuration() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    f"ALTER FUNCTION {S}.update_dag_config SET search_path = pg_temp",
    f"CREATE TABLE pg_temp.child () INHERITS ({S}.dag_configuration_audit)",
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE postgres",
    "GRANT dagconfig_editor TO {me}",
    "GRANT postgres TO {me}",
    "ALTER ROLE {me} SUPERUSER",
    "ALTER ROLE dagconfig_editor LOGIN",
    f"ALTER DEFAULT PRIVILEGES IN SCHEMA {S} GRANT ALL ON TABLES TO {{me}}; CREATE TABLE {S}.mine ()",
]
# They warn, and grant nothing.
VAIN = [
    f"GRANT ALL ON {S}.dag_configuration_audit TO {{me}}",
    f"GRANT ALL ON {S}.dag_configuration TO {{me}}",
    f"GRANT EXECUTE ON FUNCTION {S}.end_override TO {{me}}",
    f"GRANT CREATE ON SCHEMA {S} TO {{me}}",
]


@pytest.fixture(scope="module")
def shared(postgres: Server, _migrated_template: Database) -> Iterator[Database]:
    """One database for all attempts; successful ones are rolled back."""
    with new_database(postgres, template=_migrated_template.name) as migrated:
        migrated.execute(
            f"SELECT {S}.update_dag_config('calculate_indicators', 'all', p_batch_size => 900);"
            f" SELECT {S}.override_dag_config('calculate_indicators', 'all', now() + interval '1 day', 'why', p_batch_size => 7)"
        )
        yield migrated


@pytest.fixture(scope="module")
def users(shared: Database) -> Iterator[dict[str, str]]:
    with shared.role("dagconfig_reader") as reader, shared.role("dagconfig_editor") as editor, shared.role() as nobody:
        yield {"reader": reader, "editor": editor, "nobody": nobody}


@contextmanager
def session(database: Database, user: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.url_of(user)) as connection:
        yield connection
        connection.rollback()


def attempt(database: Database, user: str, statement: str) -> None:
    with session(database, user) as connection:
        connection.execute(statement.replace("{me}", user).replace("{{", "{").replace("}}", "}"))  # type: ignore[arg-type]


def contents(database: Database) -> list[list[tuple[object, ...]]]:
    return [database.execute(f"SELECT * FROM {S}.{table} ORDER BY 1") for table in TABLES]


@pytest.mark.parametrize("statement", READS)
@pytest.mark.parametrize("user", ["reader", "editor"])
def test_a_reader_and_an_editor_may_look_at_everything(shared: Database, users: dict[str, str], user: str, statement: str) -> None:
    attempt(shared, users[user], statement)


@pytest.mark.parametrize("statement", [s for s in WRITES if not s.endswith("rollback_change(12)")])
def test_an_editor_may_change_jobs_groups_and_overrides(shared: Database, users: dict[str, str], statement: str) -> None:
    attempt(shared, users["editor"], statement)


def test_an_editor_may_roll_an_entry_back(shared: Database, users: dict[str, str]) -> None:
    attempt(
        shared,
        users["editor"],
        f"SELECT {S}.rollback_change(max(audit_id)) FROM {S}.dag_configuration_audit WHERE operation = 'UPDATE'",
    )


@pytest.mark.parametrize("statement", WRITES)
def test_every_attempt_to_write_as_a_reader_is_refused(shared: Database, users: dict[str, str], statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        attempt(shared, users["reader"], statement)


@pytest.mark.parametrize("user", ["reader", "editor"])
@pytest.mark.parametrize("statement", NEVER)
def test_nobody_but_the_owner_may(shared: Database, users: dict[str, str], user: str, statement: str) -> None:
    before = contents(shared)

    with pytest.raises(psycopg.Error) as error:
        attempt(shared, users[user], statement)

    # 42501: no privilege; 0LP01: no right to grant the role.
    assert error.value.sqlstate in ("42501", "0LP01"), error.value
    assert contents(shared) == before


@pytest.mark.parametrize("user", ["reader", "editor"])
@pytest.mark.parametrize("statement", VAIN)
def test_granting_oneself_more_has_no_effect(shared: Database, users: dict[str, str], user: str, statement: str) -> None:
    with psycopg.connect(shared.url_of(users[user]), autocommit=True) as connection:
        try:
            connection.execute(statement.replace("{me}", users[user]))  # type: ignore[arg-type]
        except psycopg.errors.InsufficientPrivilege:
            return

    granted = shared.execute(
        """
        SELECT a.privilege_type FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE a.grantee = %(me)s::regrole
        UNION ALL SELECT a.privilege_type FROM pg_proc AS p, aclexplode(p.proacl) AS a WHERE a.grantee = %(me)s::regrole
        UNION ALL SELECT a.privilege_type FROM pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE a.grantee = %(me)s::regrole
        """,
        {"me": users[user]},
    )
    assert granted == []


@pytest.mark.parametrize("statement", [*READS, *WRITES])
def test_public_may_do_nothing(shared: Database, users: dict[str, str], statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        attempt(shared, users["nobody"], statement)


def test_nothing_is_granted_to_public(shared: Database) -> None:
    assert (
        shared.execute(
            """
        SELECT p.proname::text FROM pg_proc AS p
        CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE p.pronamespace = 'financial_screener'::regnamespace AND a.grantee = 0
        UNION ALL SELECT c.relname::text FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.relnamespace = 'financial_screener'::regnamespace AND a.grantee = 0
        UNION ALL SELECT n.nspname::text FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
        WHERE n.nspname = 'financial_screener' AND a.grantee = 0
        """
        )
        == []
    )


def test_every_function_states_its_search_path_and_is_listed_with_its_role(shared: Database) -> None:
    assert (
        shared.execute("""
        SELECT p.proname::text FROM pg_proc AS p
        LEFT JOIN financial_screener.dagconfig_functions() AS f ON f.signature = p.oid::regprocedure
        WHERE p.pronamespace = 'financial_screener'::regnamespace
            AND (f.signature IS NULL OR NOT coalesce('search_path=pg_catalog, pg_temp' = ANY(p.proconfig), false))
    """)
        == []
    )


@pytest.mark.parametrize("user", ["reader", "editor"])
@pytest.mark.parametrize(
    "function", ["audit_dag_configuration", "dagconfig_stamp", "dagconfig_validate", "dagconfig_validate_overrides"]
)
def test_nobody_puts_a_trigger_of_the_store_on_a_table_of_their_own(
    shared: Database, users: dict[str, str], user: str, function: str
) -> None:
    with session(shared, users[user]) as connection:
        connection.execute("CREATE TEMPORARY TABLE mine (id integer, dag_name text, job_name text, updated_at timestamptz)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=function):
            connection.execute(f"CREATE TRIGGER forge AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION {S}.{function}()")


@pytest.mark.parametrize("table", TABLES)
def test_an_editor_puts_no_trigger_on_the_stores_tables(shared: Database, users: dict[str, str], table: str) -> None:
    with session(shared, users["editor"]) as connection:
        connection.execute("CREATE FUNCTION pg_temp.mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"CREATE TRIGGER mine BEFORE INSERT ON {S}.{table} FOR EACH ROW EXECUTE FUNCTION pg_temp.mine()")


def test_an_editor_shadows_nothing_by_a_temporary_schema_and_a_search_path(shared: Database, users: dict[str, str]) -> None:
    """Tables, functions, operators and types of the same names, first in the search path."""
    with session(shared, users["editor"]) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TEMPORARY TABLE {table} (LIKE {S}.{table} INCLUDING DEFAULTS)")
        connection.execute("""
            CREATE FUNCTION pg_temp.quantity_value(text) RETURNS numeric LANGUAGE sql AS 'SELECT 5000000.0';
            CREATE FUNCTION pg_temp.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'shadowed'; END $$;
            CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadowed'; END $$;
            CREATE FUNCTION pg_temp.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadowed'; END $$;
            CREATE FUNCTION pg_temp.no(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadowed'; END $$;
            CREATE OPERATOR pg_temp.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.no);
            CREATE DOMAIN pg_temp.jsonb AS text CHECK (FALSE);
            CREATE DOMAIN pg_temp.timestamptz AS text CHECK (FALSE);
        """)
        connection.execute(f"SET search_path = pg_temp, {S}, pg_catalog")

        connection.execute("SELECT update_dag_config('calculate_indicators', 'all', p_memory_limit => '8Gi', p_reason => 'why')")
        connection.execute(f"UPDATE {S}.dag_configuration SET enabled = FALSE WHERE dag_name OPERATOR(pg_catalog.=) 'house'")
        connection.execute(
            "SELECT override_dag_config("
            "'calculate_indicators', 'all', pg_catalog.now() + interval '1 hour', 'why', p_priority => 7)"
        )
        assert connection.execute("SELECT memory_limit FROM get_dag_config('calculate_indicators')").fetchall() == [("8Gi",)]
        assert connection.execute(
            f"SELECT operation, session_user_name, reason FROM {S}.dag_configuration_audit ORDER BY audit_id DESC LIMIT 2"
        ).fetchall() == [("INSERT", users["editor"], "why"), ("UPDATE", users["editor"], "why")]
        counts = [connection.execute(f"SELECT count(*) FROM pg_temp.{table}").fetchall() for table in TABLES]  # type: ignore[arg-type]
        assert counts == [[(0,)]] * len(TABLES)
        with pytest.raises(psycopg.errors.CheckViolation, match="memory_limit 'lots'"):
            connection.execute("SELECT update_dag_config('calculate_indicators', 'all', p_memory_limit => 'lots')")


@pytest.mark.parametrize(
    "settings",
    [
        "SET dagconfig.updated_by = 'ceo'; SET dagconfig.reason = 'because'",
        "SET ROLE dagconfig_editor",
        "SET standard_conforming_strings = off",
        "SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET timezone = 'Asia/Tokyo'; SET array_nulls = off",
    ],
)
def test_the_session_user_in_the_audit_cannot_be_forged(shared: Database, users: dict[str, str], settings: str) -> None:
    with session(shared, users["editor"]) as connection:
        connection.execute(settings)  # type: ignore[arg-type]
        connection.execute(f"UPDATE {S}.dag_configuration SET batch_size = 77 WHERE dag_name = 'calculate_indicators'")

        assert connection.execute(
            "SELECT session_user_name, changed_columns, abs(extract(epoch FROM clock_timestamp() - changed_at)) < 60"
            f" FROM {S}.dag_configuration_audit ORDER BY audit_id DESC LIMIT 1"
        ).fetchall() == [(users["editor"], ["batch_size"], True)]


def test_an_editor_does_what_the_quick_reference_says_and_it_is_audited(migrated_database: Database) -> None:
    with migrated_database.role("dagconfig_editor") as editor:
        before = migrated_database.execute(f"SELECT max(audit_id) FROM {S}.dag_configuration_audit")[0][0]
        with psycopg.connect(migrated_database.url_of(editor), autocommit=True) as connection:
            connection.execute((HERE / "quick_reference.sql").read_bytes())

        assert migrated_database.execute(
            f"SELECT operation, coalesce(job_name, group_name), changed_by, session_user_name FROM {S}.dag_configuration_audit"
            " WHERE audit_id > %s ORDER BY audit_id",
            [before],
        ) == [
            ("UPDATE", "us_markets", "system", editor),
            ("UPDATE", "us_markets", "system", editor),
            ("UPDATE", "us_markets", "admin", editor),
            ("UPDATE", "all", "admin", editor),
            ("INSERT", "asian_markets", editor, editor),
            ("UPDATE", "european_markets", editor, editor),
        ]


def test_privileges_from_before_are_kept_without_those_on_the_audit(adopted_database: Database) -> None:
    with adopted_database.role() as app:
        adopted_database.execute(f"""
            GRANT USAGE, CREATE ON SCHEMA {S} TO PUBLIC;
            GRANT ALL ON ALL TABLES IN SCHEMA {S} TO {app};
            GRANT ALL ON ALL SEQUENCES IN SCHEMA {S} TO {app};
            GRANT UPDATE (changed_by) ON {S}.dag_configuration_audit TO {app};
            ALTER DEFAULT PRIVILEGES IN SCHEMA {S} GRANT ALL ON TABLES TO {app};
            ALTER DEFAULT PRIVILEGES IN SCHEMA {S} GRANT ALL ON FUNCTIONS TO {app};
        """)
        migrate(adopted_database.url)

        attempt(adopted_database, app, f"UPDATE {S}.dag_configuration SET batch_size = 8 WHERE dag_name = 'calculate_indicators'")
        attempt(adopted_database, app, f"SELECT {S}.update_dag_config('calculate_indicators', 'all', p_batch_size => 8)")
        attempt(adopted_database, app, f"SELECT * FROM {S}.get_dag_config('calculate_indicators')")
        attempt(adopted_database, app, f"SELECT * FROM {S}.dag_configuration_audit")
        for statement in (
            NEW_ENTRY,
            f"UPDATE {S}.dag_configuration_audit SET changed_by = 'ceo'",
            f"TRUNCATE {S}.dag_configuration_audit",
            f"UPDATE {S}.dag_configuration_overrides SET reason = 'forged'",
            f"SELECT setval('{S}.dag_configuration_audit_audit_id_seq', 1)",
            f"SELECT {S}.dagconfig_write_audit('UPDATE', 'dag_configuration', NULL, '{{}}')",
            f"CREATE TRIGGER mine BEFORE INSERT ON {S}.dag_configuration"
            f" FOR EACH ROW EXECUTE FUNCTION {S}.audit_dag_configuration()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                attempt(adopted_database, app, statement)
        with adopted_database.role() as nobody, pytest.raises(psycopg.errors.InsufficientPrivilege):
            attempt(adopted_database, nobody, f"CREATE TABLE {S}.mine ()")
        adopted_database.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {S} REVOKE ALL ON TABLES FROM {app}")
        adopted_database.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {S} REVOKE ALL ON FUNCTIONS FROM {app}")


def test_an_editor_makes_rows_where_the_sequence_is_nobodys(adopted_database: Database) -> None:
    """As in tables that were copied, with the defaults of what they were copied from."""
    adopted_database.execute(f"ALTER SEQUENCE {S}.dag_configuration_id_seq OWNED BY NONE")
    migrate(adopted_database.url)

    with adopted_database.role("dagconfig_editor") as editor:
        for statement in (WRITES[0], WRITES[3]):
            attempt(adopted_database, editor, statement)
    migrate(adopted_database.url, to=14)


def test_nothing_of_the_stores_stays_granted_to_public(adopted_database: Database) -> None:
    adopted_database.execute(f"""
        GRANT ALL ON ALL TABLES IN SCHEMA {S} TO PUBLIC;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA {S} TO PUBLIC;
        GRANT ALL ON SCHEMA {S} TO PUBLIC
    """)

    migrate(adopted_database.url)

    assert (
        adopted_database.execute(f"""
        SELECT c.relname::text FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.relnamespace = '{S}'::regnamespace AND a.grantee = 0 AND c.relname NOT LIKE 'assets%'
    """)
        == []
    )


@pytest.mark.parametrize(
    "function",
    [
        "quantity_value(character varying) RETURNS numeric",
        "dagconfig_write_audit(text, name, jsonb, jsonb) RETURNS void",
        "dagconfig_broken_rules(name, jsonb, text[]) RETURNS SETOF pg_class",
        "dagconfig_keeps_rules(anyelement, anyelement) RETURNS boolean",
    ],
)
def test_what_runs_as_the_owner_calls_no_function_of_somebody_who_may_create_in_the_schema(
    migrated_database: Database, function: str
) -> None:
    with migrated_database.role(f"USAGE, CREATE ON SCHEMA {S}") as app:
        with psycopg.connect(migrated_database.url_of(app), autocommit=True) as connection:
            connection.execute(f"CREATE FUNCTION {S}.{function} LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$")

        migrated_database.execute(f"UPDATE {S}.dag_configuration SET memory_limit = '8Gi' WHERE dag_name = 'calculate_indicators'")


def test_a_user_who_may_not_make_roles_is_told_what_to_run(postgres: Server) -> None:
    # A separate server: the others have the roles.
    with (
        running_server(postgres.version) as server,
        new_database(server) as database,
        database.role(f"CREATE ON DATABASE {database.name}") as owner,
    ):
        hints: list[str | None] = []
        migrate(database.url_of(owner))
        with psycopg.connect(database.url_of(owner), autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: hints.append(notice.message_hint))
            assert connection.execute(f"SELECT {S}.grant_roles()").fetchone() == (False,)
        assert hints[-1] == (
            "An administrator runs: CREATE ROLE dagconfig_reader; CREATE ROLE dagconfig_editor;"
            f" GRANT dagconfig_reader TO dagconfig_editor; then {owner}: SELECT {S}.grant_roles();"
        )

        database.execute("CREATE ROLE dagconfig_reader; CREATE ROLE dagconfig_editor; GRANT dagconfig_reader TO dagconfig_editor")
        with psycopg.connect(database.url_of(owner), autocommit=True) as connection:
            assert connection.execute(f"SELECT {S}.grant_roles()").fetchone() == (True,)
        with database.role("dagconfig_editor") as editor:
            attempt(database, editor, WRITES[6])
            attempt(database, editor, READS[0])


def test_an_administrator_who_migrates_leaves_everything_to_the_tables_owner(postgres: Server) -> None:
    with new_database(postgres) as adopted, adopted.role(f"CREATE ON DATABASE {adopted.name}") as owner:
        migrate(adopted.url_of(owner), to=8)

        migrate(adopted.url)

        assert (
            adopted.execute(
                """
                SELECT p.proname::text FROM pg_proc AS p
                WHERE p.pronamespace = 'financial_screener'::regnamespace AND p.proowner <> %(owner)s::regrole
                UNION ALL SELECT c.relname::text FROM pg_class AS c
                WHERE c.relnamespace = 'financial_screener'::regnamespace AND c.relowner <> %(owner)s::regrole
                    AND c.relname LIKE 'dag\\_configuration%%'
                """,
                {"owner": owner},
            )
            == []
        )
        with psycopg.connect(adopted.url_of(owner), autocommit=True) as connection:
            connection.execute(f"SELECT {S}.update_dag_config('calculate_indicators', 'all', p_batch_size => 8)")
