"""Sentences that messages of all parts share, and what no message shows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable


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


def without_user_information(text: str) -> str:
    """Give a text with ``***`` for the user's name and password in each URL; a host before an @ that is no part of it goes too."""
    return _masked(text, lambda _: True)


def without_passwords(text: str) -> str:
    """Likewise where there is a password. A name alone stays: a command that is shown has it in its ``--url``."""
    return _masked(text, lambda information: ":" in information)


def _masked(text: str, is_secret: Callable[[str], bool]) -> str:
    for pattern in _USER_INFORMATION:
        for information in sorted(filter(is_secret, {match[1] for match in pattern.finditer(text)}), key=len, reverse=True):
            text = text.replace(f"{information}@", "***@")
    return text
