"""The environment of a run: its sizes, a folder, the environment variables, the cluster and PostgreSQL."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_dagconfig.store.migrate import migrate
from benchmarks.peers import DAG_NAME, LIMITS, REQUESTS
from benchmarks.sizes import Sizes
from demo.postgres import Server

ROOT = Path(__file__).parents[1]


@dataclass
class Workplace:
    """
    The environment of a run.

    :param kubeconfig: the cluster's; None if there is no cluster; then the parts that need one are left out.
    :param server: a PostgreSQL server for this run, with PostgreSQL's default settings.
    """

    sizes: Sizes
    folder: Path
    kubeconfig: str | None
    server: Server
    deadline: float = field(default=0.0)
    """The moment (time.monotonic) when the present part has used up its time."""
    _template: str | None = None

    def make_store(self, name: str) -> str:
        """Create a database with all migrations, and the row of the benchmark's pods; return its URL."""
        if self._template is None:
            self.server.execute("CREATE DATABASE benchmark_template")
            migrate(self.server.url("benchmark_template"))
            self._template = "benchmark_template"
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        url = self.server.url(name)
        values = {f"{what}_{kind}": each[what] for kind, each in (("request", REQUESTS), ("limit", LIMITS)) for what in each}
        assignments = ", ".join(f"p_{column} => '{value}'" for column, value in values.items())
        self.server.execute(f"SELECT financial_screener.update_dag_config('{DAG_NAME}', 'all', {assignments})", database=name)
        return url

    def environment(self, store: str | None = None, kubeconfig: str | None = None) -> dict[str, str]:
        """
        Return the environment of a process that runs tasks, without the settings of another Airflow on the machine.

        :param store: the URL of the configuration's database.
        :param kubeconfig: by default the run's.
        """
        # Python may write bytecode, so that only the first process of a kind compiles this package. Pip compiles what it installs.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AIRFLOW_") and name != "PYTHONDONTWRITEBYTECODE"
        }
        chosen = kubeconfig or self.kubeconfig
        return (
            inherited
            | {
                "AIRFLOW_HOME": str(self.folder / "airflow"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
                "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps({"conn_type": "kubernetes", "extra": {}}),
                "PYTHONPATH": str(ROOT),
                # kubectl caches there what it learns about a server.
                "HOME": str(self.folder),
            }
            | ({"AIRFLOW_CONN_POSTGRES_DEFAULT": store} if store else {})
            | ({"KUBECONFIG": chosen} if chosen else {})
        )

    def in_turn(self, rounds: int, names: Sequence[str]) -> Iterator[tuple[int, str]]:
        """
        Let all take turns. Each round begins with another one, so that other load on the machine affects all of them.

        When the part has used up its time, no further round begins, but there are at least two.
        """
        for number in range(rounds):
            if number >= 2 and time.monotonic() > self.deadline:
                say(f"the time is up after {number} of {rounds} rounds")
                return
            first = number % len(names)
            yield from ((number, name) for name in (*names[first:], *names[:first]))


def say(text: str) -> None:
    """Print a line for the person who watches the run."""
    print(f"    {text}", file=sys.stderr, flush=True)
