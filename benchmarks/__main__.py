"""
Measure the cost of this provider, compared with what users would use instead, and write docs/BENCHMARKS.md.

KUBECONFIG names the cluster, which should run on this machine and be idle. The page is written only after a run of all parts, or if
--output names a folder for it.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

from rich.console import Console

from benchmarks import configuration, database, deferred, imports, machine, many_pods, one_pod, parsing, report, sizes
from benchmarks.figures import Part
from benchmarks.workplace import ROOT, Workplace, say
from demo.postgres import running_postgres

PARTS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (imports, one_pod, configuration, database, parsing, many_pods, deferred)
}
# A checkpoint in the middle of a round would slow down that round alone, so they are made rare.
SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "30min"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all parts, or some of them; return the exit code, 1 where a part failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--long", action="store_true", help="longer pods, longer quiet, and half an hour of deferred tasks: two hours"
    )
    parser.add_argument("--smoke", action="store_true", help="the smallest sizes, in a few minutes: the figures mean nothing")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be given several times")
    parser.add_argument("--output", type=Path, help="the folder that the page and the picture go to")
    options = parser.parse_args(arguments)
    size = sizes.SMOKE if options.smoke else sizes.LONG if options.long else sizes.ORDINARY
    chosen = {name: part for name, part in PARTS.items() if not options.only or name in options.only}
    kubeconfig = os.environ.get("KUBECONFIG")
    if missing := [name for name, part in chosen.items() if part.NEEDS_CLUSTER and not kubeconfig]:
        without = " ".join(f"--only {name}" for name in PARTS if name not in missing)
        print(f"KUBECONFIG is not set: {', '.join(missing)} need a cluster. Without one: {without}", file=sys.stderr)
        return 2
    run = _measure(chosen, size, kubeconfig, is_smoke=options.smoke, is_long=options.long)
    report.show(run.parts, Console(highlight=False))
    output = options.output or (None if options.smoke or options.only else ROOT / "docs")
    if output:
        report.write(run, output)
        print(f"Written: {output / report.PAGE}")
    return 1 if any(part.trouble for part in run.parts) else 0


def _measure(
    chosen: dict[str, ModuleType], size: sizes.Sizes, kubeconfig: str | None, *, is_smoke: bool, is_long: bool
) -> report.Run:
    with tempfile.TemporaryDirectory(prefix="dagconfig-benchmark-") as name:
        folder = Path(name)
        # Where root runs this, PostgreSQL's user must be able to reach its folder.
        folder.chmod(0o711)
        with running_postgres(folder / "postgres", settings=SETTINGS) as server:
            place = Workplace(size, folder, kubeconfig, server)
            facts, began = machine.describe(server, kubeconfig), datetime.now(timezone.utc)
            parts = [_measure_part(name, module, place) for name, module in chosen.items()]
    command = "make bench-long" if is_long else "python -m benchmarks --smoke" if is_smoke else "make bench"
    return report.Run(parts, facts, began, command, is_smoke)


def _measure_part(name: str, module: ModuleType, place: Workplace) -> Part:
    """Run one part. If it fails, the other parts are still measured."""
    part = Part(name, module.TITLE, inspect.cleandoc(module.__doc__ or ""), budget=module.BUDGET)
    say(f"{part.title} (at most {part.budget / 60:.0f} minutes)")
    begin = time.monotonic()
    place.deadline = begin + part.budget
    try:
        # The figures before a failure are shown.
        for figure in module.measure(place):
            part.figures.append(figure)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said, and the rest is measured
        traceback.print_exc()
        part.trouble = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    part.seconds = time.monotonic() - begin
    say(f"{part.title}: {part.seconds:.0f} s")
    return part


if __name__ == "__main__":
    sys.exit(main())
