"""
The command line, environment and files of a container's process. Pure, except that it looks which files exist.

A process has no own file system. So paths of the container in its command line and environment are replaced by the paths of the
files on this machine: those of its image's directory, its termination message and its volumes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Object = dict[str, Any]
Lookup = Callable[[str, str], Object | None]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_PATH = re.compile(r"(?<![\w.$/~-])/[\w.@+/-]+")
_SHELL_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


class ConfigError(Exception):
    """Something that the environment needs is missing: the kubelet's CreateContainerConfigError, with its message."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """
    Replace ``$(NAME)`` by the variable's value; ``$$`` is a dollar sign, and an unknown name stays as it is.

    Kubernetes: Define Dependent Environment Variables.
    """
    return _REFERENCE.sub(
        lambda found: "$" if found[1] is None else variables.get(found[1], found[0]),
        text,
    )


def translate(text: str, files: Mapping[str, Path], root: Path | None) -> str:
    """
    Replace the paths of a container in a text by paths on this machine.

    :param files: path in the container to the file or directory on this machine.
    :param root: the directory with the image's files, if it has one.
    """

    def local(found: re.Match[str]) -> str:
        path = found[0]
        for inside, outside in files.items():
            if path == inside or path.startswith(f"{inside}/"):
                return f"{outside}{path[len(inside) :]}"
        if root is not None and path.strip("/") and (root / path.lstrip("/")).exists():
            return f"{root}{path}"
        return path

    return _PATH.sub(local, text)


def variables(pod: Object, container: Object, secret: Lookup, config_map: Lookup) -> dict[str, str]:
    """
    Return the environment variables that a container's manifest defines.

    :param secret: returns a secret by namespace and name.
    :param config_map: returns a config map by namespace and name.
    :raises ConfigError: a secret, a config map or a key is missing and not optional.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for key, value in _entries(pod, source, secret, config_map):
            name = f"{source.get('prefix') or ''}{key}"
            if _SHELL_NAME.fullmatch(name):
                found[name] = value
    for variable in container.get("env") or []:
        source = variable.get("valueFrom")
        value = expand(variable.get("value") or "", found)
        if source:
            looked_up = _value(pod, container, source, secret, config_map)
            if looked_up is None:
                continue
            value = looked_up
        found[variable["name"]] = value
    return found


def _entries(pod: Object, source: Object, secret: Lookup, config_map: Lookup) -> Iterator[tuple[str, str]]:
    for key, lookup, kind in (("secretRef", secret, "secret"), ("configMapRef", config_map, "configmap")):
        reference = source.get(key)
        if reference:
            yield from sorted(_data(pod, reference, lookup, kind).items())


def _value(pod: Object, container: Object, source: Object, secret: Lookup, config_map: Lookup) -> str | None:
    for ref, lookup, kind in (("secretKeyRef", secret, "Secret"), ("configMapKeyRef", config_map, "ConfigMap")):
        reference = source.get(ref)
        if reference:
            data = _data(pod, reference, lookup, kind.lower())
            if reference["key"] in data:
                return data[reference["key"]]
            if reference.get("optional"):
                return None
            namespace = pod["metadata"]["namespace"]
            raise ConfigError(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")
    if source.get("fieldRef"):
        return _field(pod, source["fieldRef"].get("fieldPath", ""))
    if source.get("resourceFieldRef"):
        kind, _, resource = source["resourceFieldRef"].get("resource", "").partition(".")
        return str(container.get("resources", {}).get(kind, {}).get(resource, "0"))
    return None


def _data(pod: Object, reference: Object, lookup: Lookup, kind: str) -> dict[str, str]:
    name = reference.get("name") or ""
    source = lookup(pod["metadata"]["namespace"], name)
    if source is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind} "{name}" not found')
    data: dict[str, str] = source.get("data") or {}
    if kind == "configmap":
        return data
    # A variable is text; a kubelet also loses bytes that are not valid text.
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _field(pod: Object, path: str) -> str:
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if keyed:
        return str((pod["metadata"].get(keyed[1]) or {}).get(keyed[2], ""))
    value: Any = pod
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return str(value)
