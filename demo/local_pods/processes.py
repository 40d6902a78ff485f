"""
Processes on this machine: starting them, reading what they write, ending them, and what memory they hold.

One server owns them all. It has no other children, so it may reap whatever ends; and on Linux it inherits what its
children leave behind, so that nothing outlives it.
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

# A process that left its session can hold the pipe open after the container ended; a container's end would not wait.
_DRAIN_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Process(asyncio.Protocol):
    """
    A process in a session of its own, whose standard output and error come through one pipe, so in the order written.

    :ivar ended: its wait status, once it has ended and everything it wrote was read.
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
        """Keep the pipe's transport, to close it in the end."""
        if isinstance(transport, asyncio.ReadTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand on what the process wrote."""
        self._output(data)

    def connection_lost(self, _: Exception | None) -> None:
        """Note that nobody can write any more."""
        self._drained.set()

    def terminate(self) -> None:
        """Ask the process to end, and only it: a container's first process gets the signal, not its children."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the process and what is in its group; does nothing once it has ended."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def reaped(self, status: int) -> None:
        """End what the process left in its group, as a container ends with its first process; read the rest."""
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
        :param output: called with what it writes, in order.
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
        # One that ended before it was known was passed over.
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
        """Give the resident memory, in bytes, of each running process with all that is in its session."""
        held = dict.fromkeys(self._running, 0)
        for pid in psutil.pids() if held else ():
            with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
                session = os.getsid(pid)
                if session in held:
                    held[session] += psutil.Process(pid).memory_info().rss
        return held

    def kill_over(self, limits: Mapping[int, int]) -> None:
        """Kill what holds more memory than its limit (bytes, by process id), as the kernel does in a cgroup."""
        for pid, held in self.memory().items():
            if held > limits.get(pid, held) and (process := self._running.get(pid)) is not None:
                process.killed_for_memory = True
                process.kill()

    def kill_all(self) -> None:
        """Kill every process, and on Linux whatever they left behind."""
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
