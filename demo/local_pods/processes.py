"""
Processes on this machine: starting them, reading their output, ending them, and measuring their memory.

One server owns them all. It has no other children, so it may reap every process that ends. On Linux it inherits the orphans of its
children, so that none of them runs longer than the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

# Seconds. A process that left its session can keep the pipe open; after them, the container counts as ended all the same.
_DRAIN_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Process(asyncio.Protocol):
    """
    A process in its own session. Its standard output and error come through one pipe, so in the order in which they were written.

    :ivar ended: its wait status, when it has ended and all its output was read.
    """

    def __init__(self, popen: subprocess.Popen[bytes], output: Callable[[bytes], None]) -> None:
        self.pid = popen.pid
        self.killed_for_memory = False
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._popen = popen
        self._output = output
        self._transport: asyncio.ReadTransport | None = None
        self._drained = asyncio.Event()
        self._status: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the pipe's transport, to close it at the end."""
        if isinstance(transport, asyncio.ReadTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass on the output of the process."""
        self._output(data)

    def connection_lost(self, _: Exception | None) -> None:
        """Record that no process can write to the pipe any more."""
        self._drained.set()

    def terminate(self) -> None:
        """Send SIGTERM to the process, but not to its children: a container's first process gets the signal."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its group; do nothing when it has ended."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def reaped(self, status: int) -> None:
        """Kill the rest of the group, as a container ends with its first process; read the remaining output."""
        self.kill()
        self._status = status
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._drained.wait(), _DRAIN_SECONDS)
        if self._transport is not None:
            self._transport.close()
        if not self.ended.done():
            self.ended.set_result(status)


class Processes:
    """All processes of the server."""

    def __init__(self) -> None:
        self._running: dict[int, Process] = {}
        self._reaping: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        if _libc is not None:
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    async def start(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, output: Callable[[bytes], None]) -> Process:
        """
        Start a process.

        :param env: its whole environment.
        :param output: called with its output, in order.
        :raises OSError: it could not be started.
        """
        read_end, write_end = os.pipe()
        try:
            popen = subprocess.Popen(  # noqa: S603
                argv,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
                preexec_fn=_end_with_parent if _libc is not None else None,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        process = Process(popen, output)
        self._running[process.pid] = process
        await asyncio.get_running_loop().connect_read_pipe(lambda: process, os.fdopen(read_end, "rb", buffering=0))
        # A process that ended before it was registered was not reaped.
        self._reap()
        return process

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self._running.pop(pid, None)
            if process is not None:
                task = asyncio.ensure_future(process.reaped(status))
                self._reaping.add(task)
                task.add_done_callback(self._reaping.discard)

    def memory(self) -> dict[int, int]:
        """Return the resident memory, in bytes, of each running process with all processes of its session."""
        held = dict.fromkeys(self._running, 0)
        for pid in psutil.pids() if held else ():
            with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
                session = os.getsid(pid)
                if session in held:
                    held[session] += psutil.Process(pid).memory_info().rss
        return held

    def kill_over(self, limits: Mapping[int, int]) -> None:
        """Kill processes that use more memory than their limit (process id to bytes), as the kernel does in a cgroup."""
        for pid, held in self.memory().items():
            if held > limits.get(pid, held) and (process := self._running.get(pid)) is not None:
                process.killed_for_memory = True
                process.kill()

    def kill_all(self) -> None:
        """Kill every process, and on Linux also their orphans."""
        for process in self._running.values():
            process.kill()
        with contextlib.suppress(psutil.Error):
            for orphan in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    orphan.kill()


def _end_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def exit_code(status: int) -> int:
    """Turn a wait status into a container's exit code: 128 + n where signal n ended it."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
