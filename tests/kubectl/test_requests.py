"""Each request: its verb, path, preconditions and timeout."""

from __future__ import annotations

import pytest

from airflow_provider_dagconfig.kubectl import requests
from airflow_provider_dagconfig.kubectl.requests import PodPath, Request

PATH = PodPath("jobs", "collect")
POD = {"metadata": {"name": "collect", "uid": "one", "resourceVersion": "7"}}
PODS = "/api/v1/namespaces/jobs/pods"


@pytest.mark.parametrize(
    ("request_", "command", "uri", "seconds"),
    [
        pytest.param(requests.create(PATH, POD), "create", f"{PODS}?fieldValidation=Strict", 10, id="create"),
        pytest.param(requests.get(PATH, 3), "get", f"{PODS}/collect", 3, id="get"),
        pytest.param(requests.replace(PATH, POD), "replace", f"{PODS}/collect", 10, id="replace"),
        pytest.param(requests.delete(PATH, POD, 4), "delete", f"{PODS}/collect", 4, id="delete"),
        pytest.param(
            requests.watch(PATH),
            "get",
            f"{PODS}?watch=true&fieldSelector=metadata.name%3Dcollect&timeoutSeconds=300",
            None,
            id="watch",
        ),
        pytest.param(
            requests.log(PATH, None, follow=True),
            "get",
            f"{PODS}/collect/log?container=base&timestamps=true&follow=true",
            None,
            id="log",
        ),
        pytest.param(
            requests.log(PodPath("jobs", "collect", "main"), "2026-11-23T02:00:00Z", follow=False),
            "get",
            f"{PODS}/collect/log?container=main&timestamps=true&sinceTime=2026-11-23T02:00:00Z",
            None,
            id="the-rest-of-a-log",
        ),
        pytest.param(
            requests.list_pods("jobs", "f00d"),
            "get",
            f"{PODS}?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dairflow-provider-dagconfig%2Cinstallation%3Df00d&limit=200",
            10,
            id="list",
        ),
    ],
)
def test_what_is_asked(request_: Request, command: str, uri: str, seconds: int | None) -> None:
    assert (request_.command, request_.uri, request_.seconds) == (command, uri, seconds)


def test_a_watch_asks_for_no_version_and_begins_with_the_pod_as_it_is() -> None:
    """A restarted API server answers the version of a pod that it has not heard of yet with 410, again and again."""
    assert "resourceVersion" not in requests.watch(PATH).uri


@pytest.mark.parametrize(("unchanged", "preconditions"), [(False, {"uid": "one"}), (True, {"uid": "one", "resourceVersion": "7"})])
def test_a_deletion_is_of_this_pod_only(unchanged: bool, preconditions: dict[str, str]) -> None:
    body = requests.delete(PATH, POD, unchanged=unchanged).body
    assert body is not None
    assert body["preconditions"] == preconditions


def test_the_next_page_of_a_list_is_asked_for_by_its_place() -> None:
    first, next_ = (requests.list_pods("jobs", "f00d", place, 50).uri for place in (None, "a+b/c=="))
    assert next_ == f"{first}&continue=a%2Bb%2Fc%3D%3D"
