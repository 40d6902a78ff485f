"""The command: ``python -m demo.local_pods --kubeconfig FILE``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import uvicorn

from airflow_provider_dagconfig.models import Quantity
from demo.local_pods.access import Access
from demo.local_pods.admission import admit
from demo.local_pods.api import application, create_namespace
from demo.local_pods.container import Image
from demo.local_pods.node import Node, machine
from demo.local_pods.store import Store

_DISCLAIMER = (
    "This is no Kubernetes: there is no isolation, and each container's command runs as a process of yours on this machine."
)
_PARENT_SECONDS = 1.0


class _Server(uvicorn.Server):
    """Leaves signals to the caller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def main() -> None:
    """Run the stand-in until a signal ends it."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_arguments()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo.local_pods",
        description=f"A stand-in that answers kubectl for namespaces, secrets, pods and their logs. {_DISCLAIMER}",
    )
    parser.add_argument("--kubeconfig", type=Path, required=True, help="where to write the kubeconfig (mode 0600)")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="a loopback address; no other is allowed")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument(
        "--image",
        type=_image,
        action="append",
        default=[],
        metavar="NAME[=DIR]",
        help="an image that pods may use; DIR holds the files it would contain: DIR/app/main.py is /app/main.py",
    )
    cpu, memory = machine()
    parser.add_argument("--cpu", type=int, default=cpu, help="CPUs that the node says it has (default: this machine's)")
    parser.add_argument("--memory", type=_bytes, default=memory, help="memory it says it has, such as 64Gi")
    parser.add_argument("--end-with-parent", action="store_true", help="end when the process that started this one does")
    return parser.parse_args()


def _loopback(text: str) -> str:
    """Refuse any address that others could reach: the token allows to run commands here."""
    if not ipaddress.ip_address(text).is_loopback:
        raise argparse.ArgumentTypeError(f"{text} is no loopback address; local pods are for this machine only")
    return text


def _image(text: str) -> tuple[str, Image]:
    name, given, directory = text.partition("=")
    if given and not Path(directory).is_dir():
        raise argparse.ArgumentTypeError(f"{directory} is no directory")
    if ":" not in name.rpartition("/")[2]:
        name = f"{name}:latest"
    return name, Image(Path(directory).resolve() if given else None)


def _bytes(text: str) -> int:
    return int(Quantity.parse(text).value)


async def _serve(arguments: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with tempfile.TemporaryDirectory(prefix="local-pods-") as directory, _listen(arguments) as listening:
        access = Access.make()
        store = Store()
        create_namespace(store, admit("namespaces", {"metadata": {"name": "default"}}, ""))
        images = {"busybox:latest": Image(command=("sh",)), **dict(arguments.image)}
        node = Node(store, images, Path(directory), arguments.cpu, arguments.memory)
        config = uvicorn.Config(
            application(store, node, access.token),
            log_level="error",
            access_log=False,
            lifespan="off",
            server_header=False,
            headers=[("Server", "local-pods (no Kubernetes)")],
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = access.tls()
        server = _Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        running = asyncio.ensure_future(node.run())
        address = f"https://{_in_url(arguments.host)}:{listening.getsockname()[1]}"
        access.write_kubeconfig(arguments.kubeconfig, address)
        print(f"Local pods are at {address}; KUBECONFIG={arguments.kubeconfig}. {_DISCLAIMER}", flush=True)
        watching = asyncio.ensure_future(_parent_ended() if arguments.end_with_parent else ended.wait())
        await asyncio.wait({watching, asyncio.ensure_future(ended.wait()), serving, running}, return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        server.should_exit = True
        await serving
        arguments.kubeconfig.unlink(missing_ok=True)


def _listen(arguments: argparse.Namespace) -> socket.socket:
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((arguments.host, arguments.port))
    except OSError as error:
        sys.exit(f"Local pods cannot listen at {arguments.host}, port {arguments.port}: {error.strerror}")
    # A reader of the kubeconfig may be faster than the server: its connection then waits, and is not refused.
    listening.listen()
    return listening


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _parent_ended() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(_PARENT_SECONDS)


if __name__ == "__main__":
    main()
