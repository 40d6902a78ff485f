"""
The time to read a task's configuration, from the creation of the hook to the closed connection, compared with a plain psycopg
connection that selects the row.

Both open a new connection each time, with a password (SCRAM), on the loopback address, in turn, in one process. A proxy before
PostgreSQL counts round trips: how often the client sent data after data from the server.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from benchmarks.database import planned_and_run
from benchmarks.figures import Figure, Goal, ratio
from benchmarks.peers import OURS
from benchmarks.processes import run
from benchmarks.tcp_proxy import proxy
from benchmarks.workplace import Workplace

TITLE = "A task's configuration"
BUDGET = 60
NEEDS_CLUSTER = False

BARE = "psycopg: connect, select the row, close"
HOOK = "PostgresHook: the same"
"""Airflow's own part of what ours takes."""


def measure(place: Workplace) -> list[Figure]:
    """Read in turn, and once more through the proxy."""
    url = place.make_store("configuration")
    found = run("look_ups", "--rounds", str(place.sizes.look_ups), environment=place.environment(url))
    with proxy(place.server.port) as counted:
        there = urlsplit(url)
        through = there._replace(netloc=there.netloc.replace(f":{place.server.port}", f":{counted.port}")).geturl()
        run("look_ups", "--rounds", "1", "--no-warm-up", environment=place.environment(through))
        own, bare = counted.turns()
    planning, running = planned_and_run(place.server, url)
    values = {OURS: found["operator"], BARE: found["psycopg"], HOOK: found["hook"]}
    trips = {OURS: [float(own)], BARE: [float(bare)]}
    return [
        ratio(
            "configuration of a task",
            "ms",
            values,
            Goal("<= 1.3 of connect-and-select", most=1.3),
            to=BARE,
            note="each task has its own session, in which PostgreSQL plans the query (row, overrides, ceilings, group and the last"
            f" changes) in {planning:.1f} ms and runs it in {running:.1f} ms (EXPLAIN ANALYZE)",
        ),
        Figure(
            "its round trips beyond those of connect-and-select",
            "",
            trips,
            Goal("0", most=0),
            float(own - bare),
            note="both need those of the connection's start and of the password, then one for the statement",
        ),
    ]
