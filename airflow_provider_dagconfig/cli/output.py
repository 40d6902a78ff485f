"""
The parts that all commands share: how they end (exit codes, errors in one sentence), how they print and how they ask.

This module does not know what is printed. A command prints only through it, and it escapes what a terminal must not get
(``wording``); a test keeps other modules from printing. Callers pass texts that are not escaped.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.cli.simple_table import AirflowConsole, SimpleTable
from airflow.providers.common.compat.sdk import AirflowException
from airflow.utils import yaml
from airflow.utils.cli import suppress_logs_and_warning
from rich.cells import cell_len
from rich.syntax import Syntax
from rich.text import Text

from airflow_provider_dagconfig.cli.definition import CONFLICT, FAILED, NOT_FOUND, USAGE
from airflow_provider_dagconfig.cli.values import UsageError
from airflow_provider_dagconfig.exceptions import (
    DagConfigConflictError,
    DagConfigError,
    DagConfigNotFoundError,
    DagConfigStaleError,
)
from airflow_provider_dagconfig.models import Unreadable
from airflow_provider_dagconfig.wording import printable, without_passwords

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_dagconfig.store import Location

_WIDE = 10_000
_INTERRUPTED = 130
_BROKEN_PIPE = 141
"""Exit codes, as the shell reports SIGINT and SIGPIPE."""


class _Console(AirflowConsole):
    """Airflow's console, which leaves a broken pipe to the command; rich would end the program as failed."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise  # the BrokenPipeError that rich has caught


def command(function: Callable[[Namespace], None]) -> Callable[[Namespace], None]:
    """
    Turn a function into a command: each error ends in one sentence on standard error and an exit code.

    It is not logged as Airflow's own actions are: --url may contain a password.
    """
    quiet = suppress_logs_and_warning(function)

    @functools.wraps(function)
    def run(args: Namespace) -> None:
        try:
            quiet(args)
            sys.stdout.flush()
        except UsageError as error:
            stop(f"Error: {error}", USAGE)
        except (DagConfigError, AirflowException) as error:
            stop(f"Error: {error}", _exit_code(error))
        except KeyboardInterrupt:
            stop("Interrupted.", _INTERRUPTED)
        except BrokenPipeError:
            # The reader has gone, as `head` does. Python would complain again when it closes the pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_BROKEN_PIPE)

    return run


def _exit_code(error: Exception) -> int:
    if isinstance(error, DagConfigNotFoundError):
        return NOT_FOUND
    return CONFLICT if isinstance(error, DagConfigStaleError | DagConfigConflictError) else FAILED


def stop(message: str, code: int = FAILED) -> NoReturn:
    """End the command with a sentence on standard error."""
    note(without_passwords(message))
    sys.exit(code)


def note(message: str) -> None:
    """Print on standard error what is not part of the result."""
    print(printable(message), file=sys.stderr)


def confirm(question: str, args: Namespace, location: Location | None) -> None:
    """
    Ask before a change that is hard to undo; refuse it without a terminal and without --yes. --dry-run needs no question.

    :param location: the database, which the question names; None where no database is changed.
    """
    if location is not None:
        question = f"{question} {_location_sentence(location)}"
    if args.yes or getattr(args, "dry_run", False):
        return
    if not sys.stdin.isatty():
        stop(f"{question} To do it without being asked: --yes")
    try:
        answer = input(f"{printable(question)} Go on? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        stop("Nothing was changed.")


def done(text: str, location: Location) -> None:
    """Print what was done, and in which database."""
    say(f"Done: {text} {_location_sentence(location)}", "green")


def _location_sentence(location: Location) -> str:
    """Return the database as a sentence."""
    where = str(location)
    return f"{where[0].upper()}{where[1:]}."


def was_dry_run(args: Namespace) -> bool:
    """Return whether --dry-run rolled the change back; print a sentence if it did."""
    if args.dry_run:
        say("Nothing was changed: --dry-run.")
    return bool(args.dry_run)


def shown(value: Any) -> str:
    """Return a value of the store as an operator would type it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return when(value) if isinstance(value, datetime) else str(value)


def when(moment: datetime | Unreadable | None) -> str:
    """Return a moment to the second, in UTC; or PostgreSQL's text where Python cannot hold it."""
    if isinstance(moment, Unreadable):
        return str(moment)
    return "-" if moment is None else f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def lasting(duration: timedelta) -> str:
    """Return how long something lasted, in its two largest units: 3d4h, 2h0m, 45s."""
    rest = max(int(duration.total_seconds()), 0)
    parts: list[str] = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, seconds)
        if number or parts:
            parts.append(f"{number}{unit}")
    return "".join(parts[:2]) or "0s"


def plain_data(value: Any) -> Any:
    """Turn values of the store into JSON values."""
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="seconds")
    return value if value is None or isinstance(value, bool | int | float) else str(value)


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, which may have several lines, and a style of rich's."""

    text: str | Sequence[str]
    style: str = ""

    @property
    def lines(self) -> list[str]:
        """The lines of the text, escaped for a terminal."""
        return list(map(printable, [self.text] if isinstance(self.text, str) else self.text))


def print_data(data: Any, output: str) -> None:
    """Print for scripts, as JSON or YAML."""
    data = plain_data(data)
    # Both formats escape characters that are not ASCII. DEL is ASCII, and JSON leaves it as it is.
    text = json.dumps(data).replace("\x7f", "\\u007f") if output == "json" else yaml.dump(data, sort_keys=False).rstrip("\n")
    _Console().print(Syntax(text, output, theme="ansi_dark"), soft_wrap=True)


def print_table(
    rows: Sequence[Mapping[str, Any]],
    output: str = "table",
    *,
    title: str | None = None,
    empty: str = "There is nothing.",
    spare: Sequence[str] = (),
) -> None:
    """
    Print a table: ``table`` with colours and lines for people, ``plain`` for cut and awk. All rows have the same keys.

    :param spare: the columns that a narrow terminal leaves out, the first one first.
    """
    if not rows:
        # Standard output stays empty for scripts.
        note(empty)
    elif output == "plain":
        for line in _plain_lines([list(rows[0]), *([", ".join(_cell(value).lines) for value in row.values()] for row in rows)]):
            print(line)
    else:
        _Console(highlight=False).print(_table(fit_columns(rows, spare), title))


def _plain_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align cells in columns. Airflow's own way would write a job 1e3 as 1000."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()


def fit_columns(rows: Sequence[Mapping[str, Any]], spare: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Leave out the spare columns, the first one first, until the table fits the terminal."""
    console = _Console()
    for column in spare:
        if console.measure(_table(rows, None), options=console.options.update_width(_WIDE)).maximum <= console.width:
            break
        rows = [{name: value for name, value in row.items() if name != column} for row in rows]
    return rows


def _table(rows: Sequence[Mapping[str, Any]], title: str | None) -> SimpleTable:
    table = SimpleTable(title=Text(printable(title)) if title else None, show_header=True, caption=None)  # type: ignore[no-untyped-call]
    for column in rows[0]:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text("\n".join(cell.lines), style=cell.style) for cell in map(_cell, row.values())))
    return table


def _cell(value: Any) -> Cell:
    return value if isinstance(value, Cell) else Cell(shown(value))


def say(text: str = "", style: str = "") -> None:
    """Print a sentence for people, coloured on a terminal and broken between words."""
    console = _Console(highlight=False)
    console.print(Text(printable(text), style=style), soft_wrap=not console.is_terminal)


def hint(text: str) -> None:
    """Print a line with a command that can be copied whole: the terminal breaks it, not this function."""
    _Console(highlight=False).print(Text(printable(text)), soft_wrap=True)


def print_entry(head: Sequence[Cell], text: str, unbroken: str = "") -> None:
    """
    Print an entry of a list at once, without waiting for the next one.

    :param head: the words at its left, each of its own width.
    :param text: is broken between words, at the right of the head.
    :param unbroken: stands on its own line, whatever its length: it is to be pasted.
    """
    console = _Console(highlight=False)
    line = Text()
    for cell in head:
        line.append("".join(cell.lines), style=cell.style)
    indent = " " * len(line)
    lines = textwrap.wrap(printable(text), max(console.width - len(indent), 20))
    line.append(f"\n{indent}".join([*lines, *([printable(unbroken)] if unbroken else [])]))
    console.print(line, soft_wrap=True)
    sys.stdout.flush()


def print_whole(text: str) -> None:
    """Print a document unchanged: its writer has escaped what a terminal must not get."""
    sys.stdout.write(text)


@dataclass(frozen=True)
class Difference:
    """The differences of one row."""

    subject: str
    """``data_collection_equities/us_markets`` or ``exchange group lse``."""
    kind: str
    """added, changed or removed."""
    columns: Mapping[str, tuple[Any, Any]]
    """Column to the value before and after."""

    def as_rows(self) -> list[dict[str, Any]]:
        """Return one row for each column, for scripts."""
        return [
            {"subject": self.subject, "kind": self.kind, "column": column, "before": before, "after": after}
            for column, (before, after) in self.columns.items()
        ]


def difference(subject: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Difference | None:
    """Compare two states of a row, by the columns of the second if both exist; None where they are the same."""
    if before is None and after is None:
        return None
    if before is None or after is None:
        row = before or after or {}
        kind = "added" if before is None else "removed"
        columns = {c: (None, v) if before is None else (v, None) for c, v in row.items() if _comparable(v) is not None}
        return Difference(subject, kind, columns)
    columns = {c: (before.get(c), v) for c, v in after.items() if _comparable(before.get(c)) != _comparable(v)}
    return Difference(subject, "changed", columns) if columns else None


def _comparable(value: Any) -> Any:
    """An empty text equals None: it removes a description."""
    return _none_if_empty(plain_data(value))


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


_STYLES = {"added": "green", "changed": "bold", "removed": "red"}


def print_differences(differences: Iterable[Difference]) -> None:
    """Print the values before and after, one line for each column, below the row's name."""
    console = _Console(highlight=False)
    for each in differences:
        mark = {"added": "+ ", "changed": "", "removed": "- "}[each.kind]
        kind = "" if each.kind == "changed" else f" ({each.kind})"
        console.print(Text(f"{mark}{printable(each.subject)}{kind}", style=_STYLES[each.kind]), soft_wrap=True)
        width = max(map(len, each.columns), default=0)
        for column, (before, after) in each.columns.items():
            line = Text(f"    {printable(column):<{width}}  ")
            if each.kind != "added":
                line.append(printable(shown(_none_if_empty(before))), style="red")
            if each.kind == "changed":
                line.append(" -> ")
            if each.kind != "removed":
                line.append(printable(shown(_none_if_empty(after))), style="green")
            console.print(line, soft_wrap=True)
