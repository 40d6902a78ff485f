"""The changes of jobs, exchange groups and overrides, and roll-backs. Each is a function that the migrations make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, cast

from psycopg import sql

from airflow_provider_dagconfig.exceptions import DagConfigInvalidError
from airflow_provider_dagconfig.models import RANGES, Quantity, is_exchange_code, parse_duration
from airflow_provider_dagconfig.store.connection import with_zone
from airflow_provider_dagconfig.store.history import HistoryStore

if TYPE_CHECKING:
    from typing_extensions import LiteralString

    from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup, HistoryEntry, JobRow, Override

_CALL = sql.SQL("SELECT {schema}.{function}({assignments}) AS result")
_TYPES: dict[str, LiteralString] = {
    "dag_name": "text",
    "job_name": "text",
    "group_name": "text",
    "cpu_request": "text",
    "cpu_limit": "text",
    "memory_request": "text",
    "memory_limit": "text",
    "batch_size": "integer",
    "timeout_seconds": "integer",
    "max_retries": "integer",
    "retry_delay_minutes": "integer",
    "retry_backoff_enabled": "boolean",
    "enabled": "boolean",
    "priority": "integer",
    "description": "text",
    "display_name": "text",
    "exchanges": "text[]",
    "primary_timezone": "text",
    "market_open_utc": "time",
    "market_close_utc": "time",
    "starts_at": "timestamptz",
    "ends_at": "timestamptz",
    "moment": "timestamptz",
    "override_id": "bigint",
    "audit_id": "bigint",
    "expected_version": "bigint",
    "updated_by": "text",
    "reason": "text",
}
"""The functions' parameters, which are called as here with p_ before."""
_LENGTHS = {
    **dict.fromkeys(("cpu_request", "cpu_limit", "memory_request", "memory_limit"), 20),
    **dict.fromkeys(("group_name", "primary_timezone"), 50),
    **dict.fromkeys(("dag_name", "job_name", "display_name", "updated_by"), 100),
}
"""The most characters that the columns hold."""
_INTEGERS = range(-(2**31), 2**31)


class ChangingStore(HistoryStore):
    """
    The part of the store that changes something.

    Each change and its entry in the audit are one transaction. ``updated_by`` is who is booked there, beside the database's
    user; None: the database's user. ``reason`` is booked with it. With ``expected_version`` the change is made only if the row
    is still of that version; 0: if there is no row. All raise DagConfigConflictError where another transaction changes the same at
    the same time and PostgreSQL lets only one of the two go on: nothing was changed then, and it may be tried again.
    """

    def update_dag_config(
        self,
        dag_name: str,
        job_name: str = "all",
        *,
        cpu_request: str | Quantity | None = None,
        cpu_limit: str | Quantity | None = None,
        memory_request: str | Quantity | None = None,
        memory_limit: str | Quantity | None = None,
        batch_size: int | None = None,
        timeout_seconds: int | None = None,
        max_retries: int | None = None,
        retry_delay_minutes: int | None = None,
        retry_backoff_enabled: bool | None = None,
        enabled: bool | None = None,
        priority: int | None = None,
        description: str | None = None,
        updated_by: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> DagConfig:
        """
        Change a job's row, or make it; None leaves a value as it is.

        It leaves a job that can run, or one that is disabled, or changes nothing.

        :param description: an empty text removes it.
        :return: what the job runs with now, overrides applied.
        :raises DagConfigInvalidError: a value breaks a rule, or the job could not run with it.
        :raises DagConfigStaleError: the row is not of the expected version.
        """
        given = _given(locals())
        with self.transaction():
            self._call("update_dag_config", given)
            # Read inside the transaction, so that a row that cannot be used is rolled back.
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
        Delete a job's row; from then on the defaults are in force.

        :raises DagConfigNotFoundError: there is no such row.
        :raises DagConfigStaleError: the row is not of the expected version.
        """
        self._call("delete_dag_config", _given(locals()))

    def update_exchange_group(
        self,
        name: str,
        *,
        display_name: str | None = None,
        exchanges: Sequence[str] | None = None,
        primary_timezone: str | None = None,
        market_open_utc: time | None = None,
        market_close_utc: time | None = None,
        enabled: bool | None = None,
        priority: int | None = None,
        description: str | None = None,
        updated_by: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> ExchangeGroup:
        """
        Change a group, or make it (which needs ``exchanges``); None leaves a value as it is.

        :param description: an empty text removes it.
        :return: the group as it is now.
        :raises DagConfigInvalidError: a value breaks a rule, or the group could not be used.
        :raises DagConfigStaleError: the group is not of the expected version.
        """
        given = _given(locals())
        with self.transaction():
            self._call("update_exchange_group", given)
            return self.get_exchange_group(name)

    def delete_exchange_group(
        self, name: str, *, updated_by: str | None = None, reason: str | None = None, expected_version: int | None = None
    ) -> None:
        """
        Delete a group; its jobs' rows stay.

        :raises DagConfigNotFoundError: there is no such group.
        :raises DagConfigStaleError: the group is not of the expected version.
        """
        self._call("delete_exchange_group", _given(locals()))

    def override_dag_config(
        self,
        dag_name: str,
        job_name: str = "all",
        *,
        until: datetime | None = None,
        for_: timedelta | str | None = None,
        reason: str,
        starts_at: datetime | None = None,
        cpu_request: str | Quantity | None = None,
        cpu_limit: str | Quantity | None = None,
        memory_request: str | Quantity | None = None,
        memory_limit: str | Quantity | None = None,
        batch_size: int | None = None,
        timeout_seconds: int | None = None,
        max_retries: int | None = None,
        retry_delay_minutes: int | None = None,
        retry_backoff_enabled: bool | None = None,
        enabled: bool | None = None,
        priority: int | None = None,
        updated_by: str | None = None,
    ) -> Override:
        """
        Set values of a job for a time; they end by themselves. Of several overrides the newest wins, value by value.

        :param until: the end; or else
        :param for_: how long, from ``starts_at`` on: a timedelta, or a text such as ``45m``, ``2h``, ``3d``.
        :param starts_at: the beginning; None: now.
        :raises DagConfigNotFoundError: the job has no row.
        :raises DagConfigInvalidError: a value breaks a rule, also together with the row; or the end is not one.
        """
        given = _given(locals())
        if starts_at is None:
            del given["starts_at"]
        with self.transaction():
            given["ends_at"] = self._end(until, for_, starts_at)
            return self.get_override(self._call("override_dag_config", given))

    def end_override(self, override_id: int, *, updated_by: str | None = None, reason: str | None = None) -> Override:
        """
        End an override before its time, or drop one that has not begun.

        :raises DagConfigNotFoundError: there is no such override.
        :raises DagConfigConflictError: it has ended already.
        """
        given = _given(locals())
        with self.transaction():
            self._call("end_override", given)
            return self.get_override(override_id)

    def rollback_change(self, audit_id: int, *, updated_by: str | None = None, reason: str | None = None) -> HistoryEntry:
        """
        Undo one change: the columns that it changed get their values from before; an override that was made is ended.

        :return: the entry of the roll-back, which is a change itself.
        :raises DagConfigNotFoundError: there is no such entry.
        :raises DagConfigConflictError: a later change gave the same columns other values, or a row that would go has changed since.
        :raises DagConfigInvalidError: the row would break a rule.
        """
        given = _given(locals())
        with self.transaction():
            self._call("rollback_change", given)
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
        Give a job's row the values that it had at a moment, whatever happened since; overrides stay.

        :return: the job as it is now.
        :raises DagConfigNotFoundError: there was no row then.
        :raises DagConfigStaleError: the row is not of the expected version.
        :raises DagConfigInvalidError: the row would break a rule.
        """
        given = _given(locals())
        with self.transaction():
            self._call("rollback_dag_config", given)
            return self.get_dag_config_row(dag_name, job_name)

    def _end(self, until: datetime | None, for_: timedelta | str | None, starts_at: datetime | None) -> datetime:
        """Say when an override ends: at a moment, or so long after its beginning, by the database's clock."""
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

    def _call(self, function: str, given: Mapping[str, Any]) -> Any:
        """Call one function of the migrations, with named parameters, and give its result."""
        assignments = sql.SQL(", ").join(
            sql.SQL("{} => CAST({} AS {})").format(sql.Identifier(f"p_{name}"), sql.Placeholder(name), sql.SQL(_TYPES[name]))
            for name in given
        )
        with self.transaction():
            rows = self._ask(_CALL, given, purpose="writing", function=sql.Identifier(function), assignments=assignments)
        return rows[0]["result"]


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """
    Turn a method's arguments, as ``locals()`` gives them at its beginning, into the parameters of its function.

    :raises DagConfigInvalidError: a moment has no time zone, or a value does not fit into its column.
    """
    given: dict[str, Any] = {}
    for name, value in arguments.items():
        if name == "name":
            given["group_name"] = value
        elif name not in _TYPES:
            continue
        elif isinstance(value, Quantity):
            given[name] = value.text
        elif isinstance(value, datetime):
            given[name] = with_zone(value, name)
        elif name == "exchanges" and isinstance(value, Sequence) and not isinstance(value, str | bytes):
            given[name] = list(value)
        else:
            given[name] = value
    for name, value in given.items():
        if problem := _misfit(name, value):
            subject = f"exchange group {given['group_name']}" if "group_name" in given else _job(given)
            raise DagConfigInvalidError(f"{name} {str(value)!r}{subject and f' of {subject}'} {problem}. Nothing was changed.")
    return given


def _misfit(name: str, value: object) -> str | None:
    """Say why a value does not fit into its column; PostgreSQL would not say into which."""
    if isinstance(value, str) and len(value) > (most := _LENGTHS.get(name, len(value))):
        return f"has {len(value)} characters; write {most} at most"
    if name == "exchanges" and value is not None and not _are_exchange_codes(value):
        return "must be a list of exchange codes, of letters, digits, '.', '-' and '_' without blanks, such as ['NYSE', 'NASDAQ']"
    if _TYPES[name] == "integer" and isinstance(value, int) and value not in _INTEGERS:
        least, most = RANGES[name]
        return f"must be a whole number from {least} to {most}"
    return None


def _are_exchange_codes(value: object) -> bool:
    # An empty code, as one that is there twice, is the rule's to refuse.
    return isinstance(value, list) and all(code == "" or is_exchange_code(code) for code in value)


def _job(given: Mapping[str, Any]) -> str:
    return f"{given['dag_name']}/{given['job_name']}" if "dag_name" in given else ""
