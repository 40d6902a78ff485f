"""The report of a run: a table on the terminal, docs/BENCHMARKS.md, and its picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console
from rich.markup import escape

from benchmarks.figures import Figure, Part, short
from benchmarks.peers import SETTINGS

PAGE, PICTURE = "BENCHMARKS.md", "benchmarks.svg"
_COLOURS = {"met": "green", "not met": "red", "not there yet": "dim"}
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 920, 470, 70, 26, 50
"""Pixels of the picture: its width, the space for names, the space for values, a row's height, and the space above the rows."""


@dataclass(frozen=True)
class Run:
    """The results of a whole run."""

    parts: Sequence[Part]
    facts: Mapping[str, str]
    """Machine and versions."""
    began: datetime
    command: str
    is_smoke: bool

    @property
    def figures(self) -> list[Figure]:
        return [figure for part in self.parts for figure in part.figures]

    @property
    def minutes(self) -> float:
        return sum(part.seconds for part in self.parts) / 60


def show(parts: Sequence[Part], console: Console) -> None:
    """Print each row's goal and value, whether the goal is met, and how long each part took."""
    for part in parts:
        console.print(f"\n[bold]{part.title}[/] [dim]{part.seconds:.0f} s, of {part.budget:.0f} at most[/]")
        for figure in part.figures:
            verdict = f"goal {escape(figure.goal.text)}: [{_COLOURS[figure.verdict]}]{figure.verdict}[/]" if figure.goal else ""
            console.print(f"  {escape(figure.name)}: [bold]{figure.measured}[/] {verdict}", soft_wrap=True)
            for who in figure.values:
                console.print(f"      {escape(who)}: {figure.spread_of(who)}", soft_wrap=True)
        if part.trouble:
            console.print(f"  [red]{escape(part.trouble)}[/]", soft_wrap=True)


def write(run: Run, folder: Path) -> None:
    """Write the page and the picture."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=jinja2.select_autoescape(["svg.jinja2"], default=False, disabled_extensions=("md.jinja2",)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    page = environment.get_template("page.md.jinja2").render(run=run, settings=SETTINGS, picture=PICTURE)
    (folder / PAGE).write_text(page)
    (folder / PICTURE).write_text(environment.get_template("picture.svg.jinja2").render(**_picture(run)))


def _picture(run: Run) -> dict[str, Any]:
    """Return the ratios with a goal as bars on a logarithmic scale: a bar that ends left of its mark meets its goal."""
    shown = [figure for figure in run.figures if figure.is_ratio and figure.judged is not None and figure.goal]
    ratios = [max(figure.judged or 0.0, 0.01) for figure in shown]
    bounds = [bound for figure in shown if figure.goal for bound in (figure.goal.most, figure.goal.least) if bound]
    low, high = min([0.1, *ratios, *bounds]), max([2.0, *ratios, *bounds])

    def at(value: float) -> float:
        share = (math.log(max(value, low)) - math.log(low)) / (math.log(high) - math.log(low))
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    bars = [
        {
            "name": figure.name,
            "y": _TOP + number * _ROW,
            "width": round(max(at(value) - _LEFT, 2.0), 1),
            "value": short(figure.judged or 0.0),
            "end": at(value),
            "goal": at(bound),
            "kind": figure.verdict.replace(" ", "-"),
            "text": f"{figure.name}: {short(figure.judged or 0.0)}, goal {figure.goal.text}, {figure.verdict}",
        }
        for number, (figure, value) in enumerate(zip(shown, ratios, strict=True))
        if figure.goal and (bound := figure.goal.most if figure.goal.most is not None else figure.goal.least) is not None
    ]
    ticks = [{"x": at(value), "text": short(value)} for value in (0.01, 0.1, 0.3, 1, 3, 10, 100) if low <= value <= high]
    height = _TOP + len(shown) * _ROW + 30
    return {
        "bars": bars,
        "ticks": ticks,
        "width": _WIDTH,
        "height": height,
        "left": _LEFT,
        "one": at(1.0),
        "row": _ROW,
        "top": _TOP,
    }
