"""
The stand-in for a cluster, through kubectl. What Kubernetes does too runs on a real cluster as well, where there is one: the
stand-in is right as long as both give the same.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from plugins.cluster import Cluster, Components, Namespace, is_running

from demo.local_pods import LocalPods, running
from demo.local_pods.environment import translate

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a dead parent's children on Linux only")

Object = dict[str, Any]


def pod(name: str = "job", *shell: str, **fields: Any) -> Object:
    """A pod whose container runs a shell script; ``fields`` are the container's, but those that only a pod's spec has."""
    container = {"name": "base", "image": "busybox:latest", "imagePullPolicy": "Never"}
    if shell:
        container["command"] = ["sh", "-c", *shell]
    spec: Object = {"restartPolicy": "Never"}
    metadata: Object = {"name": name}
    for key, value in fields.items():
        in_spec = key in ("activeDeadlineSeconds", "nodeSelector", "terminationGracePeriodSeconds", "volumes", "initContainers")
        target = spec if in_spec else metadata if key in ("labels", "annotations") else container
        target[key] = value
    spec["containers"] = [container]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def kubectl(namespace: Namespace, *arguments: str, body: Any = None) -> subprocess.CompletedProcess[bytes]:
    """Run kubectl in the namespace, whatever it says."""
    given = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    command = ["kubectl", "--kubeconfig", namespace.kubeconfig, "-n", namespace.name, *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=120)


def request(namespace: Namespace, verb: str, path: str = "", body: Any = None) -> Object:
    """Make one request; ``path`` follows that of the namespace's pods. Gives the answer, or the reason and message of a refusal."""
    arguments = [verb, "--raw", f"{namespace.path}{path}", *(["-f", "-"] if body is not None else [])]
    done = kubectl(namespace, *arguments, body=body)
    if done.returncode == 0:
        answer: Object = json.loads(done.stdout)
        return answer
    return refusal(done.stderr)


def refusal(stderr: bytes) -> Object:
    """Read the reason and the message that kubectl prints of a Status."""
    told = stderr.decode().strip()
    if re.match(r'The \w+ ".*" is invalid: ', told):
        return {"reason": "Invalid", "message": told}
    refused = re.fullmatch(r"Error from server(?: \((?P<reason>\w+)\))?: (?P<message>.*)", told, re.DOTALL)
    assert refused is not None, told
    return refused.groupdict()


def start(namespace: Namespace, manifest: Object) -> Object:
    """Create a pod; on a real cluster once its new namespace takes pods."""
    deadline = time.monotonic() + 120
    while (created := request(namespace, "create", body=manifest)).get("kind") != "Pod":
        unready = created["reason"] == "ServerTimeout" or "error looking up service account" in created["message"]
        assert unready, created
        assert time.monotonic() < deadline, created
        time.sleep(0.2)
    return created


def wait(namespace: Namespace, condition: Callable[[Object], bool], name: str = "job", seconds: float = 120) -> Object:
    return namespace.wait_for_pod(lambda found: found["metadata"]["name"] == name and condition(found), seconds)


def has_ended(found: Object) -> bool:
    return found["status"]["phase"] in ("Succeeded", "Failed")


def state(found: Object) -> Object:
    states: Object = found["status"]["containerStatuses"][0]["state"]
    return states


def log(namespace: Namespace, options: str = "", name: str = "job") -> bytes:
    done = kubectl(namespace, "get", "--raw", f"{namespace.path}/{name}/log?{options}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def watch(namespace: Namespace, options: str, until: Callable[[str, Object], bool]) -> list[tuple[str, Object]]:
    """Watch the namespace's pods until an event is the one that is waited for, or the watch ends."""
    path = f"{namespace.path}?watch=true&{options}"
    command = ["kubectl", "--kubeconfig", namespace.kubeconfig, "get", "--raw", path]
    seen: list[tuple[str, Object]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        for event in map(json.loads, watching.stdout):
            seen.append((event["type"], event["object"]))
            if until(*seen[-1]):
                watching.terminate()
                break
    return seen


def ends(_: str, found: Object) -> bool:
    return has_ended(found)


def goes(type_: str, _: Object) -> bool:
    return type_ == "DELETED"


def default_namespace(pods: LocalPods) -> Namespace:
    return Namespace(Cluster(str(pods.kubeconfig), is_real=False), "default")


@pytest.fixture
def local_namespace(local_pods: LocalPods) -> Iterator[Namespace]:
    """A namespace on the local pods only."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on this machine")
    new = Namespace(default_namespace(local_pods).cluster, f"local-{uuid.uuid4().hex[:8]}")
    assert kubectl(new, "create", "namespace", new.name).returncode == 0
    yield new
    kubectl(new, "delete", "namespace", new.name, "--wait=false")


@pytest.fixture(scope="module")
def finished(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace for tests that change nothing, with the pod ``job`` that wrote three lines and has ended."""
    shared = Namespace(cluster, f"shared-{uuid.uuid4().hex[:8]}")
    assert kubectl(shared, "create", "namespace", shared.name).returncode == 0
    start(shared, pod("job", "echo 1; echo 2; echo 3"))
    wait(shared, has_ended)
    yield shared
    kubectl(shared, "delete", "namespace", shared.name, "--wait=false")


# Access


def test_it_says_everywhere_that_it_is_no_kubernetes(local_pods: LocalPods, local_namespace: Namespace) -> None:
    version = json.loads(kubectl(local_namespace, "get", "--raw", "/version").stdout)
    nodes = kubectl(local_namespace, "get", "nodes", "-o", "name").stdout.decode()
    assert "no Kubernetes" in local_pods.announcement
    assert "no-kubernetes" in version["gitVersion"]
    assert "no-kubernetes" in nodes


@pytest.mark.parametrize("token", [None, "wrong"], ids=["no token", "a wrong token"])
@pytest.mark.parametrize("path", ["/version", "/api/v1/namespaces/default/pods"])
def test_without_the_token_nothing_is_answered(local_pods: LocalPods, path: str, token: str | None) -> None:
    server = yaml.safe_load(local_pods.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(f"{server}{path}", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, context=ssl._create_unverified_context())
    status = json.loads(refused.value.read())
    assert (refused.value.code, status["kind"], status["reason"]) == (401, "Status", "Unauthorized")


def test_its_certificate_is_the_one_in_the_kubeconfig(local_pods: LocalPods) -> None:
    server = yaml.safe_load(local_pods.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(server)


def test_the_kubeconfig_is_its_owners_only_and_goes_with_it() -> None:
    with running() as pods:
        assert pods.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert not pods.kubeconfig.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_it_listens_on_no_address_that_others_reach(host: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo.local_pods"]
    done = subprocess.run([*command, "--kubeconfig", tmp_path / "config", "--host", host], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{host} is no loopback address" in done.stderr


# Its end


def _ends_with_its_pods(pods: LocalPods, tmp_path: Path, end: Callable[[], None]) -> None:
    """Start a pod with a child in a session of its own, end the server, and look for what is left."""
    namespace = default_namespace(pods)
    pids = tmp_path / "pids"
    script = f'echo $$$$ >> {pids}; setsid sh -c "echo \\$\\$ >> {pids}; sleep 100" & trap "" TERM; sleep 100'
    start(namespace, pod("job", script))
    wait(namespace, is_running)
    deadline = time.monotonic() + 10
    while not pids.exists() or len(pids.read_text().split()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started = [int(pid) for pid in pids.read_text().split()]
    server = psutil.Process(pods.pid)
    end()
    _, alive = psutil.wait_procs([process for pid in started if (process := _process(pid))], timeout=10)
    assert not alive
    psutil.wait_procs([server], timeout=10)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


@needs_kubectl
@linux_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_it_and_every_process_it_started(number: signal.Signals, tmp_path: Path) -> None:
    with running() as pods:
        _ends_with_its_pods(pods, tmp_path, lambda: os.kill(pods.pid, number))


@needs_kubectl
@linux_only
def test_it_ends_when_whoever_started_it_is_gone(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom demo.local_pods import running\n"
        f"with running(kubeconfig=Path({str(tmp_path / 'config')!r})) as pods:\n"
        "    print(pods.pid, flush=True)\n    time.sleep(100)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pods = LocalPods(tmp_path / "config", int(starter.stdout.readline()), "")
    _ends_with_its_pods(pods, tmp_path, starter.kill)
    starter.wait()
    starter.stdout.close()


# Refusals, as the API server words them

REFUSALS = {
    "a name in capitals": ("create", "", pod("Job"), "Invalid", "lowercase RFC 1123 subdomain"),
    "a name that is too long": ("create", "", pod("x" * 254), "Invalid", "must be no more than 253 characters"),
    "no name": ("create", "", {**pod(), "metadata": {}}, "Invalid", "name or generateName is required"),
    "no container": ("create", "", {"metadata": {"name": "x"}}, "Invalid", "spec.containers: Required value"),
    "no image": ("create", "", pod(image=""), "Invalid", "spec.containers[0].image: Required value"),
    "a pull policy": ("create", "", pod(imagePullPolicy="Maybe"), "Invalid", 'supported values: "Always", "IfNotPresent", "Never"'),
    "no quantity": ("create", "", pod(resources={"limits": {"memory": "2 GB"}}), "BadRequest", "quantities must match the regular"),
    "a request over its limit": (
        "create",
        "",
        pod(resources={"limits": {"memory": "1Gi"}, "requests": {"memory": "2Gi"}}),
        "Invalid",
        'spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit',
    ),
    "a negative limit": ("create", "", pod(resources={"limits": {"cpu": "-1"}}), "Invalid", "must be greater than or equal to 0"),
    "no resource": ("create", "", pod(resources={"limits": {"disk": "1"}}), "Invalid", "must be a standard resource type"),
    "a deadline of no seconds": ("create", "", pod(activeDeadlineSeconds=0), "Invalid", "must be between 1 and 2147483647"),
    "a label's key": ("create", "", pod(labels={"a b": "c"}), "Invalid", "name part must consist of alphanumeric"),
    "a label's value": ("create", "", pod(labels={"a": "b c"}), "Invalid", "a valid label must be an empty string or"),
    "a label of 64 characters": ("create", "", pod(labels={"a": "x" * 64}), "Invalid", "must be no more than 63 characters"),
    "a label that is a number": ("create", "", pod(labels={"a": 1}), "BadRequest", "cannot be handled as a Pod"),
    "an annotation's key": ("create", "", pod(annotations={"a/b/c": "d"}), "Invalid", "metadata.annotations"),
    "annotations of 256 KiB": ("create", "", pod(annotations={"a": "x" * 2**18}), "Invalid", "must have at most 262144 "),
    "a variable's name": ("create", "", pod(env=[{"name": "1 A", "value": ""}]), "Invalid", "a valid environment variable name"),
    "a variable that is a number": ("create", "", pod(env=[{"name": "A", "value": 1}]), "BadRequest", "cannot be handled as a Pod"),
    "a node label": ("create", "", pod(nodeSelector={"a": "b c"}), "Invalid", "spec.nodeSelector"),
    "another kind": ("create", "", {**pod(), "kind": "Secret"}, "BadRequest", "Secret in version"),
    "another version": ("create", "", {**pod(), "apiVersion": "v2"}, "BadRequest", 'no kind "Pod" is registered for version "v2"'),
    "no JSON": ("create", "", b"{", "BadRequest", "the object provided is unrecognized (must be of type Pod)"),
    "no such pod": ("get", "/nobody", None, "NotFound", 'pods "nobody" not found'),
    "no such pod to delete": ("delete", "/nobody", None, "NotFound", 'pods "nobody" not found'),
    "no such pod to replace": ("replace", "/nobody", pod("nobody"), "NotFound", 'pods "nobody" not found'),
    "no such pod to log": ("get", "/nobody/log", None, "NotFound", 'pods "nobody" not found'),
    "no such part of a pod": ("get", "/nobody/soul", None, "NotFound", "the server could not find the requested resource"),
    "no such field": ("get", "?fieldSelector=spec.color=red", None, "BadRequest", "field label not supported: spec.color"),
    "no such version": ("get", "?watch=1&resourceVersion=x", None, None, 'resourceVersion: Invalid value: "x"'),
}


@pytest.mark.parametrize(("verb", "path", "body", "reason", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_bad_request_is_refused(finished: Namespace, verb: str, path: str, body: Any, reason: str | None, message: str) -> None:
    refused = request(finished, verb, path, body)
    assert refused.get("reason", "no refusal") == reason
    assert message in refused["message"]


def test_a_pod_in_another_namespace_than_the_requests_is_refused(finished: Namespace) -> None:
    manifest = pod()
    manifest["metadata"]["namespace"] = "elsewhere"
    assert request(finished, "create", body=manifest)["reason"] == "BadRequest"


def test_a_pod_in_no_namespace_is_not_found(finished: Namespace) -> None:
    nowhere = Namespace(finished.cluster, "nowhere")
    assert request(nowhere, "create", body=pod()) == {"reason": "NotFound", "message": 'namespaces "nowhere" not found'}


def test_a_pod_with_no_such_service_account_is_forbidden(finished: Namespace) -> None:
    manifest = pod()
    manifest["spec"]["serviceAccountName"] = "nobody"
    refused = request(finished, "create", body=manifest)
    assert refused["reason"] == "Forbidden"
    assert 'serviceaccount "nobody" not found' in refused["message"]


# Objects


def test_a_name_is_taken_until_its_pod_is_gone(namespace: Namespace) -> None:
    manifest = pod("job", "trap '' TERM; while :; do sleep 1; done")
    start(namespace, manifest)
    wait(namespace, is_running)
    assert request(namespace, "create", body=manifest) == {"reason": "AlreadyExists", "message": 'pods "job" already exists'}
    request(namespace, "delete", "/job?gracePeriodSeconds=2")
    again = request(namespace, "create", body=manifest)
    assert again == {"reason": "AlreadyExists", "message": 'object is being deleted: pods "job" already exists'}
    namespace.wait_until_empty()
    start(namespace, manifest)


def test_commands_make_secrets_and_config_maps(namespace: Namespace) -> None:
    for kind in (["secret", "generic"], ["configmap"]):
        assert kubectl(namespace, "create", *kind, "store", "--from-literal=key=välue").returncode == 0
    shown = {
        kind: json.loads(kubectl(namespace, "get", kind, "store", "-o", "json").stdout)["data"] for kind in ("secret", "configmap")
    }
    assert shown == {"secret": {"key": "dsOkbHVl"}, "configmap": {"key": "välue"}}
    assert kubectl(namespace, "delete", "secret", "store").returncode == 0
    assert b"NotFound" in kubectl(namespace, "get", "secret", "store").stderr


def test_a_namespace_goes_with_its_pods(namespace: Namespace) -> None:
    other = f"{namespace.name}-2"
    assert kubectl(namespace, "create", "namespace", other).returncode == 0
    inside = Namespace(namespace.cluster, other)
    inside.create_secret("store", key="value")
    start(inside, pod("job", "sleep 100", terminationGracePeriodSeconds=1))
    assert kubectl(namespace, "delete", "namespace", other, "--timeout=110s").returncode == 0
    assert inside.pods() == []
    assert kubectl(inside, "get", "secret", "store").returncode == 1


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("fieldSelector=metadata.name=a", ["a"]),
        ("fieldSelector=metadata.name!=a", ["b", "c"]),
        ("labelSelector=side=left", ["a", "b"]),
        ("labelSelector=side=left,size!=big", ["b"]),
        ("labelSelector=side%20in%20(right,up)", ["c"]),
        ("labelSelector=!size", ["b", "c"]),
        ("labelSelector=size", ["a"]),
    ],
)
def test_pods_are_listed_by_selectors(namespace: Namespace, query: str, names: list[str]) -> None:
    for name, labels in {"a": {"side": "left", "size": "big"}, "b": {"side": "left"}, "c": {"side": "right"}}.items():
        start(namespace, pod(name, "sleep 100", labels=labels, nodeSelector={"no": "where"}))
    listed = json.loads(kubectl(namespace, "get", "--raw", f"{namespace.path}?{query}").stdout)
    assert [item["metadata"]["name"] for item in listed["items"]] == names


def test_a_list_comes_in_pages(namespace: Namespace) -> None:
    for name in ("a", "b", "c"):
        start(namespace, pod(name, "sleep 100", nodeSelector={"no": "where"}))
    first = json.loads(kubectl(namespace, "get", "--raw", f"{namespace.path}?limit=2").stdout)
    place = first["metadata"]["continue"]
    rest = json.loads(kubectl(namespace, "get", "--raw", f"{namespace.path}?limit=2&continue={place}").stdout)
    assert [[item["metadata"]["name"] for item in page["items"]] for page in (first, rest)] == [["a", "b"], ["c"]]
    assert "continue" not in rest["metadata"]


def test_a_replacement_changes_metadata_and_needs_the_latest_version(namespace: Namespace) -> None:
    start(namespace, pod("job", "true"))
    found = wait(namespace, has_ended)
    found["metadata"]["annotations"] = {"collected": "yes"}
    replaced = request(namespace, "replace", "/job", found)
    assert replaced["metadata"]["annotations"] == {"collected": "yes"}
    assert replaced["status"]["phase"] == "Succeeded"
    stale = request(namespace, "replace", "/job", found)
    assert stale["reason"] == "Conflict"
    assert "the object has been modified" in stale["message"]
    del found["metadata"]["resourceVersion"]
    found["spec"]["containers"][0]["command"] = ["false"]
    assert "pod updates may not change fields other than" in request(namespace, "replace", "/job", found)["message"]


# Watches


def test_a_watch_without_a_version_begins_with_what_is_there(namespace: Namespace) -> None:
    start(namespace, pod(nodeSelector={"no": "where"}))
    (first,) = watch(namespace, "fieldSelector=metadata.name=job", lambda *_: True)
    assert (first[0], first[1]["metadata"]["name"]) == ("ADDED", "job")


def test_a_watch_from_a_version_returns_the_later_events_up_to_the_end(namespace: Namespace) -> None:
    version = start(namespace, pod("job", "sleep 1"))["metadata"]["resourceVersion"]
    seen = watch(namespace, f"fieldSelector=metadata.name=job&timeoutSeconds=120&resourceVersion={version}", ends)
    assert {type_ for type_, _ in seen} == {"MODIFIED"}
    assert [found["status"]["phase"] for _, found in seen][-1] == "Succeeded"
    versions = [int(found["metadata"]["resourceVersion"]) for _, found in seen]
    assert versions == sorted(versions)
    assert versions[0] > int(version)


def test_a_watch_ends_at_its_timeout(namespace: Namespace) -> None:
    begun = time.monotonic()
    assert watch(namespace, "timeoutSeconds=1", goes) == []
    assert 1 <= time.monotonic() - begun < 10


def test_a_watch_from_a_forgotten_version_is_told_so(local_namespace: Namespace) -> None:
    ((type_, status),) = watch(local_namespace, "resourceVersion=1&timeoutSeconds=5", goes)
    assert (type_, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


@pytest.mark.cluster
@pytest.mark.faults
def test_a_real_api_server_says_so_of_a_version_from_before_its_start(real_namespace: Namespace, components: Components) -> None:
    """A server remembers what it has seen itself, from the first change on where it is young enough."""
    version = start(real_namespace, pod("older", nodeSelector={"no": "where"}))["metadata"]["resourceVersion"]
    start(real_namespace, pod("newer", nodeSelector={"no": "where"}))
    components("kill", "kube-apiserver")
    components.up()
    ((type_, status),) = watch(real_namespace, f"resourceVersion={version}&timeoutSeconds=5", goes)
    assert (type_, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_a_watch_sees_a_pod_go(namespace: Namespace) -> None:
    start(namespace, pod("job", "exec sleep 100"))
    wait(namespace, is_running)
    answer = request(namespace, "delete", "/job?gracePeriodSeconds=1")["metadata"]
    version = answer["resourceVersion"]
    seen = watch(namespace, f"fieldSelector=metadata.name=job&timeoutSeconds=120&resourceVersion={version}", goes)
    assert [type_ for type_, _ in seen][-1] == "DELETED"
    assert [metadata["deletionGracePeriodSeconds"] for metadata in (answer, seen[-1][1]["metadata"])] == [1, 0]


def test_a_watch_by_label_sees_pods_come_into_view_and_go(local_namespace: Namespace) -> None:
    version = start(local_namespace, pod(nodeSelector={"no": "where"}))["metadata"]["resourceVersion"]
    for change in ("in=view", "in-"):
        assert kubectl(local_namespace, "label", "pod", "job", change).returncode == 0
    seen = watch(local_namespace, f"labelSelector=in=view&timeoutSeconds=1&resourceVersion={version}", goes)
    assert [type_ for type_, _ in seen] == ["ADDED", "DELETED"]


# The end of a pod

ENDS = {
    "it succeeds": (pod("job", "true"), "Succeeded", 0, "Completed"),
    "it exits with a code": (pod("job", "exit 3"), "Failed", 3, "Error"),
    "its memory is used up": (
        pod("job", "x=x; while :; do x=$x$x$x$x; done", resources={"limits": {"memory": "48Mi"}}),
        "Failed",
        137,
        "OOMKilled",
    ),
    "there is no such command": (pod(command=["nonsense"]), "Failed", 128, "StartError"),
}


@pytest.mark.parametrize(("manifest", "phase", "code", "reason"), ENDS.values(), ids=ENDS)
def test_a_pod_ends(namespace: Namespace, manifest: Object, phase: str, code: int, reason: str) -> None:
    start(namespace, manifest)
    found = wait(namespace, has_ended)
    ended = state(found)["terminated"]
    assert (found["status"]["phase"], ended["exitCode"], ended["reason"]) == (phase, code, reason)
    assert found["spec"]["nodeName"]
    ready = next(each for each in found["status"]["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "False"


def test_a_container_that_ended_by_a_signal_says_which(local_namespace: Namespace) -> None:
    start(local_namespace, pod("job", "kill -HUP $$$$"))
    ended = state(wait(local_namespace, has_ended))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128 + signal.SIGHUP, "Error")


def test_a_pod_that_runs_is_ready(namespace: Namespace) -> None:
    start(namespace, pod("job", "exec sleep 100"))
    found = wait(namespace, is_running)
    assert found["status"]["phase"] == "Running"
    assert {each["type"]: each["status"] for each in found["status"]["conditions"]} == {
        "PodScheduled": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
    }


def test_a_deadline_ends_a_pod_with_its_grace_period(namespace: Namespace) -> None:
    script = "trap 'echo ending; exit 5' TERM; echo up; while :; do sleep 1; done"
    # A busy node may take seconds until the container runs, and they count.
    start(namespace, pod("job", script, activeDeadlineSeconds=8, terminationGracePeriodSeconds=20))
    found = wait(namespace, has_ended)
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert found["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    assert log(namespace, "follow=true") == b"up\nending\n"


def test_a_deadline_ends_a_pod_that_never_started(namespace: Namespace) -> None:
    start(namespace, pod(image="nowhere:1", activeDeadlineSeconds=2))
    found = wait(namespace, has_ended)
    assert found["status"]["reason"] == "DeadlineExceeded"
    assert "waiting" in state(found)


@pytest.mark.parametrize(
    ("script", "code"),
    [("trap 'exit 7' TERM; echo up; while :; do sleep 0.2; done", 7), ("trap '' TERM; echo up; while :; do sleep 0.2; done", 137)],
    ids=["it ends on SIGTERM", "it is killed after its grace period"],
)
def test_a_deleted_pod_has_its_grace_period(namespace: Namespace, script: str, code: int) -> None:
    codes: list[int] = []
    # A real node may remove a pod before it has written how the container ended: seen once with a kubelet of 1.20, and not again in
    # 18 repetitions. Then the next pod shows it.
    for _ in range(3 if namespace.cluster.is_real else 1):
        start(namespace, pod("job", script))
        wait(namespace, lambda found: is_running(found) and log(namespace) == b"up\n")
        answer = request(namespace, "delete", "/job?gracePeriodSeconds=3")
        assert answer["metadata"]["deletionGracePeriodSeconds"] == 3
        version = answer["metadata"]["resourceVersion"]
        seen = watch(namespace, f"fieldSelector=metadata.name=job&timeoutSeconds=120&resourceVersion={version}", goes)
        # Also in the last event, which has no grace left: when the deletion was asked for can always be told.
        assert {asked_at(found["metadata"]) for _, found in seen} == {asked_at(answer["metadata"])}
        codes = [state(found)["terminated"]["exitCode"] for _, found in seen if "terminated" in state(found)]
        if codes:
            break
    assert codes[:1] == [code]


@pytest.mark.parametrize(
    ("field", "message"),
    [("uid", "The object might have been deleted and then recreated"), ("resourceVersion", "The object might have been modified")],
)
def test_a_deletion_may_be_of_a_certain_pod_only(namespace: Namespace, field: str, message: str) -> None:
    made = start(namespace, pod(nodeSelector={"no": "where"}))["metadata"]
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {field: "1"}}
    refused = request(namespace, "delete", "/job", options)
    assert refused["reason"] == "Conflict"
    assert refused["message"].startswith('Operation cannot be fulfilled on Pod "job": the ')
    assert "in the precondition (1) does not match the " in refused["message"]
    assert message in refused["message"]
    options["preconditions"] = {"uid": made["uid"]}
    assert request(namespace, "delete", "/job", options)["kind"] == "Pod"
    assert namespace.pods() == []


def asked_at(metadata: dict[str, Any]) -> datetime:
    until = datetime.fromisoformat(metadata["deletionTimestamp"].replace("Z", "+00:00"))
    return until - timedelta(seconds=metadata["deletionGracePeriodSeconds"])


def test_a_pod_deleted_without_grace_is_gone_at_once_and_its_processes_too(local_namespace: Namespace, tmp_path: Path) -> None:
    start(local_namespace, pod("job", f"trap '' TERM; echo $$$$ > {tmp_path}/pid; while :; do sleep 1; done"))
    wait(local_namespace, lambda _: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
    process = psutil.Process(int((tmp_path / "pid").read_text()))
    request(local_namespace, "delete", "/job?gracePeriodSeconds=0")
    assert local_namespace.pods() == []
    process.wait(5)


def test_a_name_freed_without_grace_belongs_to_the_next_pod(local_namespace: Namespace) -> None:
    start(local_namespace, pod("job", "trap '' TERM; while :; do sleep 0.2; done"))
    wait(local_namespace, is_running)
    request(local_namespace, "delete", "/job?gracePeriodSeconds=20")
    request(local_namespace, "delete", "/job?gracePeriodSeconds=0")
    uid = start(local_namespace, pod("job", "sleep 1; echo second"))["metadata"]["uid"]
    assert wait(local_namespace, has_ended)["metadata"]["uid"] == uid
    assert log(local_namespace) == b"second\n"


def test_what_a_container_left_in_the_background_ends_with_it(local_namespace: Namespace, tmp_path: Path) -> None:
    start(local_namespace, pod("job", f"sleep 100 & echo $! > {tmp_path}/pid"))
    wait(local_namespace, has_ended)
    child = _process(int((tmp_path / "pid").read_text()))
    if child is not None:
        child.wait(5)


def test_several_containers_end_on_their_own(namespace: Namespace) -> None:
    manifest = pod("job", "exit 1")
    manifest["spec"]["containers"].append({**pod("job", "sleep 2")["spec"]["containers"][0], "name": "other"})
    start(namespace, manifest)
    found = wait(namespace, has_ended)
    ends = {each["name"]: each["state"]["terminated"]["exitCode"] for each in found["status"]["containerStatuses"]}
    assert (found["status"]["phase"], ends) == ("Failed", {"base": 1, "other": 0})


def test_an_init_container_comes_first(namespace: Namespace) -> None:
    first = {**pod("job", "exit 2")["spec"]["containers"][0], "name": "first"}
    start(namespace, pod("job", "true", initContainers=[first]))
    found = wait(namespace, has_ended)
    assert found["status"]["phase"] == "Failed"
    assert found["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 2
    assert state(found) == {"waiting": {"reason": "PodInitializing"}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"terminationMessagePath": "/tmp/result.json"}, '{"rows": 3}'),
        ({"terminationMessagePolicy": "FallbackToLogsOnError"}, "last words\n"),
    ],
    ids=["from its file", "from its log"],
)
def test_a_container_leaves_a_termination_message(namespace: Namespace, fields: Object, message: str) -> None:
    script = "echo last words; exit 1" if "last" in message else f"echo -n '{message}' > /tmp/result.json"
    start(namespace, pod("job", script, **fields))
    ended = state(wait(namespace, has_ended))["terminated"]
    assert ended["message"] == message


# What keeps a pod from starting

WAITING = {
    "an image that is not there": (
        pod(image="nowhere:1"),
        "ErrImageNeverPull",
        'Container image "nowhere:1" is not present with pull policy of Never',
    ),
    "an image that cannot be pulled": (
        pod(image="nowhere.invalid/it:1", imagePullPolicy="IfNotPresent"),
        "ErrImagePull",
        'failed to pull and unpack image "nowhere.invalid/it:1"',
    ),
    "an image that is backed off from": (
        pod(image="nowhere.invalid/it:1", imagePullPolicy="Always"),
        "ImagePullBackOff",
        'Back-off pulling image "nowhere.invalid/it:1"',
    ),
    "no image name": (pod(image="No Image"), "InvalidImageName", 'couldn\'t parse image reference "No Image"'),
    "no secret": (
        pod(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "nothing", "key": "a"}}}]),
        "CreateContainerConfigError",
        'secret "nothing" not found',
    ),
    "no key in a secret": (
        pod(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "store", "key": "b"}}}]),
        "CreateContainerConfigError",
        "couldn't find key b in Secret NAMESPACE/store",
    ),
    "no config map": (
        pod(envFrom=[{"configMapRef": {"name": "nothing"}}]),
        "CreateContainerConfigError",
        'configmap "nothing" not found',
    ),
}


@pytest.mark.parametrize(("manifest", "reason", "message"), WAITING.values(), ids=WAITING)
def test_a_container_waits_and_says_why(namespace: Namespace, manifest: Object, reason: str, message: str) -> None:
    namespace.create_secret("store", a="1")
    start(namespace, manifest)

    def says_so(found: Object) -> bool:
        waiting = state(found).get("waiting", {}) if found["status"].get("containerStatuses") else {}
        # A busy kubelet gives its own slowness with the same reason, and looks again.
        return waiting.get("reason") == reason and "failed to sync secret cache" not in waiting["message"]

    found = wait(namespace, says_so)
    assert message.replace("NAMESPACE", namespace.name) in state(found)["waiting"]["message"]
    assert found["status"]["phase"] == "Pending"
    events = json.loads(kubectl(namespace, "get", "events", "-o", "json").stdout)["items"]
    assert [each for each in events if each["reason"] == "Failed" and each["type"] == "Warning"]


UNSCHEDULABLE = {
    "another machine's label": (pod(nodeSelector={"disk": "tape"}), "didn't match Pod's node affinity"),
    "too much memory": (pod(resources={"requests": {"memory": "9Ti"}}), "1 Insufficient memory"),
    "too many CPUs": (pod(resources={"requests": {"cpu": "900"}}), "1 Insufficient cpu"),
    "too much of both": (pod(resources={"limits": {"cpu": "900", "memory": "9Ti"}}), "1 Insufficient cpu, 1 Insufficient memory"),
}


@pytest.mark.parametrize(("manifest", "message"), UNSCHEDULABLE.values(), ids=UNSCHEDULABLE)
def test_a_pod_that_fits_nowhere_is_pending(namespace: Namespace, manifest: Object, message: str) -> None:
    start(namespace, manifest)
    found = wait(namespace, lambda found: bool(found["status"].get("conditions")))
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert message in condition["message"]
    assert condition["message"].startswith("0/1 nodes are available: ")
    assert log(namespace) == b""
    request(namespace, "delete", "/job")
    assert namespace.pods() == []


def test_a_container_starts_once_its_secret_is_there(namespace: Namespace) -> None:
    start(namespace, pod("job", "echo $A", env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "late", "key": "a"}}}]))
    wait(namespace, lambda found: "CreateContainerConfigError" in json.dumps(found["status"]))
    namespace.create_secret("late", a="here now")
    wait(namespace, has_ended)
    assert log(namespace) == b"here now\n"


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (pod(volumes=[{"name": "v", "secret": {"secretName": "nothing"}}]), "ContainerCreating"),
        (pod(image="nowhere:1"), "ErrImageNeverPull"),
        (pod(image="nowhere.invalid/it:1", imagePullPolicy="Always"), "trying and failing to pull image"),
    ],
    ids=["a missing volume", "a missing image", "an image that cannot be pulled"],
)
def test_a_container_that_waits_has_no_log(namespace: Namespace, manifest: Object, reason: str) -> None:
    start(namespace, manifest)
    deadline = time.monotonic() + 120
    refused: Object = {}
    while refused.get("message") != f'container "base" in pod "job" is waiting to start: {reason}':
        assert time.monotonic() < deadline, refused
        time.sleep(0.2)
        done = kubectl(namespace, "get", "--raw", f"{namespace.path}/job/log")
        # Before a pod has a node its log is empty, which is no refusal.
        refused = refusal(done.stderr) if done.returncode else {}
    assert refused["reason"] == "BadRequest"


# What a container gets


def test_variables_and_arguments_refer_to_variables(namespace: Namespace) -> None:
    namespace.create_secret("store", word="hush")
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-2"},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "store", "key": "word"}}},
        {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "E", "valueFrom": {"secretKeyRef": {"name": "nothing", "key": "a", "optional": True}}},
        {"name": "F", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
    ]
    fields: Object = {"envFrom": [{"prefix": "S_", "secretRef": {"name": "store"}}], "resources": {"limits": {"memory": "64Mi"}}}
    command = ["echo", "$(B) $(C) $(D) $$(A) $(NOBODY) $(S_word)"]
    start(namespace, pod(command=command, args=["$(A)", "$F"], env=env, **fields))
    wait(namespace, has_ended)
    assert log(namespace) == b"1-2 hush job $(A) $(NOBODY) hush 1 $F\n"


def test_no_variable_of_this_machine_gets_into_a_pod(local_namespace: Namespace) -> None:
    start(local_namespace, pod(command=["env"], env=[{"name": "A", "value": "1"}]))
    wait(local_namespace, has_ended)
    names = {line.partition("=")[0] for line in log(local_namespace).decode().splitlines()}
    assert names == {"A", "PATH", "HOME", "HOSTNAME"}


def test_bytes_of_a_secret_that_are_no_text_are_replaced_in_a_variable(namespace: Namespace) -> None:
    body = {"metadata": {"name": "store"}, "data": {"a": base64.b64encode(b"a\xff\xfe\n").decode()}}
    path = namespace.path.replace("pods", "secrets")
    assert kubectl(namespace, "create", "--raw", path, "-f", "-", body=body).returncode == 0
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "store", "key": "a"}}}]
    start(namespace, pod("job", 'printf "%s" "$A"', env=env))
    wait(namespace, has_ended)
    assert log(namespace) == "a\ufffd\ufffd\n".encode()


@needs_kubectl
def test_an_images_files_are_those_of_its_directory(tmp_path: Path) -> None:
    (tmp_path / "app/src").mkdir(parents=True)
    (tmp_path / "app/src/main.py").write_text("import sys, os; print(sys.argv[1:], os.environ['CONFIG'], sys.executable)")
    (tmp_path / "app/run.sh").write_text('#!/bin/sh\necho "ran with $1"\n')
    (tmp_path / "app/run.sh").chmod(0o755)
    with running({"collector": tmp_path}) as pods:
        namespace = default_namespace(pods)
        env = [{"name": "CONFIG", "value": "/app/src"}]
        arguments: Object = {"command": ["python", "/app/src/main.py"], "args": ["--x=/app/run.sh", "/apps", "http://h/app"]}
        start(namespace, pod("python", image="collector:latest", env=env, **arguments))
        start(namespace, pod("shell", image="docker.io/library/collector", command=["/app/run.sh"], args=["it"]))
        for name in ("python", "shell"):
            wait(namespace, has_ended, name)
        expected = [f"--x={tmp_path}/app/run.sh", "/apps", "http://h/app"]
        assert log(namespace, name="python").decode() == f"{expected} {tmp_path}/app/src {sys.executable}\n"
        assert log(namespace, name="shell") == b"ran with it\n"


def test_volumes_are_files_where_the_manifest_says(namespace: Namespace) -> None:
    namespace.create_secret("store", word="hush")
    volumes = [{"name": "s", "secret": {"secretName": "store"}}, {"name": "e", "emptyDir": {}}]
    mounts = [{"name": "s", "mountPath": "/etc/store"}, {"name": "e", "mountPath": "/scratch"}]
    script = "cat /etc/store/word > /scratch/copy; cat /scratch/copy"
    start(namespace, pod("job", script, volumes=volumes, volumeMounts=mounts))
    wait(namespace, has_ended)
    assert log(namespace) == b"hush"


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("/app/main.py", "ROOT/app/main.py"),
        ("python /app/main.py >/data/out 2>&1", "python ROOT/app/main.py >VOLUME/out 2>&1"),
        ("--file=/data", "--file=VOLUME"),
        ("/database", "/database"),
        ("/app/missing.py", "/app/missing.py"),
        ("https://host/app/main.py", "https://host/app/main.py"),
        ("x/app/main.py ./app/main.py $HOME/app/main.py", "x/app/main.py ./app/main.py $HOME/app/main.py"),
        ("/", "/"),
    ],
)
def test_only_paths_that_the_container_has_are_translated(tmp_path: Path, text: str, translated: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").touch()
    expected = translated.replace("ROOT", str(tmp_path)).replace("VOLUME", "/volumes/1")
    assert translate(text, {"/data": Path("/volumes/1")}, tmp_path) == expected


# Logs


def test_a_followed_log_has_every_line_of_a_burst_before_the_end(namespace: Namespace) -> None:
    written = b"".join(b"line %d\n" % number for number in range(10_000))
    for attempt in namespace.attempts(written):
        name = f"job-{attempt}"
        start(namespace, pod(name, "sleep 2; i=0; while [ $i -lt 10000 ]; do echo line $i; i=$((i+1)); done; exit 3"))
        wait(namespace, is_running, name)
        followed = log(namespace, "follow=true", name)
        assert state(wait(namespace, has_ended, name))["terminated"]["exitCode"] == 3
        assert followed == log(namespace, name=name)
    assert followed == written


@pytest.mark.parametrize(
    ("script", "written"),
    [
        ("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end", b"x" * 1_000_000 + b"\nend\n"),
        ("printf 'a\\377\\376b\\n\\n\\rc\\n'", b"a\xff\xfeb\n\n\rc\n"),
        ("printf 'one\\ntwo'", b"one\ntwo"),
        ("echo out; sleep 0.2; echo err >&2; sleep 0.2; echo out", b"out\nerr\nout\n"),
        ("true", b""),
    ],
    ids=["a line of 1 MB", "bytes that are no UTF-8", "a last line without its end", "both outputs, in order", "nothing"],
)
def test_a_log_is_what_was_written(namespace: Namespace, script: str, written: bytes) -> None:
    for attempt in namespace.attempts(written):
        start(namespace, pod(f"job-{attempt}", script))
        wait(namespace, has_ended, f"job-{attempt}")


def test_lines_come_with_the_time_they_were_written(namespace: Namespace) -> None:
    start(namespace, pod("job", "echo one; sleep 1; echo; sleep 1; echo three"))
    found = wait(namespace, has_ended)
    lines = [line.split(b" ", 1) for line in log(namespace, "timestamps=true").splitlines(keepends=True)]
    assert [line for _, line in lines] == [b"one\n", b"\n", b"three\n"]
    assert all(re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", when) for when, _ in lines)
    times = [when.decode() for when, _ in lines]
    assert times == sorted(times)
    assert found["status"]["startTime"][:19] <= times[0][:19]
    assert log(namespace, f"sinceTime={times[1]}") == b"\nthree\n"


@pytest.mark.parametrize(
    ("options", "given"),
    [("tailLines=2", b"2\n3\n"), ("tailLines=0", b""), ("limitBytes=3", b"1\n2"), ("tailLines=9", b"1\n2\n3\n")],
)
def test_a_part_of_a_log_can_be_asked_for(finished: Namespace, options: str, given: bytes) -> None:
    assert log(finished, options) == given


BAD_LOG_REQUESTS = {
    "tailLines=-1": ("Invalid", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
    "limitBytes=0": ("Invalid", "limitBytes: Invalid value: 0: must be greater than 0"),
    "tailLines=x": ("BadRequest", 'strconv.ParseInt: parsing "x": invalid syntax'),
    "sinceTime=x": ("BadRequest", 'parsing time "x"'),
    "container=x": ("BadRequest", "container x is not valid for pod job"),
    "previous=true": ("BadRequest", 'previous terminated container "base" in pod "job" not found'),
}


@pytest.mark.parametrize(("options", "refusal"), BAD_LOG_REQUESTS.items(), ids=BAD_LOG_REQUESTS)
def test_a_log_request_that_makes_no_sense_is_refused(finished: Namespace, options: str, refusal: tuple[str, str]) -> None:
    refused = request(finished, "get", f"/job/log?{options}")
    assert refused["reason"] == refusal[0]
    assert refusal[1] in refused["message"]


# Many at once, and for people


def test_dozens_of_pods_run_and_are_followed_at_once(local_namespace: Namespace) -> None:
    names = [f"job-{number}" for number in range(24)]

    def run(name: str) -> tuple[bytes, int]:
        version = start(local_namespace, pod(name, f"echo {name}; sleep 1; echo done; exit 4"))["metadata"]["resourceVersion"]
        seen = watch(local_namespace, f"fieldSelector=metadata.name={name}&timeoutSeconds=60&resourceVersion={version}", ends)
        return log(local_namespace, "follow=true", name), state(seen[-1][1])["terminated"]["exitCode"]

    with ThreadPoolExecutor(len(names)) as threads:
        assert list(threads.map(run, names)) == [(f"{name}\ndone\n".encode(), 4) for name in names]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["get", "pods"], r"NAME +READY +STATUS +RESTARTS +AGE\njob +0/1 +Error +0 +\d+s"),
        (["get", "pods", "-o", "name"], r"pod/job\n"),
        (["logs", "job"], r"said\n"),
        (["logs", "job", "-f", "--timestamps", "--tail=1"], r"\S+Z said\n"),
        (["describe", "pod", "job"], r"(?s).*Exit Code: +6.*Started container base.*"),
        (["annotate", "pod", "job", "a=b"], r"pod/job annotated\n"),
        (["wait", "pod/job", "--for=condition=Ready=false", "--timeout=5s"], r"pod/job condition met\n"),
        (["get", "events"], r"(?s).*Scheduled.*"),
        (["delete", "pod", "job"], r'pod "job" deleted.*\n'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "shown",
)
def test_kubectls_commands_work(local_namespace: Namespace, arguments: list[str], shown: str) -> None:
    assert kubectl(local_namespace, "create", "-f", "-", body=pod("job", "echo said; exit 6")).returncode == 0
    wait(local_namespace, has_ended)
    done = kubectl(local_namespace, *arguments)
    assert done.returncode == 0, done.stderr
    assert re.match(shown, done.stdout.decode()), done.stdout
