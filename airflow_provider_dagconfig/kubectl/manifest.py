"""
The manifest of a task's pod. The input is plain data; the output is the document that ``kubectl create`` reads.

In it: what each parameter of the operator becomes in the pod, and the checks that come before the API server's. ``parameters``
reads the parameters, ``annotations`` writes the owner's annotations. Not in it: Airflow, the database, processes, and the
kubernetes client: its models, and the ``Secret`` of Airflow's Kubernetes provider, are recognized by their attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_dagconfig.kubectl import names
from airflow_provider_dagconfig.kubectl.annotations import PREFIX, config_annotations, task_annotations
from airflow_provider_dagconfig.kubectl.parameters import (
    ManifestError,
    kind_of,
    read_field,
    read_fields,
    read_label,
    read_mapping,
    read_optional_text,
    read_seconds,
    read_subdomain,
    read_switch,
    read_text,
    read_texts,
    shown,
)

if TYPE_CHECKING:
    from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup

MAX_ANNOTATION_BYTES = 240 * 1024
"""Bytes of keys and values. Longer values are cut: Kubernetes accepts 256 KiB, and the cluster adds its own annotations."""

XCOM_PATH = "/airflow/xcom/return.json"
"""The container's termination message: the kubelet copies up to 4,096 bytes of this file into the pod's status."""

BASE_CONTAINER_NAME = "base"

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_RULE_OF_KEYS = (
    f"a key is at most {names.MAX_LABEL_LENGTH} letters, digits, '-', '_' and '.', with a letter or digit at both ends;"
    " it may have a domain and '/' before it"
)


@dataclass(frozen=True, kw_only=True)
class PodRequest:
    """
    The input for a pod: the task instance, its configuration, and the DAG author's parameters.

    A parameter with the name of one of KubernetesPodOperator's has the same meaning. Structures may be dicts with Kubernetes'
    fields (camelCase) or the kubernetes client's models. CPU, memory and the deadline come from ``dag_config``.

    :param image: the container's image; None raises an error that says so
    :param map_index: -1 for a task that is not mapped
    :param try_number: counts from 1
    :param installation: the id of this Airflow, among those that share the namespace; None for a pod from before there were ids
    :param max_tries: Airflow's ``max_tries`` of the task instance
    :param run_start: when the dag run started, with a timezone
    :param run_clears: how often tasks of the dag run were cleared
    :param name: the first word of the pod's name, see :func:`names.pod_name`
    :param cmds: the entrypoint, instead of the image's
    :param arguments: the entrypoint's arguments, instead of the image's. Numbers become text.
    :param env_vars: a dict of texts, or a list of ``V1EnvVar``. A value may refer to a secret's variable as ``$(DATABASE_URL)``.
    :param configmaps: names of config maps whose entries become environment variables
    :param secrets: the Kubernetes provider's ``Secret``, or dicts with its fields:
        ``{"deploy_type": "env", "deploy_target": "DATABASE_URL", "secret": "postgres-secret", "key": "DATABASE_URL"}``. The pod
        holds references, never a value.
    :param labels: keys must be valid. Values are made valid, as those of the ids are (:func:`names.label_value`): they come from
        templates, and a group's name or a run's id must not keep a job from running. The operator's own keys (dag_id, run_id,
        task_id, map_index, try_number, job_name, exchange_group, installation, app.kubernetes.io/managed-by) keep the operator's
        values.
    :param annotations: keys must be valid and must not start with ``airflow-provider-dagconfig/``. Values that are too long for
        Kubernetes are cut.
    :param image_pull_secrets: names, ``V1LocalObjectReference``, or one text with names and commas
    :param termination_grace_period: seconds between SIGTERM and SIGKILL
    :param container_resources: resources other than cpu and memory, such as ``{"limits": {"nvidia.com/gpu": 1}}``
    :param base_container_name: the container's name; None for ``base``
    :param do_xcom_push: whether the container may write JSON to /airflow/xcom/return.json, at most 4,096 bytes
    """

    dag_id: str
    run_id: str
    task_id: str
    dag_config: DagConfig
    image: str | None
    map_index: int = -1
    try_number: int = 1
    exchange_group: ExchangeGroup | None = None
    installation: str | None = None
    max_tries: int | None = None
    run_start: datetime | None = None
    run_clears: int | None = None
    namespace: str = "default"
    name: str | None = None
    cmds: Sequence[Any] | None = None
    arguments: Sequence[Any] | None = None
    env_vars: Mapping[str, Any] | Sequence[Any] | None = None
    env_from: Sequence[Any] | None = None
    configmaps: Sequence[str] | None = None
    secrets: Sequence[Any] | None = None
    volumes: Sequence[Any] | None = None
    volume_mounts: Sequence[Any] | None = None
    labels: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] | None = None
    node_selector: Mapping[str, Any] | None = None
    tolerations: Sequence[Any] | None = None
    affinity: Any = None
    service_account_name: str | None = None
    automount_service_account_token: bool | None = None
    image_pull_policy: str | None = None
    image_pull_secrets: str | Sequence[Any] | None = None
    security_context: Any = None
    container_security_context: Any = None
    container_resources: Any = None
    termination_grace_period: int | None = None
    do_xcom_push: bool = False
    base_container_name: str | None = None
    ports: Sequence[Any] | None = None
    init_containers: Sequence[Any] | None = None
    hostnetwork: bool = False
    host_aliases: Sequence[Any] | None = None
    hostname: str | None = None
    subdomain: str | None = None
    dnspolicy: str | None = None
    dns_config: Any = None
    schedulername: str | None = None
    priority_class_name: str | None = None
    runtime_class_name: str | None = None


def build_pod(request: PodRequest) -> dict[str, Any]:
    """
    Return the manifest, a dict that ``json.dumps`` accepts. The same request gives the same manifest.

    :raises ManifestError: for the first parameter that can't be part of a pod
    """
    secrets = _secrets(request.secrets)
    container = {
        "name": read_label("base_container_name", request.base_container_name or BASE_CONTAINER_NAME),
        "image": _image(request.image),
        "imagePullPolicy": _pull_policy(request.image_pull_policy),
        "command": read_texts("cmds", request.cmds),
        "args": read_texts("arguments", request.arguments),
        "ports": read_fields("ports", request.ports),
        # Secrets first: a value may refer only to variables before it.
        "env": _checked_env([*secrets.env, *_env_vars(request.env_vars)]),
        "envFrom": [
            *read_fields("env_from", request.env_from),
            *({"configMapRef": {"name": name}} for name in read_texts("configmaps", request.configmaps)),
            *secrets.env_from,
        ],
        "resources": _resources(request.dag_config, request.container_resources),
        "volumeMounts": [*read_fields("volume_mounts", request.volume_mounts), *secrets.mounts],
        "securityContext": read_field("container_security_context", request.container_security_context),
        "terminationMessagePath": XCOM_PATH if request.do_xcom_push else None,
        # If a container fails without a message, the kubelet uses the end of its log (2,048 bytes, 80 lines).
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": request.dag_config.timeout_seconds,
        "terminationGracePeriodSeconds": read_seconds("termination_grace_period", request.termination_grace_period),
        "serviceAccountName": read_optional_text("service_account_name", request.service_account_name),
        "automountServiceAccountToken": read_switch("automount_service_account_token", request.automount_service_account_token),
        "imagePullSecrets": _image_pull_secrets(request.image_pull_secrets),
        "nodeSelector": _node_selector(request.node_selector),
        "tolerations": read_fields("tolerations", request.tolerations),
        "affinity": read_field("affinity", request.affinity),
        "securityContext": read_field("security_context", request.security_context),
        "hostNetwork": read_switch("hostnetwork", request.hostnetwork) or None,
        "hostAliases": read_fields("host_aliases", request.host_aliases),
        "hostname": read_optional_text("hostname", request.hostname),
        "subdomain": read_optional_text("subdomain", request.subdomain),
        "dnsPolicy": read_optional_text("dnspolicy", request.dnspolicy),
        "dnsConfig": read_field("dns_config", request.dns_config),
        "schedulerName": read_optional_text("schedulername", request.schedulername),
        "priorityClassName": read_optional_text("priority_class_name", request.priority_class_name),
        "runtimeClassName": read_optional_text("runtime_class_name", request.runtime_class_name),
        "initContainers": [
            {"terminationMessagePolicy": "FallbackToLogsOnError", **each}
            for each in read_fields("init_containers", request.init_containers)
        ],
        "containers": [_without_empty(container)],
        "volumes": [*read_fields("volumes", request.volumes), *secrets.volumes],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": _pod_name(request, request.installation),
            "namespace": read_label("namespace", request.namespace),
            "labels": _labels(request),
            "annotations": _annotations(request),
        },
        "spec": _without_empty(spec),
    }


def check_unrendered(parameters: Mapping[str, Any]) -> None:
    """
    Check the parameters that need neither a rendered template nor a row.

    :param parameters: some of :class:`PodRequest`'s, as the DAG file has them. Templates are not checked.
    :raises ManifestError: for the first parameter that can't be part of a pod
    """
    if "image" in parameters and not parameters["image"]:
        _image(parameters["image"])
    for parameter in ("cmds", "arguments"):
        value = parameters.get(parameter)
        if isinstance(value, str) and "{{" not in value and "{%" not in value:
            read_texts(parameter, value)
    env_vars = parameters.get("env_vars")
    if isinstance(env_vars, Mapping):
        for name, value in env_vars.items():
            if value is None or isinstance(value, bool):
                read_text(f"env_vars[{name!r}]", value)


def former_name(request: PodRequest) -> str:
    """Return the name that the pod had before installations had ids."""
    return _pod_name(request, None)


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields without those that are None or empty."""
    return {key: value for key, value in fields.items() if value is not None and value != [] and value != {}}


def _image(image: Any) -> str:
    if image is None or image == "":
        raise ManifestError(f"image is {image!r}; give the operator the image that the job runs in")
    text = read_text("image", image)
    if text != text.strip():
        raise ManifestError(f"image is {shown(text)}, with white space at an end; write {text.strip()!r}")
    return text


def _pull_policy(policy: Any) -> str | None:
    if policy is None:
        return None
    if policy in _PULL_POLICIES:
        return str(policy)
    raise ManifestError(f"image_pull_policy is {shown(policy)}; write one of {', '.join(_PULL_POLICIES)}")


def _resources(dag_config: DagConfig, others: Any) -> dict[str, Any]:
    """Merge the row's CPU and memory with other resources, for which a row has no columns."""
    resources = read_field("container_resources", others) or {}
    for kind in ("requests", "limits"):
        column = kind.removesuffix("s")
        amounts = read_mapping(f"container_resources.{kind}", resources.get(kind))
        for resource in {"cpu", "memory"} & amounts.keys():
            raise ManifestError(
                f"container_resources has {kind} of {resource}; take it out, {resource} is from {dag_config.origin}."
                f" To have them there: {dag_config.update_statement(f'{resource}_{column}', amounts[resource])}"
            )
        amounts["cpu"] = str(getattr(dag_config, f"cpu_{column}"))
        amounts["memory"] = str(getattr(dag_config, f"memory_{column}"))
        resources[kind] = amounts
    return resources


def _env_vars(env_vars: Any) -> list[dict[str, Any]]:
    if isinstance(env_vars, Mapping):
        return [{"name": name, "value": read_text(f"env_vars[{name!r}]", value)} for name, value in env_vars.items()]
    if isinstance(env_vars, str):
        raise ManifestError(
            "env_vars is a str, the result of a template; write a dict with templates for its values, {'NAME': '{{ ... }}'}, or"
            " set render_template_as_native_obj=True on the DAG, so that a template can return a dict"
        )
    return [
        {**entry, "value": read_text(f"env_vars[{entry.get('name')!r}]", entry["value"])} if "value" in entry else entry
        for entry in read_fields("env_vars", env_vars)
    ]


def _checked_env(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check the names: every supported API server must accept each of them, and none may be repeated."""
    by_name: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name) or name == "." or name.startswith(".."):
            raise ManifestError(
                f"{shown(name)} is no name of an environment variable; write letters, digits, '_', '-' and '.', with no digit first"
            )
        if name in by_name:
            raise ManifestError(f"the environment variable {name} is set twice; take one out of env_vars or secrets")
        by_name[name] = entry
    return list(by_name.values())


class _References(NamedTuple):
    """The parts that secrets add to a pod. They never contain a secret's value."""

    env: list[dict[str, Any]]
    env_from: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]


def _secrets(secrets: Any) -> _References:
    references = _References([], [], [], [])
    if secrets is not None and not isinstance(secrets, list | tuple):
        raise ManifestError(f"secrets is a {kind_of(secrets)}, no list; write [...] around it")
    for index, item in enumerate(secrets or ()):
        parameter = f"secrets[{index}]"
        secret = _secret(parameter, item)
        name, target, key, items = secret["secret"], secret["deploy_target"], secret["key"], secret["items"]
        if secret["deploy_type"] == "env" and key is not None:
            references.env.append({"name": target, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
        elif secret["deploy_type"] == "env":
            references.env_from.append({"secretRef": {"name": name}})
        else:
            source = {"secretName": name} | ({"items": items} if items else {})
            # The name depends only on the content: the same request makes the same pod, and two mounts of a secret share a volume.
            volume_name = f"secret-{names.slug(name)[:40].strip('-')}-{names.digest(dumps(source), length=8)}"
            volume = {"name": volume_name, "secret": source}
            if volume not in references.volumes:
                references.volumes.append(volume)
            references.mounts.append({"name": volume_name, "mountPath": target, "readOnly": True})
    return references


def _secret(parameter: str, value: Any) -> dict[str, Any]:
    """Read a ``Secret`` of the Kubernetes provider, or a dict with its fields."""
    fields = ("deploy_type", "deploy_target", "secret", "key", "items")
    example = "{'deploy_type': 'env', 'deploy_target': 'DATABASE_URL', 'secret': 'postgres-secret', 'key': 'DATABASE_URL'}"
    if isinstance(value, Mapping):
        if unknown := sorted(set(map(str, value)) - set(fields)):
            # The values are not shown: one of them may be the secret itself.
            raise ManifestError(f"{parameter} has {', '.join(unknown)}; a secret is written as {example}")
        secret = {field: value.get(field) for field in fields}
        if secret["deploy_type"] == "volume" and secret["key"] is not None:
            raise ManifestError(
                f"{parameter}: a volume holds all keys; for one of them write 'items': [{{'key': ..., 'path': ...}}], not 'key'"
            )
    elif all(hasattr(value, field) for field in ("deploy_type", "deploy_target", "secret")):
        secret = {field: getattr(value, field, None) for field in fields}
    else:
        raise ManifestError(f"{parameter} is a {kind_of(value)}; write airflow's Secret(...) or {example}")
    deploy_type, target, key = secret["deploy_type"], secret["deploy_target"], secret["key"]
    if deploy_type not in ("env", "volume"):
        raise ManifestError(f"{parameter}: deploy_type is {shown(deploy_type)}; write 'env' or 'volume'")
    if deploy_type == "env" and (key is None) != (target is None):
        raise ManifestError(
            f"{parameter}: an environment variable needs deploy_target (its name) and key (of the secret); leave out both"
            " to have all keys as variables"
        )
    if deploy_type == "volume" and (not isinstance(target, str) or not target.startswith("/")):
        raise ManifestError(f"{parameter}: deploy_target is {shown(target)}; write the directory to mount the secret in")
    read_subdomain(f"{parameter}: secret", secret["secret"])
    return {**secret, "items": read_fields(f"{parameter}.items", secret["items"] or None)}


def _image_pull_secrets(references: Any) -> list[dict[str, Any]]:
    if isinstance(references, str):
        references = [name.strip() for name in references.split(",") if name.strip()]
    if references is not None and not isinstance(references, list | tuple):
        raise ManifestError(f"image_pull_secrets is a {kind_of(references)}, no list; write [...] around it")
    return [
        {"name": read_subdomain(f"image_pull_secrets[{index}]", reference)}
        if isinstance(reference, str)
        else (read_field(f"image_pull_secrets[{index}]", reference) or {})
        for index, reference in enumerate(references or ())
    ]


def _node_selector(selector: Any) -> dict[str, str]:
    texts = read_mapping("node_selector", selector)
    for key, text in texts.items():
        if not names.is_qualified_name(key) or not names.is_label_value(text):
            raise ManifestError(f"node_selector has {shown(key)}: {shown(text)}, which no node can have as its label")
    return texts


def _pod_name(request: PodRequest, installation: str | None) -> str:
    name = read_optional_text("name", request.name)
    return names.pod_name(request.dag_id, request.run_id, request.task_id, request.map_index, name, installation)


def _labels(request: PodRequest) -> dict[str, str]:
    """Return the labels. They are for selecting pods and hold the ids as far as a label can; the annotations hold them in full."""
    labels: dict[str, str] = {}
    for key, value in read_mapping("labels", request.labels, none="").items():
        if not names.is_qualified_name(key):
            raise ManifestError(f"labels has the key {shown(key)} (its value is {shown(value)}); {_RULE_OF_KEYS}")
        labels[key] = names.label_value(value)
    mapped = request.map_index is not None and request.map_index >= 0
    own_labels = {
        "dag_id": request.dag_id,
        "run_id": request.run_id,
        "task_id": request.task_id,
        "map_index": str(request.map_index) if mapped else None,
        "try_number": str(request.try_number),
        "job_name": request.dag_config.job_name,
        "exchange_group": None if request.exchange_group is None else request.exchange_group.group_name,
        "installation": request.installation,
        "app.kubernetes.io/managed-by": PREFIX,
    }
    return labels | {key: names.label_value(text) for key, text in own_labels.items() if text is not None}


def _annotations(request: PodRequest) -> dict[str, str]:
    annotations: dict[str, str] = {}
    for key, value in read_mapping("annotations", request.annotations, none="").items():
        prefix, slash, name = key.rpartition("/")
        if not names.is_qualified_name(f"{prefix.lower()}{slash}{name}"):
            raise ManifestError(f"annotations has the key {shown(key)}; {_RULE_OF_KEYS}")
        if prefix.lower() == PREFIX:
            raise ManifestError(f"annotations has {shown(key)}; {PREFIX}/ is the operator's own, take another prefix")
        annotations[key] = value
    ids = task_annotations(
        request.dag_id,
        request.run_id,
        request.task_id,
        request.map_index,
        request.try_number,
        request.installation,
        max_tries=request.max_tries,
        run_start=request.run_start,
        run_clears=request.run_clears,
    )
    size_of_ids = sum(len(text.encode()) for item in ids.items() for text in item)
    annotations |= config_annotations(request.dag_config, request.exchange_group)
    return _cut_to_fit(annotations, MAX_ANNOTATION_BYTES - size_of_ids) | ids


def _cut_to_fit(annotations: Mapping[str, str], room: int) -> dict[str, str]:
    """
    Cut the longest values and mark them as cut, until keys and values have at most ``room`` bytes. Short values stay whole.

    :raises ManifestError: if there are so many annotations that hardly more than the marks would remain
    """
    sizes = {key: len(text.encode()) for key, text in annotations.items()}
    room -= sum(len(key.encode()) for key in annotations)
    if sum(sizes.values()) <= room:
        return dict(annotations)
    mark = "... (cut, of {} bytes)"
    low, high = 0, max(sizes.values())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(min(size, middle) for size in sizes.values()) <= room else (low, middle - 1)
    if low < 100:
        raise ManifestError(
            f"{len(annotations)} annotations have more than Kubernetes takes, {MAX_ANNOTATION_BYTES} bytes; write fewer"
        )
    fitting = {}
    for key, text in annotations.items():
        if sizes[key] > low:
            end = mark.format(sizes[key])
            text = text.encode()[: low - len(end)].decode("utf-8", "ignore") + end
        fitting[key] = text
    return fitting
