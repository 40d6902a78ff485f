"""The commands that change what a job runs with: set, enable, disable, delete, override. Each shows before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import store_of
from airflow_provider_dagconfig.cli.output import (
    Cell,
    command,
    confirm,
    difference,
    hint,
    note,
    one_line,
    only_tried,
    print_data,
    print_differences,
    print_table,
    say,
    shown,
    when,
)
from airflow_provider_dagconfig.cli.rows import job_row, no_job, now, rows_of, stale, who
from airflow_provider_dagconfig.cli.values import JOB_COLUMNS, OVERRIDE_COLUMNS, UsageError, read_assignments, read_moment
from airflow_provider_dagconfig.models import parse_duration

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping

    from airflow_provider_dagconfig.models import JobRow, Override
    from airflow_provider_dagconfig.store import Store


def job_and_values(args: Namespace, columns: Mapping[str, Callable[[str], Any]] = JOB_COLUMNS) -> tuple[str, dict[str, Any]]:
    """Read JOB COLUMN=VALUE ..., where JOB may be left out; with the columns that the command can set."""
    job, assignments = args.job or "all", args.assignments
    if "=" in job:
        job, assignments = "all", [job, *assignments]
    values = read_assignments(columns, assignments)
    if not values and not getattr(args, "create", False):
        raise UsageError("Nothing is set; write COLUMN=VALUE, such as memory_limit=4Gi")
    return job, values


@command
def set_values(args: Namespace) -> None:
    """Change values of a job's row."""
    job, values = job_and_values(args)
    _change(args, job, values)


@command
def enable(args: Namespace) -> None:
    """Let a job run again."""
    _change(args, args.job, {"enabled": True})


@command
def disable(args: Namespace) -> None:
    """Keep a job from running."""
    _change(args, args.job, {"enabled": False})


@command
def delete(args: Namespace) -> None:
    """Delete a job's row."""
    store = store_of(args)
    row = store.get_dag_config_row(args.dag, args.job)
    if row.row is None:
        raise no_job(store, args.dag, args.job)
    if args.if_version is not None and args.if_version != row.version:
        raise stale(f"{args.dag}/{args.job}", args.if_version, row.version)
    found = difference(f"{args.dag}/{args.job}", row.row, None)
    assert found is not None
    print_differences([found])
    off = " It is switched off now, and would run again." if row.row.get("enabled") is False else ""
    confirm(
        f"This deletes the row of {args.dag}/{args.job}: a task of it then runs with the defaults.{off} To keep it from running,"
        " disable it instead.",
        args,
    )
    with store.transaction(force_rollback=args.dry_run):
        store.delete_dag_config(args.dag, args.job, updated_by=who(args), reason=args.reason, expected_version=row.version)
    if only_tried(args):
        return
    say(f"Done: the row of {args.dag}/{args.job} is deleted. A task of it runs with the defaults.", "green")
    for override in row.overrides:
        note(f"Override {override.override_id} holds until {when(override.ends_at)} all the same.")
    entries = store.get_history(args.dag, args.job, table_name="dag_configuration", limit=1)
    if entries:
        hint(f"To undo it: {store.location.command('rollback', str(entries[0].audit_id))}")


def _change(args: Namespace, job: str, values: dict[str, Any]) -> None:
    store = store_of(args)
    row = store.get_dag_config_row(args.dag, job)
    creates = row.row is None
    if creates and not getattr(args, "create", False):
        error = no_job(store, args.dag, job)
        raise type(error)(f"{error} To make a row for it: {store.location.command('set', args.dag, job, options=['--create'])}")
    if args.if_version is not None and args.if_version != row.version:
        raise stale(f"{args.dag}/{job}", args.if_version, row.version)
    before = None if creates else row.row
    after = {**row.values, **values} if creates else values
    found = difference(f"{args.dag}/{job}", before, after)
    if found is None:
        say(f"Nothing to do: {args.dag}/{job} has these values already (version {shown(row.version)}).")
        return
    print_differences([found])
    with store.transaction(force_rollback=args.dry_run):
        # What was shown is what is changed: the version that was read must still be there.
        store.update_dag_config(
            args.dag, job, **values, updated_by=who(args), reason=args.reason, expected_version=0 if creates else row.version
        )
    if only_tried(args):
        return
    _say_done(store, store.get_dag_config_row(args.dag, job), values)


def _say_done(store: Store, row: JobRow, values: dict[str, Any]) -> None:
    entry = f", entry {row.change.audit_id}" if row.change else ""
    off = row.values.get("enabled") is False
    effect = "Its tasks are skipped from now on." if off else "The job's next task runs with it."
    say(f"Done: version {shown(row.version)}{entry}. {effect}", "green")
    for override in row.overrides:
        hidden = [column for column in values if column in override.values]
        if hidden:
            note(
                f"Until {when(override.ends_at)} override {override.override_id} holds for {', '.join(hidden)};"
                f" to end it now: {_to_end(store, override)}"
            )
    if row.problem:
        note(f"The job still cannot run: {row.problem}")


def _to_end(store: Store, override: Override) -> str:
    return store.location.command("override", options=["--end", str(override.override_id)])


@command
def override(args: Namespace) -> None:
    """Make, list or end overrides."""
    if args.end is not None:
        _only_with(args, "--end", "dag", "duration", "until", "list")
        _end(store_of(args), args)
    elif args.list or args.all or args.dag is None:
        _only_with(args, "--list", "duration", "until", "assignments")
        _list(store_of(args), args)
    else:
        _make(args)


_OPTIONS = {"dag": "DAG", "duration": "--for", "until": "--until", "list": "--list", "assignments": "COLUMN=VALUE"}


def _only_with(args: Namespace, option: str, *others: str) -> None:
    given = [_OPTIONS[other] for other in others if getattr(args, other)]
    if given and (args.list or args.all or args.end is not None):
        raise UsageError(f"{' and '.join(given)} cannot go with {option}")
    if given:
        raise UsageError("Say which job: DAG JOB")


def _list(store: Store, args: Namespace) -> None:
    overrides = store.get_overrides(args.dag, args.job, active_only=not args.all)
    if args.dag and not overrides:
        rows_of(store, args.dag, args.job)
    if args.output in ("json", "yaml"):
        print_data([each.as_dict() for each in overrides], args.output)
        return
    empty = "There are no overrides." if args.all else "No override is in force. Those that have ended: --list --all"
    print_table([_override_cells(each, args.output) for each in overrides], args.output, empty=empty)


def _override_cells(each: Override, output: str) -> dict[str, Any]:
    job = f"{each.dag_name}/{each.job_name}"
    values = [f"{column}={shown(value)}" for column, value in each.values.items()]
    starts, ends = (when(moment).removesuffix(" UTC") for moment in (each.starts_at, each.ended_at or each.ends_at))
    if output == "plain":
        return {
            "override": each.override_id,
            "job": job,
            "values": Cell(",".join(values)),
            "state": each.state,
            "from": starts,
            "until": ends,
            "by": each.created_by,
            "reason": each.reason,
        }
    styles = {"active": "bold yellow", "planned": "cyan", "ended": "dim"}
    why = f"({each.reason or 'no reason given'}; by {each.created_by or 'an unknown user'})"
    return {
        "override": Cell(str(each.override_id), "bold"),
        "what": Cell("\n".join([one_line(job), *values, one_line(why)])),
        "state": Cell(each.state, styles[each.state]),
        "from and until": Cell(f"{starts}\n{ends}"),
    }


def _end(store: Store, args: Namespace) -> None:
    ended = store.end_override(args.end, updated_by=who(args), reason=args.reason)
    row = store.get_dag_config_row(ended.dag_name, ended.job_name)
    holds = ", ".join(f"{column}={shown(row.values.get(column))} ({row.sources[column]})" for column in ended.values)
    say(f"Done: override {ended.override_id} of {ended.dag_name}/{ended.job_name} has ended. Now: {holds}.", "green")


def _make(args: Namespace) -> None:
    job, values = job_and_values(args, OVERRIDE_COLUMNS)
    if bool(args.duration) == bool(args.until):
        raise UsageError("Say how long: --for 2h, or --until 06:00")
    if not args.reason:
        raise UsageError("Say why, for whoever finds it at night: --reason TEXT")
    try:
        ends_at = now() + parse_duration(args.duration) if args.duration else read_moment(args.until, now(), ago=False)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if ends_at <= now():
        raise UsageError(f"{when(ends_at)} is over; give a moment to come")
    store = store_of(args)
    row = job_row(store, args.dag, job)
    found = difference(f"{args.dag}/{job}, until {when(ends_at)}", row.values, values)
    if found:
        print_differences([found])
    made = store.override_dag_config(args.dag, job, until=ends_at, reason=args.reason, updated_by=who(args), **values)
    say(f"Done: override {made.override_id} holds until {when(made.ends_at)}, and then ends by itself.", "green")
    hint(f"To end it before: {_to_end(store, made)}")
