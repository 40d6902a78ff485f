"""
The YAML file that export writes and apply reads. Pure: a text gives rows.

    dag_configuration:
      data_collection_equities:
        us_markets:
          memory_limit: 4Gi
    exchange_groups:
      us_markets:
        exchanges: [NYSE, NASDAQ]

Each scalar is read as its text, by its column's rules: in plain YAML, 14:30 is the number 870, and the exchange NO is false.
Errors name the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import time
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]

from airflow_provider_dagconfig import models
from airflow_provider_dagconfig.cli.values import GROUP_COLUMNS, JOB_COLUMNS, UsageError, check_column, read_value
from airflow_provider_dagconfig.models import Column, Unreadable
from airflow_provider_dagconfig.wording import did_you_mean

_JOBS, _GROUPS = "dag_configuration", "exchange_groups"
_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"
_LAST_LINE = "# End of the export."
_FIRST_LINE = f"# Written by airflow dagconfig export. A file without its last line, '{_LAST_LINE}', was cut short."


@dataclass(frozen=True)
class Document:
    """The content of a file. A section that it lacks is None: the file says nothing about its rows."""

    jobs: Mapping[tuple[str, str], Mapping[str, Any]] | None = field(default=None)
    """DAG and job to columns."""
    groups: Mapping[str, Mapping[str, Any]] | None = field(default=None)
    """Exchange group to columns."""
    ends: bool = True
    """Whether the end of the last value is certain, by a line's end or a bracket. Otherwise the file may have been cut short."""


def write_document(document: Document) -> str:
    """
    Return the document as YAML, with escapes for characters that a terminal must not get.

    NULL is an empty text in a nullable column. In another column, where it is older than the rules, it is left out: a column that a
    file leaves out stays as it is.
    """
    jobs: dict[str, dict[str, Any]] = {}
    for (dag, job), row in (document.jobs or {}).items():
        jobs.setdefault(dag, {})[job] = _plain_row(row, models.CONFIG_COLUMNS)
    groups = {name: _plain_row(row, models.GROUP_COLUMNS) for name, row in (document.groups or {}).items()}
    # An empty section is refused when it is read: it could be a file that was cut short.
    data = {section: rows for section, rows in ((_JOBS, jobs), (_GROUPS, groups)) if rows}
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    return f"{_FIRST_LINE}\n{''.join(map(_escaped, text))}{_LAST_LINE}\n"


def _escaped(character: str) -> str:
    """Return a character, escaped if it cannot be seen: then it is in double quotes, where YAML reads the escape."""
    if character.isprintable() or character == "\n":
        return character
    return f"\\U{ord(character):08x}"


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes one value on each line, so that files can be compared; only a list stays on one line."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if all(c.isprintable() or c == "\n" for c in text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True))


def _plain_row(row: Mapping[str, Any], columns: Mapping[str, Column]) -> dict[str, Any]:
    null_values = {name: "" if column.is_nullable else None for name, column in columns.items()}
    values = {name: null_values[name] if row.get(name) is None else row[name] for name in columns}
    return {column: _plain_value(value) for column, value in values.items() if value is not None}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Unreadable):
        return str(value)
    if isinstance(value, time):
        return f"{value:%H:%M:%S}"
    return list(value) if isinstance(value, tuple) else value


def read_document(text: str, name: str) -> Document:
    """
    Read YAML.

    :param name: the file's name, for messages.
    :raises UsageError: it is not valid YAML, or has something that is not allowed here; names the line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise UsageError(f"{name}{_yaml_message(error)}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"{name}: this is no YAML: {' '.join(str(error).split())}") from None
    if root is None or _is_null(root) or (isinstance(root, yaml.MappingNode) and not root.value):
        raise UsageError(f"{name} is empty; it needs {_JOBS} or {_GROUPS}")
    lines = text.splitlines()
    if _FIRST_LINE in lines and _LAST_LINE not in lines:
        raise UsageError(f"{name} was cut short: it is an export without its last line, '{_LAST_LINE}'. Export it again")
    reader = _Reader(name)
    sections = reader.mapping(_Entry(root, root), "the file")
    for key, entry in sections.items():
        if key not in (_JOBS, _GROUPS):
            known = (_JOBS, _GROUPS)
            raise reader.error(entry.key, f"there is no section {key!r}.{did_you_mean(key, known)} There are: {', '.join(known)}")
    return Document(
        jobs=dict(reader.jobs(sections[_JOBS])) if _JOBS in sections else None,
        groups=dict(reader.groups(sections[_GROUPS])) if _GROUPS in sections else None,
        ends=text.rstrip(" \t").endswith(("\n", "}", "]", "'", '"')),
    )


def _yaml_message(error: yaml.MarkedYAMLError) -> str:
    """Return the parser's message with the line, and with the start of what it was reading, such as a quotation without an end."""
    problem, context = (mark.line + 1 if mark else None for mark in (error.problem_mark, error.context_mark))
    message = error.problem or error.context
    if error.problem and error.context and context not in (None, problem):
        message = f"{error.problem} ({error.context} that begins in line {context})"
    line = problem or context
    return f", line {line}: this is no YAML: {message}" if line else f": this is no YAML: {message}"


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


class _Entry(NamedTuple):
    """A name and its value. Errors have the line of the name: behind an alias, the value is somewhere else."""

    key: yaml.Node
    value: yaml.Node


class _ToldError(UsageError):
    """An error whose message has its line already."""


class _Reader:
    """Reads nodes; its errors have the line in the file."""

    def __init__(self, name: str) -> None:
        self._name = name

    def error(self, node: yaml.Node, message: str) -> UsageError:
        return _ToldError(f"{self._name}, line {node.start_mark.line + 1}: {message}")

    def mapping(self, entry: _Entry, subject: str) -> dict[str, _Entry]:
        if _is_null(entry.value):
            return {}
        if not isinstance(entry.value, yaml.MappingNode):
            raise self.error(entry.key, f"{subject} must be names with values below them, as NAME: VALUE")
        found: dict[str, _Entry] = {}
        for key, value in entry.value.value:
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                raise self.error(key, f"a name is missing in {subject}")
            if key.tag == _MERGE:
                raise self.error(key, f"{subject} takes values from another place by '<<'; write them out")
            if key.value in found:
                raise self.error(key, f"{key.value!r} is there twice")
            found[key.value] = _Entry(key, value)
        return found

    def _nonempty_mapping(self, entry: _Entry, subject: str) -> dict[str, _Entry]:
        """Read names with values below them. Refuse an empty mapping: it would delete all rows, or the file was cut short."""
        found = self.mapping(entry, subject)
        if not found:
            raise self.error(entry.key, f"{subject} is empty. To leave its rows as they are, leave {subject} out")
        return found

    def jobs(self, section: _Entry) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
        for dag, jobs in self._nonempty_mapping(section, f"section {_JOBS}").items():
            for job, columns in self._nonempty_mapping(jobs, f"DAG {dag}").items():
                yield (dag, job), self._row(columns, f"{dag}/{job}", JOB_COLUMNS)

    def groups(self, section: _Entry) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, columns in self._nonempty_mapping(section, f"section {_GROUPS}").items():
            yield name, self._row(columns, f"exchange group {name}", GROUP_COLUMNS)

    def _row(self, entry: _Entry, subject: str, columns: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
        found = self.mapping(entry, subject)
        values = {column: self._cell(columns, column, value, subject) for column, value in found.items()}
        return {column: value for column, value in values.items() if value is not None}

    def _cell(self, columns: Mapping[str, Callable[[str], Any]], column: str, entry: _Entry, subject: str) -> Any:
        """Return a column's value; None leaves the column as it is."""
        try:
            check_column(columns, column)
            return None if _is_null(entry.value) else self._value(columns, column, entry, subject)
        except _ToldError:
            raise
        except UsageError as error:
            raise self.error(entry.key, f"{subject}: {error}") from None

    def _value(self, columns: Mapping[str, Callable[[str], Any]], column: str, entry: _Entry, subject: str) -> Any:
        node = entry.value
        if isinstance(node, yaml.SequenceNode) and column == "exchanges":
            for item in node.value:
                if not isinstance(item, yaml.ScalarNode) or _is_null(item):
                    # Behind an alias, the list is somewhere else in the file.
                    at = item if node.start_mark.index > entry.key.start_mark.index else entry.key
                    raise self.error(at, f"{subject}: exchanges must be a list of codes, such as [NYSE, NASDAQ]")
            return [item.value for item in node.value]
        if not isinstance(node, yaml.ScalarNode):
            raise UsageError(f"{column} must be one value")
        return read_value(columns, column, node.value)
