"""The records that the store returns: changes, overrides, the history, listings, violations of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from airflow_provider_dagconfig.models.as_json import json_values
from airflow_provider_dagconfig.models.moments import Unreadable, moment_text

KEPT_BY_THE_STORE = ("id", "override_id", "version", "created_at", "created_by", "updated_at")
"""Columns that are not configured: the store writes them."""

CEILINGS = "dagconfig_ceilings"
"""The table of the ceilings, as the audit names it."""


@dataclass(frozen=True)
class Change:
    """One audit entry."""

    audit_id: int
    changed_by: str | None
    changed_at: datetime | Unreadable
    reason: str | None = None
    session_user_name: str | None = None
    """The database's user; None in entries older than this column."""

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return json_values(self)

    def __str__(self) -> str:
        """
        For a log line: ``by admin at 2026-11-23 02:14:05+00:00 (audit entry 17: new feed)``.

        A user may give any name with a change, so the database's user is added where it differs: ``by maria (operators)``.
        """
        why = f": {self.reason}" if self.reason else ""
        return f"by {self.who} at {moment_text(self.changed_at)} (audit entry {self.audit_id}{why})"

    @property
    def who(self) -> str:
        """The name that was given, with the database's user where that differs."""
        given = self.changed_by or "an unknown user"
        return given if self.session_user_name in (None, self.changed_by) else f"{given} ({self.session_user_name})"


@dataclass(frozen=True)
class RowChange(Change):
    """The last audit entry of a row itself, without its overrides, and what it changed."""

    operation: str = "UPDATE"
    """INSERT, UPDATE, DELETE or TRUNCATE."""
    differences: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, hash=False)
    """Configurable column to the values before and after, as JSON; empty where a row was created or deleted."""


@dataclass(frozen=True)
class Override:
    """Values that replace a job's own until a moment, and then end by themselves."""

    override_id: int
    dag_name: str
    job_name: str
    values: Mapping[str, Any] = field(hash=False)
    """Column to value, as in the table; columns that are not overridden are left out."""
    starts_at: datetime | Unreadable
    ends_at: datetime | Unreadable
    """The planned end."""
    reason: str | None
    created_by: str | None
    created_at: datetime | Unreadable
    ended_at: datetime | Unreadable | None = None
    """The time when it was ended early; None where it was not."""

    state: Literal["planned", "active", "ended"] = "active"
    """The state when it was read."""

    @property
    def active(self) -> bool:
        """Whether it was in force when it was read."""
        return self.state == "active"

    @property
    def source(self) -> str:
        """The name of this override in ``sources`` of a DagConfig: ``override 7 until 2026-11-24 06:00:00+00:00``."""
        return f"override {self.override_id} until {moment_text(self.ends_at)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return json_values(self)

    def __str__(self) -> str:
        """For a log line: ``override 7 until 2026-11-24 06:00:00+00:00 by ann (month's end)``."""
        by = f" by {self.created_by}" if self.created_by else ""
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.source}{by}{why}"


@dataclass(frozen=True)
class HistoryEntry:
    """One whole audit entry: who changed what, when, why, and the row before and after."""

    audit_id: int
    operation: str
    """INSERT, UPDATE, DELETE or TRUNCATE."""
    table_name: str
    """dag_configuration, exchange_groups, dag_configuration_overrides or dagconfig_ceilings."""
    dag_name: str | None
    job_name: str | None
    group_name: str | None
    override_id: int | None
    changed_by: str | None
    """The application's user, if one was given; otherwise the database's."""
    session_user_name: str | None
    """The database's user; None in entries older than this column."""
    changed_at: datetime | Unreadable
    reason: str | None
    changed_columns: tuple[str, ...]
    row_version: int | None
    """The version of the row after the change, or before its deletion."""
    old_values: Mapping[str, Any] | None = field(hash=False)
    """The row before the change, as JSON; None where there was none."""
    new_values: Mapping[str, Any] | None = field(hash=False)

    @property
    def change(self) -> Change:
        """Only who made the change, when and why."""
        return Change(self.audit_id, self.changed_by, self.changed_at, self.reason, self.session_user_name)

    @property
    def subject(self) -> str:
        """The changed thing: ``dag/lse``, ``exchange group lse``, ``override 7 of dag/lse``, ``ceiling cpu of all DAGs``."""
        if self.group_name is not None:
            return f"exchange group {self.group_name}"
        if self.table_name == CEILINGS:
            of = "all DAGs" if self.dag_name is None else f"DAG {self.dag_name}"
            return f"ceiling {(self.new_values or self.old_values or {}).get('name')} of {of}"
        job = f"{self.dag_name}/{self.job_name}"
        return job if self.override_id is None else f"override {self.override_id} of {job}"

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Return column to the values before and after."""
        old, new = self.old_values or {}, self.new_values or {}
        differing = (column for column in {**old, **new} if old.get(column) != new.get(column))
        columns = self.changed_columns or tuple(column for column in differing if column not in KEPT_BY_THE_STORE)
        return {column: (old.get(column), new.get(column)) for column in columns}

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class JobRow:
    """One job of a listing, whether it can run or not: its stored row, and the values in force."""

    dag_name: str
    job_name: str
    row: Mapping[str, Any] | None = field(hash=False)
    """Configurable column to the stored value; None where the job has only an override."""
    values: Mapping[str, Any] = field(hash=False)
    """Configurable column to the value in force, with overrides."""
    sources: Mapping[str, str] = field(hash=False)
    """Column to the origin of its value in force, as in DagConfig."""
    version: int | None
    updated_at: datetime | Unreadable | None
    change: Change | None
    problem: str | None
    """Why the job cannot run, with the statement that corrects it; None when it can."""
    overrides: tuple[Override, ...] = ()
    """The overrides in force."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class GroupRow:
    """One exchange group of a listing, whether it can be used or not: its stored row."""

    group_name: str
    row: Mapping[str, Any] = field(hash=False)
    """Configurable column to the stored value."""
    version: int | None
    updated_at: datetime | Unreadable | None
    change: Change | None
    problem: str | None
    """Why the group cannot be used; None when it can."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class RuleViolation:
    """A value that breaks a rule of the store: it is older than the rule."""

    table_name: str
    row_key: str
    """``data_collection_equities/lse``, a group's name, or ``override 7 of data_collection_equities/lse``."""
    column_name: str
    value: str | None
    rule: str
    example: str | None
    """A value that keeps the rule."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return json_values(self)
