"""The bytes of a watch: each event once, whole and in order, however they come; and what is no event is said."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.events import Event, WatchBytes, essentials, read_json, read_pod
from airflow_provider_dagconfig.kubectl.outcome import read_status


def pod(version: int) -> dict[str, Any]:
    return {"metadata": {"name": "collect", "resourceVersion": str(version)}, "status": {"message": "ä\n€"}}


EVENTS = [Event("ADDED", pod(1)), Event("MODIFIED", pod(2)), Event("DELETED", pod(3))]
BYTES = b"".join(json.dumps({"type": kind, "object": told}, ensure_ascii=False).encode() + b"\n" for kind, told in EVENTS)


@given(cuts=st.lists(st.integers(0, len(BYTES)), max_size=8))
def test_pieces_of_any_length_give_the_same_events(cuts: list[int]) -> None:
    watch, ends = WatchBytes(), sorted({0, *cuts, len(BYTES)})
    pieces = [BYTES[begin:end] for begin, end in pairwise(ends)]
    assert [event for piece in [*pieces, b""] for event in watch.feed(piece)] == EVENTS


@pytest.mark.parametrize(
    ("told", "fault", "says"),
    [
        pytest.param(b"<html>502 Bad Gateway</html>\n", Fault.UNREACHABLE, "<html>502 Bad Gateway", id="a-proxys-page"),
        pytest.param(b'{"type": "MODIFIED"}\n', Fault.UNREACHABLE, '{"type": "MODIFIED"}', id="no-object"),
        pytest.param(b'{"object": {}}\n', Fault.UNREACHABLE, '{"object": {}}', id="no-type"),
        pytest.param(b'{"type": "MODIFIED", "object": {"metadata": {}}}\n', Fault.UNREACHABLE, "is no pod", id="no-version"),
        pytest.param(b"[1]\n", Fault.UNREACHABLE, "[1]", id="a-list"),
        pytest.param(
            b'{"type": "ERROR", "object": {"code": 500, "message": "etcd is ill"}}\n', Fault.SERVER_ERROR, "etcd is ill", id="500"
        ),
        pytest.param(b'{"type": "ERROR", "object": {"code": 410, "message": "too old"}}\n', Fault.EXPIRED, "too old", id="410"),
    ],
)
def test_an_invalid_event_is_reported_after_the_events_before_it(told: bytes, fault: Fault, says: str) -> None:
    events = WatchBytes().feed(BYTES + told)
    assert [next(events), next(events), next(events)] == EVENTS
    with pytest.raises(KubectlError) as error:
        next(events)
    assert error.value.fault is fault
    assert says in error.value.message


@pytest.mark.parametrize("half", [b"<html>no line end</html>", BYTES[:40]], ids=["a-page", "a-cut-line"])
def test_half_a_line_is_no_event_once_the_watch_has_ended(half: bytes) -> None:
    watch = WatchBytes()
    assert list(watch.feed(half)) == []
    with pytest.raises(KubectlError, match="the watch sent something that is not an event") as error:
        list(watch.feed(b""))
    assert error.value.fault is Fault.UNREACHABLE


@pytest.mark.parametrize("answer", [[], {}, {"metadata": {}}, {"metadata": {"name": "x"}}, "busy", None])
def test_an_answer_that_is_no_pod_is_no_answer_of_an_api_server(answer: Any) -> None:
    with pytest.raises(KubectlError, match="the answer to get is no pod") as error:
        read_pod(answer, "get")
    assert error.value.fault is Fault.UNREACHABLE


def test_an_answer_that_is_no_json_is_shown() -> None:
    with pytest.raises(KubectlError, match="the answer to create is no JSON: '<html>a proxy"):
        read_json(b"<html>a proxy</html>", "create")


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
        {"phase": "Pending", "initContainerStatuses": [{"name": "prepare", "state": {}, "started": True}]},
        {"phase": "Running", "containerStatuses": [{"name": "base", "state": {"running": {}}}]},
        {"phase": "Failed", "containerStatuses": [{"name": "base", "state": {"terminated": {"exitCode": 3}}}]},
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."},
    ],
)
def test_the_essentials_of_a_pod_tell_how_far_it_is_and_no_secret(status: dict[str, Any]) -> None:
    whole = {
        "metadata": {"name": "collect", "uid": "1", "resourceVersion": "7", "managedFields": ["s3cret"], "labels": {"a": "s3cret"}},
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "base", "env": [{"name": "TOKEN", "value": "s3cret"}], "args": ["s3cret"]}],
            "initContainers": [{"name": "prepare", "restartPolicy": "Always", "command": ["s3cret"]}],
        },
        "status": status,
    }
    assert read_status(essentials(whole)) == read_status(whole)
    assert "s3cret" not in json.dumps(essentials(whole))
