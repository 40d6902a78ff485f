"""The pods of an installation as they are listed, page by page, and deleted as they were seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugins.answers import Server, document, kubeconfig, status
from plugins.cluster import Namespace

from airflow_provider_dagconfig.kubectl.annotations import PREFIX
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.listing import InstallationPods


def create(namespace: Namespace, name: str, **labels: str) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": PREFIX, **labels}},
        "spec": {"containers": [{"name": "base", "image": "busybox"}], "nodeSelector": {"no": "where"}, "schedulerName": "nobody"},
    }
    namespace.cluster.kubectl("create", "--raw", namespace.path, "-f", "-", body=manifest)


def test_all_pages_are_read_and_no_other_installations_pod_is_among_them(namespace: Namespace) -> None:
    for name in ("a", "b", "c", "d", "e"):
        create(namespace, name, installation="one")
    create(namespace, "f", installation="another")
    create(namespace, "g")

    pods = InstallationPods({"KUBECONFIG": namespace.kubeconfig}, namespace.name, "one", page=2).all()

    assert [pod["metadata"]["name"] for pod in pods] == ["a", "b", "c", "d", "e"]


def test_a_pod_that_has_changed_since_it_was_listed_is_not_deleted(namespace: Namespace) -> None:
    create(namespace, "a", installation="one")
    pods = InstallationPods({"KUBECONFIG": namespace.kubeconfig}, namespace.name, "one")
    [seen] = pods.all()
    namespace.cluster.kubectl("-n", namespace.name, "annotate", "pod", "a", f"{PREFIX}/try-number=2")

    with pytest.raises(KubectlError) as refused:
        pods.delete(seen)

    assert refused.value.fault is Fault.CONFLICT
    assert namespace.left() == ["a"]
    pods.delete(pods.all()[0])
    assert namespace.left() == []


def listed(*names: str, place: str = "") -> Any:
    return document({"metadata": {"continue": place}, "items": [{"metadata": {"name": n, "resourceVersion": "1"}} for n in names]})


def test_a_list_whose_place_was_forgotten_is_begun_anew(api_server: Server, tmp_path: Path) -> None:
    gone = status(410, "The provided continue parameter is too old")
    api_server.answers["get"] = [listed("a", place="x"), gone, listed("b", place="y"), listed("c")]

    pods = InstallationPods({"KUBECONFIG": kubeconfig(tmp_path, api_server.url)}, "jobs", "one").all()

    assert [pod["metadata"]["name"] for pod in pods] == ["b", "c"]


def test_a_list_that_is_forgotten_again_and_again_ends(api_server: Server, tmp_path: Path) -> None:
    api_server.answers["get"] = [status(410, "The provided continue parameter is too old")]

    with pytest.raises(KubectlError, match="too old"):
        InstallationPods({"KUBECONFIG": kubeconfig(tmp_path, api_server.url)}, "jobs", "one").all()


def test_what_is_no_list_is_an_api_server_out_of_reach(api_server: Server, tmp_path: Path) -> None:
    api_server.answers["get"] = [document({"kind": "Login"})]

    with pytest.raises(KubectlError) as refused:
        InstallationPods({"KUBECONFIG": kubeconfig(tmp_path, api_server.url)}, "jobs", "one").all()

    assert refused.value.fault is Fault.UNREACHABLE
