"""The commands that only read: list, get, history, diff, at."""

from __future__ import annotations

import itertools
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import store_of
from airflow_provider_dagconfig.cli.definition import DIFFERENT
from airflow_provider_dagconfig.cli.output import (
    Cell,
    Difference,
    command,
    difference,
    fit_columns,
    hint,
    note,
    print_data,
    print_differences,
    print_table,
    say,
    shown,
    when,
)
from airflow_provider_dagconfig.cli.parser import NotGiven
from airflow_provider_dagconfig.cli.rows import ALL_ENTRIES, group_row, job_row, no_job_error, now, rows_of
from airflow_provider_dagconfig.cli.steps import match_clause, missing_rows_sentence, read_file, steps_to
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, JOB_COLUMNS, UsageError, read_moment
from airflow_provider_dagconfig.exceptions import DagConfigNotFoundError
from airflow_provider_dagconfig.models import CEILINGS, shell_word
from airflow_provider_dagconfig.models import read_moment as read_moment_of_store
from airflow_provider_dagconfig.models.ceiling import binding

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from airflow_provider_dagconfig.models import HistoryEntry, JobRow, Override
    from airflow_provider_dagconfig.store import Store

_OVERRIDDEN_STYLE = "bold yellow"


@command
def list_jobs(args: Namespace) -> None:
    """Show the configuration of the jobs, one table for each DAG."""
    store = store_of(args)
    rows = rows_of(store, args.dag, args.job)
    if args.output in ("json", "yaml"):
        print_data([_job_data(row) for row in rows], args.output)
    elif args.output == "plain":
        print_table([_plain_cells(row) for row in rows], "plain", empty="There are no jobs yet.")
    else:
        cells = fit_columns([_job_cells(row) for row in rows], ("v", "prio", "retries")) if rows else []
        for dag, dag_rows in itertools.groupby(zip(rows, cells, strict=True), key=lambda pair: pair[0].dag_name):
            print_table([each for _, each in dag_rows], title=dag)
            say()
        _say_overrides([override for row in rows for override in row.overrides])
        _say_problems(rows)
        if not rows:
            note(f"There are no jobs yet. To make one: {store.location.command('set', 'DAG', 'JOB', options=['--create'])}")


def _plain_cells(row: JobRow) -> dict[str, Any]:
    values = {column: row.values.get(column) for column in JOB_COLUMNS if column != "description"}
    return {"dag_name": row.dag_name, "job_name": row.job_name, **values, "version": row.version}


def _job_cells(row: JobRow) -> dict[str, Any]:
    def cell(*columns: str, unit: str = "") -> Cell:
        overridden = any(row.sources.get(column, "").startswith("override") for column in columns)
        text = "-".join(dict.fromkeys(shown(row.values[column]) for column in columns)) + unit
        return Cell(f"{text}*" if overridden else text, _OVERRIDDEN_STYLE if overridden else "")

    is_off = row.values["enabled"] is False
    return {
        "job": row.job_name,
        "cpu": cell("cpu_request", "cpu_limit"),
        "memory": cell("memory_request", "memory_limit"),
        "batch": cell("batch_size"),
        "timeout": cell("timeout_seconds", unit="s"),
        "retries": cell("max_retries"),
        "prio": cell("priority"),
        "state": _state(row, is_off=is_off),
        "v": row.version,
    }


def _state(row: JobRow, *, is_off: bool) -> Cell:
    if is_off:
        return Cell("off", "red")
    return Cell("invalid", "bold red") if row.problem else Cell("on", "green")


def _say_overrides(overrides: list[Override]) -> None:
    for override in overrides:
        say(f"* {override.dag_name}/{override.job_name}: {_override_line(override)}", "yellow")


def _override_line(override: Override) -> str:
    by = f" by {override.created_by}" if override.created_by else ""
    return f"override {override.override_id} until {when(override.ends_at)}{by}: {override.reason or 'no reason given'}"


def _say_problems(rows: list[JobRow]) -> None:
    for row in rows:
        if row.problem:
            say(f"! {row.problem}", "red")


def _job_data(row: JobRow) -> dict[str, Any]:
    return {
        "dag_name": row.dag_name,
        "job_name": row.job_name,
        **row.values,
        "version": row.version,
        "updated_at": row.updated_at,
        "sources": row.sources,
        "problem": row.problem,
        "change": row.change.as_dict() if row.change else None,
    }


@command
def get(args: Namespace) -> None:
    """Show the values in force, each with its origin."""
    store = store_of(args)
    row = job_row(store, args.dag, args.job)
    ceilings = binding(store.get_ceilings(args.dag))
    if args.output in ("json", "yaml"):
        print_data({**_job_data(row), "ceilings": [each.as_dict() for each in ceilings]}, args.output)
        return
    sources = [(column, row.values.get(column), row.sources.get(column, "row")) for column in JOB_COLUMNS]
    row_values = row.row or {}
    print_table(
        [
            {
                "column": column,
                "value": Cell(shown(value), _OVERRIDDEN_STYLE if source.startswith("override") else "bold"),
                "from": Cell(_source_text(source, row_values.get(column)), "yellow" if source.startswith("override") else ""),
            }
            for column, value, source in sources
        ],
        args.output,
        title=f"{row.dag_name}/{row.job_name}",
    )
    if args.output == "table":
        for override in row.overrides:
            say(_override_line(override), "yellow")
        if row.row is not None:
            # The job's last change may be an override's, which does not change the row or its version.
            row_entries = store.get_history(args.dag, args.job, table_name="dag_configuration", limit=1)
            say(f"row at version {shown(row.version)}, {_change_line(row_entries)}")
        for ceiling in ceilings:
            say(f"ceiling {ceiling}", "cyan")
        _say_problems([row])


def _source_text(source: str, row_value: Any) -> str:
    name = " ".join(source.split()[:2]) if source.startswith("override") else source
    return f"{name} (row: {shown(row_value)})" if source.startswith("override") and row_value is not None else name


def _change_line(entries: list[HistoryEntry]) -> str:
    if not entries:
        return "no change is recorded"
    [last] = entries
    why = f": {last.reason}" if last.reason else ""
    return f"last changed {when(last.changed_at)} by {last.change.who} (entry {last.audit_id}{why})"


@command
def history(args: Namespace) -> None:
    """Show the audit entries."""
    if args.group and args.dag:
        raise UsageError("--group shows an exchange group's changes, and a DAG its jobs'; give one of them")
    store = store_of(args)
    since = read_moment(args.since, now(), ago=True) if args.since else None
    entries = store.get_history(args.dag, args.job, args.group, since=since, limit=args.limit)
    if not entries and not since:
        _check_known(store, args)
    if args.output in ("json", "yaml"):
        print_data([entry.as_dict() for entry in entries], args.output)
        return
    rows = [_entry_cells(entry, args.output) for entry in entries]
    print_table(rows, args.output, empty=f"No change{_subject_text(args)} is recorded{f' since {when(since)}' if since else ''}.")
    if args.output == "table" and rows:
        hint(f"To undo one: {store.location.command('rollback', 'ENTRY')}")


def _subject_text(args: Namespace) -> str:
    """Return the subject of the changes that were looked for."""
    if args.group:
        return f" of exchange group {args.group}"
    return f" of {args.dag}/{args.job}" if args.job else f" of {args.dag}" if args.dag else ""


def _check_known(store: Store, args: Namespace) -> None:
    """Raise for a name that does not exist: a mistyped one has no history either."""
    if args.group:
        group_row(store, args.group)
    elif args.dag:
        rows_of(store, args.dag, args.job)


def _entry_cells(entry: HistoryEntry, output: str) -> dict[str, Any]:
    by = entry.change.who
    at_ = when(entry.changed_at).removesuffix(" UTC")
    changes = _changes_of(entry)
    if output == "plain":
        return {
            "entry": entry.audit_id,
            "when": at_,
            "who": by,
            "what": entry.subject,
            "change": Cell(", ".join(changes)),
            "reason": entry.reason,
        }
    reason = [f"({entry.reason})"] if entry.reason else []
    return {
        "entry": Cell(str(entry.audit_id), "bold"),
        "when and who": Cell([at_, by]),
        "what": Cell([entry.subject, *changes, *reason]),
    }


_OPERATIONS = {"INSERT": "made", "DELETE": "deleted", "TRUNCATE": "deleted, by TRUNCATE"}


def _changes_of(entry: HistoryEntry) -> list[str]:
    """Return the changes of an entry, one line for each value."""
    columns = {**JOB_COLUMNS, **GROUP_COLUMNS, **dict.fromkeys(("ends_at", "ended_at", "value", "not_valid"))}
    changes = [(column, *pair) for column, pair in entry.differences().items() if column in columns]
    if entry.operation == "UPDATE":
        return [f"{column}: {_past_value(column, old)} -> {_past_value(column, new)}" for column, old, new in changes]
    lines = [_OPERATIONS.get(entry.operation, shown(entry.operation))]
    if entry.override_id is not None or entry.table_name == CEILINGS:
        lines += [
            f"{column}: {_past_value(column, new)}"
            for column, _, new in changes
            if new is not None and (column, new) != ("not_valid", False)
        ]
    return lines


def _past_value(column: str, value: Any) -> str:
    """Return a value of the history, which has moments as texts."""
    return when(read_moment_of_store(value)) if column in ("ends_at", "ended_at") and isinstance(value, str) else shown(value)


@command
def at(args: Namespace) -> None:
    """Show a row as it was."""
    store = store_of(args)
    moment = _moment_of(args)
    then = store.get_dag_config_at(args.dag, args.job, moment)
    if then is None:
        if not store.get_history(args.dag, args.job, limit=1):
            raise no_job_error(store, args.dag, args.job)
        raise DagConfigNotFoundError(f"{args.dag}/{args.job} had no row at {when(moment)}; a task of it ran with the defaults")
    if args.output in ("json", "yaml"):
        print_data({"dag_name": args.dag, "job_name": args.job, "moment": moment, **then}, args.output)
        return
    today = store.get_dag_config_row(args.dag, args.job).row or {}
    print_table(
        [_comparison_row(column, then.get(column), today.get(column)) for column in JOB_COLUMNS],
        args.output,
        title=f"{args.dag}/{args.job}, as its row was at {when(moment)}",
    )
    if args.output == "table" and difference("", then, today):
        hint(f"To bring it back: {store.location.command('rollback', args.dag, args.job, options=['--to', when(moment)])}")


def _moment_of(args: Namespace) -> datetime:
    """
    Return the moment that is meant.

    :raises UsageError: it is not a moment, is in the future, or stands in another word's place.
    """
    try:
        moment = read_moment(args.moment, now(), ago=True)
    except UsageError:
        words = [args.moment, args.dag, args.job]
        for word in words[1:]:
            if _is_moment(word):
                rest = [other for other in words if other is not word and not isinstance(other, NotGiven)]
                example = " ".join(map(shell_word, [word, *rest]))
                raise UsageError(f"The moment comes first, then the DAG and the job: {example}") from None
        raise
    if moment > now():
        raise UsageError(f"{when(moment)} is still to come; get shows what is in force now")
    return moment


def _is_moment(word: str) -> bool:
    try:
        read_moment(word, now(), ago=True)
    except UsageError:
        return False
    return True


def _comparison_row(column: str, then: Any, today: Any) -> dict[str, Any]:
    changed = then != today
    return {
        "column": column,
        "then": Cell(shown(then), "bold"),
        "now": Cell(shown(today), "yellow") if changed else Cell("same", "dim"),
    }


@command
def diff(args: Namespace) -> None:
    """Show the differences between moments, or between a file and the database."""
    if bool(args.file) == bool(args.since):
        raise UsageError("Say what to compare: --from MOMENT (and --to MOMENT), or --file FILE")
    store = store_of(args)
    if args.file:
        if args.dag or args.until:
            raise UsageError("--file compares the whole file with the database as it is; leave DAG and --to out")
        document = read_file(args.file)
        found = [step.difference for step in steps_to(store, document, deletes=False)]
    else:
        found = _differences_between(store, args)
    if args.file and args.output == "table" and (sentence := missing_rows_sentence(store, document)):
        note(sentence)
    if args.output == "table":
        print_differences(found)
    elif args.output == "plain":
        print_table([row for each in found for row in each.as_rows()], "plain", empty="There is no difference.")
    else:
        print_data([row for each in found for row in each.as_rows()], args.output)
    if not found and args.output == "table":
        say(f"There is no difference: {match_clause(store, document)}" if args.file else "There is no difference.")
    if found and args.exit_code:
        sys.exit(DIFFERENT)


def _differences_between(store: Store, args: Namespace) -> list[Difference]:
    """Return the differences between two moments. Only rows with an audit entry in between can differ."""
    today = now()
    since = read_moment(args.since, today, ago=True)
    until = read_moment(args.until, today, ago=True) if args.until else today
    if since >= until:
        raise UsageError(f"--from {when(since)} is not before --to {when(until)}; give the earlier one first")
    if args.dag:
        _check_history_exists(store, args)
    entries = store.get_history(args.dag, args.job, since=since, limit=ALL_ENTRIES)
    rows = [entry for entry in reversed(entries) if entry.override_id is None and entry.table_name != CEILINGS]
    subjects = dict.fromkeys((entry.dag_name, entry.job_name, entry.group_name) for entry in rows)
    return [each for subject in subjects if (each := _difference_of(store, *subject, since, until))]


def _check_history_exists(store: Store, args: Namespace) -> None:
    if not store.get_history(args.dag, args.job, limit=1):
        rows_of(store, args.dag, args.job)


def _difference_of(
    store: Store, dag: str | None, job: str | None, group: str | None, since: datetime, until: datetime
) -> Difference | None:
    def state(moment: datetime) -> Mapping[str, Any] | None:
        if group is not None:
            return _select_columns(GROUP_COLUMNS, store.get_exchange_group_at(group, moment))
        return _select_columns(JOB_COLUMNS, store.get_dag_config_at(str(dag), str(job), moment))

    subject = f"{dag}/{job}" if group is None else f"exchange group {group}"
    return difference(subject, state(since), state(until))


def _select_columns(columns: Mapping[str, Any], row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {column: row.get(column) for column in columns}
