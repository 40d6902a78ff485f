"""
Copies of a database, lent to one test after the other, each as if new. Not a pytest plugin: it is imported.

A copy costs 30 to 60 ms of CPU time, and the tests need nearly two thousand. So rows that a test has changed are restored, and
a copy is dropped if the test has changed anything else in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from plugins.postgres import Database

Connection = psycopg.Connection[Any]

END_OTHERS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
"""Ends other sessions. When they are gone, PostgreSQL has counted their writes."""
WRITTEN = """
    SELECT
        c.oid::regclass::text,
        pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid)
    FROM pg_class AS c WHERE relkind = 'r' AND NOT relisshared
"""
"""Rows written to each table since the database was created, catalogs and rolled back writes included."""
IS_SET = """
    SELECT datacl IS NOT NULL OR EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = d.oid)
    FROM pg_database AS d WHERE datname = current_database()
"""
"""Whether the database has grants or settings: a new copy has neither."""


class Rows:
    """The content of a database's tables and sequences, to restore it."""

    def __init__(self, connection: Connection) -> None:
        self.tables: dict[str, bytes] = {}
        """Table to its rows, as COPY writes them."""
        self.sequences: dict[str, tuple[int, bool]] = {}
        """Sequence to its last number, and whether that was used."""
        for kind, name in connection.execute("""
            SELECT relkind::text, oid::regclass::text FROM pg_class
            WHERE relkind IN ('r', 'S') AND relnamespace::regnamespace::text !~ '^(pg_.*|information_schema)$'
        """).fetchall():
            if kind == "S":
                [self.sequences[name]] = connection.execute(f"SELECT last_value, is_called FROM {name}").fetchall()
            else:
                with connection.cursor().copy(f"COPY {name} TO STDOUT") as copy:
                    self.tables[name] = b"".join(copy)

    def put_back(self, connection: Connection, tables: set[str]) -> None:
        """Restore these tables and all sequences. The tables get new files, so their rows are stored as in a new copy."""
        with connection.transaction():
            if tables:
                connection.execute("SET LOCAL session_replication_role = replica")
                connection.execute(f"TRUNCATE {', '.join(tables)}".encode())
            for name in tables:
                with connection.cursor().copy(f"COPY {name} FROM STDIN".encode()) as copy:
                    copy.write(self.tables[name])
            for name, state in self.sequences.items():
                connection.execute("SELECT setval(%s::regclass, %s, %s)", [name, *state])


@dataclass
class Copies:
    """
    Copies of a database.

    :param template: the database that is copied.
    :param make: creates a copy, which is dropped at the end of the block.
    """

    template: Database
    make: Callable[[], AbstractContextManager[Database]]
    _idle: list[_Copy] = field(default_factory=list)

    def __post_init__(self) -> None:
        with psycopg.connect(self.template.url) as connection:
            self._rows = Rows(connection)

    @contextmanager
    def lend(self) -> Iterator[Database]:
        """Yield a copy that is as if new. Several may be lent at once."""
        try:
            copy = self._idle.pop()
        except IndexError:
            made = self.make()
            copy = _Copy(made, made.__enter__())
        try:
            yield copy.database
        finally:
            if copy.is_as_new(self._rows):
                self._idle.append(copy)
            else:
                copy.made.__exit__(None, None, None)

    def drop(self) -> None:
        """Drop the copies that are not lent."""
        while self._idle:
            self._idle.pop().made.__exit__(None, None, None)


@dataclass
class _Copy:
    made: AbstractContextManager[Database]
    database: Database
    written: dict[str, int] = field(default_factory=dict)

    def is_as_new(self, rows: Rows) -> bool:
        """Restore the changed rows; return whether the copy is as if new."""
        try:
            with psycopg.connect(self.database.url, autocommit=True) as connection:
                connection.execute(END_OTHERS)
                if connection.execute(IS_SET).fetchone() != (False,):
                    return False
                changed = {name for name, count in connection.execute(WRITTEN) if count != self.written.get(name, 0)}
                if not changed <= rows.tables.keys():
                    return False
                rows.put_back(connection, changed)
                connection.execute("SELECT pg_stat_force_next_flush()")
                self.written = dict(connection.execute(WRITTEN).fetchall())
        except psycopg.Error:
            return False
        return True
