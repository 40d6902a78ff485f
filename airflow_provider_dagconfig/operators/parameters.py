"""Checks the operator's own parameters when the DAG is parsed, and refuses values that no try could use."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

_ON_FINISH_ACTIONS = ("delete_pod", "delete_succeeded_pod", "delete_active_pod", "keep_pod")


def check_parameters(
    on_finish_action: Any,
    startup_timeout_seconds: Any,
    skip_on_exit_code: Any,
    in_cluster: Any,
    deferrable: Any = False,
    logging_interval: Any = None,
) -> None:
    """
    Check some parameters of the operator. Each argument has its parameter's name.

    :raises ValueError: a parameter has an invalid value; the message says what to write.
    """
    if on_finish_action not in _ON_FINISH_ACTIONS:
        raise ValueError(f"on_finish_action is {on_finish_action!r}: write one of {', '.join(_ON_FINISH_ACTIONS)}")
    if isinstance(startup_timeout_seconds, bool) or not isinstance(startup_timeout_seconds, int | float):
        raise ValueError(f"startup_timeout_seconds is {startup_timeout_seconds!r}; write a number of seconds")
    if not are_exit_codes(skip_on_exit_code):
        raise ValueError(f"skip_on_exit_code is {skip_on_exit_code!r}; write a number, or a list of numbers")
    if in_cluster not in (None, True, False):
        raise ValueError(f"in_cluster is {in_cluster!r}; write True or False")
    if deferrable not in (True, False):
        raise ValueError(f"deferrable is {deferrable!r}; write True or False")
    is_number = isinstance(logging_interval, int | float) and not isinstance(logging_interval, bool)
    if logging_interval is not None and not (is_number and logging_interval > 0):
        raise ValueError(f"logging_interval is {logging_interval!r}; write a number of seconds above 0, or None")


def are_exit_codes(codes: Any) -> bool:
    """Return whether a value is one exit code, several, or None."""
    if isinstance(codes, list | tuple | set | frozenset):
        return all(are_exit_codes(code) and isinstance(code, int) for code in codes)
    return codes is None or (isinstance(codes, int | Container) and not isinstance(codes, str | bytes | bool))
