"""`airflow dagconfig pods` and `sweep`: pods of this installation beside what Airflow's metadata database knows of their tasks."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from plugins.answers import Server, kubeconfig, status
from plugins.cluster import Namespace
from plugins.command_line import Answer
from plugins.postgres import Database

from airflow_provider_dagconfig.kubectl.annotations import PREFIX
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.models import DagConfig

DAG_ID, JOB = "data_collection_equities", "us_markets"
Run = Callable[..., Answer]


class Scene:
    """Pods in a namespace, and instances of the task ``collect`` of one run in Airflow's database."""

    def __init__(self, dagconfig: Run, namespace: Namespace, installation: str) -> None:
        self.dagconfig, self.namespace, self.installation = dagconfig, namespace, installation
        self.run_id = f"manual__{uuid.uuid4()}"
        self.now = datetime.now(timezone.utc) + timedelta(minutes=30)
        """The commands' present, which stands still: pods are made now, and are to be older than ten minutes."""

    def in_airflow(self, map_index: int, state: str | None, try_number: int = 1, *, minutes: float = 20) -> None:
        """Let Airflow have an instance of the task in a state since so many minutes."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import insert

        ended = self.now - timedelta(minutes=minutes)
        ids = {"dag_id": DAG_ID, "run_id": self.run_id, "task_id": "collect", "map_index": map_index}
        values = {"state": state, "try_number": try_number, "pool": "default_pool", "end_date": ended, "updated_at": ended}
        with create_session() as session:
            session.execute(insert(TaskInstance).values(**ids, **values))

    def changes_to(self, map_index: int, state: str | None, try_number: int) -> None:
        """Let Airflow have an instance of the task in another state, since just now."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import update

        with create_session() as session:
            session.execute(
                update(TaskInstance)
                .where(TaskInstance.run_id == self.run_id, TaskInstance.map_index == map_index)
                .values(state=state, try_number=try_number, updated_at=self.now)
            )

    def pod(self, map_index: int, try_number: int = 1, *, run_id: str | None = None, installation: str | None = None) -> str:
        """Make a pod as the operator does. It finds no node, and no scheduler that would write so into it. Gives its name."""
        request = PodRequest(
            dag_id=DAG_ID,
            run_id=run_id or self.run_id,
            task_id="collect",
            map_index=map_index,
            try_number=try_number,
            dag_config=DagConfig.defaults(DAG_ID, JOB),
            image="busybox:latest",
            node_selector={"no": "where"},
            schedulername="nobody",
            namespace=self.namespace.name,
            installation=installation or self.installation,
        )
        made = json.loads(
            self.namespace.cluster.kubectl("create", "--raw", self.namespace.path, "-f", "-", body=build_pod(request))
        )
        return str(made["metadata"]["name"])

    def run(self, command: str, *arguments: str, output: str = "json") -> Answer:
        return self.dagconfig(command, "--namespace", self.namespace.name, "-o", output, *arguments)

    def swept(self, *arguments: str) -> dict[str, tuple[str, str]]:
        """What the sweep did with each pod, and why."""
        answer = self.run("sweep", *arguments)
        assert answer.code == 0, answer
        return {did["pod"]: (did["did"], did["why"]) for did in json.loads(answer.out)}


@pytest.fixture
def scene(
    store_cli: Run, migrated_database: Database, namespace: Namespace, airflow_metadata: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete, insert

    from airflow_provider_dagconfig.cli import pods

    monkeypatch.setenv("KUBECONFIG", namespace.kubeconfig)
    [(installation,)] = migrated_database.execute("SELECT installation_id FROM financial_screener.dagconfig_installation")
    scene = Scene(store_cli, namespace, installation)
    monkeypatch.setattr(pods, "now", lambda: scene.now)
    with create_session() as session:
        now = datetime.now(timezone.utc)
        session.execute(insert(DagRun).values(dag_id=DAG_ID, run_id=scene.run_id, run_type="manual", run_after=now))
    yield scene
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.run_id == scene.run_id))


def test_each_pod_is_shown_with_its_task_and_what_airflow_knows_of_it(scene: Scene) -> None:
    scene.in_airflow(0, "success")
    scene.in_airflow(1, "running", 2)
    ended, running, unknown = scene.pod(0), scene.pod(1, 2), scene.pod(0, run_id="deleted")
    scene.pod(0, installation="another")

    answer = scene.run("pods")

    shown = {pod["pod"]: pod for pod in json.loads(answer.out)}
    told = ("dag_id", "run_id", "task_id", "map_index", "job_name", "try_number", "state", "known_to_airflow", "airflow_state")
    whose = (DAG_ID, scene.run_id, "collect")
    assert (answer.code, {name: tuple(pod[key] for key in told) for name, pod in shown.items()}) == (
        0,
        {
            ended: (*whose, 0, JOB, 1, "Pending", True, "success"),
            running: (*whose, 1, JOB, 2, "Pending", True, "running"),
            unknown: (DAG_ID, "deleted", "collect", 0, JOB, 1, "Pending", False, None),
        },
    )


def test_for_people_it_is_a_table_with_ages(scene: Scene) -> None:
    scene.in_airflow(0, "success", minutes=125)
    name, unknown = scene.pod(0), scene.pod(0, run_id="deleted")

    lines = {line.split()[-1]: line for line in scene.run("pods", output="plain").out.splitlines()}

    assert "success 2h5m ago" in lines[name]
    assert "unknown" in lines[unknown]


def test_what_airflow_counts_as_finished_for_long_is_deleted_and_nothing_else(scene: Scene) -> None:
    scene.in_airflow(0, "success", minutes=11)
    scene.in_airflow(1, "failed", minutes=9)
    scene.in_airflow(2, "running")
    finished, just_now, running, unknown = scene.pod(0), scene.pod(1), scene.pod(2), scene.pod(0, run_id="deleted")
    another = scene.pod(0, installation="another")

    swept = scene.swept()

    assert {name: did for name, (did, _) in swept.items()} == {
        finished: "deleted",
        just_now: "kept",
        running: "kept",
        unknown: "kept",
    }
    assert "Its task's state in Airflow is success since " in swept[finished][1]
    assert sorted(scene.namespace.left()) == sorted([just_now, running, unknown, another])


def test_a_dry_run_says_the_same_and_deletes_nothing(scene: Scene) -> None:
    scene.in_airflow(0, "success", minutes=11)
    name = scene.pod(0)

    swept = scene.swept("--dry-run")

    assert swept[name][0] == "would"
    assert scene.namespace.left() == [name]
    assert "1 of 1 pods" in scene.run("sweep", "--dry-run", output="table").out


def test_what_airflow_does_not_know_is_deleted_only_where_that_is_asked_for_and_confirmed(scene: Scene) -> None:
    name = scene.pod(0, run_id="deleted")

    by_itself = scene.swept()
    unconfirmed = scene.run("sweep", "--unknown")
    left = scene.namespace.left()
    asked = scene.swept("--unknown", "--yes")

    assert by_itself[name] == (
        "kept",
        "Airflow does not know its task; another Airflow may know it. To delete it: airflow dagconfig sweep"
        f" --namespace {scene.namespace.name} --unknown",
    )
    assert (unconfirmed.code, "To do it without being asked: --yes" in unconfirmed.err) == (1, True)
    assert left == [name]
    assert asked[name][0] == "deleted"
    assert scene.namespace.left() == []


def test_what_has_changed_while_a_person_was_asked_is_not_deleted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.in_airflow(0, "success")
    scene.in_airflow(1, "success", minutes=5)
    cleared, settled, made_known, unknown = scene.pod(0), scene.pod(1), scene.pod(2), scene.pod(0, run_id="deleted")
    adopted = scene.pod(1, run_id="deleted")

    def think(question: str) -> str:
        assert question.startswith("3 of 5 pods")
        scene.changes_to(0, None, 1)
        scene.now += timedelta(minutes=6)
        scene.in_airflow(2, "running")
        scene.namespace.cluster.kubectl(
            "-n", scene.namespace.name, "annotate", "--overwrite", "pod", adopted, f"{PREFIX}/try-number=2"
        )
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", think)
    swept = scene.swept("--unknown")

    assert {name: did for name, (did, _) in swept.items()} == {
        cleared: "kept",
        settled: "kept",
        made_known: "kept",
        unknown: "deleted",
        adopted: "kept",
    }
    otherwise = "This has changed since the question was asked; the next sweep checks again"
    assert swept[cleared][1] == f"Its task's state in Airflow is not started, try 1. {otherwise}"
    assert swept[settled][1].endswith(otherwise)
    assert swept[made_known][1] == f"Its task's state in Airflow is running, try 1. {otherwise}"
    assert "changed since it was listed" in swept[adopted][1]


def test_a_pod_that_a_later_try_takes_between_the_look_and_the_deletion_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_dagconfig.cli import pods

    scene.in_airflow(0, "success")
    name, ask = scene.pod(0), pods.facts_of

    def ask_and_adopt(tasks: Any) -> Any:
        known = ask(tasks)
        scene.namespace.cluster.kubectl(
            "-n", scene.namespace.name, "annotate", "--overwrite", "pod", name, f"{PREFIX}/try-number=2"
        )
        return known

    monkeypatch.setattr(pods, "facts_of", ask_and_adopt)

    swept = scene.swept()

    assert (swept[name][0], "changed since it was listed" in swept[name][1]) == ("kept", True)
    assert scene.namespace.left() == [name]


def test_without_pods_there_is_nothing_to_do(scene: Scene) -> None:
    assert scene.swept() == {}
    assert "There are no pods of installation" in scene.run("pods", output="table").err


def test_without_the_right_to_list_it_says_which_rule_to_add(
    store_cli: Run, api_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_server.answers["get"] = [status(403, 'pods is forbidden: User "worker" cannot list resource "pods"')]
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, api_server.url))

    answer = store_cli("sweep", "--namespace", "jobs")

    assert answer.code == 1
    assert "Add it to the Role of this user: apiGroups [''], resources [pods], verbs [list]" in answer.err


def test_without_airflows_database_nothing_is_deleted(scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from airflow import settings
    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker

    engine = create_engine(f"sqlite:///{tmp_path}/nothing.db")
    name = scene.pod(0)

    with monkeypatch.context() as patch:
        patch.setattr(settings, "engine", engine)
        patch.setattr(settings, "Session", sessionmaker(engine))
        answer = scene.run("sweep", "--unknown", "--yes")

    assert (answer.code, scene.namespace.left()) == (1, [name])
    assert "Airflow's metadata database (sqlite:///" in answer.err
    assert "does not say which tasks there are: no such table: task_instance. Run this where Airflow runs" in answer.err
