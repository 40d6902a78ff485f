"""A figure: what was measured, round by round and of whom, the goal that it has, and whether that is met."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Goal:
    """
    What a figure should be.

    :param text: as it is written down, such as ``<= 0.7 of KubernetesPodOperator``.
    :param most: the largest value that meets it; None where only a least one is wanted.
    :param least: the smallest value that meets it.
    """

    text: str
    most: float | None = None
    least: float | None = None

    def is_met_by(self, value: float) -> bool:
        """Whether a value is within the bounds."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)


@dataclass(frozen=True)
class Figure:
    """
    One row of the page.

    :param name: what was measured.
    :param unit: the unit of ``values``; empty for a number or a ratio.
    :param values: what was measured of each, a value a round; the first is the provider's own. An empty list: it is not there yet.
    :param goal: None where a figure is only shown.
    :param judged: the value that the goal is about; None where there is none yet.
    :param is_ratio: whether ``judged`` is a ratio of medians.
    :param note: what is to be known beside it; may be HTML.
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
        """``met``, ``not met``, ``not there yet``, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        if self.judged is None:
            return "not there yet"
        return "met" if self.goal.is_met_by(self.judged) else "not met"

    @property
    def measured(self) -> str:
        """The value that is judged, as it is printed."""
        if self.judged is None:
            return ""
        return short(self.judged) + ("" if self.is_ratio or not self.unit else f" {self.unit}")

    def spread_of(self, who: str) -> str:
        """The median and, where there are several rounds, the least and the largest."""
        values = self.values[who]
        if not values:
            return "not there yet"
        text = f"{short(statistics.median(values))}{f' {self.unit}' if self.unit else ''}"
        return text if len(values) == 1 else f"{text} ({short(min(values))} to {short(max(values))})"


@dataclass
class Part:
    """What one subject gave."""

    name: str
    title: str
    how: str
    """How it was measured: the first paragraphs of its module."""
    figures: list[Figure] = field(default_factory=list)
    seconds: float = 0.0
    budget: float = 0.0
    """Seconds that it may take."""
    trouble: str | None = None
    """Why there are no figures, or not all."""


def ratio(name: str, unit: str, values: Mapping[str, Sequence[float]], goal: Goal | None, *, to: str, note: str = "") -> Figure:
    """
    A figure whose goal is about the ratio of medians, the first one's to another's.

    :param to: whose median the first one's is divided by.
    """
    own = values[next(iter(values))]
    judged = statistics.median(own) / statistics.median(values[to]) if own and values[to] else None
    return Figure(name, unit, values, goal, judged, is_ratio=True, note=note)


def above(values: Mapping[str, Sequence[float]], ground: str) -> dict[str, list[float]]:
    """What each takes above the median of another, which is left out."""
    least = statistics.median(values[ground])
    return {who: [max(value - least, 0.0) for value in taken] for who, taken in values.items() if who != ground}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def short(value: float) -> str:
    """Three digits that mean something, and no more."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"
