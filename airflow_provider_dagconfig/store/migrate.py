"""
Applies the numbered .sql files to a database, and records what it applied. What the files say is theirs; the command line is
in cli/.

Each migration is one transaction, which first takes a lock (``pg_advisory_xact_lock``: it needs no session, so PgBouncer in
transaction mode is fine, and it ends with the transaction, so a killed run leaves nothing to clean up), then reads what is
applied, and only then decides what to do. Two runs at once are safe for that reason alone: the second waits, and finds
nothing left.

The way back is one transaction, however many migrations it takes back: it drops what cannot be made again, and what it drops
before somebody's view or foreign key stops it must not be lost.

A database that a build from before the first release migrated has other files recorded, or some of today's as they were then. It is
brought over in one transaction, by applying all files over what is there: each of them may be repeated (earlier_builds.py has what
else that takes).

A migration needs its tables for itself. While it waits for a reader to finish, all others queue behind it; so it waits for
seconds only, is rolled back, lets them through, and begins again (sessions.py says how often).

Why not a library. The files are plain SQL for psql, with function bodies between ``$$``; psycopg sends such a file to the
server as it is. What is left to do is a list of files, a table and a lock.

* yoyo-migrations 9.0.0 reads .sql files, but cuts them into statements with sqlparse, which has to guess at ``$$`` bodies;
  its hash is one of the migration's name, so an edited file goes unnoticed; its lock is a row, which a killed run leaves
  behind (``yoyo break-lock``).
* Alembic, which Airflow brings along, can be driven without revision files, from scripts made at run time, by way of
  functions that it does not document. It reads the current version before a lock of ours could be taken, has no checksum,
  and no word for a database that is to be adopted: lock, record, checksum, adoption and the execution of the file would
  still be written here, with its one-column version table as a second record beside ours.
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
from airflow_provider_dagconfig.store.earlier_builds import make_way
from airflow_provider_dagconfig.store.errors import GAVE_UP
from airflow_provider_dagconfig.store.grants import Picture, give_back, keep, keep_readers, lost, who_lost_access
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
# The name goes into function bodies, string literals and format() patterns of the files, so it must mean nothing there.
_SCHEMA = re.compile(r"(?!pg_)[A-Za-z_][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class Migration:
    """One numbered file, with its way back."""

    version: int
    name: str
    up: str
    down: str

    @property
    def file(self) -> str:
        return f"{self.version:03}_{self.name}.sql"

    @property
    def checksum(self) -> str:
        """SHA-256 of the file with the schema's default name, so that it is the same in every database."""
        return hashlib.sha256(self.up.encode()).hexdigest()


@dataclass(frozen=True)
class Step:
    """What was done for one migration."""

    version: int
    file: str
    action: Literal["applied", "adopted", "renewed", "reverted", "granted"]
    """
    adopted: the tables were there already, without a record; their rows stayed as they were. renewed: applied over what an
    earlier build of this package had made; the data stayed. granted: the roles have got other names.
    """


@dataclass(frozen=True)
class State:
    """What is known about one migration."""

    version: int
    file: str
    state: Literal["applied", "pending", "not recorded", "earlier build", "edited", "unknown"]
    """
    not recorded: its tables are there, and migrating adopts them. earlier build: a build before the first release applied it, and
    migrating brings it over. edited: the file is not the one that was applied. unknown: a later version of this package applied it.
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
    :param to: the last version that is applied afterwards; None: at least the newest one here, 7 or less: none. Going
        back loses the data of what is reverted; it does all of it, or nothing.
    :param reader_role: what the role is called that may read, and
    :param editor_role: the one that may change. None: as before, at first ``dagconfig_reader`` and ``dagconfig_editor``.
    :param waiting: is told whom a migration waits for, another run or who uses the tables, when it lets others go first.
    :param notice: takes what somebody has to do besides: roles that an administrator makes, rows that break a rule, columns of
        theirs that went.
    :return: what was done; nothing, if the database was there already.
    :raises MigrationError: a file was edited after it was applied, the version is unknown, or the database refused a
        migration, of which nothing is left then, or the way back, of which nothing was done then.
    :raises DagConfigBusyError: others used the tables all the time, or a migration ran for too long.
    :raises DagConfigUnreachableError: there is no connection, or no answer.
    :raises DagConfigNotAllowedError: the user may not do it.
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
    """Do what :func:`migrate` does, and give each step when it is done."""
    target = Target.from_url(target) if isinstance(target, str) else target
    _check_schema(target.schema)
    versions = [migration.version for migration in available()]
    names = {name: role for name, role in (("reader_role", reader_role), ("editor_role", editor_role)) if role}
    if names and to is not None and to < _of_the_roles().version:
        raise MigrationError(f"There are no roles before {_of_the_roles().file}: leave out their names")
    if to is not None and to >= _FIRST and to not in versions:
        raise MigrationError(f"There is no migration {to:03}. There are: {', '.join(f'{v:03}' for v in versions)}.")
    with target.session("migrating", waiting or (lambda _: None)) as session:
        connection = session.connection
        if notice is not None:
            connection.add_notice_handler(lambda diagnostic: _pass_on(diagnostic, notice))
        done: list[Step] = []
        while steps := _next(lambda: _steps(connection, target, to, names, notice or (lambda _: None)), session, done):
            done += steps
            yield from steps
        if bool(names) and session.attempts(sessions.MIGRATING, lambda: _name_roles(connection, target, names)):
            yield Step(_of_the_roles().version, _of_the_roles().file, "granted")
        session.attempts(sessions.MIGRATING, lambda: _enforce_rules(connection, target))


def _of_the_roles() -> Migration:
    return next(migration for migration in available() if migration.name == "roles")


def _next(take: Callable[[], list[Step]], session: Session, done: Sequence[Step]) -> list[Step]:
    try:
        return session.attempts(sessions.MIGRATING, take)
    except MigrationError as error:
        if not done:
            raise
        before = ", ".join(f"{step.action} {step.file}" for step in done)
        raise MigrationError(f"{str(error).removesuffix('.')}. Before it was done, and stays: {before}") from error


def status(target: Target | str) -> list[State]:
    """Say for each migration whether it is applied. Changes nothing, and needs SELECT on ``dagconfig_migrations`` only."""
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
    """Give the migrations that this version of the package has, in order."""
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
    """Do what comes next on the way to the version, inside a transaction: one migration forwards, or all that go back."""
    _lock(connection, target.schema)
    records = read_records(connection, target.schema)
    earlier = {version: record for version, record in records.items() if record.is_of_earlier_build}
    as_today = {version: record for version, record in records.items() if version not in earlier}
    _check_unedited(as_today)
    if earlier:
        _check_known(as_today)
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
            # For this transaction: the file reads it, and makes no roles of other names first.
            connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", [f"dagconfig.{setting}", role])
        return [_apply(connection, target, missing[0], notice)]
    if surplus:
        with own_columns.told(connection, target.schema, notice):
            return [_revert(connection, target, version) for version in reversed(surplus)]
    if to is not None and to < _FIRST and exists(connection, target.schema, "dag_configuration"):
        raise MigrationError(
            f"The tables of {available()[0].file} are there, but not recorded ({target.location}). Adopt them first:"
            f" {target.location.command('migrate')}"
        )
    return []


def _name_roles(connection: psycopg.Connection[Any], target: Target, names: Mapping[str, str]) -> bool:
    """Give the roles other names, if they have not got these already; say whether."""
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
    """Make constraints of the rules that no row breaks any more; nothing before there are rules, or for a user who may not."""
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


def _pass_on(diagnostic: psycopg.errors.Diagnostic, notice: Callable[[str], None]) -> None:
    """Tell a notice of ours, which has a remedy; PostgreSQL's own, of what is skipped since it is there, have none."""
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
    refused: str = "and nothing of it is left",
) -> Step:
    is_there = migration.version == _FIRST and exists(connection, target.schema, "dag_configuration")
    before = Picture.of(connection, target.schema)
    later_files.make_way(connection, target.schema, migration.version)
    _run(connection, target, migration.up, f"{migration.file} was refused, {refused}")
    keep(connection, target.schema, before)
    keep_readers(connection, target.schema, before)
    add_record(connection, target.schema, migration.version, migration.name, migration.checksum)
    record_revoked(connection, target.schema, migration.version, lost(before, Picture.of(connection, target.schema)))
    for text in who_lost_access(connection, target.schema, before):
        notice(text)
    return Step(migration.version, migration.file, "adopted" if is_there else "applied")


def _bring_over(
    connection: psycopg.Connection[Any], target: Target, former: dict[int, Record], notice: Callable[[str], None]
) -> list[Step]:
    """
    Apply all files over what an earlier build made, which may be any part of it: each of them may be repeated.

    :param former: all that is recorded above 008, what that build had as it is today too.

    What PUBLIC and others were granted before is given back by the way back of the roles, if that build recorded it.
    """
    recorded = [read_revoked(connection, target.schema, version) for version in former]
    remove_records(connection, target.schema, former)
    make_way(connection, target.schema)
    steps = []
    for migration in available()[1:]:
        step = _apply(connection, target, migration, notice, "so nothing was brought over")
        steps.append(Step(step.version, step.file, "renewed"))
        if migration.name == "roles" and any(record.name == "roles" for record in former.values()):
            of_this = read_revoked(connection, target.schema, migration.version)
            all_of_it = [*recorded, of_this]
            known = None not in all_of_it
            grants = sorted({grant for some in all_of_it for grant in some or ()}, key=str)
            record_revoked(connection, target.schema, migration.version, grants if known else None)
    return steps


def _revert(connection: psycopg.Connection[Any], target: Target, version: int) -> Step:
    migration = next(m for m in available() if m.version == version)
    file = migration.file.replace(".sql", ".down.sql")
    revoked = read_revoked(connection, target.schema, version)
    before = Picture.of(connection, target.schema)
    _run(connection, target, migration.down, f"{file} was refused, so nothing was taken back")
    keep(connection, target.schema, before)
    if revoked is not None:
        give_back(connection, target.schema, revoked, before)
    remove_records(connection, target.schema, [version])
    return Step(version, file, "reverted")


def _run(connection: psycopg.Connection[Any], target: Target, text: str, refused: str) -> None:
    """Send a whole file to the server, for the schema that is meant; ``refused`` says what it means that it does not take it."""
    statements = re.sub(rf"\b{DEFAULT_SCHEMA}\b", lambda _: quoted_schema(target.schema), text)
    try:
        connection.execute(statements.encode())
    except psycopg.Error as error:
        if error.sqlstate == "42501" or error.sqlstate in GAVE_UP:
            raise
        explained = target.location.explain(error, purpose="migrating")
        if isinstance(explained, DagConfigUnreachableError):
            raise
        # Of this file only: what was applied before it stays.
        reason = str(explained).removesuffix(" Nothing was changed.")
        if error.sqlstate == _IN_USE:
            # PostgreSQL's hint, CASCADE, would lose what somebody else made.
            reason = (
                f"{error.diag.message_primary}: {_one_line(error.diag.message_detail)} ({target.location})."
                " Drop what depends on it, by name and without CASCADE, run this again, and make it anew afterwards"
            )
        raise MigrationError(f"{refused}: {reason}") from error


def _one_line(text: str | None) -> str:
    return "; ".join((text or "").splitlines())
