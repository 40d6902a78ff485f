"""
A whole Airflow for a run: API server, scheduler, DAG processor, triggerer, LocalExecutor; and a client of its API.

It has its own home, database and ports, and uses no settings of another Airflow on the machine.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from demo import processes

USER = "admin"
START_SECONDS = 180
STOP_SECONDS = 20
_AIRFLOW = [sys.executable, "-m", "airflow"]


class AirflowRunError(RuntimeError):
    """Airflow did not start, did not answer, or a run did not end in time; the message says where the logs are."""


@dataclass(frozen=True)
class TaskInstance:
    """One task instance of a run, as the API describes it."""

    task_id: str
    map_index: int
    label: str | None
    """The text that the grid shows instead of the map index."""
    state: str | None
    seconds: float | None
    try_number: int

    @property
    def name(self) -> str:
        """The task's id, with the label if it is mapped."""
        return self.task_id if self.map_index < 0 else f"{self.task_id} {self.label or self.map_index}"


@dataclass
class Airflow:
    """A client of a running Airflow."""

    home: Path
    url: str
    password: str = field(repr=False)
    _token: str | None = field(default=None, repr=False)

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """
        Make one request to the stable API.

        :param path: below ``/api/v2``, for example ``/dags``.
        :raises urllib.error.HTTPError: the API refused it.
        """
        if self._token is None:
            login = {"username": USER, "password": self.password}
            self._token = _http("POST", f"{self.url}/auth/token", login)["access_token"]
        address = f"{self.url}/api/v2{path}" + (f"?{urlencode(query)}" if query else "")
        return _http(method, address, body, token=self._token)

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task of a run, as the grid's button does."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": [task_id]}
        self.request("POST", f"/dags/{quote(dag_id)}/clearTaskInstances", body)

    def wait_for_dags(self, *dag_ids: str) -> None:
        """Wait until the DAG processor has parsed these DAGs."""

        def parsed() -> bool:
            known = {dag["dag_id"] for dag in self.request("GET", "/dags", limit=100)["dags"]}
            if errors := self.request("GET", "/importErrors")["import_errors"]:
                raise AirflowRunError("\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors))
            return known >= set(dag_ids)

        self._wait(parsed, START_SECONDS, f"the DAGs {', '.join(dag_ids)}")

    def unpause(self, *dag_ids: str) -> None:
        for dag_id in dag_ids:
            self.request("PATCH", f"/dags/{quote(dag_id)}", {"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None, logical_date: str | None = None) -> None:
        body = {"dag_run_id": run_id, "logical_date": logical_date, "conf": dict(conf or {})}
        self.request("POST", f"/dags/{quote(dag_id)}/dagRuns", body)

    def runs(self, dag_id: str) -> dict[str, str]:
        """Return the states of a DAG's runs, by run id."""
        runs = self.request("GET", f"/dags/{quote(dag_id)}/dagRuns", limit=100)["dag_runs"]
        return {run["dag_run_id"]: run["state"] for run in runs}

    def wait_for_run(
        self, dag_id: str, run_id: str, seconds: float, watch: Callable[[list[TaskInstance]], None] = lambda _: None
    ) -> None:
        """
        Wait until a run has succeeded.

        :param watch: called with the task instances each time that they were read.
        :raises AirflowRunError: a task failed, whether it will be retried or not (the message has the end of its log); or the run
            did not end in time.
        """

        def ended() -> bool:
            state = self.runs(dag_id).get(run_id)
            # Read after the state, so that they include those which decided it.
            instances = self.task_instances(dag_id, run_id)
            watch(instances)
            failed = [instance for instance in instances if instance.state in ("failed", "up_for_retry")]
            if failed or state == "failed":
                ends = [f"{one.name}: {one.state}\n{self._end_of_log(dag_id, run_id, one)}" for one in failed]
                raise AirflowRunError("\n".join([f"The run {run_id} of {dag_id} failed.", *ends]))
            return state == "success"

        self._wait(ended, seconds, f"the run {run_id} of {dag_id}")

    def _end_of_log(self, dag_id: str, run_id: str, instance: TaskInstance) -> str:
        log = self.task_log(dag_id, run_id, instance.task_id, instance.map_index, instance.try_number)
        return "\n".join(log.splitlines()[-20:])

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances"
        return sorted(
            (
                TaskInstance(
                    task_id=instance["task_id"],
                    map_index=instance["map_index"],
                    label=instance["rendered_map_index"],
                    state=instance["state"],
                    seconds=instance["duration"],
                    try_number=instance["try_number"],
                )
                for instance in self.request("GET", path, limit=100)["task_instances"]
            ),
            key=lambda instance: (instance.task_id, instance.map_index),
        )

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Set the state of a task instance, as the grid's buttons do."""
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task_id)}"
        path += f"/{map_index}" if map_index >= 0 else ""
        self.request("PATCH", path, {"new_state": state})

    def rendered(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return the fields that the Rendered tab shows."""
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task_id)}"
        path += f"/{map_index}" if map_index >= 0 else ""
        fields: dict[str, Any] = self.request("GET", path)["rendered_fields"]
        return fields

    def task_log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> str:
        """Return the messages in the log of a try."""
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}"
        content = self.request("GET", path, map_index=map_index, full_content="true")["content"]
        return "\n".join(line["event"] if isinstance(line, dict) else str(line) for line in content)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}"
        return self.request("GET", path, map_index=map_index, deserialize="true")["value"]

    def _wait(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise AirflowRunError(f"Airflow: waited {seconds:g} s for {what}; its logs are in {self.home / 'logs'}")
            time.sleep(0.5)


@contextmanager
def running_airflow(
    home: Path,
    *,
    database_url: str,
    dags: Path,
    more_dags: Sequence[Path] = (),
    environment: Mapping[str, str],
    port: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Airflow]:
    """
    Start Airflow; stop all of it at the end.

    DAGs run only when they are triggered, not by their schedules.

    :param home: Airflow's home; it is created, and must not exist. Logs are in ``logs``.
    :param database_url: an empty PostgreSQL database for Airflow's metadata.
    :param dags: the folder of the DAG files.
    :param more_dags: more such folders.
    :param environment: more environment variables, for example connections and KUBECONFIG.
    :param port: the API server's; by default a free one.
    :param progress: called with the present step.
    :raises AirflowRunError: a component did not start.
    """
    logs = home / "logs"
    logs.mkdir(parents=True)
    port = port or processes.free_port()
    airflow = Airflow(home, f"http://127.0.0.1:{port}", secrets.token_urlsafe(16))
    variables = _environment(home, airflow, database_url, [dags, *more_dags]) | dict(environment)
    progress("making its database")
    _run(["db", "migrate"], variables, logs / "db-migrate.log")
    progress("API server, scheduler, DAG processor and triggerer start")
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, *options in (
            ("api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            ("scheduler", "--skip-serve-logs"),
            ("dag-processor",),
            ("triggerer", "--skip-serve-logs"),
        ):
            started[name] = processes.start([*_AIRFLOW, name, *options], logs / f"{name}.log", variables)
        _wait_until_healthy(airflow, started)
        yield airflow
    finally:
        processes.stop(started.values(), signal.SIGTERM, STOP_SECONDS)


def _wait_until_healthy(airflow: Airflow, started: Mapping[str, subprocess.Popen[bytes]]) -> None:
    logs = airflow.home / "logs"
    deadline = time.monotonic() + START_SECONDS
    while not _healthy(airflow.url):
        ended = [name for name, process in started.items() if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            what = f"{', '.join(ended)} ended" if ended else f"not healthy after {START_SECONDS} s"
            tail = "\n".join((logs / f"{name}.log").read_text()[-2000:] for name in ended or ["api-server"])
            raise AirflowRunError(f"Airflow did not start: {what}; its logs are in {logs}\n{tail}")
        time.sleep(0.5)


def _environment(home: Path, airflow: Airflow, database_url: str, dags: Sequence[Path]) -> dict[str, str]:
    passwords = home / "passwords.json"
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({USER: airflow.password}))
    settings = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": "8",
            "load_examples": "False",
            "execution_api_server_url": f"{airflow.url}/execution/",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(passwords),
        },
        "database": {"sql_alchemy_conn": database_url.replace("postgresql://", "postgresql+psycopg2://")},
        "logging": {"base_log_folder": str(home / "logs" / "tasks")},
        "api": {"base_url": airflow.url, "secret_key": secrets.token_hex(16)},
        "api_auth": {"jwt_secret": secrets.token_hex(64)},
        # Otherwise each process would report Airflow's usage, over the network.
        "usage_data_collection": {"enabled": "False"},
        # On a busy machine the first answer takes more than 5 seconds.
        "workers": {"execution_api_timeout": "60"},
        "scheduler": {"use_job_schedule": "False", "scheduler_idle_sleep_time": "0.5"},
        "dag_processor": {
            "dag_bundle_config_list": json.dumps([_bundle(*numbered) for numbered in enumerate(dags)]),
            "refresh_interval": "5",
            # A changed file is parsed at once, regardless of this.
            "min_file_process_interval": "300",
            "parsing_processes": "1",
        },
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    own = {
        f"AIRFLOW__{section.upper()}__{option.upper()}": value
        for section, options in settings.items()
        for option, value in options.items()
    }
    return inherited | own | {"AIRFLOW_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def _bundle(number: int, folder: Path) -> dict[str, Any]:
    """Return a folder of DAG files as an entry of Airflow's setting."""
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": f"{folder.name}-{number}", "classpath": classpath, "kwargs": {"path": str(folder)}}


def _run(arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
    process = processes.start([*_AIRFLOW, *arguments], log, environment)
    try:
        code = process.wait(timeout=START_SECONDS)
    except subprocess.TimeoutExpired:
        raise AirflowRunError(f"airflow {' '.join(arguments)} did not end in {START_SECONDS} s: see {log}") from None
    finally:
        processes.stop([process], signal.SIGTERM, STOP_SECONDS)
    if code:
        raise AirflowRunError(f"airflow {' '.join(arguments)} failed:\n{log.read_text()[-4000:]}")


def _healthy(url: str) -> bool:
    try:
        health = _http("GET", f"{url}/api/v2/monitor/health")
    except (OSError, ValueError):
        return False
    return all(
        health.get(component, {}).get("status") == "healthy"
        for component in ("metadatabase", "scheduler", "dag_processor", "triggerer")
    )


def _http(method: str, url: str, body: Any = None, token: str | None = None) -> Any:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310
    # No proxy: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as response:
        return json.loads(response.read() or b"null")
