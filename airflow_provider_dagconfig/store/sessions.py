"""
A connection to the store with bounded waits, and the messages about a wait. The queries are elsewhere.

Every statement has three bounds. Two are the server's: ``lock_timeout`` and ``statement_timeout``. They are set for one
transaction at a time, so they work through PgBouncer in transaction mode and no later client inherits them. They go to the server
in one message with the statement, which makes both one transaction and one round trip. The third is ours, for a server or a pooler
that accepts a statement and never answers: the socket is shut down, and libpq reports that the connection is lost.

Several statements in one message are PostgreSQL's simple query protocol, so psycopg writes the parameters into the text, quoted by
libpq. Its pipeline mode would work too, but it loses the server's message before a disconnect ("terminating connection due to
..."), and hides the exception of a signal handler behind its own.

A user's own setting (of the role, the database, or the connection's ``options``) stays in force if it is stricter than ours.

A signal handler that raises, such as Airflow's for ``execution_timeout``, ends a wait at once: psycopg waits in short turns. The
connection is closed then, because a rollback would have to wait for the answer.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.datetime import DateLoader, TimeLoader, TimestampLoader, TimestamptzLoader

from airflow_provider_dagconfig.exceptions import DagConfigBusyError, DagConfigUnreachableError
from airflow_provider_dagconfig.models import Unreadable, in_range
from airflow_provider_dagconfig.store.errors import GAVE_UP, LOCK_TIMEOUT, Location

_T = TypeVar("_T")


@dataclass(frozen=True)
class Bounds:
    """How long a statement may wait and run, and how often it is tried."""

    lock: float
    """Seconds that it waits for one lock; then the server ends it, and the attempt is over."""
    statement: float
    """Seconds that it runs in all; then the server ends it, and there is no further attempt."""
    attempts: int
    """How often it queues for its locks. Between two attempts it holds none, so that others go first."""


READING = Bounds(lock=5, statement=30, attempts=1)
"""A reading task waits longer than one attempt of a writer or a migration; after its one attempt, Airflow's retry is the next."""
WRITING = Bounds(lock=3, statement=30, attempts=5)
"""Five attempts take about 20 s, as long as a person waits for a command that says who holds the lock."""
MIGRATING = Bounds(lock=3, statement=600, attempts=30)
"""
Thirty attempts take two minutes. An attempt is shorter than a reader's wait: a reader that queues behind a migration continues when
the migration gives way. An index over millions of audit entries takes a few minutes, less than ten.
"""
ANSWER_SECONDS = 5
"""Seconds beyond ``Bounds.statement``; after them a server that should have ended the statement itself counts as unreachable."""
PAUSE_SECONDS = 1
"""Seconds between two attempts, in which others go first."""

_BEGIN = sql.SQL("BEGIN")
_BEGIN_READ_COMMITTED = sql.SQL("BEGIN ISOLATION LEVEL READ COMMITTED")
_SAVEPOINT = sql.SQL("SAVEPOINT dagconfig_attempt")
_RELEASE = sql.SQL("RELEASE SAVEPOINT dagconfig_attempt")
_BACK_TO_SAVEPOINT = sql.SQL("ROLLBACK TO SAVEPOINT dagconfig_attempt")
# A user's stricter bound stays. Settings are shown as 0, 1500ms, 5s or 2min, all of which can be cast to interval.
_SET_BOUNDS = sql.SQL("""
    SELECT pg_catalog.set_config(bound.name, bound.milliseconds::text, true)
    FROM (
        VALUES ('lock_timeout', %(lock_milliseconds)s::integer), ('statement_timeout', %(statement_milliseconds)s::integer)
    ) AS bound (name, milliseconds)
    WHERE
        pg_catalog.current_setting(bound.name)::interval
        NOT BETWEEN interval '1 millisecond' AND bound.milliseconds * interval '1 millisecond'
""")
# The sessions that block a waiting session. Without a waiting session, those that block a reader: they hold the only lock that
# readers conflict with, or queue for it. A blocker that waits itself is followed to its own blockers. Any user may read pg_locks
# and pg_blocking_pids; of another user's session, pg_stat_activity shows only the user and the application.
_BLOCKERS = sql.SQL("""
    WITH RECURSIVE tables AS (
        SELECT c.oid, pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name, c.relkind IN ('r', 'p') AS is_table
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = %(schema)s
    ), locks AS MATERIALIZED (
        SELECT
            coalesce(l.pid, 0) AS pid, l.mode, l.granted, tables.name, tables.is_table,
            CASE
                WHEN tables.name IS NOT NULL THEN l.mode || ' on ' || tables.name
                WHEN l.locktype = 'advisory' THEN 'the lock that one migration at a time holds'
                WHEN l.locktype IN ('transactionid', 'virtualxid', 'tuple') THEN 'the end of another transaction'
                ELSE l.mode || ' on a ' || l.locktype
            END AS description
        FROM pg_catalog.pg_locks AS l
        LEFT JOIN tables
            ON l.locktype = 'relation' AND tables.oid = l.relation
            AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
    ), in_the_way AS (
        SELECT blocker.pid FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%(waiter)s::integer)) AS blocker (pid)
        UNION
        SELECT locks.pid FROM locks
        WHERE
            %(waiter)s::integer IS NULL AND locks.name IS NOT NULL AND locks.mode = 'AccessExclusiveLock'
            AND locks.pid <> pg_catalog.pg_backend_pid()
        UNION
        SELECT further.pid
        FROM in_the_way CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(in_the_way.pid)) AS further (pid)
    )
    SELECT
        in_the_way.pid, activity.usename AS user_name, activity.application_name AS application, activity.state,
        activity.xact_start AS since,
        (SELECT locks.description FROM locks WHERE locks.pid = in_the_way.pid AND NOT locks.granted LIMIT 1) AS waits,
        ARRAY(
            SELECT locks.description FROM locks
            WHERE
                locks.pid = in_the_way.pid AND locks.granted AND locks.is_table
                AND locks.name = coalesce(
                    (SELECT own.name FROM locks AS own WHERE own.pid = %(waiter)s::integer AND NOT own.granted LIMIT 1), locks.name
                )
            ORDER BY locks.mode = 'AccessExclusiveLock' DESC, locks.name LIMIT 3
        ) AS holds,
        (SELECT own.description FROM locks AS own WHERE own.pid = %(waiter)s::integer AND NOT own.granted LIMIT 1) AS wanted
    FROM in_the_way LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = in_the_way.pid
    WHERE in_the_way.pid IS DISTINCT FROM %(waiter)s::integer
    ORDER BY EXISTS (SELECT FROM locks WHERE locks.pid = in_the_way.pid AND NOT locks.granted), activity.xact_start, in_the_way.pid
    LIMIT 5
""")


@dataclass(frozen=True)
class _InTheWay:
    """A session that blocks others."""

    pid: int
    """Process id of the server; 0 for a prepared transaction, which has no session."""
    user_name: str | None
    application: str | None
    state: str | None
    since: datetime | None
    """State and since: None where this user may not see them."""
    waits: str | None
    """The lock that it waits for itself; None where it does not wait."""
    holds: list[str]
    wanted: str | None
    """The lock that the blocked session waits for."""

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction holds it (pg_prepared_xacts has its gid)"
        facts = [f"user {self.user_name}"] if self.user_name else []
        facts += [f"application {self.application}"] if self.application else []
        since = f" since {self.since.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        facts += [f"{self.state}{since}"] if self.state else []
        text = f"session {self.pid}" + (f" ({', '.join(facts)})" if facts else "")
        holds = _with_sql_lock_names(f" holds {', '.join(self.holds)}" if self.holds else " is in the way")
        return text + holds + (f" and waits itself for {_with_sql_lock_names(self.waits)}" if self.waits else "")


def _tolerant_loader(loader: type[Any]) -> type[Any]:
    """Make a loader of psycopg's return the text of a value that Python cannot hold, instead of an error for the whole result."""

    class Tolerant(loader):  # type: ignore[misc]
        def load(self, data: Any) -> Any:
            text = bytes(data).decode()
            try:
                value = super().load(data)
            except psycopg.DataError:
                return Unreadable(text)
            return in_range(value, text) if isinstance(value, datetime) else value

    return Tolerant


_LOADERS = {
    "timestamptz": _tolerant_loader(TimestamptzLoader),
    "timestamp": _tolerant_loader(TimestampLoader),
    "date": _tolerant_loader(DateLoader),
    "time": _tolerant_loader(TimeLoader),
}


_SETTINGS = {"DateStyle": "ISO", "client_encoding": "UTF8"}
"""
psycopg needs them to read moments, and to read and write any text. A role or a database may have other settings. PgBouncer carries
both from one server connection to the next.
"""


class Session:
    """
    One connection to the store. The code that opened the connection closes it.

    :param connection: a new psycopg connection; autocommit is switched on.
    :param connect: opens another connection, to look up who blocks this one while it waits.
    :param tell: is called with a message about who holds the lock, before a statement is tried again.
    """

    def __init__(
        self, connection: psycopg.Connection[Any], location: Location, connect: Callable[[], Any], tell: Callable[[str], None]
    ) -> None:
        connection.autocommit = True
        # PgBouncer may give each transaction another server connection, which lacks the statements prepared on the last one.
        connection.prepare_threshold = None
        for type_name, loader in _LOADERS.items():
            connection.adapters.register_loader(type_name, loader)
        for setting, wanted in _SETTINGS.items():
            if not (connection.info.parameter_status(setting) or "").startswith(wanted):
                connection.execute(sql.SQL("SET {} TO {}").format(sql.Identifier(setting.lower()), sql.Literal(wanted)))
        self.connection = connection
        self._location = location
        self._connect = connect
        self._tell = tell
        self._bounds: Bounds | None = None
        """The bounds of the transaction; None outside one."""
        self._pid: int | None = None
        """The process id of the server; a pooler gives each transaction another one."""

    def rows(self, query: sql.Composable, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """
        Run one statement and return its rows by column, whatever cursor the Airflow connection's extra asks for.

        Outside a transaction it is its own transaction, for reading, and one round trip.

        :raises DagConfigBusyError: another session held a lock for too long, or the statement ran for too long.
        :raises DagConfigUnreachableError: there was no answer.
        """
        if self._bounds is not None:
            return self._retry_after_lock_timeout(self._bounds, lambda: self._in_savepoint(query, parameters))
        begun = time.monotonic()
        try:
            return self._send(READING, [_SET_BOUNDS, query], {**_milliseconds(READING), **parameters})
        except psycopg.Error as error:
            if error.sqlstate not in GAVE_UP:
                raise
            raise _busy_error(self._location, error, time.monotonic() - begun, self._find_blockers(None)) from error

    @contextmanager
    def transaction(self, bounds: Bounds, *, begin: sql.SQL = _BEGIN, force_rollback: bool = False) -> Iterator[None]:
        """Make the statements inside the block one transaction. A statement that gives way keeps the work before it."""
        with self._roll_back_on_error():
            statements = [begin, _SET_BOUNDS, sql.SQL("SELECT pg_catalog.pg_backend_pid() AS pid")]
            self._pid = self._send(bounds, statements, _milliseconds(bounds))[0]["pid"]
            self._bounds = bounds
            try:
                yield
            finally:
                self._bounds = None
            if force_rollback:
                self._send(bounds, [sql.SQL("ROLLBACK")])
                return
            try:
                self._send(bounds, [sql.SQL("COMMIT")])
            except (psycopg.OperationalError, DagConfigUnreachableError) as error:
                if not self.connection.closed and not self.connection.broken:
                    raise
                raise DagConfigUnreachableError(
                    f"The connection was lost while the change was being committed ({self._location}): {error}. Whether it was made"
                    f" is not known; look before you try again: {self._location.command('history')}"
                ) from error

    def attempts(self, bounds: Bounds, work: Callable[[], _T]) -> _T:
        """
        Run work in a transaction. If it waits too long for a lock, roll it back, let others go first, and run it again.

        :param work: uses ``connection``; it is called once in each attempt.
        :raises DagConfigBusyError: the last attempt waited too long as well, or an attempt ran for too long.
        :raises DagConfigUnreachableError: there was no answer.
        """

        def run_once() -> _T:
            # Each statement must see what another run committed while this one waited, whatever the user's default isolation.
            with self.transaction(bounds, begin=_BEGIN_READ_COMMITTED), self._answer_in_time(bounds):
                return work()

        return self._retry_after_lock_timeout(bounds, run_once)

    def _retry_after_lock_timeout(self, bounds: Bounds, work: Callable[[], _T]) -> _T:
        begun = time.monotonic()
        last_text = ""
        with _Watch(self, bounds.lock / 3) as watch:
            for attempt in range(1, bounds.attempts + 1):
                try:
                    return work()
                except psycopg.Error as error:
                    if error.sqlstate not in GAVE_UP:
                        raise
                    blockers = watch.blockers
                    if error.sqlstate != LOCK_TIMEOUT or attempt == bounds.attempts:
                        raise _busy_error(self._location, error, time.monotonic() - begun, blockers) from error
                text = f"Waiting for {_wanted_lock(blockers)}: {_blockers_text(blockers)}. Others go first, then it is tried again."
                if text != last_text:
                    self._tell(text)
                    last_text = text
                time.sleep(PAUSE_SECONDS)
        raise AssertionError("the last attempt returns or raises")

    def _in_savepoint(self, query: sql.Composable, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        assert self._bounds is not None
        try:
            return self._send(self._bounds, [_SAVEPOINT, query, _RELEASE], parameters)
        except psycopg.Error as error:
            if error.sqlstate == LOCK_TIMEOUT:
                # This releases the locks of the attempt. The next attempt begins from here.
                self._send(self._bounds, [_BACK_TO_SAVEPOINT, _RELEASE])
            raise

    def _send(
        self, bounds: Bounds, statements: Sequence[sql.Composable], parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Send statements as one message, and return the rows of the last statement that has columns."""
        rows: list[dict[str, Any]] = []
        cursor: psycopg.ClientCursor[dict[str, Any]] = psycopg.ClientCursor(self.connection, row_factory=dict_row)
        with cursor, self._answer_in_time(bounds):
            cursor.execute(sql.SQL(";\n").join(statements), parameters)
            while True:
                if cursor.description:
                    rows = cursor.fetchall()
                if not cursor.nextset():
                    return rows

    @contextmanager
    def _roll_back_on_error(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._roll_back()
            raise
        except BaseException:
            # Ctrl-C, or the handler of a signal: there is no time to wait for an answer.
            self.connection.close()
            raise

    def _roll_back(self) -> None:
        status = self.connection.info.transaction_status
        if status in (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR):
            with suppress(psycopg.Error, DagConfigUnreachableError):
                self._send(READING, [sql.SQL("ROLLBACK")])
                return
        if status is not psycopg.pq.TransactionStatus.IDLE:
            # A statement is still running. When the connection is closed, the server ends it by its own bounds and commits nothing.
            self.connection.close()

    @contextmanager
    def _answer_in_time(self, bounds: Bounds) -> Iterator[None]:
        """Shut down the socket if the server does not answer in time."""
        seconds = bounds.statement + ANSWER_SECONDS
        timed_out = threading.Event()
        # The socket has its own descriptor: psycopg may close the other one, whose number may then be another file's.
        with socket.socket(fileno=os.dup(self.connection.fileno())) as own_socket:

            def shut_down() -> None:
                timed_out.set()
                with suppress(OSError):
                    own_socket.shutdown(socket.SHUT_RDWR)

            timer = threading.Timer(seconds, shut_down)
            timer.daemon = True
            timer.start()
            try:
                yield
            except psycopg.Error as error:
                if not timed_out.is_set():
                    raise
                raise DagConfigUnreachableError(
                    f"The configuration database cannot be reached ({self._location}): it has not answered for {seconds:g} s, and"
                    " the connection was closed. Look whether the server, or the pooler before it, hangs or is overloaded"
                ) from error
            finally:
                timer.cancel()

    def _find_blockers(self, waiter: int | None) -> list[_InTheWay]:
        """Return the sessions that block a session, or that block readers (None); empty where they cannot be seen."""
        parameters = {**_milliseconds(READING), "schema": self._location.schema, "waiter": waiter}
        with suppress(psycopg.Error, DagConfigUnreachableError):
            return [_InTheWay(**row) for row in self._send(READING, [_SET_BOUNDS, _BLOCKERS], parameters)]
        return []


class _Watch(threading.Thread):
    """Looks up on another connection who blocks a session, while it waits; afterwards it can no longer be seen."""

    def __init__(self, session: Session, interval: float) -> None:
        super().__init__(name="dagconfig-watch", daemon=True)
        self.blockers: list[_InTheWay] = []
        """The blockers that were seen last, if there were any."""
        self._session = session
        self._interval = interval
        self._over = threading.Event()

    def __enter__(self) -> _Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The thread is not joined: it may be connecting, and reads nothing of the session but its process id.
        self._over.set()

    def run(self) -> None:
        session = self._session
        with suppress(Exception):
            # Most statements end before there is a reason to look.
            if self._over.wait(self._interval):
                return
            with closing(session._connect()) as opened:
                other = Session(opened, session._location, session._connect, session._tell)
                while not other.connection.closed:
                    pid = session._pid
                    self.blockers = (other._find_blockers(pid) if pid else []) or self.blockers
                    if self._over.wait(self._interval):
                        return


def _milliseconds(bounds: Bounds) -> dict[str, int]:
    return {"lock_milliseconds": round(bounds.lock * 1000), "statement_milliseconds": round(bounds.statement * 1000)}


def _busy_error(location: Location, error: psycopg.Error, seconds: float, blockers: Sequence[_InTheWay]) -> DagConfigBusyError:
    """Return an error that says which lock was waited for, how long, who holds it, and how that can be ended."""
    if error.sqlstate == LOCK_TIMEOUT:
        text = f"Waited {seconds:.1f} s in vain for {_wanted_lock(blockers)} ({location}): {_blockers_text(blockers)}"
    else:
        text = f"{error.diag.message_primary}, after {seconds:.1f} s ({location})" + (
            f": {_blockers_text(blockers)}" if blockers else ""
        )
    return DagConfigBusyError(f"{text}. Nothing was changed, and it may be tried again.{_remedy(blockers)}")


def _wanted_lock(blockers: Sequence[_InTheWay]) -> str:
    return next((_with_sql_lock_names(each.wanted) for each in blockers if each.wanted), "a lock")


def _blockers_text(blockers: Sequence[_InTheWay]) -> str:
    return "; ".join(map(str, blockers)) or "whoever held it has just let go, or is hidden from this user"


def _remedy(blockers: Sequence[_InTheWay]) -> str:
    # A blocker that waits itself continues when its own blockers end, so only those need to be ended.
    to_end = [each for each in blockers if each.pid and not each.waits] or [each for each in blockers if each.pid]
    if not to_end:
        return " To end a prepared transaction: ROLLBACK PREPARED 'GID';" if blockers else ""
    roles = sorted({f"role {each.user_name}" for each in to_end if each.user_name})
    calls = ", ".join(f"pg_terminate_backend({each.pid})" for each in to_end)
    return f" A superuser, or a member of {' or '.join([*roles, 'pg_signal_backend'])}, may end what is in the way: SELECT {calls};"


def _with_sql_lock_names(lock: str) -> str:
    """Name locks as LOCK TABLE does: ACCESS EXCLUSIVE for AccessExclusiveLock."""
    return re.sub(r"\b((?:[A-Z][a-z]+)+)Lock\b", lambda mode: re.sub(r"(?<=[a-z])(?=[A-Z])", " ", mode[1]).upper(), lock)
