"""``airflow dagconfig groups``: the exchange groups that the jobs are mapped over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import store_of
from airflow_provider_dagconfig.cli.output import (
    Cell,
    command,
    confirm,
    difference,
    done,
    hint,
    print_data,
    print_differences,
    print_table,
    say,
    shown,
    was_dry_run,
)
from airflow_provider_dagconfig.cli.remedies import assignments_of
from airflow_provider_dagconfig.cli.rows import author, group_row, stale_error
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, UsageError, read_assignments
from airflow_provider_dagconfig.exceptions import DagConfigConflictError
from airflow_provider_dagconfig.models import GROUP_DEFAULTS

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_dagconfig.models import GroupRow


@command
def list_groups(args: Namespace) -> None:
    """Show all groups, in the order in which they are processed."""
    store = store_of(args)
    groups = store.get_all_exchange_groups()
    if args.output in ("json", "yaml"):
        print_data([_data(group) for group in groups], args.output)
        return
    print_table(
        [_cells(group) for group in groups],
        args.output,
        empty="There are no exchange groups yet. To add one:"
        f" {store.location.command('groups add', 'GROUP', 'exchanges=NYSE,NASDAQ')}",
        spare=("name", "v", "open_utc"),
    )
    for group in groups:
        if group.problem and args.output == "table":
            say(f"! {group.problem}", "red")


def _cells(group: GroupRow) -> dict[str, Any]:
    row = group.row
    is_enabled = row.get("enabled") is not False
    hours = [shown(row.get(c)).removesuffix(":00") for c in ("market_open_utc", "market_close_utc") if row.get(c) is not None]
    return {
        "group": group.group_name,
        "name": row.get("display_name"),
        "exchanges": row.get("exchanges"),
        "timezone": row.get("primary_timezone"),
        "open_utc": "-".join(hours) or None,
        "prio": row.get("priority"),
        "state": Cell("invalid", "bold red")
        if group.problem
        else Cell("on" if is_enabled else "off", "green" if is_enabled else "red"),
        "v": group.version,
    }


def _data(group: GroupRow) -> dict[str, Any]:
    return {
        "group_name": group.group_name,
        **{column: group.row.get(column) for column in GROUP_COLUMNS},
        "version": group.version,
        "updated_at": group.updated_at,
        "problem": group.problem,
        "change": group.change.as_dict() if group.change else None,
    }


@command
def add(args: Namespace) -> None:
    """Create a group."""
    values = read_assignments(GROUP_COLUMNS, args.assignments)
    if not values.get("exchanges"):
        raise UsageError("Say which exchanges it has: exchanges=TSE,HKEX")
    values.setdefault("display_name", args.group)
    made = {**GROUP_DEFAULTS, **values}
    store = store_of(args)
    present = next((group for group in store.get_all_exchange_groups() if group.group_name == args.group), None)
    if present is not None:
        if differing := difference("", present.row, made):
            assignments = assignments_of({column: made[column] for column in differing.columns})
            raise DagConfigConflictError(
                f"There is an exchange group {args.group!r} already ({store.location}), with other values. To give it these:"
                f" {store.location.command('groups set', args.group, *assignments)}"
            )
        say(f"Nothing to do: there is an exchange group {args.group} with these values already (version {shown(present.version)}).")
        return
    _show_difference(args, None, made)
    with store.transaction(force_rollback=args.dry_run):
        store.update_exchange_group(args.group, **values, updated_by=author(args), reason=args.reason, expected_version=0)
        row = group_row(store, args.group)
    if was_dry_run(args):
        return
    takes_part = "takes part in the next run" if made["enabled"] else "is disabled, and takes no part until it is enabled"
    done(f"version {shown(row.version)}{_entry_text(row)}. {args.group} {takes_part}.", store.location)


@command
def set_values(args: Namespace) -> None:
    """Change values of a group."""
    values = read_assignments(GROUP_COLUMNS, args.assignments)
    if not values:
        raise UsageError("Nothing is set; write COLUMN=VALUE, such as exchanges=NYSE,NASDAQ")
    _change(args, values)


@command
def enable(args: Namespace) -> None:
    """Enable a group, so that it takes part again."""
    _change(args, {"enabled": True})


@command
def disable(args: Namespace) -> None:
    """Disable a group."""
    _change(args, {"enabled": False})


def _change(args: Namespace, values: dict[str, Any]) -> None:
    store = store_of(args)
    group = group_row(store, args.group)
    if args.if_version is not None and args.if_version != group.version:
        raise stale_error(f"exchange group {args.group}", args.if_version, group.version)
    if difference("", group.row, values) is None:
        say(f"Nothing to do: {args.group} has these values already (version {shown(group.version)}).")
        return
    _show_difference(args, group.row, values)
    with store.transaction(force_rollback=args.dry_run):
        store.update_exchange_group(
            args.group, **values, updated_by=author(args), reason=args.reason, expected_version=group.version
        )
        row = group_row(store, args.group)
    if was_dry_run(args):
        return
    later = " Its priority counts from the next run on." if "priority" in values else ""
    effect = (
        f"The group's next task runs with it.{later}"
        if row.row.get("enabled") is not False
        else "It takes no part in the next runs, and its tasks are skipped."
    )
    done(f"version {shown(row.version)}{_entry_text(row)}. {effect}", store.location)


def _entry_text(row: GroupRow) -> str:
    return f", entry {row.change.audit_id}" if row.change else ""


@command
def remove(args: Namespace) -> None:
    """Delete a group."""
    store = store_of(args)
    group = group_row(store, args.group)
    if args.if_version is not None and args.if_version != group.version:
        raise stale_error(f"exchange group {args.group}", args.if_version, group.version)
    _show_difference(args, {column: group.row.get(column) for column in GROUP_COLUMNS}, None)
    confirm(f"This removes the exchange group {args.group}; to leave it out for a while, disable it instead.", args, store.location)
    with store.transaction(force_rollback=args.dry_run):
        store.delete_exchange_group(args.group, updated_by=author(args), reason=args.reason, expected_version=group.version)
    if was_dry_run(args):
        return
    done(f"{args.group} is removed.", store.location)
    entry = store.get_history(group_name=args.group, limit=1)
    if entry:
        hint(f"To undo it: {store.location.command('rollback', str(entry[0].audit_id))}")


def _show_difference(args: Namespace, before: Any, after: Any) -> None:
    if found := difference(f"exchange group {args.group}", before, after):
        print_differences([found])
