"""``airflow dagconfig ceiling``: the most that a platform allows the jobs of one DAG, or of all DAGs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import store_of
from airflow_provider_dagconfig.cli.output import (
    Cell,
    Difference,
    command,
    confirm,
    done,
    note,
    print_data,
    print_differences,
    print_table,
    say,
    was_dry_run,
    when,
)
from airflow_provider_dagconfig.cli.remedies import command_that_lowers
from airflow_provider_dagconfig.cli.rows import author
from airflow_provider_dagconfig.cli.values import CEILINGS, UsageError, read_assignments
from airflow_provider_dagconfig.exceptions import DagConfigConflictError, DagConfigNotFoundError
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.models.ceiling import BOUNDED, Ceiling, above, binding, whose
from airflow_provider_dagconfig.wording import did_you_mean

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_provider_dagconfig.store import Store

_MAX_COMMANDS = 12
"""Commands in one message; the message only counts further ones."""


@command
def list_ceilings(args: Namespace) -> None:
    """Show all ceilings, or those that apply to a DAG."""
    store = store_of(args)
    ceilings = store.get_ceilings(args.dag)
    if args.output in ("json", "yaml"):
        print_data([each.as_dict() for each in ceilings], args.output)
        return
    for_all = {each.name: each for each in ceilings if each.dag_name is None}
    print_table(
        [_cells(each, for_all.get(each.name)) for each in ceilings],
        args.output,
        empty=f"There is no ceiling. To set one: {store.location.command('ceiling set', 'memory=64Gi')}",
        spare=("set_at",),
    )


def _cells(ceiling: Ceiling, for_all: Ceiling | None) -> dict[str, Any]:
    return {
        "of": whose(ceiling.dag_name),
        "ceiling": Cell(ceiling.name, "bold"),
        "most": Cell(ceiling.value, "bold"),
        "state": _state(ceiling, for_all),
        "set_by": ceiling.set_by,
        "set_at": when(ceiling.updated_at).removesuffix(" UTC"),
        "reason": ceiling.reason,
    }


def _state(ceiling: Ceiling, for_all: Ceiling | None) -> Cell:
    if for_all is not None and ceiling not in binding([ceiling, for_all]):
        return Cell("no effect", "dim")
    return Cell("not valid", "yellow") if ceiling.not_valid else Cell("holds", "green")


@command
def set_ceilings(args: Namespace) -> None:
    """Set ceilings of a DAG, or of all DAGs."""
    dag, assignments = _dag_and_names(args.what, lambda word: "=" in word)
    if not assignments:
        raise UsageError("Nothing is set; write CEILING=VALUE, such as memory=64Gi")
    for assignment in assignments:
        _check_ceiling_name(assignment.partition("=")[0])
    values = read_assignments(CEILINGS, assignments)
    store = store_of(args)
    present = _own_ceilings(store, dag)
    before = {name: _value_text(ceiling.value, ceiling.not_valid) for name, ceiling in present.items()}
    after = {name: _value_text(str(value), args.not_valid) for name, value in values.items()}
    if differing := {name: (before.get(name), text) for name, text in after.items() if before.get(name) != text}:
        print_differences([Difference(f"ceilings of {whose(dag)}", "changed", differing)])
    else:
        say(f"Nothing to do: the ceilings of {whose(dag)} have these values already.")
        return
    try:
        with store.transaction(force_rollback=args.dry_run):
            for name in differing:
                store.set_ceiling(name, values[name], dag, not_valid=args.not_valid, updated_by=author(args), reason=args.reason)
    except DagConfigConflictError as error:
        raise _with_remedies(error, store, values) from error
    if was_dry_run(args):
        return
    done(f"from now on it applies to rows, overrides and runs' conf of {whose(dag)}.", store.location)
    _say_effects(store, dag, list(differing))


def _value_text(value: str, not_valid: bool) -> str:
    return f"{value} (not valid)" if not_valid else value


def _with_remedies(error: DagConfigConflictError, store: Store, values: dict[str, Any]) -> DagConfigConflictError:
    """Add the commands that bring the values in force below the ceiling."""
    most = {column: str(value) for name, value in values.items() for column in BOUNDED[name]}
    rows: dict[tuple[str, str, int | None], dict[str, str]] = {}
    for each in error.detail.get("above", []):
        column = each["column_name"]
        rows.setdefault((each["dag_name"], each["job_name"], each["override_id"]), {})[column] = most[column]
    commands = [command_that_lowers(store.location, *row, columns) for row, columns in rows.items()]
    if not commands:
        return error
    more = f"; and {len(commands) - _MAX_COMMANDS} more" if len(commands) > _MAX_COMMANDS else ""
    return DagConfigConflictError(
        f"{error} On the command line: --not-valid; or first: {'; '.join(commands[:_MAX_COMMANDS])}{more}"
    )


def _say_effects(store: Store, dag: str | None, names: Sequence[str]) -> None:
    bounds = [each for each in store.get_ceilings(dag) if each.name in names and (dag is not None or each.dag_name is None)]
    own = [each for each in bounds if each.dag_name == dag]
    for ceiling in own:
        lower = [each for each in binding(bounds) if each.name == ceiling.name and each is not ceiling]
        if lower:
            note(f"It has no effect yet: the ceiling {lower[0]} is lower.")
    defaults = vars(DagConfig.defaults(dag or "DAG", "JOB"))
    too_much = above(defaults, (each for each in own if not each.not_valid))
    if too_much:
        listed = ", ".join(f"{column} {value}" for column, (value, _) in too_much.items())
        assignments = [f"{column}={ceiling.value}" for column, (_, ceiling) in too_much.items()]
        note(
            f"A job without a row cannot run: the defaults ({listed}) are above it. To make a row:"
            f" {store.location.command('set', dag or 'DAG', 'JOB', *assignments, options=['--create'])}"
        )
    higher = [each for each in store.get_ceiling_violations() if each.ceiling.name in names and each.ceiling.dag_name == dag]
    if higher:
        note(f"{len(higher)} values are above it, and stay until they are changed; to see them: {store.location.command('doctor')}")


@command
def remove(args: Namespace) -> None:
    """Remove ceilings of a DAG, or of all DAGs."""
    dag, names = _dag_and_names(args.what, lambda word: word in BOUNDED)
    if not names:
        _check_ceiling_name(args.what[0]) if len(args.what) == 1 else None
        raise UsageError(f"Say which ceilings: {', '.join(BOUNDED)}")
    for name in names:
        _check_ceiling_name(name)
    store = store_of(args)
    present = _own_ceilings(store, dag)
    if missing := [name for name in dict.fromkeys(names) if name not in present]:
        listed = ", ".join(f"{each.name} of {whose(each.dag_name)}" for each in store.get_ceilings())
        raise DagConfigNotFoundError(
            f"There is no ceiling {' and no ceiling '.join(missing)} of {whose(dag)} ({store.location})."
            f" There are: {listed or 'none'}."
        )
    removed = {name: (_value_text(present[name].value, present[name].not_valid), None) for name in dict.fromkeys(names)}
    print_differences([Difference(f"ceilings of {whose(dag)}", "removed", removed)])
    confirm(f"This removes {len(removed)} of the ceilings of {whose(dag)}.", args, store.location)
    with store.transaction(force_rollback=args.dry_run):
        for name in removed:
            store.remove_ceiling(name, dag, updated_by=author(args), reason=args.reason)
    if not was_dry_run(args):
        done(f"{', '.join(removed)} of {whose(dag)} {'is' if len(removed) == 1 else 'are'} removed.", store.location)


def _own_ceilings(store: Store, dag: str | None) -> dict[str, Ceiling]:
    return {each.name: each for each in store.get_ceilings(dag) if each.dag_name == dag}


def _dag_and_names(words: Sequence[str], is_name: Any) -> tuple[str | None, list[str]]:
    """Read ``[DAG] NAME ...``: the first word is a DAG if it is not a name."""
    first, *rest = words
    if is_name(first):
        return None, [first, *rest]
    if "/" in first:
        raise UsageError(f"A ceiling is of all jobs of a DAG; write {first.partition('/')[0]} for {first}")
    return first, rest


def _check_ceiling_name(name: str) -> None:
    if name not in BOUNDED:
        raise UsageError(f"There is no ceiling {name!r}.{did_you_mean(name, BOUNDED)} There are: {', '.join(BOUNDED)}.")
