"""
The result first, then the deletion: what is done once Airflow has a task's success.

Airflow's order at the end of a task, from 3.1 on: ``execute`` returns, the success is reported, the callbacks run (Task SDK,
``task_runner.run`` and ``finalize``). So a pod that is deleted in ``execute`` is gone before anybody knows whether the report goes
through. A callback is called after the report, whether it went through or not, so only asking tells. In 3.1 no callback is called
where the report failed: the pod stays too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.hooks.airflow_state import UNKNOWN, ask_state
from airflow_provider_dagconfig.hooks.asking import NoAnswerError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator


ANSWER_SECONDS = 10.0
"""Seconds that Airflow has to answer. After them the pod is left: Airflow ends a process twenty seconds after its success."""


def after_success(task: BaseOperator, ti: Any, then: Callable[[], None], otherwise: Callable[[str], None]) -> None:
    """
    Call something once Airflow has the success of a task that is about to end; after the task's own callbacks.

    :param task: the task that runs, as this process has it.
    :param ti: its task instance in the context.
    :param then: called where the success was taken, or where Airflow does not know the task instance any more.
    :param otherwise: called with the reason, a clause, where it was not, or where nobody knows.
    """

    def when_reported(_: Any) -> None:
        try:
            state = ask_state(ti, ANSWER_SECONDS)
        except NoAnswerError as error:
            otherwise(str(error))
            return
        if state in ("success", UNKNOWN):
            then()
        else:
            otherwise(f"Airflow has the task as {state or 'not started'}")

    # Airflow makes a list of what the constructor gets, and leaves what is assigned later as it is.
    given: Any = task.on_success_callback or ()
    task.on_success_callback = [*((given,) if callable(given) else given), when_reported]
