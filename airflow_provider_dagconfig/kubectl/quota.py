"""
The namespace's quota has no room for a pod. Finds the row's values that it asked for, and whether they can ever fit. Pure.

The sentences are the API server's (Kubernetes: apiserver/pkg/admission/plugin/resourcequota).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_dagconfig.kubectl.look_back import LookBack, Remedy, remedies
from airflow_provider_dagconfig.models import DagConfig, Quantity

_EXCEEDED = re.compile(r"exceeded quota: (?P<quota>[^,]+), requested: (?P<requested>.*?), used: .*?, limited: (?P<limited>.*)")
_AMOUNT = re.compile(r"([\w./-]+)=([\w.]+)")
_COLUMNS = {
    "limits.cpu": "cpu_limit",
    "limits.memory": "memory_limit",
    **dict.fromkeys(("requests.cpu", "cpu"), "cpu_request"),
    **dict.fromkeys(("requests.memory", "memory"), "memory_request"),
}


def quota_columns(sentence: str, config: DagConfig) -> tuple[str, ...]:
    """Return the columns for whose values a quota has no room, according to the API server's sentence."""
    return tuple(dict.fromkeys(column for column, _ in _requested_columns(sentence, config)))


def quota_remedy(sentence: str, config: DagConfig, back: LookBack | None = None) -> str:
    """
    Return what to do about a quota.

    :param sentence: the API server's sentence, which refuses the pod.
    :param config: the configuration that the pod was made with.
    :param back: what is known about the origin of the values; None if nobody asked.
    :return: sentences that end the message; an empty text if the quota is not about the row's values.
    """
    quotas = dict(_requested_columns(sentence, config))
    if not quotas:
        return ""
    listed = " and ".join(f"{column} = {getattr(config, column)}" for column in quotas)
    text = f". It asks for {listed} of {config.dag_name}/{config.job_name} ({config.origin})"
    never = [column for column, most in quotas.items() if most < getattr(config, column)]
    text += f", and the whole quota is {' and '.join(quotas[column].text for column in never)}: it never fits." if never else "."
    return text + remedies(config, back, "To be within it", list(_column_remedies(quotas, never, config)))


def _column_remedies(quotas: dict[str, Quantity], never: list[str], config: DagConfig) -> Iterator[Remedy]:
    """Yield remedies, requests first, so that each statement keeps a request below its limit."""
    lowered = {column: quotas[column] for column in never}
    for resource in ("cpu", "memory"):
        request, limit = f"{resource}_request", f"{resource}_limit"
        if limit in lowered and lowered.get(request, getattr(config, request)) > lowered[limit]:
            lowered[request] = lowered[limit]
    for column in ("cpu_request", "cpu_limit", "memory_request", "memory_limit"):
        if column in quotas or column in lowered:
            yield _remedy(column, getattr(config, column), lowered.get(column))


def _remedy(column: str, had: Quantity, wanted: Quantity | None) -> Remedy:
    """Return the remedy for a column. A value that fits the quota may not fit beside other pods; a smaller one is better."""
    if wanted is None:
        return Remedy(column, had, None, helps=lambda value: value < had.value)
    return Remedy(column, had, wanted.text, helps=lambda value: value <= wanted.value)


def _requested_columns(sentence: str, config: DagConfig) -> Iterator[tuple[str, Quantity]]:
    """Yield the columns whose values were requested, with the amounts of the whole quota."""
    match = _EXCEEDED.search(sentence)
    if match is None:
        return
    limited = dict(_AMOUNT.findall(match["limited"]))
    for resource, asked in _AMOUNT.findall(match["requested"]):
        column = _COLUMNS.get(resource)
        # If the amount differs, it includes other containers of the pod.
        if column and resource in limited and Quantity.parse(asked) == getattr(config, column):
            yield column, Quantity.parse(limited[resource])
