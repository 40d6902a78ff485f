"""Changes of jobs, exchange groups, overrides and ceilings, and rollbacks. Most call a function that a migration defines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from psycopg import sql

from airflow_provider_dagconfig.exceptions import DagConfigConflictError, DagConfigInvalidError, DagConfigNotFoundError
from airflow_provider_dagconfig.models import (
    CONFIG_COLUMNS,
    GROUP_COLUMNS,
    OVERRIDE_COLUMNS,
    Column,
    DagConfig,
    DecimalColumn,
    ExchangeGroup,
    Quantity,
    TextColumn,
    TimeColumn,
    Unreadable,
    names_of,
    parse_duration,
)
from airflow_provider_dagconfig.models.ceiling import BOUNDED, Ceiling, checked_ceiling, whose
from airflow_provider_dagconfig.store.connection import with_zone
from airflow_provider_dagconfig.store.history import HistoryStore
from airflow_provider_dagconfig.wording import did_you_mean

if TYPE_CHECKING:
    from typing_extensions import LiteralString

    from airflow_provider_dagconfig.models import HistoryEntry, JobRow, Override
    from airflow_provider_dagconfig.store.errors import Purpose

_CALL = sql.SQL("SELECT {schema}.{function}({assignments}) AS result")
_EXPECT_VERSION = sql.SQL("""
    SELECT {schema}.dagconfig_expect_version(concat_ws('/', c.dag_name, c.job_name), %(expected)s::bigint, c.version)
    FROM {schema}.dag_configuration AS c WHERE c.dag_name = %(dag_name)s AND c.job_name = %(job_name)s FOR UPDATE
""")
_SET_AUTHOR = sql.SQL("SELECT {schema}.dagconfig_set_author(%(updated_by)s::text, %(reason)s::text)")
_RENAME = sql.SQL("""
    UPDATE {schema}.dag_configuration SET dag_name = %(new_dag)s, job_name = %(new_job)s
    WHERE dag_name = %(dag_name)s AND job_name = %(job_name)s
    RETURNING id
""")
_CLEAR = sql.SQL("""
    UPDATE {schema}.exchange_groups SET {cleared} WHERE group_name = %(group_name)s AND num_nonnulls({columns}) > 0
    RETURNING id
""")
Value = str | Quantity | int | float | Decimal | bool | time | Sequence[str] | None
"""A value that a column can be set to; None leaves the column as it is."""

_COLUMNS: Mapping[str, Column] = {
    **names_of(DagConfig),
    **names_of(ExchangeGroup),
    **CONFIG_COLUMNS,
    **GROUP_COLUMNS,
    "updated_by": TextColumn("The author", length=100),
    "value": TextColumn("The maximum", length=20),
}
_TYPES: Mapping[str, LiteralString] = {
    **{name: column.sql_type for name, column in _COLUMNS.items()},
    "starts_at": "timestamptz",
    "ends_at": "timestamptz",
    "moment": "timestamptz",
    "override_id": "bigint",
    "audit_id": "bigint",
    "expected_version": "bigint",
    "reason": "text",
    "name": "text",
    "not_valid": "boolean",
}
"""Name to SQL type of the functions' parameters; in SQL each name begins with ``p_``."""
_TIMES_OF_DAY = [name for name, column in GROUP_COLUMNS.items() if isinstance(column, TimeColumn) and column.is_nullable]


class ChangingStore(HistoryStore):
    """
    The part of the store that makes changes.

    Each change and its audit entry are one transaction. The entry records ``updated_by`` beside the database's user (None: the
    database's user alone) and ``reason``. With ``expected_version`` the change is made only if the row still has that version; 0
    means that there must be no row. All methods raise DagConfigConflictError where another transaction changes the same at the same
    time and PostgreSQL lets only one of the two continue: then nothing was changed, and the change may be retried.
    """

    def update_dag_config(
        self,
        /,
        dag_name: str,
        job_name: str = "all",
        *,
        updated_by: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
        **values: Value,
    ) -> DagConfig:
        """
        Change a job's row, or create it; None leaves a value as it is.

        The change is refused if the job is enabled and could not run afterwards.

        :param values: the columns of ``CONFIG_COLUMNS``, such as ``memory_limit="4Gi"``; an empty text removes an optional value:
            the description, the growth of memory and its limit.
        :return: the configuration that the job runs with now, with its overrides.
        :raises DagConfigInvalidError: a value breaks a rule, or the job could not run with it.
        :raises DagConfigStaleError: the row does not have the expected version.
        """
        columns = _checked_columns("update_dag_config", CONFIG_COLUMNS, values)
        parameters = _parameters(
            dag_name=dag_name, job_name=job_name, updated_by=updated_by, reason=reason, expected_version=expected_version, **columns
        )
        with self.transaction():
            self._call("update_dag_config", parameters)
            # Read inside the transaction, so that an unusable row is rolled back.
            return self.get_dag_config(dag_name, job_name)

    def delete_dag_config(
        self,
        dag_name: str,
        job_name: str,
        *,
        updated_by: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> None:
        """
        Delete a job's row. From then on the defaults are in force.

        :raises DagConfigNotFoundError: there is no such row.
        :raises DagConfigStaleError: the row does not have the expected version.
        """
        self._call(
            "delete_dag_config",
            _parameters(
                dag_name=dag_name, job_name=job_name, updated_by=updated_by, reason=reason, expected_version=expected_version
            ),
        )

    def rename_dag_config(
        self,
        dag_name: str,
        job_name: str,
        new_job_name: str | None = None,
        *,
        new_dag_name: str | None = None,
        updated_by: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> JobRow:
        """
        Give a job another name, or move it to another DAG. Its row stays the same, with the same id.

        Overrides that have not ended are ended, and created again under the new name. The audit has an entry under each name, whose
        reason has both names.

        :return: the job under its new name.
        :raises DagConfigNotFoundError: there is no such row.
        :raises DagConfigConflictError: the new name has a row already, or an override must be ended first.
        :raises DagConfigStaleError: the row does not have the expected version.
        :raises DagConfigInvalidError: the new name, or a value of the row, breaks a rule.
        """
        old, new = (dag_name, job_name), (new_dag_name or dag_name, new_job_name or job_name)
        why = f": {reason}" if reason else ""
        rename_reason = f"renamed from {'/'.join(old)} to {'/'.join(new)}{why}"
        name = {"dag_name": dag_name, "job_name": job_name}
        with self.transaction():
            if not self._ask(_EXPECT_VERSION, {**name, "expected": expected_version}, purpose="writing"):
                raise DagConfigNotFoundError(f"There is no row for {'/'.join(old)} ({self.location})")
            if self.get_dag_config_row(*new).row is not None:
                raise DagConfigConflictError(f"There is a row for {'/'.join(new)} already ({self.location}). Nothing was changed.")
            overrides = [each for each in self.get_overrides(*old, active_only=False) if each.state != "ended"]
            for each in overrides:
                self.end_override(each.override_id, updated_by=updated_by, reason=rename_reason)
            self._ask(_SET_AUTHOR, {"updated_by": updated_by, "reason": rename_reason}, purpose="writing")
            self._ask(_RENAME, {**name, "new_dag": new[0], "new_job": new[1]}, purpose="writing")
            self._ask(_SET_AUTHOR, {"updated_by": None, "reason": None}, purpose="writing")
            for each in reversed(overrides):
                if isinstance(each.ends_at, Unreadable) or isinstance(each.starts_at, Unreadable):
                    raise DagConfigConflictError(
                        f"{each} has no end that can be written ({self.location}). Nothing was changed. To end it first:"
                        f" {self.location.command('override', options=['--end', str(each.override_id)])}"
                    )
                starts_at = each.starts_at if each.state == "planned" else None
                why = each.reason or rename_reason
                self.override_dag_config(
                    *new, until=each.ends_at, starts_at=starts_at, reason=why, updated_by=updated_by, **each.values
                )
            return self.get_dag_config_row(*new)

    def update_exchange_group(
        self,
        /,
        name: str,
        *,
        updated_by: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
        **values: Value,
    ) -> ExchangeGroup:
        """
        Change a group, or create it (which needs ``exchanges``); None leaves a value as it is.

        :param values: the columns of ``GROUP_COLUMNS``, such as ``priority=10``; an empty text removes a description, or the time
            when a market opens or closes. The removal of a time has its own audit entry, beside the entry of the other changes.
        :return: the group as it is now.
        :raises DagConfigInvalidError: a value breaks a rule, or the group could not be used.
        :raises DagConfigStaleError: the group does not have the expected version.
        """
        columns = _checked_columns("update_exchange_group", GROUP_COLUMNS, values)
        # To the function, NULL means that a value stays. It removes a description itself.
        cleared = [column for column, value in columns.items() if value == "" and column in _TIMES_OF_DAY]
        columns = {column: value for column, value in columns.items() if column not in cleared}
        parameters = _parameters(
            group_name=name, updated_by=updated_by, reason=reason, expected_version=expected_version, **columns
        )
        with self.transaction():
            self._call("update_exchange_group", parameters)
            if cleared:
                self._clear_times(name, cleared, updated_by, reason)
            return self.get_exchange_group(name)

    def _clear_times(self, group: str, columns: Sequence[str], updated_by: str | None, reason: str | None) -> None:
        names = [sql.Identifier(column) for column in columns]
        self._ask(_SET_AUTHOR, {"updated_by": updated_by, "reason": reason}, purpose="writing")
        self._ask(
            _CLEAR,
            {"group_name": group},
            purpose="writing",
            cleared=sql.SQL(", ").join(sql.SQL("{} = NULL").format(name) for name in names),
            columns=sql.SQL(", ").join(names),
        )
        self._ask(_SET_AUTHOR, {"updated_by": None, "reason": None}, purpose="writing")

    def delete_exchange_group(
        self, name: str, *, updated_by: str | None = None, reason: str | None = None, expected_version: int | None = None
    ) -> None:
        """
        Delete a group. The rows of its jobs stay.

        :raises DagConfigNotFoundError: there is no such group.
        :raises DagConfigStaleError: the group does not have the expected version.
        """
        self._call(
            "delete_exchange_group",
            _parameters(group_name=name, updated_by=updated_by, reason=reason, expected_version=expected_version),
        )

    def override_dag_config(
        self,
        /,
        dag_name: str,
        job_name: str = "all",
        *,
        until: datetime | None = None,
        for_: timedelta | str | None = None,
        reason: str,
        starts_at: datetime | None = None,
        updated_by: str | None = None,
        **values: Value,
    ) -> Override:
        """
        Set values of a job for a time; afterwards they end by themselves. Of several overrides the newest wins, value by value.

        :param until: the end. Give this or ``for_``.
        :param for_: the duration, from ``starts_at`` on: a timedelta, or a text such as ``45m``, ``2h``, ``3d``.
        :param starts_at: the beginning; None for now.
        :param values: the columns of ``OVERRIDE_COLUMNS``, such as ``memory_limit="4Gi"``; None leaves a value as it is.
        :raises DagConfigNotFoundError: the job has no row.
        :raises DagConfigInvalidError: a value breaks a rule, alone or together with the row; or the end is missing or not valid.
        """
        columns = _checked_columns("override_dag_config", OVERRIDE_COLUMNS, values)
        parameters = _parameters(dag_name=dag_name, job_name=job_name, updated_by=updated_by, reason=reason, **columns)
        if starts_at is not None:
            parameters["starts_at"] = with_zone(starts_at, "starts_at")
        with self.transaction():
            parameters["ends_at"] = self._override_end(until, for_, starts_at)
            return self.get_override(self._call("override_dag_config", parameters))

    def end_override(self, override_id: int, *, updated_by: str | None = None, reason: str | None = None) -> Override:
        """
        End an override early, or drop one that has not begun.

        :raises DagConfigNotFoundError: there is no such override.
        :raises DagConfigConflictError: it has ended already.
        """
        parameters = _parameters(override_id=override_id, updated_by=updated_by, reason=reason)
        with self.transaction():
            self._call("end_override", parameters)
            return self.get_override(override_id)

    def rollback_change(self, audit_id: int, *, updated_by: str | None = None, reason: str | None = None) -> HistoryEntry:
        """
        Undo one change. The columns that it changed get their earlier values back; an override that it created is ended.

        :return: the audit entry of the rollback, which is a change itself.
        :raises DagConfigNotFoundError: there is no such audit entry.
        :raises DagConfigConflictError: a later change gave a column another value, or changed a row that the rollback would delete.
        :raises DagConfigInvalidError: the row would break a rule.
        """
        parameters = _parameters(audit_id=audit_id, updated_by=updated_by, reason=reason)
        with self.transaction():
            self._call("rollback_change", parameters)
            undone = self.get_change(audit_id)
            return self.get_history(undone.dag_name, undone.job_name, undone.group_name, limit=1)[0]

    def rollback_dag_config(
        self,
        dag_name: str,
        job_name: str,
        moment: datetime,
        *,
        updated_by: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> JobRow:
        """
        Give a job's row the values that it had at a moment, whatever happened since. Overrides stay.

        :return: the job as it is now.
        :raises DagConfigNotFoundError: there was no row at that moment.
        :raises DagConfigStaleError: the row does not have the expected version.
        :raises DagConfigInvalidError: the row would break a rule.
        """
        parameters = _parameters(
            dag_name=dag_name,
            job_name=job_name,
            moment=moment,
            updated_by=updated_by,
            reason=reason,
            expected_version=expected_version,
        )
        with self.transaction():
            self._call("rollback_dag_config", parameters)
            return self.get_dag_config_row(dag_name, job_name)

    def set_ceiling(
        self,
        name: str,
        value: str | Quantity | int,
        dag_name: str | None = None,
        *,
        not_valid: bool = False,
        updated_by: str | None = None,
        reason: str | None = None,
    ) -> Ceiling:
        """
        Set the most that jobs may have of something. Only the owner of the tables may do this.

        :param name: ``cpu``, ``memory``, ``timeout_seconds`` or ``max_retries``.
        :param dag_name: for the jobs of this DAG; None for all DAGs. Where both are set, the lower ceiling applies.
        :param not_valid: set it although rows or overrides are above it: they stay until they are changed.
        :return: the ceiling as it is now.
        :raises DagConfigInvalidError: the name or the value is not valid.
        :raises DagConfigConflictError: something in force is above it; ``detail["above"]`` lists what.
        """
        checked = _ceiling_value(name, value, dag_name)
        parameters = _parameters(
            name=name, value=checked, dag_name=dag_name, not_valid=not_valid, updated_by=updated_by, reason=reason
        )
        with self.transaction():
            self._call("set_ceiling", parameters, purpose="owning")
            return next(each for each in self.get_ceilings(dag_name) if (each.name, each.dag_name) == (name, dag_name))

    def remove_ceiling(
        self, name: str, dag_name: str | None = None, *, updated_by: str | None = None, reason: str | None = None
    ) -> None:
        """
        Remove a ceiling of a DAG, or of all DAGs (None). Only the owner of the tables may do this.

        :raises DagConfigNotFoundError: there is no such ceiling.
        """
        parameters = _parameters(name=name, dag_name=dag_name, updated_by=updated_by, reason=reason)
        self._call("remove_ceiling", parameters, purpose="owning")

    def _override_end(self, until: datetime | None, for_: timedelta | str | None, starts_at: datetime | None) -> datetime:
        """Return when an override ends: at a moment, or after a duration from its beginning, by the database's clock."""
        if (until is None) == (for_ is None):
            raise DagConfigInvalidError("An override needs an end: give until (a moment) or for_ (a duration), one of the two")
        if until is not None:
            return with_zone(until, "until")
        try:
            duration = parse_duration(for_) if isinstance(for_, str) else for_
        except ValueError as error:
            raise DagConfigInvalidError(f"for_ {error}") from None
        beginning: datetime = starts_at or self._ask(sql.SQL("SELECT now() AS now"), {})[0]["now"]
        try:
            return beginning + cast("timedelta", duration)
        except OverflowError:
            raise DagConfigInvalidError(f"for_ {duration} from {beginning} ends after the last year that can be written") from None

    def _call(self, function: str, parameters: Mapping[str, Any], purpose: Purpose = "writing") -> Any:
        """Call one function of the migrations with named parameters, and return its result."""
        assignments = sql.SQL(", ").join(
            sql.SQL("{} => CAST({} AS {})").format(sql.Identifier(f"p_{name}"), sql.Placeholder(name), sql.SQL(_TYPES[name]))
            for name in parameters
        )
        with self.transaction():
            rows = self._ask(_CALL, parameters, purpose=purpose, function=sql.Identifier(function), assignments=assignments)
        return rows[0]["result"]


def _checked_columns(function: str, columns: Iterable[str], values: Mapping[str, Value]) -> Mapping[str, Value]:
    """
    Check that a method was given only known columns, as Python does for declared arguments.

    :raises TypeError: a name is not a column.
    """
    for name in values:
        if name not in columns:
            suggestion = did_you_mean(name, columns)
            raise TypeError(f"{function}() has no argument {name!r}.{suggestion} There are: {', '.join(columns)}")
    return values


def _parameters(**arguments: Any) -> dict[str, Any]:
    """
    Turn arguments into parameters of a function of the migrations.

    :raises DagConfigInvalidError: a moment has no time zone, or a value does not fit into its column.
    """
    parameters = {name: _parameter_value(name, value) for name, value in arguments.items()}
    for name, value in parameters.items():
        if name in _COLUMNS and (problem := _COLUMNS[name].misfit(value)):
            subject = f"exchange group {parameters['group_name']}" if "group_name" in parameters else _job_text(parameters)
            raise DagConfigInvalidError(f"{name} {str(value)!r}{subject and f' of {subject}'} {problem}. Nothing was changed.")
    # An empty text removes a number too; to the functions of the migrations that is 0.
    return {
        name: 0 if value == "" and isinstance(_COLUMNS.get(name), DecimalColumn) else value for name, value in parameters.items()
    }


def _parameter_value(name: str, value: Any) -> Any:
    if isinstance(value, Quantity):
        return value.text
    if isinstance(value, datetime):
        return with_zone(value, name)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else value


def _ceiling_value(name: str, value: object, dag_name: str | None) -> str:
    if name not in BOUNDED:
        raise DagConfigInvalidError(
            f"There is no ceiling {name!r}.{did_you_mean(name, BOUNDED)} There are: {', '.join(BOUNDED)}. Nothing was changed."
        )
    try:
        return checked_ceiling(name, value)
    except ValueError as error:
        raise DagConfigInvalidError(f"the ceiling {name} of {whose(dag_name)}: {error}. Nothing was changed.") from None


def _job_text(parameters: Mapping[str, Any]) -> str:
    return f"{parameters['dag_name']}/{parameters['job_name']}" if "job_name" in parameters else ""
