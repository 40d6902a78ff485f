"""
The meaning of a command or an option that does not exist: other tools use it, or it looks like an existing one. Pure.

The result is only shown, never executed: nobody learns a second grammar, and no word has two meanings.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dagconfig.models import CONFIG_COLUMNS, GROUP_COLUMNS, shell_word

_COMMANDS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("show view describe inspect display print cat read info", ("get",)),
    ("show view describe inspect display print cat read info get ls dags jobs all", ("list",)),
    ("status state", ("list", "doctor")),
    ("rm del remove drop erase destroy unset", ("delete",)),
    ("rm del delete drop erase destroy unset", ("remove",)),
    ("create new insert make", ("add",)),
    ("add create new insert make edit update change modify alter configure config put patch upsert", ("set",)),
    ("on start resume unpause activate", ("enable",)),
    ("off stop pause suspend deactivate", ("disable",)),
    ("mv move", ("rename",)),
    ("temp temporary overrides", ("override",)),
    ("revert undo reset", ("rollback",)),
    ("restore", ("rollback", "apply")),
    ("log logs audit changes blame events", ("history",)),
    ("compare", ("diff",)),
    ("import load", ("apply",)),
    ("dump save backup", ("export",)),
    ("limit limits quota max", ("ceiling",)),
    ("exchanges exchange-groups exchange_groups", ("groups",)),
    ("check verify validate health healthcheck test", ("doctor",)),
    ("upgrade init initdb db install", ("migrate",)),
    ("ps", ("pods",)),
    ("clean cleanup gc prune purge", ("sweep",)),
)
"""Words to the commands that they may mean. The first line applies that has the word and an existing command."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "dag": ("--dag", "--dag-id", "--dag-name", "--dagid"),
    "job": ("--job", "--job-name", "--job-id", "--task", "--task-id"),
    "group": ("--group", "--group-name", "--exchange-group", "--name"),
    "moment": ("--at", "--moment", "--time", "--when", "--date"),
    "file": ("--file", "--filename", "--path", "--input", "-f"),
    "what": ("--entry", "--entry-id", "--audit-id", "--id"),
    "assignments": ("--set",),
}
"""Names of positional arguments to the options that people write for them."""

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "--reason": ("--comment", "--message", "--msg", "--why", "--note", "-m"),
    "--by": ("--user", "--author", "--who", "--changed-by", "--updated-by", "-u"),
    "--for": ("--duration", "--lasting"),
    "--until": ("--till", "--to", "--expires", "--ends-at"),
    "--from": ("--starts-at", "--start"),
    "--since": ("--after",),
    "--limit": ("--last", "--count", "--max", "-n"),
    "--yes": ("--force", "--confirm", "--assume-yes", "--no-prompt", "-f"),
    "--dry-run": ("--dryrun", "--check", "--plan", "--simulate", "--what-if", "-n"),
    "--output": ("--format", "--output-format"),
    "--end": ("--stop", "--cancel"),
    "--if-version": ("--version", "--expected-version"),
    "--conn-id": ("--conn", "--connection", "--connection-id"),
    "--url": ("--db", "--database", "--dsn", "--uri", "--host"),
    "--namespace": ("-n",),
    "--output=json": ("--json",),
    "--output=yaml": ("--yaml",),
}
"""Options to their names in other tools."""

_COLUMN, _VALUE = ("--name", "--column", "--key", "--field"), "--value"


def meant_commands(word: str, known: Collection[str]) -> list[str]:
    """Return the existing commands that a word may mean, the likeliest first."""
    word = word.lower()
    for words, commands in _COMMANDS:
        if word in words.split() and (found := [command for command in commands if command in known]):
            return found
    return difflib.get_close_matches(word, known, n=1)


@dataclass
class _Line:
    """A command line, split into its parts."""

    named: dict[str, str] = field(default_factory=dict)
    """Names of positional arguments to the words that are given for them."""
    others: list[str] = field(default_factory=list)
    """Words without a name, in their order."""
    assignments: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


def meant_words(words: Sequence[str], arguments: Sequence[str], options: Mapping[str, Any]) -> str:
    """
    Return the words of a command, with existing options in place of those that do not exist.

    :param words: the words after the command.
    :param arguments: the names of its positional arguments, in their order.
    :param options: its options to argparse's actions.
    :return: the words, quoted for a shell; empty where it is not clear what was meant.
    """
    line, remaining = _Line(), iter(words)
    column: str | None = None
    try:
        for word in remaining:
            option, has_value, value = word.partition("=")
            if word == "--" or not word.startswith("-") or word == "-":
                line.others.append(word)
            elif action := known_option(option, options):
                line.options += [word, *([] if has_value or action.nargs == 0 else [next(remaining)])]
            elif option in _COLUMN and _VALUE in (each.partition("=")[0] for each in words):
                column = value or next(remaining)
            elif option == _VALUE and column is not None:
                line.assignments.append(f"{column}={value or next(remaining)}")
            else:
                _read_unknown_option(line, option, iter([value]) if has_value else remaining, arguments, options)
    except (LookupError, StopIteration, RuntimeError):
        return ""
    positionals = [line.named.get(name) or line.others.pop(0) for name in arguments if name in line.named or line.others]
    return " ".join(map(shell_word, [*positionals, *line.others, *line.assignments, *line.options]))


def known_option(option: str, options: Mapping[str, Any]) -> Any:
    """Return the action of an option, which may be shortened; None where there is no such option."""
    if option in options or not option.startswith("--"):
        return options.get(option)
    return next((action for name, action in options.items() if name.startswith(option)), None)


def _read_unknown_option(
    line: _Line, option: str, remaining: Iterator[str], arguments: Sequence[str], options: Mapping[str, Any]
) -> None:
    """
    Read an option that does not exist as the one that was meant.

    :raises LookupError: it is not clear which one was meant.
    """
    column = option.lstrip("-").replace("-", "_").lower()
    if "assignments" in arguments and column in (CONFIG_COLUMNS if "dag" in arguments else GROUP_COLUMNS):
        line.assignments.append(f"{column}={next(remaining)}")
        return
    for name, meant in _WORDS.items():
        if option in meant and name in arguments:
            if name == "assignments":
                line.assignments.append(next(remaining))
            else:
                line.named[name] = next(remaining)
            return
    for known, meant in _OPTIONS.items():
        if option in meant and (action := options.get(known.partition("=")[0])):
            has_value = "=" in known or action.nargs == 0
            line.options += [known] if has_value else [known, next(remaining)]
            return
    raise LookupError(option)
