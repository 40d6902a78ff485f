"""
The manifest of a task's pod: plain data goes in, the document that ``kubectl create`` reads comes out.

In it: what each parameter of the operator becomes in the pod, what is checked before the API server sees it, and how the
annotations of a pod that was found are read. Not in it: Airflow, the database, any process, and the kubernetes client;
its models, and the ``Secret`` of Airflow's Kubernetes provider, are known by their attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from json import dumps
from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from airflow_provider_dagconfig.kubectl import names
from airflow_provider_dagconfig.models import Quantity

if TYPE_CHECKING:
    from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup

PREFIX = "airflow-provider-dagconfig"
"""Of the annotations that the operator writes."""

XCOM_PATH = "/airflow/xcom/return.json"
"""What a container writes here, up to 4,096 bytes, the kubelet puts into the pod's status (its termination message)."""

MAX_ANNOTATION_BYTES = 240 * 1024
"""Kubernetes takes 256 KiB of keys and values; the rest is for what the cluster itself writes on a pod."""

BASE_CONTAINER_NAME = "base"

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_RULE_OF_KEYS = (
    f"a key is at most {names.MAX_LABEL_LENGTH} letters, digits, '-', '_' and '.', with a letter or digit at both ends;"
    " it may have a domain and '/' before it"
)
_FREE_KEYS = frozenset(
    # The fields whose keys are the user's own, not the names of fields.
    {"annotations", "labels", "limits", "matchLabels", "nodeSelector", "options", "requests", "volumeAttributes"}
)


class ManifestError(ValueError):
    """A parameter can't be part of a pod. The message names the parameter and what to write instead."""


@dataclass(frozen=True, kw_only=True)
class PodRequest:
    """
    All that a pod is made from: who runs it, with which configuration, and what the DAG's author wants.

    Where KubernetesPodOperator has a parameter of that name, it means the same here. Structures may be dicts with
    Kubernetes' fields (camelCase) or the kubernetes client's models. CPU, memory and the deadline come from
    ``dag_config``.

    :param image: the container's image; None is an error that says so
    :param map_index: -1 for a task that is not mapped
    :param try_number: counts from 1
    :param installation: which Airflow it is, among those that share the namespace; None is none, as before there were ids
    :param name: the first word of the pod's name, see :func:`names.pod_name`
    :param cmds: the entrypoint, instead of the image's
    :param arguments: the entrypoint's arguments, instead of the image's. Numbers become text.
    :param env_vars: a dict of texts, or a list of ``V1EnvVar``. A value may refer to a secret's as ``$(DATABASE_URL)``.
    :param configmaps: names of config maps whose entries become environment variables
    :param secrets: the Kubernetes provider's ``Secret``, or dicts with its fields: ``{"deploy_type": "env",
        "deploy_target": "DATABASE_URL", "secret": "postgres-secret", "key": "DATABASE_URL"}``. The pod holds
        references, never a value.
    :param labels: keys must be valid. Values are made valid as those of the ids are (:func:`names.label_value`): they
        come from templates, and a group's name or a run's id must not keep a job from running. Where a key is one of
        the operator's own (dag_id, run_id, task_id, map_index, try_number, job_name, exchange_group, installation,
        app.kubernetes.io/managed-by), the operator's value stays.
    :param annotations: keys must be valid, and none that starts with ``airflow-provider-dagconfig/``. Values that are
        too long for Kubernetes are cut.
    :param image_pull_secrets: names, ``V1LocalObjectReference``, or names in one text with commas
    :param termination_grace_period: seconds between SIGTERM and SIGKILL
    :param container_resources: resources other than cpu and memory, such as ``{"limits": {"nvidia.com/gpu": 1}}``
    :param base_container_name: the container's name; None is ``base``
    :param do_xcom_push: the container may write JSON to /airflow/xcom/return.json, at most 4,096 bytes
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
    Make the manifest: a dict that ``json.dumps`` takes, the same one for the same request.

    :raises ManifestError: for the first parameter that can't be part of a pod
    """
    secrets = _secrets(request.secrets)
    container = {
        "name": _label("base_container_name", request.base_container_name or BASE_CONTAINER_NAME),
        "image": _image(request.image),
        "imagePullPolicy": _pull_policy(request.image_pull_policy),
        "command": _texts("cmds", request.cmds),
        "args": _texts("arguments", request.arguments),
        "ports": _fields("ports", request.ports),
        # Secrets first: a value may refer to a variable that stands before it.
        "env": _env([*secrets.env, *_env_vars(request.env_vars)]),
        "envFrom": [
            *_fields("env_from", request.env_from),
            *({"configMapRef": {"name": name}} for name in _texts("configmaps", request.configmaps)),
            *secrets.env_from,
        ],
        "resources": _resources(request.dag_config, request.container_resources),
        "volumeMounts": [*_fields("volume_mounts", request.volume_mounts), *secrets.mounts],
        "securityContext": _field("container_security_context", request.container_security_context),
        "terminationMessagePath": XCOM_PATH if request.do_xcom_push else None,
        # A container that fails without a message leaves the end of its log there (2,048 bytes, 80 lines).
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": request.dag_config.timeout_seconds,
        "terminationGracePeriodSeconds": _seconds("termination_grace_period", request.termination_grace_period),
        "serviceAccountName": _optional_text("service_account_name", request.service_account_name),
        "automountServiceAccountToken": _switch("automount_service_account_token", request.automount_service_account_token),
        "imagePullSecrets": _image_pull_secrets(request.image_pull_secrets),
        "nodeSelector": _node_selector(request.node_selector),
        "tolerations": _fields("tolerations", request.tolerations),
        "affinity": _field("affinity", request.affinity),
        "securityContext": _field("security_context", request.security_context),
        "hostNetwork": _switch("hostnetwork", request.hostnetwork) or None,
        "hostAliases": _fields("host_aliases", request.host_aliases),
        "hostname": _optional_text("hostname", request.hostname),
        "subdomain": _optional_text("subdomain", request.subdomain),
        "dnsPolicy": _optional_text("dnspolicy", request.dnspolicy),
        "dnsConfig": _field("dns_config", request.dns_config),
        "schedulerName": _optional_text("schedulername", request.schedulername),
        "priorityClassName": _optional_text("priority_class_name", request.priority_class_name),
        "runtimeClassName": _optional_text("runtime_class_name", request.runtime_class_name),
        "initContainers": _fields("init_containers", request.init_containers),
        "containers": [_given(container)],
        "volumes": [*_fields("volumes", request.volumes), *secrets.volumes],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": _name(request, request.installation),
            "namespace": _label("namespace", request.namespace),
            "labels": _labels(request),
            "annotations": _annotations(request),
        },
        "spec": _given(spec),
    }


def former_name(request: PodRequest) -> str:
    """Give the name that the pod had before there were installations."""
    return _name(request, None)


def config_annotations(dag_config: DagConfig, exchange_group: ExchangeGroup | None = None) -> dict[str, str]:
    """
    Write a configuration as annotations, with the names that templates use for its values.

    ``airflow-provider-dagconfig/memory_limit``, and with the same prefix ``origin``, ``change.changed_by``,
    ``exchange_group.exchanges``. What is None is left out; lists are joined with commas.
    """
    values = dag_config.as_dict()
    if exchange_group is not None:
        values["exchange_group"] = exchange_group.as_dict()
    return {f"{PREFIX}/{name}": text for name, text in _flat(values)}


def task_annotations(
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int | None = -1,
    try_number: int = 1,
    installation: str | None = None,
) -> dict[str, str]:
    """Write a task instance's ids in full: ``airflow-provider-dagconfig/dag-id``, and so on."""
    ids = {
        "dag-id": _readable(dag_id),
        "run-id": _readable(run_id),
        "task-id": _readable(task_id),
        "map-index": str(-1 if map_index is None else map_index),
        "try-number": str(try_number),
        "installation": installation,
    }
    return {f"{PREFIX}/{name}": text for name, text in ids.items() if text is not None}


def is_same_task_instance(pod: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two pods are of one task instance by their annotations, whichever installation's and try's they are."""
    ids = ("dag-id", "run-id", "task-id", "map-index")
    return all(annotation(pod, name) == annotation(other, name) is not None for name in ids)


def annotation(pod: Mapping[str, Any], name: str) -> str | None:
    """
    Read one of our annotations of a pod, by its name without the prefix: ``annotation(pod, "try-number")``.

    :param pod: a manifest, or what the API server answered
    """
    value = ((pod.get("metadata") or {}).get("annotations") or {}).get(f"{PREFIX}/{name}")
    return None if value is None else str(value)


def try_number(pod: Mapping[str, Any]) -> int | None:
    """Read which try has a pod: the one that made it, or has adopted it; None where the pod doesn't say."""
    text = annotation(pod, "try-number")
    return int(text) if text and text.isdecimal() else None


def to_plain(value: Any) -> Any:
    """
    Turn the kubernetes client's models into plain data, as its ``ApiClient.sanitize_for_serialization`` does.

    Models (all that has ``attribute_map`` and ``openapi_types``) become dicts with camelCase keys, tuples lists, dates
    ISO 8601 texts, at any depth. A model's attributes that are None are left out; all else stays.
    """
    if hasattr(value, "attribute_map") and hasattr(value, "openapi_types"):
        attributes = {field: getattr(value, name) for name, field in value.attribute_map.items()}
        return {field: to_plain(item) for field, item in attributes.items() if item is not None}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is None or has nothing in it."""
    return {key: value for key, value in fields.items() if value is not None and value != [] and value != {}}


def _fields(parameter: str, values: Any) -> list[dict[str, Any]]:
    """Read a list of models or dicts."""
    if values is None:
        return []
    if not isinstance(values, list | tuple):
        raise ManifestError(f"{parameter} is a {_kind(values)}, no list; write [...] around it")
    return [_field(f"{parameter}[{index}]", value) or {} for index, value in enumerate(values)]


def _field(parameter: str, value: Any) -> dict[str, Any] | None:
    """Read a model or dict."""
    if value is None:
        return None
    plain = _without_none(to_plain(value))
    if not isinstance(plain, dict):
        raise ManifestError(
            f"{parameter} is a {_kind(value)}; write a dict with Kubernetes' fields, or a model of the kubernetes client"
        )
    _check_keys(parameter, plain)
    return plain


def _without_none(value: Any) -> Any:
    """A field that is None is a field that is not given."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def _check_keys(parameter: str, value: Any) -> None:
    """Refuse names that no field of Kubernetes has: the API server would drop them without a word."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_keys(f"{parameter}[{index}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or "_" in key:
                camel = re.sub(r"_+([A-Za-z0-9])", lambda match: match[1].upper(), str(key))
                raise ManifestError(f"{parameter} has {key!r}, but Kubernetes' fields are in camelCase; write {camel!r}")
            if key not in _FREE_KEYS:
                _check_keys(f"{parameter}.{key}", item)
    elif isinstance(value, str):
        _text(parameter, value)


def _text(parameter: str, value: Any) -> str:
    """
    Read a text for a process or a field: a number or time becomes what a template would have written for it.

    None, booleans and containers are refused: what they would become ("None", "True") is hardly ever meant. Messages
    don't show the value, which may be a password.
    """
    if isinstance(value, str):
        text = str.__str__(value)
        if "\0" in text or _readable(text) != text:
            raise ManifestError(f"{parameter} has a NUL or a lone surrogate in it, which no process can be given")
        return text
    if value is None:
        raise ManifestError(f"{parameter} is None; give it a text ('' for an empty one), or leave it out")
    if isinstance(value, bool):
        raise ManifestError(f"{parameter} is {value}, a boolean; write the text that is meant, such as 'true' or 'True'")
    if isinstance(value, Number | date | time | UUID | Quantity):
        return str(value)
    raise ManifestError(f"{parameter} is a {_kind(value)}; write a text")


def _texts(parameter: str, values: Any) -> list[str]:
    """Read a list of texts."""
    if values is None:
        return []
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise ManifestError(f"{parameter} is a {_kind(values)}; write a list of texts, as in ['python', '-m', 'collector']")
    return [_text(f"{parameter}[{index}]", value) for index, value in enumerate(values)]


def _optional_text(parameter: str, value: Any) -> str | None:
    return None if value is None else _text(parameter, value)


def _label(parameter: str, value: Any) -> str:
    text = _text(parameter, value)
    if not names.is_label(text):
        raise ManifestError(
            f"{parameter} is {_shown(text)}; write at most {names.MAX_LABEL_LENGTH} lower case letters, digits and '-',"
            " with a letter or digit at both ends (RFC 1123 label)"
        )
    return text


def _subdomain(parameter: str, value: Any) -> str:
    text = _text(parameter, value)
    if not names.is_subdomain(text):
        raise ManifestError(
            f"{parameter} is {_shown(text)}; write at most 253 lower case letters, digits, '-' and '.', with a letter"
            " or digit at both ends (RFC 1123 subdomain)"
        )
    return text


def _image(image: Any) -> str:
    if image is None or image == "":
        raise ManifestError(f"image is {image!r}; give the operator the image that the job runs in")
    text = _text("image", image)
    if text != text.strip():
        raise ManifestError(f"image is {_shown(text)}, with white space at an end; write {text.strip()!r}")
    return text


def _pull_policy(policy: Any) -> str | None:
    if policy is None:
        return None
    if policy in _PULL_POLICIES:
        return str(policy)
    raise ManifestError(f"image_pull_policy is {_shown(policy)}; write one of {', '.join(_PULL_POLICIES)}")


def _switch(parameter: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ManifestError(f"{parameter} is {_shown(value)}; write True or False")


def _seconds(parameter: str, value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ManifestError(f"{parameter} is {_shown(value)}; write a whole number of seconds, 0 or more")


def _resources(dag_config: DagConfig, others: Any) -> dict[str, Any]:
    """Join the row's CPU and memory with other resources, which a row has no columns for."""
    resources = _field("container_resources", others) or {}
    for kind in ("requests", "limits"):
        column = kind.removesuffix("s")
        amounts = _mapping(f"container_resources.{kind}", resources.get(kind))
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
        return [{"name": name, "value": _text(f"env_vars[{name!r}]", value)} for name, value in env_vars.items()]
    return [
        {**entry, "value": _text(f"env_vars[{entry.get('name')!r}]", entry["value"])} if "value" in entry else entry
        for entry in _fields("env_vars", env_vars)
    ]


def _env(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check the names: each one that every supported API server takes, and none twice."""
    by_name: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name) or name == "." or name.startswith(".."):
            raise ManifestError(
                f"{_shown(name)} is no name of an environment variable; write letters, digits, '_', '-' and '.',"
                " with no digit first"
            )
        if name in by_name:
            raise ManifestError(f"the environment variable {name} is set twice; take one out of env_vars or secrets")
        by_name[name] = entry
    return list(by_name.values())


class _References(NamedTuple):
    """What secrets add to a pod; none of it is a secret's value."""

    env: list[dict[str, Any]]
    env_from: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]


def _secrets(secrets: Any) -> _References:
    references = _References([], [], [], [])
    if secrets is not None and not isinstance(secrets, list | tuple):
        raise ManifestError(f"secrets is a {_kind(secrets)}, no list; write [...] around it")
    for index, given in enumerate(secrets or ()):
        where = f"secrets[{index}]"
        secret = _secret(where, given)
        name, target, key, items = secret["secret"], secret["deploy_target"], secret["key"], secret["items"]
        if secret["deploy_type"] == "env" and key is not None:
            references.env.append({"name": target, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
        elif secret["deploy_type"] == "env":
            references.env_from.append({"secretRef": {"name": name}})
        else:
            source = {"secretName": name} | ({"items": items} if items else {})
            # The name is of the content only: the same request makes the same pod, two mounts of a secret share a volume.
            volume_name = f"secret-{names.slug(name)[:40].strip('-')}-{names.digest(dumps(source), length=8)}"
            volume = {"name": volume_name, "secret": source}
            if volume not in references.volumes:
                references.volumes.append(volume)
            references.mounts.append({"name": volume_name, "mountPath": target, "readOnly": True})
    return references


def _secret(where: str, given: Any) -> dict[str, Any]:
    """Read a ``Secret`` of the Kubernetes provider, or a dict with its fields."""
    fields = ("deploy_type", "deploy_target", "secret", "key", "items")
    example = "{'deploy_type': 'env', 'deploy_target': 'DATABASE_URL', 'secret': 'postgres-secret', 'key': 'DATABASE_URL'}"
    if isinstance(given, Mapping):
        if unknown := sorted(set(map(str, given)) - set(fields)):
            # Not shown: what else is in there may be the secret itself.
            raise ManifestError(f"{where} has {', '.join(unknown)}; a secret is written as {example}")
        secret = {field: given.get(field) for field in fields}
        if secret["deploy_type"] == "volume" and secret["key"] is not None:
            raise ManifestError(
                f"{where}: a volume holds all keys; for one of them write 'items': [{{'key': ..., 'path': ...}}], not 'key'"
            )
    elif all(hasattr(given, field) for field in ("deploy_type", "deploy_target", "secret")):
        secret = {field: getattr(given, field, None) for field in fields}
    else:
        raise ManifestError(f"{where} is a {_kind(given)}; write airflow's Secret(...) or {example}")
    deploy_type, target, key = secret["deploy_type"], secret["deploy_target"], secret["key"]
    if deploy_type not in ("env", "volume"):
        raise ManifestError(f"{where}: deploy_type is {_shown(deploy_type)}; write 'env' or 'volume'")
    if deploy_type == "env" and (key is None) != (target is None):
        raise ManifestError(
            f"{where}: an environment variable needs deploy_target (its name) and key (of the secret); leave out both"
            " to have all keys as variables"
        )
    if deploy_type == "volume" and (not isinstance(target, str) or not target.startswith("/")):
        raise ManifestError(f"{where}: deploy_target is {_shown(target)}; write the directory to mount the secret in")
    _subdomain(f"{where}: secret", secret["secret"])
    return {**secret, "items": _fields(f"{where}.items", secret["items"] or None)}


def _image_pull_secrets(references: Any) -> list[dict[str, Any]]:
    if isinstance(references, str):
        references = [name.strip() for name in references.split(",") if name.strip()]
    if references is not None and not isinstance(references, list | tuple):
        raise ManifestError(f"image_pull_secrets is a {_kind(references)}, no list; write [...] around it")
    return [
        {"name": _subdomain(f"image_pull_secrets[{index}]", reference)}
        if isinstance(reference, str)
        else (_field(f"image_pull_secrets[{index}]", reference) or {})
        for index, reference in enumerate(references or ())
    ]


def _node_selector(selector: Any) -> dict[str, str]:
    texts = _mapping("node_selector", selector)
    for key, text in texts.items():
        if not names.is_qualified_name(key) or not names.is_label_value(text):
            raise ManifestError(f"node_selector has {_shown(key)}: {_shown(text)}, which no node can have as its label")
    return texts


def _name(request: PodRequest, installation: str | None) -> str:
    name = _optional_text("name", request.name)
    return names.pod_name(request.dag_id, request.run_id, request.task_id, request.map_index, name, installation)


def _labels(request: PodRequest) -> dict[str, str]:
    """Labels are to select pods by: they hold the ids as far as a label can; in full they are in the annotations."""
    labels: dict[str, str] = {}
    for key, value in _mapping("labels", request.labels, none="").items():
        if not names.is_qualified_name(key):
            raise ManifestError(f"labels has the key {_shown(key)} (its value is {_shown(value)}); {_RULE_OF_KEYS}")
        labels[key] = names.label_value(value)
    mapped = request.map_index is not None and request.map_index >= 0
    own = {
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
    return labels | {key: names.label_value(text) for key, text in own.items() if text is not None}


def _annotations(request: PodRequest) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for key, value in _mapping("annotations", request.annotations, none="").items():
        prefix, slash, name = key.rpartition("/")
        if not names.is_qualified_name(f"{prefix.lower()}{slash}{name}"):
            raise ManifestError(f"annotations has the key {_shown(key)}; {_RULE_OF_KEYS}")
        if prefix.lower() == PREFIX:
            raise ManifestError(f"annotations has {_shown(key)}; {PREFIX}/ is the operator's own, take another prefix")
        wanted[key] = value
    ids = task_annotations(
        request.dag_id, request.run_id, request.task_id, request.map_index, request.try_number, request.installation
    )
    size_of_ids = sum(len(text.encode()) for item in ids.items() for text in item)
    wanted |= config_annotations(request.dag_config, request.exchange_group)
    return _fit(wanted, MAX_ANNOTATION_BYTES - size_of_ids) | ids


def _fit(annotations: Mapping[str, str], room: int) -> dict[str, str]:
    """
    Cut the longest values, and mark them as cut, until keys and values have at most ``room`` bytes; short ones stay
    whole.

    :raises ManifestError: when there are so many that little more than the marks would be left
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


def _mapping(parameter: str, values: Any, none: str | None = None) -> dict[str, str]:
    """Read a dict of texts; ``none`` is what None becomes where it isn't refused."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ManifestError(f"{parameter} is a {_kind(values)}, {_shown(values)}; write a dict")
    texts: dict[str, str] = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise ManifestError(f"{parameter} has the key {_shown(key)}; write a text")
        if value is None and none is not None:
            value = none
        texts[key] = _readable(value) if isinstance(value, str) else _text(f"{parameter}[{key!r}]", value)
    return texts


def _flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Give each value that isn't None with its dotted name, as text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{path}{name}", ",".join(_readable(str(item)) for item in value)
        elif value is not None:
            yield f"{path}{name}", str(value).lower() if isinstance(value, bool) else _readable(str(value))


def _readable(text: str) -> str:
    r"""Write a lone surrogate, which is in no valid UTF-8, as the six characters ``\udce9``."""
    return str.__str__(text).encode("utf-8", "backslashreplace").decode()


def _kind(value: Any) -> str:
    return type(value).__name__


def _shown(value: Any) -> str:
    """Show a value in a message, with the middle left out of a long one."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:120]}...{text[-60:]}"
