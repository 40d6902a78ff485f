"""A row that cannot be used: which value, and why; and how a message shows a value."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_dagconfig.models.quantity import Quantity
from airflow_provider_dagconfig.wording import printable


class InvalidRowError(ValueError):
    """
    A row holds a value that cannot be used.

    :param subject: the row: ``data_collection_equities/us_markets``, ``exchange group lse``.
    :param column: the column that holds the value.
    :param value: the value as it is in the row.
    :param problem: what is wrong and what to write instead, following "COLUMN VALUE of SUBJECT".
    :param remedy: a statement or a command that mends the row, or an empty string.
    :param assignments: what the command sets, for whoever knows by which options it reaches the row.
    """

    def __init__(
        self, subject: str, column: str, value: object, problem: str, remedy: str = "", assignments: Sequence[str] = ()
    ) -> None:
        message = f"{column} {shown(value)} of {subject} {problem}"
        super().__init__(printable(f"{message}. To mend it: {remedy}" if remedy else message))
        self.subject = subject
        self.column = column
        self.value = value
        self.problem = problem
        self.remedy = remedy
        self.assignments = tuple(assignments)


def shown(value: object) -> str:
    """Write a value for a message, as Python does; None is NULL."""
    if value is None:
        return "NULL"
    return shortened(repr(value.text if isinstance(value, Quantity) else value))


_MOST_SHOWN = 200
"""Characters; of a value that is longer, a message shows the beginning."""


def shortened(text: str) -> str:
    """Cut a value for a message, and say so."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"
