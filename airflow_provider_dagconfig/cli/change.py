"""The commands that change a job's configuration: set, enable, disable, delete, override. Each shows before and after."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import store_of
from airflow_provider_dagconfig.cli.output import (
    Cell,
    command,
    confirm,
    difference,
    done,
    hint,
    note,
    print_data,
    print_differences,
    print_table,
    say,
    shown,
    was_dry_run,
    when,
)
from airflow_provider_dagconfig.cli.parser import NotGiven
from airflow_provider_dagconfig.cli.remedies import assignments_of, override_command
from airflow_provider_dagconfig.cli.rows import author, job_row, no_job_error, now, rows_of, stale_error
from airflow_provider_dagconfig.cli.values import JOB_COLUMNS, OVERRIDE_COLUMNS, UsageError, read_assignments, read_moment
from airflow_provider_dagconfig.exceptions import DagConfigConflictError
from airflow_provider_dagconfig.models import parse_duration, shell_word
from airflow_provider_dagconfig.settings import without_task_state_store

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping

    from airflow_provider_dagconfig.models import JobRow, Override
    from airflow_provider_dagconfig.store import Store


def job_and_values(args: Namespace, columns: Mapping[str, Callable[[str], Any]] = JOB_COLUMNS) -> tuple[str, dict[str, Any]]:
    """Read the job's name, or its default, and COLUMN=VALUE ..., with the columns that the command can set."""
    if args.dag is None:
        raise UsageError("Say which job: DAG JOB")
    if args.dag in ("end", "extend", "list") and columns is OVERRIDE_COLUMNS and not args.assignments:
        raise UsageError(f"Write it as an option: override --{args.dag}{f' {args.job}' if args.job else ''}")
    job, values = args.job or "all", read_assignments(columns, args.assignments)
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
    """Enable a job."""
    _change(args, args.job, {"enabled": True})


@command
def disable(args: Namespace) -> None:
    """Disable a job."""
    _change(args, args.job, {"enabled": False})


@command
def delete(args: Namespace) -> None:
    """Delete a job's row."""
    if args.job is None:
        raise UsageError(f"Say which job of {args.dag}: DAG JOB")
    store = store_of(args)
    row = store.get_dag_config_row(args.dag, args.job)
    if row.row is None:
        raise no_job_error(store, args.dag, args.job)
    if args.if_version is not None and args.if_version != row.version:
        raise stale_error(f"{args.dag}/{args.job}", args.if_version, row.version)
    found = difference(f"{args.dag}/{args.job}", row.row, None)
    assert found is not None
    print_differences([found])
    off = " It is switched off now, and would run again." if row.row.get("enabled") is False else ""
    confirm(
        f"This deletes the row of {args.dag}/{args.job}: a task of it then runs with the defaults.{off} To keep it from running,"
        " disable it instead.",
        args,
        store.location,
    )
    with store.transaction(force_rollback=args.dry_run):
        store.delete_dag_config(args.dag, args.job, updated_by=author(args), reason=args.reason, expected_version=row.version)
    if was_dry_run(args):
        return
    done(f"the row of {args.dag}/{args.job} is deleted. A task of it runs with the defaults.", store.location)
    for override in row.overrides:
        note(f"Override {override.override_id} holds until {when(override.ends_at)} all the same.")
    entries = store.get_history(args.dag, args.job, table_name="dag_configuration", limit=1)
    if entries:
        hint(f"To undo it: {store.location.command('rollback', str(entries[0].audit_id))}")


@command
def rename(args: Namespace) -> None:
    """Give a job another name, or move it to another DAG."""
    if args.job is None or (args.new_job is None and args.new_dag is None):
        raise UsageError("Say which job, and its new name: DAG JOB NEW_JOB, or DAG JOB --to-dag NEW_DAG")
    store = store_of(args)
    row = store.get_dag_config_row(args.dag, args.job)
    if row.row is None:
        raise no_job_error(store, args.dag, args.job)
    if args.if_version is not None and args.if_version != row.version:
        raise stale_error(f"{args.dag}/{args.job}", args.if_version, row.version)
    with store.transaction(force_rollback=args.dry_run):
        new = store.rename_dag_config(
            *(args.dag, args.job, args.new_job),
            new_dag_name=args.new_dag,
            updated_by=author(args),
            reason=args.reason,
            expected_version=row.version,
        )
        made = store.get_overrides(new.dag_name, new.job_name, active_only=False)
        entries = store.get_history(new.dag_name, new.job_name, table_name="dag_configuration", limit=1)
    old_name, new_name = f"{args.dag}/{args.job}", f"{new.dag_name}/{new.job_name}"
    say(f"{old_name} -> {new_name}")
    if was_dry_run(args):
        return
    new_ids = sorted(each.override_id for each in made if each.state != "ended")
    moved = f" Its overrides went along, as {', '.join(map(str, new_ids))}." if new_ids else ""
    done(f"{old_name} is {new_name} now, version {shown(new.version)}, entry {entries[0].audit_id}.{moved}", store.location)
    note(f"A task that asks for {old_name} runs with the defaults from now on: change job_name in the DAG.")
    dag_option = [f"--to-dag={args.dag}"] if args.new_dag else []
    old_job = [args.job] if args.new_job else []
    hint(f"To undo it: {store.location.command('rename', new.dag_name, new.job_name, *old_job, options=dag_option)}")


def _change(args: Namespace, job: str, values: dict[str, Any]) -> None:
    store = store_of(args)
    row = store.get_dag_config_row(args.dag, job)
    creates = row.row is None
    if creates and not getattr(args, "create", False):
        create_command = store.location.command("set", args.dag, job, *assignments_of(values), options=["--create"])
        # A user who typed no job of a DAG that has jobs did not mean to create another one.
        is_meant = not isinstance(args.job, NotGiven) or not store.get_dag_configs(args.dag)
        raise no_job_error(store, args.dag, job, create_command if is_meant else "")
    if args.if_version is not None and args.if_version != row.version:
        raise stale_error(f"{args.dag}/{job}", args.if_version, row.version)
    before = None if creates else row.row
    after = {**row.values, **values} if creates else values
    found = difference(f"{args.dag}/{job}", before, after)
    if found is None:
        say(f"Nothing to do: {args.dag}/{job} has these values already (version {shown(row.version)}).")
        _say_hidden(store, row, values)
        return
    print_differences([found])
    with store.transaction(force_rollback=args.dry_run):
        # Only the change that was shown is made: the row must still have the version that was read.
        store.update_dag_config(
            args.dag, job, **values, updated_by=author(args), reason=args.reason, expected_version=0 if creates else row.version
        )
    if was_dry_run(args):
        return
    _say_done(store, store.get_dag_config_row(args.dag, job), values)


def _say_done(store: Store, row: JobRow, values: dict[str, Any]) -> None:
    entry = f", entry {row.change.audit_id}" if row.change else ""
    hidden = {column for override in row.overrides for column in override.values if column in values}
    if row.values.get("enabled") is False:
        effect = "Its tasks are skipped from now on."
    elif values and hidden >= values.keys():
        effect = "The job runs with it when the override has ended."
    else:
        effect = "The job's next task runs with it."
    done(f"version {shown(row.version)}{entry}. {effect}", store.location)
    _say_hidden(store, row, values)
    _say_if_memory_does_not_grow(values)
    if row.problem:
        note(f"The job still cannot run: {row.problem}")


def _say_hidden(store: Store, row: JobRow, values: Mapping[str, Any]) -> None:
    """Name the overrides that hide the row's values."""
    for override in row.overrides:
        if columns := [column for column in values if column in override.values]:
            note(
                f"Until {when(override.ends_at)} override {override.override_id} holds for {', '.join(columns)};"
                f" to end it now: {_end_command(store, override)}"
            )


def _say_if_memory_does_not_grow(values: Mapping[str, Any]) -> None:
    if values.get("memory_growth") and (version := without_task_state_store()):
        note(f"Memory does not grow with this Airflow, {version}: that needs 3.3 or later.")


def _end_command(store: Store, override: Override) -> str:
    return store.location.command("override", options=["--end", str(override.override_id)])


@command
def override(args: Namespace) -> None:
    """Create, extend, list or end overrides."""
    if args.end is not None:
        _refuse_options(args, "--end", "dag", "duration", "until", "since", "list", "extend")
        _end_override(store_of(args), args)
    elif args.extend is not None:
        _refuse_options(args, "--extend", "dag", "since", "list", "assignments")
        _extend_override(store_of(args), args)
    elif args.list or args.all:
        _refuse_options(args, "--list", "duration", "until", "since", "assignments")
        _list_overrides(store_of(args), args)
    elif args.dag is None and not (args.assignments or args.duration or args.until or args.since):
        _list_overrides(store_of(args), args)
    else:
        _create_override(args)


_OPTIONS = {
    "dag": "DAG",
    "duration": "--for",
    "until": "--until",
    "since": "--from",
    "list": "--list",
    "extend": "--extend",
    "assignments": "COLUMN=VALUE",
}


def _refuse_options(args: Namespace, option: str, *others: str) -> None:
    conflicting = [_OPTIONS[other] for other in others if getattr(args, other)]
    if conflicting:
        raise UsageError(f"{' and '.join(conflicting)} cannot go with {option}")


def _list_overrides(store: Store, args: Namespace) -> None:
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
        "what": Cell([job, *values, why]),
        "state": Cell(each.state, styles[each.state]),
        "from and until": Cell([starts, ends]),
    }


def _end_override(store: Store, args: Namespace) -> None:
    with store.transaction(force_rollback=args.dry_run):
        ended = store.end_override(args.end, updated_by=author(args), reason=args.reason)
        row = store.get_dag_config_row(ended.dag_name, ended.job_name)
    if was_dry_run(args):
        return
    holds = ", ".join(f"{column}={shown(row.values.get(column))} ({row.sources[column]})" for column in ended.values)
    done(f"override {ended.override_id} of {ended.dag_name}/{ended.job_name} has ended. Now: {holds}.", store.location)


def _create_override(args: Namespace) -> None:
    _check_one_word_options(args)
    job, values = job_and_values(args, OVERRIDE_COLUMNS)
    if bool(args.duration) == bool(args.until):
        raise UsageError("Say how long: --for 2h, or --until 06:00")
    if not args.reason:
        raise UsageError("Say why, for whoever finds it at night: --reason TEXT")
    starts_at = read_moment(args.since, now(), ago=False) if args.since else None
    ends_at = _future_moment(args, starts_at or now())
    if starts_at is not None and not now() < starts_at < ends_at:
        raise UsageError(
            f"--from {when(starts_at)} must be in the future, and before the end, {when(ends_at)}; to start now, leave it out"
        )
    store = store_of(args)
    row = job_row(store, args.dag, job)
    when_ = f"until {when(ends_at)}" if starts_at is None else f"from {when(starts_at)} until {when(ends_at)}"
    if found := difference(f"{args.dag}/{job}, {when_}", row.values, values):
        print_differences([found])
    with store.transaction(force_rollback=args.dry_run):
        made = store.override_dag_config(
            args.dag, job, until=ends_at, starts_at=starts_at, reason=args.reason, updated_by=author(args), **values
        )
    if not was_dry_run(args):
        _say_effect(store, made, row)


def _check_one_word_options(args: Namespace) -> None:
    """Raise for ``--for 2 hours``: to the shell it is two words, and the second would be read as a job, or as a value."""
    readers: dict[str, tuple[str | None, Callable[[str], object]]] = {
        "--for": (args.duration, parse_duration),
        "--until": (args.until, lambda text: read_moment(text, now(), ago=False)),
        "--from": (args.since, lambda text: read_moment(text, now(), ago=False)),
    }
    strays = [word for word in args.assignments if "=" not in word]
    for option, (value, read) in readers.items():
        for words in ([args.job, *strays] if args.job else [], strays):
            text = " ".join([str(value), *words])
            try:
                read(text)
            except ValueError:
                continue
            if value and words:
                raise UsageError(f"{text!r} is several words to the shell; write {option} {shell_word(text)}")


def _extend_override(store: Store, args: Namespace) -> None:
    """Replace an override by one with the same values and a later end."""
    if bool(args.duration) == bool(args.until):
        raise UsageError("Say how long: --for 2h, two hours more, or --until 06:00")
    old = store.get_override(args.extend)
    name = f"override {old.override_id} of {old.dag_name}/{old.job_name}"
    if not isinstance(old.ends_at, datetime):
        raise DagConfigConflictError(
            f"{name} ends at {old.ends_at}, which is not a valid moment. To end it now: {_end_command(store, old)}"
        )
    if old.state == "ended":
        command_line = override_command(store.location, old, args.duration or "2h")
        raise DagConfigConflictError(f"{name} has ended ({store.location}). Nothing was changed. To make it again: {command_line}")
    ends_at = _future_moment(args, old.ends_at)
    if ends_at <= old.ends_at:
        raise UsageError(f"{name} holds until {when(old.ends_at)} already; to end it now: {_end_command(store, old)}")
    row = store.get_dag_config_row(old.dag_name, old.job_name)
    starts_at = old.starts_at if old.state == "planned" and isinstance(old.starts_at, datetime) else None
    say(f"{name}: until {when(old.ends_at)} -> {when(ends_at)}")
    with store.transaction(force_rollback=args.dry_run):
        made = store.override_dag_config(
            *(old.dag_name, old.job_name),
            until=ends_at,
            starts_at=starts_at,
            reason=args.reason or old.reason or "",
            updated_by=author(args),
            **old.values,
        )
        store.end_override(old.override_id, updated_by=author(args), reason=f"extended by override {made.override_id}")
    if not was_dry_run(args):
        _say_effect(store, made, row, instead_of=old)


def _future_moment(args: Namespace, start: datetime) -> datetime:
    try:
        moment = start + parse_duration(args.duration) if args.duration else read_moment(args.until, now(), ago=False)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except OverflowError:
        raise UsageError(f"{args.duration} from {when(start)} ends after the last year that can be written") from None
    if moment <= now():
        raise UsageError(f"{when(moment)} is in the past; give a moment in the future")
    return moment


def _say_effect(store: Store, made: Override, row: JobRow, instead_of: Override | None = None) -> None:
    """Print which values of which job an override sets, when, and what it replaces."""
    job, columns = f"{made.dag_name}/{made.job_name}", ", ".join(made.values)
    start = f"from {when(made.starts_at)} " if made.state == "planned" else ""
    place = f" It takes the place of override {instead_of.override_id}." if instead_of else ""
    done(
        f"override {made.override_id} holds {start}until {when(made.ends_at)}, and then ends by itself. It covers {columns} of"
        f" {job}, and nothing else.{place}",
        store.location,
    )
    for other in row.overrides:
        both = [column for column in made.values if column in other.values]
        overlap = (
            not isinstance(made.starts_at, datetime) or not isinstance(other.ends_at, datetime) or made.starts_at < other.ends_at
        )
        if both and overlap and other != instead_of:
            note(
                f"For {', '.join(both)} it takes precedence over override {other.override_id} until {when(other.ends_at)},"
                " as the newer one."
            )
    others = [each.job_name for each in store.get_dag_configs(made.dag_name) if each.job_name != made.job_name]
    if made.job_name == "all" and others:
        note(f"all is one of the jobs of {made.dag_name}; the others run as before: {', '.join(others)}.")
    _say_if_memory_does_not_grow(made.values)
    if row.values.get("enabled") is False and made.values.get("enabled") is None:
        note(
            f"{job} is disabled, and stays disabled. To enable it: {store.location.command('enable', made.dag_name, made.job_name)}"
        )
    hint(f"To end it before: {_end_command(store, made)}")
