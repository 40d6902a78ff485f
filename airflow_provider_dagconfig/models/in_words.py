"""Sentences about values and changes for people: what is in force for a job, in one line. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_dagconfig.models.config import CONFIG_COLUMNS, DagConfig
from airflow_provider_dagconfig.models.exchange_group import ExchangeGroup
from airflow_provider_dagconfig.models.moments import ago, time_of_day
from airflow_provider_dagconfig.models.quantity import Quantity
from airflow_provider_dagconfig.models.records import Override, RowChange

_LONGEST = 60
"""Characters of a value or a reason; a longer one is cut."""


def in_force(config: DagConfig, group: ExchangeGroup | None, now: datetime) -> str:
    """
    Return what a try runs with: ``dag/job: version 4, changed by dba 20 minutes ago (batch_size 500 -> 750), override 7 until
    ...``.

    :param group: the exchange group that the job works on.
    :param now: the present, with a time zone; ages are relative to it.
    :return: one line, unless a text from a user in it has line ends.
    """
    parts = [_row(config, now), *(_override(override, now) for override in config.overrides), *_by_the_run(config), *_grown(config)]
    if group is not None:
        parts.append(f"exchange group {group.group_name} version {group.version}")
    return f"{config.dag_name}/{config.job_name}: {', '.join(parts)}"


def value_text(value: Any) -> str:
    """Return a value as it is written in a sentence, cut if it is long."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return cut(value.text if isinstance(value, Quantity) else str(value))


def cut(text: str) -> str:
    """Cut a text that is too long for a line."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def because(did: str, reason: str | None) -> str:
    """Return what a change did, and why, to follow its name: `` (batch_size 500 -> 750: new feed)``; empty where both are empty."""
    told = ": ".join(filter(None, (did, cut(reason or ""))))
    return f" ({told})" if told else ""


def _row(config: DagConfig, now: datetime) -> str:
    change = config.row_change
    if config.version is None:
        table = f"no row in {config.schema}.dag_configuration, the defaults are in force"
        return table if change is None else f"{table}; the row was deleted {_by(change, now)}"
    version = f"version {config.version}"
    if change is None:
        return version
    verb = {"INSERT": "made", "UPDATE": "changed"}.get(change.operation, "deleted")
    return f"{version}, {verb} {_by(change, now)}"


def _by(change: RowChange, now: datetime) -> str:
    differences = ((column, *change.differences[column]) for column in CONFIG_COLUMNS if column in change.differences)
    did = ", ".join(f"{column} {value_text(old)} -> {value_text(new)}" for column, old, new in differences)
    return f"by {cut(change.who)} {ago(change.changed_at, now)}{because(did, change.reason)}"


def _override(override: Override, now: datetime) -> str:
    by = f" by {cut(override.created_by)}" if override.created_by else ""
    until = time_of_day(override.ends_at, now)
    return f"override {override.override_id} until {until}{by}{because(_assigned(override.values), override.reason)}"


def _assigned(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{column} {value_text(value)}" for column, value in values.items())


def _grown(config: DagConfig) -> Iterator[str]:
    _, is_grown, why = config.sources.get("memory_limit", "").partition("grown from ")
    if is_grown:
        yield f"memory_limit {config.memory_limit} {is_grown}{why}"


def _by_the_run(config: DagConfig) -> Iterator[str]:
    by_run = {column: getattr(config, column) for column in CONFIG_COLUMNS if config.sources.get(column) == "run"}
    if by_run:
        yield f"{_assigned(by_run)} by the run's conf"
