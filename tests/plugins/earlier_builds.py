"""Databases of the builds before the package's first release."""

from __future__ import annotations

import hashlib
import tarfile
from functools import cache
from pathlib import Path

import psycopg
from plugins.postgres import Database

ARCHIVE = Path(__file__).parents[1] / "migrations" / "earlier_builds.tar.xz"
"""The numbered files of each build, in folders by commit: ``git show COMMIT:migrations/FILE`` on main."""
BUILDS = (
    *("1ec10d4", "1139ac7", "4478908", "cc08f5f", "6b35d13", "d553ed2", "10ca2f5", "c146a4d", "ebc7c51", "3d41694", "7794a70"),
    "04af5fa",
)
OF_OTHER_NAMES = "7794a70"
"""The last build whose files have other names than today's; later builds have some files with another content."""
LAST_BUILD = BUILDS[-1]
_WITH_REVOKED = BUILDS[8:]
"""The builds that recorded which grants they had revoked."""
S = "financial_screener"
JOB = "'calculate_indicators', 'all'"
_LSE = f"SELECT {S}.update_exchange_group('lse', p_exchanges => '{{LSE,AIM}}', p_updated_by => 'maria');"
_USE = {
    "changes": f"""
        SELECT {S}.update_dag_config({JOB}, p_memory_limit => '8Gi', p_updated_by => 'maria', p_reason => 'OOMKilled');
        SELECT {S}.update_dag_config('mine', 'all', p_description => 'My own');
        SELECT {S}.update_dag_config('gone', 'all', p_batch_size => 5);
        SELECT {S}.delete_dag_config('gone', 'all', 'peter');
    """,
    "overrides": f"""
        SELECT {S}.override_dag_config({JOB}, now() + interval '1 hour', 'backfill', 'ann', p_batch_size => 7);
        SELECT {S}.override_dag_config({JOB}, now() + interval '1 hour', 'mistake', 'ann', p_timeout_seconds => 7);
        SELECT {S}.end_override(2, 'ann');
    """,
    "reversal": f"SELECT {S}.rollback_change(max(audit_id)) FROM {S}.dag_configuration_audit WHERE operation = 'DELETE';",
    "adopted_audit": _LSE,
    "ceilings": f"{_LSE} SELECT {S}.set_ceiling('memory', '64Gi', p_updated_by => 'ann', p_reason => 'the largest node');",
}
"""Migration to what people did with it."""


@cache
def _files_of(build: str) -> dict[str, str]:
    with tarfile.open(ARCHIVE) as archive:
        return {
            Path(member.name).name: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive
            if member.isfile() and f"{build}/" in member.name
        }


def build(database: Database, commit: str = OF_OTHER_NAMES, to: int = 99) -> Database:
    """Migrate a database as a build did, to its last version or an earlier one; return the database."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        for name, text in sorted(_files_of(commit).items()):
            version = int(name[:3])
            if version > to:
                continue
            with connection.transaction():
                connection.execute(text.encode())
                if version == 8:
                    connection.execute(f"""
                        CREATE TABLE {S}.dagconfig_migrations (
                            version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
                            applied_at timestamp with time zone NOT NULL DEFAULT pg_catalog.now(),
                            applied_by text NOT NULL DEFAULT session_user
                            {", revoked jsonb" if commit in _WITH_REVOKED else ""}
                        )
                    """)
                connection.execute(
                    f"INSERT INTO {S}.dagconfig_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                    [version, name[4:-4], hashlib.sha256(text.encode()).hexdigest()],
                )
    return database


def use(database: Database) -> Database:
    """Use a database of an earlier build as people did who had its migrations; return the database."""
    for (name,) in database.execute(f"SELECT name FROM {S}.dagconfig_migrations ORDER BY version"):
        if name in _USE:
            database.execute(_USE[name])
    return database
