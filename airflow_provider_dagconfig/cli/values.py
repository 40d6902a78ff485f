"""
Reads what an operator types: ``COLUMN=VALUE``, a duration, a moment. Pure; the database decides whether a value makes
sense.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from airflow_provider_dagconfig import models
from airflow_provider_dagconfig.models import (
    BooleanColumn,
    Column,
    DecimalColumn,
    ExchangesColumn,
    NumberColumn,
    Quantity,
    QuantityColumn,
    Resource,
    TextColumn,
    TimeColumn,
    is_exchange_code,
    json_number,
    parse_duration,
    shell_word,
)
from airflow_provider_dagconfig.models.ceiling import BOUNDED
from airflow_provider_dagconfig.wording import did_you_mean

_TIME_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_MOMENT = re.compile(
    r"(?:(?P<day>(?!noon\b)[a-z]+|[0-9]{4}-[0-9]{2}-[0-9]{2})(?:,? at\b|,|t(?=[0-9]))?)? ?"
    r"(?:(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,6}))?)?)?"
    r" ?(?P<half>[ap]m)?|(?P<noon>noon))?"
    r" ?(?P<zone>z|utc|gmt|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


class UsageError(ValueError):
    """The input cannot be understood; the message says what to type instead."""


def _quantity_reader(resource: Resource) -> Callable[[str], str]:
    return lambda text: Quantity.parse(text, resource).text


def _read_integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        digits = re.sub(r"(?<=[0-9])[,_' ](?=[0-9]{3})", "", text.strip())
        example = digits if re.fullmatch("[0-9]{1,18}", digits) else "one, such as 5"
        raise ValueError(f"{text!r} is no whole number; write {example}")
    return int(text)


def _read_decimal(text: str) -> int | float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,2}0*)?", text):
        number = text.strip().strip("xX*").replace(",", ".")
        example = number if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,2})?", number) else "one, such as 2 or 1.5"
        raise ValueError(f"{text!r} is no number with at most two decimals; write {example}")
    return json_number(Decimal(text))


def _read_boolean(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"{text!r} is neither true nor false; write one of them")


def _read_time_of_day(text: str) -> time:
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


def _nonblank_reader(example: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.strip():
            raise ValueError(f"{text!r} is blank; write one, such as {example}")
        return text

    return read


_CAST = re.compile(r"::\s*\w+(?:\(\d+\))?\[\]$")
_ARRAY = re.compile(r"array\s*(?=\[)", re.IGNORECASE)
_LIST_BRACKETS = (("[", "]"), ("(", ")"), ("{", "}"))
_QUOTES = (("'", "'"), ('"', '"'))


def _read_exchanges(text: str) -> list[str]:
    """Read codes as people write a list: bare, or as in YAML, JSON, Python or SQL. The rule refuses an empty code later."""
    if not text.strip():
        raise ValueError(f"{text!r} is blank; write codes with commas between them, such as NYSE,NASDAQ")
    inner = _unwrapped(_CAST.sub("", text.strip()), _QUOTES)
    inner = _unwrapped(_ARRAY.sub("", inner, count=1), _LIST_BRACKETS)
    codes = [_unwrapped(code, _QUOTES) for code in re.split("[,;]", re.sub(r"\s*[,;]\s*$", "", inner))]
    if all(is_exchange_code(code) for code in codes if code):
        return codes
    words = [word for word in re.split(r"[^\w.-]+", _ARRAY.sub("", inner)) if is_exchange_code(word)]
    raise ValueError(
        f"{text!r} is no list of codes, which are letters, digits, '.', '-' and '_' with commas between them;"
        f" write {','.join(words) or 'NYSE,NASDAQ'}"
    )


def _unwrapped(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Remove blanks and one pair of signs around a text; not if its last quote belongs to another word."""
    text = text.strip()
    for first, last in pairs:
        inner = text[1:-1]
        if len(text) > 1 and text[0] == first and text[-1] == last and not (first == last and first in inner):
            return inner.strip()
    return text


def _reader(column: Column) -> Callable[[str], Any]:
    """Return the function that reads a column's typed value; in a nullable column, an empty text removes the value."""
    if isinstance(column, QuantityColumn):
        read: Callable[[str], Any] = _quantity_reader(column.resource)
    elif isinstance(column, TextColumn) and not column.is_nullable:
        read = _nonblank_reader(column.takes)
    else:
        read = _READERS[type(column)]
    return (lambda text: read(text) if text else text) if column.is_nullable else read


_READERS: Mapping[type[Column], Callable[[str], Any]] = {
    NumberColumn: _read_integer,
    DecimalColumn: _read_decimal,
    BooleanColumn: _read_boolean,
    TextColumn: str,
    TimeColumn: _read_time_of_day,
    ExchangesColumn: _read_exchanges,
}

JOB_COLUMNS = {name: _reader(column) for name, column in models.CONFIG_COLUMNS.items()}
"""Column of a job to the function that reads its typed value, in the table's order."""

OVERRIDE_COLUMNS = {name: _reader(replace(column, is_nullable=False)) for name, column in models.OVERRIDE_COLUMNS.items()}
"""The same for the columns that an override may set; it removes no value, and a description belongs to the row alone."""

GROUP_COLUMNS = {name: _reader(column) for name, column in models.GROUP_COLUMNS.items()}
"""The same for exchange groups."""
CEILINGS = {name: JOB_COLUMNS[bounded[-1]] for name, bounded in BOUNDED.items()}
"""The same for ceilings."""


def check_column(columns: Mapping[str, object], column: str) -> None:
    """
    Check a column's name.

    :raises UsageError: there is no such column.
    """
    if column not in columns:
        raise UsageError(f"There is no column {column!r}.{did_you_mean(column, columns)} There are: {', '.join(columns)}.")


def read_value(columns: Mapping[str, Callable[[str], Any]], column: str, text: str) -> Any:
    """
    Read a typed value.

    :raises UsageError: there is no such column, or the value is of another kind.
    """
    check_column(columns, column)
    try:
        return columns[column](text)
    except ValueError as error:
        raise UsageError(f"{column} {_unit_message(column, text) or error}") from None


def _unit_message(column: str, text: str) -> str:
    """Return a message with a duration as a number of seconds or minutes; empty where it is not one, or not a whole number."""
    unit = next((unit for name, unit in _UNITS.items() if column.endswith(name)), None)
    try:
        number = unit and parse_duration(text) / unit
    except ValueError:
        return ""
    return f"{text!r} is no whole number; write {number:.0f}" if number and number == int(number) else ""


_UNITS = {"_seconds": timedelta(seconds=1), "_minutes": timedelta(minutes=1)}


def read_assignments(columns: Mapping[str, Callable[[str], Any]], assignments: Sequence[str]) -> dict[str, Any]:
    """
    Read ``COLUMN=VALUE``, any number of times.

    :raises UsageError: a word is not an assignment, or one column is set twice.
    """
    values: dict[str, Any] = {}
    for number, assignment in enumerate(assignments):
        column, separator, text = assignment.partition("=")
        if not separator or not column:
            suggestion = _suggestion(columns, assignments, number) or f"COLUMN=VALUE, such as {_example(columns)}"
            raise UsageError(f"{assignment!r} sets nothing; write {suggestion}")
        column = _column_named(column, columns)
        if column in values:
            raise UsageError(f"{column} is set twice; write it once")
        values[column] = read_value(columns, column, text)
    return values


def _column_named(word: str, columns: Mapping[str, Any]) -> str:
    """Return the column that MEMORY_LIMIT or memory-limit names."""
    name = word.strip().lower().replace("-", "_")
    return name if name in columns else word


def _suggestion(columns: Mapping[str, Any], words: Sequence[str], number: int) -> str:
    """Return what the words meant if one of them is not an assignment; empty where that is not clear."""
    word, before, after = words[number], words[number - 1] if number else "", " ".join(words[number + 1 : number + 2])
    column, colon, value = word.partition(":")
    if colon and value and _column_named(column, columns) in columns:
        return f"{_column_named(column, columns)}={value}"
    if _column_named(word, columns) in columns and after not in ("", "="):
        return f"{_column_named(word, columns)}={after.lstrip('=')}"
    if _column_named(word, columns) in columns and after:
        return f"{_column_named(word, columns)}={' '.join(words[number + 2 : number + 3])}, without blanks"
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

    A day may be today, tomorrow, yesterday or a day of the week, and a time 6am.

    :param now: the present, with its time zone.
    :param ago: a duration goes back, and a time or a day of the week is the last one; otherwise it goes ahead, and is the next.
    :raises UsageError: it is not a moment.
    """
    affixes = r"^(?:since|from|on|at) | ago$" if ago else r"^(?:until|till|from|on|at|in) "
    as_typed = re.sub(affixes, "", " ".join(text.split()), flags=re.IGNORECASE)
    word = as_typed.lower()
    if word == "now":
        return now
    try:
        if re.fullmatch(r"[0-9.]+ ?[a-z].*", word) and not re.match(r"[0-9]{1,2} ?[ap]m\b", word):
            # Case matters: M does not mean minutes.
            return now - parse_duration(as_typed) if ago else now + parse_duration(as_typed)
        match = _MOMENT.fullmatch(word)
        moment = match and _moment_of_parts(match, now.astimezone(_zone(match["zone"])), ago=ago)
        if moment is None:
            # Python before 3.11 does not read Z.
            moment = datetime.fromisoformat(re.sub(r"\s*(z|utc)$", "+00:00", word))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        # The database cannot be asked about a moment that is out of range in UTC.
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no moment; write one in UTC, such as '2026-11-23 02:14' or 02:14, with another zone as"
            f" '2026-11-23 02:14+01:00', or {'how long ago it was' if ago else 'how long from now it is'}, such as 2h"
        ) from None


def _moment_of_parts(match: re.Match[str], now: datetime, *, ago: bool) -> datetime | None:
    """
    Combine a day and a time, in the time zone of ``now``; None where they do not make a moment.

    :raises ValueError: there is no such day or time.
    """
    at, day = _time_of(match), match["day"]
    if day is None:
        return None if at is None else _nearest(now, at, ago=ago)
    at = time() if at is None else at
    if day in _DAYS:
        return datetime.combine(now.date() + _DAYS[day], at, now.tzinfo)
    if day[0].isdigit():
        return datetime.combine(date.fromisoformat(day), at, now.tzinfo)
    of_week = [number for number, name in enumerate(_WEEK) if day in (name, name[:3])]
    return _nearest(now, at, ago=ago, of_week=of_week[0]) if of_week else None


def _time_of(match: re.Match[str]) -> time | None:
    if match["noon"]:
        return time(12)
    if match["hour"] is None:
        return None
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if match["half"] == "pm" else 0)
    elif match["minute"] is None and match["day"] is None:
        return None  # a number alone may be anything
    return time(hour, minute, second, int((match["fraction"] or "").ljust(6, "0")))


def _zone(text: str | None) -> timezone:
    """Read the time zone after a time; UTC where there is none."""
    if text is None or text.isalpha():
        return timezone.utc
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:].lstrip(":") or 0))
    return timezone(-offset if text[0] == "-" else offset)


_DAYS = {"yesterday": timedelta(days=-1), "today": timedelta(), "tomorrow": timedelta(days=1)}
"""Words for a day to its distance from today; the day begins at midnight."""
_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _nearest(now: datetime, at: time, *, ago: bool, of_week: int | None = None) -> datetime:
    """Return the last or the next moment with this time of day, on a certain day of the week if one is given."""
    back = -1 if ago else 1
    days = (datetime.combine(now.date() + timedelta(days=back * number), at, now.tzinfo) for number in range(9))
    return next(day for day in days if (day <= now if ago else day > now) and (of_week is None or day.weekday() == of_week))
