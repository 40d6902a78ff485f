"""
What a row of the configuration store means: quantities, a job's configuration, an exchange group, a change.

All of it is frozen and checked when it is made. Neither Airflow nor the database is known here; the hook reads the
rows, and kubectl/manifest.py says what becomes of the values in a pod.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

DEFAULT_SCHEMA = "financial_screener"

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]+))?"
)
_FACTORS = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{suffix: Fraction(1024**power) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
_LARGEST = 2**63 - 1
_FINEST = Fraction(1, 10**9)
# Longer exponents cannot be in range with any number that a person writes; 10**n for them would take for ever.
_LONGEST_EXPONENT = 3


@dataclass(frozen=True, order=True)
class Quantity:
    """
    An amount of CPU (cores) or memory (bytes), as Kubernetes writes it: ``500m``, ``1.5``, ``2Gi``, ``1e9``.

    Two quantities are equal when their values are: ``Quantity.parse("1000m") == Quantity.parse("1")``. ``str()`` gives
    the text as it was written.

    Source of the rules: the grammar at ``resource.Quantity`` in Kubernetes' API reference. What Kubernetes accepts but
    changes silently is refused: more than 2^63-1 (it is capped) and parts of 1n (they are rounded up).
    """

    value: Fraction
    """The exact amount: cores, or bytes."""
    text: str = field(compare=False)
    """As written in the row."""

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """
        Read a quantity.

        :raises ValueError: names the text and what to write instead.
        """
        match = _QUANTITY.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no Kubernetes quantity; {_suggestion(text)}")
        number, suffix, exponent = match["number"], match["suffix"], match["exponent"]
        if exponent is None:
            factor = _FACTORS[suffix or ""]
        elif len(exponent.lstrip("+-").lstrip("0")) <= _LONGEST_EXPONENT:
            factor = Fraction(10) ** int(exponent)
        else:
            raise ValueError(f"{text!r} is out of range; Kubernetes' quantities go up to 2^63-1 in steps of 1n")
        value = Fraction(Decimal(number)) * factor
        if abs(value) > _LARGEST:
            raise ValueError(f"{text!r} is more than 2^63-1, which Kubernetes would cap silently; write a smaller one")
        if value % _FINEST:
            raise ValueError(f"{text!r} is finer than 1n, which Kubernetes would round up silently; write fewer digits")
        return cls(value=value, text=text)

    def __str__(self) -> str:
        return self.text


def _suggestion(text: str) -> str:
    """Say what somebody who wrote this may have meant."""
    loose = re.fullmatch(
        r"\s*([+-]?)([0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)\s*(?:([kKmMgGtTpPeE])(i?)[bB]?|[bB]|(m?)(?:cores?|cpus?))?\s*",
        text,
        flags=re.IGNORECASE,
    )
    if loose is None:
        return "write a number with a suffix, such as 500m or 2 for CPU, 512Mi or 2Gi for memory"
    sign, number, prefix, binary, milli = loose.groups()
    number = sign + number.replace(",", ".")
    if not prefix:
        return f"write {number}{milli or ''}"
    upper = prefix.upper()
    decimal = "k" if upper == "K" else upper
    return f"write {number}{upper}i" if binary else f"write {number}{decimal} or {number}{upper}i"


class InvalidRowError(ValueError):
    """
    A row holds a value that cannot be used.

    :param subject: the row: ``data_collection_equities/us_markets``, ``exchange group lse``.
    :param column: the column that holds the value.
    :param value: the value as it is in the row.
    :param problem: what is wrong and what to write instead, following "COLUMN VALUE of SUBJECT".
    :param remedy: a statement that mends the row, or an empty string.
    """

    def __init__(self, subject: str, column: str, value: object, problem: str, remedy: str = "") -> None:
        message = f"{column} {_shown(value)} of {subject} {problem}"
        super().__init__(f"{message}. To mend it: {remedy}" if remedy else message)
        self.subject = subject
        self.column = column
        self.value = value
        self.problem = problem
        self.remedy = remedy


def _shown(value: object) -> str:
    if value is None:
        return "NULL"
    return repr(value.text if isinstance(value, Quantity) else value)


@dataclass(frozen=True)
class Change:
    """One entry of the audit."""

    audit_id: int
    changed_by: str | None
    changed_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Give the entry as JSON values."""
        return {
            "audit_id": self.audit_id,
            "changed_by": self.changed_by,
            "changed_at": self.changed_at.isoformat(sep=" ", timespec="seconds"),
        }

    def __str__(self) -> str:
        """For a log line: ``by admin at 2026-11-23 02:14:05+00:00 (audit entry 17)``."""
        when = self.changed_at.isoformat(sep=" ", timespec="seconds")
        return f"by {self.changed_by or 'an unknown user'} at {when} (audit entry {self.audit_id})"


@dataclass(frozen=True)
class DagConfig:
    """
    What one job of one DAG runs with.

    :raises InvalidRowError: when it is made with a value that cannot be used.
    """

    dag_name: str
    """The DAG's id."""
    job_name: str
    """The job inside the DAG: an exchange group's name, or ``all``."""
    cpu_request: Quantity
    """Cores that are reserved."""
    cpu_limit: Quantity
    """Cores above which the container is throttled."""
    memory_request: Quantity
    """Bytes that are reserved."""
    memory_limit: Quantity
    """Bytes above which the container is killed (OOMKilled)."""
    batch_size: int
    """Assets a batch."""
    timeout_seconds: int
    """Seconds after which the pod is ended (its activeDeadlineSeconds)."""
    max_retries: int
    """Retries of the Airflow task after its first try."""
    retry_delay_minutes: int
    """Minutes before the first retry."""
    retry_backoff_enabled: bool
    """Whether the delay grows from retry to retry."""
    enabled: bool
    """Whether the job runs; a task of a disabled job is skipped."""
    priority: int = 5
    """1 to 10, higher first."""
    description: str | None = None
    origin: str = ""
    """Where the values are from: ``financial_screener.dag_configuration, row 3``, or that and why they are defaults."""
    updated_at: datetime | None = None
    """When the row was last written; None without a row."""
    change: Change | None = None
    """The last entry of the audit for this job."""
    disabled_change: Change | None = None
    """The entry that switched the job off, when it is disabled."""
    schema: str = DEFAULT_SCHEMA
    """The database schema of the row."""

    def __post_init__(self) -> None:
        for resource in ("cpu", "memory"):
            request, limit = getattr(self, f"{resource}_request"), getattr(self, f"{resource}_limit")
            if request.value < 0:
                raise self._invalid(f"{resource}_request", "is less than nothing; write 0 or more")
            if limit < _LEAST_LIMIT[resource]:
                raise self._invalid(
                    f"{resource}_limit",
                    f"is too little for a container to start; write {_LEAST_LIMIT[resource]} or more",
                )
            if request > limit:
                raise self._invalid(
                    f"{resource}_request",
                    f"is over {resource}_limit {limit.text!r}; lower it, or raise the limit",
                    limit,
                )
        for column in ("cpu_request", "cpu_limit"):
            if getattr(self, column).value % _FINEST_CPU:
                raise self._invalid(column, "is finer than 1m, to which Kubernetes would round it up; write whole m")
        for column, least in _LEAST.items():
            if getattr(self, column) < least:
                raise self._invalid(column, f"is too small; write {least} or more")

    @classmethod
    def defaults(cls, dag_name: str, job_name: str, schema: str = DEFAULT_SCHEMA) -> DagConfig:
        """Give what a job without a row runs with: the defaults of the table's columns."""
        origin = f"defaults: no row for {dag_name}/{job_name} in {schema}.dag_configuration"
        return cls.from_row({**_DEFAULTS, "dag_name": dag_name, "job_name": job_name}, origin=origin, schema=schema)

    @classmethod
    def from_row(
        cls,
        row: Mapping[str, Any],
        *,
        origin: str,
        schema: str = DEFAULT_SCHEMA,
        change: Change | None = None,
        disabled_change: Change | None = None,
    ) -> DagConfig:
        """
        Read a row of ``dag_configuration``.

        A disabled job does not run, so a value of its row that cannot be used is replaced by the column's default: the
        job can be switched off at night whatever else is wrong with its row. ``origin`` says so then.

        :param row: column to value, as PostgreSQL's driver gives them; columns that DagConfig lacks are ignored.
        :raises InvalidRowError: the first value that cannot be used.
        """
        known = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        known |= {"origin": origin, "schema": schema, "change": change, "disabled_change": disabled_change}
        try:
            return cls(**(known | _typed_values(known, schema)))
        except InvalidRowError as error:
            if known["enabled"] is not False:
                raise
            # What is wrong with a request is mended together with its limit: they must fit each other.
            known |= {column: _DEFAULTS[column] for column in _mended_together(error.column)}
            return cls.from_row(
                known,
                origin=f"{origin} ({error.column} {_shown(error.value)} {error.problem}; the default is shown)",
                schema=schema,
                change=change,
                disabled_change=disabled_change,
            )

    def update_statement(self, column: str, value: object) -> str:
        """
        Give the SQL statement that sets a column of this job, to be copied into psql.

        :param value: a str, Quantity, int or bool.
        """
        return _update_statement(self.schema, self.dag_name, self.job_name, column, value)

    def as_dict(self) -> dict[str, Any]:
        """Give the values as JSON: quantities as written, times in ISO 8601, changes as dicts or None."""
        values: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Quantity):
                value = value.text
            elif isinstance(value, datetime):
                value = value.isoformat(sep=" ", timespec="seconds")
            elif isinstance(value, Change):
                value = value.as_dict()
            values[f.name] = value
        return values

    def _invalid(self, column: str, problem: str, instead: object = None) -> InvalidRowError:
        return _invalid(vars(self), self.schema, column, problem, instead)


_DEFAULTS: dict[str, Any] = {
    "cpu_request": "500m",
    "cpu_limit": "2000m",
    "memory_request": "1Gi",
    "memory_limit": "2Gi",
    "batch_size": 500,
    "timeout_seconds": 600,
    "max_retries": 2,
    "retry_delay_minutes": 5,
    "retry_backoff_enabled": True,
    "enabled": True,
    "priority": 5,
    "description": None,
}
_LEAST_LIMIT = {"cpu": Quantity.parse("1m"), "memory": Quantity.parse("4Mi")}
_FINEST_CPU = Fraction(1, 1000)
_LEAST = {"batch_size": 1, "timeout_seconds": 1, "max_retries": 0, "retry_delay_minutes": 0}
_PARAMETERS_OF_UPDATE = (
    "cpu_request",
    "cpu_limit",
    "memory_request",
    "memory_limit",
    "batch_size",
    "timeout_seconds",
)


def _typed_values(row: Mapping[str, Any], schema: str) -> dict[str, Any]:
    """Turn the texts of the resource columns into quantities, and see that no value that is needed is NULL."""
    typed: dict[str, Any] = {}
    for column, default in _DEFAULTS.items():
        value = row[column]
        if value is None and column == "priority":
            typed[column] = default
        elif value is None and default is not None:
            raise _invalid(row, schema, column, f"is no value; the column's default is {default}")
        elif column.startswith(("cpu_", "memory_")) and not isinstance(value, Quantity):
            try:
                typed[column] = Quantity.parse(value)
            except ValueError as error:
                raise _invalid(row, schema, column, str(error).removeprefix(f"{value!r} ")) from None
    return typed


def _invalid(row: Mapping[str, Any], schema: str, column: str, problem: str, instead: object = None) -> InvalidRowError:
    dag_name, job_name = row["dag_name"], row["job_name"]
    remedy = _update_statement(schema, dag_name, job_name, column, instead or _DEFAULTS[column])
    return InvalidRowError(f"{dag_name}/{job_name}", column, row[column], problem, remedy)


def _mended_together(column: str) -> tuple[str, ...]:
    resource, _, bound = column.rpartition("_")
    return (f"{resource}_request", f"{resource}_limit") if bound in ("request", "limit") else (column,)


def _update_statement(schema: str, dag_name: str, job_name: str, column: str, value: object) -> str:
    row = f"{_literal(dag_name)}, {_literal(job_name)}"
    if column in _PARAMETERS_OF_UPDATE:
        return f"SELECT {quoted_schema(schema)}.update_dag_config({row}, p_{column} => {_literal(value)});"
    # Shown to a person, never executed here.
    table = f"{quoted_schema(schema)}.dag_configuration"
    return f"UPDATE {table} SET {column} = {_literal(value)} WHERE (dag_name, job_name) = ({row});"  # noqa: S608


def quoted_schema(schema: str) -> str:
    """Quote a schema's name for SQL; the default one needs it not, and is easier to read without."""
    return schema if schema == DEFAULT_SCHEMA else '"' + schema.replace('"', '""') + '"'


def _literal(value: object) -> str:
    """Quote an SQL value; standard_conforming_strings holds, so a backslash is an ordinary character."""
    if isinstance(value, bool | int):
        return str(value).upper()
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


@dataclass(frozen=True)
class ExchangeGroup:
    """
    Exchanges that are collected together.

    :raises InvalidRowError: when it is made without exchanges, or with an empty one.
    """

    group_name: str
    """Its key, and the job name of the rows that configure its jobs."""
    display_name: str
    exchanges: tuple[str, ...]
    """Exchange codes, in the order of the row."""
    primary_timezone: str = "UTC"
    """An IANA time zone."""
    market_open_utc: time | None = None
    market_close_utc: time | None = None
    enabled: bool = True
    priority: int = 5
    """1 to 10, higher first."""
    description: str | None = None

    def __post_init__(self) -> None:
        if not self.exchanges or not all(isinstance(code, str) and code.strip() for code in self.exchanges):
            value = None if self.exchanges is None else list(self.exchanges)
            raise InvalidRowError(
                f"exchange group {self.group_name}",
                "exchanges",
                value,
                "is no list of exchange codes; write at least one, such as ARRAY['NYSE', 'NASDAQ'], and no empty one",
            )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ExchangeGroup:
        """Read a row of ``exchange_groups``; columns that ExchangeGroup lacks are ignored."""
        values = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        optional = {"primary_timezone": "UTC", "enabled": True, "priority": 5}
        values |= {column: default for column, default in optional.items() if values.get(column) is None}
        return cls(**(values | {"exchanges": tuple(row["exchanges"] or ())}))

    def as_dict(self) -> dict[str, Any]:
        """Give the values as JSON: exchanges as a list, times as ``HH:MM:SS``."""
        values = vars(self) | {"exchanges": list(self.exchanges)}
        return {name: value.isoformat() if isinstance(value, time) else value for name, value in values.items()}
