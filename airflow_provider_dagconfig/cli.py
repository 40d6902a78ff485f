"""
``airflow dagconfig``: the commands of the configuration store. They parse, ask and print; what they do is in migrate.py.

Airflow imports this module for each of its own commands, so nothing heavy is imported before a command of ours runs.
"""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from airflow.cli.cli_config import ARG_OUTPUT, ARG_VERBOSE, ARG_YES, ActionCommand, Arg, GroupCommand, lazy_load_command

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from airflow.cli.cli_config import CLICommand

    from airflow_provider_dagconfig.migrate import Target

PENDING = 3
"""Exit code of ``migrate --status`` when there is something to apply or to look at."""


def _version(text: str) -> int:
    if text == "base":
        return 0
    if re.fullmatch(r"[0-9]{1,3}", text):
        return int(text)
    raise ArgumentTypeError(f"{text!r} is no migration; write its number, such as 008, or base to take all back")


# Airflow leaves its constructor untyped.
_argument: Callable[..., Arg] = Arg

_ARG_STATUS = _argument(
    ("--status",),
    help=f"Show which migrations are applied, and change nothing. Exit code {PENDING}: some are not, or differ",
    action="store_true",
)
_ARG_TO = _argument(
    ("--to",),
    help="Bring the database to this migration, forwards or backwards: its number, or base. Backwards loses data",
    type=_version,
    metavar="NUMBER",
)
_ARG_CONN_ID = _argument(
    ("--conn-id",),
    help="The Airflow connection of the database (default: what airflow.cfg says, else postgres_default)",
    metavar="ID",
)
_ARG_SCHEMA = _argument(
    ("--schema",),
    help="The schema of the tables (default: what airflow.cfg says, else financial_screener)",
    metavar="NAME",
)
_ARG_URL = _argument(
    ("--url",),
    help=(
        "The database, instead of an Airflow connection: postgresql://USER@HOST:5432/DATABASE. A password is better in"
        " PGPASSWORD or ~/.pgpass than here, where the process list shows it"
    ),
    metavar="URL",
)


def get_dagconfig_commands() -> list[CLICommand]:
    """Give the commands to Airflow (``cli`` of the provider info)."""
    return [
        GroupCommand(
            name="dagconfig",
            help="Manage what the jobs run with",
            subcommands=(
                ActionCommand(
                    name="migrate",
                    help="Bring the configuration database up to date",
                    description=(
                        "Apply the migrations that the database lacks, each in a transaction of its own. Tables that are"
                        " there already are adopted: their rows stay. Safe to repeat, and to run twice at once."
                    ),
                    func=lazy_load_command(f"{__name__}.migrate"),
                    args=(
                        _ARG_STATUS,
                        _ARG_TO,
                        _ARG_CONN_ID,
                        _ARG_URL,
                        _ARG_SCHEMA,
                        ARG_YES,
                        ARG_OUTPUT,
                        ARG_VERBOSE,
                    ),
                ),
            ),
        )
    ]


def migrate(args: Namespace) -> None:
    """Run ``airflow dagconfig migrate``. It is not logged as Airflow's actions are: --url may hold a password."""
    from airflow.providers.common.compat.sdk import AirflowException

    try:
        target = _target(args)
        if args.status:
            _show_status(target, args.output)
        else:
            _migrate(target, args)
    except AirflowException as error:
        sys.exit(f"Error: {error}")


def _target(args: Namespace) -> Target:
    """Take the database from --url, else from an Airflow connection."""
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook, configured_conn_id, configured_schema
    from airflow_provider_dagconfig.migrate import Target

    schema = args.schema or configured_schema()
    if args.url and args.conn_id:
        sys.exit("Error: --url and --conn-id both name a database; give one of them")
    if args.url:
        return Target.from_url(args.url, schema)
    conn_id = args.conn_id or configured_conn_id()
    try:
        # The Task SDK's look-up, which the hook uses by itself, leaves Airflow's own database out on the command line.
        connection = Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        connection = None
    hook = DagConfigHook(postgres_conn_id=conn_id, schema=schema, connection=connection)
    return Target(connect=hook.get_conn, store=hook.store)


def _show_status(target: Target, output: str) -> None:
    from airflow.cli.simple_table import AirflowConsole

    from airflow_provider_dagconfig.migrate import status

    states = status(target)
    AirflowConsole().print_as(
        data=[
            {
                "migration": state.file,
                "state": state.state,
                "applied_at": state.applied_at.isoformat(sep=" ", timespec="seconds") if state.applied_at else "",
                "applied_by": state.applied_by or "",
            }
            for state in states
        ],
        output=output,
    )
    if any(state.state != "applied" for state in states):
        sys.exit(PENDING)


def _migrate(target: Target, args: Namespace) -> None:
    from airflow_provider_dagconfig.migrate import migrating, status

    reverted = [s.file for s in status(target) if args.to is not None and s.version > args.to and s.applied_at]
    if reverted and not args.yes:
        _confirm(f"This drops what {', '.join(reverted)} made in {target.store}, with its data and its audit.")

    done = False
    for step in migrating(target, args.to, waiting=lambda: print("Another migration is running; waiting for it.")):
        print(f"{step.action:<8}  {step.file}")
        done = True
    if not done:
        print(f"Nothing to do: {target.store} is up to date." if args.to is None else f"Nothing to do: {target.store}.")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        sys.exit(f"{question} To do it without being asked: --yes")
    try:
        answer = input(f"{question} Go on? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        sys.exit("Nothing was changed.")
