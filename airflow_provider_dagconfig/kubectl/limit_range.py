"""
A LimitRange of the namespace forbids a pod. Finds the values of the row that violate it, and the statements that fix them. Pure.

The sentences are the API server's (Kubernetes: plugin/pkg/admission/limitranger). They name the bound and a container's amount,
but neither the LimitRange nor the container.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction

from airflow_provider_dagconfig.kubectl.look_back import LookBack, Remedy, remedies
from airflow_provider_dagconfig.models import DagConfig, Quantity

_BOUND = re.compile(
    r"(?P<which>minimum|maximum) (?P<resource>[\w.-]+) usage per (?P<of>Container|Pod) is (?P<bound>[\w.]+?)"
    r"(?:, but (?:request|limit) is (?P<amount>\w[\w.]*\w|\w)|\. No (?:request|limit) is specified)"
)
_RATIO = re.compile(r"(?P<resource>[\w.-]+) max limit to request ratio per (?:Container|Pod) is (?P<most>[\w.]+), but ")


def limit_range_columns(sentence: str, config: DagConfig) -> tuple[str, ...]:
    """Return the columns whose values a LimitRange forbids, according to the API server's sentence."""
    return tuple(dict.fromkeys(column for column, _ in _fitting_values(sentence, config)))


def limit_range_remedy(sentence: str, config: DagConfig, back: LookBack | None = None) -> str:
    """
    Return what to do about a LimitRange.

    :param sentence: the API server's sentence, which forbids the pod.
    :param config: the configuration that the pod was made with.
    :param back: what is known about the origin of the values; None if nobody asked.
    :return: sentences that end the message; an empty text if the sentence is not about a LimitRange.
    """
    if not (_BOUND.search(sentence) or _RATIO.search(sentence)):
        return ""
    wanted = dict(_fitting_values(sentence, config))
    if not wanted:
        return (
            ". That is a LimitRange of the namespace, and none of the row's values is beyond it: look at the resources of other "
            "containers (init_containers, a sidecar), and at container_resources"
        )
    listed = " and ".join(f"{column} = {getattr(config, column)}" for column in wanted)
    text = f". That is a LimitRange of the namespace, and {listed} of {config.dag_name}/{config.job_name} ({config.origin})."
    return text + remedies(config, back, "To be within it", [_remedy(column, value, config) for column, value in wanted.items()])


def _remedy(column: str, fits: str, config: DagConfig) -> Remedy:
    had: Quantity = getattr(config, column)
    bound = Quantity.parse(fits)
    return Remedy(column, had, fits, helps=lambda value: value <= bound.value if bound < had else value >= bound.value)


def _fitting_values(sentence: str, config: DagConfig) -> Iterator[tuple[str, str]]:
    """Yield columns and values that fit, in an order in which each statement keeps a request below its limit."""
    for match in _BOUND.finditer(sentence):
        if match["resource"] not in ("cpu", "memory") or match["amount"] is None:
            continue
        columns = [f"{match['resource']}_{kind}" for kind in ("request", "limit")]
        if Quantity.parse(match["amount"]) not in [getattr(config, column) for column in columns]:
            continue  # the amount of another container, or of several
        bound, is_most = Quantity.parse(match["bound"]), match["which"] == "maximum"
        for column in columns if is_most else reversed(columns):
            amount = getattr(config, column)
            if amount > bound if is_most else amount < bound:
                yield column, match["bound"]
    for match in _RATIO.finditer(sentence):
        if match["resource"] in ("cpu", "memory"):
            resource = match["resource"]
            request: Quantity = getattr(config, f"{resource}_request")
            least = getattr(config, f"{resource}_limit").value / Quantity.parse(match["most"]).value
            if request.value < least:
                yield f"{resource}_request", _amount_text(resource, least)


def _amount_text(resource: str, amount: Fraction) -> str:
    """Return an amount as text, rounded up to a unit that a row may hold."""
    return f"{math.ceil(amount * 1000)}m" if resource == "cpu" else f"{math.ceil(amount / 2**20)}Mi"
