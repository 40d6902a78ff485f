"""
Tells the origin of a value that ended a pod, and the two remedies: take the change back, or set another value. Pure.

``operators/look_back`` asks for the facts; this module reports them. Facts that could not be obtained do not hold up the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

from airflow_provider_dagconfig.models import (
    CONFIG_COLUMNS,
    DagConfig,
    HistoryEntry,
    Override,
    Quantity,
    QuantityColumn,
    ago,
    because,
    command_line,
    cut,
    shell_word,
    time_of_day,
    value_text,
)
from airflow_provider_dagconfig.wording import printable


@dataclass(frozen=True)
class Past:
    """
    What the audit knows about a column of a job's row.

    :param entry: the last entry in which the column changed; None if it never did.
    :param later: the row's entries after that one.
    """

    entry: HistoryEntry | None
    later: Sequence[HistoryEntry] = ()

    @property
    def may_be_rolled_back(self) -> bool:
        """Whether no later entry has changed the same columns; the database refuses a rollback otherwise."""
        assert self.entry is not None
        changed = self.entry.differences().keys()
        return not any(entry.operation != "UPDATE" or changed & entry.differences().keys() for entry in self.later)


@dataclass(frozen=True)
class EarlierRun:
    """An earlier run in which this task succeeded, and the values that it ran with."""

    run_id: str
    ended_at: datetime
    values: Mapping[str, Any]


@dataclass(frozen=True)
class LookBack:
    """
    What was found out about a failure. Facts that could not be obtained are missing.

    :param moment: the present time, from which ages are computed.
    :param dag_id: the DAG to trigger, if the value comes from the run's conf.
    :param options: the command line's options that select the database.
    :param pasts: maps a column to what the audit knows about it.
    :param row: the row's present values, below its overrides; None if there is no row, or nobody asked.
    """

    moment: datetime
    dag_id: str
    options: Sequence[str] = ()
    pasts: Mapping[str, Past] = field(default_factory=dict)
    row: Mapping[str, Any] | None = None
    earlier: EarlierRun | None = None


@dataclass(frozen=True)
class Remedy:
    """
    A value that ended a pod, and a better value.

    :param had: the value that the pod had.
    :param wanted: the value to set; None if none can be recommended.
    :param helps: returns whether the pod would not have ended this way with another amount.
    """

    column: str
    had: Any
    wanted: Any
    helps: Callable[[Fraction], bool]

    def would_help(self, value: Any) -> bool:
        """Return whether a value, as the audit has it, would have helped."""
        number = amount(self.column, value)
        return number is not None and self.helps(number)


def amount(column: str, value: Any) -> Fraction | None:
    """Return a value of a row or of the audit as a number; None if it is not a number."""
    try:
        if isinstance(CONFIG_COLUMNS[column], QuantityColumn):
            return Quantity.parse(str(value)).value
        return Fraction(value)
    except (TypeError, ValueError):
        return None


def remedies(config: DagConfig, back: LookBack | None, aim: str, wanted: Sequence[Remedy]) -> str:
    """
    Return the origin of values and their remedies, as lines that follow the line about the failure.

    :param back: what was found out; None if nobody asked.
    :param aim: the purpose of the statements: ``To give it more``.
    :param wanted: in an order in which each statement keeps a request below its limit.
    """
    findings = [] if back is None else [_Finding.of(remedy, config, back) for remedy in wanted]
    lines = [finding.sentence for finding in findings]
    if back is not None:
        lines += _earlier_run_lines(wanted, back)
        lines += dict.fromkeys(line for finding in findings for line in finding.way_back)
    fixed = {finding.remedy.column for finding in findings if finding.is_fixed}
    to_set = [remedy for remedy in wanted if remedy.wanted is not None and remedy.column not in fixed]
    lines += _statements(config, back, aim, to_set)
    return "".join(f"\n{printable(line)}" for line in lines)


def _statements(config: DagConfig, back: LookBack | None, aim: str, wanted: Sequence[Remedy]) -> Iterator[str]:
    by_run = {remedy.column: remedy.wanted for remedy in wanted if _source(config, remedy.column) == "run"}
    by_row = [remedy for remedy in wanted if remedy.column not in by_run]
    if by_run:
        conf = json.dumps({"dagconfig": {config.job_name: by_run}})
        yield f"{aim}, trigger the DAG with another conf:"
        yield f"airflow dags trigger --conf {shell_word(conf)} {shell_word(back.dag_id if back else config.dag_name)}"
    if by_row:
        yield f"{aim} from the next run on:"
        yield from (config.update_statement(remedy.column, remedy.wanted) for remedy in by_row)


def _earlier_run_lines(wanted: Sequence[Remedy], back: LookBack) -> Iterator[str]:
    if back.earlier is None:
        return
    values = {r.column: back.earlier.values.get(r.column) for r in wanted if r.would_help(back.earlier.values.get(r.column))}
    if values:
        listed = " and ".join(f"{column} = {value_text(value)}" for column, value in values.items())
        yield f"It ran with {listed} until {ago(back.earlier.ended_at, back.moment)}: run {back.earlier.run_id} succeeded."


@dataclass(frozen=True)
class _Finding:
    """Where one value comes from. ``way_back`` has a line and a command if the change can be taken back."""

    remedy: Remedy
    sentence: str
    way_back: tuple[str, ...] = ()
    is_fixed: bool = False

    @classmethod
    def of(cls, remedy: Remedy, config: DagConfig, back: LookBack) -> _Finding:
        column = remedy.column
        source = _source(config, column)
        if source == "run":
            return cls(remedy, f"{column} is from the run's conf.")
        for override in config.overrides:
            if override.source == source:
                return cls._of_override(remedy, override, config, back)
        if column in back.pasts:
            return cls._of_entry(remedy, back.pasts[column], config, back)
        return cls._of_read_change(remedy, config, back)

    @classmethod
    def _of_override(cls, remedy: Remedy, override: Override, config: DagConfig, back: LookBack) -> _Finding:
        column, number = remedy.column, override.override_id
        underlying = next((o.values[column] for o in config.overrides if o.override_id < number and column in o.values), None)
        if underlying is None:
            underlying = (back.row or {}).get(column)
        by = f" {cut(override.created_by)} made it" if override.created_by else " It was made"
        without = "" if underlying is None else f" Without it, {column} would be {value_text(underlying)}."
        sentence = (
            f"{column} is from override {number} until {time_of_day(override.ends_at, back.moment)}."
            f"{by} {ago(override.created_at, back.moment)}{because('', override.reason)}.{without}"
        )
        if underlying is not None and not remedy.would_help(underlying):
            return cls(remedy, sentence)
        command = command_line("override", options=["--end", str(number), *back.options])
        return cls(remedy, sentence, ("To end the override:", command))

    @classmethod
    def _of_entry(cls, remedy: Remedy, past: Past, config: DagConfig, back: LookBack) -> _Finding:
        column, entry = remedy.column, past.entry
        if entry is None:
            return cls(remedy, f"{column} has never been changed since the history begins.")
        old, new = entry.differences().get(column, (None, None))
        when, who = ago(entry.changed_at, back.moment), cut(entry.change.who)
        why = because(f"version {entry.row_version}" if entry.row_version else "", entry.reason)
        if entry.operation == "INSERT":
            return cls(remedy, f"{column} has been {value_text(new)} since {who} made the row, {when}{why}.")
        if entry.operation != "UPDATE":
            sentence = f"{who} deleted the row {when}, in which {column} was {value_text(old)}{because('', entry.reason)}."
            if not remedy.would_help(old) or not past.may_be_rolled_back:
                return cls(remedy, sentence)
            return cls(remedy, sentence, ("To bring the row back:", _rollback_command(entry.audit_id, back)))
        did = f"changed {column} from {value_text(old)} to {value_text(new)} {when}{why}"
        if remedy.would_help(new):
            return cls(remedy, f"Meanwhile {who} has {did}: the next try runs with it.", is_fixed=True)
        if not remedy.would_help(old):
            return cls(remedy, f"{who} {did}.")
        if not past.may_be_rolled_back:
            return cls(remedy, f"{who} {did}.", ("To set what it was before:", config.update_statement(column, old)))
        others = [name for name in entry.differences() if name != column]
        too = f", which changed {', '.join(others)} too" if others else ""
        return cls(remedy, f"{who} {did}.", (f"To take that change back{too}:", _rollback_command(entry.audit_id, back)))

    @classmethod
    def _of_read_change(cls, remedy: Remedy, config: DagConfig, back: LookBack) -> _Finding:
        """Use the change that the try read with its configuration, since the audit could not be asked."""
        column, last = remedy.column, config.row_change
        if last is not None and column in last.differences:
            return cls._of_entry(remedy, Past(_as_entry(config)), config, back)
        if config.version is None:
            return cls(remedy, f"{column} is the default: {config.dag_name}/{config.job_name} has no row.")
        command = command_line("history", config.dag_name, config.job_name, options=back.options)
        return cls(remedy, f"Who set {column} cannot be read from the audit now. To see it: {command}")


def _source(config: DagConfig, column: str) -> str:
    """Return where a value comes from, without the note that it has grown since."""
    return config.sources.get(column, "default" if config.version is None else "row").partition(", grown from ")[0]


def _rollback_command(audit_id: int, back: LookBack) -> str:
    return command_line("rollback", str(audit_id), options=back.options)


def _as_entry(config: DagConfig) -> HistoryEntry:
    """Return the last change of the row in the form of an audit entry."""
    last = config.row_change
    assert last is not None
    old, new = ({column: values[side] for column, values in last.differences.items()} for side in (0, 1))
    return HistoryEntry(
        audit_id=last.audit_id,
        operation=last.operation,
        table_name="dag_configuration",
        dag_name=config.dag_name,
        job_name=config.job_name,
        group_name=None,
        override_id=None,
        changed_by=last.changed_by,
        session_user_name=last.session_user_name,
        changed_at=last.changed_at,
        reason=last.reason,
        changed_columns=tuple(last.differences),
        row_version=config.version,
        old_values=old,
        new_values=new,
    )
