"""
What is to be known of a column that can be configured: its kind, range, length, who may set it, its help.

It is written once, beside the column's field in DagConfig or ExchangeGroup: as metadata, the default being the field's. What
lists, reads, checks or explains columns is made from it. The database has its own rules; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, MISSING, Field, dataclass, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_dagconfig.models.invalid_row import shown
from airflow_provider_dagconfig.models.quantity import LEAST, MOST, Quantity, Resource, is_in_bytes, is_too_fine

if TYPE_CHECKING:
    from typing_extensions import LiteralString

KEY = "column"
"""Under which a field's metadata has its column."""

_INTEGERS = range(-(2**31), 2**31)


@dataclass(frozen=True)
class Column:
    """A column; its kind is the subclass. The kind's text is a text of any length."""

    sql_type: ClassVar[LiteralString] = "text"
    """As the store's functions take it."""

    help: str
    """What it holds, for a person."""
    _: KW_ONLY
    length: int | None = None
    """Characters that it holds at most; None: any number of them."""
    is_overridable: bool = True
    """Whether an override, or a run, may set it; not asked of exchange groups, which have no overrides."""
    is_needed: bool = True
    """Whether a job cannot run with a value that is none; else the default takes its place."""
    name: str = ""
    """The field's."""
    default: Any = None
    """The field's, as JSON has it; None where there is none."""
    is_nullable: bool = False
    """Whether it may hold nothing: so may a field whose default is None."""

    @property
    def takes(self) -> str:
        """Values as people type them, for help; empty where any text will do."""
        return ""

    def from_row(self, value: Any) -> Any:
        """
        Turn what the row holds into what the field holds.

        :raises ValueError: it cannot be; names the value and what to write instead.
        """
        return value

    def problem(self, value: Any) -> str | None:  # noqa: ARG002 - for the kinds that have some
        """Say why a job cannot run with a value of the field, following the value. The rules of the store may be stricter."""
        return None

    def misfit(self, value: Any) -> str | None:
        """Say why the database's type cannot hold a value, following the value; PostgreSQL does not say in which column."""
        if self.length is not None and isinstance(value, str) and len(value) > self.length:
            return f"has {len(value)} characters; write {self.length} at most"
        return None

    def checked(self, value: Any) -> Any:
        """
        Check a new value by the store's rules.

        :param value: as JSON has it.
        :return: the value for the column.
        :raises ValueError: says what the value is, and what to write, following the column's name.
        """
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} must be a text")
        if misfit := self.misfit(value):
            raise ValueError(f"{shown(value)} {misfit}")
        return value


@dataclass(frozen=True)
class NameColumn(Column):
    """A part of the row's name, which is not configured."""


@dataclass(frozen=True)
class TextColumn(Column):
    """A text for people, or a name that others gave."""

    example: str = ""

    @property
    def takes(self) -> str:
        return self.example


@dataclass(frozen=True)
class QuantityColumn(Column):
    """An amount of CPU or memory, as a Kubernetes quantity."""

    _: KW_ONLY
    resource: Resource
    within: str | None = None
    """The limit's column, for a request: it is no more than that."""
    length: int | None = 20

    @property
    def least(self) -> Quantity:
        """What the store's rules allow at least."""
        return LEAST[self.resource]

    @property
    def most(self) -> Quantity:
        """What the store's rules allow at most."""
        return MOST[self.resource]

    @property
    def takes(self) -> str:
        return {"cpu": "500m, 2", "memory": "512Mi, 4Gi"}[self.resource]

    @property
    def example(self) -> str:
        """A value, for messages."""
        return str(self.default or self.takes.split(", ")[-1])

    def from_row(self, value: Any) -> Quantity:
        return value if isinstance(value, Quantity) else Quantity.parse(value, self.resource)

    def problem(self, value: Any) -> str | None:
        if self.within is not None and value.value < 0:
            return "is less than nothing; write 0 or more"
        if self.within is None and value < self.least:
            return f"is too little for a container to start; write {self.least} or more"
        if is_too_fine(value, self.resource):
            return "is finer than 1m, to which Kubernetes would round it up; write whole m"
        return None

    def checked(self, value: Any) -> str | None:
        if value is None and self.is_nullable:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | Quantity):
            raise ValueError(f"{shown(value)} must be a Kubernetes quantity in quotes, such as {self.example!r}")
        quantity = Quantity.parse(str(value), self.resource)
        if is_in_bytes(quantity, self.resource):
            raise ValueError(f"{str(value)!r} is in bytes; write cores, such as {self.example!r}")
        if not self.least <= quantity <= self.most:
            raise ValueError(f"{str(value)!r} must be from {self.least} to {self.most}, such as {self.example!r}")
        if is_too_fine(quantity, self.resource):
            raise ValueError(
                f"{str(value)!r} is finer than 1m, to which Kubernetes would round it up; write whole m, such as '500m'"
            )
        return quantity.text


@dataclass(frozen=True)
class NumberColumn(Column):
    """A whole number."""

    sql_type: ClassVar[LiteralString] = "integer"

    _: KW_ONLY
    least: int
    most: int

    @property
    def takes(self) -> str:
        return f"{self.least} to {self.most}"

    def problem(self, value: Any) -> str | None:
        return f"is too small; write {self.least} or more" if self.is_needed and value < self.least else None

    def misfit(self, value: Any) -> str | None:
        if isinstance(value, int) and value not in _INTEGERS:
            return f"must be a whole number from {self.least} to {self.most}"
        return None

    def checked(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError(
                f"{shown(value)} must be a whole number from {self.least} to {self.most}, without quotes, such as {self.default}"
            )
        return value


@dataclass(frozen=True)
class DecimalColumn(Column):
    """A number with at most two decimals; a field holds it as a Decimal, exactly, and JSON as a number."""

    sql_type: ClassVar[LiteralString] = "numeric"

    _: KW_ONLY
    least: Decimal
    most: Decimal
    example: str

    @property
    def takes(self) -> str:
        return f"{self.least} to {self.most}"

    def from_row(self, value: Any) -> Decimal:
        # Of a float the shortest text that means it: 1.1 is no more digits than that.
        return Decimal(str(value))

    def problem(self, value: Any) -> str | None:
        is_one = value.is_finite() and self.least <= value <= self.most and value == round(value, _DECIMALS)
        return None if is_one else f"is no number from {self.least} to {self.most} with at most {_DECIMALS} decimals"

    def misfit(self, value: Any) -> str | None:
        # As NULL does, 0 means something else to the store's functions.
        return f"must be {self._rule}" if isinstance(value, int | float | Decimal) and value == 0 else None

    def checked(self, value: Any) -> Decimal | None:
        if value is None and self.is_nullable:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or self.problem(self.from_row(value)):
            raise ValueError(f"{shown(value)} must be {self._rule}, without quotes, such as {self.example}")
        return self.from_row(value)

    @property
    def _rule(self) -> str:
        return f"a number from {self.least} to {self.most} with at most {_DECIMALS} decimals"


_DECIMALS = 2


@dataclass(frozen=True)
class BooleanColumn(Column):
    """True or false."""

    sql_type: ClassVar[LiteralString] = "boolean"

    @property
    def takes(self) -> str:
        return "true, false"

    def checked(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"{shown(value)} must be true or false, without quotes")
        return value


@dataclass(frozen=True)
class TimeColumn(Column):
    """A time of day."""

    sql_type: ClassVar[LiteralString] = "time"

    @property
    def takes(self) -> str:
        return "14:30"


def columns_of(described: type) -> Mapping[str, Column]:
    """Give the columns that can be configured, by name, in the order of the fields."""
    return {name: column for name, column in _columns(described).items() if not isinstance(column, NameColumn)}


def names_of(described: type) -> Mapping[str, Column]:
    """Give the columns that are the name of a row."""
    return {name: column for name, column in _columns(described).items() if isinstance(column, NameColumn)}


def _columns(described: type) -> dict[str, Column]:
    return {each.name: _named(each.metadata[KEY], each) for each in fields(described) if KEY in each.metadata}


def _named(column: Column, of: Field[Any]) -> Column:
    default = None if of.default is MISSING else str(of.default) if isinstance(of.default, Quantity) else of.default
    return replace(column, name=of.name, default=default, is_nullable=of.default is None)
