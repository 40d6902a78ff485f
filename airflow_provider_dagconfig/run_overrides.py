"""
Values for a single run: what ``dag_run.conf["dagconfig"]`` sets for a job. This module knows neither Airflow nor the database.

``{"dagconfig": {"batch_size": 100}}`` sets a value for all jobs of the run, ``{"dagconfig": {"us_markets": {"memory_limit":
"4Gi"}}}`` for one job. Both may be given together; then the job's own value wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_provider_dagconfig.models import OVERRIDE_COLUMNS
from airflow_provider_dagconfig.wording import did_you_mean

KEY = "dagconfig"
"""The key of this package's part in a DAG run's conf."""


class RunOverrideError(ValueError):
    """A DAG run's conf sets something that cannot be used. The message names the key and the value, and says what to write."""


def run_overrides(conf: Mapping[str, Any] | None, job_name: str, job_names: Callable[[], Iterable[str]]) -> dict[str, Any]:
    """
    Return the values that a run sets for a job.

    :param conf: the DAG run's conf.
    :param job_names: returns the names of all jobs. It is called only if the conf has a key that is neither a column nor this
        job's name, to tell a mistyped name from another job's.
    :return: column to value; empty where the run sets nothing for the job.
    :raises RunOverrideError: a key is unknown, or a value breaks a rule.
    """
    given = (conf or {}).get(KEY)
    if given is None:
        return {}
    _see_that_it_is_a_dict(given, [])
    for_all = {key: value for key, value in given.items() if key in OVERRIDE_COLUMNS and key != job_name}
    other_keys = [key for key in given if key not in for_all and key != job_name]
    if other_keys:
        known = {job_name, *job_names()}
        for key in other_keys:
            if key not in known:
                raise _unknown([key], given[key], [*OVERRIDE_COLUMNS, *sorted(known)])
            _see_that_it_is_a_dict(given[key], [key])
    values = {column: _checked([column], column, value) for column, value in for_all.items()}
    own = given.get(job_name)
    if own is not None:
        _see_that_it_is_a_dict(own, [job_name])
        for column, value in own.items():
            if column not in OVERRIDE_COLUMNS:
                raise _unknown([job_name, column], value, OVERRIDE_COLUMNS)
            values[column] = _checked([job_name, column], column, value)
    return values


def asks_to_run(conf: Mapping[str, Any] | None, job_name: str) -> bool:
    """Return whether a run's conf sets ``enabled`` for the job to anything but False, even to a value that cannot be used."""
    given = (conf or {}).get(KEY)
    if not isinstance(given, Mapping):
        return False
    own = given.get(job_name)
    for_all = {key: value for key, value in given.items() if key != job_name}
    values = {**for_all, **(own if isinstance(own, Mapping) else {})}
    return values.get("enabled", False) is not False


def _checked(path: list[str], column: str, value: object) -> Any:
    try:
        return OVERRIDE_COLUMNS[column].checked(value)
    except ValueError as error:
        raise RunOverrideError(f"{_where(path)} = {error}") from None


def _see_that_it_is_a_dict(value: object, path: list[str]) -> None:
    if not isinstance(value, Mapping):
        example = '{"batch_size": 100}'
        if not path:
            example += ', or {"us_markets": {"memory_limit": "4Gi"}} for one job'
        raise RunOverrideError(f"{_where(path)} = {_shown(value)} must be an object of columns and values, such as {example}")


def _unknown(path: list[str], value: object, known: Iterable[str]) -> RunOverrideError:
    known = list(known)
    meant = did_you_mean(path[-1], known)
    what = "no column" if len(path) > 1 else "neither a column nor a job"
    return RunOverrideError(f"{_where(path)} = {_shown(value)}: {path[-1]!r} is {what}.{meant} There are: {', '.join(known)}")


def _where(path: list[str]) -> str:
    return "dag run conf" + "".join(f'["{key}"]' for key in (KEY, *path))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:90]}..."
