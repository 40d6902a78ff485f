"""`airflow dagconfig` as an operator types it, through Airflow's own parser, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Answer:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def dagconfig(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """A function that runs `airflow dagconfig ARGUMENTS`."""
    from airflow.cli.cli_parser import get_parser

    def run(*arguments: str) -> Answer:
        code: object = 0
        try:
            parsed = get_parser().parse_args(["dagconfig", *arguments])
            parsed.func(parsed)
        except SystemExit as exit_:
            code = exit_.code
        captured = capsys.readouterr()
        if isinstance(code, str):
            # As Python does it when nobody catches it.
            return Answer(1, captured.out, captured.err + code)
        assert isinstance(code, int)
        return Answer(code, captured.out, captured.err)

    return run
