"""
The demo: ``python -m demo``.

Two runs of the example DAG data_collection_equities through a real Airflow, with a few rows changed between them.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from airflow_provider_dagconfig.exceptions import DagConfigError
from airflow_provider_dagconfig.store import Store
from airflow_provider_dagconfig.store.migrate import migrate
from demo import report
from demo.airflow import USER, Airflow, TaskInstance, running_airflow
from demo.cluster import NAMESPACE, RUN_ID_PREFIX, PodWatch, demo_cluster
from demo.postgres import running_postgres

COLLECTION = "data_collection_equities"
INDICATORS = "calculate_indicators"
RUN_SECONDS = 600
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

CHANGES = """\
SELECT financial_screener.update_dag_config(
    'data_collection_equities',
    'us_markets',
    p_cpu_limit => '3000m',
    p_memory_limit => '4Gi',
    p_batch_size => 750,
    p_updated_by => 'admin'
);
UPDATE financial_screener.dag_configuration
SET enabled = FALSE
WHERE dag_name = 'data_collection_equities' AND job_name = 'european_markets';
INSERT INTO financial_screener.exchange_groups
    (group_name, display_name, exchanges, priority)
VALUES ('asian_markets', 'Asian Markets', ARRAY['TSE', 'HKEX'], 6);
"""


def main() -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Run the example DAGs, change a few rows, run them again, and compare. KUBECONFIG names the cluster; "
        "without it local pods take its place.",
    )
    parser.add_argument("--stay", action="store_true", help="leave Airflow running at the end, to look around in it")
    more = "a folder with DAG files of yours, to have them beside the examples; may be given again"
    parser.add_argument("--dags", type=_folder, action="append", default=[], metavar="FOLDER", help=more)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write what it prints into an SVG file too")
    options = parser.parse_args()
    for number in _STOPPING:
        signal.signal(number, _stopped)
    console = Console(highlight=False, record=options.picture is not None)
    # Where root starts it, PostgreSQL runs as another user, who must reach the folder. The secret files in it are not readable.
    folder = Path(tempfile.mkdtemp(prefix="dagconfig-demo-"))
    folder.chmod(0o711)
    try:
        _demo(console, folder, options.dags, stay=options.stay, picture=options.picture)
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        console.print("Stopped.")
        return 128 + signal.SIGINT
    except (RuntimeError, DagConfigError) as error:
        console.print(f"✗ {error}", markup=False, style="red", soft_wrap=True)
        console.print(f"Everything it wrote is in {folder}", soft_wrap=True)
        return 1
    shutil.rmtree(folder)
    return 0


def _folder(text: str) -> Path:
    path = Path(text).absolute()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path}")
    return path


def _stopped(*_: object) -> NoReturn:
    # From here on the demo stops all that it started, even if more signals come.
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _demo(console: Console, folder: Path, more_dags: list[Path], *, stay: bool, picture: Path | None) -> None:
    with ExitStack() as stack:
        with _step(console, "PostgreSQL, with the configuration's tables"):
            server = stack.enter_context(running_postgres(folder / "postgres"))
            for database in ("airflow", "screener"):
                server.execute(f"CREATE DATABASE {database}")
            migrate(server.url("screener"))
        with _step(console, "A cluster"):
            cluster = stack.enter_context(demo_cluster())
            secrets = {
                "postgres-secret": {"DATABASE_URL": server.url("screener")},
                "data-api-secrets": {"EODHD_API_KEY": "demo"},
            }
            made = stack.enter_context(cluster.prepared(secrets))
        names = ", ".join("/".join(path.split("/")[-2:]) for path in made)
        made_there = f" Made there, until the demo ends: {names}." if made else ""
        console.print(f"  It is {cluster.description}.{made_there}", markup=False)
        with _step(console, "Airflow, with LocalExecutor and the example DAGs") as update:
            airflow = stack.enter_context(
                running_airflow(
                    folder / "airflow",
                    database_url=server.url("airflow"),
                    dags=Path(str(files("airflow_provider_dagconfig.example_dags"))),
                    more_dags=more_dags,
                    environment={
                        "AIRFLOW_CONN_POSTGRES_DEFAULT": server.url("screener"),
                        "KUBECONFIG": cluster.kubeconfig,
                        # The smallest cluster has room for two pods at a time.
                        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "2",
                    },
                    progress=update,
                )
            )
            airflow.wait_for_dags(COLLECTION, INDICATORS)
            airflow.unpause(COLLECTION, INDICATORS)
        watch = PodWatch(cluster, folder / "pods.log")
        stack.callback(watch.close)
        before = _run(console, airflow, watch, "before")
        changing_since = datetime.now(timezone.utc)
        with _step(console, "Three statements"):
            server.execute(CHANGES, database="screener")
        console.print(CHANGES, style="cyan", markup=False, soft_wrap=True)
        after = _run(console, airflow, watch, "after")
        sections = [(before.get(dag_id, []), after.get(dag_id, [])) for dag_id in (COLLECTION, INDICATORS)]
        console.print(report.comparison(*sections, width=console.width))
        console.print(f"\ncpu and memory: request/limit. The pods ran on {cluster.description}.", markup=False)
        history = Store.from_url(server.url("screener")).get_history(since=changing_since)
        console.print(report.audit_trail(reversed(history)))
        if picture is not None:  # without the passwords below
            console.save_svg(str(picture), title="make demo")
        if stay:
            console.print(f"Airflow: {airflow.url}, user {USER}, password {airflow.password}", markup=False, soft_wrap=True)
            console.print(f"Rows: {server.url('screener')}", markup=False, soft_wrap=True)
            pods = f"kubectl --kubeconfig {cluster.kubeconfig} --namespace {NAMESPACE} get pods"
            console.print(f"Pods: {pods}\nCtrl-C ends it.", markup=False, soft_wrap=True)
            with suppress(KeyboardInterrupt):
                signal.pause()


def _run(console: Console, airflow: Airflow, watch: PodWatch, name: str) -> dict[str, list[report.JobRun]]:
    """
    Run the collection and the indicators after it.

    :return: the result of each job, by the DAG's id.
    :raises AirflowRunError: a run failed.
    """
    known = set(airflow.runs(INDICATORS))
    run_id = f"{RUN_ID_PREFIX}{name}__{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S}"
    with _step(console, f"{COLLECTION}, run {run_id}, and {INDICATORS}") as update:

        def show(instances: list[TaskInstance]) -> None:
            update(" · ".join(f"{one.label or one.task_id} {one.state or 'waits'}" for one in instances))

        airflow.trigger(COLLECTION, run_id)
        runs = [(COLLECTION, run_id, "collect.run")]
        airflow.wait_for_run(COLLECTION, run_id, RUN_SECONDS, watch=show)
        for triggered in set(airflow.runs(INDICATORS)) - known:
            runs.append((INDICATORS, triggered, "calculate"))
            airflow.wait_for_run(INDICATORS, triggered, RUN_SECONDS, watch=show)
    pods = watch.pods()
    return {
        dag_id: report.job_runs(dag_id, run_id, task_id, airflow.task_instances(dag_id, run_id), pods)
        for dag_id, run_id, task_id in runs
    }


@contextmanager
def _step(console: Console, what: str) -> Iterator[Callable[[str], None]]:
    """Show that a step runs, and how long it took; yield a function that shows more about it."""
    began = time.monotonic()
    try:
        with console.status(f"{what} …") as status:
            yield lambda more: status.update(f"{what}: {more}")
    except KeyboardInterrupt:
        console.print(f"Stopped in: {what}. What it started is being ended …", markup=False)
        raise
    console.print(f"[green]✓[/] {what} [dim]({time.monotonic() - began:.1f} s)[/]")


if __name__ == "__main__":
    sys.exit(main())
