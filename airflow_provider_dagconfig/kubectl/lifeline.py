"""
What ends kubectl where this process is killed and can't do it: the kernel, by a signal at the end of a pipe. No process more.

The pipe's reading end is kubectl's, which never reads it, and its writing end this process's. Once nobody can write any more, the
kernel sends the signal to all of kubectl's process group, a credential plugin among it (fcntl(2): O_ASYNC, F_SETOWN, F_SETSIG).
PR_SET_PDEATHSIG is not it: that means the thread that started kubectl, and forgets what kubectl itself has started.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

if sys.platform == "linux":
    import fcntl


class Lifeline:
    """
    A pipe from this process to one that it starts, with a process group of its own.

    Elsewhere than on Linux there is no pipe, and a kubectl whose parent was killed ends with its request: a watch after five
    minutes, a log with its next line.
    """

    def __init__(self) -> None:
        self.descriptors: tuple[int, ...] = ()
        """What the new process has to get."""
        self._writing: int | None = None
        if sys.platform == "linux":
            reading, self._writing = os.pipe()
            self.descriptors = (reading,)

    def tie(self, process_group: int) -> None:
        """Let the group end with this process, from now on; the new process has what it needs."""
        if sys.platform == "linux":
            for reading in self.descriptors:
                with suppress(OSError):  # a kernel that can't; all else works
                    fcntl.fcntl(reading, fcntl.F_SETOWN, -process_group)
                    fcntl.fcntl(reading, fcntl.F_SETSIG, signal.SIGTERM)
                    fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)
        self._close_reading()

    def close(self) -> None:
        """Give the pipe back, once the process has ended; may be called more than once."""
        self._close_reading()
        writing, self._writing = self._writing, None
        if writing is not None:
            os.close(writing)

    def _close_reading(self) -> None:
        descriptors, self.descriptors = self.descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)
