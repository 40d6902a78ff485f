"""
A process that reads DAG files again and again, in turn with one database in Airflow's connection and with the other.

The first reading, which imports what they need, is not among those that it prints, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--database", action="append", required=True, help="a URL")
    parser.add_argument("--rounds", type=int, required=True)
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {url: [] for url in arguments.database}
    for number in range(arguments.rounds + 1):
        for url, values in taken.items():
            os.environ["AIRFLOW_CONN_POSTGRES_DEFAULT"] = url
            begin = time.perf_counter()
            for path in arguments.files:
                runpy.run_path(path)
            if number:
                values.append((time.perf_counter() - begin) * 1000)
    print(json.dumps({"ms": list(taken.values())}))


if __name__ == "__main__":
    main()
