"""
A process that reads a task's configuration as the operator does, and the row alone with psycopg and with Airflow's hook, in turn.

It prints the seconds of each round. The database is Airflow's connection postgres_default, from the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import closing

import psycopg

from benchmarks.peers import DAG_NAME

ROW = "SELECT * FROM financial_screener.dag_configuration WHERE dag_name = %s AND job_name = %s"


def by_operator() -> None:
    from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

    assert DagConfigHook().get_task_config(DAG_NAME, "all", None)


def by_psycopg() -> None:
    with psycopg.connect(os.environ["AIRFLOW_CONN_POSTGRES_DEFAULT"], autocommit=True) as connection:
        assert connection.execute(ROW, (DAG_NAME, "all")).fetchone()


def by_hook() -> None:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    with closing(PostgresHook().get_conn()) as connection, connection.cursor() as cursor:
        cursor.execute(ROW, (DAG_NAME, "all"))
        assert cursor.fetchone()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--no-warm-up", action="store_true", help="no call beside these, and none of Airflow's hook")
    arguments = parser.parse_args()
    ways = {"operator": by_operator, "psycopg": by_psycopg, "hook": by_hook}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    if arguments.no_warm_up:
        del ways["hook"]
    for way in () if arguments.no_warm_up else ways.values():
        way()
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            taken[name].append((time.perf_counter() - begin) * 1000)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
