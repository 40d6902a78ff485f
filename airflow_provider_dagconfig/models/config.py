"""The configuration that a job runs with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from airflow_provider_dagconfig.models.as_json import exact_values, from_values, json_values
from airflow_provider_dagconfig.models.columns import (
    KEY,
    BooleanColumn,
    Column,
    DecimalColumn,
    NameColumn,
    NumberColumn,
    QuantityColumn,
    TextColumn,
    columns_of,
)
from airflow_provider_dagconfig.models.invalid_row import InvalidRowError, shown
from airflow_provider_dagconfig.models.moments import Unreadable
from airflow_provider_dagconfig.models.quantity import Quantity
from airflow_provider_dagconfig.models.records import Change, Override, RowChange
from airflow_provider_dagconfig.models.statements import DEFAULT_SCHEMA, call, literal, update_statement

LONGEST_TIMEOUT_SECONDS = 604_800
"""Seconds: a week. A longer timeout is refused."""

MOST_RETRIES = 10
"""Retries: the most that a row allows. It is the ceiling of a task whose author sets no number of retries."""

RETRY_PAUSE = timedelta(minutes=1)
"""The delay until the next try, before spread, after an end that uses up no retry."""

FORMAT = 3
"""The format of :meth:`DagConfig.to_dict`. The number changes when a field is added or removed, or its meaning changes."""


@dataclass(frozen=True)
class DagConfig:
    """
    The configuration that one job of one DAG runs with.

    :raises InvalidRowError: when it is made with a value that cannot be used.
    """

    dag_name: str = field(metadata={KEY: NameColumn("The DAG's id", length=100)})
    job_name: str = field(metadata={KEY: NameColumn("The job inside the DAG: an exchange group's name, or all", length=100)})
    cpu_request: Quantity = field(
        default=Quantity.parse("500m"),
        metadata={KEY: QuantityColumn("Cores that are reserved", resource="cpu", within="cpu_limit")},
    )
    cpu_limit: Quantity = field(
        default=Quantity.parse("2000m"),
        metadata={KEY: QuantityColumn("Cores above which the container is throttled", resource="cpu")},
    )
    memory_request: Quantity = field(
        default=Quantity.parse("1Gi"),
        metadata={KEY: QuantityColumn("Bytes that are reserved", resource="memory", within="memory_limit")},
    )
    memory_limit: Quantity = field(
        default=Quantity.parse("2Gi"),
        metadata={KEY: QuantityColumn("Bytes above which the container is OOMKilled", resource="memory")},
    )
    batch_size: int = field(default=500, metadata={KEY: NumberColumn("Assets a batch", least=1, most=1_000_000)})
    timeout_seconds: int = field(
        default=600,
        metadata={KEY: NumberColumn("Seconds after which the pod is ended", least=1, most=LONGEST_TIMEOUT_SECONDS)},
    )
    max_retries: int = field(
        default=2, metadata={KEY: NumberColumn("Retries of the Airflow task after its first try", least=0, most=MOST_RETRIES)}
    )
    retry_delay_minutes: int = field(default=5, metadata={KEY: NumberColumn("Minutes before the first retry", least=0, most=1_440)})
    retry_backoff_enabled: bool = field(default=True, metadata={KEY: BooleanColumn("Whether the delay grows from retry to retry")})
    enabled: bool = field(default=True, metadata={KEY: BooleanColumn("Whether the job runs; if not, its tasks are skipped")})
    priority: int = field(default=5, metadata={KEY: NumberColumn("Higher first", least=1, most=10, is_needed=False)})
    description: str | None = field(
        default=None, metadata={KEY: TextColumn("A text for people", length=4_000, is_overridable=False)}
    )
    memory_growth: Decimal | None = field(
        default=None,
        metadata={
            KEY: DecimalColumn(
                "Factor by which memory grows for the next try once one was OOMKilled",
                least=Decimal("1.1"),
                most=Decimal(10),
                example="2",
            )
        },
    )
    memory_growth_limit: Quantity | None = field(
        default=None,
        metadata={KEY: QuantityColumn("Bytes up to which memory grows; none: to the ceiling", resource="memory")},
    )
    origin: str = ""
    """The origin of the values: ``financial_screener.dag_configuration, row 3``, or why they are defaults."""
    updated_at: datetime | Unreadable | None = None
    """The time of the last change of the row; None without a row."""
    change: Change | None = None
    """The last audit entry of this job."""
    row_change: RowChange | None = None
    """The last audit entry of the row itself; without a row, that of its deletion. None where there never was a row."""
    disabled_change: Change | None = None
    """The audit entry that disabled the job, when it is disabled."""
    schema: str = DEFAULT_SCHEMA
    """The database schema of the row."""
    version: int | None = None
    """The row's version, which grows by one with each change; None without a row."""
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Column to the origin of its value: ``row``, ``default``, ``override 7 until 2026-11-24 06:00:00+00:00``, ``run``."""
    overrides: tuple[Override, ...] = ()
    """The overrides in force, newest first."""

    def __post_init__(self) -> None:
        for name, column in CONFIG_COLUMNS.items():
            value = getattr(self, name)
            if not (value is None and column.is_nullable) and (problem := column.problem(value)):
                raise self._invalid(name, problem)
        for request, limit in _LIMITS.items():
            most = getattr(self, limit)
            if getattr(self, request) > most:
                raise self._invalid(request, f"is over {limit} {most.text!r}; lower it, or raise the limit", most)

    @classmethod
    def defaults(cls, dag_name: str, job_name: str, schema: str = DEFAULT_SCHEMA) -> DagConfig:
        """Return the configuration of a job without a row: the defaults of the table's columns."""
        origin = f"defaults: no row for {dag_name}/{job_name} in {schema}.dag_configuration"
        row = {name: column.default for name, column in CONFIG_COLUMNS.items()}
        row |= {"dag_name": dag_name, "job_name": job_name, "sources": dict.fromkeys(CONFIG_COLUMNS, "default")}
        return cls.from_row(row, origin=origin, schema=schema)

    @classmethod
    def from_row(
        cls,
        row: Mapping[str, Any],
        *,
        origin: str,
        schema: str = DEFAULT_SCHEMA,
        change: Change | None = None,
        row_change: RowChange | None = None,
        disabled_change: Change | None = None,
    ) -> DagConfig:
        """
        Read a row of ``dag_configuration``.

        A disabled job does not run, so an unusable value of its row is replaced by the column's default, and ``origin`` says so: a
        job can be disabled at night whatever else is wrong with its row.

        :param row: column to value, as psycopg returns them; columns that DagConfig lacks are ignored.
        :raises InvalidRowError: names the first value that cannot be used.
        """
        known = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        changes = {"change": change, "row_change": row_change, "disabled_change": disabled_change}
        known |= {"origin": origin, "schema": schema, **changes}
        if known["enabled"] is not False:
            _see_that_overrides_can_be_read(known, schema)
        try:
            return cls(**(known | _typed_values(known, schema)))
        except InvalidRowError as error:
            if known["enabled"] is not False:
                raise
            # A request and its limit must fit each other, so both get the default.
            mended = _mended_together(error.column)
            known |= {column: CONFIG_COLUMNS[column].default for column in mended}
            return cls.from_row(
                known | {"sources": {**known.get("sources", {}), **dict.fromkeys(mended, "default")}},
                origin=f"{origin} ({error.column} {shown(error.value)} {error.problem}; the default is shown)",
                schema=schema,
                change=change,
                row_change=row_change,
                disabled_change=disabled_change,
            )

    def update_statement(self, column: str, value: object) -> str:
        """
        Return the SQL statement that sets a column of this job, to be pasted into psql.

        Where an override has set the column, it makes a new override until the same moment: a changed row would have no effect.

        :param value: a str, Quantity, int or bool.
        """
        for override in self.overrides:
            if self.sources.get(column, "").startswith(override.source):
                ends_at, reason = literal(override.ends_at), literal(override.reason)
                return call(
                    self.schema,
                    "override_dag_config",
                    *(literal(self.dag_name), literal(self.job_name)),
                    *(f"p_ends_at => {ends_at}", f"p_reason => {reason}", f"p_{column} => {literal(value)}"),
                )
        return update_statement(self.schema, self.dag_name, self.job_name, {column: value})

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON: quantities as written, times in ISO 8601, changes as dicts or None, overrides by id."""
        return json_values(self) | {"overrides": {str(o.override_id): o.as_dict() for o in self.overrides}}

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON values, with exact moments; :meth:`from_dict` makes the same configuration from them."""
        return {"format": FORMAT, **exact_values(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DagConfig:
        """
        Read the result of :meth:`to_dict`, whether it went through JSON or not.

        :raises ValueError: another version wrote it, or a value is missing, unknown or of another type.
        """
        given = dict(values)
        found = given.pop("format", None)
        if found != FORMAT or isinstance(found, bool):
            raise ValueError(
                f"A job's configuration in format {shown(found)} cannot be read: this version of airflow-provider-dagconfig reads"
                f" format {FORMAT}. Let all of Airflow's processes have the same version of it"
            )
        try:
            return from_values(cls, given)
        except InvalidRowError:
            raise
        except ValueError as error:
            raise ValueError(f"A job's configuration in format {FORMAT} cannot be read: {error}") from None

    def _invalid(self, column: str, problem: str, instead: object = None) -> InvalidRowError:
        return _invalid(vars(self), self.schema, column, problem, instead)


def _see_that_overrides_can_be_read(row: Mapping[str, Any], schema: str) -> None:
    for override in row.get("overrides") or ():
        for column in ("starts_at", "ends_at", "ended_at"):
            value = getattr(override, column)
            if isinstance(value, Unreadable):
                raise InvalidRowError(
                    f"override {override.override_id} of {override.dag_name}/{override.job_name}",
                    column,
                    value,
                    "is no moment from the years 1 to 9999; end the override, and make another one until such a moment",
                    call(schema, "end_override", str(override.override_id)),
                )


def _typed_values(row: Mapping[str, Any], schema: str) -> dict[str, Any]:
    """Turn a row's values into the fields' values. Raise if a needed value is NULL."""
    typed: dict[str, Any] = {}
    for name, column in CONFIG_COLUMNS.items():
        value = row[name]
        if value is not None:
            try:
                typed[name] = column.from_row(value)
            except ValueError as error:
                raise _invalid(row, schema, name, str(error).removeprefix(f"{value!r} ")) from None
        elif column.is_nullable or not column.is_needed:
            typed[name] = column.default
        else:
            raise _invalid(row, schema, name, f"is no value; the column's default is {column.default}")
    return typed


def _invalid(row: Mapping[str, Any], schema: str, column: str, problem: str, instead: object = None) -> InvalidRowError:
    job = f"{row['dag_name']}/{row['job_name']}"
    remedy = _remedy(row, schema, column, instead or _usable(CONFIG_COLUMNS[column]))
    return InvalidRowError(job, column, row[column], problem, remedy)


def _usable(column: Column) -> object:
    """Return a value that a job can run with: the default, or an example where there is no default."""
    return column.example if column.default is None and isinstance(column, DecimalColumn | QuantityColumn) else column.default


def _remedy(row: Mapping[str, Any], schema: str, column: str, value: object) -> str:
    """Return the remedy at the origin of a value: the run first, because it wins over all others, then an override, or the row."""
    sources = row.get("sources") or {}
    involved = [column, *(other for other in _mended_together(column) if other != column)]
    by_run = [name for name in involved if sources.get(name) == "run"]
    if by_run:
        return f'trigger the DAG with another {" and ".join(by_run)} in the conf\'s "dagconfig", or without'
    for override in row.get("overrides") or ():
        if override.source in map(sources.get, involved):
            return call(schema, "end_override", str(override.override_id))
    return update_statement(schema, row["dag_name"], row["job_name"], _that_fit(row, column, value))


def _that_fit(row: Mapping[str, Any], column: str, value: object) -> dict[str, object]:
    """Return the value, and the other values that must be set with it: one rule covers a request and its limit."""
    pair = _mended_together(column)
    if len(pair) == 1:
        return {column: value}
    now: dict[str, Any] = {name: _text_of(row[name]) for name in pair} | {column: _text_of(value)}
    request, limit = pair
    fit = {name: text if _keeps_rules(name, text) else CONFIG_COLUMNS[name].default for name, text in now.items()}
    if Quantity.parse(fit[request]) > Quantity.parse(fit[limit]):
        fit |= {limit: fit[request]} if column == limit or fit[limit] != now[limit] else {request: fit[limit]}
    return {name: text for name, text in fit.items() if name == column or text != now[name]}


def _text_of(value: object) -> Any:
    return value.text if isinstance(value, Quantity) else value


def _keeps_rules(column: str, value: object) -> bool:
    try:
        CONFIG_COLUMNS[column].checked(value)
    except ValueError:
        return False
    return True


def _mended_together(column: str) -> tuple[str, ...]:
    """Return the columns that must fit each other: a request and its limit; otherwise the column alone."""
    return next((pair for pair in _LIMITS.items() if column in pair), (column,))


CONFIG_COLUMNS = columns_of(DagConfig)
"""The configurable columns of a job."""

OVERRIDE_COLUMNS: Mapping[str, Column] = {name: column for name, column in CONFIG_COLUMNS.items() if column.is_overridable}
"""The columns that an override, or a run, may set."""

_LIMITS = {name: column.within for name, column in CONFIG_COLUMNS.items() if isinstance(column, QuantityColumn) and column.within}
"""Column of the request to the column of its limit."""
