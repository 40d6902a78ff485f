"""An exchange group: exchanges that are collected together."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
from airflow_provider_dagconfig.models.invalid_row import InvalidRowError
from airflow_provider_dagconfig.models.moments import Unreadable
from airflow_provider_dagconfig.models.statements import shell_word

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_EXCHANGE_CODE = re.compile(r"[\w.-]+")


def is_exchange_code(code: object) -> bool:
    """Say whether it is one exchange's code: letters, digits, ``.``, ``-`` and ``_``; no brackets, quotes, separators or blanks."""
    return isinstance(code, str) and _EXCHANGE_CODE.fullmatch(code) is not None


@dataclass(frozen=True)
class ExchangesColumn(Column):
    """A list of exchange codes."""

    sql_type: ClassVar[LiteralString] = "text[]"

    @property
    def takes(self) -> str:
        return "NYSE,NASDAQ"

    def misfit(self, value: Any) -> str | None:
        # An empty code, as one that is there twice, is the rule's to refuse.
        if value is None or (isinstance(value, list) and all(code == "" or is_exchange_code(code) for code in value)):
            return None
        return "must be a list of exchange codes, of letters, digits, '.', '-' and '_' without blanks, such as ['NYSE', 'NASDAQ']"


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
    description: str | None = field(default=None, metadata={KEY: TextColumn("A text for people")})
    version: int | None = None
    """The row's version, which grows by one with each change."""

    def __post_init__(self) -> None:
        if self.enabled and not (self.exchanges and all(map(_is_code, self.exchanges))):
            value = None if self.exchanges is None else list(self.exchanges)
            problem = "is no list of exchange codes; write at least one, and no empty one"
            raise self._invalid("exchanges", value, problem, "NYSE,NASDAQ")
        for column in ("market_open_utc", "market_close_utc"):
            value = getattr(self, column)
            if isinstance(value, Unreadable):
                raise self._invalid(column, value, "is no time of day from 00:00 to 23:59:59", "23:59")

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

    def _invalid(self, column: str, value: object, problem: str, instead: str) -> InvalidRowError:
        remedy = f"airflow dagconfig groups set {shell_word(self.group_name)} {column}={instead}"
        return InvalidRowError(f"exchange group {self.group_name}", column, value, problem, remedy)


def _is_code(code: object) -> bool:
    return isinstance(code, str) and bool(code.strip())


GROUP_COLUMNS = columns_of(ExchangeGroup)
"""The columns of an exchange group that can be configured."""

GROUP_DEFAULTS: Mapping[str, Any] = {name: column.default for name, column in GROUP_COLUMNS.items() if column.default is not None}
"""What the columns of an exchange group hold that are not given."""
