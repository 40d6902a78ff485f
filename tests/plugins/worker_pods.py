"""
Pods of Airflow's own on the cluster, as KubernetesExecutor makes them: each runs one part of a task, with what a pod has.

It has the files of a service account as the kubelet projects them, and the variables of a pod; no KUBECONFIG and no kubeconfig at
home. Its programs are those of this machine, so the cluster's node has to be this machine. Imported, and not a pytest plugin; the
pods run it as a program.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.cluster import Cluster, Namespace
from plugins.postgres import Database
from plugins.tasks import Left, Tasks

if TYPE_CHECKING:
    from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

ROOT = Path(__file__).parents[2]
SECONDS = 120
"""Seconds for a part on a busy machine; then the test fails."""
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

PROJECTED = {
    "projected": {
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
    }
}
"""The files of a service account, as Kubernetes mounts them into each pod from 1.21 on."""


@dataclass(frozen=True)
class WorkerPods:
    """
    Makes such pods in a namespace.

    :param account: their service account.
    :param folder: for what goes in and comes out.
    :param files: the volume with the service account's files.
    """

    namespace: Namespace
    database: Database
    account: str
    folder: Path
    files: dict[str, Any]

    def start(self, name: str, *cmds: str, variables: dict[str, str] | None = None, **arguments: Any) -> None:
        """Start a part of a task: all of it or what goes on after a deferral (see ``Tasks.run``)."""
        self._start(name, {"cmds": cmds, "arguments": arguments}, variables or {})

    def start_trigger(self, name: str, left: dict[str, Any], **variables: str) -> None:
        """Start the trigger of a deferred task, up to its event."""
        self._start(name, {"trigger": left}, variables)

    def run(self, name: str, *cmds: str, **arguments: Any) -> dict[str, Any]:
        """Run a part of a task; return its result."""
        self.start(name, *cmds, **arguments)
        return self.result(name)

    def result(self, name: str) -> dict[str, Any]:
        """Wait for the end of a part; return its result."""
        file, deadline = self.folder / f"{name}.result", time.monotonic() + SECONDS
        while not file.exists():
            phase = self.namespace.cluster.kubectl("-n", self.namespace.name, "get", "pod", name, "-o", "jsonpath={.status.phase}")
            if (phase in ("Failed", "Succeeded") and not file.exists()) or time.monotonic() > deadline:
                log = self.namespace.cluster.kubectl("-n", self.namespace.name, "logs", name, check=False)
                raise AssertionError(f"{name}: {phase}, and no result\n{log}")
            time.sleep(0.1)
        result: dict[str, Any] = json.loads(file.read_text())
        return result

    def delete(self, name: str) -> None:
        """Delete a pod as KubernetesExecutor or a drained node does, and wait until it is gone. Its process gets SIGTERM."""
        self.namespace.cluster.kubectl("-n", self.namespace.name, "delete", "pod", name)

    def kill(self, name: str) -> None:
        """Kill the process of a pod, and so all that it has started; it cannot react."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "cmdline").read_text().rstrip("\0").split("\0")[1:] == self._arguments(name):
                    os.kill(int(process.name), signal.SIGKILL)

    def _arguments(self, name: str) -> list[str]:
        return ["-m", __name__, str(self.folder / name)]

    def _start(self, name: str, given: dict[str, Any], variables: dict[str, str]) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps({"namespace": self.namespace.name, **given}))
        view = json.loads(self.namespace.cluster.kubectl("config", "view", "--minify", "-o", "json"))
        host, _, port = view["clusters"][0]["cluster"]["server"].removeprefix("https://").rpartition(":")
        # The kubelet sets these two to the address of the cluster's service, and a cluster without kube-proxy has none.
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "PATH": os.environ["PATH"]}
        environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "AIRFLOW_CONN_POSTGRES_DEFAULT": self.database.url, **variables}
        program = ["/usr/bin", "/usr/lib", "/lib", "/lib64", "/bin", "/etc/ssl", str(ROOT), sys.base_prefix]
        # What is written is in the test's own folder alone.
        paths = {path: path != str(self.folder) for path in (*program, str(self.folder)) if Path(path).is_dir()}
        volumes = [{"name": f"path-{number}", "hostPath": {"path": path}} for number, path in enumerate(paths)]
        mounts = [
            {"name": f"path-{number}", "mountPath": path, "readOnly": is_read_only}
            for number, (path, is_read_only) in enumerate(paths.items())
        ]
        self.namespace.cluster.kubectl(
            *("-n", self.namespace.name, "create", "-f", "-"),
            body={
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {
                    "serviceAccountName": self.account,
                    "automountServiceAccountToken": False,
                    "hostNetwork": True,
                    "restartPolicy": "Never",
                    "containers": [
                        {
                            "name": "base",
                            "image": "busybox:latest",
                            "imagePullPolicy": "IfNotPresent",
                            "command": [sys.executable, *self._arguments(name)],
                            "env": [{"name": variable, "value": value} for variable, value in environment.items()],
                            "volumeMounts": [*mounts, {"name": "account", "mountPath": SERVICE_ACCOUNT, "readOnly": True}],
                        }
                    ],
                    "volumes": [*volumes, {"name": "account", **self.files}],
                },
            },
        )


class _StoppableTasks(Tasks):
    """Tasks that react to SIGTERM, as in Airflow's task runner."""

    def operator(self, *cmds: str, **arguments: Any) -> ConfiguredKubectlRunOperator:
        made = super().operator(*cmds, **arguments)
        signal.signal(signal.SIGTERM, lambda *_: made.on_kill())
        return made


def _main(path: Path) -> None:
    given = json.loads(path.with_suffix(".json").read_text())
    assert "KUBECONFIG" not in os.environ
    assert not (Path.home() / ".kube").exists()
    if "trigger" in given:
        result = Left(**given["trigger"]).fire()
    else:
        arguments = given["arguments"]
        if left := arguments.pop("left", None):
            arguments["left"] = Left(**left)
        namespace = Namespace(Cluster("", is_real=True), given["namespace"])
        no_database: Any = None  # the connection postgres_default leads to it, and nothing here changes the row
        tasks = _StoppableTasks(no_database, namespace, path.parent / "kept")
        task = tasks.run(*given["cmds"], **arguments)
        result = {"state": task.state, "error": task.error, "log": task.log, "left": asdict(task.left) if task.left else None}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result))
    part.rename(path.with_suffix(".result"))


if __name__ == "__main__":
    import plugins.airflow_home  # noqa: F401  # sets Airflow's home

    _main(Path(sys.argv[1]))
