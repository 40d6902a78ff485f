"""
Runs ``airflow`` commands one after the other in one process, with its own metadata database.

Not a pytest plugin: it is imported, and run as a script. A new process for each command would take seconds.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AirflowShell:
    """A shell with one program, ``airflow``."""

    process: subprocess.Popen[str]

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """
        Run ``airflow ARGUMENTS``.

        :param environment: variables that are set from now on.
        :return: the exit code, and the output.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([arguments, environment]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, "the shell has ended"
        code, printed = json.loads(answer)
        return code, printed


@contextmanager
def airflow_shell(home: Path, dags: Path, environment: Mapping[str, str]) -> Iterator[AirflowShell]:
    """
    Start the shell, and parse DAGs.

    :param home: AIRFLOW_HOME; an empty folder.
    :param dags: the folder with the DAG files.
    """
    with empty_airflow_shell(home, {"AIRFLOW__CORE__DAGS_FOLDER": str(dags), **environment}) as shell:
        for command in (["db", "migrate"], ["dags", "reserialize"]):
            code, printed = shell.run(*command)
            assert code == 0, printed
        yield shell


@contextmanager
def empty_airflow_shell(home: Path, environment: Mapping[str, str], python: str | Path = sys.executable) -> Iterator[AirflowShell]:
    """
    Start the shell, without a metadata database.

    :param home: AIRFLOW_HOME; an empty folder.
    :param python: the Python of the environment with the Airflow.
    """
    own = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    with (home / "errors.log").open("w") as errors:
        process = subprocess.Popen(
            [python, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **own, **environment},
        )
    try:
        yield AirflowShell(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other output goes to standard error
    for line in sys.stdin:
        arguments, environment = json.loads(line)
        os.environ.update(environment)
        print(json.dumps(_run(arguments)), file=answers, flush=True)


def _run(arguments: list[str]) -> tuple[int, str]:
    from airflow.cli.cli_parser import get_parser

    printed = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            parsed = get_parser().parse_args(arguments)
            parsed.func(parsed)
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code)
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception as error:  # noqa: BLE001
            print(f"{type(error).__name__}: {error}")
            code = 1
    return code, printed.getvalue()


if __name__ == "__main__":
    _serve()
