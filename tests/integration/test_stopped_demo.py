"""A demo that is stopped before its end; the whole of it is in test_airflow.py."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from plugins.whole_demo import running_demo


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        pytest.param(signal.SIGHUP, "postgres/data/postmaster.pid", id="SIGHUP while PostgreSQL starts"),
        pytest.param(signal.SIGINT, "airflow/logs/db-migrate.log", id="SIGINT while Airflow makes its database"),
        pytest.param(signal.SIGTERM, "airflow/logs/triggerer.log", id="SIGTERM while Airflow's components start"),
    ],
)
def test_a_demo_that_is_stopped_ends_all_that_it_started_and_leaves_nothing(
    number: signal.Signals, moment: str, tmp_path: Path
) -> None:
    with running_demo(tmp_path / "output") as demo:
        demo.wait_until(lambda: list(demo.folder.glob(f"dagconfig-demo-*/{moment}")), 120)
        time.sleep(1)
        # Somebody in a hurry presses more than once.
        for _ in range(3):
            demo.send(number)
            time.sleep(0.2)

        assert demo.process.wait(timeout=120) == 128 + signal.SIGINT, demo.told()
        assert demo.told().splitlines()[-1] == "Stopped."
        assert demo.left_behind() == []
