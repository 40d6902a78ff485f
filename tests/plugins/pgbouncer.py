"""PgBouncer before a server of the tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from plugins.postgres import PASSWORD, Database, Server


@contextmanager
def pgbouncer(database: Database) -> Iterator[Database]:
    """Run PgBouncer in transaction mode before a database's server; yield the database through it."""
    # It runs as the same user as the server, and reads its files in the server's folder.
    folder = tempfile.TemporaryDirectory(prefix="pgbouncer-", dir=database.server.folder)
    with folder, _pgbouncer(database.server, Path(folder.name)) as port:
        yield replace(database, server=replace(database.server, port=port))


@contextmanager
def _pgbouncer(server: Server, folder: Path) -> Iterator[int]:
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    (folder / "users.txt").write_text(f'"postgres" "{PASSWORD}"\n')
    (folder / "pgbouncer.ini").write_text(f"""
[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder / "users.txt"}
pool_mode = transaction
default_pool_size = 3
""")
    # PgBouncer refuses to run as root.
    folder.chmod(0o755)
    process = subprocess.Popen(
        [program, folder / "pgbouncer.ini"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **server.identity
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("PgBouncer did not start") from None
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)
