"""A figure: what was measured, by round and by operator, its goal, and whether it meets the goal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Goal:
    """
    The goal of a figure.

    :param text: the goal in words, such as ``<= 0.7 of KubernetesPodOperator``.
    :param most: the largest value that meets it; None where there is only a smallest one.
    :param least: the smallest value that meets it.
    """

    text: str
    most: float | None = None
    least: float | None = None

    def is_met_by(self, value: float) -> bool:
        """Return whether a value is within the bounds."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)


@dataclass(frozen=True)
class Figure:
    """
    One row of the page.

    :param name: what was measured.
    :param unit: the unit of ``values``; empty for a number or a ratio.
    :param values: the values of each operator, one for each round; the first is this provider's. An empty list: not measured yet.
    :param goal: None where a figure is only shown.
    :param judged: the value that is compared with the goal; None where there is none yet.
    :param is_ratio: whether ``judged`` is a ratio of medians.
    :param note: a remark beside it; may be HTML.
    """

    name: str
    unit: str
    values: Mapping[str, Sequence[float]]
    goal: Goal | None = None
    judged: float | None = None
    is_ratio: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``not met``, ``not there yet``; empty where there is no goal."""
        if self.goal is None:
            return ""
        if self.judged is None:
            return "not there yet"
        return "met" if self.goal.is_met_by(self.judged) else "not met"

    @property
    def measured(self) -> str:
        """The value that is compared with the goal, as it is printed."""
        if self.judged is None:
            return ""
        return short(self.judged) + ("" if self.is_ratio or not self.unit else f" {self.unit}")

    def spread_of(self, who: str) -> str:
        """Return the median and, if there are several rounds, the smallest and the largest value."""
        values = self.values[who]
        if not values:
            return "not there yet"
        text = f"{short(statistics.median(values))}{f' {self.unit}' if self.unit else ''}"
        return text if len(values) == 1 else f"{text} ({short(min(values))} to {short(max(values))})"


@dataclass
class Part:
    """The results of one subject."""

    name: str
    title: str
    how: str
    """The method: the first paragraphs of its module's docstring."""
    figures: list[Figure] = field(default_factory=list)
    seconds: float = 0.0
    budget: float = 0.0
    """Seconds that it may take; then it begins no further round."""
    trouble: str | None = None
    """The reason why figures are missing."""


def ratio(name: str, unit: str, values: Mapping[str, Sequence[float]], goal: Goal | None, *, to: str, note: str = "") -> Figure:
    """
    Return a figure whose goal is about a ratio of medians, the first one's to another's.

    :param to: the operator whose median is the divisor.
    """
    own = values[next(iter(values))]
    judged = statistics.median(own) / statistics.median(values[to]) if own and values[to] else None
    return Figure(name, unit, values, goal, judged, is_ratio=True, note=note)


def above(values: Mapping[str, Sequence[float]], ground: str) -> dict[str, list[float]]:
    """Return each operator's values above the median of another one, which is left out."""
    least = statistics.median(values[ground])
    return {who: [max(value - least, 0.0) for value in taken] for who, taken in values.items() if who != ground}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def short(value: float) -> str:
    """Return a number with three significant digits at most, unless it has more before the point."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"
