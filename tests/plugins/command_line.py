"""`airflow dagconfig` as an operator uses it, through Airflow's own parser, in this process."""

from __future__ import annotations

import io
import itertools
import subprocess
import threading
from argparse import Namespace
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Answer:
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def dagconfig(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return a function that runs `airflow dagconfig ARGUMENTS`."""
    return lambda *arguments: _run(arguments, capsys.readouterr)


def with_dagconfig_in_threads(work: Callable[[Callable[..., Answer]], None]) -> None:
    """
    Call work with a function that runs `airflow dagconfig ARGUMENTS`, and may be called in several threads at once.

    :param work: ends its threads before it returns.
    """
    from airflow.utils.cli import suppress_logs_and_warning

    out, err = _OfEachThread(), _OfEachThread()

    def run(*arguments: str) -> Answer:
        return _run(arguments, lambda: (out.read(), err.read()))

    with redirect_stdout(out), redirect_stderr(err):
        # Each command replaces the loggers and restores what it found, maybe another command's: this restores the original.
        suppress_logs_and_warning(lambda _: work(run))(Namespace(verbose=False))


def words_of(commands: Iterable[str]) -> list[list[str]]:
    """Return the words of commands as bash reads them, all in one process."""
    script = "".join(f"set -- {command}\nprintf '%s\\0' $# \"$@\"\n" for command in commands)
    out = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout.decode()
    printed = iter(out.split("\0")[:-1])
    return [list(itertools.islice(printed, int(count))) for count in printed]


def _run(arguments: tuple[str, ...], printed: Callable[[], tuple[str, str]]) -> Answer:
    from airflow.cli.cli_parser import get_parser

    code: object = 0
    try:
        parsed = get_parser().parse_args(["dagconfig", *arguments])
        parsed.func(parsed)
    except SystemExit as exit_:
        code = exit_.code
    out, err = printed()
    if isinstance(code, str):
        # As Python prints it when nobody catches the exception.
        return Answer(1, out, err + code)
    assert isinstance(code, int)
    return Answer(code, out, err)


class _OfEachThread(io.TextIOBase):
    """Keeps the output of each thread."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._texts = threading.local()

    def write(self, text: str) -> int:
        self._texts.text = getattr(self._texts, "text", "") + text
        return len(text)

    def read(self, size: int | None = -1) -> str:
        """Return the output of this thread since the last call."""
        text: str = getattr(self._texts, "text", "")
        self._texts.text = ""
        return text
