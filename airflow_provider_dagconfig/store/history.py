"""Reads past and temporary values: the audit, the overrides, a row at a moment, rows that break rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from psycopg import sql

from airflow_provider_dagconfig.exceptions import DagConfigNotFoundError
from airflow_provider_dagconfig.models import (
    CONFIG_COLUMNS,
    GROUP_COLUMNS,
    OVERRIDE_COLUMNS,
    HistoryEntry,
    Override,
    RuleViolation,
)
from airflow_provider_dagconfig.models.ceiling import Ceiling, CeilingViolation
from airflow_provider_dagconfig.store.connection import with_zone
from airflow_provider_dagconfig.store.reading import ReadingStore, override_of

_ENTRY_COLUMNS = sql.SQL("""
    audit_id, operation, table_name, dag_name, job_name, group_name, override_id, changed_by, session_user_name, changed_at,
    reason, changed_columns, row_version, old_values, new_values
""")
# One equality for each name that is given, so that the index of the job or of the group is used.
_HISTORY = sql.SQL("""
    SELECT {columns} FROM {schema}.dag_configuration_audit
    WHERE {conditions}
    ORDER BY audit_id DESC
    LIMIT %(limit)s
""")
_CONDITIONS = {
    "dag_name": sql.SQL("dag_name = %(dag_name)s::text"),
    "job_name": sql.SQL("job_name = %(job_name)s::text"),
    "group_name": sql.SQL("group_name = %(group_name)s::text"),
    "table_name": sql.SQL("table_name = %(table_name)s::text"),
    "since": sql.SQL("changed_at >= %(since)s::timestamptz"),
    "until": sql.SQL("changed_at < %(until)s::timestamptz"),
}
_ENTRY = sql.SQL("SELECT {columns} FROM {schema}.dag_configuration_audit WHERE audit_id = CAST(%(audit_id)s AS bigint)")
# It reads the job's index backwards. Old entries do not list the changed columns, so their two rows are compared.
_LAST_CHANGE = sql.SQL("""
    SELECT {columns} FROM {schema}.dag_configuration_audit
    WHERE
        table_name = 'dag_configuration' AND dag_name = %(dag_name)s::text AND job_name = %(job_name)s::text
        AND coalesce(
            %(column)s::text = ANY(changed_columns),
            old_values -> %(column)s::text IS DISTINCT FROM new_values -> %(column)s::text
        )
    ORDER BY audit_id DESC
    LIMIT 1
""")
_OVERRIDES = sql.SQL("""
    SELECT
        {columns},
        CASE WHEN o.in_force @> now() THEN 'active' WHEN lower(o.in_force) > now() THEN 'planned' ELSE 'ended' END AS state
    FROM {schema}.dag_configuration_override_periods AS o
    WHERE
        (CAST(%(override_id)s AS bigint) IS NULL OR o.override_id = CAST(%(override_id)s AS bigint))
        AND (%(dag_name)s::text IS NULL OR o.dag_name = %(dag_name)s::text)
        AND (%(job_name)s::text IS NULL OR o.job_name = %(job_name)s::text)
        AND (NOT %(active_only)s::boolean OR o.in_force @> now())
    ORDER BY o.override_id DESC
""")
# The period is left out: Python cannot hold every bound.
_OVERRIDE_COLUMNS = sql.SQL(", ").join(
    sql.Identifier(column)
    for column in (
        *("override_id", "dag_name", "job_name", *OVERRIDE_COLUMNS, "starts_at", "ends_at", "reason"),
        *("created_by", "created_at", "ended_at"),
    )
)
_CONFIG_AT = sql.SQL("""
    SELECT {schema}.dag_config_at(%(dag_name)s::text, %(job_name)s::text, %(moment)s::timestamptz) AS row
""")
_GROUP_AT = sql.SQL("SELECT {schema}.exchange_group_at(%(group_name)s::text, %(moment)s::timestamptz) AS row")
_VIOLATIONS = sql.SQL("""
    SELECT table_name, row_key, column_name, value, rule, example
    FROM {schema}.rule_violations() ORDER BY table_name, row_key, column_name
""")

_ABOVE_CEILINGS = sql.SQL("""
    SELECT
        dag_name, job_name, override_id, column_name, value,
        ceiling_name, ceiling_value, ceiling_dag_name, not_valid, set_by, updated_at, reason
    FROM {schema}.ceiling_violations()
""")


class HistoryStore(ReadingStore):
    """The part of the store that reads the past and the overrides."""

    def get_history(
        self,
        dag_name: str | None = None,
        job_name: str | None = None,
        group_name: str | None = None,
        *,
        table_name: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
    ) -> list[HistoryEntry]:
        """
        Return the audit entries, newest first: all, or those of a DAG, a job (with its overrides) or a group.

        :param table_name: only entries of one table: with ``dag_configuration``, a job's row without its overrides.
        :param since: only entries of this moment or newer.
        :param until: only entries older than this moment.
        :param limit: the most entries that are returned.
        """
        filters: dict[str, Any] = {
            "dag_name": dag_name,
            "job_name": job_name,
            "group_name": group_name,
            "table_name": table_name,
            "since": since and with_zone(since, "since"),
            "until": until and with_zone(until, "until"),
        }
        conditions = [_CONDITIONS[name] for name, value in filters.items() if value is not None]
        condition = sql.SQL(" AND ").join(conditions or [sql.SQL("true")])
        rows = self._ask(_HISTORY, {**filters, "limit": limit}, columns=_ENTRY_COLUMNS, conditions=condition)
        return [_entry(row) for row in rows]

    def get_change(self, audit_id: int) -> HistoryEntry:
        """
        Return one audit entry.

        :raises DagConfigNotFoundError: there is no such entry.
        """
        rows = self._ask(_ENTRY, {"audit_id": audit_id}, columns=_ENTRY_COLUMNS)
        if not rows:
            raise DagConfigNotFoundError(f"There is no audit entry {audit_id} ({self.location})")
        return _entry(rows[0])

    def get_last_change_of(self, dag_name: str, job_name: str, column: str) -> HistoryEntry | None:
        """
        Return the last audit entry in which a column of a job's row got another value; overrides do not count.

        :return: also the entry of a row that was created, or deleted, with a value in that column; None where there is no entry.
        """
        rows = self._ask(_LAST_CHANGE, {"dag_name": dag_name, "job_name": job_name, "column": column}, columns=_ENTRY_COLUMNS)
        return _entry(rows[0]) if rows else None

    def get_overrides(
        self, dag_name: str | None = None, job_name: str | None = None, *, active_only: bool = True
    ) -> list[Override]:
        """
        Return the overrides of all jobs, of a DAG or of one job, newest first.

        :param active_only: leave out overrides that have ended or begin later.
        """
        parameters = {"override_id": None, "dag_name": dag_name, "job_name": job_name, "active_only": active_only}
        return [override_of(row) for row in self._ask(_OVERRIDES, parameters, columns=_OVERRIDE_COLUMNS)]

    def get_override(self, override_id: int) -> Override:
        """
        Return one override, whatever its state.

        :raises DagConfigNotFoundError: there is no such override.
        """
        parameters = {"override_id": override_id, "dag_name": None, "job_name": None, "active_only": False}
        rows = self._ask(_OVERRIDES, parameters, columns=_OVERRIDE_COLUMNS)
        if not rows:
            raise DagConfigNotFoundError(f"There is no override {override_id} ({self.location})")
        return override_of(rows[0])

    def get_dag_config_at(self, dag_name: str, job_name: str, moment: datetime) -> Mapping[str, Any] | None:
        """
        Return a job's row as it was at a moment, even if it could not be used; None where there was no row.

        :return: configurable column to value, and ``version``. Overrides of that moment are not applied.
        """
        parameters = {"dag_name": dag_name, "job_name": job_name, "moment": with_zone(moment, "moment")}
        return _past_values(self._ask(_CONFIG_AT, parameters)[0]["row"], CONFIG_COLUMNS)

    def get_exchange_group_at(self, name: str, moment: datetime) -> Mapping[str, Any] | None:
        """
        Return a group's row as it was at a moment, even if it could not be used; None where there was no row.

        :return: configurable column to value, and ``version``.
        """
        row = self._ask(_GROUP_AT, {"group_name": name, "moment": with_zone(moment, "moment")})[0]["row"]
        return _past_values(row, GROUP_COLUMNS)

    def get_rule_violations(self) -> list[RuleViolation]:
        """Return the values that break a rule of the store, because they are older than the rule."""
        return [RuleViolation(**row) for row in self._ask(_VIOLATIONS, {})]

    def get_ceiling_violations(self) -> list[CeilingViolation]:
        """Return the values above a ceiling, in rows and in overrides that are active or planned; they are older than it."""
        return [_ceiling_violation(row) for row in self._ask(_ABOVE_CEILINGS, {})]


def _ceiling_violation(row: Mapping[str, Any]) -> CeilingViolation:
    ceiling = Ceiling(
        name=row["ceiling_name"],
        value=row["ceiling_value"],
        dag_name=row["ceiling_dag_name"],
        **{name: row[name] for name in ("not_valid", "set_by", "updated_at", "reason")},
    )
    fields = {name: row[name] for name in ("dag_name", "job_name", "override_id", "column_name", "value")}
    return CeilingViolation(ceiling=ceiling, **fields)


def _entry(row: Mapping[str, Any]) -> HistoryEntry:
    # Entries from before the audit had these columns belong to jobs.
    return HistoryEntry(
        **{
            **row,
            "table_name": row["table_name"] or "dag_configuration",
            "changed_columns": _names(row["changed_columns"]),
            "old_values": _valid_row(row["old_values"]),
            "new_values": _valid_row(row["new_values"]),
        }
    )


def _names(columns: Any) -> tuple[str, ...]:
    """Return the names in an array; none where it holds anything else, and an entry finds the differences itself."""
    names = tuple(columns or ())
    return names if all(isinstance(name, str) for name in names) else ()


def _past_values(row: Any, columns: Iterable[str]) -> Mapping[str, Any] | None:
    row = _valid_row(row)
    return None if row is None else {column: row.get(column) for column in (*columns, "version")}


def _valid_row(value: Any) -> Mapping[str, Any] | None:
    """Accept any JSON as a row, so that an entry without a valid row does not hide the others."""
    return value if value is None or isinstance(value, Mapping) else {"no_row": value}
