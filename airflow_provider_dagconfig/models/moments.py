"""Moments, as PostgreSQL returns them and as messages show them, and durations, as people type them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone


class Unreadable(str):
    """The text of a moment or a time of day that PostgreSQL can hold and Python cannot: infinity, BC, after 9999, 24:00."""

    __slots__ = ()


def read_moment(text: str) -> datetime | Unreadable:
    """Read a moment from PostgreSQL's JSON, which leaves out zeros that Python 3.10 needs."""
    try:
        return in_range(datetime.fromisoformat(re.sub(r"\.([0-9]+)", lambda fraction: f".{fraction[1]:0<6}", text)), text)
    except ValueError:
        return Unreadable(text)


def in_range(moment: datetime, text: str) -> datetime | Unreadable:
    """Return a moment if UTC can express it too; at the edges only its own time zone may keep it within Python's years."""
    try:
        moment.astimezone(timezone.utc)
    except OverflowError:
        return Unreadable(text)
    return moment


def moment_text(moment: datetime | Unreadable) -> str:
    """Return a moment for a message: ``2026-11-23 02:14:05+00:00``."""
    return str(moment) if isinstance(moment, Unreadable) else moment.isoformat(sep=" ", timespec="seconds")


def ago(moment: datetime | Unreadable, now: datetime) -> str:
    """
    Return how long ago a moment was: ``20 minutes ago``, ``yesterday``, ``3 days ago``.

    :param now: the present, with a time zone.
    :return: ``a moment ago`` for less than a minute, and for a moment after ``now``: two clocks differ a little.
    """
    if isinstance(moment, Unreadable):
        return f"at {moment}"
    minutes = int((now - moment).total_seconds() // 60)
    if minutes < 1:
        return "a moment ago"
    hours, days = minutes // 60, minutes // 1440
    if days == 1:
        return "yesterday"
    number, unit = (days, "day") if days else (hours, "hour") if hours else (minutes, "minute")
    return f"{number} {unit}{'' if number == 1 else 's'} ago"


def time_of_day(moment: datetime | Unreadable, now: datetime) -> str:
    """Return a moment less than a day away as a time in UTC, ``06:00 UTC``, and any other with its date."""
    if isinstance(moment, Unreadable):
        return str(moment)
    is_near = abs(moment - now) < timedelta(days=1)
    return f"{moment.astimezone(timezone.utc):{'%H:%M' if is_near else '%Y-%m-%d %H:%M'} UTC}"


_UNITS = {
    "weeks": ("w", "wk", "wks", "week", "weeks"),
    "days": ("d", "day", "days"),
    "hours": ("h", "hr", "hrs", "hour", "hours"),
    "minutes": ("m", "min", "mins", "minute", "minutes"),
    "seconds": ("s", "sec", "secs", "second", "seconds"),
}
"""Unit to its names, the longest unit first. A month, which M may mean, has no fixed length."""
_PART = r"([0-9]+(?:\.[0-9]+)?) ?([a-zA-Z]+)"
_PARTS = re.compile(rf"{_PART}(?:(?: |, ?| and |, and )?{_PART})*")
_LONGEST_DURATION = timedelta(days=3660)


def parse_duration(text: str) -> timedelta:
    """
    Read a duration: ``45m``, ``2h``, ``1h30m``, ``3d``, ``2w``, ``90 min``, ``1.5 hours``, ``1 day and 2 hours``; m is minutes.

    :raises ValueError: names the text and what to write instead.
    """
    words = " ".join(text.split())
    parts = [(number, _unit(word)) for number, word in re.findall(_PART, words)] if _PARTS.fullmatch(words) else []
    order = [list(_UNITS).index(unit) for _, unit in parts if unit]
    if not parts or len(order) < len(parts) or order != sorted(set(order)):
        such_as = _meant_duration(words) or "45m"
        raise ValueError(
            f"{text!r} is no duration; write a number with s, m (minutes), h, d or w, such as {such_as}, 2h, 1h30m or 3d"
        )
    try:
        duration = timedelta(**{str(unit): float(number) for number, unit in parts})
    except (OverflowError, ValueError):
        duration = _LONGEST_DURATION * 2
    if not timedelta(0) < duration <= _LONGEST_DURATION:
        raise ValueError(f"{text!r} is no duration that can be used; write more than zero, and ten years at most")
    return duration


def _unit(word: str) -> str | None:
    return next((unit for unit, words in _UNITS.items() if word != "M" and word.lower() in words), None)


def _meant_duration(words: str) -> str:
    """Read a number without a unit as minutes."""
    return f"{words}m" if re.fullmatch("[0-9]{1,6}", words) else ""
