"""
Memory that grows: the larger limit that an OOMKilled try leaves to the next tries, and the memory that such a try gets. Pure.

The row, the overrides and the run's conf give the memory that a run begins with. The limit that an OOMKilled try left applies only
if it is above that, and is bounded by the present ``memory_growth_limit`` and ceiling. Without ``memory_growth`` it is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from airflow_provider_dagconfig.models import DagConfig, Quantity
from airflow_provider_dagconfig.models.ceiling import Ceiling
from airflow_provider_dagconfig.models.quantity import MOST

_BINARY, _DECIMAL = ("Ti", "Gi", "Mi", "Ki"), ("T", "G", "M", "k")
_HUNDREDTHS = 100


@dataclass(frozen=True)
class Grown:
    """The memory limit that an OOMKilled try leaves to the next tries of its task instance."""

    limit: Quantity
    """The memory limit of the next tries."""
    before: Quantity
    """The limit of the try that was OOMKilled."""
    try_number: int
    """The number of the try that was OOMKilled."""

    @property
    def why(self) -> str:
        """The reason, as a clause: ``grown from 32Mi: try 1 was OOMKilled``."""
        return f"grown from {self.before}: try {self.try_number} was OOMKilled"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; :meth:`from_kept` reads them."""
        return {"limit": self.limit.text, "before": self.before.text, "try": self.try_number}

    @classmethod
    def from_kept(cls, kept: Any) -> Grown | None:
        """Read what :meth:`as_dict` returned; None where there is nothing, or nothing that this version understands."""
        try:
            return cls(Quantity.parse(kept["limit"]), Quantity.parse(kept["before"]), int(kept["try"]))
        except (KeyError, TypeError, ValueError):
            return None


def next_limit(config: DagConfig, ceiling: Ceiling | None, before: Quantity | None = None) -> Quantity | None:
    """
    Return the memory limit of the try after one that was OOMKilled.

    :param config: the configuration that the try ran with.
    :param ceiling: the ceiling on memory that applies to the job's DAG; None where there is none.
    :param before: the limit that the pod had; None for the configuration's.
    :return: the limit times ``memory_growth``, at most ``memory_growth_limit`` and the ceiling; None where memory does not grow, or
        cannot grow further.
    """
    if config.memory_growth is None:
        return None
    before = before or config.memory_limit
    limit = min(_written(before.value * Fraction(config.memory_growth), before), _most(config, ceiling))
    return limit if limit > before else None


def grown(config: DagConfig, kept: Grown | None, ceiling: Ceiling | None) -> DagConfig:
    """
    Return the configuration that a try runs with.

    :param config: the configuration in force now.
    :param kept: what an earlier try of this task instance left; None where there is nothing.
    :param ceiling: the ceiling on memory that applies to the job's DAG; None where there is none.
    :return: the configuration with the larger limit and a request larger in proportion; ``origin`` and ``sources`` say why.
    """
    if kept is None or config.memory_growth is None:
        return config
    limit = min(kept.limit, _most(config, ceiling))
    if limit <= config.memory_limit:
        return config
    request = config.memory_request
    grown_from = {column: f"{config.sources.get(column, 'row')}, {kept.why}" for column in ("memory_request", "memory_limit")}
    larger = min(_written(request.value * limit.value / config.memory_limit.value, request), limit)
    return replace(
        config,
        memory_limit=limit,
        memory_request=larger,
        sources={**config.sources, **grown_from},
        origin=f"{config.origin}; memory_limit {limit}, {kept.why}",
    )


def _most(config: DagConfig, ceiling: Ceiling | None) -> Quantity:
    bounds = [config.memory_growth_limit, Quantity.parse(ceiling.value) if ceiling else None, MOST["memory"]]
    return min(bound for bound in bounds if bound is not None)


def _written(value: Fraction, like: Quantity) -> Quantity:
    """
    Write bytes in the largest unit that needs at most two decimals; otherwise as whole Mi or M, rounded up.

    :param like: a quantity whose units are used: powers of 1024 if it is written in them, or is a multiple of 1024 without a unit;
        otherwise powers of 1000.
    """
    is_binary = like.text.endswith("i") or (like.text[-1:].isdecimal() and like.value % 1024 == 0)
    for unit in _BINARY if is_binary else _DECIMAL:
        hundredths = value * _HUNDREDTHS / Quantity.parse(f"1{unit}").value
        if hundredths >= _HUNDREDTHS and hundredths.denominator == 1:
            whole, rest = divmod(int(hundredths), _HUNDREDTHS)
            decimals = f".{rest:02}".rstrip("0") if rest else ""
            return Quantity.parse(f"{whole}{decimals}{unit}")
    unit = "Mi" if is_binary else "M"
    return Quantity.parse(f"{-(-value // Quantity.parse(f'1{unit}').value)}{unit}")
