"""
The facts about a configurable column: its kind, range, length, who may set it, its help.

They are written once, as metadata of the column's field in DagConfig or ExchangeGroup; the default is the field's. All code that
lists, reads, checks or explains columns uses them. The database has its own rules; a test compares the two.
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
"""The key of the column in a field's metadata."""

_INTEGERS = range(-(2**31), 2**31)


@dataclass(frozen=True)
class Column:
    """A column; its kind is the subclass. This class itself is a text of any length."""

    sql_type: ClassVar[LiteralString] = "text"
    """The SQL type of the parameter in the store's functions."""

    help: str
    """The meaning of the column, for a person."""
    _: KW_ONLY
    length: int | None = None
    """Characters: a longer text is refused; None for no limit."""
    is_overridable: bool = True
    """Whether an override, or a run, may set it. Not used for exchange groups, which have no overrides."""
    is_needed: bool = True
    """Whether a job cannot run without a usable value; otherwise the default replaces a missing one."""
    name: str = ""
    """The name of the field."""
    default: Any = None
    """The default of the field, as a JSON value; None where it has none."""
    is_nullable: bool = False
    """Whether it may be NULL, which is so if the field's default is None."""

    @property
    def takes(self) -> str:
        """Examples of values as people type them, for help; empty where any text is allowed."""
        return ""

    def from_row(self, value: Any) -> Any:
        """
        Turn a row's value into the field's value.

        :raises ValueError: that is not possible; names the value and what to write instead.
        """
        return value

    def problem(self, value: Any) -> str | None:  # noqa: ARG002 - subclasses use it
        """Return why a job cannot run with a field's value, as words that follow the value. The store's rules may be stricter."""
        return None

    def misfit(self, value: Any) -> str | None:
        """Return why the database's type cannot hold a value, as words that follow it; PostgreSQL does not name the column."""
        if self.length is not None and isinstance(value, str) and len(value) > self.length:
            return f"has {len(value)} characters; write {self.length} at most"
        return None

    def checked(self, value: Any) -> Any:
        """
        Check a new value by the store's rules.

        :param value: a JSON value.
        :return: the value for the column.
        :raises ValueError: says what the value is, and what to write; the message follows the column's name.
        """
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} must be a text")
        if misfit := self.misfit(value):
            raise ValueError(f"{shown(value)} {misfit}")
        return value


@dataclass(frozen=True)
class NameColumn(Column):
    """A part of the row's name; it is not configured."""


@dataclass(frozen=True)
class TextColumn(Column):
    """A text for people, or a name from another system."""

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
    """For a request, the column of its limit: the request must not be larger."""
    length: int | None = 20

    @property
    def least(self) -> Quantity:
        """The least that the store's rules allow."""
        return LEAST[self.resource]

    @property
    def most(self) -> Quantity:
        """The most that the store's rules allow."""
        return MOST[self.resource]

    @property
    def takes(self) -> str:
        return {"cpu": "500m, 2", "memory": "512Mi, 4Gi"}[self.resource]

    @property
    def example(self) -> str:
        """A valid value, for messages."""
        return str(self.default or self.takes.split(", ")[-1])

    def from_row(self, value: Any) -> Quantity:
        return value if isinstance(value, Quantity) else Quantity.parse(value, self.resource)

    def problem(self, value: Any) -> str | None:
        if self.within is not None and value.value < 0:
            return "is negative; write 0 or more"
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
    """A number with at most two decimals. A field holds it exactly, as a Decimal; JSON has a number."""

    sql_type: ClassVar[LiteralString] = "numeric"

    _: KW_ONLY
    least: Decimal
    most: Decimal
    example: str

    @property
    def takes(self) -> str:
        return f"{self.least} to {self.most}"

    def from_row(self, value: Any) -> Decimal:
        # str() gives the shortest text of a float, so 1.1 keeps one decimal.
        return Decimal(str(value))

    def problem(self, value: Any) -> str | None:
        is_one = value.is_finite() and self.least <= value <= self.most and value == round(value, _DECIMALS)
        return None if is_one else f"is no number from {self.least} to {self.most} with at most {_DECIMALS} decimals"

    def misfit(self, value: Any) -> str | None:
        # 0 has another meaning for the store's functions, as NULL has.
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
    """Return the configurable columns by name, in the order of the fields."""
    return {name: column for name, column in _columns(described).items() if not isinstance(column, NameColumn)}


def names_of(described: type) -> Mapping[str, Column]:
    """Return the columns that are the row's name."""
    return {name: column for name, column in _columns(described).items() if isinstance(column, NameColumn)}


def _columns(described: type) -> dict[str, Column]:
    return {each.name: _named(each.metadata[KEY], each) for each in fields(described) if KEY in each.metadata}


def _named(column: Column, of: Field[Any]) -> Column:
    default = None if of.default is MISSING else str(of.default) if isinstance(of.default, Quantity) else of.default
    return replace(column, name=of.name, default=default, is_nullable=of.default is None)
