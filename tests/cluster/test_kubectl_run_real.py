"""What only a real cluster does to the operator's pods: rights, evictions, the kubelet's messages, failing components."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from plugins.cluster import Components, Namespace, is_running
from plugins.kubernetes_rights import cluster_of, documented_rights, request_token
from plugins.tasks import Tasks

from airflow_provider_dagconfig.kubectl import container_log
from airflow_provider_dagconfig.kubectl.pod_life import Limits
from airflow_provider_dagconfig.operators import task_pod

pytestmark = pytest.mark.cluster

ALL_RIGHTS = {"pods": ["get", "watch", "create", "update", "delete"], "pods/log": ["get"]}
TICKS = [f"tick {number}" for number in range(60)]
TICKING = ("sh", "-c", "i=0; while [ $i -lt 60 ]; do echo tick $i; i=$((i+1)); sleep 0.5; done")


# --- rights ---


def token_of(namespace: Namespace, rights: dict[str, list[str]]) -> str:
    """A service account with these rights on its namespace, and a token of it."""
    kubectl, name = namespace.cluster.kubectl, "worker"
    kubectl("-n", namespace.name, "create", "serviceaccount", name)
    rules = [{"apiGroups": [""], "resources": [resource], "verbs": verbs} for resource, verbs in rights.items()]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules}
    kubectl("-n", namespace.name, "apply", "-f", "-", body=role)
    kubectl("-n", namespace.name, "create", "rolebinding", name, f"--role={name}", f"--serviceaccount={namespace.name}:{name}")
    return request_token(namespace, name)


def log_in(tasks: Tasks, rights: dict[str, list[str]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in_with(token_of(tasks.namespace, rights), tasks, folder, monkeypatch)


def log_in_with(token: str, tasks: Tasks, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster_of(tasks.namespace)}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(path))


def test_the_documented_rights_are_enough(real_tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(real_tasks, ALL_RIGHTS, tmp_path, monkeypatch)
    for number, action in enumerate(["delete_pod", "keep_pod"]):
        task = real_tasks.run("echo", "allowed", run_id=f"run-{number}", on_finish_action=action)
        assert (task.state, task.error, task.log.count("allowed")) == ("success", "", 1)
    assert not [line for line in task.log if "could not" in line]


def test_the_roles_of_the_documents_are_enough(real_tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace = real_tasks.namespace
    with documented_rights(namespace):
        log_in_with(request_token(namespace, "airflow-worker"), real_tasks, tmp_path, monkeypatch)
        for number, run in enumerate([real_tasks.run, real_tasks.run_deferred]):
            task = run("sh", "-c", "sleep 2; echo allowed", run_id=f"run-{number}")
            assert (task.state, task.error, task.log.count("allowed")) == ("success", "", 1)
            assert not [line for line in task.log if "could not" in line or "does not watch" in line]


def test_a_deferred_task_whose_triggerer_may_not_list_pods_waits_in_its_worker(
    real_tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(real_tasks, ALL_RIGHTS, tmp_path, monkeypatch)
    task = real_tasks.run_deferred("sh", "-c", "sleep 3; echo allowed")
    assert (task.state, task.log.count("allowed")) == ("success", 1)
    [why] = [line for line in task.log if "does not watch the pod" in line]
    assert 'cannot list resource "pods"' in why


@pytest.mark.parametrize(
    ("missing", "verb", "resource"),
    [("pods create", "create", "pods"), ("pods watch", "watch", "pods"), ("pods/log get", "get", "pods/log")],
)
def test_a_missing_right_fails_at_once_and_names_it(
    real_tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, verb: str, resource: str
) -> None:
    rights = {name: [v for v in verbs if f"{name} {v}" != missing] for name, verbs in ALL_RIGHTS.items()}
    log_in(real_tasks, {name: verbs for name, verbs in rights.items() if verbs}, tmp_path, monkeypatch)
    begun = time.monotonic()
    task = real_tasks.run("sleep", "60")
    assert task.state == "failed"
    assert time.monotonic() - begun < 20
    user = f"system:serviceaccount:{real_tasks.namespace.name}:worker"
    for word in (f'cannot {verb} resource "{resource}"', real_tasks.namespace.name, user):
        assert word in task.error
    assert real_tasks.namespace.left() == []


def test_a_wrong_token_fails_at_once(real_tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(real_tasks, ALL_RIGHTS, tmp_path, monkeypatch)
    path = tmp_path / "kubeconfig"
    config = json.loads(path.read_text())
    config["users"][0]["user"]["token"] = "no-such-token"
    path.write_text(json.dumps(config))
    task = real_tasks.run("true")
    assert task.state == "failed"
    assert "(unauthorized)" in task.error
    assert "no-such-token" not in task.error + "".join(task.log)


# --- what the kubelet does ---


def test_what_the_container_wrote_is_pushed(real_tasks: Tasks) -> None:
    script = """echo '{"rows": 7}' > /airflow/xcom/return.json"""
    assert real_tasks.run("sh", "-c", script, do_xcom_push=True).result == {"rows": 7}
    assert real_tasks.run("true", do_xcom_push=True, run_id="nothing-written").result is None


def test_a_result_that_is_too_long_says_how_much_gets_through(real_tasks: Tasks) -> None:
    script = """(printf '"'; head -c 5000 /dev/zero | tr '\\0' x; printf '"') > /airflow/xcom/return.json"""
    task = real_tasks.run("sh", "-c", script, do_xcom_push=True)
    assert task.state == "failed"
    assert "At most 4,096 bytes get through" in task.error


def test_an_eviction_says_that_it_was_the_cluster(real_tasks: Tasks) -> None:
    task = real_tasks.run(
        *("sh", "-c", "head -c 30000000 /dev/zero > /tmp/too-much; sleep 120"),
        container_resources={"limits": {"ephemeral-storage": "1Mi"}},
        termination_grace_period=1,
    )
    assert task.state == "failed"
    assert "ended by the cluster (Evicted)" in task.error
    assert "ephemeral" in task.error
    assert "The job itself did not fail" in task.error


def test_the_kubelets_message_about_a_volume_that_cannot_be_mounted_is_shown(real_tasks: Tasks) -> None:
    task = real_tasks.run(
        "true",
        volumes=[{"name": "v", "secret": {"secretName": "no-such"}}],
        volume_mounts=[{"name": "v", "mountPath": "/v"}],
        startup_timeout_seconds=10,
    )
    assert task.state == "failed"
    assert 'secret "no-such" not found' in task.error


def test_a_command_that_does_not_exist_is_named(real_tasks: Tasks) -> None:
    task = real_tasks.run("no-such-command")
    assert task.state == "failed"
    assert "no-such-command" in task.error


def test_a_log_that_the_kubelet_rotates_loses_no_line_and_hangs_nowhere(real_tasks: Tasks) -> None:
    """
    20 MB at 1 MB a second; the kubelet rotates at 10 MiB and looks every 10 s.

    apache/airflow#23497: after a rotation a followed log brought nothing more, and the task hung until somebody ended it.
    """
    script = (
        "i=0; filler=$(head -c 1000 /dev/zero | tr '\\0' y); "
        "while [ $i -lt 20000 ]; do echo $i $filler; i=$((i+1)); [ $((i % 1000)) != 0 ] || sleep 1; done; echo the end"
    )
    task = real_tasks.run("sh", "-c", script)
    assert task.state == "success"
    numbers = [int(line.split()[0]) for line in task.log if line.endswith("yyy")]
    assert numbers == list(range(20000))
    assert task.log.count("the end") == 1


# --- components that fail ---


def later(seconds: float, action: Callable[[], object]) -> Callable[[object], None]:
    def wait_then_act(_: object) -> None:
        time.sleep(seconds)
        action()

    return wait_then_act


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra time for a lost node, twice half a minute, is shorter here, because CI waits for it."""
    monkeypatch.setattr(task_pod, "Limits", partial(Limits, node_answers=8.0))
    monkeypatch.setattr(container_log, "GIVEN_UP", 8.0)


@pytest.mark.faults
def test_a_frozen_api_server_is_waited_for_and_no_line_is_lost(real_tasks: Tasks, components: Components) -> None:
    def freeze(_: object) -> None:
        real_tasks.namespace.wait_for_pod(is_running)
        components("freeze", "kube-apiserver")
        time.sleep(50)
        components("thaw", "kube-apiserver")

    task = real_tasks.run(*TICKING, while_running=freeze)
    assert (task.state, task.error) == ("success", "")
    assert [line for line in task.log if line.startswith("tick")] == TICKS


@pytest.mark.faults
def test_a_restarted_api_server_is_found_again_and_no_line_comes_twice(real_tasks: Tasks, components: Components) -> None:
    """apache/airflow#33498: lines came twice where the log was interrupted."""

    def restart(_: object) -> None:
        real_tasks.namespace.wait_for_pod(is_running)
        time.sleep(3)
        components("kill", "kube-apiserver")
        time.sleep(10)
        components.up()

    task = real_tasks.run(*TICKING, while_running=restart)
    assert (task.state, task.error) == ("success", "")
    assert [line for line in task.log if line.startswith("tick")] == TICKS
    assert any("can't be reached" in line for line in task.log)
    assert "The API server answers again" in task.log


@pytest.mark.faults
def test_an_end_during_a_restart_of_the_api_server_is_seen_once_it_is_back(real_tasks: Tasks, components: Components) -> None:
    """The new server has not heard of the version of a pod that did not change since, and refuses a watch from it for long."""
    late: list[float] = []

    def restart(_: object) -> None:
        real_tasks.namespace.wait_for_pod(is_running)
        components("kill", "kube-apiserver")
        time.sleep(20)
        beside = threading.Thread(target=components.up)
        beside.start()
        look = ("get", "pods", "-n", real_tasks.namespace.name, "-o", "jsonpath={.items[*].status.phase}")
        while real_tasks.namespace.cluster.kubectl(*look, check=False) != "Succeeded":
            time.sleep(0.05)
        seen = time.monotonic()
        deadline = seen + 60
        while not any("has ended" in line for line in real_tasks.log) and time.monotonic() < deadline:
            time.sleep(0.05)
        late.append(time.monotonic() - seen)
        beside.join()

    task = real_tasks.run("sleep", "12", while_running=restart, on_finish_action="keep_pod")
    assert (task.state, task.error) == ("success", "")
    assert late[0] < 5, "two seconds on a quiet machine"


@pytest.mark.faults
def test_an_api_server_that_is_away_at_the_start_is_waited_for(real_tasks: Tasks, components: Components) -> None:
    components("kill", "kube-apiserver")
    task = real_tasks.run("echo", "at last", while_running=later(6, components.up))
    assert (task.state, task.error) == ("success", "")
    assert task.log.count("at last") == 1
    assert any("Not created yet" in line for line in task.log)


@pytest.mark.faults
def test_an_api_server_that_stays_away_fails_the_task_at_the_startup_timeout(real_tasks: Tasks, components: Components) -> None:
    components("kill", "kube-apiserver")
    begun = time.monotonic()
    task = real_tasks.run("true", startup_timeout_seconds=8)
    assert task.state == "failed"
    assert "not created in startup_timeout_seconds = 8: the API server can't be reached" in task.error
    assert time.monotonic() - begun < 30
    components.up()
    assert real_tasks.namespace.pods() == []


@pytest.mark.faults
@pytest.mark.usefixtures("impatient")
def test_an_api_server_that_stays_away_while_the_pod_runs_fails_the_task_at_its_deadline(
    real_tasks: Tasks, components: Components
) -> None:
    real_tasks.configure(timeout_seconds=10)

    made: list[str] = []

    def kill(_: object) -> None:
        made.append(real_tasks.namespace.wait_for_pod(is_running)["metadata"]["uid"])
        components("kill", "kube-apiserver")

    task = real_tasks.run("sh", "-c", "sleep 5", while_running=kill, termination_grace_period=1)
    assert task.state == "failed"
    assert "could not be reached until the deadline (timeout_seconds = 10)" in task.error
    components.up()
    [pod] = real_tasks.namespace.pods()
    assert pod["metadata"]["uid"] == made[0], "a second pod was started"


@pytest.mark.faults
def test_a_frozen_etcd_is_waited_for(real_tasks: Tasks, components: Components) -> None:
    components("freeze", "etcd")
    task = real_tasks.run("echo", "stored at last", while_running=later(15, lambda: components("thaw", "etcd")))
    assert (task.error, task.state) == ("", "success")
    assert task.log.count("stored at last") == 1


@pytest.mark.faults
def test_a_kubelet_that_restarts_under_a_followed_log_loses_no_line(real_tasks: Tasks, components: Components) -> None:
    def restart(_: object) -> None:
        real_tasks.namespace.wait_for_pod(is_running)
        time.sleep(3)
        components("kill", "kubelet")
        time.sleep(4)
        components.up()

    task = real_tasks.run(*TICKING, while_running=restart)
    assert (task.state, task.error) == ("success", "")
    assert [line for line in task.log if line.startswith("tick")] == TICKS


@pytest.mark.faults
@pytest.mark.usefixtures("impatient")
def test_a_pod_on_a_lost_node_says_that_it_was_the_cluster(real_tasks: Tasks, components: Components) -> None:
    def lose_the_node(_: object) -> None:
        pod = real_tasks.namespace.wait_for_pod(is_running)
        components("freeze", "kubelet")
        # As the controller manager does it once the pod no longer tolerates its node's silence (a cluster of one node never does).
        real_tasks.namespace.cluster.kubectl("delete", "--raw", f"{real_tasks.namespace.path}/{pod['metadata']['name']}")

    task = real_tasks.run("sleep", "300", while_running=lose_the_node, termination_grace_period=1)
    assert task.state == "failed"
    assert "ended by the cluster (NodeLost)" in task.error
    assert "The job itself did not fail" in task.error


@pytest.mark.faults
@pytest.mark.usefixtures("impatient")
def test_a_node_that_is_lost_at_the_deadline_says_that_it_was_the_cluster(real_tasks: Tasks, components: Components) -> None:
    real_tasks.configure(timeout_seconds=10)

    def freeze(_: object) -> None:
        real_tasks.namespace.wait_for_pod(is_running)
        components("freeze", "kubelet")

    task = real_tasks.run("sleep", "300", while_running=freeze, termination_grace_period=1)
    assert task.state == "failed"
    assert "ended by the cluster (NodeLost)" in task.error
    assert "timeout_seconds = 10" in task.error
