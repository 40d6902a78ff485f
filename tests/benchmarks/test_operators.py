"""The benchmark of the operators still works; what it measures is not judged here."""

from __future__ import annotations

import os
import subprocess
import sys

from demo import local_pods

NAMES = ["ConfiguredKubectlRunOperator", "KubernetesPodOperator", "BashOperator + kubectl"]


def test_a_task_of_each_operator_is_measured() -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "CLUSTER_CONTROL"}
    with local_pods.running() as pods:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.operators", "--imports", "0", "--tasks", "1"],
            env=inherited | {"KUBECONFIG": str(pods.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines if line] == ["A task, and its pod of two seconds", *NAMES]
    assert "requests" not in done.stdout
