"""
What ConfiguredKubectlRunOperator costs, beside KubernetesPodOperator and a BashOperator that calls kubectl.

    python -m benchmarks.operators [--imports 5] [--tasks 5]

First what importing each costs, in a fresh process each time. Then, where KUBECONFIG names a cluster that has or can pull
busybox:latest, what a whole task costs that runs a pod for two seconds: peak memory of the worker's process; CPU seconds,
those of kubectl included; seconds from the begin of the task to its end; and requests of the API server, if the command in
CLUSTER_CONTROL can print its audit log (``COMMAND requests``, one JSON object a line). The three take turns in random order,
so that whatever else the machine does falls on all. Medians, and their ratio to the first.

The tasks are executed as a worker does it, without Airflow's own traffic around them. Namespaces and PostgreSQL are made for
it, and nothing is left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from airflow_provider_dagconfig.store.migrate import migrate
from benchmarks.one_task import LIMITS, OPERATORS, REQUESTS
from demo.postgres import running_postgres

Costs = dict[str, list[dict[str, float]]]
"""What each run of an operator cost, by the operator's name."""


def one_task(operator: str, environment: dict[str, str], *arguments: str) -> dict[str, float]:
    command = [sys.executable, Path(__file__).with_name("one_task.py"), operator, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{operator}:\n{done.stdout}{done.stderr}")
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return cost


def in_turn(rounds: int) -> Iterator[tuple[int, str]]:
    names = list(OPERATORS)
    for number in range(rounds):
        random.shuffle(names)
        yield from ((number, name) for name in names)


def show(title: str, columns: list[str], costs: Costs) -> None:
    print(f"{title:38}" + "".join(f"{column:>10}{'ratio':>7}" for column in columns))
    medians = {name: {key: statistics.median(cost[key] for cost in costs[name]) for key in columns} for name in OPERATORS}
    first = next(iter(medians.values()))
    for name, values in medians.items():
        print(f"{name:38}" + "".join(f"{values[key]:10.1f}{values[key] / first[key]:7.2f}" for key in columns))
    print(flush=True)


class Namespace:
    """A namespace for one operator; with a user of its own, whose requests can be told apart, if they are to be counted."""

    def __init__(self, name: str, folder: Path, *, own_user: bool) -> None:
        self.name = name
        self.user = f"system:serviceaccount:{name}:worker"
        self.kubeconfig = os.environ["KUBECONFIG"]
        self._kubectl("create", "namespace", name)
        deadline = time.monotonic() + 30
        while not self._kubectl("get", "serviceaccounts", "--namespace", name, "--output", "name"):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if own_user:
            self.kubeconfig = str(self._log_in(folder / name))

    def _log_in(self, path: Path) -> Path:
        self._kubectl("create", "serviceaccount", "worker", "--namespace", self.name)
        grant = ["--clusterrole", "edit", "--serviceaccount", f"{self.name}:worker", "--namespace", self.name]
        self._kubectl("create", "rolebinding", "worker", *grant)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        address = f"/api/v1/namespaces/{self.name}/serviceaccounts/worker/token"
        token = json.loads(self._kubectl("create", "--raw", address, "-f", "-", body=json.dumps(request)))["status"]["token"]
        config = json.loads(self._kubectl("config", "view", "--raw", "--flatten", "--minify", "--output", "json"))
        config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

    def requests(self) -> int:
        """Count what its user has asked the API server; GET /version is what the kubectl of some cloud SDKs adds by itself."""
        command = [os.environ["CLUSTER_CONTROL"], "requests"]
        log = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
        entries = [json.loads(line) for line in log.splitlines() if self.user in line]
        return len(
            {
                entry["auditID"]
                for entry in entries
                if entry["user"]["username"] == self.user and not entry["requestURI"].startswith("/version")
            }
        )

    def close(self) -> None:
        self._kubectl("delete", "namespace", self.name, "--wait=false")

    def _kubectl(self, *arguments: str, body: str | None = None) -> str:
        done = subprocess.run(  # noqa: S603
            ["kubectl", *arguments],  # noqa: S607
            input=body,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout


@contextmanager
def workplace(folder: Path) -> Iterator[dict[str, str]]:
    """A configuration store and connections; gives the environment that names them."""
    with running_postgres(folder / "postgres") as server:
        server.execute("CREATE DATABASE screener")
        migrate(server.url("screener"))
        values = {
            f"{resource}_{kind}": each[resource] for kind, each in (("request", REQUESTS), ("limit", LIMITS)) for resource in each
        }
        assignments = ", ".join(f"p_{column} => '{value}'" for column, value in values.items())
        server.execute(f"SELECT financial_screener.update_dag_config('benchmark', 'all', {assignments})", database="screener")
        yield {
            "AIRFLOW_CONN_POSTGRES_DEFAULT": server.url("screener"),
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps({"conn_type": "kubernetes", "extra": {}}),
        }


def measure_imports(rounds: int, environment: dict[str, str]) -> Costs:
    for name in OPERATORS:
        # The first one compiles.
        one_task(name, environment)
    costs: Costs = {name: [] for name in OPERATORS}
    for _, name in in_turn(rounds):
        costs[name].append(one_task(name, environment))
    return costs


def measure_tasks(rounds: int, environment: dict[str, str], folder: Path) -> Costs:
    counts = "CLUSTER_CONTROL" in os.environ
    costs: Costs = {name: [] for name in OPERATORS}
    with ExitStack() as stack:
        environment = environment | stack.enter_context(workplace(folder))
        namespaces: dict[str, Namespace] = {}
        for number, name in enumerate(OPERATORS):
            namespaces[name] = Namespace(f"benchmark-{uuid.uuid4().hex[:8]}-{number}", folder, own_user=counts)
            stack.callback(namespaces[name].close)
        # The first round fills kubectl's caches.
        for number, name in in_turn(rounds + 1):
            namespace = namespaces[name]
            own = environment | {"KUBECONFIG": namespace.kubeconfig, "HOME": str(folder / namespace.name) + "-home"}
            before = namespace.requests() if counts else 0
            cost = one_task(name, own, "--namespace", namespace.name, "--run-id", f"manual__{number}")
            if counts:
                cost["requests"] = namespace.requests() - before
            if number:
                costs[name].append(cost)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imports", type=int, default=5, help="imports of each operator; 0: none")
    parser.add_argument("--tasks", type=int, default=5, help="tasks of each operator; 0: none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dagconfig-benchmark-") as name:
        folder = Path(name)
        # PostgreSQL's user, where root calls this, must be able to reach its folder.
        folder.chmod(0o711)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")}
        environment = inherited | {"AIRFLOW_HOME": str(folder / "airflow")}
        if arguments.imports:
            show("Import", ["MB", "CPU s"], measure_imports(arguments.imports, environment))
        if "KUBECONFIG" not in os.environ:
            print("Without KUBECONFIG no task runs.")
        elif arguments.tasks:
            columns = ["MB", "CPU s", "task s"] + (["requests"] if "CLUSTER_CONTROL" in os.environ else [])
            show("A task, and its pod of two seconds", columns, measure_tasks(arguments.tasks, environment, folder))


if __name__ == "__main__":
    main()
