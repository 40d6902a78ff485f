"""
Sentences that several modules share, the masking of secrets, and the display of text from others.

All text for a terminal or a log goes through :func:`printable` once, where it is written: in ``cli/output``, the commands' parser,
each call of a logger, and the exceptions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import TypeVar


def printable(text: object, *, lines: bool = False) -> str:
    """
    Return a text with each character that is not printable as an escape. A second call changes nothing.

    Control, format and unassigned characters of Unicode, and all blanks but the space, are not printable: ``\\x1b``, ``\\u202e``,
    ``\\n``.

    :param lines: keep the line ends, for a text of several lines.
    """
    return "".join(c if c.isprintable() or (lines and c == "\n") else c.encode("unicode_escape").decode() for c in str(text))


def printables(*values: object) -> tuple[object, ...]:
    """Return the arguments of a log line as printable texts; numbers stay numbers."""
    return tuple(value if isinstance(value, int | float) else printable(value) for value in values)


_Error = TypeVar("_Error", bound=BaseException)


def printable_error(error: _Error, *, lines: bool = False) -> _Error:
    """Make the texts of an exception, and of its causes and contexts, printable: a log shows all of them. Return the exception."""
    each: BaseException | None = error
    seen = set()
    while each is not None and id(each) not in seen:
        each.args = tuple(printable(value, lines=lines) if isinstance(value, str) else value for value in each.args)
        seen.add(id(each))
        each = each.__cause__ or each.__context__
    return error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence to append to a message; empty where no known word is similar. Upper and lower case are the same."""
    names = {name.lower(): name for name in known}
    alike = difflib.get_close_matches(word.lower(), names, n=1)
    return f" Did you mean {names[alike[0]]!r}?" if alike else ""


# The user information of a URL: everything before its last @, even characters that a URL must not contain. The first two patterns
# find it in quotation marks, as Go and kubectl write it; the third without. A proxy's URL may lack the scheme.
_USER_INFORMATION = (
    re.compile(r'"(?:[A-Za-z][\w+.-]*://)((?:[^"\\]|\\.)+)@'),
    re.compile(r"""'proxy-url' "((?:[^"\\]|\\.)+)@"""),
    re.compile(r"[A-Za-z][\w+.-]*://(\S+)@"),
)


IN_A_URL = "in USER and PASSWORD the characters @ : / ? # % [ ] are written %40 %3A %2F %3F %23 %25 %5B %5D"
"""A clause for a message about a URL that cannot be read."""

_EXAMPLES = ("USER", "USER:PASSWORD")
"""Placeholders in the URLs that messages show: they are not masked."""


def without_user_information(text: str) -> str:
    """Return a text with ``***`` for the user information of each URL. A host is masked too if an @ follows it in the same word."""
    return _masked(text, lambda _: True)


def without_passwords(text: str) -> str:
    """Return a text with ``***`` for user information with a password. A user's name alone stays: commands show it in ``--url``."""
    return _masked(text, lambda information: ":" in information)


def _masked(text: str, is_secret: Callable[[str], bool]) -> str:
    for pattern in _USER_INFORMATION:
        found = {match[1] for match in pattern.finditer(text)}.difference(_EXAMPLES)
        for information in sorted(filter(is_secret, found), key=len, reverse=True):
            text = text.replace(f"{information}@", "***@")
    return text
