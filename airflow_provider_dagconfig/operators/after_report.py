"""
Calls a function after Airflow has recorded a task's success. So the result is safe before the pod is deleted.

At the end of a task, Airflow 3.1 and later proceed in this order: ``execute`` returns, the success is reported, the callbacks run
(Task SDK, ``task_runner.run`` and ``finalize``). If ``execute`` deleted the pod, it would be gone before anybody knows whether the
report succeeds. The callbacks are called whether it succeeded or not, so the callback here asks Airflow. In 3.1 no callback is
called if the report failed; the pod then remains, too.
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
    Call a function after Airflow has recorded the success of a task that is about to end, and after the task's own callbacks.

    :param task: the running task, as this process has it.
    :param ti: its task instance in the context.
    :param then: called if the success was recorded, or if Airflow no longer knows the task instance.
    :param otherwise: called with the reason, as a clause, if the success was not recorded, or if that is unknown.
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
            otherwise(f"the task's state in Airflow is {state or 'not started'}")

    # Airflow makes a list of the constructor's argument, but does not convert a later assignment.
    callbacks: Any = task.on_success_callback or ()
    task.on_success_callback = [*((callbacks,) if callable(callbacks) else callbacks), when_reported]
