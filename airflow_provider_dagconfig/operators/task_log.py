"""
Writes a try's log for a person who reads it at night: the values in force first, details in groups, the end last.

Airflow's page folds the lines between ``::group::`` and ``::endgroup::``, and ignores a superfluous end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from logging import DEBUG
from typing import Any

from airflow.providers.common.compat.sdk import redact

from airflow_provider_dagconfig.models import CONFIG_COLUMNS, DagConfig, ExchangeGroup, in_force
from airflow_provider_dagconfig.wording import printable, printables


def log_configuration(log: Any, config: DagConfig, group: ExchangeGroup | None) -> None:
    """Log the values in force: a summary in one line that is visible at once, and each value with its origin in a group."""
    log.info("%s", printable(in_force(config, group, datetime.now(timezone.utc))))
    with _log_group(log, "Configuration"):
        for name in CONFIG_COLUMNS:
            source = config.sources.get(name)
            log.info("%s = %s%s", *printables(name, _value_text(getattr(config, name)), f" ({source})" if source else ""))
        if group is not None:
            log.info("exchanges of %s = %s", *printables(group.group_name, ", ".join(group.exchanges)))


def log_pod(log: Any, manifest: Mapping[str, Any], config: DagConfig) -> None:
    """
    Log which pod is requested; at level DEBUG also its manifest, in a group.

    The manifest lacks the values of variables whose names suggest a secret.
    """
    metadata = manifest["metadata"]
    log.info(
        "Pod %s in namespace %s: cpu %s to %s, memory %s to %s, %s s at most",
        *printables(metadata["name"], metadata["namespace"], config.cpu_request, config.cpu_limit),
        *printables(config.memory_request, config.memory_limit, config.timeout_seconds),
    )
    if log.isEnabledFor(DEBUG):
        with _log_group(log, "Manifest"):
            for line in json.dumps(_without_secrets(manifest), indent=2).splitlines():
                log.info("%s", printable(line))


def log_events(log: Any, events: Iterable[Mapping[str, Any]]) -> None:
    """
    Write what happened to a pod, in a group, the oldest first.

    :param events: as the API server lists them.
    """

    def last_seen(event: Mapping[str, Any]) -> str:
        series = event.get("series") or {}
        times = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
        return str(next(filter(None, times), event.get("metadata", {}).get("creationTimestamp", "")))

    if not (ordered := sorted(events, key=last_seen)):
        return
    with _log_group(log, "Events of the pod"):
        for event in ordered:
            count = event.get("count") or (event.get("series") or {}).get("count") or 1
            head = " ".join(filter(None, (last_seen(event), event.get("type"), event.get("reason"))))
            log.info("%s%s: %s", *printables(head, f" ({count} times)" if count > 1 else "", event.get("message", "")))


def log_failure(log: Any, error: BaseException) -> None:
    """Log the first line of an error, before Airflow logs it whole with its traceback."""
    log.error("%s", printable(str(error).partition("\n")[0] or type(error).__name__))


def end_groups(log: Any, number: int) -> None:
    """End a number of groups, so that the next lines are visible at once."""
    for _ in range(number):
        log.info("::endgroup::")


@contextmanager
def _log_group(log: Any, title: str) -> Iterator[None]:
    log.info("::group::%s", printable(title))
    yield
    log.info("::endgroup::")


def _value_text(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        name = value.get("name")
        if isinstance(name, str) and isinstance(value.get("value"), str):
            return {**value, "value": redact(value["value"], name)}
        return {key: _without_secrets(item) for key, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list | tuple) else value
