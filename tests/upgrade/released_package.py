"""
A program that runs commands, tasks and triggers of the package that it finds first. plugins/released.py starts it.

It imports nothing of the tests, since those fit the present package. It reads requests from standard input, one a line, as JSON. A
process of its own answers each, so that a request costs no imports, and a task can be killed. The files of a request are named in
it: ``pid`` is written when its process has started, ``answer`` by this process, and ``code`` when it has ended.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog
from airflow.cli.cli_parser import get_parser
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from airflow.sdk import DAG

import airflow_provider_dagconfig
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator


def about() -> dict[str, Any]:
    """Return the version of the package, and its folder."""
    package = airflow_provider_dagconfig
    return {"version": package.__version__, "folder": str(Path(str(package.__file__)).parent)}


def command(words: list[str]) -> dict[str, Any]:
    """Run ``airflow dagconfig WORDS``; return its exit code and its output."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            parsed = get_parser().parse_args(["dagconfig", *words])
            parsed.func(parsed)
        except SystemExit as exit_:
            code = exit_.code
    if isinstance(code, str):  # Python prints it, and ends with 1
        return {"code": 1, "out": out.getvalue(), "err": err.getvalue() + code}
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def configuration(dag: str, job: str) -> dict[str, Any]:
    """Return a job's configuration: ``rendered`` for the Rendered tab, and ``carried`` by a deferral."""
    config = DagConfigHook().get_dag_config(dag, job)
    return {"rendered": config.as_dict(), "carried": config.to_dict()}


def task(
    operator: dict[str, Any], run_id: str, try_number: int, kept: str, left: dict[str, Any] | None, event: Any
) -> dict[str, Any]:
    """
    Render and execute a task, and run the callbacks of its success, as Airflow's task runner does.

    :param operator: the operator's arguments.
    :param kept: the file of the values that the task instance keeps from try to try.
    :param left: the data of a deferral, from which the task resumes.
    :param event: the event of its trigger.
    """
    made = ConfiguredKubectlRunOperator(dag=DAG(operator["dag_name"]), **operator)
    ti = SimpleNamespace(dag_id=made.dag_id, run_id=run_id, task_id=made.task_id, map_index=-1, try_number=try_number, max_tries=0)
    ti.task, ti.state = made, "running"
    ti.get_task_states = lambda **_: {run_id: {made.task_id: ti.state}}
    next_kwargs = {**(left["kwargs"] if left else {}), "event": event}
    if left:
        ti._ti_context_from_server = SimpleNamespace(next_method=left["method"], next_kwargs=next_kwargs)
    context: Any = {"ti": ti, "run_id": run_id, "task": made, "task_state_store": Kept(Path(kept))}
    found: dict[str, Any] = {"state": "success", "error": "", "result": None, "left": None}
    with structlog.testing.capture_logs() as entries:
        try:
            made.render_template_fields(context)
            found["result"] = made.resume_execution(left["method"], next_kwargs, context) if left else made.execute(context)
            ti.state = "success"
            for callback in made.on_success_callback:
                callback(context)
        except TaskDeferred as deferral:
            classpath, trigger = deferral.trigger.serialize()
            left = {"classpath": classpath, "trigger": trigger, "method": deferral.method_name, "kwargs": deferral.kwargs}
            found |= {"state": "deferred", "left": left}
        except AirflowException as error:
            found |= {"state": "failed", "error": str(error)}
    return {**found, "log": [str(entry["event"]) for entry in entries]}


def fire(classpath: str, trigger: dict[str, Any]) -> Any:
    """Run a trigger until its event; return the event."""

    async def first() -> Any:
        module, _, name = classpath.rpartition(".")
        async for event in getattr(import_module(module), name)(**trigger).run():
            return event.payload
        raise AssertionError("the trigger did not fire")

    return asyncio.run(first())


class Kept:
    """Airflow's task state store of one task instance, in a file that later tries have too."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self._file.parent.mkdir(exist_ok=True)
        self._file.write_text(json.dumps({**self._all(), key: value}))

    def _all(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return kept


def write(file: str, content: Any) -> None:
    """Write a file that is complete as soon as it is there."""
    Path(f"{file}.part").write_text(json.dumps(content))
    os.replace(f"{file}.part", file)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.environ.clear()
                os.environ.update(request["environment"])
                write(request["answer"], globals()[request["do"]](**request["arguments"]))
                code = 0
            finally:
                if code:
                    traceback.print_exc()
                sys.stderr.flush()
                os._exit(code)
        write(request["pid"], pid)
        write(request["code"], os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
