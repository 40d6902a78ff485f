"""Remedies for a row that breaks rules, or is to be restored: one command, or one statement for psql, that can be pasted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from airflow_provider_dagconfig import models
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, JOB_COLUMNS, OVERRIDE_COLUMNS
from airflow_provider_dagconfig.models import (
    GROUP_DEFAULTS,
    KEPT_BY_THE_STORE,
    LAST_MINUTE,
    DagConfig,
    Quantity,
    Unreadable,
    is_name,
    literal,
    meant_name,
    quoted_schema,
    usable_exchanges,
)

if TYPE_CHECKING:
    from airflow_provider_dagconfig.models import Column, GroupRow, JobRow, Override, RuleViolation
    from airflow_provider_dagconfig.store import Location

_NAMES = ("dag_name", "job_name", "group_name")
_TIMES = ("market_open_utc", "market_close_utc")


class Remedies:
    """The remedies for the violations of one store's rules."""

    def __init__(
        self, location: Location, jobs: Iterable[JobRow], groups: Iterable[GroupRow], violations: Iterable[RuleViolation]
    ) -> None:
        self._location = location
        self._rows: dict[tuple[str, str], tuple[tuple[str, ...], Mapping[str, Any]]] = {
            ("dag_configuration", f"{job.dag_name}/{job.job_name}"): ((job.dag_name, job.job_name), job.row or {}) for job in jobs
        }
        self._rows |= {("exchange_groups", group.group_name): ((group.group_name,), group.row) for group in groups}
        self._broken: dict[tuple[str, str], list[RuleViolation]] = {}
        for violation in violations:
            self._broken.setdefault((violation.table_name, violation.row_key), []).append(violation)

    def of(self, violation: RuleViolation) -> str:
        """
        Return the remedy for a value. A command corrects all values of its row: a single one is refused while the others keep the
        job from running.
        """
        if violation.table_name == "dag_configuration_overrides":
            return self._location.command("override", options=["--end", violation.row_key.split()[1]])
        row = violation.table_name, violation.row_key
        name, values = self._rows[row]
        if breaks_name_rule(violation):
            return self._rename_remedy(violation, name)
        if violation.column_name in KEPT_BY_THE_STORE:
            # Any change makes the store correct it, even one that changes nothing else.
            return self._call(violation, name, {})
        corrected = values_keeping_rules(name, values, (each for each in self._broken[row] if not breaks_name_rule(each)))
        if any("=" in part for part in name):
            # The command line reads a word with = as an assignment.
            return self._call(violation, name, corrected)
        command = "groups set" if violation.table_name == "exchange_groups" else "set"
        return self._location.command(command, *name, *(f"{column}={value}" for column, value in corrected.items()))

    def _call(self, violation: RuleViolation, name: tuple[str, ...], values: Mapping[str, str]) -> str:
        function = "update_exchange_group" if violation.table_name == "exchange_groups" else "update_dag_config"
        # Codes are quoted inside braces: without braces a word is not a list, and without quotes null is not a code.
        lists = {
            column: "{" + ",".join(f'"{code}"' for code in value.split(",")) + "}"
            for column, value in values.items()
            if column == "exchanges"
        }
        assignments = (f"p_{column} => {literal(value)}" for column, value in {**values, **lists}.items())
        return f"SELECT {quoted_schema(self._location.schema)}.{function}({', '.join([*map(literal, name), *assignments])});"

    def _rename_remedy(self, violation: RuleViolation, name: tuple[str, ...]) -> str:
        """Return what renames the row to the name that was meant, or what deletes it where that name is taken or empty."""
        columns = ("group_name",) if violation.table_name == "exchange_groups" else ("dag_name", "job_name")
        allowed = tuple(meant_name(part) for part in name)
        is_taken = any((violation.table_name, allowed) == (table, other) for (table, _), (other, _) in self._rows.items())
        if is_taken or not all(allowed):
            return self._location.command("groups remove" if len(name) == 1 else "delete", *name)
        if len(name) > 1:
            # Written with =, because a name may begin with a dash.
            to_dag = [f"--to-dag={allowed[0]}"] if allowed[0] != name[0] else []
            return self._location.command("rename", *name, *allowed[1:], options=to_dag)
        new = ", ".join(f"{column} = {literal(part)}" for column, part in zip(columns, allowed, strict=True))
        old = " AND ".join(f"{column} = {literal(part)}" for column, part in zip(columns, name, strict=True))
        table = f"{quoted_schema(self._location.schema)}.{violation.table_name}"
        return f"UPDATE {table} SET {new} WHERE {old};"  # noqa: S608 - shown only


def allowed_name(name: str | tuple[str, str]) -> str | tuple[str, str]:
    """Return the name of a row, an exchange group or DAG and job, as far as the rules allow it."""
    return meant_name(name) if isinstance(name, str) else (meant_name(name[0]), meant_name(name[1]))


def breaks_name_rule(violation: RuleViolation) -> bool:
    """Return whether the row's name breaks the rule."""
    return violation.column_name in _NAMES


def values_keeping_rules(name: tuple[str, ...], row: Mapping[str, Any], broken: Iterable[RuleViolation]) -> dict[str, str]:
    """
    Return values that keep the rules which a row breaks, and fit its other values.

    :param name: DAG and job, or a group.
    :param row: column to value, as stored.
    :return: column to value, as typed, in the tables' order.
    """
    group_values = _group_values(name[0], row) if len(name) == 1 else {}
    # A request above its limit is corrected below; its value depends on this row's limit.
    replacements = group_values | {"description": (row.get("description") or "")[: models.CONFIG_COLUMNS["description"].length]}
    wanted = {
        each.column_name: replacements.get(each.column_name, each.example) for each in broken if not _is_about_two_columns(each)
    }
    corrected = _within_limits(row, wanted, {})
    return {column: typed_text(corrected[column]) for column in {**JOB_COLUMNS, **GROUP_COLUMNS} if column in corrected}


def _group_values(group: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return replacements for a group's values: what the values may have meant, but nothing of another market."""
    display_name = meant_name(row.get("display_name") or "") or meant_name(group)
    return {
        **GROUP_DEFAULTS,
        **dict.fromkeys(_TIMES, LAST_MINUTE),
        "exchanges": usable_exchanges(group, row.get("exchanges")),
        "display_name": display_name or "a group",
    }


def _within_limits(row: Mapping[str, Any], corrected: dict[str, Any], replacements: Mapping[str, Any]) -> dict[str, Any]:
    """Correct also the requests that are above their limits."""
    for resource in ("cpu", "memory"):
        request, limit = f"{resource}_request", f"{resource}_limit"
        wanted, most = corrected.get(request, row.get(request)), corrected.get(limit, row.get(limit))
        if wanted is None or most is None or _is_within(wanted, most):
            continue
        other = replacements.get(request)
        if _fits_job(request, other) and _is_within(other, most):
            corrected[request] = other
        elif limit in corrected and request not in corrected:
            corrected[limit] = wanted
        else:
            corrected[request] = most
    return corrected


def _is_within(request: Any, limit: Any) -> bool:
    return Quantity.parse(str(request)) <= Quantity.parse(str(limit))


def row_keeping_rules(name: str | tuple[str, str], row: Mapping[str, Any], replacements: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a row that keeps the rules, with all values of this row that keep them.

    :param name: an exchange group, or DAG and job.
    :param row: column to value, as stored.
    :param replacements: column to the value that replaces one that breaks a rule; where it has no valid one, the default does.
    """
    if isinstance(name, str):
        defaults, fits = _group_values(name, row), _fits_group
    else:
        job_defaults = vars(DagConfig.defaults(*name))
        defaults, fits = {column: _text(job_defaults[column]) for column in OVERRIDE_COLUMNS}, _fits_job
    corrected = {}
    if row.get("description"):
        corrected["description"] = row["description"][: models.CONFIG_COLUMNS["description"].length]
    for column, default in defaults.items():
        if not fits(column, row.get(column)):
            other = replacements.get(column)
            corrected[column] = other if fits(column, other) else default
    return {**row, **_within_limits(row, corrected, replacements)}


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
    if column in _TIMES:
        # The history has a time of day as a text.
        return not isinstance(value, Unreadable) and not str(value).startswith("24")
    if column == "primary_timezone":
        return value in available_timezones()
    if column in ("exchanges", "priority"):
        return _fits(models.GROUP_COLUMNS[column], value)
    return is_name(value) if isinstance(value, str) else value is not None


def typed_text(value: Any) -> str:
    """Return a value as it is typed at the command line, before the shell's quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def assignments_of(values: Mapping[str, Any]) -> list[str]:
    """Return values as COLUMN=VALUE, without those that are NULL."""
    return [f"{column}={typed_text(value)}" for column, value in values.items() if value is not None]


def set_command(location: Location, name: str | tuple[str, str], values: Mapping[str, Any], *, exists: bool) -> str:
    """
    Return the command that gives a row these values.

    :param name: an exchange group, or DAG and job.
    """
    assignments = assignments_of(values)
    if isinstance(name, str):
        return location.command("groups set" if exists else "groups add", name, *assignments)
    return location.command("set", *name, *assignments, options=[] if exists else ["--create"])


def override_command(location: Location, override: Override, duration: str = "2h") -> str:
    """Return the command that makes an override with the same values."""
    words = [override.dag_name, override.job_name, *assignments_of(override.values)]
    return location.command("override", *words, options=["--for", duration, f"--reason={override.reason or 'as before'}"])


def command_that_lowers(location: Location, dag: str, job: str, override_id: int | None, most: Mapping[str, str]) -> str:
    """
    Return the command that brings values below a ceiling, or ends the override.

    :param override_id: None for the job's row.
    :param most: column to the most that it may be.
    """
    if override_id is not None:
        return location.command("override", options=["--end", str(override_id)])
    return location.command("set", dag, job, *(f"{column}={value}" for column, value in most.items()))


def _is_about_two_columns(violation: RuleViolation) -> bool:
    return " with " in (violation.example or "")
