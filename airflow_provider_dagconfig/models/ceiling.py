"""
Ceilings: the most that a platform allows, for one DAG or for all. Finds values above a ceiling, and words the messages.

The database checks rows and overrides when they are written. This module checks what is never written: the values of a run's
conf, and the defaults of a job without a row. It knows neither Airflow nor the database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_dagconfig.models.as_json import json_values
from airflow_provider_dagconfig.models.columns import NumberColumn
from airflow_provider_dagconfig.models.config import CONFIG_COLUMNS, DagConfig
from airflow_provider_dagconfig.models.moments import Unreadable, moment_text
from airflow_provider_dagconfig.models.quantity import Quantity
from airflow_provider_dagconfig.models.statements import command_line

BOUNDED: Mapping[str, tuple[str, ...]] = {
    "cpu": ("cpu_request", "cpu_limit"),
    "memory": ("memory_request", "memory_limit"),
    "timeout_seconds": ("timeout_seconds",),
    "max_retries": ("max_retries",),
}
"""Ceiling to the columns that it bounds."""


@dataclass(frozen=True)
class Ceiling:
    """The most that one DAG's jobs, or all jobs, may have of something."""

    name: str
    """A key of BOUNDED."""
    value: str
    """The most that is allowed, as written: a Kubernetes quantity or a whole number."""
    dag_name: str | None
    """None for all DAGs."""
    not_valid: bool
    """Whether older values may stay above it until they are changed."""
    set_by: str
    updated_at: datetime | Unreadable
    """When it was set."""
    reason: str | None = None

    @property
    def short(self) -> str:
        """``memory = 8Gi of all DAGs``."""
        return f"{self.name} = {self.value} of {whose(self.dag_name)}"

    def __str__(self) -> str:
        """For a message: ``memory = 8Gi of all DAGs, set by ann at 2026-11-24 06:00:00+00:00 (budget)``."""
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.short}, set by {self.set_by} at {moment_text(self.updated_at)}{why}"

    def allows(self, value: object) -> bool:
        """Return whether a value is not above it. True for a text that is not a quantity: other checks refuse that."""
        try:
            return Quantity.parse(str(value)) <= Quantity.parse(self.value)
        except ValueError:
            return True

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class CeilingViolation:
    """A value above a ceiling, of a row, or of an active or planned override: it is older than the ceiling."""

    dag_name: str
    job_name: str
    override_id: int | None
    """None for the row itself."""
    column_name: str
    value: str
    ceiling: Ceiling

    @property
    def subject(self) -> str:
        """``data_collection_equities/lse``, or ``override 7 of data_collection_equities/lse``."""
        job = f"{self.dag_name}/{self.job_name}"
        return job if self.override_id is None else f"override {self.override_id} of {job}"


def whose(dag_name: str | None) -> str:
    """Return for whom a ceiling is set, as words."""
    return "all DAGs" if dag_name is None else f"DAG {dag_name}"


def binding(ceilings: Iterable[Ceiling]) -> list[Ceiling]:
    """Return the ceilings that apply, of a DAG's own and those of all DAGs: the lowest of each name; if equal, the DAG's own."""
    lowest: dict[str, Ceiling] = {}
    for ceiling in sorted(ceilings, key=lambda each: (Quantity.parse(each.value), each.dag_name is None)):
        lowest.setdefault(ceiling.name, ceiling)
    return [lowest[name] for name in BOUNDED if name in lowest]


def checked_ceiling(name: str, value: object) -> str:
    """
    Check a ceiling's value by the rules of the columns that it bounds.

    :param name: a key of BOUNDED.
    :param value: a text, a Quantity or a whole number.
    :return: the text for the table.
    :raises ValueError: says what the value is, and what to write; the message follows the name.
    """
    column = CONFIG_COLUMNS[BOUNDED[name][-1]]
    if isinstance(column, NumberColumn) and isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        value = int(value)
    try:
        return str(column.checked(value))
    except ValueError as error:
        raise ValueError(str(error).replace(", without quotes", "")) from None


def above(values: Mapping[str, Any], ceilings: Iterable[Ceiling]) -> dict[str, tuple[Any, Ceiling]]:
    """
    Return the values that are above a ceiling.

    :param values: column to value.
    :param ceilings: those that apply to the job.
    :return: column to its value and the lowest ceiling.
    """
    return {
        column: (values[column], ceiling)
        for ceiling in binding(ceilings)
        for column in BOUNDED[ceiling.name]
        if values.get(column) is not None and not ceiling.allows(values[column])
    }


def within(values: Mapping[str, Any], ceilings: Iterable[Ceiling]) -> dict[str, Any]:
    """Return the values, with each that is above a ceiling replaced by the ceiling."""
    return {**values, **{column: _typed(column, ceiling.value) for column, (_, ceiling) in above(values, ceilings).items()}}


def _typed(column: str, value: str) -> str | int:
    return int(value) if isinstance(CONFIG_COLUMNS[column], NumberColumn) else value


def problem_of(config: DagConfig, ceilings: Iterable[Ceiling], command: Callable[..., str] = command_line) -> str | None:
    """
    Return a message about values above a ceiling that the database did not check: the run's conf, or defaults without a row.

    The value of a row or an override may be above a ceiling that was set as not valid; so may a default.

    :param command: writes a command to be pasted, as :func:`~airflow_provider_dagconfig.models.command_line` does.
    :return: the message, with who set the ceiling and what to do; None where nothing is above a ceiling.
    """
    ceilings = list(ceilings)
    job = f"{config.dag_name}/{config.job_name}"

    def of(source: str, bounds: Iterable[Ceiling]) -> dict[str, tuple[Any, Ceiling]]:
        return above({column: getattr(config, column) for column, by in config.sources.items() if by == source}, bounds)

    if by_run := of("run", ceilings):
        listed = "; ".join(f"{column} {str(value)!r} is above the ceiling {ceiling}" for column, (value, ceiling) in by_run.items())
        less = " and ".join(f"{column} {ceiling.value} or less" for column, (_, ceiling) in by_run.items())
        return f'The dag run\'s conf sets too much for {job}: {listed}. Trigger the run with {less} in its "dagconfig", or without'
    if by_default := of("default", (ceiling for ceiling in ceilings if not ceiling.not_valid)):
        listed = "; ".join(
            f"{column} {str(value)!r}, the default, is above the ceiling {ceiling}"
            for column, (value, ceiling) in by_default.items()
        )
        words = [f"{column}={ceiling.value}" for column, (_, ceiling) in by_default.items()]
        remedy = command("set", config.dag_name, config.job_name, *words, options=["--create"])
        return f"{job} has no row: {listed}. To make it one: {remedy}"
    return None
