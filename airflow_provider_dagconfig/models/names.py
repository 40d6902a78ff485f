"""Names of DAGs, jobs and groups: the characters that the store's rule refuses, and the name that was meant."""

from __future__ import annotations

import re

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
# Unicode's format characters (Cf) and blanks (Zs, Zl, Zp), as in dagconfig_is_name (010); Python's versions know different ones.
_AROUND = (
    r" \xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff"
    r"\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
_IS_AROUND = re.compile(rf"\A[{_CONTROLS}{_AROUND}]+|[{_CONTROLS}{_AROUND}]+\Z")


def meant_name(text: str) -> str:
    """Return a name without blanks and invisible characters around it, and with ``_`` for control characters; it may be empty."""
    return re.sub(f"[{_CONTROLS}]+", "_", _IS_AROUND.sub("", text))


def is_name(text: str) -> bool:
    """Return whether the store's rules accept a name."""
    return bool(text) and meant_name(text) == text
