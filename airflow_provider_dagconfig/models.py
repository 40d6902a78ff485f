"""
What the configuration store holds means: quantities, a job's configuration, an exchange group, an override, a change.

All of it is frozen and checked when it is made. Neither Airflow nor the database is known here; the store reads the
rows, and kubectl/manifest.py says what becomes of the values in a pod.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

DEFAULT_SCHEMA = "financial_screener"

OVERRIDE_COLUMNS = (
    "cpu_request",
    "cpu_limit",
    "memory_request",
    "memory_limit",
    "batch_size",
    "timeout_seconds",
    "max_retries",
    "retry_delay_minutes",
    "retry_backoff_enabled",
    "enabled",
    "priority",
)
"""The columns of a job that an override, or a run, may set."""

CONFIG_COLUMNS = (*OVERRIDE_COLUMNS, "description")
"""The columns of a job that can be configured."""

GROUP_COLUMNS = (
    "display_name",
    "exchanges",
    "primary_timezone",
    "market_open_utc",
    "market_close_utc",
    "enabled",
    "priority",
    "description",
)
"""The columns of an exchange group that can be configured."""

GROUP_DEFAULTS: Mapping[str, Any] = {"primary_timezone": "UTC", "enabled": True, "priority": 5}
"""What the columns of an exchange group hold that are not given."""

_EXCHANGE_CODE = re.compile(r"[\w.-]+")

LONGEST_TIMEOUT_SECONDS = 604_800
"""A week; the most that the store's rules allow for ``timeout_seconds``."""

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


Resource = Literal["cpu", "memory"]


def resource_of(column: str) -> Resource:
    """Say of what a column holds an amount: one of ``cpu_request``, ``cpu_limit``, ``memory_request`` and ``memory_limit``."""
    return "cpu" if column.startswith("cpu_") else "memory"


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
    def parse(cls, text: str, resource: Resource | None = None) -> Quantity:
        """
        Read a quantity.

        :param resource: of what it is one, for the message.
        :raises ValueError: names the text and what to write instead.
        """
        match = _QUANTITY.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no Kubernetes quantity; write {_suggestion(text, resource)}")
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


_EXAMPLES: dict[Resource | None, str] = {
    "cpu": "cores, such as 2, or thousandths of one, such as 500m",
    "memory": "bytes with a suffix, such as 512Mi or 2Gi",
    None: "a number with a suffix, such as 500m or 2 for CPU, 512Mi or 2Gi for memory",
}


_LOOSE_QUANTITY = re.compile(
    r"\s*\+?(?P<number>-?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+))\s*"
    r"(?:(?P<prefix>[kmgtpe])?(?P<binary>i?)(?P<byte>b?)|(?P<milli>m?|milli\s?)(?P<cores>v?cpus?|cores?))\s*",
    re.IGNORECASE,
)


def _suggestion(text: str, resource: Resource | None) -> str:
    """Say what somebody who wrote this may have meant, as far as it can be written."""
    loose = _LOOSE_QUANTITY.fullmatch(text)
    meant = [loose["number"].replace(",", ".") + suffix for suffix in _suffixes(loose, resource)] if loose else []
    return " or ".join(each for each in meant if _can_be_written(each, resource)) or _EXAMPLES[resource]


def _suffixes(loose: re.Match[str], resource: Resource | None) -> tuple[str, ...]:
    """Give what the unit may have meant. For CPU only m makes sense, a thousandth, in whatever case; elsewhere the case counts."""
    prefix, binary, byte = loose["prefix"], loose["binary"], loose["byte"]
    if loose["cores"]:
        return () if resource == "memory" else ("m" if loose["milli"] else "",)
    if not byte and (prefix in ("m", "M") if resource == "cpu" else prefix == "m" and not binary and resource is None):
        return ("m",)
    if resource == "cpu" and (prefix or byte):
        return ()
    if not prefix:
        return ("",)
    upper = prefix.upper()
    return (f"{upper}i",) if binary else ("k" if upper == "K" else upper, f"{upper}i")


def _can_be_written(text: str, resource: Resource | None) -> bool:
    try:
        quantity = Quantity.parse(text)
    except ValueError:
        return False
    if resource is None:
        return True
    return quantity >= _LEAST_LIMIT[resource] and not (resource == "cpu" and quantity.value % _FINEST_CPU)


class Unreadable(str):
    """A moment, or a time of day, that PostgreSQL holds and Python cannot: infinity, BC, after 9999, 24:00; its text."""

    __slots__ = ()


def read_moment(text: str) -> datetime | Unreadable:
    """Read a moment as PostgreSQL writes it in JSON, where it leaves out zeros that Python 3.10 needs."""
    try:
        return in_range(datetime.fromisoformat(re.sub(r"\.([0-9]+)", lambda fraction: f".{fraction[1]:0<6}", text)), text)
    except ValueError:
        return Unreadable(text)


def in_range(moment: datetime, text: str) -> datetime | Unreadable:
    """Give a moment if it can be told in UTC, too: at the edges, its own zone may be what keeps it in Python's years."""
    try:
        moment.astimezone(timezone.utc)
    except OverflowError:
        return Unreadable(text)
    return moment


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
    return shortened(repr(value.text if isinstance(value, Quantity) else value))


_MOST_SHOWN = 200
"""Characters; of a value that is longer, a message shows the beginning."""


def shortened(text: str) -> str:
    """Cut a value for a message, and say so."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"


@dataclass(frozen=True)
class Change:
    """One entry of the audit."""

    audit_id: int
    changed_by: str | None
    changed_at: datetime | Unreadable
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the entry as JSON values."""
        return _json_values(self)

    def __str__(self) -> str:
        """For a log line: ``by admin at 2026-11-23 02:14:05+00:00 (audit entry 17: new feed)``."""
        why = f": {self.reason}" if self.reason else ""
        return f"by {self.changed_by or 'an unknown user'} at {_moment(self.changed_at)} (audit entry {self.audit_id}{why})"


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
        return f"override {self.override_id} until {_moment(self.ends_at)}"

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return _json_values(self)

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
    """dag_configuration, exchange_groups or dag_configuration_overrides."""
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
    def subject(self) -> str:
        """What was changed: ``data_collection_equities/lse``, ``exchange group lse``, ``override 7 of ...``."""
        if self.group_name is not None:
            return f"exchange group {self.group_name}"
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
        return _json_values(self)


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
        return _json_values(self)


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
        return _json_values(self)


class InstallationError(ValueError):
    """There is no id that can be used. The message says where it is to be put right."""


@dataclass(frozen=True)
class Installation:
    """
    The id of the store.

    :param installation_id: None where the store's table has lost its row.
    :param created_at: when the id was made.
    :param table: the table's full name, for messages.
    """

    installation_id: str | None
    created_at: datetime | None
    table: str

    def in_force(self, option: str | None) -> str:
        """
        Give the id that goes into the pods: that of the option ``[dagconfig] installation``, else the store's.

        :raises InstallationError: there is neither.
        """
        if option is not None:
            return option
        if self.installation_id is None:
            raise InstallationError(
                f"{self.table} has no row, so the store has no id for its pods. Its owner may run:"
                f" INSERT INTO {self.table} DEFAULT VALUES;"
            )
        return self.installation_id


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
        return _json_values(self)


KEPT_BY_THE_STORE = ("id", "override_id", "version", "created_at", "created_by", "updated_at")


def _json_values(instance: Any) -> dict[str, Any]:
    return {f.name: _json(getattr(instance, f.name)) for f in fields(instance)}


def _json(value: Any) -> Any:
    """Give a value as JSON has it: quantities as written, times in ISO 8601, our own classes as dicts."""
    if isinstance(value, Quantity):
        return value.text
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, Unreadable):
        return str(value)
    if isinstance(value, Change | Override):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {name: _json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value


def _moment(moment: datetime | Unreadable) -> str:
    return str(moment) if isinstance(moment, Unreadable) else moment.isoformat(sep=" ", timespec="seconds")


_DURATION = re.compile(
    r"(?:(?P<weeks>\d+)w)?(?:(?P<days>\d+)d)?(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?", re.ASCII
)
_LONGEST_DURATION = timedelta(days=3660)


def parse_duration(text: str) -> timedelta:
    """
    Read a duration: ``45m``, ``2h``, ``1h30m``, ``3d``, ``2w``; m is minutes.

    :raises ValueError: names the text and what to write instead.
    """
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is no duration; write a number with s, m (minutes), h, d or w, such as 45m, 2h, 1h30m or 3d")
    try:
        duration = timedelta(**{unit: int(number) for unit, number in match.groupdict(default="0").items()})
    except (OverflowError, ValueError):
        duration = _LONGEST_DURATION * 2
    if not timedelta(0) < duration <= _LONGEST_DURATION:
        raise ValueError(f"{text!r} is no duration that can be used; write more than nothing, and ten years at most")
    return duration


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
    updated_at: datetime | Unreadable | None = None
    """When the row was last written; None without a row."""
    change: Change | None = None
    """The last entry of the audit for this job."""
    disabled_change: Change | None = None
    """The entry that switched the job off, when it is disabled."""
    schema: str = DEFAULT_SCHEMA
    """The database schema of the row."""
    version: int | None = None
    """The row's version, which grows by one with each change; None without a row."""
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Column to where its value is from: ``row``, ``default``, ``override 7 until 2026-11-24 06:00:00+00:00``, ``run``."""
    overrides: tuple[Override, ...] = ()
    """The overrides that are in force, the newest first."""

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
        row = {**_DEFAULTS, "dag_name": dag_name, "job_name": job_name, "sources": dict.fromkeys(_DEFAULTS, "default")}
        return cls.from_row(row, origin=origin, schema=schema)

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
        if known["enabled"] is not False:
            _see_that_overrides_can_be_read(known, schema)
        try:
            return cls(**(known | _typed_values(known, schema)))
        except InvalidRowError as error:
            if known["enabled"] is not False:
                raise
            # What is wrong with a request is mended together with its limit: they must fit each other.
            mended = _mended_together(error.column)
            known |= {column: _DEFAULTS[column] for column in mended}
            return cls.from_row(
                known | {"sources": {**known.get("sources", {}), **dict.fromkeys(mended, "default")}},
                origin=f"{origin} ({error.column} {_shown(error.value)} {error.problem}; the default is shown)",
                schema=schema,
                change=change,
                disabled_change=disabled_change,
            )

    def update_statement(self, column: str, value: object) -> str:
        """
        Give the SQL statement that sets a column of this job, to be copied into psql.

        Where an override has set the column, it is a new override until the same moment: the row would not be heard.

        :param value: a str, Quantity, int or bool.
        """
        for override in self.overrides:
            if self.sources.get(column) == override.source:
                ends_at, reason = _literal(override.ends_at), _literal(override.reason)
                return _call(
                    self.schema,
                    "override_dag_config",
                    *(_literal(self.dag_name), _literal(self.job_name)),
                    *(f"p_ends_at => {ends_at}", f"p_reason => {reason}", f"p_{column} => {_literal(value)}"),
                )
        return _update_statement(self.schema, self.dag_name, self.job_name, column, value)

    def as_dict(self) -> dict[str, Any]:
        """Give the values as JSON: quantities as written, times in ISO 8601, changes as dicts or None, overrides by id."""
        return _json_values(self) | {"overrides": {str(o.override_id): o.as_dict() for o in self.overrides}}

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
_LEAST_LIMIT: dict[str, Quantity] = {"cpu": Quantity.parse("1m"), "memory": Quantity.parse("4Mi")}
_FINEST_CPU = Fraction(1, 1000)
_LEAST = {"batch_size": 1, "timeout_seconds": 1, "max_retries": 0, "retry_delay_minutes": 0}
RANGES = {
    "batch_size": (1, 1_000_000),
    "timeout_seconds": (1, LONGEST_TIMEOUT_SECONDS),
    "max_retries": (0, 10),
    "retry_delay_minutes": (0, 1_440),
    "priority": (1, 10),
}
"""The least and the most of a job's whole numbers, by the store's rules."""


def checked_value(column: str, value: object) -> str | int | bool:
    """
    Check a new value of a job's column by the store's rules, which are stricter than what a row may hold to run.

    :param column: one of OVERRIDE_COLUMNS.
    :param value: as JSON has it: a text (a whole number, too) for a quantity, a number, true or false.
    :return: the value for the column.
    :raises ValueError: says what the value is, and what to write, following the column's name.
    """
    default = _DEFAULTS[column]
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{_shown(value)} must be true or false, without quotes")
        return value
    if isinstance(default, int):
        least, most = RANGES[column]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{_shown(value)} must be a whole number from {least} to {most}, without quotes, such as {default}")
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | Quantity):
        raise ValueError(f"{_shown(value)} must be a Kubernetes quantity in quotes, such as {default!r}")
    resource = resource_of(column)
    quantity = Quantity.parse(str(value), resource)
    if quantity < _LEAST_LIMIT[resource]:
        raise ValueError(f"{str(value)!r} must be at least {_LEAST_LIMIT[resource]}, such as {default!r}")
    if resource == "cpu" and quantity.value % _FINEST_CPU:
        raise ValueError(f"{str(value)!r} is finer than 1m, to which Kubernetes would round it up; write whole m, such as '500m'")
    return quantity.text


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
                    _call(schema, "end_override", str(override.override_id)),
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
                typed[column] = Quantity.parse(value, resource_of(column))
            except ValueError as error:
                raise _invalid(row, schema, column, str(error).removeprefix(f"{value!r} ")) from None
    return typed


def _invalid(row: Mapping[str, Any], schema: str, column: str, problem: str, instead: object = None) -> InvalidRowError:
    job = f"{row['dag_name']}/{row['job_name']}"
    remedy = _remedy(row, schema, column, instead or _DEFAULTS[column])
    return InvalidRowError(job, column, row[column], problem, remedy)


def _remedy(row: Mapping[str, Any], schema: str, column: str, value: object) -> str:
    """Say how to mend a value, where it is from: the run first, since it goes above all others, then an override."""
    sources = row.get("sources") or {}
    involved = [column, *(other for other in _mended_together(column) if other != column)]
    by_run = [name for name in involved if sources.get(name) == "run"]
    if by_run:
        return f'trigger the DAG with another {" and ".join(by_run)} in the conf\'s "dagconfig", or without'
    for override in row.get("overrides") or ():
        if override.source in map(sources.get, involved):
            return _call(schema, "end_override", str(override.override_id))
    return _update_statement(schema, row["dag_name"], row["job_name"], column, value)


def _mended_together(column: str) -> tuple[str, ...]:
    resource, _, bound = column.rpartition("_")
    return (f"{resource}_request", f"{resource}_limit") if bound in ("request", "limit") else (column,)


def _update_statement(schema: str, dag_name: str, job_name: str, column: str, value: object) -> str:
    job = (_literal(dag_name), _literal(job_name))
    return _call(schema, "update_dag_config", *job, f"p_{column} => {_literal(value)}")


def _call(schema: str, function: str, *arguments: str) -> str:
    """Write the call of a function of the store; shown to a person, never executed here."""
    return f"SELECT {quoted_schema(schema)}.{function}({', '.join(arguments)});"


def quoted_schema(schema: str) -> str:
    """Quote a schema's name for SQL; the default one needs it not, and is easier to read without."""
    return schema if schema == DEFAULT_SCHEMA else '"' + schema.replace('"', '""') + '"'


def _literal(value: object) -> str:
    """Quote an SQL value; standard_conforming_strings holds, so a backslash is an ordinary character."""
    if isinstance(value, bool | int):
        return str(value).upper()
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def sql_text(text: str) -> str:
    """Quote a text that may have control characters, so that a message can show it and it still means the same."""
    return _literal(text) if text.isprintable() else "E" + _literal(_escaped(text))


def shell_word(text: str) -> str:
    """Quote a word of a command line for bash, on one line whatever it is."""
    return shlex.quote(text) if text.isprintable() else "$'" + _escaped(text).replace("'", "\\'") + "'"


def _escaped(text: str) -> str:
    """Write a text with backslashes, as PostgreSQL and bash both read it after E and $."""
    return "".join(c if c.isprintable() and c != "\\" else "\\\\" if c == "\\" else f"\\U{ord(c):08x}" for c in text)


def is_exchange_code(code: object) -> bool:
    """Say whether it is one exchange's code: letters, digits, ``.``, ``-`` and ``_``; no brackets, quotes, separators or blanks."""
    return isinstance(code, str) and _EXCHANGE_CODE.fullmatch(code) is not None


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
    version: int | None = None
    """The row's version, which grows by one with each change."""

    def __post_init__(self) -> None:
        if self.enabled and not (self.exchanges and all(map(_is_code, self.exchanges))):
            value = None if self.exchanges is None else list(self.exchanges)
            problem = "is no list of exchange codes; write at least one, and no empty one"
            raise self._invalid("exchanges", value, problem, "NYSE,NASDAQ")
        for column in ("market_open_utc", "market_close_utc"):
            value = getattr(self, column)
            if isinstance(value, Unreadable):
                raise self._invalid(column, value, "is no time of day from 00:00 to 23:59:59", "23:59")

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ExchangeGroup:
        """
        Read a row of ``exchange_groups``; columns that ExchangeGroup lacks are ignored.

        A disabled group takes no part, so what cannot be used of its values is left out: it can be switched off.
        """
        values = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        values |= {column: default for column, default in GROUP_DEFAULTS.items() if values.get(column) is None}
        exchanges = tuple(row["exchanges"] or ())
        if values["enabled"] is False:
            values = {column: None if isinstance(value, Unreadable) else value for column, value in values.items()}
            exchanges = tuple(filter(_is_code, exchanges))
        return cls(**(values | {"exchanges": exchanges}))

    def as_dict(self) -> dict[str, Any]:
        """Give the values as JSON: exchanges as a list, times as ``HH:MM:SS``."""
        return _json_values(self)

    def _invalid(self, column: str, value: object, problem: str, instead: str) -> InvalidRowError:
        remedy = f"airflow dagconfig groups set {shell_word(self.group_name)} {column}={instead}"
        return InvalidRowError(f"exchange group {self.group_name}", column, value, problem, remedy)


def _is_code(code: object) -> bool:
    return isinstance(code, str) and bool(code.strip())
