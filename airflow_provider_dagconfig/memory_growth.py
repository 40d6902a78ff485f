"""
Memory that grows: what an OOMKilled try leaves to the next one, and what a try runs with where one has left something. Pure.

The row, overrides and the run's conf say what a run begins with. What an OOMKilled try leaves counts only above that, and within
``memory_growth_limit`` and the ceiling as they are when it is used; without ``memory_growth`` it does not count.
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
    """What a try that was OOMKilled leaves to the next ones of its task instance."""

    limit: Quantity
    """The memory limit that they get."""
    before: Quantity
    """The limit that was not enough."""
    try_number: int
    """The try that was OOMKilled."""

    @property
    def why(self) -> str:
        """``grown from 32Mi: try 1 was OOMKilled``."""
        return f"grown from {self.before}: try {self.try_number} was OOMKilled"

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values; :meth:`from_kept` makes the same of them."""
        return {"limit": self.limit.text, "before": self.before.text, "try": self.try_number}

    @classmethod
    def from_kept(cls, kept: Any) -> Grown | None:
        """Read what was kept; None where nothing was, or nothing that this version knows."""
        try:
            return cls(Quantity.parse(kept["limit"]), Quantity.parse(kept["before"]), int(kept["try"]))
        except (KeyError, TypeError, ValueError):
            return None


def next_limit(config: DagConfig, ceiling: Ceiling | None, before: Quantity | None = None) -> Quantity | None:
    """
    Give the memory limit that follows on a try that was OOMKilled.

    :param config: what the try ran with.
    :param ceiling: the one on memory that binds the job's DAG; None: there is none.
    :param before: the limit that the pod had; None: the configuration's.
    :return: times ``memory_growth``, at most ``memory_growth_limit`` and the ceiling; None where nothing grows, or no more.
    """
    if config.memory_growth is None:
        return None
    before = before or config.memory_limit
    limit = min(_written(before.value * Fraction(config.memory_growth), before), _most(config, ceiling))
    return limit if limit > before else None


def grown(config: DagConfig, kept: Grown | None, ceiling: Ceiling | None) -> DagConfig:
    """
    Give what a try runs with.

    :param config: what is in force now.
    :param kept: what an earlier try of this task instance left; None: nothing.
    :param ceiling: the one on memory that binds the job's DAG; None: there is none.
    :return: the configuration with the larger limit, and the request larger in proportion; its ``origin`` and ``sources`` say why.
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
    Write bytes in the largest unit in which they have at most two decimals, else as whole Mi or M, rounded up.

    :param like: in powers of 1024 or of 1000, as this is written; or as it could be.
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
