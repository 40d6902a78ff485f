"""What test_names and test_manifest say about Kubernetes' rules, asked of a real API server (dry runs), and of a kubelet."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.client import models as k8s
from plugins.airflow_ids import keys, run_ids, task_instances
from plugins.cluster import Namespace

from airflow_provider_dagconfig.kubectl import names
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup, Quantity

pytestmark = pytest.mark.cluster

# One request an example; a dry run leaves nothing in the namespace, so examples may share it.
ask = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = run_ids | st.just("")


def make(namespace: Namespace, **parameters: Any) -> dict[str, Any]:
    request = {
        "dag_id": "data_collection_equities",
        "run_id": "scheduled__2025-10-28T21:30:00+00:00",
        "task_id": "us_markets.collect",
        # As the server writes it: it would make 2 of 2000m.
        "dag_config": replace(DagConfig.defaults("data_collection_equities", "us_markets"), cpu_limit=Quantity.parse("2")),
        "image": "busybox:latest",
        "namespace": namespace.name,
    }
    return build_pod(PodRequest(**{**request, **parameters}))


def accepted(namespace: Namespace, pod: dict[str, Any]) -> dict[str, Any]:
    """Return the pod as the API server would create it; fail with the server's message if it refuses."""
    answer = namespace.cluster.kubectl("create", "--raw", f"{namespace.path}?dryRun=All", "-f", "-", body=pod)
    made: dict[str, Any] = json.loads(answer)
    return made


def holds(made: Any, wanted: Any) -> bool:
    """Tell whether all that was wanted is there; the server adds defaults, and the admission its own volumes."""
    if isinstance(wanted, dict):
        return isinstance(made, dict) and all(key in made and holds(made[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(made, list) and all(any(holds(item, value) for item in made) for value in wanted)
    return bool(made == wanted)


@ask
@given(ids=task_instances, name=st.none() | keys)
def test_the_api_server_takes_the_pod_of_every_task_instance(real_namespace, ids, name):
    dag_id, run_id, task_id, map_index = ids
    pod = make(real_namespace, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index, name=name)
    assert holds(accepted(real_namespace, pod)["metadata"], pod["metadata"])


@ask
@given(
    labels=st.dictionaries(keys.filter(names.is_qualified_name), texts, max_size=6),
    group=texts.filter(bool),
    job=texts.filter(bool),
)
def test_the_api_server_takes_labels_whatever_a_template_made_of_their_values(real_namespace, labels, group, job):
    pod = make(
        real_namespace,
        labels=labels,
        dag_config=DagConfig.defaults("data_collection_equities", job),
        exchange_group=ExchangeGroup(group_name=group, display_name=group, exchanges=("NYSE",)),
    )
    assert holds(accepted(real_namespace, pod)["metadata"], pod["metadata"])


@ask
@given(annotations=st.dictionaries(keys.filter(names.is_qualified_name), texts, max_size=6))
def test_the_api_server_keeps_annotations_as_they_are(real_namespace, annotations):
    pod = make(real_namespace, annotations=annotations)
    assert accepted(real_namespace, pod)["metadata"]["annotations"] == pod["metadata"]["annotations"]


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({"report": "x" * 300_000}, id="one that is too long"),
        pytest.param({"report": "\N{PILE OF POO}" * 100_000}, id="one of four bytes a character"),
        pytest.param({f"report-{number}": "é" * 5_000 for number in range(50)}, id="many"),
    ],
)
def test_the_api_server_takes_annotations_that_were_too_long(real_namespace, annotations):
    pod = make(real_namespace, annotations=annotations)
    assert accepted(real_namespace, pod)["metadata"]["annotations"] == pod["metadata"]["annotations"]


@ask
@given(
    env=st.dictionaries(
        st.from_regex(r"[-._a-zA-Z][-._a-zA-Z0-9]{0,40}", fullmatch=True).filter(lambda name: not name.startswith("..")),
        st.text(max_size=200).filter(lambda text: "\0" not in text and text.isprintable()),
        max_size=6,
    ).filter(lambda env: "." not in env),
    arguments=st.lists(st.text(max_size=200).filter(lambda text: "\0" not in text), max_size=6),
)
def test_the_api_server_keeps_arguments_and_variables_as_they_are(real_namespace, env, arguments):
    pod = make(real_namespace, env_vars=env, arguments=arguments)
    (container,) = accepted(real_namespace, pod)["spec"]["containers"]
    assert container.get("args", []) == arguments
    assert {entry["name"]: entry.get("value", "") for entry in container.get("env", [])} == env


@ask
@given(secret=st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?", fullmatch=True).filter(names.is_subdomain))
def test_the_api_server_takes_the_volume_of_every_secret(real_namespace, secret):
    pod = make(real_namespace, secrets=[{"deploy_type": "volume", "deploy_target": "/etc/secret", "secret": secret}])
    assert holds(accepted(real_namespace, pod)["spec"], pod["spec"])


def test_the_api_server_takes_a_pod_with_all_of_the_vocabulary(real_namespace):
    pod = make(
        real_namespace,
        map_index=3,
        try_number=2,
        exchange_group=ExchangeGroup(group_name="us_markets", display_name="US Markets", exchanges=("NYSE", "NASDAQ")),
        name="collector",
        cmds=["python", "/app/src/main_enhanced.py"],
        arguments=["--batch-size", 500],
        env_vars=[k8s.V1EnvVar(name="MODE", value="full")],
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="data-api-secrets", optional=True))],
        configmaps=["settings"],
        secrets=[
            {"deploy_type": "env", "deploy_target": "DATABASE_URL", "secret": "postgres-secret", "key": "DATABASE_URL"},
            {"deploy_type": "volume", "deploy_target": "/etc/database", "secret": "postgres-secret"},
        ],
        volumes=[k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory"))],
        volume_mounts=[k8s.V1VolumeMount(name="tmp", mount_path="/tmp")],
        labels={"app": "data-collector"},
        annotations={"example.com/note": "Größe"},
        node_selector={"kubernetes.io/arch": "arm64"},
        tolerations=[k8s.V1Toleration(key="arch", operator="Exists", effect="NoSchedule")],
        affinity={
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
                ]
            }
        },
        service_account_name="default",
        automount_service_account_token=False,
        image_pull_policy="Never",
        image_pull_secrets="registry-one, registry-two",
        security_context=k8s.V1PodSecurityContext(run_as_user=1000, run_as_non_root=True),
        container_security_context={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        container_resources={"limits": {"ephemeral-storage": "1Gi"}},
        termination_grace_period=5,
        do_xcom_push=True,
        base_container_name="collector",
        ports=[k8s.V1ContainerPort(container_port=9090, name="metrics")],
        init_containers=[k8s.V1Container(name="wait", image="busybox:latest", command=["true"])],
        host_aliases=[k8s.V1HostAlias(ip="10.0.0.9", hostnames=["db"])],
        hostname="collector",
        subdomain="jobs",
        dnspolicy="None",
        dns_config=k8s.V1PodDNSConfig(nameservers=["10.0.0.2"]),
        schedulername="default-scheduler",
    )
    assert holds(accepted(real_namespace, pod), pod)


def test_a_container_reads_its_secrets_and_writes_its_xcom(real_namespace):
    real_namespace.create_secret("postgres-secret", DATABASE_URL="postgresql://db/x", password="hunter2")
    pod = make(
        real_namespace,
        image_pull_policy="Never",
        cmds=["sh", "-c", 'echo "$DSN"; cat /etc/database/password; echo "[1, 2]" > /airflow/xcom/return.json'],
        env_vars={"DSN": "$(DATABASE_URL)?sslmode=require"},
        secrets=[
            {"deploy_type": "env", "deploy_target": "DATABASE_URL", "secret": "postgres-secret", "key": "DATABASE_URL"},
            {"deploy_type": "volume", "deploy_target": "/etc/database", "secret": "postgres-secret"},
        ],
        do_xcom_push=True,
        container_security_context={"runAsUser": 65534},
    )
    real_namespace.cluster.kubectl("create", "--raw", real_namespace.path, "-f", "-", body=pod)
    ended = real_namespace.wait_for_pod(lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"))
    output = real_namespace.cluster.kubectl("-n", real_namespace.name, "logs", ended["metadata"]["name"])
    assert output == "postgresql://db/x?sslmode=require\nhunter2"
    assert json.loads(ended["status"]["containerStatuses"][0]["state"]["terminated"]["message"]) == [1, 2]
    assert "hunter2" not in json.dumps(ended)
