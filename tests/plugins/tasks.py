"""One task of ConfiguredKubectlRunOperator, rendered and executed as Airflow does, in this process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from plugins.cluster import Namespace
from plugins.postgres import Database

from airflow_provider_dagconfig.operators.retry_policy import HAS_POLICIES

if TYPE_CHECKING:
    from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

JOB = "us_markets"
DAG_ID = "data_collection_equities"
RUN_ID = "manual__2026-11-23T02:00:00+00:00"
INSTANCE = {"dag_id": DAG_ID, "run_id": RUN_ID, "task_id": "collect", "map_index": -1, "try_number": 1, "max_tries": 0}
"""The ids of a task instance that is only rendered."""


@dataclass
class TaskResult:
    """The result of a task: its state, its exception, its log and its return value."""

    state: str
    error: str
    log: list[str]
    result: Any
    operator: ConfiguredKubectlRunOperator
    raised: type[BaseException] | None = None
    decision: Any = None
    """The decision of Airflow's retry policy about a failure; None where it was not asked."""
    left: Left | None = None
    """The data that a deferred task left."""


@dataclass
class Left:
    """The data that Airflow keeps of a deferred task. It must be JSON."""

    classpath: str
    trigger: dict[str, Any]
    method: str
    kwargs: dict[str, Any]

    def make_trigger(self) -> Any:
        """Make the trigger from this data alone, as a triggerer does."""
        module, _, name = self.classpath.rpartition(".")
        return getattr(import_module(module), name)(**json.loads(json.dumps(self.trigger)))

    def fire(self) -> dict[str, Any]:
        """Run the trigger until its event; return the event as Airflow keeps it."""

        async def first() -> Any:
            async for event in self.make_trigger().run():
                return event.payload
            raise AssertionError("the trigger did not fire")

        event: dict[str, Any] = json.loads(json.dumps(asyncio.run(first())))
        return event


@dataclass
class TaskStateStore:
    """Airflow's task state store of one task instance: it accepts JSON values, and returns them to later tries."""

    file: Path
    """The file of the values, so that a try in another process has them too."""

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps({**self._all(), key: value}))

    def _all(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}
        return kept


@dataclass
class Tasks:
    """Runs tasks against a database and a namespace."""

    database: Database
    namespace: Namespace
    kept: Path
    """The folder for the values that task instances keep from try to try."""
    log_entries: list[Any] = field(default_factory=list)

    @property
    def log(self) -> list[str]:
        """Return the log so far of the running task."""
        return [str(entry["event"]) for entry in self.log_entries]

    def configure(self, **columns: Any) -> None:
        """Change the job's row, as an operator of the system would."""
        assignments = ", ".join(f"{column} = %({column})s" for column in columns)
        self.database.execute(
            f"UPDATE financial_screener.dag_configuration SET {assignments} WHERE dag_name = %(dag)s AND job_name = %(job)s",
            {**columns, "dag": DAG_ID, "job": JOB},
        )

    def arguments(self, *cmds: str, **others: Any) -> dict[str, Any]:
        """Return the arguments of the job's operator."""
        return {
            "task_id": "collect",
            "dag_name": DAG_ID,
            "job_name": JOB,
            "namespace": self.namespace.name,
            "image": "busybox:latest",
            "image_pull_policy": "IfNotPresent",
            "cmds": list(cmds),
            **others,
        }

    def operator(self, *cmds: str, **arguments: Any) -> ConfiguredKubectlRunOperator:
        from airflow.sdk import DAG

        from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

        return ConfiguredKubectlRunOperator(dag=DAG(DAG_ID), **self.arguments(*cmds, **arguments))

    def kept_by(self, run_id: str, task_id: str, map_index: int = -1) -> Path:
        """Return the file of the values that a task instance keeps from try to try."""
        return self.kept / f"{run_id} {task_id} {map_index}"

    def manifest_of(self, operator: ConfiguredKubectlRunOperator) -> dict[str, Any]:
        """Return the manifest of the pod that the task's first try makes."""
        from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
        from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod

        hook = DagConfigHook()
        return build_pod(
            PodRequest(
                dag_id=operator.dag_id,
                run_id=RUN_ID,
                task_id=operator.task_id,
                dag_config=hook.get_dag_config(DAG_ID, JOB),
                installation=hook.get_installation().in_force(None),
                namespace=self.namespace.name,
                image=operator.image,
                image_pull_policy=operator.image_pull_policy,
                cmds=operator.cmds,
            )
        )

    def run(
        self,
        *cmds: str,
        run_id: str = RUN_ID,
        try_number: int = 1,
        map_index: int = -1,
        while_running: Callable[[ConfiguredKubectlRunOperator], None] | None = None,
        state_in_airflow: str | None = "running",
        report: str | None = "success",
        max_tries: int = 0,
        dag_run: Any = None,
        left: Left | None = None,
        event: Any = None,
        **arguments: Any,
    ) -> TaskResult:
        """
        Render, execute, report and run the callbacks of a success, as Airflow's task runner does.

        :param while_running: is called in another thread while the task runs.
        :param state_in_airflow: the state that a kill reads.
        :param report: the task's state in Airflow after the report of a success.
        :param left: the data of a deferral, from which the task resumes.
        :param event: the event of its trigger.
        """
        from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred

        operator = self.operator(*cmds, **arguments)
        key = operator.task_id if map_index < 0 else f"{operator.task_id}_{map_index}"
        ti = SimpleNamespace(
            dag_id=operator.dag_id,
            run_id=run_id,
            task_id=operator.task_id,
            map_index=map_index,
            try_number=try_number,
            max_tries=max_tries,
            get_task_states=lambda **_: {run_id: {key: state_in_airflow}},
        )
        ti.task = operator
        next_kwargs = {**(left.kwargs if left else {}), "event": event}
        if left:
            ti._ti_context_from_server = SimpleNamespace(next_method=left.method, next_kwargs=next_kwargs)
        context: Any = {"ti": ti, "run_id": run_id, "task": operator, **({"dag_run": dag_run} if dag_run else {})}
        if HAS_POLICIES:
            context["task_state_store"] = TaskStateStore(self.kept_by(run_id, operator.task_id, map_index))
        decision = None
        beside = threading.Thread(target=while_running, args=(operator,)) if while_running else None
        state, error, result = "success", "", None
        raised: type[BaseException] | None = None
        with structlog.testing.capture_logs() as self.log_entries:
            try:
                operator.render_template_fields(context)
                if beside:
                    beside.start()
                result = operator.resume_execution(left.method, next_kwargs, context) if left else operator.execute(context)
                ti.get_task_states = lambda **_: {run_id: {key: report}}
                for callback in operator.on_success_callback:
                    callback(context)
            except TaskDeferred as deferral:
                classpath, given = deferral.trigger.serialize()
                kwargs = json.loads(json.dumps(deferral.kwargs))
                parts = Left(classpath, given, deferral.method_name, kwargs)
                return TaskResult("deferred", "", self.log, None, operator, left=parts)
            except AirflowSkipException as exception:
                state, error, raised = "skipped", str(exception), type(exception)
            except AirflowException as exception:
                state, error, raised = "failed", str(exception), type(exception)
                policy = getattr(operator, "retry_policy", None)
                if policy is not None and not isinstance(exception, AirflowFailException):
                    decision = policy.evaluate(exception, try_number, max_tries, context)
            finally:
                if beside:
                    beside.join()
        return TaskResult(state, error, self.log, result, operator, raised, decision)

    def run_deferred(
        self, *cmds: str, between: Callable[[], None] = lambda: None, after: Callable[[], None] = lambda: None, **arguments: Any
    ) -> TaskResult:
        """
        Run a task to its end, through all its deferrals; each part of it and each trigger runs separately.

        :param between: called after each deferral, before its trigger runs.
        :param after: called after each event of its trigger, before the task resumes.
        :return: the result, with the log of all parts.
        """
        task = self.run(*cmds, deferrable=True, **arguments)
        log = list(task.log)
        while task.left is not None:
            between()
            event = task.left.fire()
            after()
            task = self.run(*cmds, deferrable=True, left=task.left, event=event, **arguments)
            log += task.log
        task.log = log
        return task


@pytest.fixture
def store(migrated_database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The migrated database as Airflow's connection postgres_default; its jobs fit on a small node."""
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.url)
    migrated_database.execute(
        "UPDATE financial_screener.dag_configuration SET cpu_request = '50m', memory_request = '16Mi', memory_limit = '128Mi'"
    )
    return migrated_database


@pytest.fixture
def tasks(store: Database, namespace: Namespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tasks:
    """Tasks on the local pods, then on the real cluster."""
    monkeypatch.setenv("KUBECONFIG", namespace.kubeconfig)
    return Tasks(store, namespace, tmp_path / "kept")


@pytest.fixture
def real_tasks(store: Database, real_namespace: Namespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tasks:
    """Tasks on the real cluster."""
    monkeypatch.setenv("KUBECONFIG", real_namespace.kubeconfig)
    return Tasks(store, real_namespace, tmp_path / "kept")
