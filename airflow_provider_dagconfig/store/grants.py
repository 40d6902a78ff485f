"""
The grants and function comments in the configuration's schema, before and after a migration.

A migration replaces functions, which drops their comments and grants. The migration of the roles revokes earlier grants. This
module restores comments, and grants that let a role read; on the way back it restores every grant that was revoked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from airflow_provider_dagconfig.store.roles import ROLES_SOURCE, roles_of


class Grant(NamedTuple):
    """One privilege of one role."""

    kind: str
    """TABLE, SEQUENCE, FUNCTION or SCHEMA, as in GRANT."""
    name: str
    column: str | None
    """None for the whole object."""
    role: str | None
    """None for PUBLIC."""
    privilege: str
    is_grantable: bool


class Function(NamedTuple):
    """A function of the schema."""

    signature: str
    oid: int
    name: str
    comment: str | None
    owner: str


class Access(NamedTuple):
    """A table that a role may read, or change, by any grant."""

    role: str
    table: str
    is_change: bool


@dataclass(frozen=True)
class Picture:
    """The schema's grants and functions at one moment."""

    grants: frozenset[Grant]
    functions: tuple[Function, ...]

    @classmethod
    def of(cls, connection: psycopg.Connection[Any], schema: str) -> Picture:
        parameters = {"schema": schema}
        return cls(
            grants=frozenset(Grant(*row) for row in connection.execute(_GRANTS, parameters)),
            functions=tuple(Function(*row) for row in connection.execute(_FUNCTIONS, parameters)),
        )


def access_of_all(connection: psycopg.Connection[Any], schema: str) -> frozenset[Access]:
    """Return what each role may read or change now, by any grant; superusers are left out."""
    return frozenset(Access(*row) for row in connection.execute(_ACCESS, {"schema": schema}))


# Owners are left out: their rights do not depend on grants.
_GRANTS = """
    SELECT g.kind, g.name::text, g.column_name::text, r.rolname::text, a.privilege_type, pg_catalog.bool_or(a.is_grantable)
    FROM (
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname, NULL, c.relowner, c.relacl
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%(schema)s))
        UNION ALL
        SELECT 'TABLE', c.relname, t.attname, c.relowner, t.attacl
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_attribute AS t ON t.attrelid = c.oid AND NOT t.attisdropped
        WHERE c.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%(schema)s)) AND t.attacl IS NOT NULL
        UNION ALL
        SELECT 'FUNCTION', p.proname, NULL, p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%(schema)s)) AND p.prokind = 'f'
        UNION ALL
        SELECT 'SCHEMA', n.nspname, NULL, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace AS n WHERE n.nspname = %(schema)s
    ) AS g (kind, name, column_name, owner, acl)
    CROSS JOIN LATERAL pg_catalog.aclexplode(g.acl) AS a
    LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
    WHERE a.grantee <> g.owner AND (a.grantee = 0 OR r.oid IS NOT NULL)
    GROUP BY 1, 2, 3, 4, 5
"""

_FUNCTIONS = """
    SELECT
        p.oid::pg_catalog.regprocedure::text, p.oid, p.proname::text, pg_catalog.obj_description(p.oid, 'pg_proc'),
        pg_catalog.pg_get_userbyid(p.proowner)::text
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%(schema)s)) AND p.prokind = 'f'
    ORDER BY p.oid
"""

# A view reads with the rights of its owner, which may be a role without a login.
_ACCESS = """
    WITH tables AS (
        SELECT c.oid, c.relname, c.relnamespace FROM pg_catalog.pg_class AS c
        WHERE
            c.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%(schema)s))
            AND c.relname IN ('dag_configuration', 'exchange_groups', 'dag_configuration_audit')
    )
    SELECT r.rolname::text, t.relname::text, k.is_change
    FROM pg_catalog.pg_roles AS r
    CROSS JOIN tables AS t
    CROSS JOIN (VALUES (false, 'SELECT'), (true, 'INSERT'), (true, 'UPDATE'), (true, 'DELETE')) AS k (is_change, privilege)
    WHERE
        NOT r.rolsuper
        AND (
            r.rolcanlogin
            OR EXISTS (
                SELECT
                FROM pg_catalog.pg_depend AS d
                JOIN pg_catalog.pg_rewrite AS w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
                JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class
                WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = t.oid AND v.relowner = r.oid
            )
        )
        AND pg_catalog.has_schema_privilege(r.oid, t.relnamespace, 'USAGE')
        AND CASE k.privilege
            WHEN 'DELETE' THEN pg_catalog.has_table_privilege(r.oid, t.oid, k.privilege)
            ELSE pg_catalog.has_any_column_privilege(r.oid, t.oid, k.privilege)
        END
    GROUP BY 1, 2, 3
"""


def restore_function_properties(connection: psycopg.Connection[Any], schema: str, before: Picture, now: Picture) -> None:
    """Give a function that replaces another the comment, the owner and the EXECUTE grants of the replaced function."""
    replaced = [f for f in before.functions if f.oid not in {g.oid for g in now.functions}]
    for function in now.functions:
        former = [f for f in replaced if f.name == function.name]
        if not former or function in before.functions:
            continue
        comments = [f.comment for f in former if f.comment]
        if comments:
            connection.execute(
                sql.SQL("COMMENT ON FUNCTION {} IS {}").format(sql.SQL(function.signature), sql.Literal(comments[0]))
            )
        if former[0].owner != function.owner:
            # Only a superuser or a member of that role may do this. The roles' migration gives all functions to one owner.
            with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(
                    sql.SQL("ALTER FUNCTION {} OWNER TO {}").format(sql.SQL(function.signature), sql.Identifier(former[0].owner))
                )
        former_grants = {grant for grant in before.grants if grant.kind == "FUNCTION" and grant.name == function.name}
        if not any(grant.role is None for grant in former_grants):
            _revoke(connection, schema, Grant("FUNCTION", function.name, None, None, "EXECUTE", False), now)
        for grant in former_grants:
            _grant(connection, schema, grant, now)


def restore_read_grants(connection: psycopg.Connection[Any], schema: str, before: Picture, now: Picture) -> None:
    """Restore a role's own grants to read a table, or some of its columns; not those to PUBLIC."""
    for grant in lost_grants(before, now):
        if grant.kind == "TABLE" and grant.privilege == "SELECT" and grant.role is not None:
            _grant(connection, schema, grant, now)


def lost_grants(before: Picture, now: Picture) -> list[Grant]:
    """Return the grants that were lost on objects that still exist."""
    functions = {("FUNCTION", function.name) for function in now.functions}
    gone = before.grants - now.grants
    return sorted((g for g in gone if g.kind != "FUNCTION" or (g.kind, g.name) in functions), key=str)


def restore_revoked(connection: psycopg.Connection[Any], schema: str, revoked: Iterable[Grant], before: Picture) -> None:
    """Restore the grants that a migration revoked. Revoke what its way back grants PUBLIC beyond them: it cannot know what was."""
    revoked = set(revoked)
    now = Picture.of(connection, schema)
    for grant in now.grants - before.grants - revoked:
        if grant.role is None:
            _revoke(connection, schema, grant, now)
    for grant in sorted(revoked - now.grants, key=str):
        _grant(connection, schema, grant, now)


def describe_lost_access(connection: psycopg.Connection[Any], schema: str, before: frozenset[Access]) -> Iterator[str]:
    """Yield, for each role that can no longer read or change a table, a sentence with the statements that let it do so again."""
    gone = before - access_of_all(connection, schema)
    for role in sorted({access.role for access in gone}):
        lost_access = sorted(access for access in gone if access.role == role)
        is_change = any(access.is_change for access in lost_access)
        tables = ", ".join(dict.fromkeys(access.table for access in lost_access))
        verb = "change" if is_change else "read"
        grants = _role_grants(connection, schema, role, lost_access, is_change)
        yield f"{role} could {verb} {tables} by grants to PUBLIC alone, and no longer can. {grants}"


def _role_grants(connection: psycopg.Connection[Any], schema: str, role: str, lost_access: list[Access], is_change: bool) -> str:
    """Return the GRANT of the role with all these rights, if this user may grant it; otherwise the tables' owner's statements."""

    def quote(*parts: str) -> str:
        [quoted] = connection.execute(
            "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p), '.') FROM unnest(%s::text[]) AS p", [list(parts)]
        ).fetchone() or [""]
        return str(quoted)

    source = connection.execute(ROLES_SOURCE, {"schema": schema}).fetchone()
    roles = roles_of(source and source[0])
    needed_role = roles.editor if is_change else roles.reader
    if connection.execute(_MAY_GRANT, {"role": needed_role}).fetchone() == (True,):
        return f"GRANT {needed_role} TO {quote(role)};"
    tables = {access.table for access in lost_access}
    if "dag_configuration" in tables:
        tables |= {
            "dag_configuration_overrides",
            "dag_configuration_override_periods",
            "dagconfig_ceilings",
            "dagconfig_installation",
        }
    statements = [f"GRANT SELECT ON {', '.join(quote(schema, table) for table in sorted(tables))} TO {quote(role)};"]
    for access in lost_access:
        if access.is_change and access.table != "dag_configuration_audit":
            statements += [
                f"GRANT INSERT, UPDATE, DELETE ON {quote(schema, access.table)} TO {quote(role)};",
                f"GRANT USAGE ON SEQUENCE {quote(schema, f'{access.table}_id_seq')} TO {quote(role)};",
            ]
    argument = sql.Literal(quote(role)).as_string(connection)
    return " ".join(
        [*statements, f"SELECT {quote(schema)}.dagconfig_grant_functions({argument}, {'true' if is_change else 'false'});"]
    )


# Before PostgreSQL 16, a role with CREATEROLE may grant any role.
_MAY_GRANT = """
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_roles AS given CROSS JOIN pg_catalog.pg_roles AS me
        WHERE
            given.rolname = %(role)s AND me.rolname = current_user
            AND (
                me.rolsuper
                OR (me.rolcreaterole AND pg_catalog.current_setting('server_version_num')::integer < 160000)
                OR pg_catalog.pg_has_role(me.oid, given.oid, 'MEMBER WITH ADMIN OPTION')
            )
    )
"""


def _targets(schema: str, grant: Grant, now: Picture) -> list[sql.Composable]:
    if grant.kind == "SCHEMA":
        return [sql.Identifier(schema)]
    if grant.kind == "FUNCTION":
        # The server wrote the signature, with quotes where they are needed.
        return [sql.SQL(function.signature) for function in now.functions if function.name == grant.name]
    return [sql.Identifier(schema, grant.name)]


def _grant(connection: psycopg.Connection[Any], schema: str, grant: Grant, now: Picture) -> None:
    """Grant it, unless its object or its role no longer exists."""
    _change(connection, schema, grant, now, sql.SQL("GRANT"), sql.SQL("TO"))


def _revoke(connection: psycopg.Connection[Any], schema: str, grant: Grant, now: Picture) -> None:
    _change(connection, schema, grant, now, sql.SQL("REVOKE"), sql.SQL("FROM"))


def _change(
    connection: psycopg.Connection[Any], schema: str, grant: Grant, now: Picture, verb: sql.SQL, preposition: sql.SQL
) -> None:
    role = sql.SQL("PUBLIC") if grant.role is None else sql.Identifier(grant.role)
    with_option = grant.is_grantable and verb == sql.SQL("GRANT")
    for target in _targets(schema, grant, now):
        statement = sql.SQL("{} {}{} ON {} {} {} {}{}").format(
            verb,
            sql.SQL(grant.privilege),
            sql.SQL("") if grant.column is None else sql.SQL(" ({})").format(sql.Identifier(grant.column)),
            sql.SQL(grant.kind),
            target,
            preposition,
            role,
            sql.SQL(" WITH GRANT OPTION" if with_option else ""),
        )
        gone_errors = (psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
        with suppress(*gone_errors), connection.transaction():
            connection.execute(statement)
