"""
What an operator types for a value: ``COLUMN=VALUE``, a duration, a moment. Pure; whether a value makes sense is the database's
to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time, timedelta, timezone
from typing import Any

from airflow_provider_dagconfig import models
from airflow_provider_dagconfig.models import (
    BooleanColumn,
    Column,
    ExchangesColumn,
    NumberColumn,
    Quantity,
    QuantityColumn,
    Resource,
    TextColumn,
    TimeColumn,
    is_exchange_code,
    parse_duration,
    shell_word,
)
from airflow_provider_dagconfig.models.ceiling import BOUNDED
from airflow_provider_dagconfig.wording import did_you_mean

_TIME_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")


class UsageError(ValueError):
    """What was typed cannot be understood; the message says what to type instead."""


def _quantity(resource: Resource) -> Callable[[str], str]:
    return lambda text: Quantity.parse(text, resource).text


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        digits = re.sub(r"(?<=[0-9])[,_' ](?=[0-9]{3})", "", text.strip())
        example = digits if re.fullmatch("[0-9]{1,18}", digits) else "one, such as 5"
        raise ValueError(f"{text!r} is no whole number; write {example}")
    return int(text)


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"{text!r} is neither true nor false; write one of them")


def _time_of_day(text: str) -> time:
    match = _TIME_OF_DAY.fullmatch(text)
    try:
        if match:
            return _time(match)
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no time of day; write one in UTC, such as 14:30")


def _time(match: re.Match[str]) -> time:
    hour, minute, second = (int(part or 0) for part in match.groups())
    return time(hour, minute, second)


def _filled(example: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.strip():
            raise ValueError(f"{text!r} is blank; write one, such as {example}")
        return text

    return read


_CAST = re.compile(r"::\s*\w+(?:\(\d+\))?\[\]$")
_ARRAY = re.compile(r"array\s*(?=\[)", re.IGNORECASE)
_AROUND_A_LIST = (("[", "]"), ("(", ")"), ("{", "}"))
_QUOTES = (("'", "'"), ('"', '"'))


def _exchanges(text: str) -> list[str]:
    """Read codes as people write a list: bare, or as in YAML, JSON, Python or SQL. An empty code is left to the rule."""
    if not text.strip():
        raise ValueError(f"{text!r} is blank; write codes with commas between them, such as NYSE,NASDAQ")
    inner = _without(_CAST.sub("", text.strip()), _QUOTES)
    inner = _without(_ARRAY.sub("", inner, count=1), _AROUND_A_LIST)
    codes = [_without(code, _QUOTES) for code in re.split("[,;]", re.sub(r"\s*[,;]\s*$", "", inner))]
    if all(is_exchange_code(code) for code in codes if code):
        return codes
    words = [word for word in re.split(r"[^\w.-]+", _ARRAY.sub("", inner)) if is_exchange_code(word)]
    raise ValueError(
        f"{text!r} is no list of codes, which are letters, digits, '.', '-' and '_' with commas between them;"
        f" write {','.join(words) or 'NYSE,NASDAQ'}"
    )


def _without(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Take off blanks and one pair of signs around a text; not where a quote at its end is another word's."""
    text = text.strip()
    for first, last in pairs:
        inner = text[1:-1]
        if len(text) > 1 and text[0] == first and text[-1] == last and not (first == last and first in inner):
            return inner.strip()
    return text


def _reader(column: Column) -> Callable[[str], Any]:
    """Give what reads a column's value as it was typed."""
    if isinstance(column, QuantityColumn):
        return _quantity(column.resource)
    if isinstance(column, TextColumn) and not column.is_nullable:
        return _filled(column.takes)
    return _READERS[type(column)]


_READERS: Mapping[type[Column], Callable[[str], Any]] = {
    NumberColumn: _integer,
    BooleanColumn: _boolean,
    TextColumn: str,
    TimeColumn: _time_of_day,
    ExchangesColumn: _exchanges,
}

JOB_COLUMNS = {name: _reader(column) for name, column in models.CONFIG_COLUMNS.items()}
"""What a job can be configured with, in the order of the table, and how its text is read."""

OVERRIDE_COLUMNS = {name: JOB_COLUMNS[name] for name in models.OVERRIDE_COLUMNS}
"""The columns that an override may set; a description is the row's alone."""

GROUP_COLUMNS = {name: _reader(column) for name, column in models.GROUP_COLUMNS.items()}
"""The same of an exchange group."""
CEILINGS = {name: JOB_COLUMNS[bounded[-1]] for name, bounded in BOUNDED.items()}
"""The same of the ceilings."""


def see_that_it_is_a_column(columns: Mapping[str, object], column: str) -> None:
    """
    Look a column's name up.

    :raises UsageError: there is no such column.
    """
    if column not in columns:
        raise UsageError(f"There is no column {column!r}.{did_you_mean(column, columns)} There are: {', '.join(columns)}.")


def read_value(columns: Mapping[str, Callable[[str], Any]], column: str, text: str) -> Any:
    """
    Read a value as it was typed.

    :raises UsageError: there is no such column, or the value is of another kind.
    """
    see_that_it_is_a_column(columns, column)
    try:
        return columns[column](text)
    except ValueError as error:
        raise UsageError(f"{column} {_in_the_columns_unit(column, text) or error}") from None


def _in_the_columns_unit(column: str, text: str) -> str:
    """Say what a duration is as a number of seconds, or of minutes; nothing where it is none, or no such number."""
    unit = next((unit for name, unit in _UNITS.items() if column.endswith(name)), None)
    try:
        number = unit and parse_duration(text) / unit
    except ValueError:
        return ""
    return f"{text!r} is no whole number; write {number:.0f}" if number and number == int(number) else ""


_UNITS = {"_seconds": timedelta(seconds=1), "_minutes": timedelta(minutes=1)}


def read_assignments(columns: Mapping[str, Callable[[str], Any]], assignments: Sequence[str]) -> dict[str, Any]:
    """
    Read ``COLUMN=VALUE`` as often as it was typed.

    :raises UsageError: it is no assignment, or one column is set twice.
    """
    values: dict[str, Any] = {}
    for number, assignment in enumerate(assignments):
        column, separator, text = assignment.partition("=")
        if not separator or not column:
            meant = _assigning(columns, assignments, number) or f"COLUMN=VALUE, such as {_example(columns)}"
            raise UsageError(f"{assignment!r} sets nothing; write {meant}")
        column = _as_column(column, columns)
        if column in values:
            raise UsageError(f"{column} is set twice; write it once")
        values[column] = read_value(columns, column, text)
    return values


def _as_column(word: str, columns: Mapping[str, Any]) -> str:
    """Take MEMORY_LIMIT and memory-limit for the column that they name."""
    name = word.strip().lower().replace("-", "_")
    return name if name in columns else word


def _assigning(columns: Mapping[str, Any], words: Sequence[str], number: int) -> str:
    """Say what was meant by words of which one is no assignment; nothing where that is not to be seen."""
    word, before, after = words[number], words[number - 1] if number else "", " ".join(words[number + 1 : number + 2])
    column, colon, value = word.partition(":")
    if colon and value and _as_column(column, columns) in columns:
        return f"{_as_column(column, columns)}={value}"
    if _as_column(word, columns) in columns and after not in ("", "="):
        return f"{_as_column(word, columns)}={after.lstrip('=')}"
    if _as_column(word, columns) in columns and after:
        return f"{_as_column(word, columns)}={' '.join(words[number + 2 : number + 3])}, without blanks"
    try:
        parse_duration(word)
    except ValueError:
        pass
    else:
        return f"--for {word}, of the command override"
    name, is_assignment, _ = before.partition("=")
    if is_assignment and name in columns:
        return shell_word(
            f"{before},{word}" if name == "exchanges" else f"{before} {word}" if name == "description" else before + word
        )
    return f"exchanges={word}" if "exchanges" in columns and all(map(is_exchange_code, word.split(","))) else ""


def _example(columns: Mapping[str, Any]) -> str:
    return "memory_limit=4Gi" if "memory_limit" in columns else "exchanges=NYSE,NASDAQ"


def read_moment(text: str, now: datetime, *, ago: bool) -> datetime:
    """
    Read a moment: ``2026-11-23 02:14``, with ``+01:00`` or ``Z`` where it is not UTC, a time of day, or a duration from now.

    :param now: the present, with its zone.
    :param ago: a duration goes back, and a time of day is the last such; else it goes ahead, and is the next.
    :raises UsageError: it is no moment.
    """
    word = text.strip()
    if word.lower() == "now":
        return now
    if word.lower() in _DAYS:
        return datetime.combine(now.astimezone(timezone.utc).date() + _DAYS[word.lower()], time(), timezone.utc)
    try:
        if match := _TIME_OF_DAY.fullmatch(word):
            return _nearest(_time(match), now, ago=ago)
        if re.fullmatch(r"(?:[0-9]+\s*[a-zA-Z]+\s*)+", word):
            return now - parse_duration(word) if ago else now + parse_duration(word)
        # Python before 3.11 does not read Z.
        moment = datetime.fromisoformat(re.sub(r"(?i)\s*(z|utc)$", "+00:00", word))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        # What is out of range in UTC cannot be asked of the database.
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no moment; write one in UTC, such as '2026-11-23 02:14' or 02:14, with another zone as"
            f" '2026-11-23 02:14+01:00', or {'how long ago it was' if ago else 'how long from now it is'}, such as 2h"
        ) from None


_DAYS = {"yesterday": timedelta(days=-1), "today": timedelta(), "tomorrow": timedelta(days=1)}
"""Words for a day, which begins at midnight UTC."""


def _nearest(at: time, now: datetime, *, ago: bool) -> datetime:
    moment = datetime.combine(now.astimezone(timezone.utc).date(), at, timezone.utc)
    if ago and moment > now:
        return moment - timedelta(days=1)
    return moment + timedelta(days=1) if not ago and moment <= now else moment
