"""A live installation is adopted, and goes back to what it was: its groups can be changed, and nothing of its own is lost."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from plugins.postgres import PASSWORD, Database, Server, make_live, new_database, running_server

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.store.migrate import Target, migrate

HERE = Path(__file__).parent
S = "financial_screener"
TABLES = ["dag_configuration", "exchange_groups", "dag_configuration_audit"]
FUNCTIONS = ["get_dag_config", "get_exchange_groups", "update_dag_config"]

COMMENTS = f"""
    SELECT c.relname || coalesce('.' || a.attname, ''), d.description
    FROM pg_description AS d
    JOIN pg_class AS c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid
    LEFT JOIN pg_attribute AS a ON d.objsubid > 0 AND a.attrelid = c.oid AND a.attnum = d.objsubid
    WHERE c.relnamespace = '{S}'::regnamespace AND c.relname NOT LIKE 'dagconfig%'
    UNION ALL
    SELECT p.proname::text, d.description
    FROM pg_description AS d JOIN pg_proc AS p ON d.classoid = 'pg_proc'::regclass AND p.oid = d.objoid
    WHERE p.pronamespace = '{S}'::regnamespace AND p.proname = ANY('{{{",".join(FUNCTIONS)}}}')
    ORDER BY 1
"""
GRANTS = f"""
    SELECT o.name, o.part, coalesce(a.grantee::regrole::text, ''), a.privilege_type
    FROM (
        SELECT relname::text, '', relowner, relacl FROM pg_class WHERE relnamespace = '{S}'::regnamespace
        UNION ALL
        SELECT c.relname::text, t.attname::text, c.relowner, t.attacl
        FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid
        WHERE c.relnamespace = '{S}'::regnamespace AND t.attacl IS NOT NULL
        UNION ALL
        SELECT proname::text, '', proowner, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
        WHERE pronamespace = '{S}'::regnamespace AND proname = ANY(%s)
    ) AS o (name, part, owner, acl)
    CROSS JOIN LATERAL aclexplode(o.acl) AS a
    WHERE a.grantee <> o.owner AND o.name <> 'dagconfig_migrations'
    ORDER BY 1, 2, 3, 4
"""


OWNERS = f"""
    SELECT relname::text, relowner::regrole::text FROM pg_class
    WHERE relnamespace = '{S}'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'dag%%s' AND relname NOT LIKE 'dagconfig%%'
    UNION SELECT proname::text, proowner::regrole::text FROM pg_proc
    WHERE proname IN ('get_dag_config', 'get_exchange_groups', 'update_dag_config', 'audit_dag_configuration')
    ORDER BY 1
""".replace("%%", "%")


def grants(database: Database) -> list[tuple[object, ...]]:
    return database.execute(GRANTS, [FUNCTIONS])


def attempt(database: Database, role: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.url_of(role)) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def notes_of(database: Database, to: int | None = None, user: str | None = None) -> list[str]:
    notes: list[str] = []
    migrate(database.url_of(user) if user else database.url, to, notice=notes.append)
    return notes


@contextmanager
def live_on(server: Server, *since: str) -> Iterator[tuple[Database, str]]:
    """A live installation on this server, and the application's user, who owns it."""
    owner = f"owner_{uuid.uuid4().hex[:12]}"
    server.execute(f"CREATE ROLE {owner} LOGIN PASSWORD '{PASSWORD}'")
    try:
        with new_database(server) as database:
            yield make_live(database, *since, owner=owner), owner
    finally:
        server.execute(f"DROP ROLE {owner}")


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    with live_on(postgres) as (database, _):
        yield database


def test_the_live_installation_is_as_it_is_described(postgres: Server) -> None:
    """Written from the description of the schema that live installations have."""
    with live_on(postgres) as (database, owner):
        check_description(database, owner)


def check_description(database: Database, owner: str) -> None:
    required = {
        "dag_configuration": {"id", "dag_name", "job_name", "created_at", "updated_at"},
        "exchange_groups": {"id", "group_name", "display_name", "exchanges", "created_at", "updated_at"},
        "dag_configuration_audit": {"audit_id", "operation", "dag_name", "job_name", "changed_at"},
    }
    columns = database.execute(
        "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns"
        f" WHERE table_schema = '{S}' AND is_nullable = 'NO' GROUP BY 1"
    )
    assert {table: set(names) for table, names in columns} == required
    assert set(database.execute(f"SELECT indexname::text FROM pg_indexes WHERE schemaname = '{S}'")) >= {
        ("idx_dag_config_dag_name",),
        ("idx_dag_config_enabled",),
        ("idx_exchange_groups_enabled",),
        ("idx_exchange_groups_priority",),
    }
    assert database.execute(
        "SELECT tgname::text, tgfoid::regproc::text, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
    ) == [("trigger_audit_dag_configuration", f"{S}.audit_dag_configuration", f"{S}.dag_configuration")]
    commented = {"dag_name", "job_name", "batch_size", "enabled"}
    assert {name for name, _ in database.execute(COMMENTS)} == {
        *TABLES,
        *FUNCTIONS,
        *(f"dag_configuration.{column}" for column in commented),
        "exchange_groups.exchanges",
        "exchange_groups.priority",
    }
    assert grants(database) == sorted(
        [*((table, "", "-", "SELECT") for table in TABLES), *((function, "", "-", "EXECUTE") for function in FUNCTIONS)]
    )
    assert database.execute(f"SELECT count(*) FROM {S}.dag_configuration_audit") == [(0,)]
    assert database.execute(
        f"SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = '{S}'::regnamespace"
        f" UNION SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = '{S}'::regnamespace"
    ) == [(owner,)]


@pytest.mark.parametrize("since", [(), ("edits",)], ids=["as it was", "edited"])
def test_groups_are_changed_after_adoption(postgres: Server, since: tuple[str, ...]) -> None:
    with live_on(postgres, *since) as (database, _):
        migrate(database.url)
        reference = database.psql("-q", "-v", "ON_ERROR_STOP=0", "-f", str(HERE / "quick_reference.sql"))
        # The edits have made that market already.
        assert reference.stderr.count("ERROR") == (1 if since else 0), reference.stderr
        assert ("asian_markets" in reference.stderr) == bool(since)
        hook = DagConfigHook.from_url(database.url)
        hook.update_exchange_group("german_markets", priority=4, updated_by="ann")
        database.execute(f"UPDATE {S}.exchange_groups SET description = 'x' WHERE group_name = 'european_markets'")
        database.execute(f"DELETE FROM {S}.exchange_groups WHERE group_name = 'asian_markets'")
        entries = f"SELECT operation, group_name FROM {S}.dag_configuration_audit WHERE group_name IS NOT NULL ORDER BY audit_id"
        assert database.execute(entries)[-3:] == [
            ("UPDATE", "german_markets"),
            ("UPDATE", "european_markets"),
            ("DELETE", "asian_markets"),
        ]
        database.execute(f"TRUNCATE {S}.exchange_groups")
        database.execute(f"TRUNCATE {S}.dag_configuration CASCADE")


def test_going_back_requires_the_names_again_and_says_which_entries_go(database: Database) -> None:
    migrate(database.url)
    assert notes_of(database, to=14) == []
    migrate(database.url)
    database.execute(f"UPDATE {S}.exchange_groups SET priority = 3 WHERE group_name IN ('lse', 'us_markets')")
    database.execute(f"UPDATE {S}.dag_configuration SET priority = 3 WHERE job_name = 'all'")

    [note] = notes_of(database, to=8)

    assert "2 entries of exchange groups, which have none, are deleted" in note
    assert database.execute(
        "SELECT attname::text FROM pg_attribute"
        f" WHERE attrelid = '{S}.dag_configuration_audit'::regclass AND attnotnull AND attname IN ('dag_name', 'job_name')"
    ) == [("dag_name",), ("job_name",)]
    assert database.execute(f"SELECT dag_name FROM {S}.dag_configuration_audit") == [("calculate_indicators",)]
    assert database.execute("SELECT conname FROM pg_constraint WHERE conname LIKE 'adopted%'") == []


@pytest.mark.parametrize("version", [15, 16, 18])
def test_comments_owners_and_what_public_was_granted_come_back(postgres_of: Callable[[int], Server], version: int) -> None:
    with live_on(postgres_of(version)) as (database, _), database.role() as app:
        database.execute(f"""
            GRANT SELECT (dag_name, changed_at), INSERT (job_name) ON {S}.dag_configuration_audit TO {app};
            GRANT TRIGGER ON {S}.dag_configuration TO {app};
            GRANT UPDATE (enabled) ON {S}.dag_configuration TO {app} WITH GRANT OPTION;
            GRANT UPDATE (description) ON {S}.exchange_groups TO PUBLIC;
            GRANT USAGE ON SEQUENCE {S}.dag_configuration_id_seq TO PUBLIC;
            GRANT EXECUTE ON FUNCTION {S}.get_dag_config TO {app};
            REVOKE EXECUTE ON FUNCTION {S}.update_dag_config, {S}.get_exchange_groups FROM PUBLIC;
            COMMENT ON COLUMN {S}.dag_configuration.created_at IS 'it''s when';
            COMMENT ON INDEX {S}.idx_dag_config_dag_name IS 'ours';
            COMMENT ON COLUMN {S}.dag_configuration_audit.changed_at IS 'ü'
        """)
        before, comments, owners = grants(database), database.execute(COMMENTS), database.execute(OWNERS)

        for to in (8, None, 12, 8, None, 8):
            migrate(database.url, to)
            assert [comment for comment in comments if comment not in database.execute(COMMENTS)] == []
            assert database.execute(OWNERS) == owners
            now = grants(database)
            if to is None:
                assert [grant for grant in now if grant[2] == "-"] == []
            if to == 8:
                assert [grant for grant in before if grant not in now] == []
                assert [grant for grant in now if grant not in before and grant[2] == "-"] == []


def test_what_an_administrator_took_from_public_stays_taken(database: Database) -> None:
    migrate(database.url)
    migrate(database.url, 8)
    database.execute(f"REVOKE SELECT ON {S}.dag_configuration FROM PUBLIC")
    before = grants(database)
    migrate(database.url)
    migrate(database.url, 8)
    assert grants(database) == before


def test_a_grant_of_columns_still_reads_the_audit(database: Database) -> None:
    with database.role(f"USAGE ON SCHEMA {S}") as app:
        database.execute(f"REVOKE ALL ON {S}.dag_configuration_audit FROM PUBLIC")
        database.execute(f"GRANT SELECT (dag_name, changed_by) ON {S}.dag_configuration_audit TO {app}")
        migrate(database.url)
        attempt(database, app, f"SELECT dag_name, changed_by FROM {S}.dag_configuration_audit")


READS = [*(f"SELECT * FROM {S}.{table}" for table in TABLES), f"SELECT * FROM {S}.get_dag_config('calculate_indicators')"]


def test_roles_that_read_by_publics_grants_are_named_with_what_lets_them_read(database: Database) -> None:
    strange = 'odd "name" %s'
    with ExitStack() as stack:
        reports = stack.enter_context(database.role(f"USAGE ON SCHEMA {S}"))
        own = stack.enter_context(database.role(f"USAGE ON SCHEMA {S}", *(f"SELECT ON {S}.{table}" for table in TABLES)))
        outsider = stack.enter_context(database.role())
        quoted = psycopg.sql.Identifier(strange).as_string()
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {quoted} LOGIN; GRANT USAGE ON SCHEMA {S} TO {quoted}")
        stack.callback(lambda: database.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}"))

        notes = [note for note in notes_of(database) if "PUBLIC" in note]

        assert sorted(note.split(" could ")[0] for note in notes) == sorted([reports, strange])
        assert not any(own in note or outsider in note for note in notes)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            attempt(database, reports, READS[0])
        for note in notes:
            assert "dag_configuration, dag_configuration_audit, exchange_groups" in note
            assert database.psql("-q", script=note.partition("longer can. ")[2]).returncode == 0
        for statement in READS:
            attempt(database, reports, statement)
        assert [note for note in notes_of(database) if "PUBLIC" in note] == []


def test_the_owner_of_a_view_is_named_too(database: Database) -> None:
    with database.role(f"USAGE, CREATE ON SCHEMA {S}") as app:
        database.execute(
            f"ALTER ROLE {app} NOLOGIN; SET ROLE {app}; CREATE VIEW {S}.jobs AS SELECT job_name FROM {S}.dag_configuration"
        )
        [note] = [note for note in notes_of(database) if "PUBLIC" in note]
        assert note.startswith(f"{app} could read dag_configuration by grants to PUBLIC alone")
        assert database.execute(f"SELECT count(*) FROM {S}.dag_configuration") == [(9,)]
        database.execute(note.partition("longer can. ")[2])
        database.execute(f"SELECT * FROM {S}.jobs")


def test_the_statement_works_for_an_owner_who_may_give_no_role() -> None:
    """On a separate server: on the tests' server, the roles exist already."""
    with (
        running_server(16) as server,
        live_on(server) as (database, owner),
        database.role(f"USAGE ON SCHEMA {S}") as reports,
        database.role(f"USAGE ON SCHEMA {S}") as writer,
    ):
        database.execute(f"GRANT UPDATE ON {S}.exchange_groups TO PUBLIC")
        notes = [note for note in notes_of(database, user=owner) if "PUBLIC" in note]
        assert {note.split(" could ")[0] for note in notes} == {reports, writer}
        for note in notes:
            with psycopg.connect(database.url_of(owner), autocommit=True) as connection:
                connection.execute(note.partition("longer can. ")[2])
        for statement in READS:
            attempt(database, reports, statement)
        attempt(database, writer, f"UPDATE {S}.exchange_groups SET priority = 7 WHERE group_name = 'lse'")
        attempt(database, writer, f"SELECT {S}.update_exchange_group('lse', p_priority => 8)")


THEIRS = {
    "a column": (
        f"ALTER TABLE {S}.dag_configuration ADD COLUMN owner_team text NOT NULL DEFAULT 'data'",
        f"SELECT DISTINCT owner_team FROM {S}.dag_configuration",
    ),
    "an index": (
        f"CREATE INDEX mine ON {S}.dag_configuration (priority, updated_at)",
        "SELECT indexdef FROM pg_indexes WHERE indexname = 'mine'",
    ),
    "a foreign key": (
        f"CREATE TABLE {S}.feeds (market varchar REFERENCES {S}.exchange_groups (group_name), job int REFERENCES"
        f" {S}.dag_configuration (id)); INSERT INTO {S}.feeds VALUES ('lse', 1)",
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY 1",
    ),
    "a view": (
        f"CREATE VIEW {S}.jobs AS SELECT dag_name, job_name, enabled FROM {S}.dag_configuration;"
        f" GRANT SELECT ON {S}.jobs TO PUBLIC; COMMENT ON VIEW {S}.jobs IS 'of reports'",
        f"SELECT *, obj_description('{S}.jobs'::regclass), (SELECT relacl::text FROM pg_class WHERE oid = '{S}.jobs'::regclass)"
        f" FROM {S}.jobs ORDER BY 1, 2",
    ),
    "a policy": (
        f"ALTER TABLE {S}.dag_configuration ENABLE ROW LEVEL SECURITY;"
        f" CREATE POLICY mine ON {S}.dag_configuration FOR SELECT USING (dag_name <> 'secret')",
        "SELECT policyname::text, qual FROM pg_policies",
    ),
    "a trigger": (
        f"CREATE FUNCTION {S}.tell() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_notify('jobs', NEW.job_name); RETURN NEW; END $$;"
        f" CREATE TRIGGER tell AFTER UPDATE ON {S}.dag_configuration FOR EACH ROW EXECUTE FUNCTION {S}.tell()",
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'tell'",
    ),
    "a constraint": (
        f"ALTER TABLE {S}.dag_configuration ADD CONSTRAINT mine CHECK (batch_size < 5000)",
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'mine'",
    ),
    "a default": (
        f"ALTER TABLE {S}.dag_configuration ALTER COLUMN batch_size SET DEFAULT 900",
        "SELECT column_default FROM information_schema.columns"
        " WHERE column_name = 'batch_size' AND table_name = 'dag_configuration'",
    ),
    "statistics and storage": (
        f"ALTER TABLE {S}.dag_configuration SET (fillfactor = 70), ALTER COLUMN description SET STATISTICS 500",
        f"SELECT reloptions FROM pg_class WHERE oid = '{S}.dag_configuration'::regclass",
    ),
    "a publication": (
        f"CREATE PUBLICATION jobs FOR TABLE {S}.dag_configuration",
        "SELECT pubname::text, tablename::text FROM pg_publication_tables",
    ),
}


def test_what_others_added_is_there_up_and_down(database: Database) -> None:
    for statement, _ in THEIRS.values():
        database.execute(statement)
    before = {name: database.execute(query) for name, (_, query) in THEIRS.items()}
    assert all(before.values())
    for to in (None, 8, None):
        migrate(database.url, to)
        assert {name: database.execute(query) for name, (_, query) in THEIRS.items()} == before
    database.execute(f"SELECT {S}.update_dag_config('calculate_indicators', 'all', p_batch_size => 700)")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        database.execute(f"DELETE FROM {S}.exchange_groups WHERE group_name = 'lse'")


OWN = {
    "owner_team": "text DEFAULT 'data'",
    'odd "name"': "numeric(6, 2)",
    "needed": "integer NOT NULL DEFAULT 7",
    "moment": "timestamptz DEFAULT now()",
    "key": "text GENERATED ALWAYS AS (dag_name || '/' || job_name) STORED",
    "number": "serial",
    "counted": "bigint GENERATED ALWAYS AS IDENTITY",
    "100% mine": "varchar(20)[] DEFAULT ARRAY['a%s']",
}


@pytest.mark.parametrize("schema", [S, "job_settings"])
def test_a_column_of_theirs_that_goes_is_named_with_the_statement_that_makes_it_anew(database: Database, schema: str) -> None:
    target = Target.from_url(database.url, schema)
    migrate(target)
    columns = f"""
        SELECT attname::text, format_type(atttypid, atttypmod), attgenerated::text FROM pg_attribute
        WHERE attrelid = '{schema}.dag_configuration'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1
    """
    for name, type_ in OWN.items():
        quoted = psycopg.sql.Identifier(name).as_string()
        database.execute(f"ALTER TABLE {schema}.dag_configuration ADD COLUMN {quoted} {type_}".replace("%", "%%"), [])
    database.execute(f"ALTER TABLE {schema}.dag_configuration_overrides ADD COLUMN ticket text")
    before, notes = database.execute(columns), []

    migrate(target, 8, notice=notes.append)
    assert [note.split(" is a column")[0] for note in notes if "of yours" in note] == ["ticket of dag_configuration_overrides"]
    notes.clear()
    migrate(target, 7, notice=notes.append)
    migrate(target)

    assert [note.split(" is a column")[0] for note in notes] == [f"{name} of dag_configuration" for name in OWN]
    for note in notes:
        done = database.psql("-q", "-c", note.partition(" saved: ")[2])
        assert done.returncode == 0, done.stderr
    assert database.execute(columns) == before


@pytest.mark.parametrize("to", [7, 8, 12])
def test_no_column_of_ours_is_taken_for_theirs(migrated_database: Database, to: int) -> None:
    assert notes_of(migrated_database, to) == []
