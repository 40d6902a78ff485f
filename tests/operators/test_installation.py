"""Two Airflows with the same DAGs in one namespace: each has its own pods. A pod from before the ids is found by a later try."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from plugins.cluster import is_running
from plugins.postgres import Database, Server, new_database
from plugins.tasks import Tasks

from airflow_provider_dagconfig.kubectl import names
from airflow_provider_dagconfig.kubectl.annotations import PREFIX, task_annotations
from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

IDS = ("data_collection_equities", "manual__2026-11-23T02:00:00+00:00", "collect", -1)
TABLE = "financial_screener.dagconfig_installation"


@pytest.fixture
def other_store(postgres: Server, tasks: Tasks) -> Iterator[Database]:
    """A copy of the store, made its own as the documents say."""
    with new_database(postgres, tasks.database.name) as database:
        database.execute(f"UPDATE {TABLE} SET installation_id = DEFAULT")
        yield database


def use(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", database.url)


def id_of(database: Database) -> str:
    return str(database.execute(f"SELECT installation_id FROM {TABLE}")[0][0])


def age(tasks: Tasks, *, hours: int) -> None:
    """Make the store's id so many hours older; younger with a negative number."""
    tasks.database.execute(f"UPDATE {TABLE} SET created_at = now() - %s", [timedelta(hours=hours)])


def leave(
    tasks: Tasks, name: str = names.pod_name(*IDS), *, annotations: dict[str, str] | None = None, seconds: int = 60
) -> dict[str, Any]:
    """Make the pod that a worker without installations would have left, and wait until it runs."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": tasks.namespace.name,
            "annotations": task_annotations(*IDS, try_number=1) | (annotations or {}),
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "base",
                    "image": "busybox:latest",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", f"echo from before; sleep {seconds}"],
                    "resources": {"limits": {"memory": "32Mi"}, "requests": {"cpu": "50m"}},
                }
            ],
        },
    }
    created = Kubectl({"KUBECONFIG": tasks.namespace.kubeconfig}, tasks.namespace.name, name).create(manifest)
    tasks.namespace.wait_for_pod(lambda pod: pod["metadata"]["name"] == name and is_running(pod))
    return created


def runs(pod: dict[str, Any]) -> bool:
    """Whether it runs and nobody has asked to delete it."""
    return is_running(pod) and "deletionTimestamp" not in pod["metadata"]


def pods(tasks: Tasks) -> dict[str, str]:
    """The pods of the namespace, by name, with their uid."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in tasks.namespace.pods()}


def test_each_store_has_its_own_pod_and_a_kill_ends_only_that(
    tasks: Tasks, other_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs: dict[str, str] = {}

    def meanwhile(_: ConfiguredKubectlRunOperator) -> None:
        tasks.namespace.wait_for_pod(is_running)
        theirs.update(pods(tasks))

    killed = tasks.run("sleep", "300", while_running=lambda o: (meanwhile(o), o.on_kill()), state_in_airflow="running")
    assert killed.state == "failed"
    assert pods(tasks) == theirs  # left for the next try

    use(monkeypatch, other_store)
    seen: list[dict[str, Any]] = []

    def kill(operator: ConfiguredKubectlRunOperator) -> None:
        seen.append(tasks.namespace.wait_for_pod(lambda pod: pod["metadata"]["name"] not in theirs and runs(pod)))
        operator.on_kill()

    def is_untouched(pod: dict[str, Any]) -> bool:
        return pod["metadata"]["name"] in theirs and runs(pod)

    for try_number in (1, 2):
        tasks.run("sleep", "60", try_number=try_number, while_running=kill, state_in_airflow="failed")
        tasks.namespace.wait_for_pod(is_untouched)
        assert set(theirs.items()) <= set(pods(tasks).items())
    assert tasks.run("true").state == "success"
    tasks.namespace.wait_for_pod(is_untouched)
    assert set(theirs.items()) <= set(pods(tasks).items())
    [name] = theirs
    assert name == names.pod_name(*IDS, installation=id_of(tasks.database))
    assert {pod["metadata"]["name"] for pod in seen} == {names.pod_name(*IDS, installation=id_of(other_store))}
    assert {pod["metadata"]["labels"]["installation"] for pod in seen} == {id_of(other_store)}
    assert {pod["metadata"]["annotations"][f"{PREFIX}/installation"] for pod in seen} == {id_of(other_store)}


def test_the_option_tells_two_airflows_on_one_store_apart(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    for option in (None, "production", "staging"):
        if option is not None:
            monkeypatch.setenv("AIRFLOW__DAGCONFIG__INSTALLATION", option)
        task = tasks.run("true", on_finish_action="keep_pod")
        assert (task.state, task.error) == ("success", "")
        found.append(names.pod_name(*IDS, installation=option or id_of(tasks.database)))
    assert set(pods(tasks)) == set(found)
    assert len(set(found)) == 3


@pytest.mark.parametrize("try_number", [1, 2])
def test_a_bad_option_fails_the_task_before_there_is_a_pod(tasks: Tasks, monkeypatch: pytest.MonkeyPatch, try_number: int) -> None:
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__INSTALLATION", "Not A Label")
    task = tasks.run("true", try_number=try_number)
    assert task.state == "failed"
    assert "option installation of [dagconfig] (AIRFLOW__DAGCONFIG__INSTALLATION) is 'Not A Label'" in task.error
    assert task.raised is AirflowFailException
    assert tasks.namespace.left() == []


def test_a_pod_from_before_is_adopted_by_a_later_try(tasks: Tasks) -> None:
    age(tasks, hours=-1)
    pod = leave(tasks, seconds=5)
    adopted: list[dict[str, Any]] = []
    task = tasks.run(
        "false",
        try_number=2,
        while_running=lambda _: adopted.append(
            tasks.namespace.wait_for_pod(lambda seen: seen["metadata"]["annotations"][f"{PREFIX}/try-number"] == "2")
        ),
    )
    assert (task.state, task.error) == ("success", "")
    assert "from before" in task.log
    assert adopted[0]["metadata"]["uid"] == pod["metadata"]["uid"]
    assert adopted[0]["metadata"]["labels"]["installation"] == id_of(tasks.database)
    assert tasks.namespace.left() == []


@pytest.mark.parametrize(
    ("try_number", "hours", "annotations"),
    [
        pytest.param(1, -1, {}, id="a first try does not look"),
        pytest.param(2, 1, {}, id="it is younger than the store's id"),
        pytest.param(2, -1, {f"{PREFIX}/installation": "another"}, id="it is another installation's"),
        pytest.param(2, -1, {f"{PREFIX}/dag-id": "another"}, id="it is another task's"),
    ],
)
def test_a_pod_under_the_former_name_is_left_alone(tasks: Tasks, try_number: int, hours: int, annotations: dict[str, str]) -> None:
    age(tasks, hours=hours)
    pod = leave(tasks, annotations=annotations)
    task = tasks.run("true", try_number=try_number)
    assert (task.state, task.error) == ("success", "")
    [left] = tasks.namespace.pods()
    assert left["metadata"]["uid"] == pod["metadata"]["uid"]
    assert left["metadata"]["annotations"] == pod["metadata"]["annotations"]
    assert "deletionTimestamp" not in left["metadata"]


@pytest.mark.parametrize("installation", ["another", None])
def test_a_pod_of_another_installation_under_the_name_of_now_is_neither_adopted_nor_deleted(
    tasks: Tasks, installation: str | None
) -> None:
    """The names differ by themselves; this one has lost its annotation, or it was written by hand."""
    annotations = {} if installation is None else {f"{PREFIX}/installation": installation}
    pod = leave(tasks, names.pod_name(*IDS, installation=id_of(tasks.database)), annotations=annotations)
    task = tasks.run("true", try_number=2)
    assert task.state == "failed"
    assert "is not this task's: its annotations name another task or installation, or none" in task.error
    [left] = tasks.namespace.pods()
    assert (left["metadata"]["uid"], left["metadata"]["annotations"]) == (pod["metadata"]["uid"], pod["metadata"]["annotations"])
    assert "deletionTimestamp" not in left["metadata"]


@pytest.mark.parametrize(("try_number", "looks"), [(1, []), (2, [names.pod_name(*IDS)])])
def test_only_a_later_try_looks_and_only_once(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch, try_number: int, looks: list[str]
) -> None:
    asked: list[str] = []
    real = Kubectl.get

    def get(self: Kubectl, *arguments: int) -> dict[str, Any]:
        asked.append(self.pod)
        return real(self, *arguments)

    monkeypatch.setattr(Kubectl, "get", get)
    assert tasks.run("true", try_number=try_number).state == "success"
    assert asked == looks
