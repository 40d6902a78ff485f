"""The queries of ``airflow dagconfig doctor`` to the database: the server, and what this user may do in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from psycopg import sql

from airflow_provider_dagconfig.exceptions import DagConfigError
from airflow_provider_dagconfig.store.roles import Roles

if TYPE_CHECKING:
    from airflow_provider_dagconfig.store import Store

_END_OF_TIME = datetime.max.replace(tzinfo=timezone.utc)
NEEDED_BY_TASKS = ("dagconfig_installation", "dagconfig_ceilings")
"""The tables that a task reads besides jobs, groups, overrides and the audit."""
# It reads only catalogs, so that it works in a database that was never migrated, and for a user without privileges.
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
            (SELECT has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(oid, 'INSERT, UPDATE')
             FROM tables WHERE relname = 'dag_configuration_audit'), false
        ) AS may_forge,
        ARRAY(
            SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
            FROM tables
            JOIN pg_catalog.pg_class AS c ON c.oid = tables.oid
            CROSS JOIN LATERAL (
                SELECT c.relacl
                UNION ALL
                SELECT t.attacl FROM pg_catalog.pg_attribute AS t WHERE t.attrelid = c.oid AND NOT t.attisdropped
            ) AS l (acl)
            CROSS JOIN LATERAL aclexplode(l.acl) AS a
            WHERE
                c.relname = 'dag_configuration_audit' AND a.grantee <> c.relowner
                AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
                AND CASE a.grantee WHEN 0 THEN true ELSE pg_has_role(a.grantee, 'USAGE') END
            ORDER BY 1
        ) AS forgers,
        coalesce((SELECT pg_has_role(oid, 'USAGE') FROM pg_catalog.pg_roles WHERE rolname = %(reader)s), false) AS is_reader,
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
        ARRAY(
            SELECT c.relname::text
            FROM pg_catalog.pg_class AS c
            JOIN store ON store.oid = c.relnamespace
            JOIN pg_catalog.pg_roles AS reader ON reader.rolname = %(reader)s
            WHERE c.relname = ANY (%(needed)s::text[]) AND NOT has_table_privilege(reader.oid, c.oid, 'SELECT')
            ORDER BY array_position(%(needed)s::text[], c.relname::text)
        ) AS reader_lacks,
        ARRAY(
            SELECT DISTINCT 'schema ' || quote_ident(n.nspname)
            FROM pg_catalog.pg_namespace AS n
            CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
            JOIN pg_catalog.pg_roles AS role ON role.oid = a.grantee
            WHERE role.rolname = ANY (%(roles)s::text[]) AND n.nspname <> %(schema)s
            UNION ALL
            SELECT DISTINCT 'database ' || quote_ident(d.datname)
            FROM pg_catalog.pg_shdepend AS s
            JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
            JOIN pg_catalog.pg_roles AS role ON role.oid = s.refobjid
            WHERE
                s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype = 'a' AND d.datname <> current_database()
                AND role.rolname = ANY (%(roles)s::text[])
            ORDER BY 1
        ) AS also_serve
""")


@dataclass(frozen=True)
class Look:
    """A database and its user, as the catalogs describe them."""

    roles: Roles
    """The names of the roles in this installation."""
    version: str
    major: int
    user_name: str
    clock: datetime
    read_only: bool
    """Whether the server is a standby, or is set to read only."""
    superuser: bool
    has_schema: bool
    has_tables: bool
    may_read: bool
    may_change: bool
    owns: bool
    """Whether this user owns the tables, and so may do anything with them."""
    may_forge: bool
    """Whether this user may change the audit. Only the owner should."""
    forgers: list[str]
    """The roles that allow it, as SQL writes them: the user, its roles, PUBLIC. Empty where pg_write_all_data allows it."""
    is_reader: bool
    """Whether this user has the reader's role."""
    missing_roles: list[str]
    """Which of the reader's and the editor's role do not exist. Roles belong to the server; a dump of the database lacks them."""
    roles_without_rights: list[str]
    """Which of the two exist, but may not read the tables of this schema."""
    reader_lacks: list[str]
    """Which of NEEDED_BY_TASKS the reader's role may not read. No task can run without them."""
    also_serve: list[str]
    """Where else the roles have rights: ``schema NAME`` of this database, ``database NAME`` of this server."""


_PROBE = "dagconfig_doctor"
"""A DAG, a job and a group that nobody has, so that no row of a user is locked."""


def try_changes(store: Store) -> None:
    """
    Make one change of each kind in a transaction, and roll it back. Only gaps in the ids of rows and audit entries remain.

    :raises DagConfigError: a change does not work; the message begins with which one.
    """
    job, why = (_PROBE, _PROBE), "a test by doctor, rolled back"
    with store.transaction(force_rollback=True):
        with _attempt("to make a job"):
            store.update_dag_config(*job, reason=why)
        with _attempt("to change a job"):
            store.update_dag_config(*job, batch_size=7, reason=why)
        with _attempt("to roll a change back"):
            store.rollback_change(store.get_history(*job, limit=1)[0].audit_id, reason=why)
        with _attempt("to roll a job back"):
            store.rollback_dag_config(*job, _END_OF_TIME, reason=why)
        with _attempt("to make an override"):
            override = store.override_dag_config(*job, for_="1h", batch_size=8, reason=why)
        with _attempt("to end an override"):
            store.end_override(override.override_id, reason=why)
        with _attempt("to delete a job"):
            store.delete_dag_config(*job, reason=why)
        with _attempt("to make an exchange group"):
            store.update_exchange_group(_PROBE, display_name=_PROBE, exchanges=["A"], reason=why)
        with _attempt("to change an exchange group"):
            store.update_exchange_group(_PROBE, priority=1, reason=why)
        with _attempt("to delete an exchange group"):
            store.delete_exchange_group(_PROBE, reason=why)


@contextmanager
def _attempt(change: str) -> Iterator[None]:
    try:
        yield
    except DagConfigError as error:
        raise type(error)(f"it was tried {change}, and failed: {error}") from error


def look_at(store: Store) -> Look:
    """
    Return what the catalogs say about the database and its user.

    :raises DagConfigError: it cannot be reached.
    """
    roles = store.target.roles()
    parameters = {
        "schema": store.schema,
        "roles": [roles.reader, roles.editor],
        "reader": roles.reader,
        "needed": list(NEEDED_BY_TASKS),
    }
    return Look(roles=roles, **store._ask(_LOOK, parameters)[0])
