"""An exchange group: exchanges that are collected together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_dagconfig.models.as_json import json_values
from airflow_provider_dagconfig.models.columns import (
    KEY,
    BooleanColumn,
    Column,
    NameColumn,
    NumberColumn,
    TextColumn,
    TimeColumn,
    columns_of,
)
from airflow_provider_dagconfig.models.invalid_row import InvalidRowError, shown
from airflow_provider_dagconfig.models.moments import Unreadable
from airflow_provider_dagconfig.models.statements import command_line

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_EXCHANGE_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_MOST_EXCHANGES = 500


def is_exchange_code(code: object) -> bool:
    """
    Say whether it is one exchange's code.

    At most 32 letters and digits of ASCII, after the first also ``.``, ``-`` and ``_``; no brackets, quotes, separators, blanks.
    """
    return isinstance(code, str) and _EXCHANGE_CODE.fullmatch(code) is not None


LAST_MINUTE = "23:59"
"""What is said to be meant by 24:00, a time of day that PostgreSQL holds and Python does not."""


def usable_exchanges(group_name: str, exchanges: object) -> list[str]:
    """
    Give what a list of exchanges that cannot be used may have meant: the codes in it, each once.

    Where it has none, it is the group's name in capitals: an example that is no other market's.
    """
    codes = _EXCHANGE_CODE.findall(",".join(_texts_of(exchanges)))
    return list(dict.fromkeys(codes or ["_".join(_EXCHANGE_CODE.findall(group_name.upper())) or "CODE"]))


def _texts_of(value: object) -> Iterator[str]:
    """Give the texts of a list, or of lists in it, as PostgreSQL's arrays may have."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _texts_of(each)
    elif isinstance(value, str):
        yield value


@dataclass(frozen=True)
class ExchangesColumn(Column):
    """A list of exchange codes."""

    sql_type: ClassVar[LiteralString] = "text[]"

    @property
    def takes(self) -> str:
        return "NYSE,NASDAQ"

    def misfit(self, value: Any) -> str | None:
        # An empty code, as one that is there twice, is the rule's to refuse.
        if value is None:
            return None
        if isinstance(value, list) and all(code == "" or is_exchange_code(code) for code in value):
            return f"has {len(value)} codes; write {_MOST_EXCHANGES} at most" if len(value) > _MOST_EXCHANGES else None
        return (
            "must be a list of exchange codes, of letters A to Z, digits, '.', '-' and '_' without blanks,"
            " such as ['NYSE', 'NASDAQ']"
        )

    def checked(self, value: Any) -> list[str]:
        problem = self.misfit(value)
        if problem is None and not (value and all(value) and len(set(value)) == len(value)):
            problem = "must be a list of exchange codes, each once, such as ['NYSE', 'NASDAQ']"
        if problem:
            raise ValueError(f"{shown(value)} {problem}")
        return list(value)


@dataclass(frozen=True)
class ExchangeGroup:
    """
    Exchanges that are collected together.

    :raises InvalidRowError: when it is made without exchanges, or with an empty one.
    """

    group_name: str = field(metadata={KEY: NameColumn("Its key, and the job name of the rows that configure its jobs", length=50)})
    display_name: str = field(metadata={KEY: TextColumn("Its name for people", length=100, example="'US Markets'")})
    exchanges: tuple[str, ...] = field(metadata={KEY: ExchangesColumn("Exchange codes, in this order")})
    primary_timezone: str = field(
        default="UTC", metadata={KEY: TextColumn("An IANA time zone", length=50, example="Europe/London")}
    )
    market_open_utc: time | None = field(default=None, metadata={KEY: TimeColumn("When the market opens, in UTC")})
    market_close_utc: time | None = field(default=None, metadata={KEY: TimeColumn("When it closes, in UTC")})
    enabled: bool = field(default=True, metadata={KEY: BooleanColumn("Whether it takes part")})
    priority: int = field(default=5, metadata={KEY: NumberColumn("Higher first", least=1, most=10)})
    description: str | None = field(default=None, metadata={KEY: TextColumn("A text for people", length=4_000)})
    version: int | None = None
    """The row's version, which grows by one with each change."""

    def __post_init__(self) -> None:
        problems, instead = {}, {}
        if self.enabled and not (self.exchanges and all(map(_is_code, self.exchanges))):
            problems["exchanges"] = "is no list of exchange codes; write at least one, and no empty one"
            instead["exchanges"] = ",".join(usable_exchanges(self.group_name, self.exchanges))
        for column in ("market_open_utc", "market_close_utc"):
            if isinstance(getattr(self, column), Unreadable):
                problems[column], instead[column] = "is no time of day from 00:00 to 23:59:59", LAST_MINUTE
        if problems:
            column, value = next(iter(problems)), getattr(self, next(iter(problems)))
            # All of them: one alone is refused while the group could not be used with the others.
            assignments = [f"{column}={value}" for column, value in instead.items()]
            remedy = command_line("groups set", self.group_name, *assignments)
            shown = list(value) if isinstance(value, tuple) else value
            raise InvalidRowError(f"exchange group {self.group_name}", column, shown, problems[column], remedy, assignments)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ExchangeGroup:
        """
        Read a row of ``exchange_groups``; columns that ExchangeGroup lacks are ignored.

        A disabled group takes no part, so what cannot be used of its values is left out: it can be switched off.
        """
        values = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        values |= {column: default for column, default in GROUP_DEFAULTS.items() if values.get(column) is None}
        exchanges = tuple(row["exchanges"] or ())
        if values["enabled"] is False:
            values = {column: None if isinstance(value, Unreadable) else value for column, value in values.items()}
            exchanges = tuple(filter(_is_code, exchanges))
        return cls(**(values | {"exchanges": exchanges}))

    def as_dict(self) -> dict[str, Any]:
        """Give the values as JSON: exchanges as a list, times as ``HH:MM:SS``."""
        return json_values(self)


def _is_code(code: object) -> bool:
    return isinstance(code, str) and bool(code.strip())


GROUP_COLUMNS = columns_of(ExchangeGroup)
"""The columns of an exchange group that can be configured."""

GROUP_DEFAULTS: Mapping[str, Any] = {name: column.default for name, column in GROUP_COLUMNS.items() if column.default is not None}
"""What the columns of an exchange group hold that are not given."""
