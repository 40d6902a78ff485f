"""
The commands as Airflow's parser needs them: names, arguments, help. Their code is in the modules beside this one.

Airflow imports this module for each of its own commands, so nothing heavy is imported here.
"""

from __future__ import annotations

import re
import textwrap
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from airflow.cli.cli_config import (
    ARG_OUTPUT,
    ARG_VERBOSE,
    ARG_YES,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
)

from airflow_provider_dagconfig.cli.parser import GROUP_VALUES, OVERRIDE_VALUES, VALUES, Commands, NotGiven

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from airflow.cli.cli_config import CLICommand

FAILED, USAGE, NOT_FOUND, CONFLICT, DIFFERENT = 1, 2, 3, 4, 5
PENDING = 3
"""Exit code of ``migrate --status`` if a migration is not applied, or needs a look."""

_EXIT_CODES = f"""Exit codes:
  0  done
  {FAILED}  failed, or not confirmed
  {USAGE}  wrong usage, or an invalid value
  {NOT_FOUND}  there is no such DAG, job, group, override, ceiling or entry
  {CONFLICT}  the row was changed meanwhile, or the change conflicts with something in force"""
_DIFFERENCE = f"""
  {DIFFERENT}  there are differences (with --exit-code)"""
_MOMENTS = "Moments are in UTC: 2026-11-23T02:14, 02:14, or with another zone 2026-11-23T02:14+01:00; 2h is two hours ago."


_ALL = NotGiven("all")


def _version(text: str) -> int:
    if text == "base":
        return 0
    if re.fullmatch(r"[0-9]{1,3}", text):
        return int(text)
    raise ArgumentTypeError(f"{text!r} is no migration; write its number, such as 008, or base to take all back")


def _number(text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,19}", text) and abs(int(text)) <= 2**63 - (text[0] != "-"):
        return int(text)
    raise ArgumentTypeError(f"{text!r} is no number")


def _count(text: str) -> int:
    if (number := _number(text)) > 0:
        return number
    raise ArgumentTypeError(f"{text!r} shows nothing; write 1 or more")


# Airflow's constructor has no types.
_argument: Callable[..., Arg] = Arg

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
DATABASE = (_ARG_CONN_ID, _ARG_URL, _ARG_SCHEMA)

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
_ARGS_ROLES = (
    _argument(
        ("--reader-role",),
        help="The name of the role that may read (default: unchanged, at first dagconfig_reader)",
        metavar="NAME",
    ),
    _argument(
        ("--editor-role",),
        help="The name of the role that may change (default: unchanged, at first dagconfig_editor)",
        metavar="NAME",
    ),
)

_ARG_DAG = _argument(("dag",), help="The DAG's id; or DAG/JOB", metavar="DAG")
_ARG_DAG_OPTIONAL = _argument(("dag",), help="Only this DAG; or DAG/JOB", metavar="DAG", nargs="?")
_ARG_JOB = _argument(("job",), help="The job: a group's name, or all (the default)", metavar="JOB", nargs="?", default=_ALL)
_ARG_JOB_OPTIONAL = _argument(("job",), help="Only this job of it", metavar="JOB", nargs="?")
_ARG_ASSIGNMENTS = _argument(("assignments",), help="The new values", metavar="COLUMN=VALUE", nargs="*", default=[])
_ARG_GROUP = _argument(("group",), help="The exchange group's name", metavar="GROUP")
_ARG_REASON = _argument(("--reason",), help="The reason, for the history", metavar="TEXT")
_ARG_BY = _argument(("--by",), help="The author, for the history (default: this system's user)", metavar="NAME")
_ARG_IF_VERSION = _argument(
    ("--if-version",), help="Only if the row is still at this version, which get and list show", type=_number, metavar="N"
)
_ARG_DRY_RUN = _argument(
    ("--dry-run",), help="Change nothing: show what would be changed, or why it would be refused", action="store_true"
)
_ARG_CREATE = _argument(("--create",), help="Create the row if it does not exist", action="store_true")
_ARG_EXIT_CODE = _argument(("--exit-code",), help=f"End with exit code {DIFFERENT} if there are differences", action="store_true")
_CHANGE = (_ARG_REASON, _ARG_BY, _ARG_IF_VERSION, _ARG_DRY_RUN)


def _wrapped(text: str) -> str:
    """Break lines between words: Airflow's parser shows a description unchanged."""
    return "\n\n".join(textwrap.fill(paragraph, 78) for paragraph in text.strip().split("\n\n"))


def _command(name: str, function: str, help: str, *args: Arg, description: str = "", epilog: str = _EXIT_CODES) -> ActionCommand:
    return ActionCommand(
        name=name,
        help=help,
        description=_wrapped(f"{help}. {description}"),
        func=lazy_load_command(f"{__package__}.{function}"),
        args=(*args, *DATABASE, ARG_VERBOSE),
        epilog=epilog,
    )


_SHOW = (
    _command(
        "list",
        "show.list_jobs",
        "Show what the jobs run with",
        _ARG_DAG_OPTIONAL,
        _ARG_JOB_OPTIONAL,
        ARG_OUTPUT,
        description="Values that an override sets for a time are marked with *. json and yaml show every column.",
    ),
    _command(
        "get",
        "show.get",
        "Show what a job runs with, and where each value comes from",
        _ARG_DAG,
        _ARG_JOB,
        ARG_OUTPUT,
        description="A value is from the row, an override or the defaults. Values from a run's conf are in the log of that run.",
    ),
    _command(
        "history",
        "show.history",
        "Show who changed what, when and why, latest first",
        _ARG_DAG_OPTIONAL,
        _ARG_JOB_OPTIONAL,
        _argument(("--group",), help="Changes of this exchange group instead", metavar="GROUP"),
        _argument(("--since",), help="Only changes from this moment on", metavar="MOMENT"),
        _argument(("--limit",), help="At most this many (default: 20)", type=_count, default=20, metavar="N"),
        ARG_OUTPUT,
        description=_MOMENTS,
    ),
    _command(
        "diff",
        "show.diff",
        "Show what differs between two moments, or between a file and the database",
        _ARG_DAG_OPTIONAL,
        _ARG_JOB_OPTIONAL,
        _argument(("--from",), help="The earlier moment", metavar="MOMENT", dest="since"),
        _argument(("--to",), help="The later moment (default: now)", metavar="MOMENT", dest="until"),
        _argument(("--file",), help="What apply would change with this file; - is standard input", metavar="FILE"),
        _ARG_EXIT_CODE,
        ARG_OUTPUT,
        description=_MOMENTS,
        epilog=_EXIT_CODES + _DIFFERENCE,
    ),
    _command(
        "at",
        "show.at",
        "Show a job's row as it was at a moment",
        _argument(("moment",), help="When", metavar="MOMENT"),
        _ARG_DAG,
        _ARG_JOB,
        ARG_OUTPUT,
        description=_MOMENTS,
    ),
)
_CHANGES = (
    _command(
        "set",
        "change.set_values",
        "Change what a job runs with",
        _ARG_DAG,
        _ARG_JOB,
        _ARG_ASSIGNMENTS,
        *_CHANGE,
        _ARG_CREATE,
        description=f"Shows each value before and after. The next task of the job runs with it.\n\n{VALUES}",
    ),
    _command("enable", "change.enable", "Let a job run again", _ARG_DAG, _ARG_JOB, *_CHANGE),
    _command(
        "disable",
        "change.disable",
        "Keep a job from running",
        _ARG_DAG,
        _ARG_JOB,
        *_CHANGE,
        description="Its tasks are skipped from now on, and say who disabled it; what runs already goes on.",
    ),
    _command(
        "delete",
        "change.delete",
        "Delete a job's row",
        _ARG_DAG,
        _argument(("job",), help="The job: a group's name, or all", metavar="JOB", nargs="?"),
        *_CHANGE,
        ARG_YES,
        description="Asks first. Without a row a job runs with the defaults; to keep it from running, disable it.",
    ),
    _command(
        "rename",
        "change.rename",
        "Give a job another name",
        _ARG_DAG,
        _argument(("job",), help="The job: a group's name, or all", metavar="JOB", nargs="?"),
        _argument(("new_job",), help="Its new name (default: as it is)", metavar="NEW_JOB", nargs="?"),
        _argument(("--to-dag",), help="The DAG that the job belongs to from now on", metavar="DAG", dest="new_dag"),
        *_CHANGE,
        description=(
            "The row and its overrides get the new name; the history of both names shows it. A task finds its row by the name, so"
            " change the DAG too: a task with the old name runs with the defaults."
        ),
    ),
    _command(
        "override",
        "change.override",
        "Change what a job runs with for a time",
        _argument(("dag",), help="The DAG's id", metavar="DAG", nargs="?"),
        _ARG_JOB_OPTIONAL,
        _ARG_ASSIGNMENTS,
        _argument(("--for",), help="How long: 2h, 90m, 1d12h", metavar="DURATION", dest="duration"),
        _argument(("--until",), help="Until when: 2026-11-24T06:00, or 06:00, the next one", metavar="MOMENT"),
        _argument(("--from",), help="From when (default: now)", metavar="MOMENT", dest="since"),
        _argument(("--list",), help="Show the overrides in force; with --all those that have ended too", action="store_true"),
        _argument(("--all",), help="With --list: those that have ended too", action="store_true"),
        _argument(("--end",), help="End this override now", type=_number, metavar="NUMBER"),
        _argument(
            ("--extend",),
            help="Extend this override by --for, or to --until: a new override with the same values replaces it",
            type=_number,
            metavar="NUMBER",
        ),
        _ARG_DRY_RUN,
        _ARG_REASON,
        _ARG_BY,
        ARG_OUTPUT,
        description="It ends by itself. --reason is required. If two overrides set a column, the newer one applies.\n\n"
        + OVERRIDE_VALUES,
    ),
    _command(
        "rollback",
        "rollback.rollback",
        "Undo one change, or bring a job, or all jobs of a DAG, back to a moment",
        _argument(
            ("what",),
            help="An entry's number from the history; or a DAG, for all its jobs, or a DAG and a job",
            metavar="ENTRY | DAG [JOB]",
            nargs="+",
        ),
        _argument(("--to",), help="With a DAG or a job: the moment whose values it gets back", metavar="MOMENT"),
        _ARG_REASON,
        _ARG_BY,
        _ARG_DRY_RUN,
        ARG_YES,
        description=(
            "Shows what it would change, and asks. A rollback is a change too, with an entry in the history. It is refused if a"
            " later change than the ENTRY changed the same values. The jobs of a DAG are restored in one transaction: all, or none;"
            f" a deleted row is restored, and a row that was created since stays. {_MOMENTS}"
        ),
    ),
)
_FILES = (
    _command(
        "export",
        "files.export",
        "Write all jobs and exchange groups as YAML",
        _argument(("file",), help="The file; - is standard output (the default)", metavar="FILE", nargs="?", default="-"),
        _argument(("--force",), help="Replace the file if it exists", action="store_true"),
    ),
    _command(
        "apply",
        "files.apply",
        "Make the database match a YAML file",
        _argument(("file",), help="The file, as export writes it; - is standard input", metavar="FILE"),
        _argument(
            ("--delete",),
            help="Delete the rows that the file lacks, in the sections that it has; never all of a table",
            action="store_true",
        ),
        _ARG_REASON,
        _ARG_BY,
        _ARG_DRY_RUN,
        _ARG_EXIT_CODE,
        ARG_YES,
        description=(
            "Shows the differences, and asks. Everything is changed in one transaction, or nothing. Columns that the file leaves"
            " out stay as they are. --delete does not delete all rows of a table, or of a DAG that the file names."
        ),
        epilog=_EXIT_CODES + _DIFFERENCE,
    ),
)
_GROUPS = GroupCommand(
    name="groups",
    help="Manage the exchange groups",
    subcommands=(
        _command("list", "groups.list_groups", "Show the exchange groups", ARG_OUTPUT),
        _command(
            "add",
            "groups.add",
            "Add an exchange group",
            _ARG_GROUP,
            _ARG_ASSIGNMENTS,
            _ARG_REASON,
            _ARG_BY,
            _ARG_DRY_RUN,
            description=f"It takes part in the next run; no deploy. exchanges must be given.\n\n{GROUP_VALUES}",
        ),
        _command(
            "set",
            "groups.set_values",
            "Change an exchange group",
            _ARG_GROUP,
            _ARG_ASSIGNMENTS,
            *_CHANGE,
            description=f"\n\n{GROUP_VALUES}",
        ),
        _command("enable", "groups.enable", "Let an exchange group take part again", _ARG_GROUP, *_CHANGE),
        _command("disable", "groups.disable", "Leave an exchange group out of the next runs", _ARG_GROUP, *_CHANGE),
        _command(
            "remove",
            "groups.remove",
            "Remove an exchange group",
            _ARG_GROUP,
            *_CHANGE,
            ARG_YES,
            description="Asks first. Its jobs' rows stay.",
        ),
    ),
)
_ARG_CEILINGS = _argument(
    ("what",), help="The DAG, unless the ceilings are for all DAGs, and the ceilings", metavar="[DAG] CEILING=VALUE", nargs="+"
)
_CEILINGS = GroupCommand(
    name="ceiling",
    help="Manage the ceilings: the most that the jobs may use",
    subcommands=(
        _command(
            "list",
            "ceiling.list_ceilings",
            "Show the ceilings, and who set them",
            _argument(("dag",), help="Only those that apply to this DAG", metavar="DAG", nargs="?"),
            ARG_OUTPUT,
        ),
        _command(
            "set",
            "ceiling.set_ceilings",
            "Set ceilings for the jobs of a DAG, or of all DAGs",
            _ARG_CEILINGS,
            _argument(
                ("--not-valid",),
                help="Set it although values are above it: they stay until they are changed, and doctor names them",
                action="store_true",
            ),
            _ARG_REASON,
            _ARG_BY,
            _ARG_DRY_RUN,
            description=(
                "Only the owner of the tables may do this. Ceilings: cpu and memory (request and limit: 4, 500m, 64Gi),"
                " timeout_seconds, max_retries. A row or an override above a ceiling is refused, and a run whose conf is above it"
                " fails. A ceiling below values in force is refused, with a list of them. If a DAG has a ceiling, and all DAGs"
                " have one, the lower one applies."
            ),
        ),
        _command(
            "remove",
            "ceiling.remove",
            "Remove ceilings",
            _argument(
                ("what",),
                help="The DAG, unless the ceilings are those of all DAGs, and the ceilings",
                metavar="[DAG] CEILING",
                nargs="+",
            ),
            _ARG_REASON,
            _ARG_BY,
            _ARG_DRY_RUN,
            ARG_YES,
            description="Asks first. Only the owner of the tables may do this.",
        ),
    ),
)
_MIGRATE = ActionCommand(
    name="migrate",
    help="Bring the configuration database up to date",
    description=_wrapped(
        "Apply the migrations that the database lacks, each in its own transaction. Existing tables are"
        " adopted: their rows stay. Safe to repeat, and to run twice at once."
    ),
    func=lazy_load_command(f"{__package__}.migrate.migrate"),
    args=(_ARG_STATUS, _ARG_TO, *_ARGS_ROLES, *DATABASE, ARG_YES, ARG_OUTPUT, ARG_VERBOSE),
    epilog=f"""Exit codes:
  0  done
  {FAILED}  failed, or not confirmed
  {USAGE}  wrong usage
  {PENDING}  --status found something to do""",
)
_CLUSTER = (
    _argument(("--namespace",), help="Where the pods run (default: what the connection says, else default)", metavar="NAME"),
    _argument(("--kubernetes-conn-id",), help="The Airflow connection of the cluster (default: kubernetes_default)", metavar="ID"),
)
_PODS = (
    _command(
        "pods",
        "pods.pods",
        "Show the pods of this installation",
        *_CLUSTER,
        ARG_OUTPUT,
        description=(
            "Shows for each pod the DAG, run, task, map index, job and try, its phase and age, and the state of its task in"
            " Airflow's metadata database. Run it on a machine where that database is configured. It changes nothing."
        ),
    ),
    _command(
        "sweep",
        "pods.sweep",
        "Delete the pods that no task will adopt any more",
        *_CLUSTER,
        _argument(
            ("--unknown",),
            help="Also pods whose task this Airflow does not know; another Airflow with the same store may know it. Asks first",
            action="store_true",
        ),
        _argument(("--dry-run",), help="Show what would be deleted, and delete nothing", action="store_true"),
        ARG_YES,
        ARG_OUTPUT,
        description=(
            "Deletes pods of this installation that have ended or still run more than ten minutes after Airflow counted their"
            " task as finished, and says what it did with each. A pod that a later try has adopted meanwhile stays, and so does"
            " one that on_finish_action keeps. Run it on a machine where Airflow's metadata database is configured."
        ),
    ),
)
_DOCTOR = _command(
    "doctor",
    "doctor.doctor",
    "Check everything that the jobs need",
    *_CLUSTER,
    _argument(("--no-cluster",), help="Leave kubectl and the cluster out", action="store_true"),
    ARG_OUTPUT,
    description=(
        "Checks the database and its version, the migrations, this user's privileges, the roles, rows that break rules, kubectl,"
        " the cluster, and the rights there. If this user may make changes, one of each kind is tried in a transaction and"
        " rolled back. Each finding says what to do."
    ),
    epilog=f"""Exit codes:
  0  nothing failed; warnings may be there
  {FAILED}  something failed
  {USAGE}  wrong usage""",
)


COMMANDS: tuple[CLICommand, ...] = (*_SHOW, *_CHANGES, *_FILES, _GROUPS, _CEILINGS, *_PODS, _MIGRATE, _DOCTOR)
"""All commands below ``airflow dagconfig``."""

HELP = "Manage what the jobs run with"


def get_dagconfig_commands() -> list[CLICommand]:
    """Return the commands for Airflow (``cli`` of the provider info)."""
    return [ActionCommand(name="dagconfig", help=HELP, func=_no_command, args=(Commands(COMMANDS),))]


def _no_command(_: Namespace) -> None:
    raise AssertionError("the parser wants a command")
