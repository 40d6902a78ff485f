"""
Local pods: a stand-in that answers kubectl where there is no cluster. It is not Kubernetes, and says so.

It listens only on the loopback interface, requires a token, keeps namespaces, secrets, config maps and pods in memory, and runs
each container's command as a process of the user who started it. Nothing is isolated: a pod can do what that user can. It exists
to try the provider and to test it, with images that are directories on this machine.

It has no scheduler (each pod is compared with the machine alone, never with other pods), no image registry, no network, no CPU
limits, and no file system (paths of the image, of volumes and of the termination message are replaced in the command line and in
the environment, not inside programs). Memory limits are checked by polling, not enforced by the kernel.

Why not kmock, whose ``KubernetesEmulator`` keeps objects over HTTP and is good for testing clients: it needs Python 3.11, and
this package supports 3.10. Its objects have no life cycle (no defaults, no validation, no deletion with a grace period, no status,
no processes, no logs). Its errors differ from the API server's (``reason: "Object Not Found"`` where a client looks for
``NotFound``). Its watches have no resource versions, so a client that resumes a watch cannot be tested. Only its HTTP server
would remain, and Starlette with uvicorn come with Airflow itself.

The modules: store.py (objects and watches), admission.py (validation of new objects), environment.py (environment and files of a
process), processes.py, logs.py, container.py, pod.py (a pod's life cycle), node.py, api.py (HTTP) with pod_logs.py, tables.py,
discovery.py and protobuf.py, access.py (certificate, token, kubeconfig), __main__.py (the command). This module starts the
stand-in from Python.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# The repository's folder. Python finds this package from there, because it is not installed.
_SOURCE = Path(__file__).parents[2]
_END_SECONDS = 10.0


@dataclass(frozen=True)
class LocalPods:
    """A running stand-in."""

    kubeconfig: Path
    """The kubeconfig to reach it, for ``KUBECONFIG`` or an operator's ``config_file``."""
    pid: int
    """The process id of its server."""
    announcement: str
    """The line that it printed when it was ready."""


@contextlib.contextmanager
def running(
    images: Mapping[str, Path] | None = None, *, kubeconfig: Path | None = None, arguments: tuple[str, ...] = ()
) -> Iterator[LocalPods]:
    """
    Run the stand-in in another process until the block ends.

    :param images: image's name to the directory with the files that it would contain.
    :param kubeconfig: where to write the kubeconfig; by default in a temporary directory.
    :param arguments: more arguments of the command.
    :raises RuntimeError: it did not start; standard error has the reason.
    """
    with contextlib.ExitStack() as stack:
        if kubeconfig is None:
            kubeconfig = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="local-pods-"))) / "kubeconfig"
        command = [sys.executable, "-m", __name__, "--kubeconfig", str(kubeconfig.absolute()), "--end-with-parent", *arguments]
        for name, directory in (images or {}).items():
            command += ["--image", f"{name}={directory.absolute()}"]
        # Ctrl-C goes to the caller, who may need the pods until the end of the block.
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
