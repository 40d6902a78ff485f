"""
The parser of the commands: options anywhere, DAG/JOB for DAG and JOB, and the likely meaning of a mistyped word.

Airflow imports this module for each of its own commands, so nothing heavy is imported here.
"""

from __future__ import annotations

import itertools
import sys
from argparse import SUPPRESS, ArgumentError
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.cli.cli_config import Arg, DefaultHelpParser, GroupCommand

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.cli.cli_config import CLICommand

VALUES, OVERRIDE_VALUES, GROUP_VALUES = "{columns of a job}", "{columns of an override}", "{columns of a group}"
"""Placeholders for the columns in a description. Help replaces them only when it is shown: the list needs heavy imports."""


class NotGiven(str):
    """A default that differs from the same word when a user typed it."""

    __slots__ = ()


def sort_words(parsed: Any, job_by_default: str | None) -> None:
    """
    Split DAG/JOB into DAG and JOB, and recognise values that stand before names.

    A DAG's id has no slash (Airflow: allowed characters of keys).
    """
    if hasattr(parsed, "assignments"):
        names = ("group",) if hasattr(parsed, "group") else ("dag", "job")
        words = [word for name in names if (word := getattr(parsed, name)) is not None and not isinstance(word, NotGiven)]
        words += parsed.assignments
        named: list[str] = []
        parsed.assignments = []
        for word in words:
            is_name = len(named) < len(names) and ("=" not in word or not (named or _sets_a_column(word)))
            (named if is_name else parsed.assignments).append(word)
        for name, word in itertools.zip_longest(names, named):
            setattr(parsed, name, word or (job_by_default if name == "job" else None))
    dag, job = getattr(parsed, "dag", None), getattr(parsed, "job", None)
    if dag and "/" in dag and hasattr(parsed, "new_job") and parsed.new_job is None and job is not None:
        job, parsed.job, parsed.new_job = None, None, job
    if dag and (job is None or isinstance(job, NotGiven)) and hasattr(parsed, "job"):
        before, _, after = dag.partition("/")
        if before and after:
            parsed.dag, parsed.job = before, after


def _sets_a_column(word: str) -> bool:
    """Return whether a word is COLUMN=VALUE. A DAG or a group from before the rules may have = in its name."""
    # Imported here because Airflow's other commands do not need it.
    from airflow_provider_dagconfig.models import CONFIG_COLUMNS, GROUP_COLUMNS

    return word.partition("=")[0].strip().lower().replace("-", "_") in {*CONFIG_COLUMNS, *GROUP_COLUMNS}


def add_commands(parser: ArgumentParser, commands: Iterable[CLICommand], before: Sequence[Arg] = ()) -> None:
    """
    Add commands, and the commands of groups, to a parser.

    :param before: arguments that the parser has too: a value given there stays, unless it is given again after the command.
    """
    parsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=CommandParser)
    for command in sorted(commands, key=lambda each: each.name):
        subparser = parsers.add_parser(
            command.name,
            help=command.help,
            description=command.description or command.help,
            epilog=command.epilog,
            formatter_class=parser.formatter_class,
        )
        if isinstance(command, GroupCommand):
            add_commands(subparser, command.subcommands, before)
            continue
        for argument in command.args:
            if argument in before:
                subparser.add_argument(*argument.flags, **argument.kwargs, default=SUPPRESS)
            else:
                argument.add_to_parser(subparser)
        subparser.set_defaults(func=command.func)


class Commands(Arg):
    """
    The commands of a group, as an argument of it.

    Airflow adds the commands of a GroupCommand itself, with a parser of its own class, which answers a mistyped command with a list
    of all commands. An argument gets the parser, and can change its class to ours.
    """

    def __init__(self, commands: Iterable[CLICommand]) -> None:
        super().__init__(("commands",))  # type: ignore[no-untyped-call]
        self.commands = tuple(commands)

    def add_to_parser(self, parser: ArgumentParser) -> None:
        parser.__class__ = CommandParser
        add_commands(parser, self.commands)


class CommandParser(DefaultHelpParser):
    """Airflow's parser, with options anywhere, and with suggestions for words that it does not know."""

    _words: Sequence[str] = ()
    """The words that were typed after the command."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Namespace, list[str]]:  # type: ignore[override]
        self._words = sys.argv[1:] if args is None else args
        if self._subparsers is None:
            args = self._options_first(self._words)
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # The caller would show its own help, which has nothing about this command.
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        if self._subparsers is None:
            sort_words(parsed, self.get_default("job"))
        return parsed, unknown

    def _options_first(self, words: Sequence[str]) -> list[str]:
        """
        Return the words with the options, and their values, before the other words.

        argparse finds an optional word, such as JOB, only right after the word before it. Its own way to intermix options and words
        calls this method again in some versions of Python, and not in others.
        """
        options: list[str] = []
        others: list[str] = []
        remaining = iter(words)
        for word in remaining:
            if word == "--":
                others += [word, *remaining]
            elif not word.startswith("-") or word == "-":
                others.append(word)
            else:
                options.append(word)
                if self._takes_value(word):
                    options += itertools.islice(remaining, 1)
        return [*options, *others]

    def _takes_value(self, option: str) -> bool:
        """Return whether the next word is the value of an option, which may be shortened."""
        word = option.partition("=")[0]
        matching = [action for name, action in self._option_string_actions.items() if name == word]
        if not matching and word.startswith("--"):
            matching = [action for name, action in self._option_string_actions.items() if name.startswith(word)]
            if not matching:
                self._refuse_option(word)
        return bool(matching) and matching[0].nargs != 0 and word == option

    def _refuse_option(self, option: str) -> NoReturn:
        """End with an error that says which option was meant by one that does not exist."""
        from airflow_provider_dagconfig.cli.meant import meant_words

        arguments = [action.dest for action in self._actions if not action.option_strings]
        if suggestion := meant_words(self._words, arguments, self._option_string_actions):
            self.error(f"there is no option {option}; write {self.prog} {suggestion}")
        self.error(f"there is no option {option}{_suggestion(option, self._option_string_actions)}")

    @property
    def takes_words(self) -> bool:
        """Whether the parser takes positional arguments; the commands of a group count as such."""
        return any(not action.option_strings for action in self._actions)

    def error(self, message: str) -> NoReturn:
        """End with one line that says what is wrong. Airflow's parser prints the whole help first, which would hide the line."""
        if not self._words and self._subparsers is not None:
            # Without a command, the user asks which commands exist.
            self.print_help(sys.stderr)
        from airflow_provider_dagconfig.wording import printable, without_passwords

        self.exit(2, f"Error: {printable(without_passwords(message))}. For help: {self.prog} --help\n")

    def format_help(self) -> str:
        for placeholder in (VALUES, OVERRIDE_VALUES, GROUP_VALUES):
            if self.description and placeholder in self.description:
                self.description = self.description.replace(placeholder, _columns(placeholder))
        return super().format_help()

    def _check_value(self, action: Any, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        if isinstance(action.choices, dict):
            self.error(f"there is no command {value!r}; write {self._suggest_commands(value, action.choices)}")
        suggestion = _suggestion(str(value), action.choices) or f"; there are: {', '.join(action.choices)}"
        raise ArgumentError(action, f"there is no {value!r}{suggestion}")

    def _suggest_commands(self, word: str, commands: Mapping[str, CommandParser]) -> str:
        """Return the command line with the command that was meant, and its description; otherwise the names of all commands."""
        from airflow_provider_dagconfig.cli.meant import meant_commands
        from airflow_provider_dagconfig.models import shell_word

        other_words = [shell_word(each) for each in self._words[list(self._words).index(word) + 1 :]]
        suggestions = []
        for name in meant_commands(word, commands):
            if not commands[name].takes_words:
                other_words = [each for each in other_words if each.startswith("-")]
            description = " ".join((commands[name].description or "").split()).partition(".")[0]
            suggestions.append(f"{' '.join([self.prog, name, *other_words])} ({description})")
        return ", or ".join(suggestions) or f"one of {', '.join(commands)}"


def _columns(placeholder: str) -> str:
    """Return a list of the columns, each with the values that it takes."""
    from airflow_provider_dagconfig.models import CONFIG_COLUMNS, GROUP_COLUMNS, OVERRIDE_COLUMNS

    columns = {VALUES: CONFIG_COLUMNS, OVERRIDE_VALUES: OVERRIDE_COLUMNS, GROUP_VALUES: GROUP_COLUMNS}[placeholder]
    width = max(map(len, columns))
    return "\n".join(
        ["Columns:", *(f"  {name:{width}}  {each.help}{each.takes and f' ({each.takes})'}" for name, each in columns.items())]
    )


def _suggestion(word: str, known: Iterable[str]) -> str:
    # Imported here because Airflow's other commands do not need it.
    from difflib import get_close_matches

    alike = get_close_matches(word, list(known), n=1)
    return f" (did you mean {alike[0]}?)" if alike else ""
