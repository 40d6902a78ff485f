"""``airflow dagconfig export`` and ``apply``: the whole configuration as a file. What the file looks like is in document.py."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import hook_of
from airflow_provider_dagconfig.cli.definition import DIFFERENT
from airflow_provider_dagconfig.cli.document import Document, read_document, write_document
from airflow_provider_dagconfig.cli.output import (
    Difference,
    command,
    confirm,
    difference,
    note,
    only_tried,
    print_differences,
    say,
    stop,
)
from airflow_provider_dagconfig.cli.rows import who
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, JOB_COLUMNS, UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

STANDARD = "-"
_SHOWN = 12
"""Rows that a message names at most."""


@dataclass(frozen=True)
class _Step:
    """One row that is to be changed, as it was when it was compared."""

    difference: Difference
    key: tuple[str, str] | str
    """DAG and job, or an exchange group."""
    values: Mapping[str, Any]
    version: int
    """0 where there is no row yet."""


@command
def export(args: Namespace) -> None:
    """Write the file."""
    document, _ = _stored(hook_of(args))
    text = write_document(document)
    if args.file == STANDARD:
        sys.stdout.write(text)
        return
    try:
        # Whoever may read the database need not be whoever may read this machine's files.
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if args.force else os.O_EXCL)
        with open(os.open(args.file, flags, 0o640), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        stop(f"Error: there is a file {args.file} already. To replace it: --force")
    except (OSError, ValueError) as error:
        stop(f"Error: {args.file} cannot be written: {getattr(error, 'strerror', None) or error}")
    say(f"Done: {len(document.jobs or {})} jobs and {len(document.groups or {})} exchange groups are in {args.file}.", "green")


@command
def apply(args: Namespace) -> None:
    """Bring the database to what the file says."""
    document = _read(args.file)
    hook = hook_of(args)
    steps = _steps(hook, document, deletes=args.delete)
    lacking = [] if args.delete else _lacking(hook, document)
    if lacking:
        shown = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        note(f"Not in the file, and left as they are: {shown}. To delete them: --delete")
    if not steps:
        whole = not lacking and document.jobs is not None and document.groups is not None
        say(f"Nothing to do: {'the database is as the file says' if whole else 'what the file says is in the database already'}.")
        return
    print_differences(step.difference for step in steps)
    say(_summary(steps))
    confirm("This changes all of it, in one transaction.", args)
    with hook.transaction(force_rollback=args.dry_run):
        for step in steps:
            _take(hook, step, updated_by=who(args), reason=args.reason)
    if only_tried(args):
        if args.exit_code:
            sys.exit(DIFFERENT)
        return
    say(f"Done: {_summary(steps)}", "green")


def differences_with(hook: DagConfigHook, file: str) -> list[Difference]:
    """What apply would change with this file."""
    return [step.difference for step in _steps(hook, _read(file), deletes=False)]


def _read(file: str) -> Document:
    try:
        if file == STANDARD:
            return read_document(sys.stdin.read(), "standard input")
        with open(file, encoding="utf-8") as opened:
            return read_document(opened.read(), file)
    except UnicodeDecodeError:
        raise UsageError(f"{file}: this is no text in UTF-8") from None
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _stored(hook: DagConfigHook) -> tuple[Document, dict[Any, int | None]]:
    """What the database holds, with each row's version."""
    jobs = [row for row in hook.get_dag_configs() if row.row is not None]
    groups = hook.get_all_exchange_groups()
    versions: dict[Any, int | None] = {(row.dag_name, row.job_name): row.version for row in jobs}
    versions |= {group.group_name: group.version for group in groups}
    document = Document(
        jobs={(row.dag_name, row.job_name): row.row or {} for row in jobs}, groups={group.group_name: group.row for group in groups}
    )
    return document, versions


def _steps(hook: DagConfigHook, wanted: Document, *, deletes: bool) -> list[_Step]:
    there, versions = _stored(hook)
    steps = []
    for after, before, columns in ((wanted.jobs, there.jobs, JOB_COLUMNS), (wanted.groups, there.groups, GROUP_COLUMNS)):
        if after is None:
            continue
        rows: Mapping[Any, Mapping[str, Any]] = before or {}
        if deletes:
            _see_that_rows_stay(wanted, rows, after)
        for key, values in after.items():
            found = difference(_subject(key), rows.get(key), values) or _bare(key, rows)
            if found:
                steps.append(_Step(found, key, values, versions.get(key) or 0))
        for key in rows if deletes else ():
            if key not in after:
                found = difference(_subject(key), {column: rows[key].get(column) for column in columns}, None)
                if found:
                    steps.append(_Step(found, key, {}, versions.get(key) or 0))
    return steps


def _see_that_rows_stay(wanted: Document, rows: Mapping[Any, Any], after: Mapping[Any, Any]) -> None:
    """
    Refuse to delete what looks like a mistake: the last row of a table, or of a DAG that the file names.

    :raises UsageError: names the commands that delete these rows on purpose.
    """
    if not wanted.ends:
        raise UsageError(
            "The file's last line does not end, so the file may have been cut short, and --delete would delete what is missing."
            " Nothing was changed. If it is whole, end its last line with a newline"
        )
    if rows and not rows.keys() & after.keys():
        raise _would_empty(list(rows), "exchange groups" if isinstance(next(iter(rows)), str) else "jobs")
    for dag in {key[0] for key in after if not isinstance(key, str)}:
        of_dag = [key for key in rows if key[0] == dag]
        if of_dag and not after.keys() & of_dag:
            raise _would_empty(of_dag, f"jobs of {dag}")


def _would_empty(keys: list[Any], what: str) -> UsageError:
    commands = [
        shlex.join(["airflow", "dagconfig", *(["groups", "remove", key] if isinstance(key, str) else ["delete", *key])])
        for key in keys[:_SHOWN]
    ]
    more = f"; and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return UsageError(
        f"The file has none of the {len(keys)} {what} that are there, so --delete would delete all of them. Nothing was changed."
        f" To keep them, leave out --delete. To delete them on purpose, by name: {'; '.join(commands)}{more}"
    )


def _bare(key: Any, rows: Mapping[Any, Any]) -> Difference | None:
    """A row that is to be made without a value of its own."""
    return None if key in rows else Difference(_subject(key), "added", {})


def _subject(key: tuple[str, str] | str) -> str:
    return f"exchange group {key}" if isinstance(key, str) else "/".join(key)


def _take(hook: DagConfigHook, step: _Step, **who_and_why: Any) -> None:
    arguments = {**who_and_why, "expected_version": step.version}
    removed = step.difference.kind == "removed"
    changed = {c: v for c, v in step.values.items() if step.difference.kind == "added" or c in step.difference.columns}
    if isinstance(step.key, str):
        if removed:
            hook.delete_exchange_group(step.key, **arguments)
        else:
            if step.difference.kind == "added":
                changed = {"display_name": step.key, **changed}
            hook.update_exchange_group(step.key, **changed, **arguments)
        return
    dag, job = step.key
    if removed:
        hook.delete_dag_config(dag, job, **arguments)
    else:
        hook.update_dag_config(dag, job, **{**changed, **arguments})


def _lacking(hook: DagConfigHook, document: Document) -> list[str]:
    """Name the rows that a file lacks in the sections that it has."""
    there, _ = _stored(hook)
    lacking = [_subject(key) for key in (there.jobs or {}) if document.jobs is not None and key not in document.jobs]
    return lacking + [_subject(key) for key in (there.groups or {}) if document.groups is not None and key not in document.groups]


def _summary(steps: list[_Step]) -> str:
    kinds = [step.difference.kind for step in steps]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("added", "changed", "removed") if kind in kinds) + "."
