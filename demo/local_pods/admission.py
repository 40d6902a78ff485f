"""
The checks of a new object: the API server's decoding, defaults and validation, as far as the stand-in has them.

The messages are the API server's, so that a user sees the same message as with a cluster. A field that the stand-in does not use
is kept and not checked.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterator
from typing import Any

from airflow_provider_dagconfig.models import Quantity
from demo.local_pods.store import RESOURCES, ApiError, Object

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"
_ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_DATA_KEY = "[-._a-zA-Z0-9]+"
_RESOURCE = re.compile(r"cpu|memory|ephemeral-storage|hugepages-.+|.+/.+")
_ANNOTATIONS_SIZE = 256 * 1024

_LABEL_HELP = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_HELP = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_QUALIFIED_HELP = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_VALUE_HELP = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE}')"
)
_ENV_HELP = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    f"start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is "
    f"'{_ENV_NAME}')"
)
_DATA_KEY_HELP = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    f"'key-name', regex used for validation is '{_DATA_KEY}')"
)
_QUANTITY_HELP = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

# reason, field, message
Problem = tuple[str, str, str]


def admit(plural: str, new: Any, namespace: str) -> Object:
    """
    Decode, complete and check an object that a client wants to create.

    :raises ApiError: BadRequest where it cannot be decoded, Invalid where a value is not allowed.
    """
    kind = RESOURCES[plural].kind
    if not isinstance(new, dict):
        raise ApiError(400, "BadRequest", f"the object provided is unrecognized (must be of type {kind})")
    given = new.get("kind", kind)
    if given != kind:
        message = f'{given} in version "v1" cannot be handled as a {kind}: converting (v1.{given}) to (core.{kind}): '
        raise ApiError(400, "BadRequest", message + "unknown conversion")
    if new.get("apiVersion", "v1") != "v1":
        version = new["apiVersion"]
        message = f'{kind} in version "{version}" cannot be handled as a {kind}: no kind "{kind}" is registered for '
        raise ApiError(400, "BadRequest", f'{message}version "{version}"')
    metadata = new.setdefault("metadata", {})
    _decode_metadata(kind, metadata)
    if metadata.get("resourceVersion"):
        raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
    if RESOURCES[plural].namespaced:
        if metadata.setdefault("namespace", namespace) != namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise ApiError(400, "BadRequest", message)
    else:
        metadata.pop("namespace", None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"][:58] + secrets.token_hex(3)[:5]
    for key in ("creationTimestamp", "deletionTimestamp", "uid", "selfLink", "generation", "managedFields"):
        metadata.pop(key, None)
    problems = list(_metadata_problems(metadata, label=plural == "namespaces"))
    if plural == "pods":
        spec = new.setdefault("spec", {})
        _decode_pod(spec)
        problems += _pod_problems(spec)
        if not problems:
            _default_pod(spec)
        new["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
    elif plural in ("secrets", "configmaps"):
        problems += _data(kind, new)
    elif plural == "namespaces":
        new["spec"] = {"finalizers": ["kubernetes"]}
        new["status"] = {"phase": "Active"}
    refuse(kind, metadata.get("name", ""), problems)
    return new


def refuse(kind: str, name: str, problems: list[Problem]) -> None:
    """
    Refuse an object that has problems.

    :raises ApiError: Invalid; the message names each problem.
    """
    if not problems:
        return
    told = [f"{field}: {message}" for _, field, message in problems]
    causes = [{"reason": reason, "message": message, "field": field} for reason, field, message in problems]
    message = f'{kind} "{name}" is invalid: {told[0] if len(told) == 1 else "[" + ", ".join(told) + "]"}'
    details = {**({"name": name} if name else {}), "kind": kind, "causes": causes}
    raise ApiError(422, "Invalid", message, details)


def _invalid(field: str, value: object, message: str) -> Problem:
    shown = f'"{value}"' if isinstance(value, str) else value
    return "FieldValueInvalid", field, f"Invalid value: {shown}: {message}"


def _required(field: str, message: str = "") -> Problem:
    return "FieldValueRequired", field, f"Required value{': ' if message else ''}{message}"


def _decoded(kind: str, value: object, wanted: type, where: str) -> None:
    """Refuse a value of another JSON type, as the API server's decoder does."""
    if value is None or (isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))):
        return
    names = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}
    target = {str: "string", int: "int64", dict: "map", list: "slice"}[wanted]
    message = f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal '
    raise ApiError(400, "BadRequest", f"{message}{names[type(value)]} into Go struct field {where} of type {target}")


def _decode_metadata(kind: str, metadata: Any) -> None:
    _decoded(kind, metadata, dict, "metadata")
    for key in ("name", "generateName", "namespace"):
        _decoded(kind, metadata.get(key), str, f"ObjectMeta.metadata.{key}")
    for key in ("labels", "annotations"):
        entries = metadata.get(key)
        _decoded(kind, entries, dict, f"ObjectMeta.metadata.{key}")
        for value in (entries or {}).values():
            _decoded(kind, value, str, f"ObjectMeta.metadata.{key}")


def _metadata_problems(metadata: Object, *, label: bool) -> Iterator[Problem]:
    name = metadata.get("name")
    if not name:
        yield _required("metadata.name", "name or generateName is required")
    else:
        yield from _name_problems("metadata.name", name, label=label)
    yield from _label_problems("metadata.labels", metadata.get("labels") or {})
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from _key_problems("metadata.annotations", key.lower())
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_SIZE:
        message = f"Too long: must have at most {_ANNOTATIONS_SIZE} bytes"
        yield "FieldValueTooLong", "metadata.annotations", message


def _name_problems(field: str, name: str, *, label: bool = False) -> Iterator[Problem]:
    longest, pattern, told = (63, _LABEL, _LABEL_HELP) if label else (253, _SUBDOMAIN, _SUBDOMAIN_HELP)
    if len(name) > longest:
        yield _invalid(field, name, f"must be no more than {longest} characters")
    if not re.fullmatch(pattern, name):
        yield _invalid(field, name, told)


def _label_problems(field: str, labels: dict[str, str]) -> Iterator[Problem]:
    for key, value in labels.items():
        yield from _key_problems(field, key)
        if len(value) > 63:
            yield _invalid(field, value, "must be no more than 63 characters")
        if not re.fullmatch(_VALUE, value):
            yield _invalid(field, value, _VALUE_HELP)


def _key_problems(field: str, key: str) -> Iterator[Problem]:
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        yield _invalid(field, key, "prefix part must be non-empty")
    elif slash and (len(prefix) > 253 or not re.fullmatch(_SUBDOMAIN, prefix)):
        yield _invalid(field, key, f"prefix part {_SUBDOMAIN_HELP}")
    if not name:
        yield _invalid(field, key, "name part must be non-empty")
    elif len(name) > 63:
        yield _invalid(field, key, "name part must be no more than 63 characters")
    if not re.fullmatch(_QUALIFIED, name):
        yield _invalid(field, key, _QUALIFIED_HELP)


def _data(kind: str, new: Object) -> list[Problem]:
    """Complete and check the data of a secret or a config map; return its problems."""
    _decoded(kind, new.get("data"), dict, f"{kind}.data")
    data: dict[str, str] = new.get("data") or {}
    for value in data.values():
        _decoded(kind, value, str, f"{kind}.data")
        if kind == "Secret":
            try:
                base64.b64decode(value or "", validate=True)
            except (binascii.Error, ValueError):
                message = 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data in v1.Secret.Data'
                raise ApiError(400, "BadRequest", message) from None
    if kind == "Secret":
        for key, value in (new.pop("stringData", None) or {}).items():
            _decoded(kind, value, str, "Secret.stringData")
            data[key] = base64.b64encode(value.encode()).decode()
        new.setdefault("type", "Opaque")
    if data:
        new["data"] = data
    return [_invalid(f"data[{key}]", key, _DATA_KEY_HELP) for key in data if not re.fullmatch(_DATA_KEY, key)]


def containers(spec: Object) -> Iterator[tuple[str, Object]]:
    """Yield a pod's containers, each with the path of its field."""
    for key in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(key) or []):
            yield f"spec.{key}[{index}]", container


def _decode_pod(spec: Any) -> None:
    _decoded("Pod", spec, dict, "Pod.spec")
    for key in ("containers", "initContainers", "volumes", "tolerations", "imagePullSecrets"):
        _decoded("Pod", spec.get(key), list, f"PodSpec.spec.{key}")
    for key in ("activeDeadlineSeconds", "terminationGracePeriodSeconds"):
        _decoded("Pod", spec.get(key), int, f"PodSpec.spec.{key}")
    _decoded("Pod", spec.get("nodeSelector"), dict, "PodSpec.spec.nodeSelector")
    for value in (spec.get("nodeSelector") or {}).values():
        _decoded("Pod", value, str, "PodSpec.spec.nodeSelector")
    for _, container in containers(spec):
        _decoded("Pod", container, dict, "PodSpec.spec.containers")
        for key in ("name", "image", "imagePullPolicy", "workingDir", "terminationMessagePath"):
            _decoded("Pod", container.get(key), str, f"Container.spec.containers.{key}")
        for key in ("command", "args"):
            _decoded("Pod", container.get(key), list, f"Container.spec.containers.{key}")
            for word in container.get(key) or []:
                _decoded("Pod", word, str, f"Container.spec.containers.{key}")
        _decoded("Pod", container.get("env"), list, "Container.spec.containers.env")
        for variable in container.get("env") or []:
            _decoded("Pod", variable, dict, "EnvVar.spec.containers.env")
            for key in ("name", "value"):
                _decoded("Pod", variable.get(key), str, f"EnvVar.spec.containers.env.{key}")
        for amounts in (container.get("resources") or {}).values():
            for amount in amounts.values() if isinstance(amounts, dict) else ():
                _quantity(amount)


def _quantity(amount: Any) -> Quantity:
    try:
        return Quantity.parse(str(amount))
    except ValueError:
        message = f'Pod in version "v1" cannot be handled as a Pod: {_QUANTITY_HELP}'
        raise ApiError(400, "BadRequest", message) from None


def _pod_problems(spec: Object) -> Iterator[Problem]:
    if not spec.get("containers"):
        yield _required("spec.containers")
    names: set[str] = set()
    for field, container in containers(spec):
        yield from _container_problems(field, container)
        name = container.get("name")
        if name and name in names:
            yield "FieldValueDuplicate", f"{field}.name", f'Duplicate value: "{name}"'
        names.add(name or "")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        yield _invalid("spec.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    yield from _choice("spec.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never"))
    yield from _label_problems("spec.nodeSelector", spec.get("nodeSelector") or {})


def _choice(field: str, value: str | None, choices: tuple[str, ...]) -> Iterator[Problem]:
    if value and value not in choices:
        quoted = ", ".join(f'"{choice}"' for choice in choices)
        yield "FieldValueNotSupported", field, f'Unsupported value: "{value}": supported values: {quoted}'


def _container_problems(field: str, container: Object) -> Iterator[Problem]:
    name = container.get("name")
    if not name:
        yield _required(f"{field}.name")
    else:
        yield from _name_problems(f"{field}.name", name, label=True)
    image = container.get("image")
    if not image:
        yield _required(f"{field}.image")
    elif image != image.strip():
        yield _invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    yield from _choice(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never"))
    for index, variable in enumerate(container.get("env") or []):
        at = f"{field}.env[{index}]"
        if not variable.get("name"):
            yield _required(f"{at}.name")
        elif not re.fullmatch(_ENV_NAME, variable["name"]):
            yield _invalid(f"{at}.name", variable["name"], _ENV_HELP)
        for key in ("secretKeyRef", "configMapKeyRef"):
            reference = (variable.get("valueFrom") or {}).get(key)
            if reference is not None:
                yield from _name_problems(f"{at}.valueFrom.{key}.name", reference.get("name") or "")
                if not reference.get("key"):
                    yield _required(f"{at}.valueFrom.{key}.key")
    yield from _resource_problems(f"{field}.resources", container.get("resources") or {})


def _resource_problems(field: str, resources: Object) -> Iterator[Problem]:
    limits = resources.get("limits") or {}
    for key, amounts in (("limits", limits), ("requests", {**limits, **(resources.get("requests") or {})})):
        for name, amount in amounts.items():
            at = f"{field}.{key}[{name}]"
            if not _RESOURCE.fullmatch(name):
                yield _invalid(at, name, "must be a standard resource type or fully qualified")
                yield _invalid(at, name, "must be a standard resource for containers")
            if _quantity(amount).value < 0:
                yield _invalid(at, str(amount), "must be greater than or equal to 0")
            if key == "requests" and name in limits and _quantity(amount) > _quantity(limits[name]):
                yield _invalid(f"{field}.requests", str(amount), f"must be less than or equal to {name} limit")


def _default_pod(spec: Object) -> None:
    for _, container in containers(spec):
        resources = container.setdefault("resources", {})
        if resources.get("limits"):
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
        container["terminationMessagePath"] = container.get("terminationMessagePath") or "/dev/termination-log"
        container["terminationMessagePolicy"] = container.get("terminationMessagePolicy") or "File"
        image = container["image"]
        tag = image.rpartition("/")[2].partition(":")[2]
        latest = "@" not in image and tag in ("", "latest")
        container["imagePullPolicy"] = container.get("imagePullPolicy") or ("Always" if latest else "IfNotPresent")
    account = spec.get("serviceAccountName") or "default"
    defaults: Object = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": account,
        "serviceAccount": account,
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    for key, value in defaults.items():
        if spec.get(key) is None:
            spec[key] = value


def _quality(spec: Object) -> str:
    """Return the quality of service class. Kubernetes: Pod Quality of Service Classes."""
    resources = [container.get("resources") or {} for _, container in containers(spec)]
    if not any(part.get("limits") or part.get("requests") for part in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= (part.get("limits") or {}).keys() and part.get("requests") == part["limits"] for part in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"
