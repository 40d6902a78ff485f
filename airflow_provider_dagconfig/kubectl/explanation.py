"""Explains a pod's end to a person: what happened, whose fault it was, which change caused it, and what to do. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_dagconfig.kubectl.look_back import LookBack, Remedy, amount, remedies
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome, Pod, memory_limit_of
from airflow_provider_dagconfig.models import LONGEST_TIMEOUT_SECONDS, DagConfig, Quantity
from airflow_provider_dagconfig.wording import printable

_COLUMNS: Mapping[End, str] = {End.OUT_OF_MEMORY: "memory_limit", End.DEADLINE_EXCEEDED: "timeout_seconds"}


def column_behind(outcome: Outcome) -> str | None:
    """Return the column whose value caused such an end; None if no column did."""
    return _COLUMNS.get(outcome.end)


def explain(
    outcome: Outcome,
    pod: Pod,
    config: DagConfig,
    last_lines: Sequence[str] = (),
    container: str = "base",
    back: LookBack | None = None,
    next_limit: Quantity | None = None,
) -> str:
    """
    Return what happened, whose fault it was and what to do, for the task's log.

    :param pod: the pod as last observed; the limits that it really had are read from it.
    :param config: the row in force; the text contains its name and remedy.
    :param last_lines: the last lines of the container's log.
    :param container: the job's container; others may come before it.
    :param back: what is known about the origin of the value; None if nobody asked.
    :param next_limit: the memory limit of the next try, if it grows.
    :return: the outcome in the first line, the remedy in the last lines.
    """
    name = f"Pod {pod['metadata']['name']}"
    job = printable(f"{config.dag_name}/{config.job_name} ({config.origin})")
    message = outcome.message.strip().removesuffix(".")
    detail = f": {message}" if message else ""
    if outcome.end is End.OUT_OF_MEMORY:
        limit = memory_limit_of(pod, container) or str(config.memory_limit)
        text = f"{name} was OOMKilled: it needed more than memory_limit = {limit} of {job}."
        if next_limit is not None:
            text += f" The next try has {next_limit} (memory_growth = {config.memory_growth})."
        return text + remedies(config, back, "To give it more", [_larger_value_remedy("memory_limit", limit, twice(limit))])
    if outcome.end is End.DEADLINE_EXCEEDED:
        seconds = pod.get("spec", {}).get("activeDeadlineSeconds", config.timeout_seconds)
        text = f"{name} was ended (DeadlineExceeded): it ran longer than timeout_seconds = {seconds} of {job}{detail}."
        larger = min(seconds * 2, LONGEST_TIMEOUT_SECONDS) if seconds < LONGEST_TIMEOUT_SECONDS else None
        remedy = remedies(config, back, "To give it more", [_larger_value_remedy("timeout_seconds", seconds, larger)])
        last = "" if larger else "\nNo longer timeout is allowed: divide the job."
        return f"{text}{_tail(last_lines)}{remedy}{last}"
    if outcome.end is End.NOT_STARTED:
        return f"{name} did not start ({outcome.reason}){detail}"
    if outcome.end is End.CLUSTER:
        return (
            f"{name} was ended by the cluster ({outcome.reason}){detail}. The job itself did not fail; it can run again."
            f"{_tail(last_lines)}"
        )
    # If the container wrote no message, the kubelet uses the end of its log (terminationMessagePolicy). For an init container that
    # is usually many lines.
    if detail and "\n" in message:
        detail = _tail(message.splitlines())
    code = "" if outcome.exit_code is None else f" with exit code {_shown_code(outcome.exit_code)}"
    return f"{name} failed{code} ({outcome.reason}){_tail(last_lines) or detail}"


def _larger_value_remedy(column: str, had: Any, wanted: Any) -> Remedy:
    least = amount(column, had) or 0
    return Remedy(column, had, wanted, helps=lambda value: value > least)


def twice(quantity: str) -> str:
    """Double a quantity and keep its unit: ``1.5Gi`` becomes ``3Gi``."""
    number, unit = re.fullmatch(r"([+-]?[\d.]+)(.*)", quantity).groups()  # type: ignore[union-attr]
    return f"{(Decimal(number) * 2).normalize():f}{unit}"


def _shown_code(code: int) -> str:
    if code > 128:
        try:
            return f"{code} ({signal.Signals(code - 128).name})"
        except ValueError:
            pass
    return str(code)


def _tail(lines: Sequence[str]) -> str:
    shown = (printable(_COLOUR_CODES.sub("", line))[:500] for line in lines)
    return "\nThe last lines of its log:\n" + "\n".join(f"  {line}" for line in shown) if lines else ""


_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
