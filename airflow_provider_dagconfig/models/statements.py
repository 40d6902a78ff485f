"""SQL and commands that messages show, to be pasted. This module executes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal

DEFAULT_SCHEMA = "financial_screener"


def update_statement(schema: str, dag_name: str, job_name: str, values: Mapping[str, object]) -> str:
    """Return the statement that sets columns of a job."""
    assignments = (f"p_{column} => {literal(value)}" for column, value in values.items())
    return call(schema, "update_dag_config", literal(dag_name), literal(job_name), *assignments)


def call(schema: str, function: str, *arguments: str) -> str:
    """Return the call of a store's function, for a person; it is not executed here."""
    return f"SELECT {quoted_schema(schema)}.{function}({', '.join(arguments)});"


def quoted_schema(schema: str) -> str:
    """Return a schema's name quoted for SQL; the default one is valid without quotes, and easier to read."""
    return schema if schema == DEFAULT_SCHEMA else '"' + schema.replace('"', '""') + '"'


def literal(value: object) -> str:
    """
    Return a value as an SQL literal. Control characters are escaped, so that a message can show it and its meaning stays.

    standard_conforming_strings is on, so a backslash is an ordinary character except after E.
    """
    if isinstance(value, bool | int | Decimal):
        return str(value).upper()
    if value is None:
        return "NULL"
    text = str(value)
    return _quoted(text) if text.isprintable() else "E" + _quoted(_escaped(text))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def shell_word(text: str) -> str:
    """Return a word quoted for bash, on one line whatever its characters."""
    return shlex.quote(text) if text.isprintable() else "$'" + _escaped(text).replace("'", "\\'") + "'"


def command_line(name: str, *arguments: str, options: Sequence[str] = ()) -> str:
    """
    Return a command of ``airflow dagconfig`` that can be pasted, on one line.

    :param name: the command: ``set``, ``groups set``.
    :param arguments: its words, not quoted; each is quoted where the shell needs it.
    """
    is_like_an_option = any(word.startswith("-") for word in arguments)
    words = [*options, "--", *arguments] if is_like_an_option else [*arguments, *options]
    return " ".join(["airflow dagconfig", name, *map(shell_word, words)])


def _escaped(text: str) -> str:
    """Return a text with backslash escapes that PostgreSQL reads after E, and bash after $."""
    return "".join(c if c.isprintable() and c != "\\" else "\\\\" if c == "\\" else f"\\U{ord(c):08x}" for c in text)
