"""
A reverse proxy before a cluster's API server. It counts the requests that pass through it.

It forwards to ``kubectl proxy``, so it works with any cluster and any credentials. The measured process has a kubeconfig for this
proxy.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from benchmarks.served import served

_NONE_OF_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add if the client sent none."""
_NOT_PASSED_ON = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}


class Counted:
    """
    The requests so far, as ``GET /path?query``.

    ``GET /version`` is not counted: the kubectl of some clouds sends it before each request, to choose among its versions.
    """

    def __init__(self, address: str = "") -> None:
        self.address = address
        self.requests: list[str] = []


@contextmanager
def counting_proxy(kubeconfig: str) -> Iterator[Counted]:
    """Count the requests to a cluster at ``address``, until the block ends."""
    command = ["kubectl", "--kubeconfig", kubeconfig, "proxy", "--port=0", "--reject-methods=^$", "--reject-paths=^$"]
    behind = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert behind.stdout is not None
        # Starting to serve on 127.0.0.1:43211
        upstream = "http://" + behind.stdout.readline().split()[-1]
        counted = Counted()
        session: list[aiohttp.ClientSession] = []

        @asynccontextmanager
        async def client() -> AsyncIterator[None]:
            forever = aiohttp.ClientTimeout(total=None, sock_read=None)
            async with aiohttp.ClientSession(auto_decompress=False, timeout=forever) as opened:
                session.append(opened)
                yield

        async def pass_on(request: web.Request) -> web.StreamResponse:
            if request.path != "/version":
                counted.requests.append(f"{request.method} {request.raw_path}")
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
            body = await request.read()
            address = URL(upstream + request.raw_path, encoded=True)
            asking = session[0].request(
                request.method, address, headers=headers, data=body or None, skip_auto_headers=_NONE_OF_OURS
            )
            async with asking as answer:
                passed = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED_ON}
                response = web.StreamResponse(status=answer.status, headers=passed)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response

        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", pass_on)
        with served(application, client) as (counted.address, _):
            yield counted
    finally:
        behind.terminate()
        behind.wait()
