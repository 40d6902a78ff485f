"""A task that fails by a value names the change behind it, and the commands that it shows work."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from plugins.airflow_versions import AIRFLOW
from plugins.command_line import Answer, dagconfig
from plugins.local_pods import local_pods
from plugins.postgres import Database
from plugins.tasks import DAG_ID, JOB, Tasks, store

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.kubectl.look_back import LookBack
from airflow_provider_dagconfig.operators import look_back as asking
from airflow_provider_dagconfig.operators.look_back import look_back

__all__ = ["dagconfig", "local_pods", "store"]

TOO_MUCH = ("tail", "/dev/zero")
has_commands = pytest.mark.skipif(AIRFLOW < (3, 2), reason="Airflow has its providers' commands from 3.2 on")
LAST = datetime(2026, 11, 22, 2, tzinfo=timezone.utc)


@pytest.fixture
def hook(store: Database) -> DagConfigHook:
    return DagConfigHook()


def limit(hook: DagConfigHook) -> str:
    return hook.get_dag_config(DAG_ID, JOB).memory_limit.text


def pasted(error: str, words: str) -> list[str]:
    """The arguments of the command below a line, as a shell reads them."""
    lines = error.splitlines()
    [command] = [lines[number + 1] for number, line in enumerate(lines) if line.startswith(words)]
    airflow, group, *arguments = shlex.split(command)
    assert (airflow, group) == ("airflow", "dagconfig")
    return arguments


@has_commands
def test_a_lowered_limit_is_named_and_the_rollback_works_when_pasted(tasks: Tasks, hook: DagConfigHook, dagconfig: Any) -> None:
    change = hook.update_dag_config(DAG_ID, JOB, memory_limit="32Mi", updated_by="dba", reason="smaller nodes").change
    hook.update_dag_config(DAG_ID, JOB, batch_size=7, updated_by="ann")
    assert change is not None

    task = tasks.run(*TOO_MUCH)

    assert "dba (postgres) changed memory_limit from 128Mi to 32Mi a moment ago (version 3: smaller nodes)." in task.error
    assert pasted(task.error, "To take that change back:") == ["rollback", str(change.audit_id)]
    answer: Answer = dagconfig(*pasted(task.error, "To take that change back:"), "--yes")
    assert answer.code == 0
    assert (limit(hook), hook.get_dag_config(DAG_ID, JOB).batch_size) == ("128Mi", 7)


@has_commands
def test_an_override_is_named_and_ended_by_the_command(tasks: Tasks, hook: DagConfigHook, dagconfig: Any) -> None:
    hook.override_dag_config(DAG_ID, JOB, for_="2h", reason="small nodes", memory_limit="32Mi", updated_by="ann")

    task = tasks.run(*TOO_MUCH)

    assert "memory_limit is from override 1 until" in task.error
    assert "ann made it a moment ago (small nodes). Without it, memory_limit would be 128Mi." in task.error
    assert dagconfig(*pasted(task.error, "To end the override:")).code == 0
    assert limit(hook) == "128Mi"


def test_a_runs_conf_is_named_with_the_conf_that_gives_more(tasks: Tasks, hook: DagConfigHook) -> None:
    run = SimpleNamespace(conf={"dagconfig": {"memory_limit": "32Mi"}}, start_date=None, clear_number=0)

    task = tasks.run(*TOO_MUCH, dag_run=run)

    assert "memory_limit is from the run's conf." in task.error
    assert task.error.splitlines()[-1] == (
        """airflow dags trigger --conf '{"dagconfig": {"us_markets": {"memory_limit": "64Mi"}}}' data_collection_equities"""
    )


def test_the_log_begins_with_what_is_in_force(tasks: Tasks, hook: DagConfigHook) -> None:
    hook.update_dag_config(DAG_ID, JOB, batch_size=750, updated_by="postgres", reason="the markets have grown")
    task = tasks.run("true", exchange_group="us_markets")
    assert next(line for line in task.log if not line.startswith("::")) == (
        "data_collection_equities/us_markets: version 3, changed by postgres a moment ago (batch_size 500 -> 750: the markets have"
        " grown), exchange group us_markets version 1"
    )


def run_of(conf: Any = None, logical_date: datetime | None = LAST + timedelta(days=1)) -> SimpleNamespace:
    return SimpleNamespace(logical_date=logical_date, conf=conf)


def asked(hook: DagConfigHook, run: Any = None, *columns: str, map_index: int | None = -1, **answers: Any) -> LookBack:
    """What a task learns about earlier runs if Airflow answers its requests like this."""
    config = hook.get_dag_config(DAG_ID, JOB)
    ti = SimpleNamespace(dag_id=DAG_ID, map_index=map_index, **answers)
    found = look_back(columns or ("memory_limit",), config, hook, {"ti": ti, "dag_run": run or run_of()})
    assert found is not None
    return found


def previous(begun_at: datetime, run_id: str = "scheduled__2026-11-22", map_index: int | None = -1) -> dict[str, Any]:
    ti = SimpleNamespace(run_id=run_id, start_date=begun_at, end_date=begun_at + timedelta(minutes=5), map_index=map_index)
    return {"get_previous_ti": lambda **_: ti, "get_previous_dagrun": lambda **_: None}


def before_now(hook: DagConfigHook) -> datetime:
    """A moment after all that has happened to the rows."""
    return hook.get_history(limit=1)[0].changed_at + timedelta(microseconds=1)  # type: ignore[operator]


def test_an_earlier_success_is_found_with_the_row_of_its_start(hook: DagConfigHook) -> None:
    then = before_now(hook)
    hook.update_dag_config(DAG_ID, JOB, memory_limit="32Mi")

    earlier = asked(hook, **previous(then)).earlier

    assert earlier is not None
    assert (earlier.run_id, earlier.ended_at) == ("scheduled__2026-11-22", then + timedelta(minutes=5))
    assert earlier.values["memory_limit"] == "128Mi"


def test_the_overrides_of_that_time_count(hook: DagConfigHook) -> None:
    hook.override_dag_config(DAG_ID, JOB, for_="2h", reason="test", memory_limit="256Mi")
    hook.override_dag_config(DAG_ID, JOB, for_="2h", reason="test", memory_limit="512Mi")
    then = before_now(hook)
    hook.end_override(2)

    earlier = asked(hook, **previous(then)).earlier

    assert earlier is not None
    assert earlier.values["memory_limit"] == "512Mi"


@pytest.mark.parametrize(
    ("run", "answers"),
    [
        pytest.param(run_of(), {}, id="an-airflow-that-cannot-say"),
        pytest.param(run_of(logical_date=None), previous(LAST), id="no-logical-date"),
        pytest.param(run_of(), {"get_previous_ti": lambda **_: None}, id="no-success-before"),
        pytest.param(run_of(), {"get_previous_ti": lambda **_: 1 / 0}, id="no-answer"),
        pytest.param(run_of(), previous(LAST, "manual__2026-11-22"), id="a-manual-run-whose-conf-is-not-known"),
        pytest.param(
            run_of(),
            {
                **previous(LAST, "manual__1"),
                "get_previous_dagrun": lambda **_: SimpleNamespace(run_id="manual__1", conf={"dagconfig": {"memory_limit": "1Gi"}}),
            },
            id="a-run-that-set-values",
        ),
    ],
)
def test_what_is_not_certain_of_an_earlier_run_is_not_told(hook: DagConfigHook, run: Any, answers: Any) -> None:
    found = asked(hook, run, **answers)
    assert found.earlier is None
    assert found.pasts.keys() == {"memory_limit"}, "the rest is"


def test_a_mapped_task_is_compared_while_the_groups_are_what_they_were(hook: DagConfigHook) -> None:
    then = before_now(hook)
    assert asked(hook, None, map_index=2, **previous(then, map_index=2)).earlier is not None
    hook.update_exchange_group("lse", priority=1)
    assert asked(hook, None, map_index=2, **previous(then, map_index=2)).earlier is None


def test_a_database_that_is_away_hides_nothing_and_is_not_waited_for(
    tasks: Tasks, hook: DagConfigHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.configure(memory_limit="32Mi")

    def away(_: object) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", "postgresql://nobody@127.0.0.1:1/away")

    task = tasks.run("sh", "-c", "sleep 1; tail /dev/zero", while_running=away)

    assert task.state == "failed"
    # The first read of the row returns it.
    assert "postgres changed memory_limit from 128Mi to 32Mi a moment ago (version 3)." in task.error
    assert "p_memory_limit => '64Mi');" in task.error


def test_one_that_does_not_answer_in_time_is_given_up(hook: DagConfigHook, monkeypatch: pytest.MonkeyPatch) -> None:
    config = hook.get_dag_config(DAG_ID, JOB)
    monkeypatch.setattr(asking, "ANSWER_SECONDS", 0.2)
    with hook.get_conn() as holder:
        holder.execute("LOCK TABLE financial_screener.dag_configuration_audit IN ACCESS EXCLUSIVE MODE")
        found = look_back(["memory_limit"], config, hook, {"ti": SimpleNamespace(dag_id=DAG_ID, map_index=-1)})
        holder.rollback()

    assert found is not None
    assert (found.pasts, found.earlier) == ({}, None)


def test_a_timeout_at_that_moment_does_not_hide_the_failure(hook: DagConfigHook, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late:
        def __init__(self, *_: object) -> None: ...

        def answer(self, _: float) -> None:
            raise AirflowTaskTimeout("execution_timeout")

    config = hook.get_dag_config(DAG_ID, JOB)
    monkeypatch.setattr(asking, "Question", Late)
    assert look_back(["memory_limit"], config, hook, {"ti": SimpleNamespace(dag_id=DAG_ID)}) is not None


def test_nothing_is_asked_where_no_value_ended_the_pod(tasks: Tasks) -> None:
    task = tasks.run("sh", "-c", "exit 3")
    assert "exit code 3" in task.error
    assert "history" not in task.error
