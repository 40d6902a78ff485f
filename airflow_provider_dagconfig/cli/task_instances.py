"""What Airflow's metadata database knows of task instances: their states, tries and ends."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_dagconfig.kubectl.sweep import TaskFacts, TaskId

_AT_ONCE = 200
"""Task instances that one statement asks for: four parameters each, of which SQLite takes 999."""


def facts_of(tasks: Iterable[TaskId]) -> dict[TaskId, TaskFacts]:
    """
    Ask for task instances. What the answer lacks, this Airflow does not know.

    A state that the scheduler gives without an end (removed, for a task that a DAG has no more) counts from the row's last change;
    so does one whose end is an earlier try's.

    :raises AirflowException: the database does not answer, or has no Airflow's tables.
    """
    from airflow import settings
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select, tuple_
    from sqlalchemy.exc import SQLAlchemyError

    ids = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    facts = (TaskInstance.state, TaskInstance.try_number, TaskInstance.end_date, TaskInstance.updated_at)
    asked = sorted(set(tasks))
    found: dict[TaskId, TaskFacts] = {}
    try:
        with create_session() as session:
            # With none to ask for, whether there is an answer at all.
            for first in range(0, max(len(asked), 1), _AT_ONCE):
                statement = select(*ids, *facts).where(tuple_(*ids).in_(asked[first : first + _AT_ONCE]))
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
