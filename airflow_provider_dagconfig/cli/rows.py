"""Which row an operator means, and what to say where there is none."""

from __future__ import annotations

import difflib
import getpass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_dagconfig.exceptions import DagConfigNotFoundError, DagConfigStaleError
from airflow_provider_dagconfig.models import shell_word
from airflow_provider_dagconfig.wording import did_you_mean

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from airflow_provider_dagconfig.models import GroupRow, JobRow
    from airflow_provider_dagconfig.store import Store

ALL_ENTRIES = 1_000_000
"""As many entries of the history as a comparison of moments looks at."""
_MANY = 12


def now() -> datetime:
    """The present, with its zone."""
    return datetime.now(timezone.utc)


def who(args: Namespace) -> str:
    """Who the history names: --by, else the user of this system."""
    if args.by:
        return str(args.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        return "airflow dagconfig"


def job_row(store: Store, dag: str, job: str) -> JobRow:
    """
    Give the job with its row.

    :raises DagConfigNotFoundError: there is no row; says which there are.
    """
    found = store.get_dag_config_row(dag, job)
    if found.row is None and not found.overrides:
        raise no_job(store, dag, job)
    return found


def rows_of(store: Store, dag: str | None, job: str | None = None) -> list[JobRow]:
    """
    Give the jobs of a DAG, or of all.

    :raises DagConfigNotFoundError: the DAG was named and has none, or not this one.
    """
    if dag is not None and job is not None:
        return [job_row(store, dag, job)]
    rows = store.get_dag_configs(dag)
    if dag is not None and not rows:
        raise no_job(store, dag, None)
    return rows


def no_job(store: Store, dag: str, job: str | None, to_make: str = "") -> DagConfigNotFoundError:
    """
    Say what there is instead of what was named.

    :param to_make: the command that makes such a row; it is offered unless the name looks like a mistyped one.
    """
    rows = store.get_dag_configs()
    dags = list(dict.fromkeys(row.dag_name for row in rows))
    jobs = [row.job_name for row in rows if row.dag_name == dag]
    if not jobs or job is None:
        what, known = f"There is no row for a DAG {dag!r} ({store.location}).", dags
    else:
        known = jobs
        what = f"There is no row for the job {job!r} of {dag} ({store.location}); a task with that name runs with the defaults."
    name = dag if known is dags else str(job)
    if swapped := _swapped(rows, dag, job):
        return DagConfigNotFoundError(f"{what} {swapped}")
    is_mistyped = bool(difflib.get_close_matches(name.lower(), [each.lower() for each in known], n=1, cutoff=_MISTYPED))
    making = f" To make a row for it: {to_make}" if to_make and not is_mistyped else ""
    return DagConfigNotFoundError(f"{what}{did_you_mean(name, known)}{_there_are(known)}{making}")


_MISTYPED = 0.85
"""The likeness of two names from which on one is the other, mistyped."""


def _swapped(rows: Iterable[JobRow], dag: str, job: str | None) -> str:
    """Say what was meant where a job stands in a DAG's place."""
    if job is not None and any((row.dag_name, row.job_name) == (job, dag) for row in rows):
        return f"The DAG comes first, then the job: {shell_word(job)} {shell_word(dag)}."
    of_dags = [row.dag_name for row in rows if row.job_name == dag]
    if of_dags and not any(row.dag_name == dag for row in rows):
        return f"{dag!r} is a job of {', '.join(of_dags)}: the DAG comes first, as in {shell_word(of_dags[0])} {shell_word(dag)}."
    return ""


def group_row(store: Store, name: str) -> GroupRow:
    """
    Give the exchange group with its row.

    :raises DagConfigNotFoundError: there is none; says which there are.
    """
    groups = {group.group_name: group for group in store.get_all_exchange_groups()}
    if name not in groups:
        raise no_group(store, name, groups)
    return groups[name]


def no_group(store: Store, name: str, groups: Iterable[str]) -> DagConfigNotFoundError:
    """Say what there is instead of what was named."""
    return DagConfigNotFoundError(
        f"There is no exchange group {name!r} ({store.location}).{did_you_mean(name, groups)}{_there_are(groups)}"
    )


def stale(subject: str, expected: int, current: int | None) -> DagConfigStaleError:
    """Say that a row has moved on, before the database has to."""
    there = "it has no row" if current is None else f"it is at version {current}"
    return DagConfigStaleError(
        f"{subject} has moved on: {there}, not {expected}. Nothing was changed. Look at it again, then repeat"
    )


def _there_are(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return f" There are: {', '.join(names[:_MANY])}{more}." if names else " There is none yet."
