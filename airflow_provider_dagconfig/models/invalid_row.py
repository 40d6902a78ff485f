"""The error about a value of a row that cannot be used, and the way that messages show a value."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_dagconfig.models.quantity import Quantity
from airflow_provider_dagconfig.wording import printable


class InvalidRowError(ValueError):
    """
    A row holds a value that cannot be used.

    :param subject: the row: ``data_collection_equities/us_markets``, ``exchange group lse``.
    :param column: the column that holds the value.
    :param value: the value of the row.
    :param problem: what is wrong and what to write instead, as words that follow "COLUMN VALUE of SUBJECT".
    :param remedy: a statement or a command that corrects the row, or an empty string.
    :param assignments: the assignments of that command, for a caller that adds the options to reach the database.
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
    """Return a value as Python code for a message; None is NULL."""
    if value is None:
        return "NULL"
    return shortened(repr(value.text if isinstance(value, Quantity) else value))


_MOST_SHOWN = 200
"""Characters; a message shows only the beginning of a longer value."""


def shortened(text: str) -> str:
    """Cut a long value for a message, with a note of its length."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"
