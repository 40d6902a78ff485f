"""The columns that Python knows are the database's: the same names, types, defaults and rules, for rows and for overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from plugins.postgres import Database, Server, new_database
from psycopg import sql

from airflow_provider_dagconfig.models import (
    CONFIG_COLUMNS,
    GROUP_COLUMNS,
    GROUP_DEFAULTS,
    KEPT_BY_THE_STORE,
    OVERRIDE_COLUMNS,
    BooleanColumn,
    Column,
    DagConfig,
    DecimalColumn,
    ExchangeGroup,
    ExchangesColumn,
    NumberColumn,
    Override,
    QuantityColumn,
    TextColumn,
    names_of,
)

JOB_NAMES, GROUP_NAMES = names_of(DagConfig), names_of(ExchangeGroup)
TABLES: dict[str, Mapping[str, Column]] = {
    "dag_configuration": {**JOB_NAMES, **CONFIG_COLUMNS},
    "exchange_groups": {**GROUP_NAMES, **GROUP_COLUMNS},
    "dag_configuration_overrides": {**JOB_NAMES, **OVERRIDE_COLUMNS},
}
FUNCTIONS: dict[str, Mapping[str, Column]] = {
    "update_dag_config": CONFIG_COLUMNS,
    "override_dag_config": OVERRIDE_COLUMNS,
    "update_exchange_group": GROUP_COLUMNS,
}
TYPES: Mapping[str, list[str]] = {"time": ["time without time zone"]}
"""Those that the catalog calls by another name."""
QUANTITIES = {name: column for name, column in CONFIG_COLUMNS.items() if isinstance(column, QuantityColumn)}
REFUSED = (
    psycopg.errors.CheckViolation,
    psycopg.errors.NotNullViolation,
    psycopg.errors.StringDataRightTruncation,
)
LONG = 20_000
"""Characters of a text that may have any number of them."""


@pytest.fixture(scope="module")
def connection(postgres: Server, _migrated_template: Database) -> Iterator[psycopg.Connection[Any]]:
    """A migrated database, in which each statement is only tried."""
    with new_database(postgres, template=_migrated_template.name) as database, psycopg.connect(database.url) as opened:
        yield opened


def tried(connection: psycopg.Connection[Any], statement: str, *parameters: Any, **names: str) -> list[tuple[Any, ...]]:
    """Execute a statement, and take it back."""
    composed = sql.SQL(statement).format(**{name: sql.Identifier(value) for name, value in names.items()})  # type: ignore[arg-type]
    with connection.transaction(force_rollback=True):
        cursor = connection.execute(composed, parameters)
        return cursor.fetchall() if cursor.description else []


def is_taken(connection: psycopg.Connection[Any], statement: str, *parameters: Any, **names: str) -> bool:
    try:
        tried(connection, statement, *parameters, **names)
    except REFUSED:
        return False
    return True


def catalog(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    """The type of each column."""
    rows = tried(
        connection,
        """
        SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
        """,
        f"financial_screener.{table}",
    )
    return dict(rows)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_these_columns(connection: psycopg.Connection[Any], table: str) -> None:
    own = {f.name for f in fields(Override)} if table == "dag_configuration_overrides" else set()

    assert catalog(connection, table).keys() - own - set(KEPT_BY_THE_STORE) == TABLES[table].keys() - own


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, columns in TABLES.items() for name in columns])
def test_a_column_has_this_type_and_length(connection: psycopg.Connection[Any], table: str, name: str) -> None:
    column = TABLES[table][name]
    # A text that may be long has its length from a rule, whose edges are tried below.
    texts = {"text"} if column.length is None else {f"character varying({column.length})", *(["text"] * (column.length > 100))}

    assert catalog(connection, table)[name] in {**TYPES, "text": texts}.get(column.sql_type, [column.sql_type])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_takes_these_columns(connection: psycopg.Connection[Any], function: str) -> None:
    arguments = tried(
        connection,
        """
        SELECT substr(argument.name, 3), argument.type::regtype::text
        FROM pg_proc, unnest(proargnames, proargtypes::oid[]) AS argument (name, type) WHERE oid = to_regproc(%s)
        """,
        f"financial_screener.{function}",
    )

    assert {name: kind for name, kind in arguments if name in {**CONFIG_COLUMNS, **GROUP_COLUMNS}} == {
        name: TYPES.get(column.sql_type, [column.sql_type])[0] for name, column in FUNCTIONS[function].items()
    }


def defaults(columns: Mapping[str, Column]) -> tuple[Any, ...]:
    return tuple(column.default for column in columns.values())


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            "INSERT INTO financial_screener.dag_configuration (dag_name, job_name) VALUES ('d', 'j') RETURNING {columns}",
            id="in a row that somebody inserts",
        ),
        pytest.param(
            "SELECT financial_screener.update_dag_config('d', 'j');"
            " SELECT {columns} FROM financial_screener.dag_configuration WHERE (dag_name, job_name) = ('d', 'j')",
            id="in a row that the function makes",
        ),
        pytest.param("SELECT {columns} FROM financial_screener.effective_dag_config('d', 'j')", id="without a row"),
    ],
)
def test_a_job_has_these_defaults(connection: psycopg.Connection[Any], statement: str) -> None:
    with connection.transaction(force_rollback=True):
        cursor = connection.execute(statement.format(columns=", ".join(CONFIG_COLUMNS)))  # type: ignore[arg-type]
        while cursor.nextset():
            pass
        assert cursor.fetchall() == [defaults(CONFIG_COLUMNS)]


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            "INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges) VALUES ('g', 'g', ARRAY['X'])",
            id="in a row that somebody inserts",
        ),
        pytest.param(
            "SELECT financial_screener.update_exchange_group('g', p_exchanges => ARRAY['X'])", id="in a row that the function makes"
        ),
    ],
)
def test_a_group_has_these_defaults(connection: psycopg.Connection[Any], statement: str) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(statement)  # type: ignore[arg-type]
        [row] = connection.execute(
            f"SELECT {', '.join(GROUP_COLUMNS)} FROM financial_screener.exchange_groups WHERE group_name = 'g'"
        )
        made = dict(zip(GROUP_COLUMNS, row, strict=True))

    assert {name: value for name, value in made.items() if value is not None} == {
        "display_name": "g",
        "exchanges": ["X"],
        **GROUP_DEFAULTS,
    }


def edges(column: Column) -> Iterator[tuple[Any, bool]]:
    """Values at the ends of what a column takes, and just outside; whether it takes them."""
    yield None, column.is_nullable
    if isinstance(column, NumberColumn):
        yield from [(column.least, True), (column.most, True), (column.least - 1, False), (column.most + 1, False)]
    elif isinstance(column, DecimalColumn):
        finest = Decimal("0.01")
        yield from [(column.least, True), (column.most, True), (column.least + finest, True), (Decimal("2.500"), True)]
        yield from [(column.least - finest, False), (column.most + finest, False), (column.least + finest / 10, False)]
        yield from [(Decimal("NaN"), False), (Decimal("Infinity"), False), (Decimal(-2), False)]
    elif isinstance(column, BooleanColumn):
        yield from [(True, True), (False, True)]
    elif isinstance(column, QuantityColumn):
        least, most = column.least.value, column.most.value
        yield from [(str(column.least), True), (f"{float(least) * 0.999:.6f}", False), (f"-{column.least}", False), ("much", False)]
        yield from [(str(column.most), True), (f"{float(most):.0f}.001", False), (f"{most + 1}", False)]
        # A unit of bytes is no unit of cores.
        yield {"cpu": "0.5Ki", "memory": "4096Ki"}[column.resource], column.resource == "memory"
        # In steps of 1m of CPU; of memory there is no step.
        yield f"{float(least) * 1.5:.4f}", column.resource == "memory"
        assert column.length is not None
        yield column.example.rjust(column.length, "0"), True
        yield column.example.rjust(column.length + 1, "0"), False
    elif isinstance(column, ExchangesColumn):
        yield from [(["LSE", "n.a_-5", "7"], True), (["LSE", "LSE"], False), ([], False), ([""], False), ([None], False)]
        yield from [
            (["x" * 32], True),
            (["x" * 33], False),
            ([str(n) for n in range(500)], True),
            ([str(n) for n in range(501)], False),
        ]
        for code in ("B\u00f6rse", "\u0661", "-LSE", ".LSE", "_LSE", "N Y", "[NYSE]", "NYSE;LSE", "'LSE'", "LSE\n", "LSE\u200b"):
            yield [code], False
    elif isinstance(column, TextColumn) and column.name != "primary_timezone":
        yield "x" * (column.length or LONG), True
        if column.length is not None:
            yield "x" * (column.length + 1), False


def cases(columns: Mapping[str, Column]) -> list[Any]:
    return [
        pytest.param(
            name, value, fits, id=f"{name} {ascii(value)[:20]} {len(value) if isinstance(value, str | list) else ''}".strip()
        )
        for name, column in columns.items()
        for value, fits in edges(column)
    ]


def beside(name: str) -> dict[str, str]:
    """Another column to be set with this one, so that a request and its limit fit each other."""
    column = CONFIG_COLUMNS.get(name)
    if not isinstance(column, QuantityColumn):
        return {}
    if column.within is not None:
        return {column.within: str(column.most)}
    return {request: str(column.least) for request, other in QUANTITIES.items() if other.within == name}


def is_taken_in_a_row(connection: psycopg.Connection[Any], table: str, values: Mapping[str, Any]) -> bool:
    assignments = ", ".join(f"{name} = %s" for name in values)
    return is_taken(connection, f"UPDATE financial_screener.{table} SET {assignments}", *values.values())


@pytest.mark.parametrize(("name", "value", "fits"), cases(CONFIG_COLUMNS))
def test_a_jobs_row_takes_what_its_column_takes(connection: psycopg.Connection[Any], name: str, value: Any, fits: bool) -> None:
    assert is_taken_in_a_row(connection, "dag_configuration", {name: value, **beside(name)}) == fits


@pytest.mark.parametrize(("name", "value", "fits"), cases(GROUP_COLUMNS))
def test_a_groups_row_takes_what_its_column_takes(connection: psycopg.Connection[Any], name: str, value: Any, fits: bool) -> None:
    assert is_taken_in_a_row(connection, "exchange_groups", {name: value}) == fits


@pytest.mark.parametrize(("name", "value", "fits"), [case for case in cases(OVERRIDE_COLUMNS) if case.values[1] is not None])
def test_an_override_takes_what_its_column_takes(connection: psycopg.Connection[Any], name: str, value: Any, fits: bool) -> None:
    values = {name: value, **beside(name)}
    given = ", ".join(f"p_{column} => %s" for column in values)
    statement = f"""
        SELECT financial_screener.override_dag_config(
            'data_collection_equities', 'lse', now() + interval '1 hour', 'why', {given}
        )
    """

    assert is_taken(connection, statement, *values.values()) == fits


@pytest.mark.parametrize(("name", "value", "fits"), cases({**OVERRIDE_COLUMNS, "exchanges": GROUP_COLUMNS["exchanges"]}))
def test_python_takes_what_the_column_takes(name: str, value: Any, fits: bool) -> None:
    column = {**GROUP_COLUMNS, **CONFIG_COLUMNS}[name]
    try:
        taken = column.checked(value) == value and column.misfit(value) is None
    except ValueError:
        taken = False

    assert taken == fits


@pytest.mark.parametrize(("table", "names"), [("dag_configuration", JOB_NAMES), ("exchange_groups", GROUP_NAMES)])
def test_a_name_has_at_most_these_characters(connection: psycopg.Connection[Any], table: str, names: Mapping[str, Column]) -> None:
    statement = f"UPDATE financial_screener.{table} SET {{name}} = %s WHERE id = (SELECT min(id) FROM financial_screener.{table})"
    for name, column in names.items():
        assert column.length is not None
        assert is_taken(connection, statement, "x" * column.length, name=name)
        assert not is_taken(connection, statement, "x" * (column.length + 1), name=name)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        pair
        for name, column in QUANTITIES.items()
        if column.within is not None
        for pair in [(name, column.within), (column.within, name)]
    ],
)
def test_a_request_is_within_its_limit(connection: psycopg.Connection[Any], name: str, other: str) -> None:
    more, less = {"cpu": ("2", "1"), "memory": ("2Gi", "1Gi")}[QUANTITIES[name].resource]

    taken = is_taken_in_a_row(connection, "dag_configuration", {name: more, other: less})

    assert taken == (QUANTITIES[name].within != other)
