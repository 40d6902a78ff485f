"""
The last release and the present package side by side, as while a platform is upgraded: one database, one cluster, one Airflow.

Here "older" is the release, from its wheel, and "newer" is the present package.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from plugins.cluster import Namespace, is_running
from plugins.command_line import Answer, dagconfig
from plugins.postgres import Database
from plugins.released import WHEEL, Ended, Released
from plugins.tasks import DAG_ID, JOB, Left, TaskResult, Tasks
from plugins.workers import worker

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.models import DagConfig

__all__ = ["dagconfig"]

LATER_MIGRATION = """
    ALTER TABLE financial_screener.dag_configuration ADD COLUMN later integer NOT NULL DEFAULT 7;
    ALTER TABLE financial_screener.dag_configuration_overrides ADD COLUMN later integer;
    INSERT INTO financial_screener.dagconfig_migrations (version, name, checksum) VALUES (999, 'later', 'of a later package');
"""
"""A migration as a package after the present one may have it: migrations only add to the schema."""

WORKS = (
    "sh",
    "-c",
    """echo "$WHOSE begins"; sleep 1; echo "$WHOSE ends"; sleep 1; echo '{"rows": 7}' > /airflow/xcom/return.json""",
)
"""A job with a result. WHOSE is the uid of its pod. A node may lose the lines that a container writes right before it ends."""

WHOSE: dict[str, Any] = {
    "do_xcom_push": True,
    "env_vars": [{"name": "WHOSE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
}

PACKAGES = ("older", "newer")


@pytest.fixture
def newer_schema(store: Database) -> Database:
    """The default connection's database: migrated by the present package, and by a later one."""
    store.execute(LATER_MIGRATION)
    return store


def run_by(package: str, released: Released, tasks: Tasks, **parameters: Any) -> Ended | TaskResult:
    """Run a part of the task in one of the two packages."""
    if package == "older":
        return released.run(tasks, *WORKS, **WHOSE, **parameters)
    return tasks.run(*WORKS, **WHOSE, **parameters)


def fire_by(package: str, released: Released, left: Left) -> Any:
    """Run the trigger of a deferred task in one of the two packages."""
    return released.fire(left) if package == "older" else left.fire()


@contextmanager
def killed_worker_of(package: str, released: Released, tasks: Tasks, folder: Path) -> Iterator[None]:
    """Run the task in a worker of one of the two packages, which is killed at the end of the block."""
    with released.running(tasks, *WORKS, **WHOSE) if package == "older" else worker(tasks, folder, *WORKS, **WHOSE):
        yield


def check_that_it_worked_once(task: Ended | TaskResult, namespace: Namespace, uid: str) -> None:
    """Check that a task has the result of this pod and its log once, of no other pod, and that the pod is gone."""
    assert (task.state, task.error, task.result) == ("success", "", {"rows": 7})
    assert [line for line in task.log if line.startswith(uid)] == [f"{uid} begins", f"{uid} ends"]
    assert not any(line.endswith(" begins") and not line.startswith(uid) for line in task.log)
    assert namespace.left() == []


# --- the release ---


def test_the_older_package_is_the_wheel_of_its_release(released: Released) -> None:
    # All tests below would say nothing if the program had imported the present package.
    about = released.ask("about")
    assert about["version"] == WHEEL.name.split("-")[1]
    assert Path(about["folder"]).is_relative_to(released.folder)


def test_no_migration_of_the_release_has_changed() -> None:
    # A database that the release migrated has the checksums of its files, so what changes must be a file of its own.
    with zipfile.ZipFile(WHEEL) as wheel:
        folder = "airflow_provider_dagconfig/migrations/"
        names = [name.removeprefix(folder) for name in wheel.namelist() if name.startswith(folder)]
        kept = {name: wheel.read(folder + name).decode() for name in names if name.endswith(".sql") and "/" not in name}
    now = {file.name: file.read_text() for file in files("airflow_provider_dagconfig.migrations").iterdir() if file.is_file()}
    assert kept
    assert {name: now.get(name) for name in kept} == kept


# --- the database ---


def test_the_commands_of_the_older_package_work_on_the_newer_schema(released: Released, newer_schema: Database) -> None:
    # People go on with the older command line, on their own machines, after somebody has migrated.
    def run(*words: str) -> Answer:
        answer = released.dagconfig(*words)
        assert answer.code == 0, (words, answer)
        return answer

    def batch_size() -> Any:
        return DagConfigHook().get_dag_config(DAG_ID, JOB).batch_size

    assert JOB in run("list").out
    before = batch_size()
    run("set", DAG_ID, JOB, "batch_size=321", "--reason", "smaller batches")
    assert batch_size() == 321
    assert "321" in run("get", DAG_ID, JOB).out
    [newest, *_] = json.loads(run("history", DAG_ID, JOB, "-o", "json").out)
    run("rollback", str(newest["audit_id"]), "--yes")
    assert batch_size() == before
    run("override", DAG_ID, JOB, "batch_size=12", "--for", "2h", "--reason", "quarter end")
    assert batch_size() == 12
    # The column that the older package does not know has kept its values.
    assert newer_schema.execute("SELECT DISTINCT later FROM financial_screener.dag_configuration") == [(7,)]


def test_the_older_package_leaves_what_a_later_one_has_migrated(released: Released, newer_schema: Database) -> None:
    # Whoever runs it there by mistake changes nothing, and learns which side is behind.
    checked = released.dagconfig("doctor", "--no-cluster")
    assert checked.code == 0, checked.out
    assert "a later version applied 999_later.sql" in checked.out
    assert "Nothing to do" in released.dagconfig("migrate").out
    refused = released.dagconfig("migrate", "--to", "016", "--yes")
    assert refused.code == 1
    assert "applied 999_later.sql" in refused.err
    assert "Install the version that has it, or a later one" in refused.err
    assert newer_schema.execute("SELECT max(version) FROM financial_screener.dagconfig_migrations") == [(999,)]


def test_the_newer_package_migrates_what_the_older_one_has_migrated(
    released: Released, database: Database, dagconfig: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first step of an upgrade: the rows, the overrides and the audit stay.
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", database.url)
    assert released.dagconfig("migrate").code == 0
    assert released.dagconfig("set", DAG_ID, JOB, "batch_size=321").code == 0
    assert released.dagconfig("override", DAG_ID, JOB, "memory_limit=4Gi", "--for", "2h", "--reason", "quarter end").code == 0
    migrated = dagconfig("migrate")
    assert migrated.code == 0, migrated.err
    checked = dagconfig("doctor", "--no-cluster")
    assert checked.code == 0, checked.out
    assert "ok    migrations" in checked.out
    config = DagConfigHook().get_dag_config(DAG_ID, JOB)
    assert (config.batch_size, config.memory_limit.text) == (321, "4Gi")


def test_the_newer_package_reads_a_configuration_that_the_older_one_has_written(released: Released, store: Database) -> None:
    # A deferred task of the older package carries its configuration; the Rendered tab and the pod's annotations show it.
    store.execute(
        "SELECT financial_screener.override_dag_config(%s, %s, now() + interval '1 hour', 'quarter end', p_batch_size => 12)",
        [DAG_ID, JOB],
    )
    now = DagConfigHook().get_dag_config(DAG_ID, JOB)
    older = released.ask("configuration", dag=DAG_ID, job=JOB)
    assert DagConfig.from_dict(older["carried"]) == now
    # Whoever compares Rendered tabs of before and after finds the same values under the same names.
    rendered = json.loads(json.dumps(now.as_dict()))
    assert {name: rendered.get(name) for name in older["rendered"]} == older["rendered"]


# --- the pods ---


def test_a_task_of_the_older_package_runs_a_pod_with_its_row_in_the_newer_schema(
    released: Released, tasks: Tasks, newer_schema: Database
) -> None:
    # Older workers go on after somebody has migrated.
    tasks.configure(batch_size=321)
    task = released.run(tasks, "sh", "-c", "echo in batches of $BATCH; sleep 1", env_vars={"BATCH": "{{ dag_config.batch_size }}"})
    assert (task.state, task.error) == ("success", "")
    assert task.log.count("in batches of 321") == 1
    assert tasks.namespace.left() == []


@pytest.mark.parametrize(("first", "second"), [PACKAGES, PACKAGES[::-1]], ids=["upgrade", "back"])
def test_a_pod_of_a_worker_that_is_gone_is_adopted_by_a_worker_of_the_other_package(
    released: Released, tasks: Tasks, tmp_path: Path, first: str, second: str
) -> None:
    # Workers are replaced while pods run: the next try goes on with the pod, or collects its end.
    with killed_worker_of(first, released, tasks, tmp_path):
        pod = tasks.namespace.wait_for_pod(is_running)
    task = run_by(second, released, tasks, try_number=2)
    check_that_it_worked_once(task, tasks.namespace, pod["metadata"]["uid"])


@pytest.mark.parametrize(
    ("defers", "watches", "completes"),
    [
        pytest.param("older", "newer", "older", id="the triggerers are upgraded"),
        pytest.param("older", "newer", "newer", id="the triggerers and the workers are upgraded"),
        pytest.param("older", "older", "newer", id="the workers are upgraded"),
        pytest.param("newer", "older", "older", id="the workers go back"),
        pytest.param("newer", "older", "newer", id="only a triggerer is the older one"),
        pytest.param("newer", "newer", "older", id="only a worker is the older one"),
    ],
)
def test_a_deferred_task_ends_well_whichever_package_watches_and_completes_it(
    released: Released, tasks: Tasks, defers: str, watches: str, completes: str
) -> None:
    # Tasks are deferred for hours, so an upgrade always meets some.
    first = run_by(defers, released, tasks, deferrable=True)
    assert first.left is not None, first.error
    [pod] = tasks.namespace.pods()
    event = fire_by(watches, released, first.left)
    task = run_by(completes, released, tasks, deferrable=True, left=first.left, event=event)
    check_that_it_worked_once(task, tasks.namespace, pod["metadata"]["uid"])
    # A newer package reads all that the older one writes. The older one may find another form, and then waits in the worker.
    assert watches == "older" or event["kind"] == "ended"
    assert completes == "older" or not any("cannot be read" in line for line in task.log)


def trigger_of_a_later_version(left: Left) -> Left:
    return replace(left, trigger={**left.trigger, "version": left.trigger["version"] + 1})


def deferral_of_a_later_version(left: Left) -> Left:
    deferral = json.loads(left.kwargs["deferral"])
    return replace(left, kwargs={"deferral": json.dumps({**deferral, "format": deferral["format"] + 1})})


def configuration_of_a_later_version(left: Left) -> Left:
    deferral = json.loads(left.kwargs["deferral"])
    later = {**deferral["config"], "format": deferral["config"]["format"] + 1}
    return replace(left, kwargs={"deferral": json.dumps({**deferral, "config": later})})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(trigger_of_a_later_version, "of a deferred task's state, and not", id="trigger"),
        pytest.param(deferral_of_a_later_version, "what it left cannot be read: it has format", id="deferral"),
        pytest.param(
            configuration_of_a_later_version, "what it left cannot be read: A job's configuration in format", id="configuration"
        ),
    ],
)
def test_the_older_package_says_what_it_cannot_read_and_ends_the_task_all_the_same(
    released: Released, tasks: Tasks, change: Callable[[Left], Left], says: str
) -> None:
    # Whoever goes back from a package that leaves another form loses no pod and no result: the worker waits itself.
    first = tasks.run(*WORKS, **WHOSE, deferrable=True)
    assert first.left is not None, first.error
    [pod] = tasks.namespace.pods()
    left = change(first.left)
    event = released.fire(left)
    task = released.run(tasks, *WORKS, **WHOSE, deferrable=True, left=left, event=event)
    check_that_it_worked_once(task, tasks.namespace, pod["metadata"]["uid"])
    assert any(says in line for line in task.log)
