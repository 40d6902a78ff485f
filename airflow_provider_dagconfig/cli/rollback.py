"""``airflow dagconfig rollback``: undoes an audit entry, or brings a job, or all jobs of a DAG, back to a moment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import store_of
from airflow_provider_dagconfig.cli.output import (
    Difference,
    command,
    confirm,
    difference,
    done,
    note,
    print_differences,
    say,
    shown,
    was_dry_run,
    when,
)
from airflow_provider_dagconfig.cli.remedies import allowed_name, override_command, row_keeping_rules, set_command
from airflow_provider_dagconfig.cli.rows import ALL_ENTRIES, author, no_job_error, now
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, JOB_COLUMNS, UsageError, read_moment
from airflow_provider_dagconfig.exceptions import DagConfigConflictError, DagConfigInvalidError, DagConfigNotFoundError
from airflow_provider_dagconfig.models import CEILINGS
from airflow_provider_dagconfig.models.ceiling import within

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from airflow_provider_dagconfig.models import HistoryEntry, JobRow
    from airflow_provider_dagconfig.models.ceiling import Ceiling
    from airflow_provider_dagconfig.store import Store

_END_OF_TIME = datetime.max.replace(tzinfo=timezone.utc)
"""A moment after every change, whatever the database's clock says."""


@command
def rollback(args: Namespace) -> None:
    """Undo an audit entry, or bring a job, or all jobs of a DAG, back to a moment."""
    if len(args.what) > 2:
        raise UsageError("Give the number of an entry, or a DAG and perhaps a job, with --to MOMENT")
    if args.to is None:
        if len(args.what) != 1 or not re.fullmatch("[0-9]{1,18}", args.what[0]):
            raise UsageError("Say to which moment it goes back: --to MOMENT; or give the number of an entry, which history shows")
        _roll_entry_back(args, int(args.what[0]))
    else:
        dag, *job = args.what
        if not job and dag.partition("/")[2]:
            dag, _, name = dag.partition("/")
            job = [name]
        _roll_back_to(args, dag, job[0] if job else None)


def _roll_entry_back(args: Namespace, audit_id: int) -> None:
    store = store_of(args)
    entry = store.get_change(audit_id)
    if entry.table_name == CEILINGS:
        raise _ceiling_error(store, entry)
    say(f"Entry {audit_id}, {when(entry.changed_at)} by {entry.change.who}:")
    undone = _undo_difference(entry)
    if undone is not None:
        if _is_undone(store, entry, undone):
            say(f"Nothing to do: entry {audit_id} is undone already; {entry.subject} is as it was before.")
            return
        if kept := _kept_by_rules(store, entry, undone):
            say(f"Nothing to do: entry {audit_id} is undone already, but for what breaks a rule: {kept}.")
            return
        print_differences([undone])
    confirm(f"This undoes entry {audit_id}.", args, store.location)
    try:
        with store.transaction(force_rollback=args.dry_run):
            undoing = store.rollback_change(audit_id, updated_by=author(args), reason=args.reason)
    except DagConfigInvalidError as error:
        raise _with_remedy(error, store, entry, undone) from error
    except DagConfigConflictError as error:
        if entry.override_id is None or entry.operation == "INSERT":
            raise
        command_line = override_command(store.location, store.get_override(entry.override_id))
        raise DagConfigConflictError(f"{error} To make it again: {command_line}") from error
    if not was_dry_run(args):
        done(f"entry {undoing.audit_id} undoes entry {audit_id}.", store.location)


def _ceiling_error(store: Store, entry: HistoryEntry) -> DagConfigConflictError:
    """Return an error with the command that restores a ceiling: only the tables' owner may, and values in force may be above it."""
    before, after = entry.old_values or {}, entry.new_values or {}
    dag = [entry.dag_name] if entry.dag_name else []
    name = str((before or after).get("name"))
    verb, words = ("set", [*dag, f"{name}={before.get('value')}"]) if before else ("remove", [*dag, name])
    return DagConfigConflictError(
        f"Entry {entry.audit_id} is of a ceiling, which is not rolled back. Nothing was changed. The owner of the tables"
        f" may restore it: {store.location.command('ceiling ' + verb, *words)}"
    )


def _undo_difference(entry: HistoryEntry) -> Difference | None:
    """Return what the rollback of an entry does; None where it touches no configurable column."""
    columns = _columns(entry)
    old, new = (_select_columns(values, columns) for values in (entry.old_values, entry.new_values))
    if old is not None and new is not None:
        # An old entry does not list the changed columns, and has only the two rows.
        changed = entry.differences()
        old = {column: value for column, value in old.items() if column in changed}
    return difference(entry.subject, new, old)


def _is_undone(store: Store, entry: HistoryEntry, undone: Difference) -> bool:
    """Return whether a row is as a rollback would leave it; never for an override's entry, because its end is not a column."""
    if entry.override_id is not None:
        return False
    present = _row_now(store, entry)
    if present is None or undone.kind == "removed":
        return present is None and undone.kind == "removed"
    if undone.kind == "changed" and not entry.differences().keys() <= _columns(entry).keys():
        # Columns that users added to the tables are restored too.
        return False
    return all(present.get(column) == after for column, (_, after) in undone.columns.items())


def _name(entry: HistoryEntry) -> str | tuple[str, str]:
    return entry.group_name if entry.group_name is not None else (entry.dag_name or "", entry.job_name or "")


def _row_now(store: Store, entry: HistoryEntry) -> Mapping[str, Any] | None:
    if entry.group_name is not None:
        return store.get_exchange_group_at(entry.group_name, _END_OF_TIME)
    return store.get_dag_config_at(entry.dag_name or "", entry.job_name or "", _END_OF_TIME)


def _has_row(store: Store, name: str | tuple[str, str]) -> bool:
    if isinstance(name, str):
        return any(group.group_name == name for group in store.get_all_exchange_groups())
    return store.get_dag_config_row(*name).row is not None


def _allowed_values(
    store: Store, entry: HistoryEntry, undone: Difference | None, present: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the columns that would change if an entry were undone as far as rules and ceilings allow."""
    if undone is None or undone.kind == "removed" or entry.override_id is not None:
        return {}
    wanted = {column: after for column, (_, after) in undone.columns.items()}
    columns = _columns(entry)
    row = row_keeping_rules(_name(entry), {column: {**(present or {}), **wanted}.get(column) for column in columns}, present or {})
    if entry.group_name is None:
        row = _lowered_row(store.get_ceilings(entry.dag_name), row, present)
    return {column: row[column] for column in columns if present is None or row[column] != present.get(column)}


def _kept_by_rules(store: Store, entry: HistoryEntry, undone: Difference) -> str:
    """Return what differs where a deleted row was restored as far as the rules allow; otherwise an empty string."""
    present = _row_now(store, entry)
    if (
        present is None
        or undone.kind != "added"
        or _allowed_values(store, entry, undone, None) != _select_columns(present, _columns(entry))
    ):
        return ""
    kept = {column: (present.get(column), after) for column, (_, after) in undone.columns.items() if present.get(column) != after}
    return ", ".join(f"{column} is {shown(now_)}, not {shown(then)}" for column, (now_, then) in kept.items())


def _with_remedy(
    error: DagConfigInvalidError, store: Store, entry: HistoryEntry, undone: Difference | None
) -> DagConfigInvalidError:
    present = _row_now(store, entry)
    values = _allowed_values(store, entry, undone, present)
    name = _name(entry) if present else allowed_name(_name(entry))
    if not values or not all(name) or (name != _name(entry) and _has_row(store, name)):
        return error
    remedy = set_command(store.location, name, values, exists=present is not None)
    return DagConfigInvalidError(f"{error} To bring back what the rules allow: {remedy}")


def _lowered_row(ceilings: Sequence[Ceiling], row: Mapping[str, Any], present: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a row with the values above a ceiling lowered; values that the present row has already stay."""
    lowered = within(row, ceilings)
    return {column: value if value == (present or {}).get(column) else lowered[column] for column, value in row.items()}


def _columns(entry: HistoryEntry) -> Mapping[str, Any]:
    return GROUP_COLUMNS if entry.group_name is not None else JOB_COLUMNS


def _select_columns(values: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> dict[str, Any] | None:
    return None if values is None else {column: values[column] for column in columns if column in values}


@dataclass(frozen=True)
class _Job:
    """A job as it is now, and its row as it was at a moment; None where it had no row."""

    now: JobRow
    then: Mapping[str, Any] | None
    ceilings: Sequence[Ceiling]

    @property
    def difference(self) -> Difference | None:
        return difference(f"{self.now.dag_name}/{self.now.job_name}", self.now.row, self.then)

    @property
    def row_by_rules(self) -> dict[str, Any]:
        """The row as it was, as far as the rules allow."""
        return row_keeping_rules((self.now.dag_name, self.now.job_name), self.then or {}, self.now.row or {})

    @property
    def allowed_row(self) -> dict[str, Any]:
        """The row as it was, as far as rules and ceilings allow."""
        return _lowered_row(self.ceilings, self.row_by_rules, self.now.row)

    @property
    def changes(self) -> dict[str, Any]:
        """The columns of it that differ from the present row."""
        return {
            column: value for column, value in self.allowed_row.items() if self.now.row is None or value != self.now.row.get(column)
        }

    @property
    def obstacle(self) -> str:
        """The reason why the row cannot be restored completely."""
        return "is above a ceiling" if self.row_by_rules == self.then else "breaks a rule"


def _roll_back_to(args: Namespace, dag: str, job: str | None) -> None:
    store = store_of(args)
    moment = read_moment(args.to, now(), ago=True)
    ceilings = store.get_ceilings(dag)
    jobs = [_read_job(store, dag, name, moment, ceilings) for name in (_jobs_of(store, dag, moment) if job is None else [job])]
    if all(each.then is None for each in jobs):
        raise _no_row_error(store, dag, job, moment, jobs)
    newer = [each.now.job_name for each in jobs if each.then is None and each.now.row is not None]
    if newer:
        note(f"Made since then, and left as they are: {', '.join(newer)}")
    steps = [each for each in jobs if each.then is not None and each.difference]
    for each in (blocked := [each for each in steps if each.now.row is not None and not each.changes]):
        # A job that was corrected since then must not keep the others from being restored.
        then = [f"{column} was {shown(after)}" for column, (_, after) in each.difference.columns.items()] if each.difference else []
        note(f"{each.now.dag_name}/{each.now.job_name} stays as it is: {', '.join(then)}, which {each.obstacle}")
    steps = [each for each in steps if each not in blocked]
    subject = dag if job is None else f"{dag}/{job}"
    but = f", but for what {' or '.join(sorted({each.obstacle for each in blocked}, reverse=True))}" if blocked else ""
    if not steps:
        say(f"Nothing to do: {subject} is as it was at {when(moment)}{but}.")
        return
    print_differences(found for each in steps if (found := each.difference))
    together = f", {len(steps)} jobs in one transaction" if len(steps) > 1 else ""
    confirm(f"This brings {subject} back to {when(moment)}{together}.", args, store.location)
    try:
        with store.transaction(force_rollback=args.dry_run):
            rows = [_bring_back(store, each.now, moment, updated_by=author(args), reason=args.reason) for each in steps]
    except DagConfigInvalidError as error:
        remedies = [
            set_command(store.location, (each.now.dag_name, each.now.job_name), each.changes, exists=each.now.row is not None)
            for each in steps
            if each.allowed_row != each.then
        ]
        raise DagConfigInvalidError(f"{error} To bring back what the rules allow: {'; '.join(remedies)}") from error
    if not was_dry_run(args):
        results = "; ".join(_result_text(each, job) for each in rows)
        done(f"{subject} is as it was at {when(moment)}{but} ({results}).", store.location)


def _read_job(store: Store, dag: str, job: str, moment: datetime, ceilings: Sequence[Ceiling]) -> _Job:
    then = store.get_dag_config_at(dag, job, moment)
    return _Job(store.get_dag_config_row(dag, job), then and {column: then.get(column) for column in JOB_COLUMNS}, ceilings)


def _jobs_of(store: Store, dag: str, moment: datetime) -> list[str]:
    """Return the jobs that have a row, and those whose row was deleted since."""
    existing = [row.job_name for row in store.get_dag_configs(dag)]
    changed = [entry.job_name for entry in store.get_history(dag, since=moment, limit=ALL_ENTRIES) if entry.job_name]
    return list(dict.fromkeys([*existing, *changed]))


def _no_row_error(store: Store, dag: str, job: str | None, moment: datetime, jobs: list[_Job]) -> DagConfigNotFoundError:
    if all(each.now.row is None for each in jobs):
        return no_job_error(store, dag, job)
    which = f"No job of {dag} had a row" if job is None else f"{dag}/{job} had no row"
    command_line = store.location.command("history", dag, *([] if job is None else [job]))
    return DagConfigNotFoundError(
        f"{which} at {when(moment)}: there are no values to bring back, and nothing was changed. To see since when there is"
        f" one: {command_line}"
    )


def _bring_back(store: Store, row: JobRow, moment: datetime, **audit: Any) -> JobRow:
    # Only the change that was shown is made: the row must still have the version that was read.
    version = 0 if row.row is None else row.version
    return store.rollback_dag_config(row.dag_name, row.job_name, moment, expected_version=version, **audit)


def _result_text(row: JobRow, job: str | None) -> str:
    """Return the result for a job; its name is left out where the user typed it."""
    name = f"{row.job_name}: " if job is None else ""
    entry = f", entry {row.change.audit_id}" if row.change else ""
    return f"{name}version {shown(row.version)}{entry}"
