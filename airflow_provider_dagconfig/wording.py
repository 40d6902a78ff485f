"""
Sentences that messages of all parts share, what no message shows, and how a text that others wrote is shown.

What reaches a terminal or a log goes through :func:`printable`, once, where it is written there: ``cli/output``, the parser of the
commands, each call of a logger, the exceptions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import TypeVar


def printable(text: object, *, lines: bool = False) -> str:
    """
    Write what would do something to a terminal or a log, or could not be seen there, as an escape; a second time changes nothing.

    So are Unicode's control, format and unassigned characters and blanks but the space: ``\\x1b``, ``\\u202e``, ``\\n``.

    :param lines: leave the ends of lines, where several are told.
    """
    return "".join(c if c.isprintable() or (lines and c == "\n") else c.encode("unicode_escape").decode() for c in str(text))


def printables(*values: object) -> tuple[object, ...]:
    """Likewise the values of a log line's places; numbers stay."""
    return tuple(value if isinstance(value, int | float) else printable(value) for value in values)


_Error = TypeVar("_Error", bound=BaseException)


def printable_error(error: _Error, *, lines: bool = False) -> _Error:
    """Make the texts of an exception so, and of those that it is from: a log shows all of them."""
    each: BaseException | None = error
    seen = set()
    while each is not None and id(each) not in seen:
        each.args = tuple(printable(value, lines=lines) if isinstance(value, str) else value for value in each.args)
        seen.add(id(each))
        each = each.__cause__ or each.__context__
    return error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give a sentence to append to a message, whatever is in capitals; an empty string where nothing known is alike."""
    names = {name.lower(): name for name in known}
    alike = difflib.get_close_matches(word.lower(), names, n=1)
    return f" Did you mean {names[alike[0]]!r}?" if alike else ""


# What stands before the last @ of a URL, raw characters that a URL may not have among it: in quotation marks as Go and kubectl
# write it, then without. A proxy's may lack the scheme.
_USER_INFORMATION = (
    re.compile(r'"(?:[A-Za-z][\w+.-]*://)((?:[^"\\]|\\.)+)@'),
    re.compile(r"""'proxy-url' "((?:[^"\\]|\\.)+)@"""),
    re.compile(r"[A-Za-z][\w+.-]*://(\S+)@"),
)


IN_A_URL = "in USER and PASSWORD the characters @ : / ? # % [ ] are written %40 %3A %2F %3F %23 %25 %5B %5D"
"""A clause for who has written a URL that can't be read."""

_EXAMPLES = ("USER", "USER:PASSWORD")
"""What stands there in the form of a URL that a message shows."""


def without_user_information(text: str) -> str:
    """Give a text with ``***`` for the user's name and password in each URL; a host before an @ that is no part of it goes too."""
    return _masked(text, lambda _: True)


def without_passwords(text: str) -> str:
    """Likewise where there is a password. A name alone stays: a command that is shown has it in its ``--url``."""
    return _masked(text, lambda information: ":" in information)


def _masked(text: str, is_secret: Callable[[str], bool]) -> str:
    for pattern in _USER_INFORMATION:
        found = {match[1] for match in pattern.finditer(text)}.difference(_EXAMPLES)
        for information in sorted(filter(is_secret, found), key=len, reverse=True):
            text = text.replace(f"{information}@", "***@")
    return text
