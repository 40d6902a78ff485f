"""The pods of an installation as they are listed, page by page, and deleted as they were seen."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from plugins.answers import Server, document, kubeconfig, status
from plugins.cluster import Namespace

from airflow_provider_dagconfig.kubectl.annotations import PREFIX, annotation
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.listing import Done, InstallationPods
from airflow_provider_dagconfig.kubectl.sweep import MARK, Fate, Verdict


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

    assert [pod.name for pod in pods] == ["a", "b", "c", "d", "e"]


NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
DELETE, LOOK_AGAIN = (
    Verdict(Fate.DELETE, "Its task's state in Airflow is failed"),
    Verdict(Fate.LOOK_AGAIN, "Its task's state in Airflow is failed"),
)


@pytest.mark.parametrize("verdict", [DELETE, LOOK_AGAIN], ids=["to-be-deleted", "to-be-marked"])
def test_a_pod_that_has_changed_since_it_was_listed_is_left_as_it_is(namespace: Namespace, verdict: Verdict) -> None:
    create(namespace, "a", installation="one")
    pods = InstallationPods({"KUBECONFIG": namespace.kubeconfig}, namespace.name, "one")
    [seen] = pods.all()
    namespace.cluster.kubectl("-n", namespace.name, "annotate", "pod", "a", f"{PREFIX}/try-number=2")

    done = pods.deal_with(seen, verdict, NOW)

    assert (done.did, "changed since it was listed" in done.why) == ("kept", True)
    assert namespace.left() == ["a"]
    assert annotation(namespace.pods()[0], MARK) is None


def test_a_pod_is_deleted_as_it_was_listed(namespace: Namespace) -> None:
    create(namespace, "a", installation="one")
    pods = InstallationPods({"KUBECONFIG": namespace.kubeconfig}, namespace.name, "one")

    assert pods.deal_with(pods.all()[0], DELETE, NOW) == Done("a", "deleted", "Its task's state in Airflow is failed")
    assert namespace.left() == []


def test_a_pod_that_is_to_be_looked_at_again_is_marked_and_stays(namespace: Namespace) -> None:
    create(namespace, "a", installation="one")
    pods = InstallationPods({"KUBECONFIG": namespace.kubeconfig}, namespace.name, "one")

    assert pods.deal_with(pods.all()[0], LOOK_AGAIN, NOW).did == "kept"
    assert str(annotation(namespace.pods()[0], MARK)).startswith("2026-11-23T12:00:00+00:00 try ")


def test_what_is_only_tried_changes_nothing(namespace: Namespace) -> None:
    create(namespace, "a", installation="one")
    pods = InstallationPods({"KUBECONFIG": namespace.kubeconfig}, namespace.name, "one")
    [seen] = pods.all()

    assert [pods.deal_with(seen, verdict, NOW, dry_run=True).did for verdict in (DELETE, LOOK_AGAIN)] == ["would", "kept"]
    assert pods.all() == [seen]


@pytest.mark.parametrize(("verdict", "verb"), [(DELETE, "delete"), (LOOK_AGAIN, "update")], ids=["delete", "mark"])
def test_a_forbidden_request_names_the_missing_rule(api_server: Server, tmp_path: Path, verdict: Verdict, verb: str) -> None:
    forbidden = status(403, f'pods "a" is forbidden: User "x" cannot {verb} resource "pods"')
    api_server.answers |= {"delete": [forbidden], "replace": [forbidden]}
    api_server.answers["get"] = [listed("a"), document(item("a"))]
    pods = InstallationPods({"KUBECONFIG": kubeconfig(tmp_path, api_server.url)}, "jobs", "one")

    done = pods.deal_with(pods.all()[0], verdict, NOW)

    assert done.did == "failed"
    assert f"Add it to the Role of this user: apiGroups [''], resources [pods], verbs [{verb}]" in done.why


def test_an_api_server_that_does_not_answer_ends_the_sweep(api_server: Server, tmp_path: Path) -> None:
    api_server.answers |= {"get": [listed("a")], "delete": [status(500, "etcd is away")]}
    pods = InstallationPods({"KUBECONFIG": kubeconfig(tmp_path, api_server.url)}, "jobs", "one")
    [seen] = pods.all()

    with pytest.raises(KubectlError, match="etcd is away"):
        pods.deal_with(seen, DELETE, NOW)


def item(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-11-23T11:00:00Z"}}


def listed(*names: str, place: str = "") -> Any:
    return document({"metadata": {"continue": place}, "items": [item(name) for name in names]})


def test_a_list_whose_place_was_forgotten_is_begun_anew(api_server: Server, tmp_path: Path) -> None:
    gone = status(410, "The provided continue parameter is too old")
    api_server.answers["get"] = [listed("a", place="x"), gone, listed("b", place="y"), listed("c")]

    pods = InstallationPods({"KUBECONFIG": kubeconfig(tmp_path, api_server.url)}, "jobs", "one").all()

    assert [pod.name for pod in pods] == ["b", "c"]


def test_a_list_that_is_forgotten_again_and_again_ends(api_server: Server, tmp_path: Path) -> None:
    api_server.answers["get"] = [status(410, "The provided continue parameter is too old")]

    with pytest.raises(KubectlError, match="too old"):
        InstallationPods({"KUBECONFIG": kubeconfig(tmp_path, api_server.url)}, "jobs", "one").all()


def test_an_answer_that_is_not_a_list_counts_as_an_unreachable_api_server(api_server: Server, tmp_path: Path) -> None:
    api_server.answers["get"] = [document({"kind": "Login"})]

    with pytest.raises(KubectlError) as refused:
        InstallationPods({"KUBECONFIG": kubeconfig(tmp_path, api_server.url)}, "jobs", "one").all()

    assert refused.value.fault is Fault.UNREACHABLE
