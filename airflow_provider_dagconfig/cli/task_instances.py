"""Facts about task instances from Airflow's metadata database: their states, tries and ends."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_dagconfig.kubectl.sweep import TaskFacts, TaskId

_MAX_TASKS = 200
"""Task instances in one statement: each has four parameters, and SQLite accepts 999 of them."""


def facts_of(tasks: Iterable[TaskId]) -> dict[TaskId, TaskFacts]:
    """
    Return facts about task instances. This Airflow does not know those that are missing in the result.

    A state that the scheduler sets without an end (removed, for a task that the DAG no longer has) counts from the row's last
    change; so does a state whose end belongs to an earlier try.

    :raises AirflowException: the database does not answer, or lacks Airflow's tables.
    """
    from airflow import settings
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select, tuple_
    from sqlalchemy.exc import SQLAlchemyError

    ids = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    facts = (TaskInstance.state, TaskInstance.try_number, TaskInstance.end_date, TaskInstance.updated_at)
    sorted_tasks = sorted(set(tasks))
    found: dict[TaskId, TaskFacts] = {}
    try:
        with create_session() as session:
            # Without tasks it still asks once, to see whether the database answers.
            for start in range(0, max(len(sorted_tasks), 1), _MAX_TASKS):
                statement = select(*ids, *facts).where(tuple_(*ids).in_(sorted_tasks[start : start + _MAX_TASKS]))
                for dag_id, run_id, task_id, map_index, state, try_number, end_date, updated_at in session.execute(statement):
                    ended_at = max((moment for moment in (end_date, updated_at) if moment is not None), default=None)
                    name = None if state is None else str(getattr(state, "value", state))
                    found[TaskId(dag_id, run_id, task_id, map_index)] = TaskFacts(name, try_number, ended_at)
    except SQLAlchemyError as error:
        url = settings.engine.url.render_as_string(hide_password=True) if settings.engine else "none"
        cause = str(getattr(error, "orig", None) or error).strip()
        raise AirflowException(
            f"Airflow's metadata database ({url}) does not say which tasks there are: {cause}. Run this where Airflow runs, or set"
            " sql_alchemy_conn of [database] in airflow.cfg (AIRFLOW__DATABASE__SQL_ALCHEMY_CONN)"
        ) from None
    return found
