"""SweepPodsOperator: which pods a task deletes, that learns from Airflow states alone, and what it says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.sdk import DAG
from plugins.answers import Server, document, kubeconfig, status
from plugins.cluster import Namespace
from plugins.postgres import Database

from airflow_provider_dagconfig.kubectl.annotations import PREFIX
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.operators import sweep
from airflow_provider_dagconfig.operators.sweep import SweepPodsOperator

DAG_ID, RUN_ID = "data_collection_equities", "manual__2026-11-23T02:00:00+00:00"


@dataclass
class Sweeps:
    """Sweeps of a namespace by a task, and what Airflow has instances of the task ``collect`` of one run as."""

    namespace: Namespace
    installation: str
    states: dict[int, str | None] = field(default_factory=dict)
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    log: list[str] = field(default_factory=list)

    def pod(self, map_index: int, *cmds: str, run_id: str = RUN_ID) -> str:
        """Make a pod as the operator does, and wait until it runs, or has ended where its command is ``true``. Gives its name."""
        request = PodRequest(
            dag_id=DAG_ID,
            run_id=run_id,
            task_id="collect",
            map_index=map_index,
            dag_config=DagConfig.from_row(
                {**DagConfig.defaults(DAG_ID, "us_markets").as_dict(), "memory_request": "16Mi", "cpu_request": "50m"},
                origin="test",
            ),
            image="busybox:latest",
            image_pull_policy="IfNotPresent",
            cmds=list(cmds),
            namespace=self.namespace.name,
            installation=self.installation,
        )
        path = self.namespace.path
        name = str(
            json.loads(self.namespace.cluster.kubectl("create", "--raw", path, "-f", "-", body=build_pod(request)))["metadata"][
                "name"
            ]
        )
        phase = "Succeeded" if cmds == ("true",) else "Running"
        self.namespace.wait_for_pod(lambda pod: pod["metadata"]["name"] == name and pod["status"].get("phase") == phase)
        return name

    def run(self, **arguments: Any) -> dict[str, int]:
        """Sweep once."""

        def get_task_states(dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int) -> Any:
            if dag_id != DAG_ID or RUN_ID not in run_ids or map_index not in self.states:
                return {}
            return {RUN_ID: {f"collect_{map_index}": self.states[map_index]}}

        operator = SweepPodsOperator(task_id="sweep", dag=DAG("sweep_pods"), namespace=self.namespace.name, **arguments)
        with structlog.testing.capture_logs() as entries:
            try:
                return operator.execute({"ti": SimpleNamespace(get_task_states=get_task_states)})  # type: ignore[typeddict-item]
            finally:
                self.log = [str(entry["event"]) for entry in entries if entry["log_level"] != "debug"]


@pytest.fixture
def store(migrated_database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store's id, whose database Airflow's connection leads to."""
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.url)
    [(installation,)] = migrated_database.execute("SELECT installation_id FROM financial_screener.dagconfig_installation")
    return str(installation)


@pytest.fixture
def sweeps(store: str, namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeps]:
    monkeypatch.setenv("KUBECONFIG", namespace.kubeconfig)
    made = Sweeps(namespace, store)
    monkeypatch.setattr(sweep, "now", lambda: made.now)
    return made


def test_a_pod_of_a_finished_task_goes_ten_minutes_after_its_end_or_when_two_sweeps_saw_it_run_on(sweeps: Sweeps) -> None:
    ended, runs_on, at_work = sweeps.pod(0, "true"), sweeps.pod(1, "sleep", "600"), sweeps.pod(2, "sleep", "600")
    unknown = sweeps.pod(0, "true", run_id="deleted")
    sweeps.states = {0: "failed", 1: "failed", 2: "running"}

    too_early = sweeps.run()
    sweeps.now += timedelta(minutes=30)
    later = sweeps.run()
    said = sweeps.log

    assert too_early == {"pods": 4, "deleted": 0, "kept": 4, "failed": 0, "unknown": 0}
    assert later == {"pods": 4, "deleted": 2, "kept": 2, "failed": 0, "unknown": 1}
    assert sorted(sweeps.namespace.left()) == sorted([at_work, unknown])
    assert any(line.startswith(f"deleted {ended}: Its task's state in Airflow is failed, and the pod ended at ") for line in said)
    assert any(
        line.startswith(f"deleted {runs_on}: Its task's state in Airflow is failed, as a sweep saw already at ") for line in said
    )
    assert any(
        line.startswith(f"kept {unknown}: Airflow does not know its task; another Airflow may know it. To delete it: ")
        for line in said
    )
    assert not any(at_work in line for line in said)
    where = f"of installation {sweeps.installation} in namespace {sweeps.namespace.name}"
    assert said[-1] == (
        f"2 of 4 pods {where} are being deleted. 2 stay, of which 1 are unknown to this Airflow. 0 could not be processed."
    )


def test_what_an_earlier_sweep_saw_does_not_count_for_a_try_that_has_the_pod_since(sweeps: Sweeps) -> None:
    name = sweeps.pod(0, "sleep", "600")
    sweeps.states = {0: "failed"}
    sweeps.run()
    sweeps.namespace.cluster.kubectl("-n", sweeps.namespace.name, "annotate", "--overwrite", "pod", name, f"{PREFIX}/try-number=2")

    sweeps.now += timedelta(minutes=30)
    assert sweeps.run()["deleted"] == 0
    sweeps.now += timedelta(minutes=11)
    assert sweeps.run()["deleted"] == 1


def test_without_pods_there_is_nothing_to_do(sweeps: Sweeps) -> None:
    assert sweeps.run() == {"pods": 0, "deleted": 0, "kept": 0, "failed": 0, "unknown": 0}


POD = {
    "metadata": {
        "name": "a",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-23T11:00:00Z",
        "annotations": {
            f"{PREFIX}/{name}": text
            for name, text in {"dag-id": "d", "run-id": "r", "task-id": "t", "map-index": "-1", "try-number": "1"}.items()
        },
    },
    "status": {
        "phase": "Failed",
        "containerStatuses": [{"name": "base", "state": {"terminated": {"exitCode": 1, "finishedAt": "2026-11-23T11:30:00Z"}}}],
    },
}
LISTED = document({"items": [POD, {**POD, "metadata": {**POD["metadata"], "name": "b"}}]})


def swept(get_task_states: Any) -> Any:
    operator = SweepPodsOperator(task_id="sweep", dag=DAG("sweep_pods"), namespace="jobs")
    return operator.execute({"ti": SimpleNamespace(get_task_states=get_task_states)})  # type: ignore[typeddict-item]


def failed(**_: Any) -> Any:
    return {"r": {"t": "failed"}}


@pytest.fixture
def scripted(store: str, api_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An API server that has two pods of a task, and returns the answers that a test sets."""
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, api_server.url))
    api_server.answers["get"] = [LISTED]
    return api_server


def test_without_the_right_to_list_no_try_helps_and_it_says_which_rule_to_add(scripted: Server) -> None:
    scripted.answers["get"] = [status(403, 'pods is forbidden: User "worker" cannot list resource "pods"')]

    with pytest.raises(
        AirflowFailException, match=r"Add it to the Role of this user: apiGroups \[''\], resources \[pods\], verbs \[list\]"
    ):
        swept(failed)


def test_an_api_server_that_does_not_answer_is_asked_again_by_the_next_try(scripted: Server) -> None:
    scripted.answers["get"] = [status(500, "etcd is away")]

    with pytest.raises(AirflowException, match=r"The pods in namespace jobs could not be listed\..*etcd is away") as error:
        swept(failed)

    assert not isinstance(error.value, AirflowFailException)


def test_a_pod_that_could_not_be_deleted_fails_the_task_once_the_others_were_tried(scripted: Server) -> None:
    scripted.answers["delete"] = [status(403, 'pods "a" is forbidden: a webhook denied it'), document({"kind": "Status"})]

    with pytest.raises(AirflowException, match=r"1 pods of .* could not be processed\. a: It could not be deleted: .*webhook"):
        swept(failed)

    assert scripted.asked["delete"] == 2


def test_without_an_answer_of_airflows_nothing_is_deleted(scripted: Server) -> None:
    def away(**_: Any) -> Any:
        raise RuntimeError("the API server of Airflow is away")

    with pytest.raises(RuntimeError, match="is away"):
        swept(away)

    assert scripted.asked["delete"] == 0
