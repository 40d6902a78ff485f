"""The rules of a row: each rule's message, rows that are older than the rules, and quantities."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import localcontext
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity
from plugins.postgres import Database, Server, new_database

from airflow_provider_dagconfig.models import Quantity, is_name, meant_name
from airflow_provider_dagconfig.store.migrate import migrate

SET_JOB = "UPDATE financial_screener.dag_configuration SET {} = {} WHERE dag_name = 'calculate_indicators'"
SET_GROUP = "UPDATE financial_screener.exchange_groups SET {} = {} WHERE group_name = 'lse'"

CPU = "must be a Kubernetes quantity from 1m to 1024 cores, in steps of 1m, not in Ki, Mi or Gi"

SUFFIXES = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
numbers = st.from_regex(r"[+-]?([0-9]{1,21}(\.[0-9]{0,12})?|\.[0-9]{1,12})", fullmatch=True)
exponents = st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 999))
quantity_texts = st.builds(str.__add__, numbers, st.sampled_from(SUFFIXES) | exponents)
any_texts = st.text(alphabet="0123456789.+-eEinumkKMGTP bB_,", max_size=12) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
)
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def adopted(adopted_database: Database) -> Database:
    """A live database with rows that break rules, migrated."""
    migrate(adopted_database.url)
    return adopted_database


@pytest.fixture(scope="module")
def unchanged(postgres: Server, _migrated_template: Database) -> Iterator[Database]:
    """One database for all writes that are refused."""
    with new_database(postgres, template=_migrated_template.name) as database:
        yield database


@pytest.fixture
def connection(unchanged: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(unchanged.url, autocommit=True) as opened:
        yield opened


def refusal(database: Database, statement: str) -> str:
    with pytest.raises(psycopg.errors.CheckViolation) as error:
        database.execute(statement)
    return str(error.value.diag.message_primary)


def violations(database: Database) -> list[tuple[object, ...]]:
    return database.execute("SELECT row_key, column_name, value FROM financial_screener.rule_violations()")


def constraints(database: Database) -> set[str]:
    return {
        name
        for (name,) in database.execute("SELECT conname::text FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'rule\\_%'")
    }


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("cpu_request", "'lots'", f"{CPU}, such as 500m"),
        ("cpu_request", "'0'", f"{CPU}, such as 500m"),
        ("cpu_request", "'-1'", f"{CPU}, such as 500m"),
        ("cpu_limit", "'1500500u'", f"{CPU}, such as 2000m"),
        ("cpu_limit", "NULL", f"{CPU}, such as 2000m"),
        ("cpu_limit", "'1024001m'", f"{CPU}, such as 2000m"),
        ("cpu_request", "'1Ki'", f"{CPU}, such as 500m"),
        ("cpu_request", "'5'", "must be no more than cpu_limit ('4000m'), such as 500m with a limit of 2000m"),
        ("memory_request", "'1Mi'", "must be a Kubernetes quantity from 4Mi to 64Ti, such as 1Gi"),
        ("memory_request", "'5Gi'", "must be no more than memory_limit ('4Gi'), such as 1Gi with a limit of 2Gi"),
        ("memory_limit", "'2 GB'", "must be a Kubernetes quantity from 4Mi to 64Ti, such as 2Gi"),
        ("memory_limit", "'8Ei'", "must be a Kubernetes quantity from 4Mi to 64Ti, such as 2Gi"),
        ("batch_size", "0", "must be a whole number from 1 to 1000000, such as 500"),
        ("batch_size", "1000001", "must be a whole number from 1 to 1000000, such as 500"),
        ("timeout_seconds", "0", "must be a whole number of seconds from 1 to 604800, a week, such as 600"),
        ("timeout_seconds", "604801", "must be a whole number of seconds from 1 to 604800, a week, such as 600"),
        ("max_retries", "-1", "must be a whole number from 0 to 10, such as 2"),
        ("max_retries", "11", "must be a whole number from 0 to 10, such as 2"),
        ("retry_delay_minutes", "-1", "must be a whole number of minutes from 0 to 1440, a day, such as 5"),
        ("retry_delay_minutes", "1441", "must be a whole number of minutes from 0 to 1440, a day, such as 5"),
        ("retry_backoff_enabled", "NULL", "must be true or false, such as true"),
        ("enabled", "NULL", "must be true or false, such as true"),
        ("priority", "0", "must be a whole number from 1 to 10, higher first, such as 5"),
        ("priority", "11", "must be a whole number from 1 to 10, higher first, such as 5"),
    ],
)
def test_a_refused_value_of_a_job_is_named_with_column_rule_and_example(
    unchanged: Database, column: str, value: str, rule: str
) -> None:
    shown = value if value == "NULL" else f"'{value.strip(chr(39))}'"

    assert refusal(unchanged, SET_JOB.format(column, value)) == f"{column} {shown} of calculate_indicators/all {rule}"


def test_a_limit_below_the_request_is_refused(unchanged: Database) -> None:
    assert refusal(unchanged, SET_JOB.format("memory_limit", "'1Gi'")) == (
        "memory_request '2Gi' of calculate_indicators/all must be no more than memory_limit ('1Gi'),"
        " such as 1Gi with a limit of 2Gi"
    )


@pytest.mark.parametrize(
    ("column", "value", "shown", "rule"),
    [
        ("exchanges", "'{}'", "'[]'", "must be a list of 1 to 500 exchange codes"),
        ("exchanges", "'{LSE,LSE}'", """'["LSE", "LSE"]'""", "each once"),
        ("exchanges", "'{\" LSE\"}'", """'[" LSE"]'""", "letters A to Z, digits, ., - and _"),
        ("exchanges", "'{\"\"}'", """'[""]'""", "1 to 500 exchange codes"),
        ("exchanges", "'{NULL}'", "'[null]'", "1 to 500 exchange codes"),
        ("exchanges", "'{{LSE},{XETRA}}'", """'[["LSE"], ["XETRA"]]'""", "ARRAY['NYSE', 'NASDAQ']"),
        ("exchanges", "NULL", "NULL", "such as ARRAY['NYSE', 'NASDAQ']"),
        (
            "primary_timezone",
            "'Mars/Olympus'",
            "'Mars/Olympus'",
            "must be a time zone that pg_timezone_names has, such as America/",
        ),
        ("primary_timezone", "NULL", "NULL", "must be a time zone"),
        ("display_name", "' '", "' '", "must be a name without"),
        ("enabled", "NULL", "NULL", "must be true or false"),
        ("priority", "11", "'11'", "must be a whole number from 1 to 10"),
    ],
)
def test_a_refused_value_of_a_group_is_named_with_column_rule_and_example(
    unchanged: Database, column: str, value: str, shown: str, rule: str
) -> None:
    message = refusal(unchanged, SET_GROUP.format(column, value))

    assert message.startswith(f"{column} {shown} of exchange group lse must be ")
    assert rule in message


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            "INSERT INTO financial_screener.dag_configuration (dag_name, job_name, batch_size) VALUES ('d', 'j', 0)", id="insert"
        ),
        pytest.param(SET_JOB.format("batch_size", "0"), id="update"),
        pytest.param("SELECT financial_screener.update_dag_config('d', 'j', p_batch_size => 0)", id="function"),
        pytest.param(
            "MERGE INTO financial_screener.dag_configuration AS c USING (VALUES (1)) AS v ON c.job_name = 'all'"
            " WHEN MATCHED THEN UPDATE SET batch_size = 0",
            id="merge",
        ),
        pytest.param(
            "SET standard_conforming_strings = off; " + SET_JOB.format("batch_size", "0"), id="another reading of strings"
        ),
        pytest.param("SET session_replication_role = replica; " + SET_JOB.format("batch_size", "0"), id="without triggers"),
    ],
)
def test_whoever_writes_is_held_to_the_rules(unchanged: Database, statement: str) -> None:
    assert "batch_size" in refusal(unchanged, statement)


@pytest.mark.parametrize(
    "name", ["", " lse", "lse ", "lse\n", "lse\u00a0", "\u200blse", "lse\ufeff", "\u202else", "lse\u3000"], ids=ascii
)
def test_a_name_has_no_blanks_around_it(unchanged: Database, name: str) -> None:
    with pytest.raises(
        psycopg.errors.CheckViolation, match="must be a name without control characters, and without blanks or invisible"
    ):
        unchanged.execute("SELECT financial_screener.update_dag_config('d', %s)", [name])


def test_postgres_and_the_models_agree_on_every_character_of_a_name(connection: psycopg.Connection) -> None:
    every = [chr(number) for number in range(1, 0x110000)]
    characters = [each for each in every if each < "\u0800" or unicodedata.category(each) in ("Cf", "Zs", "Zl", "Zp")]
    characters += [chr(ord(each) + 1) for each in characters]
    query = """
        SELECT chr(c) FROM unnest(%s::integer[]) AS c
        WHERE financial_screener.dagconfig_is_name(format(%s, chr(c))) = ANY(%s)
    """
    for form in ("%sx", "x%s", "x%sx"):
        refused = {each for (each,) in connection.execute(query, [list(map(ord, characters)), form, [False]])}
        assert refused == {each for each in characters if not is_name(form % each)}
        invisible = ["Cc"] if form == "x%sx" else ["Cc", "Cf", "Zs", "Zl", "Zp"]
        assert {each for each in characters if unicodedata.category(each) in invisible} <= refused


@pytest.mark.parametrize("name", ["lse", " lse\u200b", "\ufeffa\nb\n", "a\x01\x02b", "\u00a0", "", "\u202e\U000e0001"], ids=ascii)
def test_what_was_meant_by_a_name_is_a_name(name: str) -> None:
    assert is_name(meant_name(name)) or not meant_name(name)
    assert (meant_name(name) == name) == (is_name(name) or not name)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_in_another_encoding_names_are_held_to_what_it_has(postgres: Server, encoding: str) -> None:
    with new_database(postgres, template=f"template0 ENCODING '{encoding}' LOCALE 'C'") as database:
        migrate(database.url)
        for name in (" lse", "lse\t", "a\x01b", ""):
            assert database.execute("SELECT financial_screener.dagconfig_is_name(%s)", [name]) == [(False,)]
        assert database.execute("SELECT financial_screener.dagconfig_is_name(%s)", ["a b"]) == [(True,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT financial_screener.update_dag_config('d', 'j', p_reason => repeat('x', {}))",
        "SELECT financial_screener.update_exchange_group('lse', p_priority => 3, p_reason => repeat('x', {}))",
        "SELECT financial_screener.override_dag_config('calculate_indicators', 'all', now() + '1 hour', repeat('x', {}),"
        " p_batch_size => 7)",
    ],
)
def test_a_reason_has_at_most_1000_characters(migrated_database: Database, statement: str) -> None:
    message = refusal(migrated_database, statement.format(1001))

    assert message == f"reason '{'x' * 200}'... must be a text of at most 1000 characters, and has 1001"
    migrated_database.execute(statement.format(1000))


def test_a_long_value_is_shown_by_its_beginning(unchanged: Database) -> None:
    message = refusal(unchanged, SET_JOB.format("description", "repeat('x', 1000000)"))

    assert message == (
        f"description '{'x' * 200}'... (1000000 characters) of calculate_indicators/all"
        " must be a text of at most 4000 characters, such as collects prices after the close"
    )


def test_an_override_with_a_long_reason_is_ended(migrated_database: Database) -> None:
    migrated_database.execute("""
        SELECT financial_screener.override_dag_config('calculate_indicators', 'all', now() + '1 hour', 'why', p_batch_size => 7);
        ALTER TABLE financial_screener.dag_configuration_overrides DROP CONSTRAINT rule_reason;
        SET session_replication_role = replica;
        UPDATE financial_screener.dag_configuration_overrides SET reason = repeat(' ', 1000) || 'why' || repeat('x', 1000)
    """)
    assert [column for _, column, _ in violations(migrated_database)] == ["reason"]

    migrated_database.execute("SELECT financial_screener.end_override(1)")

    assert violations(migrated_database) == []


def test_names_are_the_same_in_a_session_that_reads_backslashes(migrated_database: Database) -> None:
    migrated_database.execute("SET standard_conforming_strings = off; SELECT financial_screener.update_dag_config('d', 'lse')")
    migrated_database.execute(
        "SET standard_conforming_strings = off; SELECT financial_screener.update_dag_config('d', 'j', p_memory_limit => '2.5Gi')"
    )


def test_rows_that_break_a_rule_are_listed(adopted: Database) -> None:
    assert violations(adopted) == [
        ("house_prices/all", "memory_limit", "2 GB"),
        ("house_prices/all", "batch_size", "-5"),
        ("nobody", "exchanges", "[]"),
    ]


def test_a_row_with_a_bad_value_can_be_disabled_at_night(adopted: Database) -> None:
    adopted.execute("UPDATE financial_screener.dag_configuration SET enabled = FALSE WHERE dag_name = 'house_prices'")
    adopted.execute("SELECT financial_screener.update_dag_config('house_prices', 'all', p_timeout_seconds => 900)")
    adopted.execute("UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'nobody'")

    assert adopted.execute(
        "SELECT memory_limit, batch_size, timeout_seconds, enabled FROM financial_screener.get_dag_config('house_prices')"
    ) == [("2 GB", -5, 900, False)]


@pytest.mark.parametrize(("column", "value"), [("memory_limit", "'3 GB'"), ("batch_size", "-6"), ("priority", "0")])
def test_a_row_with_a_bad_value_takes_no_other_bad_value(adopted: Database, column: str, value: str) -> None:
    assert column in refusal(
        adopted, f"UPDATE financial_screener.dag_configuration SET {column} = {value} WHERE dag_name = 'house_prices'"
    )


def test_rules_that_nobody_breaks_are_constraints(migrated_database: Database, adopted: Database) -> None:
    every = constraints(migrated_database)

    assert every == {
        name
        for (name,) in migrated_database.execute(
            "SELECT 'rule_' || rule_name FROM financial_screener.dagconfig_rules() WHERE is_constraint"
        )
    }
    assert every - constraints(adopted) == {"rule_memory_limit", "rule_batch_size", "rule_exchanges"}


def test_once_rows_are_mended_migrating_makes_constraints_of_the_rules(adopted: Database) -> None:
    adopted.execute("SELECT financial_screener.update_dag_config('house_prices', 'all', p_memory_limit => '2G', p_batch_size => 5)")
    adopted.execute("UPDATE financial_screener.exchange_groups SET exchanges = '{LSE}' WHERE group_name = 'nobody'")
    assert violations(adopted) == []

    assert migrate(adopted.url) == []

    assert {"rule_memory_limit", "rule_batch_size", "rule_exchanges"} <= constraints(adopted)
    assert adopted.execute("SELECT financial_screener.enforce_rules()") == [(0,)]


def by_postgres(connection: psycopg.Connection, texts: list[str]) -> list[Fraction | None]:
    rows = connection.execute(
        "SELECT financial_screener.quantity_value(t) FROM unnest(%s::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n", [texts]
    )
    return [None if value is None else Fraction(value) for (value,) in rows]


def by_the_models(text: str) -> Fraction | None:
    try:
        return Quantity.parse(text).value
    except ValueError:
        return None


def by_the_kubernetes_client(text: str) -> Fraction | None:
    """
    The result of its parser for a text, but None if an API server refuses the text (Python's Decimal takes more: NaN, blanks,
    1_000, other alphabets' digits; the parser takes K, and an exponent with a suffix) or would change it silently (beyond 2^63-1,
    below 1n).
    """
    if not re.fullmatch(r"[-+.0-9]*([eE][-+]?[0-9]{1,3}|[numkMGTPE]|[KMGTPE]i)?", text, flags=re.ASCII) or text.endswith("\n"):
        return None
    try:
        with localcontext(prec=1500):
            value = Fraction(parse_quantity(text))
    except ValueError:
        return None
    return value if abs(value) < 2**63 and not value % Fraction(1, 10**9) else None


@many
@given(texts=st.lists(quantity_texts | any_texts, min_size=1, max_size=50))
def test_postgres_and_the_models_agree_on_every_text(connection: psycopg.Connection, texts: list[str]) -> None:
    assert dict(zip(texts, by_postgres(connection, texts), strict=True)) == {text: by_the_models(text) for text in texts}


@many
@given(texts=st.lists(quantity_texts | any_texts, min_size=1, max_size=50))
def test_the_kubernetes_client_agrees_with_them(connection: psycopg.Connection, texts: list[str]) -> None:
    assert dict(zip(texts, by_postgres(connection, texts), strict=True)) == {text: by_the_kubernetes_client(text) for text in texts}


@pytest.mark.parametrize(
    "text",
    [
        "1e999",
        "-1e-999",
        "1e9999",
        "9223372036854775807",
        "9223372036854775808",
        "8Ei",
        "0.1n",
        "1.E3",
        "1.e3",
        "0e999",
        "+.5e+001",
        "1\n",
    ],
)
def test_at_the_edges_postgres_and_the_models_agree(connection: psycopg.Connection, text: str) -> None:
    assert by_postgres(connection, [text]) == [by_the_models(text)]
