"""The rows that an operator names, and the messages where they do not exist."""

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
"""Audit entries: a comparison of moments reads no more."""
_MAX_NAMES = 12


def now() -> datetime:
    """Return the present, in UTC."""
    return datetime.now(timezone.utc)


def author(args: Namespace) -> str:
    """Return the name for the audit entry: --by, else the user of this system."""
    if args.by:
        return str(args.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        return "airflow dagconfig"


def job_row(store: Store, dag: str, job: str) -> JobRow:
    """
    Return the job with its row.

    :raises DagConfigNotFoundError: it has neither a row nor an override; the message says which jobs exist.
    """
    found = store.get_dag_config_row(dag, job)
    if found.row is None and not found.overrides:
        raise no_job_error(store, dag, job)
    return found


def rows_of(store: Store, dag: str | None, job: str | None = None) -> list[JobRow]:
    """
    Return the jobs of a DAG, or of all DAGs.

    :raises DagConfigNotFoundError: the DAG was named and has no jobs, or not this one.
    """
    if dag is not None and job is not None:
        return [job_row(store, dag, job)]
    rows = store.get_dag_configs(dag)
    if dag is not None and not rows:
        raise no_job_error(store, dag, None)
    return rows


def no_job_error(store: Store, dag: str, job: str | None, create_command: str = "") -> DagConfigNotFoundError:
    """
    Return an error that says what exists instead of the named job.

    :param create_command: the command that makes such a row; the message has it unless the name looks mistyped.
    """
    rows = store.get_dag_configs()
    dags = list(dict.fromkeys(row.dag_name for row in rows))
    jobs = [row.job_name for row in rows if row.dag_name == dag]
    if not jobs or job is None:
        sentence, known = f"There is no row for a DAG {dag!r} ({store.location}).", dags
    else:
        known = jobs
        sentence = f"There is no row for the job {job!r} of {dag} ({store.location}); a task with that name runs with the defaults."
    name = dag if known is dags else str(job)
    if hint := _swap_hint(rows, dag, job):
        return DagConfigNotFoundError(f"{sentence} {hint}")
    is_mistyped = bool(difflib.get_close_matches(name.lower(), [each.lower() for each in known], n=1, cutoff=_MISTYPED_SIMILARITY))
    remedy = f" To make a row for it: {create_command}" if create_command and not is_mistyped else ""
    return DagConfigNotFoundError(f"{sentence}{did_you_mean(name, known)}{_list_names(known)}{remedy}")


_MISTYPED_SIMILARITY = 0.85
"""Similarity from 0 to 1; from here on, a name counts as mistyped."""


def _swap_hint(rows: Iterable[JobRow], dag: str, job: str | None) -> str:
    """Return what was meant, where a job stands in the place of a DAG."""
    if job is not None and any((row.dag_name, row.job_name) == (job, dag) for row in rows):
        return f"The DAG comes first, then the job: {shell_word(job)} {shell_word(dag)}."
    dags = [row.dag_name for row in rows if row.job_name == dag]
    if dags and not any(row.dag_name == dag for row in rows):
        return f"{dag!r} is a job of {', '.join(dags)}: the DAG comes first, as in {shell_word(dags[0])} {shell_word(dag)}."
    return ""


def group_row(store: Store, name: str) -> GroupRow:
    """
    Return the exchange group with its row.

    :raises DagConfigNotFoundError: there is no such group; the message says which exist.
    """
    groups = {group.group_name: group for group in store.get_all_exchange_groups()}
    if name not in groups:
        raise no_group_error(store, name, groups)
    return groups[name]


def no_group_error(store: Store, name: str, groups: Iterable[str]) -> DagConfigNotFoundError:
    """Return an error that says what exists instead of the named group."""
    return DagConfigNotFoundError(
        f"There is no exchange group {name!r} ({store.location}).{did_you_mean(name, groups)}{_list_names(groups)}"
    )


def stale_error(subject: str, expected: int, current: int | None) -> DagConfigStaleError:
    """Return the error about a stale version, before the database has to raise it."""
    state = "it has no row" if current is None else f"it is at version {current}"
    return DagConfigStaleError(
        f"{subject} was changed meanwhile: {state}, not {expected}. Nothing was changed. Look at it again, then repeat"
    )


def _list_names(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f" There are: {', '.join(names[:_MAX_NAMES])}{more}." if names else " There is none yet."
