"""
kubectl's messages are parsed; kubectl.sh is run with kubectls that misbehave.

The texts are what kubectl 1.20.2 to 1.37.1 wrote; ``test_answers.py`` drives the kubectls that are here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_dagconfig.kubectl.client import SCRIPT, Kubectl
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError, read_error

FORBIDDEN = (
    'Error from server (Forbidden): pods is forbidden: User "eve" cannot create resource "pods" in API group "" '
    'in the namespace "jobs"'
)


@pytest.mark.parametrize(
    ("stderr", "fault"),
    [
        pytest.param('Error from server (AlreadyExists): pods "x" already exists', Fault.ALREADY_EXISTS, id="exists"),
        pytest.param('Error from server (NotFound): pods "x" not found', Fault.NOT_FOUND, id="not-found"),
        pytest.param(FORBIDDEN, Fault.FORBIDDEN, id="forbidden"),
        pytest.param(
            'Error from server (Forbidden): pods "x" is forbidden: exceeded quota: compute, requested: limits.cpu=2',
            Fault.FORBIDDEN,
            id="quota",
        ),
        pytest.param(
            'Error from server (Forbidden): pods "x" is forbidden: not yet ready to handle request',
            Fault.SERVER_ERROR,
            id="api-server-has-just-started",
        ),
        pytest.param('The Pod "x" is invalid: spec.containers[0].image: Required value', Fault.INVALID, id="invalid"),
        pytest.param(
            'The Pod "x" is invalid: \n* spec.containers[0].image: Required value\n* spec.nodeName: Invalid value: "error: no"',
            Fault.INVALID,
            id="invalid-twice",
        ),
        pytest.param("The request is invalid", Fault.INVALID, id="invalid-without-details"),
        pytest.param("The request is invalid: the server rejected our request", Fault.INVALID, id="invalid-without-a-name"),
        pytest.param("Error from server (BadRequest): the object provided is unrecognized", Fault.INVALID, id="bad-request"),
        pytest.param(
            'Error from server (BadRequest): container "base" in pod "x" is waiting to start: ContainerCreating',
            Fault.NOT_READY,
            id="no-log-yet",
        ),
        pytest.param("Error from server (Conflict): Operation cannot be fulfilled", Fault.CONFLICT, id="conflict"),
        pytest.param("error: You must be logged in to the server (Unauthorized)", Fault.UNAUTHORIZED, id="unauthorized"),
        pytest.param('error: context "lab" does not exist', Fault.MISCONFIGURED, id="context"),
        pytest.param(
            "Error in configuration: context was not found for specified context: lab", Fault.MISCONFIGURED, id="current-context"
        ),
        pytest.param(
            'error: exec plugin: invalid apiVersion "client.authentication.k8s.io/v1alpha1"', Fault.MISCONFIGURED, id="old-plugin"
        ),
        pytest.param('error: host must be a URL or a host:port pair: "https://[bad"', Fault.MISCONFIGURED, id="url"),
        pytest.param(
            "W1125 06:12:57.694534   12413 loader.go:223] Config not found: /no/such file\n"
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
            Fault.UNREACHABLE,
            id="behind-a-line-of-kubectls-log",
        ),
        pytest.param(
            "Unable to connect to the server: x509: certificate signed by unknown authority", Fault.MISCONFIGURED, id="certificate"
        ),
        pytest.param(
            "Unable to connect to the server: getting credentials: exec: executable aws not found\n\nIt looks like...",
            Fault.MISCONFIGURED,
            id="credential-plugin",
        ),
        pytest.param(
            "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?",
            Fault.UNREACHABLE,
            id="refused",
        ),
        pytest.param("Unable to connect to the server: net/http: TLS handshake timeout", Fault.UNREACHABLE, id="frozen"),
        pytest.param("Unable to connect to the server: dial tcp: lookup k8s: no such host", Fault.UNREACHABLE, id="dns"),
        pytest.param("error: http2: client connection lost", Fault.UNREACHABLE, id="stream-lost"),
        pytest.param("error: unexpected EOF", Fault.UNREACHABLE, id="stream-cut"),
        pytest.param("Error from server (InternalError): etcdserver: request timed out", Fault.SERVER_ERROR, id="etcd"),
        pytest.param("Error from server: etcdserver: leader changed", Fault.SERVER_ERROR, id="etcd-leader"),
        pytest.param("Error from server (TooManyRequests): the server is busy", Fault.SERVER_ERROR, id="busy"),
        pytest.param("Error from server (Expired): too old resource version", Fault.EXPIRED, id="expired"),
        pytest.param("", Fault.UNREACHABLE, id="nothing-said"),
    ],
)
def test_what_kubectl_says_becomes_a_fault(stderr: str, fault: Fault) -> None:
    assert read_error(1, stderr).fault is fault


def test_the_servers_sentence_is_kept_whole() -> None:
    assert read_error(1, FORBIDDEN).message == FORBIDDEN.partition(": ")[2]


@pytest.mark.parametrize(
    "stderr",
    [
        pytest.param('error: host must be a URL or a host:port pair: "https://me:hu[sh@10.0.0.1:6443"', id="server"),
        pytest.param('error: host must be a URL or a host:port pair: "https://me:hu sh@10.0.0.1:6443"', id="server-with-a-space"),
        pytest.param(
            'error: invalid \'proxy-url\' "http://me:hu sh@10.0.0.1" for cluster "c": could not parse: http://me:hu sh@10.0.0.1',
            id="proxy-twice",
        ),
        pytest.param(
            'error: invalid \'proxy-url\' "me:hush@10.0.0.1:3128" for cluster "c": unsupported scheme "me", must be http',
            id="proxy-without-a-scheme",
        ),
        pytest.param('Unable to connect: Get "https://me:hu/s@h@10.0.0.1:6443/version": EOF', id="request"),
        pytest.param("login failed at https://me:hush@10.0.0.1/realm", id="credential-plugin"),
    ],
)
def test_no_message_shows_the_password_in_a_url(stderr: str) -> None:
    error = read_error(1, stderr)
    for text in (str(error), error.message, error.trouble):
        assert "***@10.0.0.1" in text
        assert not [part for part in ("me:", "hu", "sh@") if part in text]


@pytest.mark.parametrize("text", ['Get "https://10.0.0.1:6443/version": EOF', 'pods "x" is forbidden: User "me@here" cannot'])
def test_what_is_no_password_is_shown(text: str) -> None:
    assert read_error(1, text).message == text


def test_an_invalid_proxy_address_fails_without_waiting() -> None:
    error = read_error(1, 'error: invalid \'proxy-url\' "ftp://10.0.0.1" for cluster "c": unsupported scheme "ftp"')
    assert error.fault is Fault.MISCONFIGURED


@pytest.mark.parametrize("exit_code", [-9, 137], ids=["itself", "run-by-a-script"])
@pytest.mark.parametrize("stderr", ["", "half a sentence"])
def test_a_kubectl_that_a_signal_ended_is_no_server_out_of_reach(stderr: str, exit_code: int) -> None:
    error = read_error(exit_code, stderr)
    assert error.fault is Fault.CREDENTIALS
    assert "kubectl was ended by signal 9" in error.message
    assert stderr in error.message


@pytest.fixture
def fake_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl that writes down its arguments, environment and standard input, and answers with a pod."""
    path = tmp_path / "kubectl"
    made = '{"metadata": {"name": "collect", "resourceVersion": "1"}}'
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/arguments\ncat >{tmp_path}/stdin\necho \'{made}\'\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def test_the_manifest_goes_through_standard_input_and_never_on_a_command_line(fake_kubectl: Path) -> None:
    Kubectl({}, "jobs", "collect").create({"spec": "s3cret $(touch /tmp/injected) ; `x`"})
    assert "s3cret" in (fake_kubectl / "stdin").read_text()
    assert (fake_kubectl / "arguments").read_text().split("\n")[-5:-1] == [
        "--raw",
        "/api/v1/namespaces/jobs/pods?fieldValidation=Strict",
        "-f",
        "-",
    ]


def test_the_debug_log_tells_each_request_and_its_answer_and_nothing_that_was_sent(
    fake_kubectl: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="airflow_provider_dagconfig")
    kubectl = Kubectl({"DAGCONFIG_CONTEXT": "lab"}, "jobs", "collect")
    kubectl.create({"spec": "s3cret"})
    with closing(kubectl.watch()) as stream:
        stream.read()
    (fake_kubectl / "kubectl").write_text(f"#!/bin/sh\necho '{FORBIDDEN}' >&2\nexit 1\n")
    with pytest.raises(KubectlError):
        kubectl.get()
    pods = "/api/v1/namespaces/jobs/pods"
    told = [re.sub(r"\d+ bytes|[\d.]+ s$", "N", line) for line in caplog.messages]
    assert told == [
        f"create {pods}?fieldValidation=Strict: N in N",
        f"watch {pods}?watch=true&fieldSelector=metadata.name%3Dcollect&timeoutSeconds=300: opened",
        f"watch {pods}?watch=true&fieldSelector=metadata.name%3Dcollect&timeoutSeconds=300: closed after N in N",
        f"get {pods}/collect: forbidden in N",
    ]


def test_context_and_verification_reach_kubectl_as_arguments(fake_kubectl: Path) -> None:
    Kubectl({"DAGCONFIG_CONTEXT": "lab $(x)", "DAGCONFIG_INSECURE": "1"}, "jobs", "collect").get()
    assert (fake_kubectl / "arguments").read_text().startswith("--context\nlab $(x)\n--insecure-skip-tls-verify=true\n")


def test_a_machine_without_kubectl_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubectlError, match="apt-get install kubernetes-client") as refusal:
        Kubectl({}, "jobs", "collect").get()
    assert refusal.value.fault is Fault.MISCONFIGURED


def test_a_request_outlives_the_thread_that_made_it(fake_kubectl: Path) -> None:
    """It ends with the process, not with a thread."""
    os.mkfifo(fake_kubectl / "fifo")
    (fake_kubectl / "kubectl").write_text(f"#!/bin/sh\nexec cat {fake_kubectl}/fifo\n")
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(Kubectl({}, "jobs", "collect").watch).result()
    with closing(stream):
        (fake_kubectl / "fifo").write_text("still here")
        assert stream.read() == b"still here"


def test_a_request_whose_maker_is_gone_before_kubectl_runs_is_not_made(fake_kubectl: Path) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    environment = {"PATH": os.environ["PATH"], "DAGCONFIG_URI": "/version", "DAGCONFIG_LIFELINE": str(reading)}
    done = subprocess.run(["bash", SCRIPT, "get"], env=environment, pass_fds=(reading,), capture_output=True, check=False)
    os.close(reading)
    assert done.returncode == 1
    assert not (fake_kubectl / "arguments").exists()


def test_an_answer_that_is_no_json_is_no_pod(fake_kubectl: Path) -> None:
    (fake_kubectl / "kubectl").write_text("#!/bin/sh\necho '<html>a proxy</html>'\n")
    with pytest.raises(KubectlError, match="is no JSON: '<html>a proxy"):
        Kubectl({}, "jobs", "collect").get()


def test_the_script_tells_a_person_how_it_is_used() -> None:
    done = subprocess.run(
        ["bash", SCRIPT],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "./kubectl.sh create <pod.json" in done.stderr
