"""``airflow dagconfig export`` and ``apply``: the whole configuration as a file. document.py defines its format."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import store_of
from airflow_provider_dagconfig.cli.definition import DIFFERENT
from airflow_provider_dagconfig.cli.document import write_document
from airflow_provider_dagconfig.cli.output import (
    command,
    confirm,
    done,
    note,
    print_differences,
    print_whole,
    say,
    stop,
    was_dry_run,
)
from airflow_provider_dagconfig.cli.rows import author
from airflow_provider_dagconfig.cli.steps import STANDARD, Step, match_clause, missing_rows_sentence, read_file, steps_to, stored

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_dagconfig.store import Store


@command
def export(args: Namespace) -> None:
    """Write the file."""
    store = store_of(args)
    document, _ = stored(store)
    text = write_document(document)
    if args.file == STANDARD:
        print_whole(text)
        return
    try:
        # The mode keeps the file from others: not everybody on this machine may read the database.
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if args.force else os.O_EXCL)
        with open(os.open(args.file, flags, 0o640), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        stop(f"Error: there is a file {args.file} already. To replace it: --force")
    except (OSError, ValueError) as error:
        stop(f"Error: {args.file} cannot be written: {getattr(error, 'strerror', None) or error}")
    done(f"{len(document.jobs or {})} jobs and {len(document.groups or {})} exchange groups are in {args.file}.", store.location)


@command
def apply(args: Namespace) -> None:
    """Change the database to what the file says."""
    document = read_file(args.file)
    store = store_of(args)
    steps = steps_to(store, document, deletes=args.delete)
    if not args.delete and (sentence := missing_rows_sentence(store, document)):
        note(f"{sentence} To delete them: --delete")
    if not steps:
        say(f"Nothing to do: {match_clause(store, document)}")
        return
    print_differences(step.difference for step in steps)
    say(_summary(steps))
    confirm("This changes all of it, in one transaction.", args, store.location)
    with store.transaction(force_rollback=args.dry_run):
        for step in steps:
            _apply_step(store, step, updated_by=author(args), reason=args.reason)
    if was_dry_run(args):
        if args.exit_code:
            sys.exit(DIFFERENT)
        return
    done(_summary(steps), store.location)


def _apply_step(store: Store, step: Step, **audit: Any) -> None:
    arguments = {**audit, "expected_version": step.version}
    removed = step.difference.kind == "removed"
    changed = {c: v for c, v in step.values.items() if step.difference.kind == "added" or c in step.difference.columns}
    if isinstance(step.key, str):
        if removed:
            store.delete_exchange_group(step.key, **arguments)
        else:
            if step.difference.kind == "added":
                changed = {"display_name": step.key, **changed}
            store.update_exchange_group(step.key, **changed, **arguments)
        return
    dag, job = step.key
    if removed:
        store.delete_dag_config(dag, job, **arguments)
    else:
        store.update_dag_config(dag, job, **{**changed, **arguments})


def _summary(steps: list[Step]) -> str:
    kinds = [step.difference.kind for step in steps]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("added", "changed", "removed") if kind in kinds) + "."
