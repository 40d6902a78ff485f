"""
Where a value is from that ended a pod, and the two ways out: take the change back, or set another value. Pure.

The asking is in ``operators/look_back``; what was found is told here, and what could not be asked keeps nothing back.
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
    What the audit has of a column of a job's row.

    :param entry: the last one in which the column changed; None where it never did.
    :param later: what happened to the row after it.
    """

    entry: HistoryEntry | None
    later: Sequence[HistoryEntry] = ()

    @property
    def may_be_rolled_back(self) -> bool:
        """Whether no later entry has touched what this one changed, which the database would refuse."""
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
    What was found out about a failure; what could not be asked is missing.

    :param moment: the clock that ages are told by.
    :param dag_id: the DAG to trigger, where the value is from the run's conf.
    :param options: what leads the command line to the database.
    :param pasts: column to what the audit has of it.
    :param row: the row's values now, below its overrides; None where there is no row, or nobody asked.
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
    A value that ended a pod, and what would do instead.

    :param had: the value that the pod had.
    :param wanted: the value to set; None where none can be advised.
    :param helps: says of another amount whether the pod would not have ended so.
    """

    column: str
    had: Any
    wanted: Any
    helps: Callable[[Fraction], bool]

    def would_help(self, value: Any) -> bool:
        """Whether a value, as the audit has it, would do."""
        number = amount(self.column, value)
        return number is not None and self.helps(number)


def amount(column: str, value: Any) -> Fraction | None:
    """Give a value of a row or of the audit as a number; None where it is none."""
    try:
        if isinstance(CONFIG_COLUMNS[column], QuantityColumn):
            return Quantity.parse(str(value)).value
        return Fraction(value)
    except (TypeError, ValueError):
        return None


def remedies(config: DagConfig, back: LookBack | None, aim: str, wanted: Sequence[Remedy]) -> str:
    """
    Say where values are from, and how to mend them, in lines that follow the one that says what happened.

    :param back: what was found out; None where nobody asked.
    :param aim: what the statements are for: ``To give it more``.
    :param wanted: in an order in which each statement keeps a request below its limit.
    """
    findings = [] if back is None else [_Finding.of(remedy, config, back) for remedy in wanted]
    lines = [finding.sentence for finding in findings]
    if back is not None:
        lines += _earlier(wanted, back)
        lines += dict.fromkeys(line for finding in findings for line in finding.way_back)
    mended = {finding.remedy.column for finding in findings if finding.is_mended}
    to_set = [remedy for remedy in wanted if remedy.wanted is not None and remedy.column not in mended]
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


def _earlier(wanted: Sequence[Remedy], back: LookBack) -> Iterator[str]:
    if back.earlier is None:
        return
    values = {r.column: back.earlier.values.get(r.column) for r in wanted if r.would_help(back.earlier.values.get(r.column))}
    if values:
        listed = " and ".join(f"{column} = {value_text(value)}" for column, value in values.items())
        yield f"It ran with {listed} until {ago(back.earlier.ended_at, back.moment)}: run {back.earlier.run_id} succeeded."


@dataclass(frozen=True)
class _Finding:
    """Where one value is from; ``way_back`` has a line and a command where the change can be taken back."""

    remedy: Remedy
    sentence: str
    way_back: tuple[str, ...] = ()
    is_mended: bool = False

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
        return cls._of_what_was_read(remedy, config, back)

    @classmethod
    def _of_override(cls, remedy: Remedy, override: Override, config: DagConfig, back: LookBack) -> _Finding:
        column, number = remedy.column, override.override_id
        beneath = next((o.values[column] for o in config.overrides if o.override_id < number and column in o.values), None)
        if beneath is None:
            beneath = (back.row or {}).get(column)
        by = f" {cut(override.created_by)} made it" if override.created_by else " It was made"
        without = "" if beneath is None else f" Without it, {column} would be {value_text(beneath)}."
        sentence = (
            f"{column} is from override {number} until {time_of_day(override.ends_at, back.moment)}."
            f"{by} {ago(override.created_at, back.moment)}{because('', override.reason)}.{without}"
        )
        if beneath is not None and not remedy.would_help(beneath):
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
            return cls(remedy, sentence, ("To bring the row back:", _rollback(entry.audit_id, back)))
        did = f"changed {column} from {value_text(old)} to {value_text(new)} {when}{why}"
        if remedy.would_help(new):
            return cls(remedy, f"Meanwhile {who} has {did}: the next try runs with it.", is_mended=True)
        if not remedy.would_help(old):
            return cls(remedy, f"{who} {did}.")
        if not past.may_be_rolled_back:
            return cls(remedy, f"{who} {did}.", ("To set what it was before:", config.update_statement(column, old)))
        others = [name for name in entry.differences() if name != column]
        too = f", which changed {', '.join(others)} too" if others else ""
        return cls(remedy, f"{who} {did}.", (f"To take that change back{too}:", _rollback(entry.audit_id, back)))

    @classmethod
    def _of_what_was_read(cls, remedy: Remedy, config: DagConfig, back: LookBack) -> _Finding:
        """The audit could not be asked; what the try read with its configuration may tell."""
        column, last = remedy.column, config.row_change
        if last is not None and column in last.differences:
            return cls._of_entry(remedy, Past(_as_entry(config)), config, back)
        if config.version is None:
            return cls(remedy, f"{column} is the default: {config.dag_name}/{config.job_name} has no row.")
        command = command_line("history", config.dag_name, config.job_name, options=back.options)
        return cls(remedy, f"Who set {column} could not be asked for now. To see it: {command}")


def _source(config: DagConfig, column: str) -> str:
    """Say where a value is from, whether it has grown since or not."""
    return config.sources.get(column, "default" if config.version is None else "row").partition(", grown from ")[0]


def _rollback(audit_id: int, back: LookBack) -> str:
    return command_line("rollback", str(audit_id), options=back.options)


def _as_entry(config: DagConfig) -> HistoryEntry:
    """Give the last change of the row as the audit would."""
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
