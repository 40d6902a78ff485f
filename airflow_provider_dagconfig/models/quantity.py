"""Amounts of CPU and memory as Kubernetes writes them, with the least that a container needs and the most that a row may have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Literal

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]+))?"
)
_FACTORS = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{suffix: Fraction(1024**power) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
_LARGEST = 2**63 - 1
_FINEST = Fraction(1, 10**9)
# A number with a longer exponent is out of range, if a person writes it; to compute 10**n for it would take too long.
_LONGEST_EXPONENT = 3


Resource = Literal["cpu", "memory"]


@dataclass(frozen=True, order=True)
class Quantity:
    """
    An amount of CPU (cores) or memory (bytes), as Kubernetes writes it: ``500m``, ``1.5``, ``2Gi``, ``1e9``.

    Two quantities are equal when their values are: ``Quantity.parse("1000m") == Quantity.parse("1")``. ``str()`` returns
    the text as it was written.

    Source of the rules: the grammar at ``resource.Quantity`` in Kubernetes' API reference. Values that Kubernetes accepts but
    changes silently are refused: more than 2^63-1 (it is capped) and fractions of 1n (they are rounded up).
    """

    value: Fraction
    """The exact amount: cores, or bytes."""
    text: str = field(compare=False)
    """As written in the row."""

    @classmethod
    def parse(cls, text: str, resource: Resource | None = None) -> Quantity:
        """
        Read a quantity.

        :param resource: the resource, for the message.
        :raises ValueError: names the text and what to write instead.
        """
        return cls(value=_amount(text, resource), text=text)

    def __str__(self) -> str:
        return self.text


# It is called often: a listing reads four amounts of each job, and jobs share a few amounts.
@lru_cache(maxsize=1024)
def _amount(text: str, resource: Resource | None) -> Fraction:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no Kubernetes quantity; write {_suggestion(text, resource)}")
    number, suffix, exponent = match["number"], match["suffix"], match["exponent"]
    if exponent is None:
        factor = _FACTORS[suffix or ""]
    elif len(exponent.lstrip("+-").lstrip("0")) <= _LONGEST_EXPONENT:
        factor = Fraction(10) ** int(exponent)
    else:
        raise ValueError(f"{text!r} is out of range; Kubernetes' quantities go up to 2^63-1 in steps of 1n")
    value = Fraction(Decimal(number)) * factor
    if abs(value) > _LARGEST:
        raise ValueError(f"{text!r} is more than 2^63-1, which Kubernetes would cap silently; write a smaller one")
    if value % _FINEST:
        raise ValueError(f"{text!r} is finer than 1n, which Kubernetes would round up silently; write fewer digits")
    return value


_EXAMPLES: dict[Resource | None, str] = {
    "cpu": "cores, such as 2, or thousandths of one, such as 500m",
    "memory": "bytes with a suffix, such as 512Mi or 2Gi",
    None: "a number with a suffix, such as 500m or 2 for CPU, 512Mi or 2Gi for memory",
}


_LOOSE_QUANTITY = re.compile(
    r"\s*\+?(?P<number>-?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+))\s*"
    r"(?:(?P<prefix>[kmgtpe])?(?P<binary>i?)(?P<byte>b?)|(?P<milli>m?|milli\s?)(?P<cores>v?cpus?|cores?))\s*",
    re.IGNORECASE,
)


def _suggestion(text: str, resource: Resource | None) -> str:
    """Return the valid quantities that this text may mean; without any, an example."""
    loose = _LOOSE_QUANTITY.fullmatch(text)
    meant = [loose["number"].replace(",", ".") + suffix for suffix in _suffixes(loose, resource)] if loose else []
    return " or ".join(each for each in meant if _can_be_written(each, resource)) or _EXAMPLES[resource]


def _suffixes(loose: re.Match[str], resource: Resource | None) -> tuple[str, ...]:
    """Return the suffixes that the unit may mean. For CPU only m (a thousandth) makes sense, in any case; else case matters."""
    prefix, binary, byte = loose["prefix"], loose["binary"], loose["byte"]
    if loose["cores"]:
        return () if resource == "memory" else ("m" if loose["milli"] else "",)
    if not byte and (prefix in ("m", "M") if resource == "cpu" else prefix == "m" and not binary and resource is None):
        return ("m",)
    if resource == "cpu" and (prefix or byte):
        return ()
    if not prefix:
        return ("",)
    upper = prefix.upper()
    return (f"{upper}i",) if binary else ("k" if upper == "K" else upper, f"{upper}i")


def _can_be_written(text: str, resource: Resource | None) -> bool:
    try:
        quantity = Quantity.parse(text)
    except ValueError:
        return False
    if resource is None:
        return True
    return LEAST[resource] <= quantity <= MOST[resource] and not is_too_fine(quantity, resource)


LEAST: Mapping[Resource, Quantity] = {"cpu": Quantity.parse("1m"), "memory": Quantity.parse("4Mi")}
"""The least that a container needs to start; the store's rules allow no less."""
MOST: Mapping[Resource, Quantity] = {"cpu": Quantity.parse("1024"), "memory": Quantity.parse("64Ti")}
"""More than any machine has, so a larger value was meant in another unit. The store's rules allow no more."""
_STEPS_OF_A_CORE = 1000


def is_too_fine(quantity: Quantity, resource: Resource) -> bool:
    """Return whether Kubernetes would round an amount up: CPU, to whole thousandths of a core."""
    return resource == "cpu" and _STEPS_OF_A_CORE % quantity.value.denominator != 0


def is_in_bytes(quantity: Quantity, resource: Resource) -> bool:
    """Return whether an amount of CPU has a unit of memory: Ki, Mi, Gi."""
    return resource == "cpu" and quantity.text.endswith("i")
