"""Waiting for kubectl's output, in one thread, and not through a signal that says to stop."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterable

from airflow_provider_dagconfig.kubectl.client import Stream


class Waiter:
    """
    Waits for streams, and is woken by :meth:`wake`.

    Python resumes a wait that a signal handler has interrupted, so the wait is on a pipe too.
    """

    def __init__(self) -> None:
        self._read: int
        self._write: int | None
        self._read, self._write = os.pipe()

    def wake(self) -> None:
        """End this and every later wait at once; fit for a signal handler. After :meth:`close` nothing happens."""
        if self._write is not None:
            os.write(self._write, b"k")

    def wait(self, streams: Iterable[Stream], seconds: float) -> list[Stream]:
        """Wait until a stream has something, or the time is over; give those that have."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._read, selectors.EVENT_READ)
            for stream in streams:
                selector.register(stream, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(seconds)]
        return [stream for stream in ready if isinstance(stream, Stream)]

    def close(self) -> None:
        """Give the pipe back."""
        write, self._write = self._write, None
        if write is not None:
            os.close(write)
            os.close(self._read)
