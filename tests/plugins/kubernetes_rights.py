"""Service accounts, their rights and tokens on the real cluster. Imported, and not a pytest plugin."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from plugins.cluster import Namespace
from plugins.reference import INSTALL, section


def request_token(namespace: Namespace, account: str, bound_to: dict[str, str] | None = None) -> str:
    """
    Return a token of a service account.

    :param bound_to: a reference to an object; the token is refused once that is deleted.
    """
    path = f"/api/v1/namespaces/{namespace.name}/serviceaccounts/{account}/token"
    spec = {"boundObjectRef": bound_to} if bound_to else {}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    token: str = json.loads(namespace.cluster.kubectl("create", "--raw", path, "-f", "-", body=request))["status"]["token"]
    return token


@contextmanager
def documented_rights(namespace: Namespace) -> Iterator[None]:
    """Create the service account of the documents, and what they bind to it, as it stands but for names."""
    try:
        for block in re.findall(r"^```yaml\n(.*?)^```", section(INSTALL, "### Rights"), re.DOTALL | re.MULTILINE):
            for document in yaml.safe_load_all(block.replace("financial-screener", namespace.name)):
                if document["kind"].startswith("ClusterRole"):  # they are in no namespace
                    document = json.loads(json.dumps(document).replace("dagconfig-triggerer", f"dagconfig-{namespace.name}"))
                namespace.cluster.kubectl("apply", "-f", "-", body=document)
        yield
    finally:
        for kind in ("clusterrolebinding", "clusterrole"):
            namespace.cluster.kubectl("delete", kind, f"airflow-provider-dagconfig-{namespace.name}", check=False)


@dataclass(frozen=True)
class ApiServer:
    """The API server's address, and the certificate of who vouches for it."""

    address: str
    ca: bytes

    def accepts(self, token: str) -> bool:
        """Return whether it takes a token for somebody's."""
        arguments = ["--kubeconfig=/dev/null", f"--server={self.address}", "--insecure-skip-tls-verify", f"--token={token}"]
        asked = subprocess.run(["kubectl", *arguments, "get", "--raw", "/api"], capture_output=True, text=True, check=False)
        return "Unauthorized" not in asked.stderr


def server_of(namespace: Namespace) -> ApiServer:
    """Return the API server of the administrator's kubeconfig."""
    config = cluster_of(namespace)
    return ApiServer(config["server"], base64.b64decode(config["certificate-authority-data"]))


def cluster_of(namespace: Namespace) -> dict[str, Any]:
    """Return the cluster of the administrator's kubeconfig, with its files' contents."""
    config = json.loads(namespace.cluster.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
    cluster: dict[str, Any] = config["clusters"][0]["cluster"]
    return cluster
