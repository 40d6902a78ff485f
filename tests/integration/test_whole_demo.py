from __future__ import annotations

import os
import subprocess
import sys


def test_the_demo_shows_what_the_changed_rows_changed_and_leaves_nothing(tmp_path_factory) -> None:
    # PostgreSQL's user, where root runs the tests, may not look into pytest's folders; the demo's is a fresh one.
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_dagconfig.demo"],
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
