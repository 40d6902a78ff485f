"""A TCP proxy before a server. It counts how often the client waits for an answer, can stop answering, and can be unreachable."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Proxy:
    """Forwards data from the first client until the block ends."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._to = (host, port)
        # It holds the port, and refuses connections, while the other socket does not listen.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = int(self._holder.getsockname()[1])
        self._listener = self._listen()
        self._turns: list[int] = []
        self.silent = threading.Event()
        """When set, the server's answers are held back, as if it were frozen."""
        self._cuts = 0
        self._over = threading.Event()
        self._relays: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def turns(self) -> list[int]:
        """Wait until the connections so far are closed; return how often each client sent data after data from the server."""
        for thread in self._relays:
            thread.join(timeout=60)
        return list(self._turns)

    def cut(self) -> None:
        """Break every existing connection; new ones are accepted."""
        self._cuts += 1

    @contextmanager
    def away(self) -> Iterator[None]:
        """Break every connection, and refuse new ones until the block ends, as if no server ran."""
        self._stop_listening()
        self.cut()
        try:
            yield
        finally:
            self._listener = self._listen()
            self._accepting = threading.Thread(target=self._accept, daemon=True)
            self._accepting.start()

    def close(self) -> None:
        self._over.set()
        self._stop_listening()
        self._holder.close()
        for thread in self._relays:
            thread.join(timeout=60)

    def _listen(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", self.port), reuse_port=True)

    def _stop_listening(self) -> None:
        # This wakes the thread; close alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(timeout=60)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
            self._relays.append(thread)
            thread.start()

    def _relay(self, client: socket.socket) -> None:
        cuts = self._cuts
        with client, socket.create_connection(self._to) as server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            server_spoke = True
            number = len(self._turns)
            self._turns.append(0)
            while not self._over.is_set() and cuts == self._cuts:
                for key, _ in selector.select(timeout=0.1):
                    if key.fileobj is server and self.silent.is_set():
                        self._over.wait(0.05)
                        continue
                    try:
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    except OSError:
                        return
                    if not data:
                        return
                    if key.fileobj is client and server_spoke:
                        self._turns[number] += 1
                    server_spoke = key.fileobj is server
                    key.data.sendall(data)


@contextmanager
def proxy(port: int, host: str = "127.0.0.1") -> Iterator[Proxy]:
    """Start a proxy before a server's port."""
    made = Proxy(port, host)
    try:
        yield made
    finally:
        made.close()
