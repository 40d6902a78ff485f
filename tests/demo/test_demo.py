"""The demo's parts; the whole of it runs in tests/integration."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from demo import local_pods
from demo.airflow import AirflowRunError, running_airflow
from demo.cluster import COLLECTOR, IMAGE, NAMESPACE, Cluster, ClusterError, PodWatch
from demo.postgres import running_postgres

PROGRAM = COLLECTOR / "app" / "src" / "main_enhanced.py"
SECRETS = {"DATABASE_URL": "postgresql://a-secret-value", "EODHD_API_KEY": "another-secret"}


def collect(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"]} | (SECRETS if environment is None else environment)
    return subprocess.run(
        [sys.executable, PROGRAM, "--execution-id", "run 1", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_collector_says_what_it_does_and_no_secret() -> None:
    done = collect("--mode", "historical", "--exchanges", "NYSE,NASDAQ", "--batch-size", "750", "--skip-existing",
                   "--start-date", "2025-09-01", "--end-date", "2025-09-30")  # fmt: skip
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[:3] == ["historical run run 1", "exchanges: NYSE, NASDAQ; batch size 750", "from 2025-09-01 to 2025-09-30"]
    assert lines[3].startswith("limits of this container: cpu ")
    assert lines[-3:] == ["batch 1 of 2: 750 assets", "batch 2 of 2: 450 assets", "done: 1200 assets"]
    assert not any(value in done.stdout + done.stderr for value in SECRETS.values())


@pytest.mark.parametrize("missing", ["DATABASE_URL", "EODHD_API_KEY"])
def test_the_collector_fails_without_a_secret_and_names_it(missing: str) -> None:
    environment = {name: value for name, value in SECRETS.items() if name != missing}
    done = collect("--mode", "incremental", "--batch-size", "500", environment=environment)
    assert done.returncode == 2
    assert missing in done.stderr
    assert not any(value in done.stdout + done.stderr for value in environment.values())


def test_the_indicators_need_the_database_only() -> None:
    done = collect("--mode", "indicators", "--batch-size", "1000", environment={"DATABASE_URL": "postgresql://x"})
    assert done.returncode == 0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with local_pods.running({IMAGE: COLLECTOR}) as pods:
        yield Cluster(str(pods.kubeconfig), "local pods", is_kubernetes=False)


def test_ctrl_c_in_the_terminal_does_not_reach_the_local_pods() -> None:
    # The demo still needs them then, to remove what it made, and ends them itself.
    with local_pods.running() as pods:
        assert os.getpgid(pods.pid) != os.getpgid(0)


def test_what_the_cluster_lacks_is_made_and_what_it_has_stays(cluster: Cluster) -> None:
    namespace = f"/api/v1/namespaces/{NAMESPACE}"
    path = f"{namespace}/secrets/postgres-secret"
    with cluster.prepared({"postgres-secret": {"DATABASE_URL": "mine"}}) as made:
        assert made == [namespace, path]
        before = cluster.get(path)
        with cluster.prepared({"postgres-secret": {"DATABASE_URL": "other"}}) as made:
            assert made == []
        assert cluster.get(path)["data"] == before["data"]


def test_what_was_made_is_removed_and_may_be_made_again_at_once(cluster: Cluster) -> None:
    secrets = {"postgres-secret": {"DATABASE_URL": "mine"}}
    with cluster.prepared(secrets) as first:
        pass
    assert cluster.get(first[-1]) is None
    with cluster.prepared(secrets) as second:
        assert second == first


def test_a_cluster_with_the_image_is_fit_and_the_trial_leaves_nothing(cluster: Cluster) -> None:
    real = Cluster(cluster.kubeconfig, "as if", is_kubernetes=True)
    with real.prepared({}):
        deadline = time.monotonic() + 20
        while real.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]:
            assert time.monotonic() < deadline, "the trial's pod is still there"
            time.sleep(0.2)


def test_a_cluster_without_the_image_is_refused_with_the_way_to_load_it() -> None:
    with local_pods.running() as pods:
        real = Cluster(str(pods.kubeconfig), "as if", is_kubernetes=True)
        with pytest.raises(ClusterError) as refused, real.prepared({}):
            pytest.fail("it was taken")
        assert real.get(f"/api/v1/namespaces/{NAMESPACE}") is None
    assert f"docker build -t {IMAGE} {COLLECTOR}" in str(refused.value)
    assert "kind load docker-image" in str(refused.value)
    assert "k3s ctr images import" in str(refused.value)


def test_the_watch_still_knows_a_pod_that_is_gone(cluster: Cluster, tmp_path: Path) -> None:
    real = Cluster(cluster.kubeconfig, "as if", is_kubernetes=True)
    with cluster.prepared({}), closing(PodWatch(cluster, tmp_path / "pods.log")) as watch, real.prepared({}):
        deadline = time.monotonic() + 20
        while "Succeeded" not in [pod["status"]["phase"] for pod in watch.pods().values()]:
            assert time.monotonic() < deadline, "the trial's pod was not seen"
            time.sleep(0.2)


def test_postgres_starts_empty_and_ends_with_the_block() -> None:
    # Its user, where root runs the tests, may not look into pytest's folders.
    with tempfile.TemporaryDirectory() as folder, running_postgres(_open(folder) / "postgres") as server:
        assert server.execute("SELECT datname FROM pg_database WHERE NOT datistemplate") == [("postgres",)]
        assert server.password not in repr(server)
    with pytest.raises(psycopg.OperationalError):
        server.execute("SELECT 1")


def _open(folder: str) -> Path:
    path = Path(folder)
    path.chmod(0o711)
    return path


def test_an_airflow_that_does_not_start_says_why(tmp_path: Path) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    with (
        pytest.raises(AirflowRunError, match=r"airflow db migrate failed(?s:.*)Connection refused"),
        running_airflow(tmp_path / "home", database_url=nowhere, dags=tmp_path, environment={}),
    ):
        pytest.fail("it started")
