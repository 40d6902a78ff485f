"""
Applies the numbered .sql files to a database, and records which it applied. The content of the files is theirs; the command line
is in cli/.

Each migration is one transaction. It takes a lock first (``pg_advisory_xact_lock``: it needs no session, so PgBouncer in
transaction mode works, and it ends with the transaction, so a killed run leaves nothing to clean up). Then it reads what is
applied, and only then decides what to do. This alone makes two runs at once safe: the second waits, and finds nothing to do.

The way back is one transaction for all migrations that it reverts. It drops what cannot be recreated, so nothing may be lost when
another user's view or foreign key stops it halfway.

A database that a build from before the first release migrated has records of other files, or of earlier texts of today's files. It
is brought over in one transaction: all files are applied over what exists, because each of them may be repeated
(earlier_builds.py has the rest).

A migration needs its tables for itself. While it waits for a reader to finish, all others queue behind it. So it waits only for
seconds, is rolled back, lets the others go first, and begins again (sessions.py says how often).

Why not a library. The files are plain SQL for psql, with function bodies between ``$$``; psycopg sends such a file to the
server unchanged. What remains is a list of files, a table and a lock.

* yoyo-migrations 9.0.0 reads .sql files, but splits them into statements with sqlparse, which has to guess at ``$$`` bodies. It
  hashes the migration's name, so it does not notice an edited file. Its lock is a row, which a killed run leaves behind
  (``yoyo break-lock``).
* Alembic, which Airflow depends on, can run without revision files, from scripts made at run time, through functions that it
  does not document. It reads the current version before we could take a lock, has no checksum, and cannot adopt an existing
  database. We would still write the lock, the record, the checksum, the adoption and the execution of the file, and would have
  its version table with one column as a second record.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import psycopg
from psycopg import sql

from airflow_provider_dagconfig.exceptions import DagConfigUnreachableError, MigrationError
from airflow_provider_dagconfig.models import DEFAULT_SCHEMA, Unreadable, quoted_schema
from airflow_provider_dagconfig.store import later_files, own_columns, sessions
from airflow_provider_dagconfig.store.earlier_builds import drop_obsolete_objects
from airflow_provider_dagconfig.store.errors import GAVE_UP
from airflow_provider_dagconfig.store.grants import (
    Picture,
    access_of_all,
    describe_lost_access,
    lost_grants,
    restore_function_properties,
    restore_read_grants,
    restore_revoked,
)
from airflow_provider_dagconfig.store.migration_records import (
    Record,
    add_record,
    exists,
    read_records,
    read_revoked,
    record_revoked,
    remove_records,
)
from airflow_provider_dagconfig.store.sessions import Session
from airflow_provider_dagconfig.store.target import Target

_FILE = re.compile(r"(?P<version>[0-9]{3})_(?P<name>[a-z0-9_]+)(?P<down>\.down)?\.sql")
_FIRST = 8
_IN_USE = "2BP01"  # dependent_objects_still_exist
# The name is put into function bodies, string literals and format() patterns of the files, so it must have no meaning there.
_SCHEMA = re.compile(r"(?!pg_)[A-Za-z_][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class Migration:
    """One numbered file, with the file of its way back."""

    version: int
    name: str
    up: str
    down: str

    @property
    def file(self) -> str:
        return f"{self.version:03}_{self.name}.sql"

    @property
    def checksum(self) -> str:
        """SHA-256 of the file with the default schema's name, so that it is the same for every database."""
        return hashlib.sha256(self.up.encode()).hexdigest()


@dataclass(frozen=True)
class Step:
    """One thing that was done for a migration."""

    version: int
    file: str
    action: Literal["applied", "adopted", "renewed", "reverted", "granted"]
    """
    adopted: the tables existed already, without a record; their rows were not changed. renewed: applied over the objects of an
    earlier build of this package; the data was not changed. granted: roles with other names have the rights now.
    """


@dataclass(frozen=True)
class State:
    """The state of one migration."""

    version: int
    file: str
    state: Literal["applied", "pending", "not recorded", "earlier build", "edited", "unknown"]
    """
    not recorded: its tables exist, and migrating adopts them. earlier build: a build before the first release applied it, and
    migrating brings it over. edited: the file differs from the one that was applied. unknown: a later version of this package
    applied it.
    """
    applied_at: datetime | Unreadable | None
    applied_by: str | None


def migrate(
    target: Target | str,
    to: int | None = None,
    *,
    reader_role: str | None = None,
    editor_role: str | None = None,
    waiting: Callable[[str], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> list[Step]:
    """
    Bring a database to a version.

    :param target: the database, or its URL (with the default schema).
    :param to: the last version that is applied afterwards; None for the newest one here, or a later one that is applied already;
        7 or less for none. Going back loses the data of the reverted migrations; all of them are reverted, or none.
    :param reader_role: the name of the role that may read; None keeps the name, at first ``dagconfig_reader``.
    :param editor_role: the name of the role that may change; None keeps the name, at first ``dagconfig_editor``.
    :param waiting: is called with a message about who holds the lock, another run or a user of the tables, when others go first.
    :param notice: is called with what a person must know or do: roles that an administrator must create, rows that break a rule,
        own columns that were dropped.
    :return: what was done; empty if the database was up to date.
    :raises MigrationError: a file was edited after it was applied, the version is unknown, or the database refused a
        migration or the way back, which then is rolled back.
    :raises DagConfigBusyError: others used the tables in every attempt, or a migration ran for too long.
    :raises DagConfigUnreachableError: there is no connection, or no answer.
    :raises DagConfigNotAllowedError: the user lacks a privilege.
    """
    return list(migrating(target, to, reader_role=reader_role, editor_role=editor_role, waiting=waiting, notice=notice))


def migrating(
    target: Target | str,
    to: int | None = None,
    *,
    reader_role: str | None = None,
    editor_role: str | None = None,
    waiting: Callable[[str], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    """Do the same as :func:`migrate`, and yield each step when it is done."""
    target = Target.from_url(target) if isinstance(target, str) else target
    _check_schema(target.schema)
    versions = [migration.version for migration in available()]
    names = {name: role for name, role in (("reader_role", reader_role), ("editor_role", editor_role)) if role}
    if names and to is not None and to < _roles_migration().version:
        raise MigrationError(f"There are no roles before {_roles_migration().file}: leave out their names")
    if to is not None and to >= _FIRST and to not in versions:
        raise MigrationError(f"There is no migration {to:03}. There are: {', '.join(f'{v:03}' for v in versions)}.")
    with target.session("migrating", waiting or (lambda _: None)) as session:
        connection = session.connection
        if notice is not None:
            connection.add_notice_handler(lambda diagnostic: _pass_on_notice(diagnostic, notice))
        done: list[Step] = []
        while steps := _next_steps(lambda: _steps(connection, target, to, names, notice or (lambda _: None)), session, done):
            done += steps
            yield from steps
        if bool(names) and session.attempts(sessions.MIGRATING, lambda: _name_roles(connection, target, names)):
            yield Step(_roles_migration().version, _roles_migration().file, "granted")
        session.attempts(sessions.MIGRATING, lambda: _enforce_rules(connection, target))


def _roles_migration() -> Migration:
    return next(migration for migration in available() if migration.name == "roles")


def _next_steps(work: Callable[[], list[Step]], session: Session, done: Sequence[Step]) -> list[Step]:
    try:
        return session.attempts(sessions.MIGRATING, work)
    except MigrationError as error:
        if not done:
            raise
        before = ", ".join(f"{step.action} {step.file}" for step in done)
        raise MigrationError(f"{str(error).removesuffix('.')}. Before it was done, and stays: {before}") from error


def status(target: Target | str) -> list[State]:
    """Return the state of each migration. It changes nothing, and needs only SELECT on ``dagconfig_migrations``."""
    target = Target.from_url(target) if isinstance(target, str) else target
    _check_schema(target.schema)
    with target.session("migrating") as session:
        connection = session.connection
        records, tables_are_there = session.attempts(
            sessions.READING,
            lambda: (read_records(connection, target.schema), exists(connection, target.schema, "dag_configuration")),
        )
    earlier = [records.pop(version) for version, record in list(records.items()) if record.is_of_earlier_build]
    states = [_state(r.version, r.file, "earlier build", r) for r in earlier]
    for migration in available():
        record = records.pop(migration.version, None)
        state: Any = "pending"
        if record is not None:
            state = "applied" if record.checksum == migration.checksum else "edited"
        elif migration.version == _FIRST and tables_are_there:
            state = "not recorded"
        states.append(_state(migration.version, migration.file, state, record))
    states += [_state(r.version, r.file, "unknown", r) for r in records.values()]
    return sorted(states, key=lambda state: (state.state == "pending", state.version))


@cache
def available() -> Sequence[Migration]:
    """Return the migrations of this version of the package, in order."""
    texts: dict[tuple[int, str], dict[str, str]] = {}
    for file in files("airflow_provider_dagconfig.migrations").iterdir():
        if match := _FILE.fullmatch(file.name):
            key = int(match["version"]), match["name"]
            texts.setdefault(key, {})["down" if match["down"] else "up"] = file.read_text(encoding="utf-8")
    return [Migration(version, name, **both) for (version, name), both in sorted(texts.items())]


def _state(version: int, file: str, state: Any, record: Record | None) -> State:
    at, by = (record.applied_at, record.applied_by) if record else (None, None)
    return State(version, file, state, at, by)


def _check_schema(schema: str) -> None:
    if not _SCHEMA.fullmatch(schema):
        raise MigrationError(
            f"{schema!r} cannot be the configuration's schema: write a letter or _, then letters, digits, '_', '-' or '.',"
            " at most 63 in all, and not pg_ at the start"
        )


def _steps(
    connection: psycopg.Connection[Any],
    target: Target,
    to: int | None,
    names: Mapping[str, str],
    notice: Callable[[str], None],
) -> list[Step]:
    """Do the next part of the way to the version inside a transaction: one migration forwards, or all that are reverted."""
    _lock(connection, target.schema)
    records = read_records(connection, target.schema)
    earlier = {version: record for version, record in records.items() if record.is_of_earlier_build}
    current = {version: record for version, record in records.items() if version not in earlier}
    _check_unedited(current)
    if earlier:
        _check_known(current)
        if to is not None and to < available()[-1].version:
            raise MigrationError(
                f"An earlier build of airflow-provider-dagconfig migrated this database ({target.location}), by other files"
                f" ({', '.join(record.file for record in earlier.values())}). Bring it over first:"
                f" {target.location.command('migrate')}"
            )
        return _bring_over(connection, target, {v: record for v, record in records.items() if v != _FIRST}, notice)
    missing = [m for m in available() if m.version not in records and (to is None or m.version <= to)]
    surplus = [] if to is None else sorted(version for version in records if version > to)
    if missing or surplus:
        _check_known(records)
    if missing:
        for setting, role in names.items():
            # For this transaction: the file reads it, and does not create roles with other names first.
            connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", [f"dagconfig.{setting}", role])
        return [_apply(connection, target, missing[0], notice)]
    if surplus:
        with own_columns.notify_of_dropped_columns(connection, target.schema, notice):
            return [_revert(connection, target, version) for version in reversed(surplus)]
    if to is not None and to < _FIRST and exists(connection, target.schema, "dag_configuration"):
        raise MigrationError(
            f"The tables of {available()[0].file} are there, but not recorded ({target.location}). Adopt them first:"
            f" {target.location.command('migrate')}"
        )
    return []


def _name_roles(connection: psycopg.Connection[Any], target: Target, names: Mapping[str, str]) -> bool:
    """Give the rights to roles with these names, if they have others. Return whether they had."""
    _lock(connection, target.schema)
    schema, wanted = sql.Identifier(target.schema), {"reader_role": None, "editor_role": None, **names}
    different = connection.execute(
        sql.SQL("""
            SELECT FROM {}.dagconfig_roles() AS r
            WHERE r.reader <> %(reader_role)s::text OR r.editor <> %(editor_role)s::text
        """).format(schema),
        wanted,
    ).rowcount
    if different:
        connection.execute(sql.SQL("SELECT {}.grant_roles(%(reader_role)s::text, %(editor_role)s::text)").format(schema), wanted)
    return bool(different)


def _enforce_rules(connection: psycopg.Connection[Any], target: Target) -> None:
    """Make rules constraints if no row breaks them any more; do nothing before there are rules, or without the privilege."""
    function = f"{quoted_schema(target.schema)}.enforce_rules()"
    _lock(connection, target.schema)
    connection.execute(
        sql.SQL("""
            DO $$
            BEGIN
                IF pg_catalog.has_function_privilege(pg_catalog.to_regprocedure({function}), 'EXECUTE') THEN
                    PERFORM {schema}.enforce_rules();
                END IF;
            END
            $$
        """).format(function=sql.Literal(function), schema=sql.Identifier(target.schema))
    )


def _pass_on_notice(diagnostic: psycopg.errors.Diagnostic, notice: Callable[[str], None]) -> None:
    """Pass on a notice of ours, which has a hint with the remedy. PostgreSQL's own, about objects that it skips, have none."""
    if diagnostic.message_hint:
        notice(f"{diagnostic.message_primary}. {diagnostic.message_hint}")


def _lock(connection: psycopg.Connection[Any], schema: str) -> None:
    key = {"key": zlib.crc32(f"airflow-provider-dagconfig migrations of {schema}".encode())}
    connection.execute("SELECT pg_catalog.pg_advisory_xact_lock(%(key)s::bigint)", key)


def _check_unedited(records: dict[int, Record]) -> None:
    for migration in available():
        record = records.get(migration.version)
        if record is not None and record.checksum != migration.checksum:
            raise MigrationError(
                f"{migration.file} has been edited since {record.applied_by} applied it on {record.day}"
                f" (SHA-256 was {record.checksum[:12]}, is {migration.checksum[:12]}). Reinstall"
                " airflow-provider-dagconfig to restore the file, and write what should change as a new migration"
            )


def _check_known(records: dict[int, Record]) -> None:
    unknown = sorted(records.keys() - {migration.version for migration in available()})
    if unknown:
        record = records[unknown[-1]]
        raise MigrationError(
            f"{record.applied_by} applied {record.version:03}_{record.name}.sql on {record.day}, which this"
            " version of airflow-provider-dagconfig does not have. Install the version that has it, or a later one"
        )


def _apply(
    connection: psycopg.Connection[Any],
    target: Target,
    migration: Migration,
    notice: Callable[[str], None],
    refusal: str = "and nothing of it is left",
) -> Step:
    is_there = migration.version == _FIRST and exists(connection, target.schema, "dag_configuration")
    before, access = Picture.of(connection, target.schema), access_of_all(connection, target.schema)
    later_files.drop_replaced_objects(connection, target.schema, migration.version)
    _run_file(connection, target, migration.up, f"{migration.file} was refused, {refusal}")
    now = Picture.of(connection, target.schema)
    restore_function_properties(connection, target.schema, before, now)
    restore_read_grants(connection, target.schema, before, now)
    add_record(connection, target.schema, migration.version, migration.name, migration.checksum)
    record_revoked(connection, target.schema, migration.version, lost_grants(before, Picture.of(connection, target.schema)))
    for text in describe_lost_access(connection, target.schema, access):
        notice(text)
    return Step(migration.version, migration.file, "adopted" if is_there else "applied")


def _bring_over(
    connection: psycopg.Connection[Any], target: Target, former: dict[int, Record], notice: Callable[[str], None]
) -> list[Step]:
    """
    Apply all files over the objects of an earlier build, however many of them it made: each file may be repeated.

    :param former: all records above 008, also of files that are the same today.

    The way back of the roles restores what PUBLIC and others were granted before, if that build recorded it.
    """
    recorded = [read_revoked(connection, target.schema, version) for version in former]
    remove_records(connection, target.schema, former)
    drop_obsolete_objects(connection, target.schema)
    steps = []
    for migration in available()[1:]:
        step = _apply(connection, target, migration, notice, "so nothing was brought over")
        steps.append(Step(step.version, step.file, "renewed"))
        if migration.name == "roles" and any(record.name == "roles" for record in former.values()):
            newly_revoked = read_revoked(connection, target.schema, migration.version)
            all_revoked = [*recorded, newly_revoked]
            is_known = None not in all_revoked
            grants = sorted({grant for revoked in all_revoked for grant in revoked or ()}, key=str)
            record_revoked(connection, target.schema, migration.version, grants if is_known else None)
    return steps


def _revert(connection: psycopg.Connection[Any], target: Target, version: int) -> Step:
    migration = next(m for m in available() if m.version == version)
    file = migration.file.replace(".sql", ".down.sql")
    revoked = read_revoked(connection, target.schema, version)
    before = Picture.of(connection, target.schema)
    _run_file(connection, target, migration.down, f"{file} was refused, so nothing was taken back")
    restore_function_properties(connection, target.schema, before, Picture.of(connection, target.schema))
    if revoked is not None:
        restore_revoked(connection, target.schema, revoked, before)
    remove_records(connection, target.schema, [version])
    return Step(version, file, "reverted")


def _run_file(connection: psycopg.Connection[Any], target: Target, text: str, refusal: str) -> None:
    """Send a whole file to the server, with the target's schema; ``refusal`` begins the message where the server refuses it."""
    statements = re.sub(rf"\b{DEFAULT_SCHEMA}\b", lambda _: quoted_schema(target.schema), text)
    try:
        connection.execute(statements.encode())
    except psycopg.Error as error:
        if error.sqlstate == "42501" or error.sqlstate in GAVE_UP:
            raise
        explained = target.location.explain(error, purpose="migrating")
        if isinstance(explained, DagConfigUnreachableError):
            raise
        # "Nothing was changed" is true of this file only: what was applied before it stays.
        reason = str(explained).removesuffix(" Nothing was changed.")
        if error.sqlstate == _IN_USE:
            # PostgreSQL's hint, CASCADE, would drop objects of others.
            reason = (
                f"{error.diag.message_primary}: {_one_line(error.diag.message_detail)} ({target.location})."
                " Drop what depends on it, by name and without CASCADE, run this again, and make it anew afterwards"
            )
        raise MigrationError(f"{refusal}: {reason}") from error


def _one_line(text: str | None) -> str:
    return "; ".join((text or "").splitlines())
