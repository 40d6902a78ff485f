"""An aiohttp application on a free port of the loopback address, in its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from aiohttp import web

Lifetime = Callable[[], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@contextmanager
def served(application: web.Application, lifetime: Lifetime = _nothing) -> Iterator[tuple[str, asyncio.AbstractEventLoop]]:
    """
    Serve until the block ends.

    :param lifetime: a context of the application for this time; entered in the loop.
    :return: the address, such as ``http://127.0.0.1:12345``, and the loop, for ``call_soon_threadsafe``.
    """
    started, over = threading.Event(), asyncio.Event()
    where: list[tuple[str, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        async with lifetime():
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            [(host, port)] = [address[:2] for address in runner.addresses]
            where.append((f"http://{host}:{port}", asyncio.get_running_loop()))
            started.set()
            await over.wait()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    if not started.wait(timeout=30):
        raise RuntimeError("the benchmark's server did not start")
    address, loop = where[0]
    try:
        yield address, loop
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(timeout=10)
