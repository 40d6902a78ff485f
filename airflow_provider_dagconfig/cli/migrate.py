"""``airflow dagconfig migrate``. The migrating itself is in store/migrate.py."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_provider_dagconfig.cli.connect import store_of
from airflow_provider_dagconfig.cli.definition import PENDING
from airflow_provider_dagconfig.cli.output import command, confirm, note, print_data, print_table, say
from airflow_provider_dagconfig.models import Unreadable
from airflow_provider_dagconfig.store.migrate import migrating, status

if TYPE_CHECKING:
    from argparse import Namespace
    from datetime import datetime

    from airflow_provider_dagconfig.store import Target


@command
def migrate(args: Namespace) -> None:
    """Apply the missing migrations, go to a version, or show the state of the database."""
    target = store_of(args).target
    if args.status:
        _show_status(target, args.output)
    else:
        _migrate(target, args)


def _show_status(target: Target, output: str) -> None:
    states = status(target)
    rows = [
        {
            "migration": state.file,
            "state": state.state,
            "applied_at": _moment_text(state.applied_at),
            "applied_by": state.applied_by or "",
        }
        for state in states
    ]
    if output in ("json", "yaml"):
        print_data(rows, output)
    else:
        print_table(rows, output)
    if any(state.state != "applied" for state in states):
        sys.exit(PENDING)


def _moment_text(moment: datetime | Unreadable | None) -> str:
    if moment is None:
        return ""
    return str(moment) if isinstance(moment, Unreadable) else moment.isoformat(sep=" ", timespec="seconds")


def _migrate(target: Target, args: Namespace) -> None:
    states = status(target)
    reverted = [s.file for s in states if args.to is not None and s.version > args.to and s.applied_at]
    # A database of an earlier build cannot go to another version before it is brought over.
    if reverted and not any(s.state == "earlier build" for s in states):
        confirm(f"This drops what {', '.join(reverted)} made, with its data and its audit.", args, target.location)

    done = False
    roles = {"reader_role": args.reader_role, "editor_role": args.editor_role}
    for step in migrating(target, args.to, **roles, waiting=note, notice=lambda text: note(f"Note: {text}")):
        say(f"{step.action:<8}  {step.file}")
        done = True
    if done:
        say(f"Done: {target.location}.")
    else:
        say(f"Nothing to do: {target.location} is up to date." if args.to is None else f"Nothing to do: {target.location}.")
