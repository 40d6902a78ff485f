"""``python -m airflow_provider_dagconfig``: the commands of ``airflow dagconfig``, without what Airflow's other commands load."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow.cli.cli_config import GroupCommand
from rich_argparse import RawTextRichHelpFormatter

from airflow_provider_dagconfig.cli.definition import DATABASE, get_dagconfig_commands
from airflow_provider_dagconfig.cli.parser import CommandParser

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command as it was typed."""
    args = make_parser().parse_args(arguments)
    args.func(args)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; --url and the like may be before the command, or among its own arguments."""
    commands = get_dagconfig_commands()[0]
    parser = CommandParser(
        prog="python -m airflow_provider_dagconfig", description=commands.help, formatter_class=RawTextRichHelpFormatter
    )
    for argument in DATABASE:
        argument.add_to_parser(parser)
    _add(parser, commands.subcommands)  # type: ignore[union-attr]
    return parser


def _add(parser: argparse.ArgumentParser, commands: Iterable[CLICommand]) -> None:
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=CommandParser)
    for command in commands:
        made = subparsers.add_parser(
            command.name,
            help=command.help,
            description=command.description or command.help,
            epilog=command.epilog,
            formatter_class=RawTextRichHelpFormatter,
        )
        if isinstance(command, GroupCommand):
            _add(made, command.subcommands)
            continue
        for argument in command.args:
            if argument in DATABASE:
                # What stood before the command stays, unless it is said again.
                made.add_argument(*argument.flags, **argument.kwargs, default=argparse.SUPPRESS)
            else:
                argument.add_to_parser(made)
        made.set_defaults(func=command.func)


if __name__ == "__main__":
    main()
