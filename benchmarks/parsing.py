"""
The time to parse the example DAGs, and whether parsing queries the database.

The files are parsed in one process. In turn, Airflow's connection names a database with the migrations' four exchange groups and
one with a thousand groups, through a proxy that counts connections. The modules that the files import are imported before.
"""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import urlsplit

from benchmarks.figures import Figure, Goal, ratio
from benchmarks.processes import run
from benchmarks.tcp_proxy import proxy
from benchmarks.workplace import Workplace

TITLE = "Parsing"
BUDGET = 60
NEEDS_CLUSTER = False

FILL = """
    INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges)
    SELECT 'group_' || n, 'Group ' || n, ARRAY['X' || n] FROM generate_series(1, {groups} - 4) AS n
"""


def measure(place: Workplace) -> list[Figure]:
    """Read the files a number of times."""
    few, many = place.make_store("few_groups"), place.make_store("many_groups")
    place.server.execute(FILL.format(groups=place.sizes.groups), database="many_groups")
    folder = files("airflow_provider_dagconfig.example_dags")
    dags = sorted(str(path) for path in folder.iterdir() if path.name.endswith(".py") and not path.name.startswith("_"))
    with proxy(place.server.port) as counted:
        urls = []
        for url in (few, many):
            there = urlsplit(url)
            urls.append(there._replace(netloc=there.netloc.replace(f":{place.server.port}", f":{counted.port}")).geturl())
        arguments = ["--rounds", str(place.sizes.parses * 4), "--database", urls[0], "--database", urls[1], *dags]
        of_few, of_many = run("parse_dags", *arguments, environment=place.environment())["ms"]
        connections = len(counted.turns())
    names = (f"{place.sizes.groups:,} groups", "4 groups")
    return [
        Figure(
            "connections to the database while DAGs are parsed", "", {"all": [float(connections)]}, Goal("0", most=0), connections
        ),
        ratio(
            f"parse of the {len(dags)} example DAGs, imports excluded",
            "ms",
            {names[0]: of_many, names[1]: of_few},
            Goal("equal: <= 1.1", most=1.1),
            to=names[1],
        ),
    ]
