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

    A second pipe holds the new process up until it is tied to this one: a byte in it says so, and an end without a byte that this
    process was killed before. Elsewhere than on Linux there are no pipes, and a kubectl whose parent was killed ends with its
    request: a watch after five minutes, a log with its next line.
    """

    def __init__(self) -> None:
        self.descriptors: tuple[int, ...] = ()
        """What the new process has to get: the pipe, and the one that it waits on."""
        self._writing: list[int] = []
        if sys.platform == "linux":
            (reading, writing), (waiting, telling) = os.pipe(), os.pipe()
            self.descriptors, self._writing = (reading, waiting), [writing, telling]

    @property
    def waits_on(self) -> str:
        """The descriptor that the new process waits on, for a variable; empty for none."""
        return str(self.descriptors[1]) if self.descriptors else ""

    def tie(self, process_group: int) -> None:
        """Let the group end with this process, from now on; the new process has what it needs, and goes on."""
        if sys.platform == "linux" and self.descriptors:
            with suppress(OSError):  # a kernel that can't; all else works
                fcntl.fcntl(self.descriptors[0], fcntl.F_SETOWN, -process_group)
                fcntl.fcntl(self.descriptors[0], fcntl.F_SETSIG, signal.SIGTERM)
                fcntl.fcntl(self.descriptors[0], fcntl.F_SETFL, fcntl.fcntl(self.descriptors[0], fcntl.F_GETFL) | os.O_ASYNC)
            telling = self._writing.pop()
            os.write(telling, b".")  # this process has the other end open too: no broken pipe
            os.close(telling)
        self._close_reading()

    def close(self) -> None:
        """Give the pipes back, once the process has ended; may be called more than once."""
        self._close_reading()
        while self._writing:
            os.close(self._writing.pop())

    def _close_reading(self) -> None:
        descriptors, self.descriptors = self.descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)
