"""What the store tells of its rows: changes, overrides, the history, listings, violations of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from airflow_provider_dagconfig.models.as_json import json_values
from airflow_provider_dagconfig.models.moments import Unreadable, moment_text

KEPT_BY_THE_STORE = ("id", "override_id", "version", "created_at", "created_by", "updated_at")
"""Columns that nobody configures."""

CEILINGS = "dagconfig_ceilings"
"""The table of the ceilings, as the audit names it."""


@dataclass(frozen=True)
class Change:
    """One entry of the audit."""

    audit_id: int
    changed_by: str | None
    changed_at: datetime | Unreadable
    reason: str | None = None
    session_user_name: str | None = None
    """The database's user; None in entries that are older than this column."""

    def as_dict(self) -> dict[str, Any]:
        """Give the entry as JSON values."""
        return json_values(self)

    def __str__(self) -> str:
        """
        For a log line: ``by admin at 2026-11-23 02:14:05+00:00 (audit entry 17: new feed)``.

        Whoever changes a row may give any name, so the database's user is named too where it differs: ``by maria (operators)``.
        """
        why = f": {self.reason}" if self.reason else ""
        return f"by {self.who} at {moment_text(self.changed_at)} (audit entry {self.audit_id}{why})"

    @property
    def who(self) -> str:
        """The name that was given, and the database's user where it is another one."""
        given = self.changed_by or "an unknown user"
        return given if self.session_user_name in (None, self.changed_by) else f"{given} ({self.session_user_name})"


@dataclass(frozen=True)
class RowChange(Change):
    """The last entry about a row itself, its overrides' not among them, and what it did to the row."""

    operation: str = "UPDATE"
    """INSERT, UPDATE, DELETE or TRUNCATE."""
    differences: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, hash=False)
    """Configurable column to the values before and after, as JSON; empty where a row was made or went."""


@dataclass(frozen=True)
class Override:
    """Values that take the place of a job's own until a moment, and then end by themselves."""

    override_id: int
    dag_name: str
    job_name: str
    values: Mapping[str, Any] = field(hash=False)
    """Column to value, as the table holds them; columns that stay as they are, are not in it."""
    starts_at: datetime | Unreadable
    ends_at: datetime | Unreadable
    """The planned end."""
    reason: str | None
    created_by: str | None
    created_at: datetime | Unreadable
    ended_at: datetime | Unreadable | None = None
    """When it was ended before its time; None when it was not."""

    state: Literal["planned", "active", "ended"] = "active"
    """As it was when it was read."""

    @property
    def active(self) -> bool:
        """Whether it was in force when it was read."""
        return self.state == "active"

    @property
    def source(self) -> str:
        """As ``sources`` of a DagConfig names it: ``override 7 until 2026-11-24 06:00:00+00:00``."""
        return f"override {self.override_id} until {moment_text(self.ends_at)}"

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return json_values(self)

    def __str__(self) -> str:
        """For a log line: ``override 7 until 2026-11-24 06:00:00+00:00 by ann (month's end)``."""
        by = f" by {self.created_by}" if self.created_by else ""
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.source}{by}{why}"


@dataclass(frozen=True)
class HistoryEntry:
    """One entry of the audit, whole: who changed what, when, why, and the row before and after."""

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
    """The application's user, where it said one; else the database's."""
    session_user_name: str | None
    """The database's user; None in entries that are older than this column."""
    changed_at: datetime | Unreadable
    reason: str | None
    changed_columns: tuple[str, ...]
    row_version: int | None
    """The version that the row had after the change, or before it was deleted."""
    old_values: Mapping[str, Any] | None = field(hash=False)
    """The row before, as JSON; None where there was none."""
    new_values: Mapping[str, Any] | None = field(hash=False)

    @property
    def change(self) -> Change:
        """Who, when and why, alone."""
        return Change(self.audit_id, self.changed_by, self.changed_at, self.reason, self.session_user_name)

    @property
    def subject(self) -> str:
        """What was changed: ``dag/lse``, ``exchange group lse``, ``override 7 of dag/lse``, ``ceiling cpu of all DAGs``."""
        if self.group_name is not None:
            return f"exchange group {self.group_name}"
        if self.table_name == CEILINGS:
            of = "all DAGs" if self.dag_name is None else f"DAG {self.dag_name}"
            return f"ceiling {(self.new_values or self.old_values or {}).get('name')} of {of}"
        job = f"{self.dag_name}/{self.job_name}"
        return job if self.override_id is None else f"override {self.override_id} of {job}"

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Give what the change did: column to the values before and after."""
        old, new = self.old_values or {}, self.new_values or {}
        differing = (column for column in {**old, **new} if old.get(column) != new.get(column))
        columns = self.changed_columns or tuple(column for column in differing if column not in KEPT_BY_THE_STORE)
        return {column: (old.get(column), new.get(column)) for column in columns}

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class JobRow:
    """One job of a listing, whether it can run or not: its row as it is stored, and what is in force."""

    dag_name: str
    job_name: str
    row: Mapping[str, Any] | None = field(hash=False)
    """Configurable column to value as the table holds it; None where only an override says something of the job."""
    values: Mapping[str, Any] = field(hash=False)
    """The same columns with what is in force, overrides applied."""
    sources: Mapping[str, str] = field(hash=False)
    """Column to where its value in force is from, as in DagConfig."""
    version: int | None
    updated_at: datetime | Unreadable | None
    change: Change | None
    problem: str | None
    """Why the job cannot run, with the statement that mends it; None when it can."""
    overrides: tuple[Override, ...] = ()
    """Those that are in force."""

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class GroupRow:
    """One exchange group of a listing, whether it can be used or not: its row as it is stored."""

    group_name: str
    row: Mapping[str, Any] = field(hash=False)
    """Configurable column to value as the table holds it."""
    version: int | None
    updated_at: datetime | Unreadable | None
    change: Change | None
    problem: str | None
    """Why the group cannot be used; None when it can."""

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class RuleViolation:
    """A value that breaks a rule of the store: it was there before the rule."""

    table_name: str
    row_key: str
    """``data_collection_equities/lse``, a group's name, or ``override 7 of data_collection_equities/lse``."""
    column_name: str
    value: str | None
    rule: str
    example: str | None
    """A value that keeps the rule."""

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return json_values(self)
