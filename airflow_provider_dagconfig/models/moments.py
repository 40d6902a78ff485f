"""Moments, as PostgreSQL has them and as messages show them, and durations, as people type them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone


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


def moment_text(moment: datetime | Unreadable) -> str:
    """Write a moment for a message: ``2026-11-23 02:14:05+00:00``."""
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
