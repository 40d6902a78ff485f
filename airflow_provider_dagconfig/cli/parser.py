"""
The parser of the commands: options anywhere, DAG/JOB for DAG and JOB, and what a mistyped word may have meant.

Airflow imports this module for each of its own commands, so nothing heavy is imported here.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.cli.cli_config import DefaultHelpParser

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Sequence

VALUES, OVERRIDE_VALUES, GROUP_VALUES = "{columns of a job}", "{columns of an override}", "{columns of a group}"
"""Stand in a description for the columns, which help names when it is asked for: to list them loads what they are."""


class NotGiven(str):
    """A default that can be told from the same word typed."""

    __slots__ = ()


def put_right(parsed: Any, job_by_default: str | None) -> None:
    """
    Take DAG/JOB for DAG and JOB, and values before names for what they are.

    A DAG's id has no slash (Airflow: allowed characters of keys).
    """
    if hasattr(parsed, "assignments"):
        names = ("group",) if hasattr(parsed, "group") else ("dag", "job")
        words = [word for name in names if (word := getattr(parsed, name)) is not None and not isinstance(word, NotGiven)]
        words += parsed.assignments
        given: list[str] = []
        parsed.assignments = []
        for word in words:
            is_name = len(given) < len(names) and ("=" not in word or not (given or _sets_a_column(word)))
            (given if is_name else parsed.assignments).append(word)
        for name, word in itertools.zip_longest(names, given):
            setattr(parsed, name, word or (job_by_default if name == "job" else None))
    dag, job = getattr(parsed, "dag", None), getattr(parsed, "job", None)
    if dag and "/" in dag and hasattr(parsed, "new_job") and parsed.new_job is None and job is not None:
        job, parsed.job, parsed.new_job = None, None, job
    if dag and (job is None or isinstance(job, NotGiven)) and hasattr(parsed, "job"):
        before, _, after = dag.partition("/")
        if before and after:
            parsed.dag, parsed.job = before, after


def _sets_a_column(word: str) -> bool:
    """Say whether it is COLUMN=VALUE. A DAG or a group from before the rules may have = in its name."""
    # Airflow's other commands do not need it.
    from airflow_provider_dagconfig.models import CONFIG_COLUMNS, GROUP_COLUMNS

    return word.partition("=")[0].strip().lower().replace("-", "_") in {*CONFIG_COLUMNS, *GROUP_COLUMNS}


class CommandParser(DefaultHelpParser):
    """Airflow's parser, which takes options anywhere, and says what a mistyped option or command may have meant."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Namespace, list[str]]:  # type: ignore[override]
        if args is not None and self._subparsers is None:
            args = self._options_first(args)
        parsed, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            if word.startswith("--"):
                option, _, value = word.partition("=")
                if any(action.dest == "assignments" for action in self._actions) and value:
                    column = option.lstrip("-").replace("-", "_")
                    self.error(f"unrecognized argument: {option}; write {column}={value}")
                self.error(f"unrecognized argument: {option}{_did_you_mean(option, self._option_string_actions)}")
        if unknown:
            # Whoever called would show its own help, which has nothing about this command.
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        if self._subparsers is None:
            put_right(parsed, self.get_default("job"))
        return parsed, unknown

    def _options_first(self, words: Sequence[str]) -> list[str]:
        """
        Put the options, each with its value, before the other words.

        argparse takes an optional word, such as JOB, only where it is next to the word before it; and its way to intermix both
        calls this method again, or not, from version to version of Python.
        """
        options: list[str] = []
        others: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                others += [word, *rest]
            elif not word.startswith("-") or word == "-":
                others.append(word)
            else:
                options.append(word)
                if self._wants_value(word):
                    options += itertools.islice(rest, 1)
        return [*options, *others]

    def _wants_value(self, word: str) -> bool:
        """Say whether the value of an option, which may be shortened, is the next word."""
        meant = [action for option, action in self._option_string_actions.items() if option == word]
        if not meant and word.startswith("--"):
            meant = [action for option, action in self._option_string_actions.items() if option.startswith(word)]
        return bool(meant) and meant[0].nargs != 0

    def error(self, message: str) -> NoReturn:
        from airflow_provider_dagconfig.wording import without_passwords

        super().error(without_passwords(message))  # type: ignore[no-untyped-call]
        raise AssertionError  # the process has ended

    def format_help(self) -> str:
        for place in (VALUES, OVERRIDE_VALUES, GROUP_VALUES):
            if self.description and place in self.description:
                self.description = self.description.replace(place, _columns(place))
        return super().format_help()

    def _check_value(self, action: Any, value: Any) -> None:
        if action.choices is not None and value not in action.choices and (meant := _did_you_mean(str(value), action.choices)):
            self.error(f"there is no {value!r}{meant}")
        super()._check_value(action, value)  # type: ignore[no-untyped-call]


def _columns(place: str) -> str:
    """Name each column, with the values that it takes."""
    from airflow_provider_dagconfig.models import CONFIG_COLUMNS, GROUP_COLUMNS, OVERRIDE_COLUMNS

    columns = {VALUES: CONFIG_COLUMNS, OVERRIDE_VALUES: OVERRIDE_COLUMNS, GROUP_VALUES: GROUP_COLUMNS}[place]
    width = max(map(len, columns))
    return "\n".join(
        ["Columns:", *(f"  {name:{width}}  {each.help}{each.takes and f' ({each.takes})'}" for name, each in columns.items())]
    )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    # Airflow's other commands need it not.
    from difflib import get_close_matches

    alike = get_close_matches(word, list(known), n=1)
    return f" (did you mean {alike[0]}?)" if alike else ""
