"""
What get_dag_config takes in a large store, as a ratio to what it takes with the nine rows that the migrations bring.

    python -m benchmarks.get_dag_config [--rows 100000] [--entries 1000000] [--rounds 2000] [--version 16]

Starts a PostgreSQL of its own (the wheel of the development dependencies, or Debian's of that version) and makes two
databases in it: one as it is migrated, and one with that many rows and entries, and a thousand overrides in force. The
two are asked in turn, so that whatever else the machine does falls on both. Each call is one transaction on an open connection; the
median and the 99th percentile are printed, in microseconds, and their ratios. Nothing is left behind.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from plugins.postgres import Database, new_database, running_server

from airflow_provider_dagconfig.store.migrate import migrate

# As the triggers would write it, without the hours that they would take for a million changes.
FILL = """
    SET session_replication_role = replica;
    INSERT INTO financial_screener.dag_configuration (dag_name, job_name)
    SELECT 'dag_' || n / 100, 'job_' || n % 100 FROM generate_series(1, {rows} - 9) AS n;
    INSERT INTO financial_screener.dag_configuration_audit (
        operation, dag_name, job_name, old_values, new_values, changed_by, changed_at, session_user_name, changed_columns,
        row_version
    )
    SELECT
        'UPDATE', c.dag_name, c.job_name, to_jsonb(c), to_jsonb(c), 'maria', now() - interval '1 second' * ({entries} - n),
        session_user, '{{batch_size}}', n / {rows} + 2
    FROM generate_series(1, {entries}) AS n
    JOIN financial_screener.dag_configuration AS c ON c.id = n % {rows} + 1;
    INSERT INTO financial_screener.dag_configuration_overrides (
        dag_name, job_name, batch_size, starts_at, ends_at, reason, created_by
    )
    SELECT dag_name, job_name, 7, now(), now() + interval '1 day', 'benchmark', 'maria'
    FROM financial_screener.dag_configuration WHERE dag_name LIKE 'dag\\_%' ORDER BY id LIMIT 1000;
"""
CALLS = {
    "get_dag_config, a job": "SELECT * FROM financial_screener.get_dag_config('calculate_indicators', 'all')",
    "get_dag_config, no such job": "SELECT * FROM financial_screener.get_dag_config('no_such_dag', 'all')",
    "dag_config_at an hour ago": (
        "SELECT financial_screener.dag_config_at('calculate_indicators', 'all', now() - interval '1 hour')"
    ),
    "update_dag_config": (
        "SELECT financial_screener.update_dag_config("
        "'calculate_indicators', 'all', p_batch_size => 1 + (random() * 999999)::integer)"
    ),
}


@contextmanager
def opened(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.url, autocommit=True, prepare_threshold=None) as connection:
        yield connection


def seconds(connection: psycopg.Connection, statement: str) -> float:
    begin = time.perf_counter()
    connection.execute(statement).fetchall()  # type: ignore[arg-type]
    return time.perf_counter() - begin


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def compare(small: psycopg.Connection, large: psycopg.Connection, rounds: int) -> None:
    print(f"{'':30}{'median µs':>24}{'ratio':>8}{'99th percentile µs':>24}{'ratio':>8}")
    for name, statement in CALLS.items():
        times: dict[str, list[float]] = {"small": [], "large": []}
        both = [("small", small), ("large", large)]
        for _ in range(rounds):
            random.shuffle(both)
            for key, connection in both:
                times[key].append(seconds(connection, statement))
        row = f"{name:30}"
        shares: list[Callable[[list[float]], float]] = [statistics.median, lambda values: percentile(values, 0.99)]
        for share in shares:
            before, after = share(times["small"]), share(times["large"])
            row += f"{before * 1e6:12.0f}{after * 1e6:12.0f}{after / before:8.2f}"
        print(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2_000)
    parser.add_argument("--version", type=int, default=16)
    arguments = parser.parse_args()
    with running_server(arguments.version) as server, new_database(server) as small, new_database(server) as large:
        migrate(small.url)
        migrate(large.url)
        large.execute(FILL.format(rows=arguments.rows, entries=arguments.entries))
        for database in (small, large):
            with opened(database) as connection:
                connection.execute("VACUUM ANALYZE")
        with opened(small) as one, opened(large) as other:
            counts = [
                connection.execute("""
                    SELECT (SELECT count(*) FROM financial_screener.dag_configuration),
                        (SELECT count(*) FROM financial_screener.dag_configuration_audit)
                """).fetchone()
                for connection in (one, other)
            ]
            print(f"PostgreSQL {arguments.version}; rows and audit entries: {counts[0]} and {counts[1]}\n")
            compare(one, other, arguments.rounds)


if __name__ == "__main__":
    main()
