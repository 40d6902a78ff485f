"""
Local pods: a stand-in that answers kubectl where there is no cluster. It is no Kubernetes, and says so.

It listens on the loopback interface only, wants a token, keeps namespaces, secrets, config maps and pods in memory, and
runs each container's command as a process of the user who started it. Nothing is isolated: a pod can do what that user
can. It is there to try the provider and to test it, with images that are directories on this machine.

What it is not: a scheduler (each pod is compared with the machine alone, never with other pods), an image registry, a
network, a CPU limit, a file system (paths of the image, of volumes and of the termination message are replaced in the
command line and in the environment, not inside programs). Memory limits are watched, not enforced by the kernel.

Why not kmock, whose ``KubernetesEmulator`` keeps objects over HTTP and is good for testing clients: it needs Python
3.11 where this package supports 3.10, its objects have no life (no defaults, no validation, no deletion with a grace
period, no status, no processes, no logs), its errors are not the API server's (``reason: "Object Not Found"`` where a
client looks for ``NotFound``), and its watches know no resource versions, so a client that resumes one cannot be
tried. What would be left of it is the HTTP server, and Starlette with uvicorn come with Airflow itself.

The modules: store.py (objects and watches), admission.py (what a new object must look like), environment.py (what a
process gets), processes.py, logs.py, container.py, pod.py (a pod's life), node.py, api.py (HTTP) with pod_logs.py,
tables.py, discovery.py and protobuf.py, access.py (certificate, token, kubeconfig), __main__.py (the command). This one
starts it from Python.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# The repository's folder, from which Python finds this package: it is not installed.
_SOURCE = Path(__file__).parents[2]
_END_SECONDS = 10.0


@dataclass(frozen=True)
class LocalPods:
    """A stand-in that runs."""

    kubeconfig: Path
    """The kubeconfig that reaches it; for ``KUBECONFIG``, or ``config_file`` of an operator."""
    pid: int
    """The process id of its server."""
    announcement: str
    """The line it printed when it was ready."""


@contextlib.contextmanager
def running(
    images: Mapping[str, Path] | None = None, *, kubeconfig: Path | None = None, arguments: tuple[str, ...] = ()
) -> Iterator[LocalPods]:
    """
    Run the stand-in in a process of its own for as long as the block lasts.

    :param images: directories with the files that an image would contain, by the image's name.
    :param kubeconfig: where to write the kubeconfig; default: a temporary directory.
    :param arguments: more arguments of the command.
    :raises RuntimeError: it did not start; why is on standard error.
    """
    with contextlib.ExitStack() as stack:
        if kubeconfig is None:
            kubeconfig = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="local-pods-"))) / "kubeconfig"
        command = [sys.executable, "-m", __name__, "--kubeconfig", str(kubeconfig.absolute()), "--end-with-parent", *arguments]
        for name, directory in (images or {}).items():
            command += ["--image", f"{name}={directory.absolute()}"]
        # Ctrl-C is for the caller, who may need them until the end of the block.
        process = subprocess.Popen(  # noqa: S603
            command, cwd=_SOURCE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        stack.callback(_end, process)
        assert process.stdout is not None
        announcement = process.stdout.readline().strip()
        if not announcement:
            raise RuntimeError(f"local pods did not start: {' '.join(command)}")
        yield LocalPods(kubeconfig=kubeconfig, pid=process.pid, announcement=announcement)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
