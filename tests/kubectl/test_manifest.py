from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import kubernetes_validate
import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.client import ApiClient
from kubernetes.client import models as k8s
from kubernetes_validate.utils import all_versions
from plugins.airflow_ids import keys, run_ids, task_instances

from airflow_provider_dagconfig.kubectl import manifest, names, parameters
from airflow_provider_dagconfig.kubectl.annotations import PREFIX, annotation, try_number
from airflow_provider_dagconfig.kubectl.manifest import PodRequest, build_pod
from airflow_provider_dagconfig.kubectl.parameters import ManifestError
from airflow_provider_dagconfig.models import Change, DagConfig, ExchangeGroup, Quantity

CONFIG = DagConfig(
    dag_name="data_collection_equities",
    job_name="us_markets",
    cpu_request=Quantity.parse("500m"),
    cpu_limit=Quantity.parse("3"),
    memory_request=Quantity.parse("1Gi"),
    memory_limit=Quantity.parse("4Gi"),
    batch_size=750,
    timeout_seconds=900,
    max_retries=2,
    retry_delay_minutes=5,
    retry_backoff_enabled=True,
    enabled=True,
    priority=10,
    origin="financial_screener.dag_configuration, row 1",
    change=Change(audit_id=17, changed_by="admin", changed_at=datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc)),
)
GROUP = ExchangeGroup(group_name="us_markets", display_name="US Markets (NYSE, NASDAQ)", exchanges=("NYSE", "NASDAQ"), priority=10)
IDS = {
    "dag_id": "data_collection_equities",
    "run_id": "scheduled__2025-10-28T21:30:00+00:00",
    "task_id": "us_markets.collect",
}
DATABASE_URL = {"deploy_type": "env", "deploy_target": "DATABASE_URL", "secret": "postgres-secret", "key": "DATABASE_URL"}
VERSIONS = sorted({version.rpartition(".")[0] for version in all_versions()})


def request(**parameters: Any) -> PodRequest:
    return PodRequest(**{**IDS, "dag_config": CONFIG, "image": "financial-data-collector:latest", **parameters})


def pod(**parameters: Any) -> dict[str, Any]:
    """Build a pod, as it would arrive at the API server, and see that every supported version takes it."""
    built = json.loads(json.dumps(build_pod(request(**parameters))))
    for version in VERSIONS:
        kubernetes_validate.validate(built, version, strict=True)
    return built


def spec(**parameters: Any) -> dict[str, Any]:
    return pod(**parameters)["spec"]


def container(**parameters: Any) -> dict[str, Any]:
    (only,) = spec(**parameters)["containers"]
    return only


def annotations(**parameters: Any) -> dict[str, str]:
    return pod(**parameters)["metadata"]["annotations"]


def labels(**parameters: Any) -> dict[str, str]:
    return pod(**parameters)["metadata"]["labels"]


def test_every_kubernetes_from_1_25_to_1_37_is_asked():
    assert set(VERSIONS) == {f"1.{minor}" for minor in range(25, 38)}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_field_that_kubernetes_lacks_would_be_noticed(version):
    built = build_pod(request(tolerations=[{"key": "arch", "tolerationMinutes": 3}]))
    with pytest.raises(kubernetes_validate.ValidationError, match="tolerationMinutes"):
        kubernetes_validate.validate(built, version, strict=True)


# What the row says


def test_cpu_and_memory_are_the_rows():
    assert container()["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": "3", "memory": "4Gi"},
    }


def test_the_pods_deadline_is_the_rows_timeout():
    assert spec()["activeDeadlineSeconds"] == 900


def test_other_resources_stand_beside_the_rows():
    gpu = k8s.V1ResourceRequirements(limits={"nvidia.com/gpu": 1})
    assert container(container_resources=gpu)["resources"]["limits"] == {
        "cpu": "3",
        "memory": "4Gi",
        "nvidia.com/gpu": "1",
    }


def test_memory_that_is_not_the_rows_is_refused_with_the_statement_that_changes_the_row():
    with pytest.raises(ManifestError, match=re.escape("limits of memory")) as refused:
        build_pod(request(container_resources={"limits": {"memory": "8Gi"}}))
    assert CONFIG.origin in str(refused.value)
    assert CONFIG.update_statement("memory_limit", "8Gi") in str(refused.value)


def test_a_pod_tells_which_configuration_it_runs_with_and_who_changed_it():
    found = annotations(exchange_group=GROUP)
    assert {name: found[f"airflow-provider-dagconfig/{name}"] for name in (
        "memory_limit", "batch_size", "retry_backoff_enabled", "origin", "change.audit_id", "change.changed_by",
        "exchange_group.group_name", "exchange_group.exchanges",
    )} == {
        "memory_limit": "4Gi",
        "batch_size": "750",
        "retry_backoff_enabled": "true",
        "origin": "financial_screener.dag_configuration, row 1",
        "change.audit_id": "17",
        "change.changed_by": "admin",
        "exchange_group.group_name": "us_markets",
        "exchange_group.exchanges": "NYSE,NASDAQ",
    }  # fmt: skip


def test_what_a_row_leaves_open_is_no_annotation():
    assert not {"airflow-provider-dagconfig/description", "airflow-provider-dagconfig/disabled_change"} & annotations().keys()


# What every pod is


def test_a_pod_runs_once():
    assert spec()["restartPolicy"] == "Never"


def test_the_container_is_called_base():
    assert container()["name"] == "base"
    assert container(base_container_name="collector")["name"] == "collector"


def test_the_smallest_pod_leaves_all_else_to_the_cluster():
    assert spec().keys() == {"restartPolicy", "activeDeadlineSeconds", "containers"}
    assert container().keys() == {"name", "image", "resources", "terminationMessagePolicy"}


def test_a_container_that_fails_leaves_the_end_of_its_log_in_the_pods_status():
    assert container()["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_an_init_container_that_fails_leaves_the_end_of_its_log_too_unless_its_author_says_otherwise():
    fetch = {"name": "fetch", "image": "busybox"}
    made = build_pod(request(init_containers=[fetch, {**fetch, "name": "unpack", "terminationMessagePolicy": "File"}]))
    policies = [each["terminationMessagePolicy"] for each in made["spec"]["initContainers"]]
    assert policies == ["FallbackToLogsOnError", "File"]


def test_what_a_container_writes_for_xcom_comes_back_in_the_pods_status():
    assert container(do_xcom_push=True)["terminationMessagePath"] == "/airflow/xcom/return.json"
    assert "terminationMessagePath" not in container()


def test_the_same_request_makes_the_same_pod():
    parameters: dict[str, Any] = {
        "secrets": [Secret("volume", "/etc/database", "postgres-secret"), DATABASE_URL],
        "volumes": [k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource())],
        "env_vars": {"B": "1", "A": "2"},
    }
    assert json.dumps(build_pod(request(**parameters))) == json.dumps(build_pod(request(**parameters)))


def test_the_name_is_the_task_instances_whichever_its_try():
    first, second = pod(try_number=1), pod(try_number=2)
    assert first["metadata"]["name"] == second["metadata"]["name"] == names.pod_name(**IDS)


def test_an_installation_is_in_the_name_a_label_and_an_annotation_whatever_the_author_says():
    made = pod(installation="staging", labels={"installation": "mine"})["metadata"]
    assert made["name"] == names.pod_name(**IDS, installation="staging")
    assert made["labels"]["installation"] == made["annotations"][f"{PREFIX}/installation"] == "staging"


@pytest.mark.parametrize("name", [None, "collector"])
def test_a_former_name_is_the_one_without_the_installation(name):
    without = request(name=name)
    assert manifest.former_name(request(name=name, installation="staging")) == manifest.former_name(without)
    assert manifest.former_name(without) == build_pod(without)["metadata"]["name"] == names.pod_name(**IDS, name=name)


def test_a_field_that_is_none_is_not_given():
    toleration = {"key": "arch", "operator": "Exists", "tolerationSeconds": None}
    assert spec(tolerations=[toleration])["tolerations"] == [{"key": "arch", "operator": "Exists"}]


def test_a_manifest_does_not_change_what_it_was_made_from():
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    build_pod(request(container_resources=resources))
    assert resources == {"limits": {"nvidia.com/gpu": "1"}}


# The vocabulary


def test_parameters_carry_the_names_of_kubernetes_pod_operator():
    ids = {"dag_id", "run_id", "task_id", "map_index", "try_number", "installation"}
    ours = {*ids, "max_tries", "run_start", "run_clears", "dag_config", "exchange_group"}
    theirs = inspect.signature(KubernetesPodOperator.__init__).parameters.keys()
    assert {field.name for field in fields(PodRequest)} - ours - theirs == set()


@pytest.mark.parametrize(
    ("parameter", "value", "field", "expected"),
    [
        ("service_account_name", "collector", "serviceAccountName", "collector"),
        ("automount_service_account_token", False, "automountServiceAccountToken", False),
        ("termination_grace_period", 0, "terminationGracePeriodSeconds", 0),
        ("hostnetwork", True, "hostNetwork", True),
        ("hostname", "collector", "hostname", "collector"),
        ("subdomain", "jobs", "subdomain", "jobs"),
        ("dnspolicy", "ClusterFirstWithHostNet", "dnsPolicy", "ClusterFirstWithHostNet"),
        ("dns_config", k8s.V1PodDNSConfig(nameservers=["10.0.0.2"]), "dnsConfig", {"nameservers": ["10.0.0.2"]}),
        ("schedulername", "volcano", "schedulerName", "volcano"),
        ("priority_class_name", "batch", "priorityClassName", "batch"),
        ("runtime_class_name", "gvisor", "runtimeClassName", "gvisor"),
        ("node_selector", {"kubernetes.io/arch": "arm64", "rack": 7}, "nodeSelector", {"kubernetes.io/arch": "arm64", "rack": "7"}),
        ("image_pull_secrets", "one, two", "imagePullSecrets", [{"name": "one"}, {"name": "two"}]),
        ("image_pull_secrets", ["one"], "imagePullSecrets", [{"name": "one"}]),
        ("image_pull_secrets", [k8s.V1LocalObjectReference(name="one")], "imagePullSecrets", [{"name": "one"}]),
        ("image_pull_secrets", [{"name": "one"}], "imagePullSecrets", [{"name": "one"}]),
    ],
)  # fmt: skip
def test_a_parameter_becomes_its_field_of_the_pod(parameter, value, field, expected):
    assert spec(**{parameter: value})[field] == expected


@pytest.mark.parametrize(
    ("parameter", "value", "field", "expected"),
    [
        ("cmds", ["python", "/app/src/main_enhanced.py"], "command", ["python", "/app/src/main_enhanced.py"]),
        ("arguments", ["--batch-size", 750, ""], "args", ["--batch-size", "750", ""]),
        ("arguments", ("--ratio", 0.5), "args", ["--ratio", "0.5"]),
        ("arguments", [Quantity.parse("4Gi"), Decimal("1.50"), date(2026, 11, 1)], "args", ["4Gi", "1.50", "2026-11-01"]),
        ("image_pull_policy", "Never", "imagePullPolicy", "Never"),
        ("configmaps", ["settings"], "envFrom", [{"configMapRef": {"name": "settings"}}]),
        ("env_vars", {"MODE": "full", "LIMIT": 3}, "env", [{"name": "MODE", "value": "full"}, {"name": "LIMIT", "value": "3"}]),
        ("env_vars", [k8s.V1EnvVar(name="MODE", value="full")], "env", [{"name": "MODE", "value": "full"}]),
        ("env_vars", [{"name": "LIMIT", "value": 3}], "env", [{"name": "LIMIT", "value": "3"}]),
    ],
)  # fmt: skip
def test_a_parameter_becomes_its_field_of_the_container(parameter, value, field, expected):
    assert container(**{parameter: value})[field] == expected


AFFINITY = k8s.V1Affinity(
    node_affinity=k8s.V1NodeAffinity(
        required_during_scheduling_ignored_during_execution=k8s.V1NodeSelector(
            node_selector_terms=[
                k8s.V1NodeSelectorTerm(
                    match_expressions=[
                        k8s.V1NodeSelectorRequirement(key="kubernetes.io/arch", operator="In", values=["arm64", "amd64"])
                    ]
                )
            ]
        )
    ),
    pod_anti_affinity=k8s.V1PodAntiAffinity(
        preferred_during_scheduling_ignored_during_execution=[
            k8s.V1WeightedPodAffinityTerm(
                weight=1,
                pod_affinity_term=k8s.V1PodAffinityTerm(
                    label_selector=k8s.V1LabelSelector(match_labels={"dag_id": "data_collection_equities"}),
                    topology_key="kubernetes.io/hostname",
                ),
            )
        ]
    ),
)
MODELS: list[tuple[str, Any, Any]] = [
    ("volumes", k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource()), {"name": "tmp", "emptyDir": {}}),
    (
        "volumes",
        k8s.V1Volume(
            name="data",
            persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="data", read_only=True),
        ),
        {"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
    ),
    (
        "volumes",
        k8s.V1Volume(
            name="settings",
            config_map=k8s.V1ConfigMapVolumeSource(name="settings", default_mode=0o440, items=[k8s.V1KeyToPath(key="a", path="b")]),
        ),
        {"name": "settings", "configMap": {"name": "settings", "defaultMode": 288, "items": [{"key": "a", "path": "b"}]}},
    ),
    (
        "volumes",
        k8s.V1Volume(
            name="scratch",
            ephemeral=k8s.V1EphemeralVolumeSource(
                volume_claim_template=k8s.V1PersistentVolumeClaimTemplate(
                    metadata=k8s.V1ObjectMeta(labels={"made_by": "airflow"}),
                    spec=k8s.V1PersistentVolumeClaimSpec(
                        access_modes=["ReadWriteOnce"], resources={"requests": {"storage": "1Gi"}}
                    ),
                )
            ),
        ),
        {
            "name": "scratch",
            "ephemeral": {
                "volumeClaimTemplate": {
                    "metadata": {"labels": {"made_by": "airflow"}},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            },
        },
    ),
    (
        "volume_mounts",
        k8s.V1VolumeMount(name="tmp", mount_path="/tmp", sub_path="job", read_only=False),
        {"name": "tmp", "mountPath": "/tmp", "subPath": "job", "readOnly": False},
    ),
    (
        "tolerations",
        k8s.V1Toleration(key="arch", operator="Equal", value="arm64", effect="NoExecute", toleration_seconds=30),
        {"key": "arch", "operator": "Equal", "value": "arm64", "effect": "NoExecute", "tolerationSeconds": 30},
    ),
    (
        "env_from",
        k8s.V1EnvFromSource(prefix="DB_", secret_ref=k8s.V1SecretEnvSource(name="postgres-secret", optional=True)),
        {"prefix": "DB_", "secretRef": {"name": "postgres-secret", "optional": True}},
    ),
    (
        "env_vars",
        k8s.V1EnvVar(
            name="NODE",
            value_from=k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path="spec.nodeName")),
        ),
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ),
    ("ports", k8s.V1ContainerPort(container_port=9090, name="metrics"), {"containerPort": 9090, "name": "metrics"}),
    ("host_aliases", k8s.V1HostAlias(ip="10.0.0.9", hostnames=["db"]), {"ip": "10.0.0.9", "hostnames": ["db"]}),
    (
        "init_containers",
        k8s.V1Container(
            name="wait",
            image="busybox:latest",
            command=["true"],
            env=[k8s.V1EnvVar(name="A", value="1")],
            volume_mounts=[k8s.V1VolumeMount(name="tmp", mount_path="/tmp")],
        ),
        {
            "name": "wait",
            "image": "busybox:latest",
            "command": ["true"],
            "env": [{"name": "A", "value": "1"}],
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        },
    ),
]
SINGLE_MODELS: list[tuple[str, Any, Any]] = [
    (
        "affinity",
        AFFINITY,
        {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64", "amd64"]}]}
                    ]
                }
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "labelSelector": {"matchLabels": {"dag_id": "data_collection_equities"}},
                            "topologyKey": "kubernetes.io/hostname",
                        },
                    }
                ]
            },
        },
    ),
    (
        "security_context",
        k8s.V1PodSecurityContext(
            run_as_user=1000,
            run_as_non_root=True,
            fs_group=2000,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        {"runAsUser": 1000, "runAsNonRoot": True, "fsGroup": 2000, "seccompProfile": {"type": "RuntimeDefault"}},
    ),
    (
        "container_security_context",
        k8s.V1SecurityContext(allow_privilege_escalation=False, capabilities=k8s.V1Capabilities(drop=["ALL"])),
        {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    ),
    (
        "dns_config",
        k8s.V1PodDNSConfig(searches=["db.local"], options=[k8s.V1PodDNSConfigOption(name="ndots", value="2")]),
        {"searches": ["db.local"], "options": [{"name": "ndots", "value": "2"}]},
    ),
]


@pytest.mark.parametrize(("parameter", "model", "plain"), MODELS, ids=[f"{p}-{type(m).__name__}" for p, m, _ in MODELS])
def test_a_list_of_models_makes_the_pod_that_dicts_make(parameter, model, plain):
    assert pod(**{parameter: [model]}) == pod(**{parameter: [plain]})


@pytest.mark.parametrize(("parameter", "model", "plain"), SINGLE_MODELS, ids=[p for p, _, _ in SINGLE_MODELS])
def test_a_model_makes_the_pod_that_a_dict_makes(parameter, model, plain):
    assert pod(**{parameter: model}) == pod(**{parameter: plain})


@pytest.mark.parametrize(("parameter", "model", "plain"), [*MODELS, *SINGLE_MODELS])
def test_models_become_what_the_kubernetes_client_makes_of_them(parameter, model, plain):
    assert parameters.to_plain(model) == ApiClient().sanitize_for_serialization(model) == plain


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(
            k8s.V1Pod(
                api_version="v1",
                kind="Pod",
                metadata=k8s.V1ObjectMeta(
                    name="collector", creation_timestamp=datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc)
                ),
                spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base", image="busybox:latest", args=[])]),
            ),
            id="a whole pod, with a time",
        ),
        pytest.param([k8s.V1LocalObjectReference(name="one"), {"name": "two"}], id="a list of both"),
        pytest.param({"limits": {"cpu": "1"}, "claims": [], "requests": None}, id="a dict"),
        pytest.param(date(2026, 11, 23), id="a date"),
        pytest.param(None, id="None"),
        pytest.param(1.5, id="a number"),
    ],
)
def test_to_plain_agrees_with_the_kubernetes_client(value):
    assert parameters.to_plain(value) == ApiClient().sanitize_for_serialization(value)


# Secrets


def test_a_secrets_key_becomes_an_environment_variable_by_reference():
    expected = {
        "name": "DATABASE_URL",
        "valueFrom": {"secretKeyRef": {"name": "postgres-secret", "key": "DATABASE_URL"}},
    }
    assert container(secrets=[DATABASE_URL])["env"] == [expected]
    assert container(secrets=[Secret("env", "DATABASE_URL", "postgres-secret", "DATABASE_URL")])["env"] == [expected]


def test_a_whole_secret_becomes_environment_variables_by_reference():
    expected = [{"secretRef": {"name": "data-api-secrets"}}]
    assert container(secrets=[{"deploy_type": "env", "secret": "data-api-secrets"}])["envFrom"] == expected
    assert container(secrets=[Secret("env", None, "data-api-secrets")])["envFrom"] == expected


def test_a_secret_is_mounted_read_only():
    built = spec(secrets=[Secret("volume", "/etc/database", "postgres-secret")])
    (volume,) = built["volumes"]
    assert volume["secret"] == {"secretName": "postgres-secret"}
    assert built["containers"][0]["volumeMounts"] == [{"name": volume["name"], "mountPath": "/etc/database", "readOnly": True}]


def test_some_keys_of_a_secret_are_mounted():
    items = [k8s.V1KeyToPath(key="tls.crt", path="server.crt")]
    (volume,) = spec(secrets=[Secret("volume", "/etc/tls", "server", items=items)])["volumes"]
    assert volume["secret"] == {"secretName": "server", "items": [{"key": "tls.crt", "path": "server.crt"}]}


def test_a_secret_that_is_mounted_twice_is_one_volume():
    built = spec(secrets=[Secret("volume", "/a", "postgres-secret"), Secret("volume", "/b", "postgres-secret")])
    assert len(built["volumes"]) == 1
    assert [mount["mountPath"] for mount in built["containers"][0]["volumeMounts"]] == ["/a", "/b"]


@given(secret=st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?", fullmatch=True).filter(names.is_subdomain))
def test_a_secrets_volume_has_a_valid_name_whatever_the_secret_is_called(secret):
    built = build_pod(request(secrets=[{"deploy_type": "volume", "deploy_target": "/s", "secret": secret}]))
    assert names.is_label(built["spec"]["volumes"][0]["name"])


def test_a_value_may_refer_to_a_secret_because_secrets_stand_first():
    env = container(secrets=[DATABASE_URL], env_vars={"DSN": "$(DATABASE_URL)?sslmode=require"})["env"]
    assert [entry["name"] for entry in env] == ["DATABASE_URL", "DSN"]


@pytest.mark.parametrize(
    ("secret", "remedy"),
    [
        pytest.param("postgres-secret", "secrets[0] is a str", id="a name only"),
        pytest.param({"deploy_type": "file", "secret": "s"}, "'env' or 'volume'", id="an unknown way"),
        pytest.param({"deploy_type": "env", "secret": "s", "key": "k"}, "deploy_target", id="a key without a variable"),
        pytest.param({"deploy_type": "env", "secret": "s", "deploy_target": "A"}, "key", id="a variable without a key"),
        pytest.param({"deploy_type": "env"}, "secret is None", id="no name"),
        pytest.param({"deploy_type": "env", "secret": "No Name"}, "RFC 1123 subdomain", id="an impossible name"),
        pytest.param({"deploy_type": "volume", "secret": "s"}, "directory", id="a volume without a place"),
        pytest.param({"deploy_type": "volume", "secret": "s", "deploy_target": "a"}, "directory", id="a relative place"),
        pytest.param(
            {"deploy_type": "volume", "secret": "s", "deploy_target": "/a", "key": "k"}, "'items'", id="a key of a volume"
        ),
        pytest.param({"PASSWORD": "hunter2"}, "deploy_type", id="the secret itself"),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_is_refused_with_what_to_write(secret, remedy):
    with pytest.raises(ManifestError, match=re.escape(remedy)) as refused:
        build_pod(request(secrets=[secret]))
    assert "hunter2" not in str(refused.value)


# What is refused


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"image": None}, "image is None"),
        ({"image": ""}, "image is ''"),
        ({"image": "collector:latest "}, "write 'collector:latest'"),
        ({"image_pull_policy": "never"}, "write one of Always, IfNotPresent, Never"),
        ({"namespace": "Financial_Screener"}, "namespace is 'Financial_Screener'"),
        ({"base_container_name": "Base"}, "base_container_name is 'Base'"),
        ({"arguments": "--mode full"}, "arguments is a str; write a list of texts"),
        ({"cmds": {"python": 1}}, "cmds is a dict"),
        ({"arguments": ["--mode", None]}, "arguments[1] is None"),
        ({"arguments": [True]}, "'true' or 'True'"),
        ({"arguments": [["--mode"]]}, "arguments[0] is a list"),
        ({"arguments": ["a\0b"]}, "NUL"),
        ({"arguments": ["\udce9"]}, "lone surrogate"),
        ({"env_vars": {"MODE": None}}, "env_vars['MODE'] is None; give it a text ('' for an empty one), or leave it out"),
        ({"env_vars": {"DEBUG": True}}, "env_vars['DEBUG'] is True"),
        ({"env_vars": {"LIST": ["NYSE"]}}, "env_vars['LIST'] is a list"),
        ({"env_vars": {"1ST": "x"}}, "'1ST' is no name of an environment variable"),
        ({"env_vars": {"A=B": "x"}}, "'A=B' is no name"),
        ({"env_vars": {"": "x"}}, "'' is no name"),
        ({"env_vars": {"..": "x"}}, "'..' is no name"),
        ({"env_vars": [{"value": "x"}]}, "None is no name"),
        ({"env_vars": "A=1"}, "env_vars is a str"),
        ({"env_vars": ["A=1"]}, "env_vars[0] is a str"),
        ({"env_vars": {"DATABASE_URL": "x"}, "secrets": [DATABASE_URL]}, "DATABASE_URL is set twice"),
        ({"env_vars": "{'A': '1'}"}, "render_template_as_native_obj=True"),
        ({"volumes": {"name": "tmp"}}, "volumes is a dict, no list"),
        ({"volumes": [{"name": "x", "config_map": {"name": "x"}}]}, "write 'configMap'"),
        ({"tolerations": [{"key": "a", "toleration_seconds": 3}]}, "write 'tolerationSeconds'"),
        ({"affinity": {"node_affinity": {}}}, "write 'nodeAffinity'"),
        ({"affinity": "arm64"}, "affinity is a str; write a dict"),
        ({"node_selector": {"arch": True}}, "node_selector['arch'] is True"),
        ({"node_selector": {"arch": "arm 64"}}, "which no node can have as its label"),
        ({"node_selector": ["arm64"]}, "node_selector is a list"),
        ({"termination_grace_period": -1}, "seconds, 0 or more"),
        ({"termination_grace_period": "30"}, "seconds, 0 or more"),
        ({"automount_service_account_token": "no"}, "write True or False"),
        ({"image_pull_secrets": ["Registry"]}, "image_pull_secrets[0] is 'Registry'"),
        ({"image_pull_secrets": {"name": "registry"}}, "image_pull_secrets is a dict, no list"),
        ({"image_pull_secrets": k8s.V1LocalObjectReference(name="one")}, "image_pull_secrets is a V1LocalObjectReference, no list"),
        ({"labels": {"two words": "x"}}, "labels has the key 'two words' (its value is 'x')"),
        ({"labels": {"a" * 64: "x"}}, "at most 63"),
        ({"labels": {"app": True}}, "labels['app'] is True"),
        ({"labels": "app=x"}, "labels is a str"),
        ({"annotations": {"-": "x"}}, "annotations has the key '-'"),
        ({"annotations": {"airflow-provider-dagconfig/dag-id": "x"}}, "take another prefix"),
        ({"annotations": {"note": {"a": 1}}}, "annotations['note'] is a dict"),
        ({"annotations": {f"a{number}" + "b" * 50: "" for number in range(5000)}}, "write fewer"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)  # fmt: skip
def test_a_parameter_that_cannot_be_is_refused_with_its_name_and_what_to_write(parameters, problem):
    with pytest.raises(ManifestError, match=re.escape(problem)):
        build_pod(request(**parameters))


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"env_vars": {"PASSWORD": "hunter2\0"}}, id="a variable"),
        pytest.param({"env_vars": {"PASSWORD": ["hunter2"]}}, id="a variable's list"),
        pytest.param({"env_vars": ["PASSWORD=hunter2"]}, id="variables as texts"),
        pytest.param({"env_vars": "PASSWORD=hunter2"}, id="variables in one text"),
        pytest.param({"arguments": "--password hunter2"}, id="arguments in one text"),
        pytest.param({"arguments": [["--password", "hunter2"]]}, id="arguments in a list"),
        pytest.param({"secrets": [{"deploy_type": "env", "secret": "s", "value": "hunter2"}]}, id="a secret"),
    ],
)
def test_a_refusal_does_not_show_what_may_be_a_password(parameters):
    with pytest.raises(ManifestError) as refused:
        build_pod(request(**parameters))
    assert "hunter2" not in str(refused.value)


# Labels and annotations


def test_pods_can_be_selected_by_task_instance_job_and_group():
    assert labels(map_index=0, try_number=2, exchange_group=GROUP, labels={"app": "data-collector"}) == {
        "app": "data-collector",
        "app.kubernetes.io/managed-by": "airflow-provider-dagconfig",
        "dag_id": "data_collection_equities",
        "run_id": names.label_value("scheduled__2025-10-28T21:30:00+00:00"),
        "task_id": "us_markets.collect",
        "map_index": "0",
        "try_number": "2",
        "job_name": "us_markets",
        "exchange_group": "us_markets",
    }


def test_a_task_that_is_not_mapped_has_no_map_index_as_a_label():
    assert "map_index" not in labels(map_index=-1)


def test_a_labels_value_from_a_template_does_not_keep_the_job_from_running():
    found = labels(labels={"market": "Asia / Pacific", "run": IDS["run_id"], "batch": 750, "empty": None})
    assert found["market"] == names.label_value("Asia / Pacific")
    assert found["run"] == found["run_id"]
    assert (found["batch"], found["empty"]) == ("750", "")


def test_a_label_of_the_operators_own_cannot_be_overwritten():
    assert labels(labels={"dag_id": "another"})["dag_id"] == "data_collection_equities"


@given(task_instances, st.dictionaries(keys.filter(names.is_qualified_name), run_ids | st.none(), max_size=5))
def test_labels_are_valid_for_every_id_and_value(ids, own):
    dag_id, run_id, task_id, map_index = ids
    built = build_pod(request(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index, labels=own))
    for key, value in built["metadata"]["labels"].items():
        assert names.is_qualified_name(key)
        assert names.is_label_value(value)


@given(task_instances, run_ids)
def test_annotations_are_valid_utf_8_for_every_id_and_value(ids, note):
    dag_id, run_id, task_id, map_index = ids
    built = build_pod(request(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index, annotations={"note": note}))
    for key, value in built["metadata"]["annotations"].items():
        assert names.is_qualified_name(key)
        value.encode()


@given(task_instances)
def test_annotations_hold_the_ids_in_full(ids):
    dag_id, run_id, task_id, map_index = ids
    built = build_pod(request(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index))
    assert annotation(built, "dag-id") == dag_id
    assert annotation(built, "task-id") == task_id
    assert annotation(built, "map-index") == str(map_index)
    if not any("\ud800" <= character <= "\udfff" for character in run_id):
        assert annotation(built, "run-id") == run_id


@given(
    st.dictionaries(
        st.integers(0, 500).map("note-{}".format),
        st.tuples(st.sampled_from("aé數\N{PILE OF POO}\0"), st.integers(0, 300_000)).map(lambda part: part[0] * part[1]),
        max_size=8,
    )
)
def test_annotations_together_are_never_more_than_kubernetes_takes(own):
    built = build_pod(request(annotations=own))["metadata"]["annotations"]
    assert sum(len(text.encode()) for item in built.items() for text in item) <= 256 * 1024 - 8 * 1024
    assert own.keys() <= built.keys()


def test_a_long_annotation_is_cut_and_says_so_and_short_ones_stay_whole():
    found = annotations(annotations={"report": "é" * 200_000, "note": "short"})
    assert found["report"].startswith("éééé")
    assert found["report"].endswith("... (cut, of 400000 bytes)")
    assert found["note"] == "short"
    assert found["airflow-provider-dagconfig/memory_limit"] == "4Gi"


# Finding a pod again


def test_a_pod_tells_which_try_made_it():
    assert try_number(pod(try_number=2)) == 2


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"metadata": {}}, id="no annotations"),
        pytest.param({"metadata": {"annotations": None}}, id="annotations that are null"),
        pytest.param({"metadata": {"annotations": {"airflow-provider-dagconfig/try-number": "x"}}}, id="no number"),
    ],
)
def test_a_pod_that_somebody_else_made_is_of_no_try(stranger):
    assert try_number(stranger) is None
    assert annotation(stranger, "dag-id") is None


# Weight


def test_building_a_manifest_imports_neither_airflow_nor_kubernetes_nor_sqlalchemy():
    program = (
        "import sys, airflow_provider_dagconfig.kubectl.manifest;print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "airflow_provider_dagconfig" in loaded
    assert not {"airflow", "kubernetes", "sqlalchemy", "psycopg2", "psycopg", "pydantic"} & set(loaded)
