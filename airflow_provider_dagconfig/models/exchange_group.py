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
    Return whether the text is one exchange's code.

    At most 32 ASCII letters and digits, after the first also ``.``, ``-`` and ``_``; no brackets, quotes, separators or blanks.
    """
    return isinstance(code, str) and _EXCHANGE_CODE.fullmatch(code) is not None


LAST_MINUTE = "23:59"
"""The time that remedies write instead of 24:00, a time of day that PostgreSQL can hold and Python cannot."""


def usable_exchanges(group_name: str, exchanges: object) -> list[str]:
    """
    Return the codes in a list of exchanges that cannot be used, each once.

    Without any code, it is the group's name in capitals: an example that is not another market's code.
    """
    codes = _EXCHANGE_CODE.findall(",".join(_texts_of(exchanges)))
    return list(dict.fromkeys(codes or ["_".join(_EXCHANGE_CODE.findall(group_name.upper())) or "CODE"]))


def _texts_of(value: object) -> Iterator[str]:
    """Yield the texts of a list, and of lists in it: PostgreSQL's arrays may have several dimensions."""
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
        # An empty code, or a code that is listed twice, passes here: the rule refuses it.
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

    :raises InvalidRowError: it has no exchanges, or an empty one, though it is enabled; or a time cannot be used.
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
            # The remedy has all of them: a single one is refused while the others make the group unusable.
            assignments = [f"{column}={value}" for column, value in instead.items()]
            remedy = command_line("groups set", self.group_name, *assignments)
            shown = list(value) if isinstance(value, tuple) else value
            raise InvalidRowError(f"exchange group {self.group_name}", column, shown, problems[column], remedy, assignments)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ExchangeGroup:
        """
        Read a row of ``exchange_groups``; columns that ExchangeGroup lacks are ignored.

        A disabled group takes no part, so its unusable values are left out: a group can be disabled whatever its values.
        """
        values = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        values |= {column: default for column, default in GROUP_DEFAULTS.items() if values.get(column) is None}
        exchanges = tuple(row["exchanges"] or ())
        if values["enabled"] is False:
            values = {column: None if isinstance(value, Unreadable) else value for column, value in values.items()}
            exchanges = tuple(filter(_is_code, exchanges))
        return cls(**(values | {"exchanges": exchanges}))

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON: exchanges as a list, times as ``HH:MM:SS``."""
        return json_values(self)


def _is_code(code: object) -> bool:
    return isinstance(code, str) and bool(code.strip())


GROUP_COLUMNS = columns_of(ExchangeGroup)
"""The configurable columns of an exchange group."""

GROUP_DEFAULTS: Mapping[str, Any] = {name: column.default for name, column in GROUP_COLUMNS.items() if column.default is not None}
"""The values of an exchange group's columns that are not given."""
