"""
A process that reads a task's configuration as the operator does, and the row with nothing but psycopg, in turn.

It prints the seconds of each round. The database is Airflow's connection postgres_default, from the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import psycopg

from benchmarks.peers import DAG_NAME

ROW = "SELECT * FROM financial_screener.dag_configuration WHERE dag_name = %s AND job_name = %s"


def by_operator() -> None:
    from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

    assert DagConfigHook().get_task_config(DAG_NAME, "all", None)


def by_psycopg() -> None:
    with psycopg.connect(os.environ["AIRFLOW_CONN_POSTGRES_DEFAULT"], autocommit=True) as connection:
        assert connection.execute(ROW, (DAG_NAME, "all")).fetchone()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--no-warm-up", action="store_true", help="not a single call beside these")
    arguments = parser.parse_args()
    ways = {"operator": by_operator, "psycopg": by_psycopg}
    taken: dict[str, list[float]] = {name: [] for name in ways}
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
