"""``python -m airflow_provider_dagconfig``: the commands of ``airflow dagconfig``, without what Airflow's other commands load."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rich_argparse import RawTextRichHelpFormatter

from airflow_provider_dagconfig.cli.definition import COMMANDS, DATABASE, HELP
from airflow_provider_dagconfig.cli.parser import CommandParser, add_commands

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments and run the command that they name."""
    args = make_parser().parse_args(arguments)
    args.func(args)


@cache
def make_parser() -> ArgumentParser:
    """Return the one parser. --url and the other database options may stand before the command or among its arguments."""
    parser = CommandParser(prog="python -m airflow_provider_dagconfig", description=HELP, formatter_class=RawTextRichHelpFormatter)
    for argument in DATABASE:
        argument.add_to_parser(parser)
    add_commands(parser, COMMANDS, DATABASE)
    return parser


if __name__ == "__main__":
    main()
