"""A parameter that the guide lists as the same does the same: side by side with the installed KubernetesPodOperator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException
from kubernetes.client import ApiClient
from kubernetes.client import models as k8s
from plugins.reference import listed_parameters

from airflow_provider_dagconfig.kubectl.access import ClusterAccess, resolve_access
from airflow_provider_dagconfig.kubectl.ends import Ended, PodFailed
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome, read_status
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.operators.ends import airflow_exception, skips

Leaves = dict[str, Any]

AFFINITY = k8s.V1Affinity(
    node_affinity=k8s.V1NodeAffinity(
        required_during_scheduling_ignored_during_execution=k8s.V1NodeSelector(
            node_selector_terms=[
                k8s.V1NodeSelectorTerm(match_expressions=[k8s.V1NodeSelectorRequirement(key="gpu", operator="In", values=["yes"])])
            ]
        )
    )
)
VOLUME = k8s.V1Volume(name="cache", persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="cache"))
MOUNT = k8s.V1VolumeMount(name="cache", mount_path="/cache", sub_path="prices", read_only=True)
INIT = k8s.V1Container(name="prepare", image="busybox:1", command=["true"], volume_mounts=[MOUNT])

SAME: dict[str, list[Any]] = {
    "affinity": [AFFINITY],
    "arguments": [["--all", "1"], []],
    "automount_service_account_token": [True, False],
    "base_container_name": ["collector"],
    "cmds": [["python", "main.py"], []],
    "configmaps": [["limits", "features"]],
    "container_security_context": [k8s.V1SecurityContext(run_as_user=1000), {"runAsUser": 1000, "privileged": False}],
    "dns_config": [k8s.V1PodDNSConfig(nameservers=["10.0.0.10"], options=[k8s.V1PodDNSConfigOption(name="ndots", value="2")])],
    "dnspolicy": ["ClusterFirstWithHostNet"],
    "env_from": [[k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name="limits"), prefix="A_")]],
    "host_aliases": [[k8s.V1HostAlias(ip="10.0.0.1", hostnames=["db"])]],
    "hostname": ["collector"],
    "hostnetwork": [True, False],
    "image": ["busybox:2"],
    "image_pull_policy": ["Always", "Never"],
    "image_pull_secrets": [[k8s.V1LocalObjectReference(name="registry")], "registry,other"],
    "node_selector": [{"kubernetes.io/arch": "arm64"}],
    "ports": [[k8s.V1ContainerPort(container_port=8080, name="http")]],
    "priority_class_name": ["high"],
    "runtime_class_name": ["gvisor"],
    "schedulername": ["batch"],
    "security_context": [k8s.V1PodSecurityContext(fs_group=2000), {"fsGroup": 2000, "runAsNonRoot": True}],
    "service_account_name": ["collector"],
    "subdomain": ["jobs"],
    "termination_grace_period": [60, 0],
    "tolerations": [[k8s.V1Toleration(key="spot", operator="Exists", effect="NoSchedule")]],
    "volume_mounts": [[MOUNT]],
    "volumes": [[VOLUME]],
}
"""Values that KubernetesPodOperator takes, for each parameter that goes into the pod as it is."""

WITH_DIFFERENCES: dict[str, list[Any]] = {
    "container_resources": [{"limits": {"nvidia.com/gpu": "1"}}],
    "env_vars": [{"LEVEL": "INFO"}, [k8s.V1EnvVar(name="LEVEL", value="INFO")]],
    "init_containers": [[k8s.V1Container(name="prepare", image="busybox:1", termination_message_policy="File")]],
    "namespace": ["financial-screener"],
    "secrets": [[Secret("env", "DATABASE_URL", "postgres-secret", "url")], [Secret("env", None, "postgres-secret")]],
}
"""Likewise, for parameters that differ in something else: the guide says in what."""

ELSEWHERE = {"kubernetes_conn_id", "config_file", "cluster_context"}
"""Compared below."""

NOT_COMPARED = {
    # It needs the files of a pod's service account, at a path that is the same for all.
    "in_cluster",
    # Both write the container's lines into the task's log; this one is the log itself, which other tests read.
    "get_logs",
    # They change who waits for the pod, and nothing of it: tests/operators/test_deferrable.py.
    "deferrable",
    "logging_interval",
}


def test_each_parameter_that_is_listed_as_the_same_is_compared() -> None:
    assert listed_parameters()["same"] == SAME.keys() | ELSEWHERE | NOT_COMPARED


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a document with its path; what is empty has none."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, f"{path}.{key}")
    elif value is not None:
        yield path, value


def theirs(**parameters: Any) -> Leaves:
    """KubernetesPodOperator's pod."""
    operator = KubernetesPodOperator(**{"task_id": "collect", "image": "busybox", "namespace": "default", **parameters})
    return dict(leaves(ApiClient().sanitize_for_serialization(operator.build_pod_request_obj(dry_run=True))))


def ours(**parameters: Any) -> Leaves:
    config = DagConfig.defaults("prices", "all")
    ids: dict[str, Any] = {"dag_id": "prices", "run_id": "manual", "task_id": "collect", "dag_config": config}
    return dict(leaves(build_pod(PodRequest(**{**ids, "image": "busybox", "namespace": "default", **parameters}))))


def change(before: Leaves, after: Leaves) -> Leaves:
    """The changes that a parameter makes to a pod; None for a value that it removes."""
    paths = sorted((before.keys() | after.keys()) - {".metadata.name"})
    return {path: after.get(path) for path in paths if before.get(path) != after.get(path)}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in {**SAME, **WITH_DIFFERENCES}.items() for value in values]
)
def test_a_parameter_changes_the_pod_as_it_does_there(name: str, value: Any) -> None:
    assert change(ours(), ours(**{name: value})) == change(theirs(), theirs(**{name: value}))


def test_what_differs_on_purpose() -> None:
    """The guide has these in its table of what is different."""
    both: dict[str, Any] = {
        "env_vars": {"URL": "$(DATABASE_URL)"},
        "secrets": [Secret("env", "DATABASE_URL", "postgres-secret", "url")],
    }
    first = ".spec.containers.0.env.0.name"
    assert (ours(**both)[first], theirs(**both)[first]) == ("DATABASE_URL", "URL")
    policy = ".spec.initContainers.0.terminationMessagePolicy"
    assert ours(init_containers=[INIT])[policy] == "FallbackToLogsOnError"
    assert policy not in theirs(init_containers=[INIT])
    volume = {"secrets": [Secret("volume", "/etc/database", "postgres-secret", None)]}
    name = ".spec.volumes.0.name"
    assert ours(**volume)[name] == ours(**volume)[name]
    assert theirs(**volume)[name] != theirs(**volume)[name]


# --- credentials ---


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with a kubeconfig ``lab`` that has two contexts."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    names = ("one", "two")
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example.com"}} for name in names],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in names],
        "current-context": "one",
    }
    (tmp_path / "lab").write_text(json.dumps(kubeconfig))
    return tmp_path


def our_server(access: ClusterAccess) -> str:
    """The server that kubectl would ask: the context's cluster."""
    with access.environment() as environment:
        [path] = [path for path in environment["KUBECONFIG"].split(":") if Path(path).exists()]
        kubeconfig = yaml.safe_load(Path(path).read_text())
    context = next((value for name, value in environment.items() if name.endswith("CONTEXT")), kubeconfig["current-context"])
    [cluster] = [each["context"]["cluster"] for each in kubeconfig["contexts"] if each["name"] == context]
    [server] = [each["cluster"]["server"] for each in kubeconfig["clusters"] if each["name"] == cluster]
    return str(server)


@pytest.mark.parametrize(
    ("arguments", "extra", "server"),
    [
        ({"config_file": "~/lab"}, {}, "one"),
        ({"config_file": "~/missing:~/lab"}, {}, "one"),
        ({"config_file": "~/lab", "cluster_context": "two"}, {}, "two"),
        ({"config_file": "~/lab"}, {"cluster_context": "two"}, "two"),
        ({}, {"kube_config_path": "~/lab"}, "one"),
        ({"cluster_context": "one"}, {"kube_config_path": "~/lab", "cluster_context": "two"}, "one"),
        ({"config_file": "~/lab"}, {"kube_config_path": "/elsewhere"}, "one"),
    ],
    ids=str,
)
def test_the_same_credentials_are_taken(
    arguments: dict[str, Any], extra: dict[str, Any], server: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LAB", json.dumps({"conn_type": "kubernetes", "extra": extra}))
    hook = KubernetesHook(conn_id="lab", **arguments)
    access = resolve_access(extra, connection="lab", **arguments)
    assert our_server(access) == hook.get_conn().configuration.host == f"https://{server}.example.com"


# --- the end, of a container that ended by itself ---


def state_theirs(exit_code: int, codes: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    operator = KubernetesPodOperator(task_id="collect", image="busybox", skip_on_exit_code=codes)
    for method in ("is_istio_enabled", "patch_already_checked", "process_pod_deletion"):
        monkeypatch.setattr(operator, method, lambda *args, **kwargs: False)
    ended = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=exit_code))
    status = SimpleNamespace(name="base", state=ended)
    pod = k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="collect", annotations={}),
        spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base")]),
        status=k8s.V1PodStatus(phase="Failed" if exit_code else "Succeeded", container_statuses=[status]),
    )
    try:
        operator.cleanup(pod, pod)
    except AirflowSkipException:
        return "skipped"
    except AirflowException:
        return "failed"
    return "success"


def state_ours(exit_code: int, codes: Any) -> str:
    terminated = {"exitCode": exit_code, "reason": "Error" if exit_code else "Completed"}
    status = {
        "phase": "Failed" if exit_code else "Succeeded",
        "containerStatuses": [{"name": "base", "state": {"terminated": terminated}}],
    }
    pod = {"metadata": {"name": "collect"}, "status": status}
    outcome = read_status(pod)
    assert isinstance(outcome, Outcome)
    if exit_code == 0:
        return "skipped" if skips(outcome, codes) else "success"
    end = airflow_exception(PodFailed(Ended(outcome, pod)), DagConfig.defaults("prices", "all"), "base", codes)
    return "skipped" if isinstance(end, AirflowSkipException) else "failed"


@pytest.mark.parametrize("codes", [None, 0, 4, [0, 4], [], (3, 4), {4}, range(3, 5)], ids=str)
@pytest.mark.parametrize("exit_code", [0, 4, 5])
def test_the_same_exit_codes_skip(exit_code: int, codes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_ours(exit_code, codes) == state_theirs(exit_code, codes, monkeypatch)


def test_a_pod_that_others_ended_is_not_skipped() -> None:
    """The guide says so: there its container's exit code decides, whatever ended it."""
    for end in set(End) - {End.SUCCEEDED, End.EXITED}:
        assert not skips(Outcome(end, "Killed", exit_code=137), 137)
