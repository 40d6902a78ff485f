"""
The demo's processes on this machine: each writes to a file, and none runs longer than the demo.

The pods of the stand-in for a cluster are in ``local_pods``, not here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_FIRST_PORT = 15_000


def start(
    command: Sequence[str | os.PathLike[str]], log: Path, environment: Mapping[str, str] | None = None, **popen: Any
) -> subprocess.Popen[bytes]:
    """
    Start a process in its own process group: Ctrl-C goes to the demo, which then stops all processes in order.

    :param log: the file for its output.
    :param environment: its whole environment; by default this process's.
    """
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603
            command,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            **popen,
        )


def stop(processes: Iterable[subprocess.Popen[bytes]], number: signal.Signals, seconds: float) -> None:
    """
    Stop processes, all at once, with the processes that they started.

    :param number: the signal that asks them to stop.
    :param seconds: how long all of them have together; then they are killed.
    """
    processes = list(processes)
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)
    deadline = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """
    Return a port of the loopback address that is free now, and that no connection takes by chance before it is used.

    Linux gives connections ports from a range that it publishes; the returned port is below that range.
    """
    for _ in range(100):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randrange(_FIRST_PORT, _first_of_connections())))  # noqa: S311
            return int(listener.getsockname()[1])
    raise OSError("no port of the loopback address is free")


def _first_of_connections() -> int:
    try:
        return max(_FIRST_PORT + 1000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    except OSError:
        return 32_768


def _end_with_parent() -> None:
    """Ask the kernel to end this process if the demo is killed and cannot do it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
