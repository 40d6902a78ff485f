"""
Ends kubectl if this process is killed and can't do so itself. The kernel sends the signal, through a pipe.

kubectl inherits the pipe's reading end and never reads it; this process holds the writing end. When no process holds the writing
end any more, the kernel signals all of kubectl's process group, including a credential plugin (fcntl(2): O_ASYNC, F_SETOWN,
F_SETSIG). PR_SET_PDEATHSIG would not do: it acts when the thread that started kubectl ends, and ignores kubectl's own children.
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
    A pipe from this process to a process that it starts, which has its own process group.

    A second pipe makes the new process wait until it is tied to this one. A byte in it says that it is; an end without a byte says
    that this process was killed first. Only Linux has these pipes. Elsewhere, a kubectl whose parent was killed ends with its
    request: a watch after five minutes, a log with its next line.
    """

    def __init__(self) -> None:
        self.descriptors: tuple[int, ...] = ()
        """The descriptors that the new process must inherit: the pipe, and the one that it waits on."""
        self._writing_ends: list[int] = []
        if sys.platform == "linux":
            (reading, writing), (waiting, releasing) = os.pipe(), os.pipe()
            self.descriptors, self._writing_ends = (reading, waiting), [writing, releasing]

    @property
    def waits_on(self) -> str:
        """The descriptor that the new process waits on, for an environment variable; empty if there is none."""
        return str(self.descriptors[1]) if self.descriptors else ""

    def tie(self, process_group: int) -> None:
        """Let the process group end with this process from now on, and let the new process continue."""
        if sys.platform == "linux" and self.descriptors:
            with suppress(OSError):  # not every kernel can do this; all else still works
                fcntl.fcntl(self.descriptors[0], fcntl.F_SETOWN, -process_group)
                fcntl.fcntl(self.descriptors[0], fcntl.F_SETSIG, signal.SIGTERM)
                fcntl.fcntl(self.descriptors[0], fcntl.F_SETFL, fcntl.fcntl(self.descriptors[0], fcntl.F_GETFL) | os.O_ASYNC)
            releasing = self._writing_ends.pop()
            os.write(releasing, b".")  # this process has the other end open too, so the pipe is not broken
            os.close(releasing)
        self._close_reading_ends()

    def close(self) -> None:
        """Close the pipes after the process has ended; may be called more than once."""
        self._close_reading_ends()
        while self._writing_ends:
            os.close(self._writing_ends.pop())

    def _close_reading_ends(self) -> None:
        descriptors, self.descriptors = self.descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)
