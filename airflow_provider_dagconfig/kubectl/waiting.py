"""Waits for kubectl's output in one thread, and stops waiting at a signal that says so."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterable

from airflow_provider_dagconfig.kubectl.client import Stream


class Waiter:
    """
    Waits for streams; :meth:`wake` ends the wait.

    Python resumes a wait that a signal handler has interrupted, so this class also waits on a pipe.
    """

    def __init__(self) -> None:
        self._reading_end: int
        self._writing_end: int | None
        self._reading_end, self._writing_end = os.pipe()

    def wake(self) -> None:
        """End this and every later wait at once. A signal handler may call this. After :meth:`close` it has no effect."""
        if self._writing_end is not None:
            os.write(self._writing_end, b"k")

    def wait(self, streams: Iterable[Stream], seconds: float) -> list[Stream]:
        """Wait until a stream has data or the time is over. Return the streams that have data."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reading_end, selectors.EVENT_READ)
            for stream in streams:
                selector.register(stream, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(seconds)]
        return [stream for stream in ready if isinstance(stream, Stream)]

    def close(self) -> None:
        """Close the pipe."""
        writing_end, self._writing_end = self._writing_end, None
        if writing_end is not None:
            os.close(writing_end)
            os.close(self._reading_end)
