"""The way from the database to a file: the file that is read, the stored rows, and the steps between them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.document import Document, read_document
from airflow_provider_dagconfig.cli.output import Difference, difference
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, JOB_COLUMNS, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_dagconfig.store import Location, Store

STANDARD = "-"
_MAX_COMMANDS = 12
"""Rows that one message names with a command each; it only counts further ones."""
_MAX_NAMES = 5


@dataclass(frozen=True)
class Step:
    """One row that is to be changed, with its version at the comparison."""

    difference: Difference
    key: tuple[str, str] | str
    """DAG and job, or an exchange group."""
    values: Mapping[str, Any]
    version: int
    """The row's version; 0 where there is no row yet."""


def read_file(file: str) -> Document:
    """
    Read a file, or standard input.

    :raises UsageError: it cannot be read, or has an error.
    """
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


def stored(store: Store) -> tuple[Document, dict[Any, int | None]]:
    """Return the content of the database, with the version of each row."""
    jobs = [row for row in store.get_dag_configs() if row.row is not None]
    groups = store.get_all_exchange_groups()
    versions: dict[Any, int | None] = {(row.dag_name, row.job_name): row.version for row in jobs}
    versions |= {group.group_name: group.version for group in groups}
    document = Document(
        jobs={(row.dag_name, row.job_name): row.row or {} for row in jobs}, groups={group.group_name: group.row for group in groups}
    )
    return document, versions


def steps_to(store: Store, wanted: Document, *, deletes: bool) -> list[Step]:
    """
    Return the steps that change the database to what a file says.

    :param deletes: whether rows are deleted that the file lacks, in the sections that it has.
    :raises UsageError: all rows of a table, or of a DAG that the file names, would be deleted.
    """
    stored_rows, versions = stored(store)
    steps = []
    for after, before, columns in (
        (wanted.jobs, stored_rows.jobs, JOB_COLUMNS),
        (wanted.groups, stored_rows.groups, GROUP_COLUMNS),
    ):
        if after is None:
            continue
        rows: Mapping[Any, Mapping[str, Any]] = before or {}
        if deletes:
            _check_rows_remain(store.location, wanted, rows, after)
        for key, values in after.items():
            found = difference(subject(key), rows.get(key), values) or _empty_row_difference(key, rows)
            if found:
                steps.append(Step(found, key, values, versions.get(key) or 0))
        for key in rows if deletes else ():
            if key not in after:
                found = difference(subject(key), {column: rows[key].get(column) for column in columns}, None)
                if found:
                    steps.append(Step(found, key, {}, versions.get(key) or 0))
    return steps


def _check_rows_remain(location: Location, wanted: Document, rows: Mapping[Any, Any], after: Mapping[Any, Any]) -> None:
    """
    Refuse a deletion that looks like a mistake: of all rows of a table, or of a DAG that the file names.

    :raises UsageError: names the commands that delete these rows on purpose.
    """
    if not wanted.ends:
        raise UsageError(
            "The file's last line does not end, so the file may have been cut short, and --delete would delete what is missing."
            " Nothing was changed. If it is whole, end its last line with a newline"
        )
    if rows and not rows.keys() & after.keys():
        raise _deletes_all_error(location, list(rows), "exchange groups" if isinstance(next(iter(rows)), str) else "jobs")
    for dag in {key[0] for key in after if not isinstance(key, str)}:
        dag_keys = [key for key in rows if key[0] == dag]
        if dag_keys and not after.keys() & dag_keys:
            raise _deletes_all_error(location, dag_keys, f"jobs of {dag}")


def _deletes_all_error(location: Location, keys: list[Any], what: str) -> UsageError:
    commands = [_delete_command(location, key) for key in keys[:_MAX_COMMANDS]]
    more = f"; and {len(keys) - _MAX_COMMANDS} more" if len(keys) > _MAX_COMMANDS else ""
    return UsageError(
        f"The file has none of the {len(keys)} {what} that are there, so --delete would delete all of them. Nothing was changed."
        f" To keep them, leave out --delete. To delete them on purpose, by name: {'; '.join(commands)}{more}"
    )


def _delete_command(location: Location, key: tuple[str, str] | str) -> str:
    return location.command("groups remove", key) if isinstance(key, str) else location.command("delete", *key)


def _empty_row_difference(key: Any, rows: Mapping[Any, Any]) -> Difference | None:
    """Return the difference of a row that is created without values; None where the row exists."""
    return None if key in rows else Difference(subject(key), "added", {})


def missing_rows_sentence(store: Store, document: Document) -> str:
    """Return a sentence with the rows that a file lacks in the sections that it has; empty where it has all."""
    missing = _missing_rows(store, document)
    more = f" and {len(missing) - _MAX_NAMES} more" if len(missing) > _MAX_NAMES else ""
    return f"Not in the file, and left as they are: {', '.join(missing[:_MAX_NAMES])}{more}." if missing else ""


def match_clause(store: Store, document: Document) -> str:
    """Return a clause for a file without differences: whether it is the whole database."""
    whole = document.jobs is not None and document.groups is not None and not _missing_rows(store, document)
    return "the database is as the file says." if whole else "what the file says is in the database already."


def _missing_rows(store: Store, document: Document) -> list[str]:
    stored_rows, _ = stored(store)
    missing = [subject(key) for key in (stored_rows.jobs or {}) if document.jobs is not None and key not in document.jobs]
    return missing + [
        subject(key) for key in (stored_rows.groups or {}) if document.groups is not None and key not in document.groups
    ]


def subject(key: tuple[str, str] | str) -> str:
    """Return the name of a row for a sentence."""
    return f"exchange group {key}" if isinstance(key, str) else "/".join(key)
