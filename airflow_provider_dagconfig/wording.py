"""Sentences that messages of all parts share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give a sentence to append to a message, whatever is in capitals; an empty string where nothing known is alike."""
    names = {name.lower(): name for name in known}
    alike = difflib.get_close_matches(word.lower(), names, n=1)
    return f" Did you mean {names[alike[0]]!r}?" if alike else ""
