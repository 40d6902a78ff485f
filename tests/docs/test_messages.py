"""The sentences that the documents show are those that the code says: each one is provoked, and values apart it is the same."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import structlog
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import DAG, Connection
from airflow.triggers.base import BaseTrigger
from plugins.earlier_builds import build
from plugins.postgres import PASSWORD, Database
from plugins.scripted import ScriptedKubectl

from airflow_provider_dagconfig.hooks.cluster_access import ClusterParameters
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.kubectl import outcome
from airflow_provider_dagconfig.kubectl.access import resolve_access
from airflow_provider_dagconfig.kubectl.annotations import identity
from airflow_provider_dagconfig.kubectl.claim import Claim
from airflow_provider_dagconfig.kubectl.client import SCRIPT
from airflow_provider_dagconfig.kubectl.ends import PodNotCreated, PodOutOfReach, PodRefused, PodStopped
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.explanation import explain
from airflow_provider_dagconfig.kubectl.former_name import FormerName
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.kubectl.look_back import EarlierRun, LookBack, Past
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome
from airflow_provider_dagconfig.kubectl.pod_life import Limits, PodLife
from airflow_provider_dagconfig.kubectl.release import Release, Why
from airflow_provider_dagconfig.kubectl.watching import Watching
from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup, HistoryEntry, Override, RowChange, in_force
from airflow_provider_dagconfig.operators.ends import airflow_exception
from airflow_provider_dagconfig.operators.kill_reason import judge_kill
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.operators.result import read_result
from airflow_provider_dagconfig.operators.task_pod import waits_here
from airflow_provider_dagconfig.retries import Cause, Round, Rules, decide
from airflow_provider_dagconfig.settings import configured_installation
from airflow_provider_dagconfig.store import migrate as migrations
from airflow_provider_dagconfig.triggers import pod as triggers
from airflow_provider_dagconfig.triggers.pod import VERSION, PodTrigger, Watched

ROOT = Path(__file__).parents[2]
JOB = ("data_collection_equities", "us_markets")
REFUSED = "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"

Say = Callable[[Database], Any]
"""Makes the code say something: by raising it, or by returning it."""


def documented() -> list[str]:
    """The lines in blocks that are marked as messages."""
    texts = [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    return [
        line
        for text in texts
        for block in re.findall(r"<!-- message -->\n```text\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]


def without_values(text: str) -> str:
    """Names of places, people, pods and files, numbers and times are examples in the documents."""
    text = re.sub(r"(?:connection '\w+' |database )\(?\w+@[\w.]+:\d+/\w+\)?", "STORE", text)
    text = re.sub(r"[\w-]+-[bcdfghjklmnpqrstvwxz2456789]{12}\b", "POD", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", text)
    text = re.sub(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d\+\d\d:\d\d)?", "DATE", text)
    text = re.sub(r'(TO|User|at) "[^"]*"', r"\1 NAME", text)
    text = re.sub(r"\w+(?= applied (it|\d+))|(?<=switched off by )\w+", "SOMEBODY", text)
    text = re.sub(r"for database \w+", "for database NAME", text)
    text = re.sub(r"/\S+/\.kube/config", "HOME", text)
    text = re.sub(r"\(NodeLost\): \S+( node)?", "(NodeLost): NODE", text)
    return " ".join(re.sub(r"\d+", "N", text).split())


# --- the configuration ---


def connection(database: Database, **changes: Any) -> Connection:
    facts = {"conn_id": "postgres_default", "conn_type": "postgres", "host": "127.0.0.1", "port": database.server.port}
    facts |= {"login": "postgres", "password": PASSWORD, "schema": database.name}
    return Connection(**(facts | changes))


def hook(database: Database, schema: str | None = None, **changes: Any) -> DagConfigHook:
    return DagConfigHook(connection=connection(database, **changes), schema=schema)


def update(database: Database, assignment: str) -> None:
    database.execute(f"UPDATE financial_screener.dag_configuration SET {assignment} WHERE (dag_name, job_name) = {JOB}")


def without_rules(database: Database) -> None:
    """Rows written from here on are like rows that are older than the rules."""
    for table in ("dag_configuration", "exchange_groups"):
        rules = database.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND conname LIKE 'rule_%%'",
            [f"financial_screener.{table}"],
        )
        drops = "".join(f"DROP CONSTRAINT {name}, " for (name,) in rules)
        database.execute(f"ALTER TABLE financial_screener.{table} {drops} DISABLE TRIGGER USER")


def read_row_with(assignment: str) -> Say:
    def say(database: Database) -> Any:
        without_rules(database)
        update(database, assignment)
        return hook(database).get_dag_config(*JOB)

    return say


def primary(error: psycopg.Error) -> str:
    return str(error.diag.message_primary)


def refused_write(*statements: str) -> Say:
    def say(database: Database) -> Any:
        try:
            for statement in statements:
                database.execute(statement)
        except psycopg.Error as error:
            return primary(error)

    return say


def writing(assignment: str) -> Say:
    return refused_write(f"UPDATE financial_screener.dag_configuration SET {assignment} WHERE (dag_name, job_name) = {JOB}")


CALL = "SELECT financial_screener.{}('data_collection_equities', 'us_markets', {})"


def group_without_exchanges(database: Database) -> Any:
    without_rules(database)
    database.execute(
        "INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges)"
        " VALUES ('nobody', 'Nobody', ARRAY[]::text[])"
    )
    return hook(database).get_exchange_group("nobody")


def group_that_closes_at_24(database: Database) -> Any:
    without_rules(database)
    database.execute("UPDATE financial_screener.exchange_groups SET market_close_utc = '24:00' WHERE group_name = 'us_markets'")
    return hook(database).get_exchange_group("us_markets")


def override_for_ever(database: Database) -> Any:
    without_rules(database)
    hook(database).override_dag_config(*JOB, for_="1h", reason="for ever", batch_size=7)
    database.execute("""
        ALTER TABLE financial_screener.dag_configuration_overrides DROP CONSTRAINT rule_ends_at;
        SET session_replication_role = replica;
        UPDATE financial_screener.dag_configuration_overrides SET ends_at = '200000-01-01'
    """)
    return hook(database).get_dag_config(*JOB)


def without_privileges(database: Database) -> Any:
    with database.role() as role:
        return hook(database, login=role).get_dag_config(*JOB)


def as_a_reader(database: Database) -> Any:
    with database.role("dagconfig_reader") as role:
        return hook(database, login=role).update_dag_config(*JOB, batch_size=1)


def without_tables(database: Database) -> Any:
    database.execute("DROP TABLE financial_screener.dag_configuration CASCADE")
    return hook(database).get_dag_config(*JOB)


def rendered(database: Database, conf: Any = None, **arguments: Any) -> list[str]:
    """The log of a task that is rendered, but for where groups begin and end, and how that ends."""
    with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs() as log:
        patch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", database.url)
        operator = ConfiguredKubectlRunOperator(task_id="collect", image="busybox:latest", dag=DAG(JOB[0]), **arguments)
        error = ""
        try:
            context = {"ti": SimpleNamespace(try_number=1), "task": operator, "dag_run": SimpleNamespace(conf=conf)}
            operator.render_template_fields(context)  # type: ignore[arg-type]
        except AirflowException as exception:
            error = str(exception)
    lines = (str(entry["event"]) for entry in log)
    return [*(line for line in lines if not line.startswith("::")), error]


def disabled(database: Database) -> str:
    update(database, "enabled = FALSE")
    return rendered(database, job_name="us_markets")[-1]


def mistyped_conf(database: Database) -> str:
    return rendered(database, {"dagconfig": {"us_market": {"memory_limit": "8Gi"}}}, job_name="us_markets")[-1]


def forbidden_conf(database: Database) -> str:
    return rendered(database, {"dagconfig": {"batch_size": 1}}, job_name="us_markets", allow_run_overrides=False)[-1]


def forbidden_conf_of_all(database: Database) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DAGCONFIG__ALLOW_RUN_OVERRIDES", "False")
        return rendered(database, {"dagconfig": {"batch_size": 1}}, job_name="us_markets")[-1]


SET_CEILING = """
    SELECT financial_screener.set_ceiling('memory', '64Gi', p_updated_by => 'maria', p_reason => 'the largest node')
"""


def conf_above_a_ceiling(database: Database) -> str:
    database.execute(SET_CEILING)
    return rendered(database, {"dagconfig": {"memory_limit": "96Gi"}}, job_name="us_markets")[-1]


def default_above_a_ceiling(database: Database) -> str:
    database.execute("UPDATE financial_screener.dag_configuration SET timeout_seconds = 300")
    hook(database).set_ceiling("timeout_seconds", 300, JOB[0], updated_by="maria")
    return rendered(database, job_name="us_market")[-1]


def editor_who_sets_a_ceiling(database: Database) -> Any:
    with database.role("dagconfig_editor") as role:
        return hook(database, login=role).set_ceiling("memory", "64Gi")


def disabled_group(database: Database) -> str:
    database.execute("UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'lse'")
    return rendered(database, job_name="lse", exchange_group="lse")[-1]


# --- the migration ---


def behind_a_lock(database: Database) -> Any:
    with psycopg.connect(database.url, application_name="psql") as holder:
        holder.execute("LOCK TABLE financial_screener.dag_configuration")
        return hook(database).get_dag_config(*JOB)


def edited(database: Database) -> Any:
    database.execute("UPDATE financial_screener.dagconfig_migrations SET checksum = 'fedcba9876543210'")
    return migrations.migrate(database.url)


def unknown_version(database: Database) -> Any:
    database.execute("INSERT INTO financial_screener.dagconfig_migrations VALUES (99, 'alerts', 'none')")
    return migrations.migrate(database.url, to=7)


def of_an_earlier_build(database: Database) -> Any:
    database.execute("DROP SCHEMA financial_screener CASCADE")
    build(database, to=10)
    return hook(database).store.target


def not_brought_over(database: Database) -> Any:
    target = of_an_earlier_build(database)
    return migrations.migrate(target, to=8)


def refused_over_an_earlier_build(database: Database) -> Any:
    target = of_an_earlier_build(database)
    database.execute("CREATE TABLE financial_screener.dag_configuration_override_periods ()")
    return migrations.migrate(target)


MY_VIEW = "CREATE VIEW my_groups AS SELECT * FROM financial_screener.get_exchange_groups()"


def with_a_view(database: Database) -> Any:
    database.execute(MY_VIEW)
    database.execute("DELETE FROM financial_screener.dagconfig_migrations")
    return migrations.migrate(database.url)


def back_with_a_view(database: Database) -> Any:
    database.execute(MY_VIEW)
    return migrations.migrate(database.url, to=7)


def not_recorded(database: Database) -> Any:
    database.execute("DELETE FROM financial_screener.dagconfig_migrations")
    target = hook(database).store.target
    return migrations.migrate(target, to=7)


def may_not_create(database: Database) -> Any:
    database.execute("DROP SCHEMA financial_screener CASCADE")
    with database.role() as role:
        theirs = hook(database, login=role)
        return migrations.migrate(theirs.store.target)


def in_schema(schema: str) -> Say:
    return lambda database: migrations.migrate(migrations.Target.from_url(database.url, schema))


# --- the pod ---


def pod(**request: Any) -> dict[str, Any]:
    facts = {"dag_id": JOB[0], "run_id": "scheduled__2026-11-23T21:30:00+00:00", "task_id": "collect", "image": "collector:latest"}
    return build_pod(PodRequest(dag_config=config(), **(facts | request)))


def running() -> dict[str, Any]:
    return pod() | {"status": {"phase": "Running", "containerStatuses": [{"name": "base", "state": {"running": {}}}]}}


def config() -> DagConfig:
    values = DagConfig.defaults(*JOB).as_dict()
    return DagConfig.from_row(values, origin="financial_screener.dag_configuration, row 1")


def ended(end: End, reason: str, message: str = "", exit_code: int | None = None) -> Say:
    return lambda _: explain(Outcome(end, reason, message, exit_code), pod(), config())


def first_line(say: Say) -> Say:
    return lambda database: say(database).splitlines()[0]


NOW = datetime(2026, 11, 23, 21, 30, tzinfo=timezone.utc)
BACK = LookBack(NOW, JOB[0])
OVERRIDE = Override(
    *(7, *JOB, {"memory_limit": "2Gi"}, NOW - timedelta(hours=1), NOW + timedelta(hours=8, minutes=30), "small nodes", "ann"),
    NOW - timedelta(hours=1),
)


def first_log_line(_: Database) -> str:
    differences = {"batch_size": (500, 750)}
    change = RowChange(17, "dba", NOW - timedelta(minutes=20), "the markets have grown", None, "UPDATE", differences)
    override = replace(OVERRIDE, values={"memory_limit": "4Gi"}, reason="month's end")
    group = ExchangeGroup("us_markets", "US Markets", ("NYSE",), version=2)
    return in_force(replace(config(), version=4, row_change=change, overrides=(override,)), group, NOW)


def changed_by_dba(old: str, new: str) -> LookBack:
    at = NOW - timedelta(minutes=20)
    values = ({"memory_limit": old}, {"memory_limit": new})
    entry = HistoryEntry(
        *(17, "UPDATE", "dag_configuration", *JOB, None, None, "dba", None, at, "smaller nodes", ("memory_limit",), 5, *values)
    )
    return replace(BACK, pasts={"memory_limit": Past(entry)})


def overridden() -> tuple[LookBack, DagConfig]:
    by = replace(config(), overrides=(OVERRIDE,), sources={"memory_limit": OVERRIDE.source})
    return replace(BACK, row={"memory_limit": "4Gi"}), by


def earlier_run() -> EarlierRun:
    return EarlierRun("scheduled__2026-11-22T21:30:00+00:00", NOW - timedelta(days=1), {"memory_limit": "4Gi"})


def told_below(back: LookBack | tuple[LookBack, DagConfig], earlier: EarlierRun | None = None, line: int = 0) -> Say:
    """The explanation of a pod that was OOMKilled, below its first line."""
    found, of = back if isinstance(back, tuple) else (back, replace(config(), version=5))
    told = explain(Outcome(End.OUT_OF_MEMORY, "OOMKilled"), pod(), of, back=replace(found, earlier=earlier))
    return lambda _: told.splitlines()[1 + line]


def not_started(reason: str, message: str, seconds: int | None = None) -> Say:
    return lambda _: explain(outcome.not_started(outcome.Waiting(reason, message), seconds), pod(), config())


def pod_run(notes: list[str], limits: Limits | None = None, **answers: Any) -> PodRun:
    """Give a run of a second try, whose cluster has these answers."""
    manifest = pod(try_number=2)
    kubectl = ScriptedKubectl(manifest["metadata"]["name"], namespace="financial-screener", **answers)
    return PodRun(kubectl, manifest, limits or Limits(0, 600), on_line=None, note=notes.append)


def finding(existing: dict[str, Any]) -> Say:
    def say(_: Database) -> Any:
        notes: list[str] = []
        manifest = pod(try_number=2)
        kubectl = ScriptedKubectl(
            manifest["metadata"]["name"], namespace="financial-screener", create=[Fault.ALREADY_EXISTS], get=[existing]
        )
        Claim(kubectl, manifest, notes.append, lambda _: False).attempt()
        return notes[0]

    return say


def adopted(_: Database) -> Any:
    return pod_run([], create=[server_s(pod(try_number=3))]).run()


def left_to_a_later_try(_: Database) -> Any:
    """The answer to the create was lost, the time is over, and a later try has the pod by then."""
    notes: list[str] = []
    with pytest.raises(PodNotCreated):
        pod_run(notes, Limits(-1, 600), create=[Fault.UNREACHABLE], get=[pod(try_number=3)]).run()
    return notes[-1]


def bad_option(_: Database) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DAGCONFIG__INSTALLATION", "")
        return configured_installation()


def without_id(database: Database) -> Any:
    database.execute("DELETE FROM financial_screener.dagconfig_installation")
    return hook(database).get_installation().in_force(None)


def left_alone(_: Database) -> Any:
    created_at = datetime(2026, 11, 23, tzinfo=timezone.utc)
    former = pod(try_number=1)
    former["metadata"]["creationTimestamp"] = "2026-11-23T00:00:00Z"
    kubectl = ScriptedKubectl(former["metadata"]["name"], namespace="financial-screener", get=[server_s(former)])
    notes: list[str] = []
    assert FormerName(kubectl, created_at).find(pod(try_number=2), notes.append) is None
    return notes[-1]


def left_by_a_kill(_: Database) -> Any:
    notes: list[str] = []
    states = {"r": {"t": "running"}}
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, get_task_states=lambda **_: states)
    manifest = pod(try_number=2)
    kubectl = ScriptedKubectl(manifest["metadata"]["name"], namespace="financial-screener", create=[lambda: run.kill()])
    run = PodRun(kubectl, manifest, Limits(60, 600), on_line=None, note=notes.append, judge_kill=lambda: judge_kill(ti))
    with pytest.raises(PodStopped):
        run.run()
    return notes[-1]


def left_to_be_collected(_: Database) -> Any:
    succeeded = pod() | {"status": {"phase": "Succeeded"}}
    kubectl = ScriptedKubectl(succeeded["metadata"]["name"], namespace="financial-screener")
    release = Release(Claim(kubectl, pod(), print, lambda _: False), pod(), print, lambda _: False)
    return release.delete_unwanted(succeeded, 30, lambda: 0.0, Why.TIMEOUT)


def left_after_its_success(_: Database) -> Any:
    notes: list[str] = []
    pod_run(notes).leave("the task's state in Airflow is running")
    return notes[-1]


def server_s(manifest: dict[str, Any]) -> dict[str, Any]:
    """The pod as the API server would give it."""
    return manifest | {"metadata": manifest["metadata"] | {"resourceVersion": "7"}}


def lost(_: Database) -> Any:
    return Watching().record_failure(KubectlError(Fault.UNREACHABLE, REFUSED), 0)


def back(_: Database) -> Any:
    """The watch is refused once, and the following GET of the pod shows the pod's end."""
    notes: list[str] = []
    running = {"phase": "Running", "containerStatuses": [{"name": "base", "state": {"running": {}}}]}
    pod_run(
        notes,
        Limits(60, 600),
        create=[server_s(pod(try_number=2)) | {"status": running}],
        watch=[Fault.UNREACHABLE],
        get=[server_s(pod(try_number=2)) | {"status": {"phase": "Succeeded"}}],
    ).run()
    return notes[-2]


def lost_for_good(_: Database) -> Any:
    return PodOutOfReach(KubectlError(Fault.UNREACHABLE, REFUSED), "timeout_seconds", 600)


def node_lost(_: Database) -> Any:
    life = PodLife(pod(), Limits(120, 600), begun_at=0)
    deleted = pod()
    deleted["metadata"]["deletionTimestamp"] = "2026-11-23T02:00:00Z"
    life.record_state(deleted, 0)
    end = life.verdict(200)
    assert isinstance(end, Outcome)
    return explain(end, pod(), config())


def never_created(_: Database) -> Any:
    return PodNotCreated(0, KubectlError(Fault.UNREACHABLE, REFUSED).trouble)


def forbidden(_: Database) -> Any:
    said = 'pods is forbidden: User "x" cannot create resource "pods" in API group "" in the namespace "financial-screener"'
    return airflow_exception(PodRefused(KubectlError(Fault.FORBIDDEN, said)), config(), "base")


def beyond_a_limit_range(_: Database) -> Any:
    name = pod()["metadata"]["name"]
    said = f'pods "{name}" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'
    return str(airflow_exception(PodRefused(KubectlError(Fault.FORBIDDEN, said)), config(), "base")).partition("\n")[0]


def slow_init_container(_: Database) -> Any:
    running = {"running": {"startedAt": "2026-11-23T21:30:05Z"}}
    init = {"name": "migrate", "image": "docker.io/library/financial-data-collector:latest", "state": running}
    waits = outcome.read_status({"status": {"phase": "Pending", "initContainerStatuses": [init]}})
    assert isinstance(waits, outcome.Waiting)
    return explain(outcome.not_started(waits, 120), pod(), config())


def tried_again(_: Database) -> Any:
    rules = Rules(max_retries=4, delay=timedelta(minutes=5), grows=False)
    return decide(Cause.JOB, "OOMKilled", Round(pods=2, own=2), rules).told("at 21:14 UTC")


def not_tried_again(_: Database) -> Any:
    rules = Rules(max_retries=4, delay=timedelta(minutes=5), grows=False)
    return decide(Cause.JOB, "exit code 3", Round(pods=5, own=5), rules).told("never")


def no_kubectl(_: Database) -> str:
    environment = {"PATH": "/nowhere"}
    return subprocess.run(["/bin/bash", str(SCRIPT), "get"], env=environment, capture_output=True, text=True, check=False).stderr


def no_credentials(_: Database) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KUBECONFIG", raising=False)
        patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        patch.setenv("HOME", "/nowhere")
        return resolve_access({}, connection="kubernetes_default")


def unknown_cluster(_: Database) -> Any:
    return ConfiguredKubectlRunOperator(task_id="collect", image="busybox:latest", kubernetes_conn_id="cluster_2")._access()


def cut_result(_: Database) -> Any:
    return read_result('["' + "x" * 4094)


def watched_by_an_older_triggerer(_: Database) -> str:
    trigger = PodTrigger(VERSION + 1, {})
    return waits_here(asyncio.run(anext(aiter(trigger.run()))).payload["message"])


def cancelled(state: str | None, *, no_answer: bool = False) -> Say:
    """The log of a cancelled trigger, for a state of the task in Airflow, or for no answer of Airflow."""

    async def ask(_: Any) -> str | None:
        if no_answer:
            raise TimeoutError
        return state

    def say(_: Database) -> str:
        made = pod()
        made["metadata"]["namespace"] = "financial-screener"
        watched = Watched(identity(made, "base"), Limits(120, 600), 0.0, ClusterParameters("kubernetes_default"))
        trigger = PodTrigger(VERSION, watched.as_dict())
        trigger.task_instance = SimpleNamespace(task_id="collect")
        with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs() as log:
            patch.setattr(triggers, "ask_state_of", ask)
            asyncio.run(trigger.on_kill() if hasattr(BaseTrigger, "on_kill") else trigger.cleanup())
        return str(log[0]["event"])

    return say


SAYINGS: dict[str, Say] = {
    "not watched": watched_by_an_older_triggerer,
    "a trigger that is wanted no more": cancelled("queued"),
    "a trigger that gets no answer": cancelled(None, no_answer=True),
    "tried again": tried_again,
    "not tried again": not_tried_again,
    "refused quantity": writing("memory_limit = '2 GB'"),
    "refused request": writing("memory_request = '4Gi'"),
    "refused with an override": refused_write(
        CALL.format("override_dag_config", "now() + interval '1 hour', 'why', p_memory_request => '3Gi'")
    ),
    "refused exchanges": refused_write("UPDATE financial_screener.exchange_groups SET exchanges = '{}' WHERE group_name = 'lse'"),
    "stale": refused_write(CALL.format("update_dag_config", "p_batch_size => 1, p_expected_version => 3")),
    "conflict": refused_write(
        "UPDATE financial_screener.dag_configuration SET memory_limit = '3Gi' WHERE id = 1",
        "UPDATE financial_screener.dag_configuration SET memory_limit = '4Gi' WHERE id = 1",
        "SELECT financial_screener.rollback_change(max(audit_id) - 1) FROM financial_screener.dag_configuration_audit",
    ),
    "mistyped conf": mistyped_conf,
    "forbidden conf": forbidden_conf,
    "forbidden conf of all": forbidden_conf_of_all,
    "above a ceiling": refused_write(
        SET_CEILING, "UPDATE financial_screener.dag_configuration SET memory_limit = '96Gi' WHERE id = 1"
    ),
    "conf above a ceiling": conf_above_a_ceiling,
    "default above a ceiling": default_above_a_ceiling,
    "ceiling below what is in force": refused_write("SELECT financial_screener.set_ceiling('memory', '3Gi')"),
    "editor who sets a ceiling": editor_who_sets_a_ceiling,
    "reader who writes": as_a_reader,
    "no quantity": read_row_with("memory_limit = '2 GB'"),
    "request over limit": read_row_with("memory_request = '4Gi'"),
    "too small": read_row_with("batch_size = -5"),
    "no row": lambda database: rendered(database, job_name="us_market")[0],
    "disabled": disabled,
    "disabled group": disabled_group,
    "no such group": lambda database: hook(database).get_exchange_group("us_market"),
    "no exchanges": group_without_exchanges,
    "no time of day": group_that_closes_at_24,
    "no moment": override_for_ever,
    "no server": lambda database: hook(database, port=1).get_dag_config(*JOB),
    "no connection": lambda _: DagConfigHook("screener_db").get_dag_config(*JOB),
    "another database": lambda database: hook(database, conn_type="mysql").get_dag_config(*JOB),
    "no schema": lambda database: hook(database, schema="job_settings").get_dag_config(*JOB),
    "no tables": without_tables,
    "no privileges": without_privileges,
    "behind a lock": behind_a_lock,
    "edited": edited,
    "unknown version": unknown_version,
    "refused": with_a_view,
    "refused way back": back_with_a_view,
    "earlier build": not_brought_over,
    "refused over an earlier build": refused_over_an_earlier_build,
    "not recorded": not_recorded,
    "may not create": may_not_create,
    "schema's name": in_schema("job settings"),
    "no such version": lambda database: migrations.migrate(database.url, to=42),
    "in force": first_log_line,
    "changed": told_below(changed_by_dba("4Gi", "2Gi")),
    "overridden": told_below(overridden()),
    "earlier run": told_below(BACK, earlier_run(), line=1),
    "changed meanwhile": told_below(changed_by_dba("2Gi", "4Gi")),
    "not asked": told_below(BACK),
    "out of memory": first_line(ended(End.OUT_OF_MEMORY, "OOMKilled")),
    "deadline": first_line(
        ended(End.DEADLINE_EXCEEDED, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
    ),
    "exit code": ended(End.EXITED, "Error", exit_code=1),
    "image never pulled": not_started(
        "ErrImageNeverPull", 'Container image "financial-data-collector:latest" is not present with pull policy of Never'
    ),
    "missing secret": not_started("CreateContainerConfigError", 'secret "postgres-secret" not found'),
    "image pull": not_started("ImagePullBackOff", 'Back-off pulling image "financial-data-collector:1.2"', 120),
    "unschedulable": not_started("Unschedulable", "0/3 nodes are available: 3 Insufficient memory.", 120),
    "init container": slow_init_container,
    "evicted": ended(End.CLUSTER, "Evicted", "The node was low on resource: memory."),
    "deleted": lambda _: explain(outcome.deleted_by_others(running()), running(), config()),
    "node lost": node_lost,
    "adopting": finding(pod(try_number=1)),
    "replacing": finding(pod(try_number=1) | {"status": {"phase": "Failed"}}),
    "adopted by a later try": adopted,
    "left to a later try": left_to_a_later_try,
    "a later try's": finding(pod(try_number=3)),
    "left by a kill": left_by_a_kill,
    "left to be collected": left_to_be_collected,
    "left after its success": left_after_its_success,
    "not this task's": finding(pod() | {"metadata": {"name": "x"}}),
    "bad option": bad_option,
    "no id": without_id,
    "left to another installation": left_alone,
    "forbidden": forbidden,
    "limit range": beyond_a_limit_range,
    "API server lost": lost,
    "API server back": back,
    "API server lost for good": lost_for_good,
    "never created": never_created,
    "no credentials": no_credentials,
    "two credentials": lambda _: resolve_access({"in_cluster": True, "kube_config": "{}"}, connection="kubernetes_default"),
    "no such cluster": unknown_cluster,
    "no kubectl": no_kubectl,
    "memory in the DAG": lambda _: pod(container_resources={"limits": {"memory": "4Gi"}}),
    "no image": lambda _: pod(image=None),
    "variable twice": lambda _: pod(env_vars=[{"name": "DATABASE_URL", "value": ""}] * 2),
    "cut result": cut_result,
}


@pytest.mark.parametrize("say", SAYINGS.values(), ids=SAYINGS.keys())
def test_the_documents_have_the_sentence(say: Say, migrated_database: Database) -> None:
    try:
        said = str(say(migrated_database))
    except Exception as error:  # noqa: BLE001
        said = str(error)
    assert without_values(said) in [without_values(line) for line in documented()]


def test_no_sentence_is_in_the_documents_only() -> None:
    assert len(documented()) == len(SAYINGS)
