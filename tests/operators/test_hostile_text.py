"""Hostile text in rows, confs and pods does not affect a task's log, nor the terminal of a person who runs the task there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import DAG
from plugins.local_pods import local_pods
from plugins.postgres import Database
from plugins.tasks import INSTANCE, Tasks, store

from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.task_groups.exchange_group import ListExchangeGroupsOperator

__all__ = ["local_pods", "store"]

HOSTILE = "\x1b]0;x\x07\u202e\n[red]%s"
SHOWN = r"\x1b]0;x\x07\u202e\n[red]%s"


def rendered(conf: Any = None, **arguments: Any) -> list[str]:
    """The log of a task that is rendered, and how that ends."""
    arguments = {"job_name": "us_markets", **arguments}
    operator = ConfiguredKubectlRunOperator(
        task_id="collect", image="busybox:latest", dag=DAG("data_collection_equities"), **arguments
    )
    context: Any = {"ti": SimpleNamespace(**INSTANCE), "task": operator, "dag_run": SimpleNamespace(conf=conf)}
    error = ""
    with structlog.testing.capture_logs() as log:
        try:
            operator.render_template_fields(context)
        except AirflowException as exception:
            error = str(exception)
    return [*(str(entry["event"]) for entry in log), error]


def test_who_switched_a_job_off_and_why_is_told_in_one_line(store: Database) -> None:
    store.execute(
        "SELECT financial_screener.update_dag_config('data_collection_equities', 'us_markets', p_enabled => FALSE,"
        " p_updated_by => %(text)s, p_reason => %(text)s)",
        {"text": HOSTILE},
    )

    error = rendered()[-1]

    assert f"is disabled: switched off by {SHOWN}" in error
    assert error.isprintable()


def test_a_job_is_named_in_one_line(store: Database) -> None:
    told = "".join(rendered(job_name=HOSTILE))

    assert f"data_collection_equities/{SHOWN}: no row in financial_screener.dag_configuration" in told
    assert told.isprintable()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "conf",
    [HOSTILE, {HOSTILE: 1}, {HOSTILE: {HOSTILE: 1}}, {"us_markets": {HOSTILE: HOSTILE}}, {"memory_limit": HOSTILE}],
    ids=ascii,
)
def test_a_conf_is_refused_in_one_line(conf: Any) -> None:
    error = rendered({"dagconfig": conf})[-1]

    assert "[red]%s" in error
    assert error.isprintable()


def test_a_row_that_cannot_be_used_is_told_of_in_one_line(store: Database) -> None:
    store.execute(
        r"""
        ALTER TABLE financial_screener.dag_configuration DROP CONSTRAINT rule_memory_limit, DISABLE TRIGGER USER;
        UPDATE financial_screener.dag_configuration SET memory_limit = E'\x1b]0;x\x07\n[red]' WHERE job_name = 'us_markets'
        """
    )

    error = rendered()[-1]

    assert "memory_limit" in error
    assert error.isprintable()


def test_groups_are_listed_in_one_line(store: Database) -> None:
    store.execute(
        """
        ALTER TABLE financial_screener.exchange_groups DROP CONSTRAINT rule_group_name, DISABLE TRIGGER USER;
        UPDATE financial_screener.exchange_groups SET group_name = E'\\x1b]0;x\\x07\\n' || group_name
        """
    )
    operator = ListExchangeGroupsOperator(task_id="list")

    with structlog.testing.capture_logs() as log:
        names = operator.execute({})  # type: ignore[typeddict-item]

    assert all(name.startswith("\x1b]0;x\x07\n") for name in names)
    assert "".join(str(entry["event"]) for entry in log).isprintable()


def test_a_pods_own_lines_stay_as_they_are_and_are_fit_in_an_error(tasks: Tasks) -> None:
    task = tasks.run("sh", "-c", r"printf '\033[31mred\033[0m \033]0;x\007\n'; exit 3")

    assert "\x1b[31mred\x1b[0m \x1b]0;x\x07" in task.log
    assert r"  red \x1b]0;x\x07" in task.error
    assert task.error.replace("\n", "").isprintable()
