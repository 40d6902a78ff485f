"""What mends a row that breaks rules, or brings one back: one command, or statement for psql, that can be pasted and works."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from airflow_provider_dagconfig import models
from airflow_provider_dagconfig.cli.output import shown
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, JOB_COLUMNS, OVERRIDE_COLUMNS
from airflow_provider_dagconfig.models import (
    GROUP_DEFAULTS,
    KEPT_BY_THE_STORE,
    DagConfig,
    Quantity,
    quoted_schema,
    shell_word,
    sql_text,
)

if TYPE_CHECKING:
    from airflow_provider_dagconfig.models import Column, GroupRow, JobRow, RuleViolation

_EXCHANGES = ["NYSE", "NASDAQ"]
"""An example: a group's exchanges have no default."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_NAMES = ("dag_name", "job_name", "group_name")


class Remedies:
    """The remedies for the violations of one store's rules."""

    def __init__(
        self, schema: str, jobs: Iterable[JobRow], groups: Iterable[GroupRow], violations: Iterable[RuleViolation]
    ) -> None:
        self._schema = schema
        self._rows: dict[tuple[str, str], tuple[tuple[str, ...], Mapping[str, Any]]] = {
            ("dag_configuration", f"{job.dag_name}/{job.job_name}"): ((job.dag_name, job.job_name), job.row or {}) for job in jobs
        }
        self._rows |= {("exchange_groups", group.group_name): ((group.group_name,), group.row) for group in groups}
        self._broken: dict[tuple[str, str], list[RuleViolation]] = {}
        for violation in violations:
            self._broken.setdefault((violation.table_name, violation.row_key), []).append(violation)

    def of(self, violation: RuleViolation) -> str:
        """
        Give what mends a value. A command mends all values of its row: one alone is refused while the job could not run with
        the others.
        """
        if violation.table_name == "dag_configuration_overrides":
            return command_line("override", "--end", violation.row_key.split()[1])
        row = violation.table_name, violation.row_key
        name, values = self._rows[row]
        if violation.column_name in KEPT_BY_THE_STORE:
            # The store mends it with any change, also with one that changes nothing else.
            function = "update_exchange_group" if violation.table_name == "exchange_groups" else "update_dag_config"
            return f"SELECT {quoted_schema(self._schema)}.{function}({', '.join(map(sql_text, name))});"
        if is_of_a_name(violation):
            return self._of_name(violation, name)
        words = ["groups", "set", *name] if violation.table_name == "exchange_groups" else ["set", *name]
        mended = kept_rules(values, (each for each in self._broken[row] if not is_of_a_name(each)))
        return command_line(*words, *(f"{column}={value}" for column, value in mended.items()))

    def _of_name(self, violation: RuleViolation, name: tuple[str, ...]) -> str:
        """Rename the row, as it was meant; delete it where that one is there already, or nothing was meant."""
        columns = ("group_name",) if violation.table_name == "exchange_groups" else ("dag_name", "job_name")
        meant = tuple(_CONTROLS.sub("_", part.strip()) for part in name)
        is_taken = any((violation.table_name, meant) == (table, other) for (table, _), (other, _) in self._rows.items())
        if is_taken or not all(meant):
            return command_line(*(["groups", "remove"] if violation.table_name == "exchange_groups" else ["delete"]), *name)
        new = ", ".join(f"{column} = {sql_text(part)}" for column, part in zip(columns, meant, strict=True))
        old = " AND ".join(f"{column} = {sql_text(part)}" for column, part in zip(columns, name, strict=True))
        return f"UPDATE {quoted_schema(self._schema)}.{violation.table_name} SET {new} WHERE {old};"  # noqa: S608 - shown only


def is_of_a_name(violation: RuleViolation) -> bool:
    """Say whether it is the row's name that breaks a rule."""
    return violation.column_name in _NAMES


def kept_rules(row: Mapping[str, Any], broken: Iterable[RuleViolation]) -> dict[str, str]:
    """
    Give values that keep the rules which a row breaks, and go with its other values.

    :param row: column to value, as it is stored.
    :return: column to value, as it is typed, in the tables' order.
    """
    # The example of a request within its limit names both; what it may be, depends on this row's limit.
    mended = _within_limits(row, {each.column_name: _example(each) for each in broken if not _is_of_two(each)}, {})
    return {column: mended[column] for column in {**JOB_COLUMNS, **GROUP_COLUMNS} if column in mended}


def _within_limits(row: Mapping[str, Any], mended: dict[str, Any], instead: Mapping[str, Any]) -> dict[str, Any]:
    """Mend also the requests that are above their limits."""
    for resource in ("cpu", "memory"):
        request, limit = f"{resource}_request", f"{resource}_limit"
        wanted, most = mended.get(request, row.get(request)), mended.get(limit, row.get(limit))
        if wanted is None or most is None or _is_within(wanted, most):
            continue
        other = instead.get(request)
        if _fits_job(request, other) and _is_within(other, most):
            mended[request] = other
        elif limit in mended and request not in mended:
            mended[limit] = wanted
        else:
            mended[request] = most
    return mended


def _is_within(request: Any, limit: Any) -> bool:
    return Quantity.parse(str(request)) <= Quantity.parse(str(limit))


def fitting(name: str | tuple[str, str], row: Mapping[str, Any], instead: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give the row that keeps the rules, and has all values of this one that do.

    :param name: an exchange group, or DAG and job.
    :param row: column to value, as it was stored.
    :param instead: column to the value that takes the place of one that breaks a rule; where it has none, the default does.
    """
    if isinstance(name, str):
        defaults, fits = {**GROUP_DEFAULTS, "exchanges": _EXCHANGES, "display_name": name}, _fits_group
    else:
        of_job = vars(DagConfig.defaults(*name))
        defaults, fits = {column: _text(of_job[column]) for column in OVERRIDE_COLUMNS}, _fits_job
    mended = {}
    for column, default in defaults.items():
        if not fits(column, row.get(column)):
            other = instead.get(column)
            mended[column] = other if fits(column, other) else default
    return {**row, **_within_limits(row, mended, instead)}


def _text(value: Any) -> Any:
    return value.text if isinstance(value, Quantity) else value


def _fits_job(column: str, value: Any) -> bool:
    return _fits(models.OVERRIDE_COLUMNS[column], value)


def _fits(column: Column, value: Any) -> bool:
    try:
        column.checked(value)
    except ValueError:
        return False
    return True


def _fits_group(column: str, value: Any) -> bool:
    if column == "exchanges":
        codes = list(value or ())
        return bool(codes) and len(set(codes)) == len(codes) and all(code and code == code.strip() for code in codes)
    if column == "primary_timezone":
        return value in available_timezones()
    if column == "priority":
        return _fits(models.GROUP_COLUMNS[column], value)
    return bool(value.strip()) if isinstance(value, str) else value is not None


def command_that_makes(name: str | tuple[str, str], values: Mapping[str, Any], *, is_there: bool) -> str:
    """
    Give the command that brings a row to these values.

    :param name: an exchange group, or DAG and job.
    """
    assignments = [f"{column}={shown(value)}" for column, value in values.items() if value is not None]
    if isinstance(name, str):
        return command_line("groups", "set" if is_there else "add", name, *assignments)
    return command_line("set", *name, *assignments, *([] if is_there else ["--create"]))


def _is_of_two(violation: RuleViolation) -> bool:
    return " with " in (violation.example or "")


def _example(violation: RuleViolation) -> str:
    return "NYSE,NASDAQ" if violation.column_name == "exchanges" else violation.example or "VALUE"


def command_line(*words: str) -> str:
    """Write a command to be pasted, on one line whatever the words are."""
    return " ".join(["airflow dagconfig", *map(shell_word, words)])
