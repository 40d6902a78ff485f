"""What ``airflow dagconfig doctor`` asks of the database: the server, and what this user may do in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg import sql

from airflow_provider_dagconfig.store.errors import EDITOR_ROLE, READER_ROLE

if TYPE_CHECKING:
    from airflow_provider_dagconfig.store import Store

ROLES = (READER_ROLE, EDITOR_ROLE)
# Catalogs only, so that it answers in a database that was never migrated, and to a user who may do nothing.
_LOOK = sql.SQL("""
    WITH store AS (
        SELECT n.oid, n.nspowner, has_schema_privilege(n.oid, 'USAGE') AS usable
        FROM pg_catalog.pg_namespace AS n WHERE n.nspname = %(schema)s
    ), tables AS (
        SELECT c.oid, c.relname, c.relowner
        FROM pg_catalog.pg_class AS c JOIN store ON store.oid = c.relnamespace
        WHERE c.relname IN ('dag_configuration', 'exchange_groups', 'dag_configuration_audit') AND c.relkind IN ('r', 'p')
    )
    SELECT
        current_setting('server_version') AS version,
        current_setting('server_version_num')::integer / 10000 AS major,
        session_user::text AS user_name,
        clock_timestamp() AS clock,
        current_setting('default_transaction_read_only')::boolean OR pg_is_in_recovery() AS read_only,
        (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
        EXISTS (SELECT FROM store) AS has_schema,
        (SELECT count(*) = 3 FROM tables) AS has_tables,
        coalesce((SELECT usable FROM store), false) AND coalesce(
            (SELECT bool_and(has_table_privilege(oid, 'SELECT')) FROM tables), false
        ) AS may_read,
        coalesce((SELECT usable FROM store), false) AND coalesce(
            (
                SELECT bool_and(has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE'))
                FROM tables WHERE relname <> 'dag_configuration_audit'
            ), false
        ) AS may_change,
        coalesce((SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM tables), false) AS owns,
        coalesce(
            (SELECT bool_or(has_table_privilege(oid, 'UPDATE') OR has_table_privilege(oid, 'DELETE')) FROM tables
             WHERE relname = 'dag_configuration_audit'), false
        ) AS may_forge,
        ARRAY(
            SELECT wanted.name FROM unnest(%(roles)s::text[]) WITH ORDINALITY AS wanted (name, number)
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name)
            ORDER BY wanted.number
        ) AS missing_roles,
        ARRAY(
            SELECT role.rolname::text FROM pg_catalog.pg_roles AS role
            WHERE role.rolname = ANY (%(roles)s::text[]) AND NOT coalesce(
                has_schema_privilege(role.oid, (SELECT oid FROM store), 'USAGE')
                AND (SELECT bool_and(has_table_privilege(role.oid, tables.oid, 'SELECT')) FROM tables), false
            )
            ORDER BY role.rolname
        ) AS roles_without_rights,
        coalesce(
            (
                SELECT NOT has_table_privilege(%(reader)s, c.oid, 'SELECT')
                FROM pg_catalog.pg_class AS c JOIN store ON store.oid = c.relnamespace
                WHERE
                    c.relname = 'dagconfig_installation'
                    AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %(reader)s)
            ), false
        ) AS reader_lacks_id
""")


@dataclass(frozen=True)
class Look:
    """A database and its user, as the catalogs show them."""

    version: str
    major: int
    user_name: str
    clock: datetime
    read_only: bool
    """A standby, or a server that is set so."""
    superuser: bool
    has_schema: bool
    has_tables: bool
    may_read: bool
    may_change: bool
    owns: bool
    """Whether the tables are this user's, who can do anything with them."""
    may_forge: bool
    """Whether the audit can be changed: the owner's right only."""
    missing_roles: list[str]
    """Of the two that the migrations make: they belong to the server, and a dump of the database has them not."""
    roles_without_rights: list[str]
    """Those that are there, and may not read the tables of this schema."""
    reader_lacks_id: bool
    """Whether the reader's role may not read the store's id, without which no task can run."""


def look_at(store: Store) -> Look:
    """
    Look at the database.

    :raises DagConfigError: it cannot be reached.
    """
    return Look(**store._ask(_LOOK, {"schema": store.schema, "roles": list(ROLES), "reader": READER_ROLE})[0])
