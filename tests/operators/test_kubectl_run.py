"""ConfiguredKubectlRunOperator on pods: each test runs on the local pods, and on the real cluster where KUBECONFIG names one."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, timeout
from plugins.cluster import is_running
from plugins.tasks import Tasks

from airflow_provider_dagconfig.kubectl.annotations import PREFIX
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator

INIT = {"name": "prepare", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent"}


def test_a_job_runs_with_what_its_row_says(tasks: Tasks) -> None:
    tasks.configure(cpu_limit="750m", memory_limit="64Mi", timeout_seconds=77, batch_size=321)
    seen: list[dict[str, Any]] = []
    task = tasks.run(
        *("sh", "-c", 'echo "$0 $1 $MARKETS"; sleep 2'),
        arguments=["batch {{ dag_config.batch_size }}", "in {{ exchange_group.primary_timezone }}"],
        env_vars={"MARKETS": "{{ exchange_group.exchanges | join(',') }}"},
        labels={"market": "{{ exchange_group.group_name }}"},
        exchange_group="us_markets",
        while_running=lambda _: seen.append(tasks.namespace.wait_for_pod(is_running)),
    )
    assert (task.state, task.error) == ("success", "")
    assert "batch 321 in America/New_York NYSE,NASDAQ" in task.log
    [pod] = seen
    [container] = pod["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "50m", "memory": "16Mi"},
        "limits": {"cpu": "750m", "memory": "64Mi"},
    }
    assert pod["spec"]["activeDeadlineSeconds"] == 77
    assert pod["metadata"]["labels"]["market"] == "us_markets"
    annotations = pod["metadata"]["annotations"]
    assert annotations[f"{PREFIX}/batch_size"] == "321"
    assert annotations[f"{PREFIX}/memory_limit"] == "64Mi"
    assert annotations[f"{PREFIX}/exchange_group.exchanges"] == "NYSE,NASDAQ"
    assert "dag_configuration, row" in annotations[f"{PREFIX}/origin"]
    assert task.operator.dag_config is not None
    assert task.operator.dag_config["memory_limit"] == "64Mi"
    tasks.namespace.wait_until_empty()


def test_the_log_comes_while_the_pod_runs(tasks: Tasks) -> None:
    seen: list[bool] = []

    def watch(_: object) -> None:
        tasks.namespace.wait_for_pod(is_running)
        deadline = time.monotonic() + 12
        while "early" not in tasks.log and time.monotonic() < deadline:
            time.sleep(0.1)
        seen.append("early" in tasks.log and "late" not in tasks.log)

    task = tasks.run("sh", "-c", "echo early; sleep 15; echo late", while_running=watch)
    assert task.state == "success"
    assert seen == [True]


def test_a_burst_right_before_the_end_comes_whole_and_in_order(tasks: Tasks) -> None:
    wanted = [f"line {number}" for number in range(10_000)]
    script = "i=0; while [ $i -lt 10000 ]; do echo line $i; i=$((i+1)); done"
    for attempt in tasks.namespace.attempts("".join(f"{line}\n" for line in wanted).encode()):
        task = tasks.run("sh", "-c", script, map_index=attempt, on_finish_action="keep_pod")
        assert task.state == "success"
    assert [line for line in task.log if line.startswith("line ")] == wanted


def test_long_lines_and_bytes_that_are_no_utf_8_come_whole(tasks: Tasks) -> None:
    script = r"head -c 1000000 /dev/zero | tr '\0' x; echo; printf 'caf\303\251 \377\376\n'; printf 'no end'"
    for attempt in tasks.namespace.attempts(b"x" * 1_000_000 + "\ncafé ".encode() + b"\377\376\nno end"):
        task = tasks.run("sh", "-c", script, map_index=attempt, on_finish_action="keep_pod")
        assert task.state == "success"
    assert [len(line) for line in task.log if line.startswith("xxx")] == [1_000_000]
    assert task.log.index(r"café \xff\xfe") < task.log.index("no end")


def test_an_exit_code_fails_with_its_code_and_the_last_lines(tasks: Tasks) -> None:
    task = tasks.run("sh", "-c", "echo connecting; echo refused >&2; exit 3")
    assert task.state == "failed"
    assert "exit code 3 (Error)" in task.error
    assert "connecting" in task.error
    assert "refused" in task.error
    assert tasks.namespace.left() == []


@pytest.mark.parametrize(("codes", "state"), [(4, "skipped"), ([3, 4], "skipped"), (5, "failed"), (None, "failed")])
def test_chosen_exit_codes_skip(tasks: Tasks, codes: Any, state: str) -> None:
    assert tasks.run("sh", "-c", "exit 4", skip_on_exit_code=codes).state == state


@pytest.mark.parametrize(("codes", "state"), [(0, "skipped"), ([0, 4], "skipped"), (4, "success")])
def test_zero_is_an_exit_code_that_may_skip(tasks: Tasks, codes: Any, state: str) -> None:
    task = tasks.run("true", skip_on_exit_code=codes)
    assert task.state == state
    assert ("exit code 0" in task.error) is (state == "skipped")
    assert tasks.namespace.left() == []


def test_out_of_memory_names_the_limit_the_row_and_the_statement(tasks: Tasks) -> None:
    tasks.configure(memory_limit="32Mi")
    task = tasks.run("tail", "/dev/zero")
    assert task.state == "failed"
    assert "OOMKilled: it needed more than memory_limit = 32Mi of data_collection_equities/us_markets" in task.error
    statement = task.error.splitlines()[-1]
    tasks.database.execute(statement)
    [[limit]] = tasks.database.execute(
        "SELECT memory_limit FROM financial_screener.get_dag_config('data_collection_equities', 'us_markets')"
    )
    assert limit == "64Mi"


def test_a_deadline_names_the_seconds_the_row_and_the_statement(tasks: Tasks) -> None:
    # A busy node may take seconds until the container runs, and they count.
    tasks.configure(timeout_seconds=8)
    task = tasks.run("sh", "-c", "trap 'exit 1' TERM; echo begun; sleep 60 & wait")
    assert task.state == "failed"
    assert "DeadlineExceeded" in task.error
    assert "timeout_seconds = 8 of data_collection_equities/us_markets" in task.error
    assert "p_timeout_seconds => 16);" in task.error
    assert "begun" in task.error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            {"image": "dagconfig.test/no-such:1", "image_pull_policy": "Never"},
            ["ErrImageNeverPull", "dagconfig.test/no-such:1"],
            id="image-never-pulled",
        ),
        pytest.param({"image": "no//Such:image"}, ["InvalidImageName", "no//Such:image"], id="image-name"),
        pytest.param(
            {"secrets": [{"deploy_type": "env", "deploy_target": "DATABASE_URL", "secret": "no-such", "key": "url"}]},
            ["CreateContainerConfigError", 'secret "no-such" not found'],
            id="missing-secret",
        ),
    ],
)
def test_what_can_never_start_fails_at_once_with_the_kubelets_sentence(tasks: Tasks, arguments: Any, says: list[str]) -> None:
    begun = time.monotonic()
    task = tasks.run("true", startup_timeout_seconds=300, **arguments)
    assert task.state == "failed"
    assert [word for word in says if word not in task.error] == []
    assert time.monotonic() - begun < 30
    assert tasks.namespace.left() == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({"image": "127.0.0.1:9/no-such:1"}, ["no-such:1", "startup_timeout_seconds = 8"], id="image-pull"),
        pytest.param(
            {"node_selector": {"no": "such-node"}},
            ["Unschedulable", "0/1 nodes are available", "startup_timeout_seconds = 8"],
            id="unschedulable",
        ),
        pytest.param(
            {"init_containers": [{**INIT, "command": ["sh", "-c", "sleep 60"]}]},
            ["PodInitializing", "init container prepare (", "busybox:latest) has been running since 20", "startup_timeout_seconds"],
            id="init-container",
        ),
    ],
)
def test_what_may_still_start_fails_at_the_startup_timeout(tasks: Tasks, arguments: Any, says: list[str]) -> None:
    begun = time.monotonic()
    task = tasks.run("true", startup_timeout_seconds=8, **arguments)
    assert task.state == "failed"
    assert [word for word in says if word not in task.error] == []
    assert 8 <= time.monotonic() - begun < 25
    assert tasks.namespace.left() == []


def test_a_pod_that_somebody_deletes_fails_and_says_that_it_was_not_the_job(tasks: Tasks) -> None:
    def delete(_: object) -> None:
        pod = tasks.namespace.wait_for_pod(is_running)
        tasks.namespace.cluster.kubectl("delete", "--raw", f"{tasks.namespace.path}/{pod['metadata']['name']}")

    task = tasks.run("sh", "-c", "trap 'exit 0' TERM; sleep 60 & wait", while_running=delete)
    assert task.state == "failed"
    assert "ended by the cluster (Deleted)" in task.error
    assert "The job itself did not fail" in task.error


def test_a_disabled_job_is_skipped_and_says_who_disabled_it(tasks: Tasks) -> None:
    tasks.configure(enabled=False)
    task = tasks.run("true")
    assert task.state == "skipped"
    assert "data_collection_equities/us_markets is disabled: switched off by postgres at 20" in task.error
    assert tasks.namespace.pods() == []


def test_a_disabled_group_is_skipped(tasks: Tasks) -> None:
    tasks.database.execute("UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'lse'")
    assert tasks.run("true", exchange_group="lse").state == "skipped"


def test_a_row_that_can_not_be_used_names_itself(tasks: Tasks, break_rule: Callable[[str, str, str], None]) -> None:
    break_rule("dag_configuration", "memory_limit", "'2 GB'")
    task = tasks.run("true")
    assert task.state == "failed"
    for word in ("memory_limit", "'2 GB'", "data_collection_equities/us_markets", "2Gi"):
        assert word in task.error


def test_a_secret_reaches_the_job_by_reference_and_shows_nowhere(tasks: Tasks) -> None:
    url = "postgresql://user:s3cret@host/db"
    tasks.namespace.create_secret("postgres-secret", DATABASE_URL=url)
    seen: list[dict[str, Any]] = []
    task = tasks.run(
        *("sh", "-c", 'printf %s "$DATABASE_URL" | sha256sum; sleep 2'),
        secrets=[{"deploy_type": "env", "deploy_target": "DATABASE_URL", "secret": "postgres-secret", "key": "DATABASE_URL"}],
        while_running=lambda _: seen.append(tasks.namespace.wait_for_pod(is_running)),
    )
    assert f"{hashlib.sha256(url.encode()).hexdigest()}  -" in task.log
    assert "s3cret" not in json.dumps(seen) + "".join(task.log)


# --- tasks that are told to stop ---


def test_a_task_that_is_killed_before_it_creates_its_pod_creates_no_pod(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    access = ConfiguredKubectlRunOperator._access

    def killed_meanwhile(operator: ConfiguredKubectlRunOperator) -> Any:
        operator.on_kill()
        return access(operator)

    monkeypatch.setattr(ConfiguredKubectlRunOperator, "_access", killed_meanwhile)
    task = tasks.run("sleep", "3")
    assert task.state == "failed"
    assert "the task was told to stop" in task.error
    assert tasks.namespace.pods() == []


def pod_is_deleted_with_grace(tasks: Tasks, seconds: int) -> None:
    pods = tasks.namespace.pods()
    assert tasks.namespace.left() == [], "a pod is left that nobody watches"
    assert {pod["metadata"]["deletionGracePeriodSeconds"] for pod in pods} <= {seconds}
    tasks.namespace.wait_until_empty()


def test_an_execution_timeout_deletes_the_pod_with_its_grace_period(tasks: Tasks) -> None:
    operator: list[ConfiguredKubectlRunOperator] = []
    # As Airflow's task runner does it: the timeout is raised out of execute, then on_kill is called.
    with pytest.raises(AirflowTaskTimeout), timeout(4):
        tasks.run("sh", "-c", "echo begun; sleep 60", while_running=operator.append, termination_grace_period=7)
    operator[0].on_kill()
    pod_is_deleted_with_grace(tasks, 7)


@pytest.mark.parametrize(
    ("state", "deleted"),
    [
        pytest.param("failed", True, id="a-person-marked-it-failed"),
        pytest.param("restarting", True, id="a-person-cleared-it"),
        pytest.param("running", False, id="only-the-process-was-told-to-stop"),
    ],
)
def test_a_task_that_is_killed_fails_and_deletes_the_pod_only_where_somebody_decided_so(
    tasks: Tasks, state: str, deleted: bool
) -> None:
    """SIGTERM calls on_kill, then execute continues where it was: it must not succeed."""
    main = threading.main_thread().ident
    assert main is not None
    ended: list[float] = []

    def kill(operator: ConfiguredKubectlRunOperator) -> None:
        tasks.namespace.wait_for_pod(is_running)
        handlers["kill"] = operator
        ended.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGUSR1)

    handlers: dict[str, ConfiguredKubectlRunOperator] = {}
    before = signal.signal(signal.SIGUSR1, lambda *_: handlers["kill"].on_kill())
    script = "trap '' TERM; echo begun; sleep 60"
    try:
        task = tasks.run("sh", "-c", script, while_running=kill, termination_grace_period=3, state_in_airflow=state)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert task.state == "failed"
    assert "told to stop" in task.error
    assert time.monotonic() - ended[0] < 5, "SIGKILL would have come first"
    if deleted:
        pod_is_deleted_with_grace(tasks, 3)
        return
    [name] = tasks.namespace.left()
    [left] = [line for line in task.log if "is left as it is" in line]
    assert "the task's state in Airflow is running" in left
    # The line with the command that deletes the pod.
    [remedy] = re.findall(r"kubectl (delete pod .*)$", left)
    tasks.namespace.cluster.kubectl(*remedy.split(), "--wait=false")
    assert tasks.namespace.left() == []
    assert name in remedy


def test_a_task_that_is_killed_as_it_starts_deletes_the_pod_of_an_earlier_try_where_somebody_decided_so(tasks: Tasks) -> None:
    manifest = tasks.manifest_of(tasks.operator("sleep", "60"))
    tasks.namespace.cluster.kubectl("create", "--raw", tasks.namespace.path, "-f", "-", body=manifest)
    operator: list[ConfiguredKubectlRunOperator] = []

    access = ConfiguredKubectlRunOperator._access

    def killed_meanwhile(killed: ConfiguredKubectlRunOperator) -> Any:
        operator.append(killed)
        killed.on_kill()
        return access(killed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfiguredKubectlRunOperator, "_access", killed_meanwhile)
        task = tasks.run("sleep", "60", try_number=2, state_in_airflow="failed")
    assert task.state == "failed"
    assert operator
    assert tasks.namespace.left() == []


def test_ctrl_c_in_a_test_run_deletes_the_pod(tasks: Tasks) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(_: object) -> None:
        tasks.namespace.wait_for_pod(is_running)
        signal.pthread_kill(main, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tasks.run("sh", "-c", "echo begun; sleep 60", while_running=interrupt, termination_grace_period=1)
    assert tasks.namespace.left() == []


def test_a_result_that_can_not_be_read_is_not_left_for_the_next_try(tasks: Tasks) -> None:
    task = tasks.run("sh", "-c", "echo no json > /airflow/xcom/return.json", do_xcom_push=True)
    assert "is no JSON" in task.error
    assert tasks.namespace.left() == []


# --- requests, and what is left ---


def test_a_create_whose_answer_is_lost_starts_no_second_pod(tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl that creates the pod, and then says that it could not reach the server; once."""
    flaky = tmp_path / "flaky-kubectl"
    flaky.write_text(
        "#!/bin/bash\n"
        f'kubectl "$@"; code=$?; [[ " $* " == *" create "* && ! -e {tmp_path}/done ]] || exit $code; touch {tmp_path}/done\n'
        "echo 'Unable to connect to the server: net/http: TLS handshake timeout' >&2; exit 1\n"
    )
    flaky.chmod(0o755)
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__KUBECTL", str(flaky))
    task = tasks.run("echo", "one pod")
    assert (task.state, task.log.count("one pod")) == ("success", 1)
    assert not any("Replacing" in line for line in task.log)


def test_a_task_makes_four_requests_and_two_more_for_each_new_watch(
    tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the migration guide says; with a watch that the API server ends after two seconds, not after five minutes."""
    counting = tmp_path / "counting-kubectl"

    def count(arguments: str) -> None:
        counting.write_text(f'#!/bin/bash\necho "$*" >>{tmp_path}/requests\nexec kubectl {arguments}\n')
        counting.chmod(0o755)

    count('"$@"')
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__KUBECTL", str(counting))

    def kinds() -> list[str]:
        lines = (tmp_path / "requests").read_text().splitlines()
        (tmp_path / "requests").unlink()
        patterns = {"create": "create --raw", "watch": "watch=true", "log": "/log?", "delete": "delete --raw"}
        return [next((kind for kind, pattern in patterns.items() if pattern in line), "get") for line in lines]

    assert tasks.run("sleep", "1").state == "success"
    assert kinds() == ["create", "watch", "log", "delete"]

    count('"${@/timeoutSeconds=300/timeoutSeconds=2}"')
    assert tasks.run("sleep", "8", map_index=1).state == "success"
    made = kinds()
    watches = made.count("watch")
    assert watches >= 2
    # Where the pod ends between two watches, the question tells its end, and no watch follows.
    assert made.count("get") in (watches - 1, watches)
    assert [kind for kind in made if kind not in ("get", "watch")] == ["create", "log", "delete"]


def test_a_namespace_that_does_not_exist_is_named(tasks: Tasks) -> None:
    task = tasks.run("true", namespace="no-such-namespace")
    assert task.state == "failed"
    assert 'namespaces "no-such-namespace" not found' in task.error


@pytest.mark.parametrize(
    ("action", "cmds", "left"),
    [
        ("delete_pod", ["false"], 0),
        ("keep_pod", ["true"], 1),
        ("delete_succeeded_pod", ["true"], 0),
        ("delete_succeeded_pod", ["false"], 1),
        ("delete_active_pod", ["false"], 1),
    ],
)
def test_what_is_left_of_a_pod_that_has_ended(tasks: Tasks, action: str, cmds: list[str], left: int) -> None:
    tasks.run(*cmds, on_finish_action=action)
    assert len(tasks.namespace.left()) == left


def test_keep_pod_keeps_no_pod_that_has_not_ended(tasks: Tasks) -> None:
    assert tasks.run("true", node_selector={"no": "such"}, startup_timeout_seconds=3, on_finish_action="keep_pod").state == "failed"
    assert tasks.namespace.left() == []


# --- parameters ---


def test_a_parameter_that_can_be_no_part_of_a_pod_fails_before_anything_is_created(tasks: Tasks) -> None:
    task = tasks.run("true", env_vars={"": "x"})
    assert task.state == "failed"
    assert "is no name of an environment variable" in task.error
    assert tasks.namespace.pods() == []


def test_on_finish_action_is_checked_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match=r"on_finish_action is 'remove': write one of delete_pod, .*keep_pod"):
        ConfiguredKubectlRunOperator(task_id="t", image="busybox:latest", on_finish_action="remove")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"startup_timeout_seconds": "120"}, "startup_timeout_seconds is '120'; write a number of seconds"),
        ({"startup_timeout_seconds": timedelta(minutes=2)}, "startup_timeout_seconds is datetime.timedelta(seconds=120); write"),
        ({"startup_timeout_seconds": None}, "startup_timeout_seconds is None; write"),
        ({"startup_timeout_seconds": True}, "startup_timeout_seconds is True; write"),
        ({"skip_on_exit_code": False}, "skip_on_exit_code is False; write a number, or a list of numbers"),
        ({"skip_on_exit_code": [True]}, "skip_on_exit_code is [True]; write a number, or a list of numbers"),
        ({"skip_on_exit_code": "4"}, "skip_on_exit_code is '4'; write a number, or a list of numbers"),
        ({"skip_on_exit_code": [4, "5"]}, "skip_on_exit_code is [4, '5']; write a number, or a list of numbers"),
        ({"in_cluster": "no"}, "in_cluster is 'no'; write True or False"),
    ],
    ids=str,
)
def test_a_parameter_of_the_wrong_type_is_refused_when_the_dag_is_parsed(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        ConfiguredKubectlRunOperator(task_id="t", image="busybox:latest", **arguments)


@pytest.mark.parametrize("arguments", [{"job_name": None}, {"job_name": ""}, {"job_name": 5}, {"dag_name": 7}], ids=str)
def test_a_row_is_chosen_by_texts_and_never_by_what_a_template_left_empty(tasks: Tasks, arguments: Any) -> None:
    task = tasks.run("true", **arguments)
    assert task.state == "failed"
    [(name, value)] = arguments.items()
    assert f"{name} of task collect is {value!r}" in task.error
    assert tasks.namespace.pods() == []


def test_no_name_for_the_container_is_its_usual_name(tasks: Tasks) -> None:
    task = tasks.run("echo", "in base", base_container_name=None)
    assert (task.state, task.error) == ("success", "")
    assert "in base" in task.log


def test_an_init_container_that_fails_shows_its_last_lines_and_its_exit_code_does_not_skip(tasks: Tasks) -> None:
    init = {**INIT, "command": ["sh", "-c", "echo fetching; echo no such host; exit 4"]}
    task = tasks.run("true", init_containers=[init], skip_on_exit_code=4)
    assert task.state == "failed"
    assert "failed (init container prepare: Error, exit code 4)" in task.error
    assert "fetching" in task.error
    assert "no such host" in task.error


def test_a_connection_that_does_not_exist_is_named(tasks: Tasks) -> None:
    task = tasks.run("true", kubernetes_conn_id="k8s_prod")
    assert task.state == "failed"
    assert "there is no connection 'k8s_prod'" in task.error


def test_a_kubernetes_connection_that_airflow_cannot_read_leads_to_no_other_cluster(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", "kubernetes://me:hush[hush@127.0.0.1")
    task = tasks.run("true")
    assert task.state == "failed"
    assert "Airflow can't read the connection in the environment variable AIRFLOW_CONN_KUBERNETES_DEFAULT" in task.error
    assert "hush" not in task.error
    assert tasks.namespace.pods() == []


def test_the_kubernetes_connection_is_used(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig = json.loads(tasks.namespace.cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    extra = {"kube_config": json.dumps(kubeconfig), "namespace": tasks.namespace.name}
    monkeypatch.setenv("AIRFLOW_CONN_LAB", json.dumps({"conn_type": "kubernetes", "extra": extra}))
    monkeypatch.setenv("KUBECONFIG", "/elsewhere")
    task = tasks.run("echo", "connected", kubernetes_conn_id="lab", namespace=None)
    assert (task.state, task.error) == ("success", "")
    assert "connected" in task.log
    tasks.namespace.wait_until_empty()


def test_execution_timeout_is_an_ordinary_parameter(tasks: Tasks) -> None:
    assert tasks.operator("true", execution_timeout=timedelta(minutes=1)).execution_timeout == timedelta(minutes=1)
