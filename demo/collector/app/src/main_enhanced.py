"""
A stand-in for the data collector: it accepts its arguments, works through its batches, and downloads nothing.

It uses only the standard library, so any image with Python can run it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path

ASSETS_PER_EXCHANGE = 600
SECONDS_PER_BATCH = 0.4


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Collect prices (a demonstration: nothing is downloaded)")
    parser.add_argument("--execution-id", required=True)
    parser.add_argument("--mode", required=True, choices=["incremental", "historical", "indicators"])
    parser.add_argument("--exchanges", default="", help="exchange codes, separated by commas")
    parser.add_argument("--start-date", help="first day, YYYY-MM-DD")
    parser.add_argument("--end-date", help="last day, YYYY-MM-DD")
    parser.add_argument("--skip-existing", action="store_true", help="leave out what is already stored")
    parser.add_argument("--batch-size", type=int, required=True, help="assets a batch")
    return parser.parse_args()


def limits() -> str:
    """Return the limits that the kernel sets for this container, by cgroup v2 or v1."""
    root = Path("/sys/fs/cgroup")
    memory = _first_line(root / "memory.max", root / "memory/memory.limit_in_bytes")
    cpu = _first_line(root / "cpu.max")
    if cpu is None:
        quota = _first_line(root / "cpu/cpu.cfs_quota_us", root / "cpu,cpuacct/cpu.cfs_quota_us")
        period = _first_line(root / "cpu/cpu.cfs_period_us", root / "cpu,cpuacct/cpu.cfs_period_us")
        cpu = None if quota is None or quota == "-1" else f"{quota} {period}"
    return f"cpu {_cpus(cpu)}, memory {_mebibytes(memory)}"


def _first_line(*paths: Path) -> str | None:
    readable = (path for path in paths if path.is_file())
    return next((path.read_text().strip() for path in readable), None)


def _cpus(quota_and_period: str | None) -> str:
    if quota_and_period is None or quota_and_period.startswith("max"):
        return "unlimited"
    quota, period = quota_and_period.split()
    return f"{int(quota) / int(period):g}"


def _mebibytes(memory: str | None) -> str:
    # cgroup v1 writes "no limit" as the largest multiple of a page.
    if memory is None or memory == "max" or int(memory) >= 2**62:
        return "unlimited"
    return f"{int(memory) / 2**20:g} MiB"


def main() -> int:
    options = arguments()
    if not os.environ.get("DATABASE_URL"):
        print("DATABASE_URL is not set: the secret postgres-secret must have the key DATABASE_URL", file=sys.stderr)
        return 2
    if options.mode != "indicators" and not os.environ.get("EODHD_API_KEY"):
        print("EODHD_API_KEY is not set: the secret data-api-secrets must have the key EODHD_API_KEY", file=sys.stderr)
        return 2
    exchanges = [code for code in options.exchanges.split(",") if code]
    print(f"{options.mode} run {options.execution_id}", flush=True)
    print(f"exchanges: {', '.join(exchanges) or 'all'}; batch size {options.batch_size}", flush=True)
    if options.start_date:
        print(f"from {options.start_date} to {options.end_date}", flush=True)
    print(f"limits of this container: {limits()}", flush=True)
    assets = ASSETS_PER_EXCHANGE * (len(exchanges) or 1)
    batches = math.ceil(assets / options.batch_size)
    for number in range(batches):
        size = min(options.batch_size, assets - number * options.batch_size)
        time.sleep(SECONDS_PER_BATCH)
        print(f"batch {number + 1} of {batches}: {size} assets", flush=True)
    print(f"done: {assets} assets", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
