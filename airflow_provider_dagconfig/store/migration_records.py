"""The table in which a database records the migrations that were applied to it: ``dagconfig_migrations``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from airflow_provider_dagconfig.exceptions import MigrationError
from airflow_provider_dagconfig.models import Unreadable, quoted_schema
from airflow_provider_dagconfig.store.earlier_builds import is_of_earlier_build
from airflow_provider_dagconfig.store.grants import Grant

_TABLE = sql.SQL("""
    CREATE TABLE {schema}.dagconfig_migrations (
        version integer PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamp with time zone NOT NULL DEFAULT pg_catalog.now(),
        applied_by text NOT NULL DEFAULT session_user,
        revoked jsonb
    )
""")
# Tables of earlier builds of this package lack some of this. A user who may not add it migrates without it.
_COMPLETE = sql.SQL("""
    DO $$
    BEGIN
        ALTER TABLE {schema}.dagconfig_migrations ADD COLUMN IF NOT EXISTS revoked jsonb;
        COMMENT ON TABLE {schema}.dagconfig_migrations IS 'What airflow dagconfig migrate applied here.';
        COMMENT ON COLUMN {schema}.dagconfig_migrations.version IS 'The migration''s number.';
        COMMENT ON COLUMN {schema}.dagconfig_migrations.name IS 'The rest of its file''s name.';
        COMMENT ON COLUMN {schema}.dagconfig_migrations.checksum IS 'SHA-256 of its file, with the schema''s default name.';
        COMMENT ON COLUMN {schema}.dagconfig_migrations.applied_at IS 'When it was applied.';
        COMMENT ON COLUMN {schema}.dagconfig_migrations.applied_by IS 'The database''s user who applied it.';
        COMMENT ON COLUMN {schema}.dagconfig_migrations.revoked IS
            'The grants that it took, for its way back: kind, name, column, role (null: PUBLIC), privilege, grantable.';
    EXCEPTION
        WHEN insufficient_privilege THEN NULL;
    END
    $$
""")


@dataclass(frozen=True)
class Record:
    """A row of ``dagconfig_migrations``."""

    version: int
    name: str
    checksum: str
    applied_at: datetime | Unreadable
    applied_by: str

    @property
    def file(self) -> str:
        return f"{self.version:03}_{self.name}.sql"

    @property
    def is_of_earlier_build(self) -> bool:
        return is_of_earlier_build(self.file, self.checksum)

    @property
    def day(self) -> str:
        """The day on which it was applied: ``2026-11-24``."""
        return str(self.applied_at) if isinstance(self.applied_at, Unreadable) else f"{self.applied_at:%Y-%m-%d}"


def read_records(connection: psycopg.Connection[Any], schema: str) -> dict[int, Record]:
    """Return the records of applied migrations, by version."""
    if not exists(connection, schema, "dagconfig_migrations"):
        return {}
    query = sql.SQL("""
        SELECT version, name, checksum, applied_at, applied_by FROM {schema}.dagconfig_migrations ORDER BY version
    """).format(schema=sql.Identifier(schema))
    with connection.cursor(row_factory=class_row(Record)) as cursor:
        return {record.version: record for record in cursor.execute(query)}


def add_record(connection: psycopg.Connection[Any], schema: str, version: int, name: str, checksum: str) -> None:
    """Record a migration as applied, now and by this user."""
    if not exists(connection, schema, "dagconfig_migrations"):
        connection.execute(_TABLE.format(schema=sql.Identifier(schema)))
    connection.execute(
        sql.SQL("""
            INSERT INTO {schema}.dagconfig_migrations (version, name, checksum)
            VALUES (%(version)s, %(name)s, %(checksum)s)
        """).format(schema=sql.Identifier(schema)),
        {"version": version, "name": name, "checksum": checksum},
    )


def remove_records(connection: psycopg.Connection[Any], schema: str, versions: Iterable[int]) -> None:
    """Delete the records of migrations that are no longer applied."""
    connection.execute(
        sql.SQL("DELETE FROM {schema}.dagconfig_migrations WHERE version = ANY(%(versions)s)").format(
            schema=sql.Identifier(schema)
        ),
        {"versions": list(versions)},
    )


def record_revoked(connection: psycopg.Connection[Any], schema: str, version: int, grants: list[Grant] | None) -> None:
    """Record the grants that a migration revoked, for its way back; None where they are not known."""
    connection.execute(_COMPLETE.format(schema=sql.Identifier(schema)))
    if _has_revoked(connection, schema):
        connection.execute(
            sql.SQL("UPDATE {schema}.dagconfig_migrations SET revoked = %(grants)s WHERE version = %(version)s").format(
                schema=sql.Identifier(schema)
            ),
            {"version": version, "grants": None if grants is None else json.dumps(grants)},
        )


def read_revoked(connection: psycopg.Connection[Any], schema: str, version: int) -> list[Grant] | None:
    """Return the grants that a migration revoked; None where they were not recorded."""
    if not _has_revoked(connection, schema):
        return None
    row = connection.execute(
        sql.SQL("SELECT revoked FROM {schema}.dagconfig_migrations WHERE version = %(version)s").format(
            schema=sql.Identifier(schema)
        ),
        {"version": version},
    ).fetchone()
    if row is None or row[0] is None:
        return None
    try:
        return [Grant(*grant) for grant in row[0]]
    except TypeError:
        table = f"{quoted_schema(schema)}.dagconfig_migrations"
        change = f"SET revoked = NULL WHERE version = {version};"
        raise MigrationError(
            f"revoked of migration {version:03} in {table} is no list of grants, so they cannot be given back. To go back without"
            f" them: UPDATE {table} {change}"
        ) from None


def _has_revoked(connection: psycopg.Connection[Any], schema: str) -> bool:
    found = connection.execute(
        """
        SELECT FROM pg_catalog.pg_attribute AS a
        WHERE
            a.attrelid = pg_catalog.to_regclass(%(table)s) AND a.attname = 'revoked' AND NOT a.attisdropped
        """,
        {"table": f"{quoted_schema(schema)}.dagconfig_migrations"},
    )
    return found.rowcount > 0


def exists(connection: psycopg.Connection[Any], schema: str, table: str) -> bool:
    """Return whether a table exists, even if another session has just created it."""
    # Not to_regclass: it reads the cache of the server process, which learns of another run's commit when it locks a table
    # (here pg_class), but not when it waits for an advisory lock.
    found = connection.execute(
        """
        SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = %(schema)s AND c.relname = %(table)s
        """,
        {"schema": schema, "table": table},
    ).fetchone()
    return found is not None
