"""
Resolves which cluster kubectl talks to, with which credentials: from the task's parameters, its connection or KUBECONFIG.

The fields and their order are those of the Kubernetes provider's connection (``in_cluster``, ``kube_config_path``,
``kube_config``, ``cluster_context``, ``namespace``, ``disable_verify_ssl``). This module does not import that provider.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_dagconfig.kubectl.environment import DESCRIPTORS, PREFIX

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ClusterAccessError(ValueError):
    """No usable credentials were found. The message names the places that were searched and the remedy, never the credentials."""


@dataclass(frozen=True)
class ClusterAccess:
    """
    One way to reach a cluster.

    :param source: where the credentials come from, for error messages.
    :param kubeconfig: the path of a kubeconfig, or several paths joined with ``:``; None if ``content`` holds the kubeconfig.
    :param content: a kubeconfig as JSON. The repr does not show it. While a task runs, it is in a file without a name that only
        the task's user can read.
    :param context: the context in the kubeconfig; None for the current context.
    :param namespace: the connection's namespace.
    :param verify: whether kubectl verifies the server's certificate.
    """

    source: str
    kubeconfig: str | None = None
    content: str | None = field(default=None, repr=False)
    context: str | None = None
    namespace: str | None = None
    verify: bool = True

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Return the environment that ``kubectl.sh`` reads. A temporary kubeconfig is deleted when the block ends."""
        variables = {}
        if self.context:
            variables[f"{PREFIX}CONTEXT"] = self.context
        if not self.verify:
            variables[f"{PREFIX}INSECURE"] = "1"
        if self.content is not None:
            with _nameless_file(self.content) if _may_be_nameless(self.content) else _private_file(self.content) as path:
                yield {**variables, "KUBECONFIG": path}
            return
        if self.kubeconfig:
            variables["KUBECONFIG"] = self.kubeconfig
        yield variables


def _may_be_nameless(kubeconfig: str) -> bool:
    """Return whether a nameless file will do: on Linux, unless kubectl writes to the file, as it does with an ``auth-provider``."""
    return sys.platform == "linux" and '"auth-provider"' not in kubeconfig


@contextmanager
def _nameless_file(content: str) -> Iterator[str]:
    """Write a file that no directory lists. It is deleted when the last process that has it open ends, for whatever reason."""
    with tempfile.TemporaryFile("w") as file:
        file.write(content)
        file.flush()
        yield f"{DESCRIPTORS}{file.fileno()}"


@contextmanager
def _private_file(content: str) -> Iterator[str]:
    """Write a file of mode 0600. The file remains if the process is killed with SIGKILL."""
    with tempfile.TemporaryDirectory(prefix="dagconfig-") as directory:  # mode 0700
        path = os.path.join(directory, "kubeconfig")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
        yield path


def resolve_access(
    extra: Mapping[str, Any],
    *,
    connection: str,
    config_file: str | None = None,
    cluster_context: str | None = None,
    in_cluster: bool | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> ClusterAccess:
    """
    Choose the credentials: first from the task's parameters, then from the connection, then from KUBECONFIG or kubectl's defaults.

    :param extra: the connection's extra fields; empty if there is no connection.
    :param connection: the connection's id, for messages.
    :param service_account: the directory in which Kubernetes mounts a pod's own credentials.
    :raises ClusterAccessError: if fields exclude each other, a file does not exist, or a kubeconfig is not a JSON object.
    """

    def field_of(name: str) -> Any:
        # Connections made before Airflow 2.3 prefix their fields.
        value = extra.get(name, extra.get(f"extra__kubernetes__{name}"))
        return None if value == "" else value

    context = cluster_context or field_of("cluster_context")
    namespace = field_of("namespace")
    verify = not _is_true(field_of("disable_verify_ssl"))
    source = f"connection {connection!r}"
    if config_file:
        return ClusterAccess("config_file", _expand_paths(config_file, "config_file"), None, context, namespace, verify)
    chosen = [name for name in ("in_cluster", "kube_config_path", "kube_config") if field_of(name)]
    if in_cluster is not None:
        chosen = [name for name in chosen if name != "in_cluster"] + ["in_cluster"] * in_cluster
    elif "in_cluster" in chosen and not _is_true(field_of("in_cluster")):
        chosen.remove("in_cluster")
    if len(chosen) > 1:
        raise ClusterAccessError(f"{source} sets {' and '.join(chosen)}: keep one of them, they exclude each other")
    if chosen == ["in_cluster"]:
        return _in_cluster_access(service_account, namespace, verify)
    if chosen == ["kube_config_path"]:
        path = _expand_paths(field_of("kube_config_path"), f"kube_config_path of {source}")
        return ClusterAccess(source, path, None, context, namespace, verify)
    if chosen == ["kube_config"]:
        content = _kubeconfig_json(field_of("kube_config"), source, context)
        return ClusterAccess(source, None, content, context, namespace, verify)
    return _default_access(service_account, context, namespace, verify, source)


def _default_access(service_account: Path, context: str | None, namespace: str | None, verify: bool, source: str) -> ClusterAccess:
    if variable := os.environ.get("KUBECONFIG"):
        return ClusterAccess("KUBECONFIG", _expand_paths(variable, "KUBECONFIG"), None, context, namespace, verify)
    home_config = Path.home() / ".kube" / "config"
    if home_config.exists():
        return ClusterAccess(str(home_config), str(home_config), None, context, namespace, verify)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster_access(service_account, namespace, verify)
    raise ClusterAccessError(
        f"no Kubernetes credentials: {source} sets none of in_cluster, kube_config_path and kube_config, KUBECONFIG is not "
        f"set, there is no {home_config}, and this is no pod. Set one of them"
    )


def _expand_paths(paths: str, parameter: str) -> str:
    """
    Return the paths with the worker's home directory in place of ``~``, which kubectl does not expand.

    :param paths: one path, or several joined with ``:``. If one of several is missing, it is ignored, as kubectl does.
    """
    expanded = [os.path.expanduser(path) for path in paths.split(os.pathsep) if path]
    files = [path for path in expanded if os.path.isfile(path)]
    if not files:
        raise ClusterAccessError(f"{parameter}: there is no file {os.pathsep.join(expanded) or repr(paths)} on this worker")
    for path in files:
        if not os.access(path, os.R_OK):
            raise ClusterAccessError(f"{parameter}: {path} can't be read by this worker's user")
    return os.pathsep.join(expanded)


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1", "yes", "t", "y", "on")


def _kubeconfig_json(value: Any, source: str, context: str | None) -> str:
    if not isinstance(value, Mapping):
        try:
            value = json.loads(value)
        except ValueError:
            raise ClusterAccessError(
                f"kube_config of {source} is no JSON: give the output of `kubectl config view --raw --flatten -o json`"
            ) from None
    if not isinstance(value, Mapping) or not value.get("clusters"):
        raise ClusterAccessError(f"kube_config of {source} has no clusters: it is not a kubeconfig")
    for field_name, path in _relative_paths(value, context):
        raise ClusterAccessError(
            f"kube_config of {source} has {field_name}: {path}, a path beside the kubeconfig, and a connection has no directory. "
            f"Write it from / on, or put the file's content in its place: `kubectl config view --raw --flatten -o json`"
        )
    return json.dumps(value)


def _relative_paths(kubeconfig: Mapping[str, Any], context: str | None) -> Iterator[tuple[str, str]]:
    """Find the paths that kubectl would resolve relative to the kubeconfig: files, and a plugin command that contains a ``/``."""
    selected = _find_entry(kubeconfig, "context", context or kubeconfig.get("current-context"))
    cluster, user = (_find_entry(kubeconfig, kind, selected.get(kind)) for kind in ("cluster", "user"))
    files = {name: cluster.get(name) for name in ("certificate-authority",)}
    files |= {name: user.get(name) for name in ("client-certificate", "client-key", "tokenFile")}
    command = (user.get("exec") or {}).get("command") or ""
    files["the command of exec"] = command if "/" in command else None
    yield from ((name, path) for name, path in files.items() if path and not os.path.isabs(path))


def _find_entry(kubeconfig: Mapping[str, Any], kind: str, name: str | None) -> Mapping[str, Any]:
    """Return a context, cluster or user by its name; empty if there is none, since kubectl reports that itself."""
    matching = (entry for entry in kubeconfig.get(f"{kind}s") or () if isinstance(entry, Mapping) and entry.get("name") == name)
    return next(matching, {}).get(kind) or {}


def _in_cluster_access(service_account: Path, namespace: str | None, verify: bool) -> ClusterAccess:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = service_account / "token"
    if not host or not token.exists():
        raise ClusterAccessError(
            f"in_cluster is set, but this worker is no pod with a service account (KUBERNETES_SERVICE_HOST and {token})"
        )
    if ":" in host:
        host = f"[{host}]"
    namespace_file = service_account / "namespace"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "in-cluster",
                "cluster": {
                    "server": f"https://{host}:{port}",
                    **({"certificate-authority": str(service_account / "ca.crt")} if verify else {}),
                },
            }
        ],
        # Refer to the token's file, not its content: Kubernetes renews the token.
        "users": [{"name": "in-cluster", "user": {"tokenFile": str(token)}}],
        "contexts": [{"name": "in-cluster", "context": {"cluster": "in-cluster", "user": "in-cluster"}}],
        "current-context": "in-cluster",
    }
    return ClusterAccess(
        "in_cluster",
        content=json.dumps(config),
        namespace=namespace or (namespace_file.read_text().strip() if namespace_file.exists() else None),
        verify=verify,
    )
