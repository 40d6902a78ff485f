from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest


def test_the_demo_shows_what_the_changed_rows_changed_and_leaves_nothing(tmp_path_factory) -> None:
    # PostgreSQL's user, where root runs the tests, may not look into pytest's folders; the demo's is a fresh one.
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        env=environment | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    beginning, _, end = done.stdout.partition("Before and after")
    assert "no Kubernetes" in beginning
    assert "no Kubernetes" in end
    table = [line.split() for line in done.stdout.splitlines() if line.rstrip().endswith(tuple("0123456789-"))]
    rows = {tuple(cells[:2]) if cells[1] in ("before", "after") else cells[0]: cells for cells in table if len(cells) > 6}
    assert rows["us_markets", "before"][3:7] == ["500m/2000m", "1Gi/2Gi", "500", "success"]
    after = [cells for cells in table if cells[0] == "after"]
    assert [cells[2:6] for cells in after[:1]] == [["500m/3000m", "1Gi/4Gi", "750", "success"]]
    assert ["after", "-", "-", "-", "-", "skipped", "-"] in after
    assert rows["asian_markets", "after"][3:7] == ["500m/2000m", "1Gi/2Gi", "500", "success"]
    assert "cpu_limit: 2000m → 3000m" in done.stdout
    assert "enabled: True → False" in done.stdout


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "airflow/logs/db-migrate.log"),
        (signal.SIGTERM, "airflow/logs/triggerer.log"),
        (signal.SIGHUP, "airflow/logs/triggerer.log"),
    ],
)
def test_a_demo_that_is_stopped_ends_all_that_it_started_and_leaves_nothing(number: signal.Signals, moment: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        demo = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            env=environment | {"TMPDIR": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not list(folder.glob(f"dagconfig-demo-*/{moment}")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)
        # A terminal sends it to all processes in its foreground; somebody in a hurry, more than once.
        for _ in range(3):
            os.killpg(demo.pid, number)
            time.sleep(0.2)
        told, _ = demo.communicate(timeout=120)

        assert (demo.returncode, told.splitlines()[-1]) == (128 + signal.SIGINT, "Stopped.")
        assert list(folder.iterdir()) == []
        assert [process.info for process in psutil.process_iter(["pid", "cmdline"]) if is_of(process, name)] == []


def is_of(process: psutil.Process, folder: str) -> bool:
    """Whether the process was started with a file of the folder in its command or environment."""
    try:
        return any(folder in text for text in (*process.cmdline(), *process.environ().values()))
    except psutil.Error:
        return False
