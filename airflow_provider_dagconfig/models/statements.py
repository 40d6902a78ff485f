"""SQL and commands that messages show, to be pasted. Nothing of it is executed here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal

DEFAULT_SCHEMA = "financial_screener"


def update_statement(schema: str, dag_name: str, job_name: str, values: Mapping[str, object]) -> str:
    """Write the statement that sets columns of a job."""
    assignments = (f"p_{column} => {literal(value)}" for column, value in values.items())
    return call(schema, "update_dag_config", literal(dag_name), literal(job_name), *assignments)


def call(schema: str, function: str, *arguments: str) -> str:
    """Write the call of a function of the store; shown to a person, never executed here."""
    return f"SELECT {quoted_schema(schema)}.{function}({', '.join(arguments)});"


def quoted_schema(schema: str) -> str:
    """Quote a schema's name for SQL; the default one needs it not, and is easier to read without."""
    return schema if schema == DEFAULT_SCHEMA else '"' + schema.replace('"', '""') + '"'


def literal(value: object) -> str:
    """
    Quote an SQL value; one with control characters so that a message can show it, and it still means the same.

    standard_conforming_strings holds, so a backslash is an ordinary character but after E.
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
    """Quote a word of a command line for bash, on one line whatever it is."""
    return shlex.quote(text) if text.isprintable() else "$'" + _escaped(text).replace("'", "\\'") + "'"


def command_line(name: str, *arguments: str, options: Sequence[str] = ()) -> str:
    """
    Write a command of ``airflow dagconfig`` that can be pasted, on one line.

    :param name: the command: ``set``, ``groups set``.
    :param arguments: its words as they are; each is quoted where the shell needs it.
    """
    is_like_an_option = any(word.startswith("-") for word in arguments)
    words = [*options, "--", *arguments] if is_like_an_option else [*arguments, *options]
    return " ".join(["airflow dagconfig", name, *map(shell_word, words)])


def _escaped(text: str) -> str:
    """Write a text with backslashes, as PostgreSQL and bash both read it after E and $."""
    return "".join(c if c.isprintable() and c != "\\" else "\\\\" if c == "\\" else f"\\U{ord(c):08x}" for c in text)
