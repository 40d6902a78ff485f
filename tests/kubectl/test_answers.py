"""
The meaning of each answer of an API server or a proxy, and of each missing answer, to a task, through the real kubectl.

Each kubectl of this machine is driven: the one in PATH, and those that the variable DAGCONFIG_TEST_KUBECTLS names.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from plugins.answers import Answer, Server, certificate, document, kubeconfig, kubectls, page, status

from airflow_provider_dagconfig.kubectl import client
from airflow_provider_dagconfig.kubectl.access import resolve_access
from airflow_provider_dagconfig.kubectl.annotations import task_annotations
from airflow_provider_dagconfig.kubectl.client import Kubectl, Stream
from airflow_provider_dagconfig.kubectl.ends import Ended, PodEnd
from airflow_provider_dagconfig.kubectl.environment import KubectlSettings
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.lifecycle import PodRun
from airflow_provider_dagconfig.kubectl.outcome import End
from airflow_provider_dagconfig.kubectl.pod_life import Limits
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.operators.ends import airflow_exception

pytestmark = pytest.mark.parametrize("kubectl", kubectls())

SENTENCE = "the API server's own sentence"
REQUIRED = {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers[0].image"}
INVALID = {"name": "collect", "kind": "Pod", "causes": [REQUIRED]}


def pod(version: int, phase: str = "Running") -> dict[str, Any]:
    state = {"running": {}} if phase == "Running" else {"terminated": {"exitCode": 0, "finishedAt": "2026-11-23T02:00:01Z"}}
    return {
        "metadata": {
            "name": "collect",
            "uid": "one",
            "resourceVersion": str(version),
            "annotations": task_annotations("collection", "run", "collect"),
        },
        "spec": {"containers": [{"name": "base", "image": "busybox"}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "base", "state": state}]},
    }


def ask(kubectl: Kubectl, verb: str) -> KubectlError:
    """Make the request, which is refused."""

    def read(stream: Stream) -> None:
        while stream.read():
            pass
        if error := stream.error():
            raise error

    requests: dict[str, Callable[[], Any]] = {
        "create": lambda: kubectl.create(pod(0)),
        "get": kubectl.get,
        "watch": lambda: read(kubectl.watch()),
        "log": lambda: read(kubectl.log(None, follow=True)),
        "replace": lambda: kubectl.replace(pod(1)),
        "delete": lambda: kubectl.delete(pod(1)),
    }
    with pytest.raises(KubectlError) as refusal:
        requests[verb]()
    assert refusal.value.verb == verb
    return refusal.value


def client_of(kubectl: str, config: str) -> Kubectl:
    return Kubectl({"KUBECONFIG": config}, "jobs", "collect", settings=KubectlSettings(program=kubectl))


VERBS = ["create", "get", "watch", "log", "replace", "delete"]

ANSWERS = [
    pytest.param(status(400, SENTENCE), Fault.INVALID, SENTENCE, id="400"),
    pytest.param(page(400), Fault.INVALID, "rejected our request", id="400-page"),
    pytest.param(status(401, SENTENCE), Fault.UNAUTHORIZED, SENTENCE, id="401"),
    pytest.param(page(401), Fault.UNAUTHORIZED, "provide credentials", id="401-page"),
    pytest.param(status(403, SENTENCE), Fault.FORBIDDEN, SENTENCE, id="403"),
    pytest.param(page(403), Fault.FORBIDDEN, "403 of a proxy", id="403-page"),
    pytest.param(
        status(403, 'pods "x" is forbidden: not yet ready to handle request'), Fault.SERVER_ERROR, "not yet", id="403-starts"
    ),
    pytest.param(page(404), Fault.UNREACHABLE, "could not find the requested resource", id="404-page"),
    pytest.param(status(405, SENTENCE), Fault.NOT_SUPPORTED, SENTENCE, id="405"),
    pytest.param(page(405), Fault.NOT_SUPPORTED, "does not allow this method", id="405-page"),
    pytest.param(status(409, SENTENCE), Fault.CONFLICT, SENTENCE, id="409"),
    pytest.param(page(409), Fault.CONFLICT, "reported a conflict", id="409-page"),
    pytest.param(status(410, SENTENCE), Fault.EXPIRED, SENTENCE, id="410"),
    pytest.param(page(410), Fault.EXPIRED, "410", id="410-page"),
    pytest.param(status(413, SENTENCE), Fault.INVALID, SENTENCE, id="413"),
    pytest.param(page(413), Fault.INVALID, "413", id="413-page"),
    pytest.param(status(415, SENTENCE), Fault.NOT_SUPPORTED, SENTENCE, id="415"),
    pytest.param(page(415), Fault.NOT_SUPPORTED, "415 of a proxy", id="415-page"),
    pytest.param(status(422, SENTENCE, INVALID), Fault.INVALID, 'The Pod "collect" is invalid: spec.containers[0].image', id="422"),
    pytest.param(
        status(422, SENTENCE, {**INVALID, "causes": [REQUIRED, {**REQUIRED, "field": "spec.nodeName"}]}),
        Fault.INVALID,
        "* spec.nodeName: Required value",
        id="422-two-causes",
    ),
    pytest.param(status(422, SENTENCE, {"causes": [REQUIRED]}), Fault.INVALID, "is invalid", id="422-no-name"),
    pytest.param(page(422), Fault.INVALID, "The request is invalid", id="422-page"),
    pytest.param(status(429, SENTENCE), Fault.SERVER_ERROR, SENTENCE, id="429"),
    pytest.param(page(429), Fault.SERVER_ERROR, "too many requests", id="429-page"),
    pytest.param(status(500, SENTENCE), Fault.SERVER_ERROR, SENTENCE, id="500"),
    pytest.param(status(500, "etcdserver: leader changed", reason=""), Fault.SERVER_ERROR, "leader changed", id="500-no-reason"),
    pytest.param(page(500), Fault.SERVER_ERROR, "500 of a proxy", id="500-page"),
    pytest.param(page(502), Fault.SERVER_ERROR, "502 of a proxy", id="502-page"),
    pytest.param(status(503, SENTENCE), Fault.SERVER_ERROR, SENTENCE, id="503"),
    pytest.param(page(503), Fault.SERVER_ERROR, "unable to handle the request", id="503-page"),
    pytest.param(status(504, SENTENCE), Fault.SERVER_ERROR, SENTENCE, id="504"),
    pytest.param(page(504), Fault.SERVER_ERROR, "in the time allotted", id="504-page"),
    pytest.param(page(407), Fault.UNREACHABLE, "407", id="407-page"),
    pytest.param(Answer(breaks="middle"), Fault.UNREACHABLE, "reset by peer", id="cut-in-the-middle"),
]


@pytest.mark.parametrize(("answer", "fault", "says"), ANSWERS)
def test_each_answer_is_the_same_fault_to_each_request(
    api_server: Server, tmp_path: Path, kubectl: str, answer: Answer, fault: Fault, says: str
) -> None:
    client = client_of(kubectl, kubeconfig(tmp_path, api_server.url))
    for verb in VERBS:
        api_server.answers = {verb: [answer]}
        error = ask(client, verb)
        assert (verb, error.fault) == (verb, fault)
        assert says in error.message


@pytest.mark.parametrize("code", [429, 503])
def test_a_server_that_asks_for_patience_is_obeyed(api_server: Server, tmp_path: Path, kubectl: str, code: int) -> None:
    """New kubectls read Retry-After themselves, where they only look."""
    client = client_of(kubectl, kubeconfig(tmp_path, api_server.url))
    api_server.answers = {verb: [status(code, SENTENCE, Retry_After="0")] for verb in VERBS}
    assert [(verb, ask(client, verb).fault) for verb in VERBS] == [(verb, Fault.SERVER_ERROR) for verb in VERBS]


def test_not_found_from_an_api_server_means_that_the_pod_is_gone(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    client = client_of(kubectl, kubeconfig(tmp_path, api_server.url))
    api_server.answers = {verb: [status(404, 'pods "collect" not found')] for verb in VERBS}
    for verb in ("create", "get", "watch", "log", "replace"):
        assert ask(client, verb).fault is Fault.NOT_FOUND
    client.delete(pod(1))


def test_a_pod_of_that_name_is_told_from_a_conflict(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    api_server.answers = {"create": [status(409, 'pods "collect" already exists', reason="AlreadyExists")]}
    assert ask(client_of(kubectl, kubeconfig(tmp_path, api_server.url)), "create").fault is Fault.ALREADY_EXISTS


def test_a_log_that_has_not_begun_is_no_wrong_request(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    api_server.answers = {"log": [status(400, 'container "base" in pod "collect" is waiting to start: ContainerCreating')]}
    assert ask(client_of(kubectl, kubeconfig(tmp_path, api_server.url)), "log").fault is Fault.NOT_READY


@pytest.mark.parametrize("verb", ["create", "get", "replace", "delete"])
def test_a_page_with_200_is_no_answer(api_server: Server, tmp_path: Path, kubectl: str, verb: str) -> None:
    api_server.answers = {verb: [page(200)]}
    error = ask(client_of(kubectl, kubeconfig(tmp_path, api_server.url)), verb)
    assert (error.fault, "200 of a proxy" in error.message) == (Fault.UNREACHABLE, True)


# --- no answer ---


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(certificate(tmp_path))
    yield server
    server.close()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_server_that_refuses_connections_is_out_of_reach(tmp_path: Path, kubectl: str, free_port: int) -> None:
    client = client_of(kubectl, kubeconfig(tmp_path, f"https://127.0.0.1:{free_port}"))
    for verb in VERBS:
        error = ask(client, verb)
        assert (error.fault, "refused" in error.message) == (Fault.UNREACHABLE, True)


def test_a_name_that_is_not_known_is_out_of_reach(tmp_path: Path, kubectl: str) -> None:
    assert ask(client_of(kubectl, kubeconfig(tmp_path, "https://no-such-host.invalid")), "create").fault is Fault.UNREACHABLE


def test_a_connection_that_ends_without_an_answer_is_out_of_reach(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    api_server.answers = {verb: [Answer(breaks="before")] for verb in VERBS}
    client = client_of(kubectl, kubeconfig(tmp_path, api_server.url))
    assert {ask(client, verb).fault for verb in VERBS} == {Fault.UNREACHABLE}


def test_an_unknown_certificate_fails_without_waiting(tls_server: Server, tmp_path: Path, kubectl: str) -> None:
    error = ask(client_of(kubectl, kubeconfig(tmp_path, tls_server.url)), "create")
    assert (error.fault, "x509" in error.message) == (Fault.MISCONFIGURED, True)
    assert not tls_server.asked


def test_a_certificate_of_another_server_fails_without_waiting(tmp_path: Path, kubectl: str) -> None:
    file = certificate(tmp_path, "127.0.0.9")
    server = Server(file)
    try:
        error = ask(client_of(kubectl, kubeconfig(tmp_path, server.url, **{"certificate-authority": str(file)})), "get")
    finally:
        server.close()
    assert (error.fault, "127.0.0.9" in error.message) == (Fault.MISCONFIGURED, True)


def test_a_server_without_tls_fails_without_waiting(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    config = kubeconfig(tmp_path, api_server.url.replace("http:", "https:"))
    assert ask(client_of(kubectl, config), "create").fault is Fault.MISCONFIGURED


@pytest.mark.parametrize("code", [407, 502])
def test_a_proxy_that_makes_no_connection_is_no_server(
    api_server: Server, tmp_path: Path, kubectl: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The proxy's variables reach kubectl."""
    api_server.answers = {"connect": [page(code)]}
    monkeypatch.setenv("HTTPS_PROXY", api_server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    error = ask(client_of(kubectl, kubeconfig(tmp_path, "https://kubernetes.invalid:6443")), "create")
    assert error.fault is Fault.UNREACHABLE
    assert api_server.asked["connect"] >= 1


# --- no credentials ---


def plugin(folder: Path, script: str) -> dict[str, Any]:
    """Make a credential plugin of a piece of shell; give the kubeconfig's user."""
    file = folder / "plugin"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return user_of(str(file))


def user_of(command: str) -> dict[str, Any]:
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": command, "interactiveMode": "Never"}}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo 'the session is over: log in again' >&2; exit 3", id="fails"),
        pytest.param("echo 'the session is over: log in again' >&2; kill -9 $$", id="is-killed"),
        pytest.param("echo 'the session is over: log in again' >&2; echo Hello", id="says-nonsense"),
        pytest.param(
            "printf '%s\\n' 'Error from server (NotFound): ask elsewhere' 'the session is over: log in again' >&2; exit 1",
            id="speaks-like-kubectl",
        ),
    ],
)
def test_a_credential_plugin_that_fails_is_heard_and_no_server_is_blamed(
    tls_server: Server, tmp_path: Path, kubectl: str, script: str
) -> None:
    config = kubeconfig(tmp_path, tls_server.url, plugin(tmp_path, script), **{"insecure-skip-tls-verify": True})
    for verb in VERBS:
        error = ask(client_of(kubectl, config), verb)
        assert (verb, error.fault) == (verb, Fault.CREDENTIALS)
        assert "the session is over: log in again" in error.message
        assert str(tmp_path / "plugin") in error.message
        assert "connect to the server" not in error.trouble
        assert "reached" not in error.trouble
    assert not tls_server.asked


@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param("exit 1", "failed with exit code 1", id="fails"),
        pytest.param("true", "printed no credentials", id="ends-well"),
        pytest.param("echo '{}'", "printed no credentials", id="prints-empty-json"),
    ],
)
def test_a_credential_plugin_that_says_nothing_is_named(
    tls_server: Server, tmp_path: Path, kubectl: str, script: str, says: str
) -> None:
    config = kubeconfig(tmp_path, tls_server.url, plugin(tmp_path, script), **{"insecure-skip-tls-verify": True})
    for verb in ("create", "watch"):
        error = ask(client_of(kubectl, config), verb)
        assert error.fault is Fault.CREDENTIALS
        assert f"{tmp_path}/plugin" in error.message
        assert says in error.message
        assert error.trouble.startswith("kubectl can't make the request")


def test_of_a_plugin_that_writes_much_the_end_is_shown(tls_server: Server, tmp_path: Path, kubectl: str) -> None:
    traceback = plugin(tmp_path, "seq 1 500 >&2; echo >&2; echo 'the session is over: log in again' >&2; exit 1")
    config = kubeconfig(tmp_path, tls_server.url, traceback, **{"insecure-skip-tls-verify": True})
    message = ask(client_of(kubectl, config), "create").message
    assert message.endswith("\n499\n500\nthe session is over: log in again")
    assert len(message.splitlines()) == 10


def test_a_credential_plugin_may_read_a_connections_kubeconfig_which_is_in_no_directory(
    tls_server: Server, tmp_path: Path, kubectl: str
) -> None:
    """gke-gcloud-auth-plugin looks for the current context there."""
    reads = plugin(tmp_path, f'cat "$KUBECONFIG" >{tmp_path}/read; exit 1')
    config = json.loads(Path(kubeconfig(tmp_path, tls_server.url, reads, **{"insecure-skip-tls-verify": True})).read_text())
    with resolve_access({"kube_config": config}, connection="lab").environment() as environment:
        error = ask(Kubectl(environment, "jobs", "collect", settings=KubectlSettings(program=kubectl)), "get")
    assert error.fault is Fault.CREDENTIALS
    assert json.loads((tmp_path / "read").read_text()) == config


@pytest.mark.parametrize("named", ["no-such-plugin", "/no/such/plugin"])
def test_a_missing_credential_plugin_fails_without_waiting(tls_server: Server, tmp_path: Path, kubectl: str, named: str) -> None:
    config = kubeconfig(tmp_path, tls_server.url, user_of(named), **{"insecure-skip-tls-verify": True})
    error = ask(client_of(kubectl, config), "create")
    assert (error.fault, named in error.message) == (Fault.MISCONFIGURED, True)


def test_a_credential_plugin_that_hangs_is_ended(
    tls_server: Server, tmp_path: Path, kubectl: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PROCESS_TIMEOUT", 3)
    hanging = plugin(tmp_path, f"echo $$ >{tmp_path}/pid; echo 'open this page to log in' >&2; sleep 600")
    config = kubeconfig(tmp_path, tls_server.url, hanging, **{"insecure-skip-tls-verify": True})
    error = ask(client_of(kubectl, config), "create")
    assert error.fault is Fault.CREDENTIALS
    assert "open this page to log in" in error.message
    assert "a credential plugin hangs (plugin" in error.message
    process = Path("/proc", (tmp_path / "pid").read_text().strip())
    until = time.monotonic() + 30
    while is_alive(process) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(process)


def is_alive(process: Path) -> bool:
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_plugins_words_are_not_the_servers(tls_server: Server, tmp_path: Path, kubectl: str) -> None:
    """A plugin may warn, and even print what kubectl would print, and then do its work."""
    credential = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": {"token": "t"}}
    script = f"echo 'Error from server (NotFound): pods \"collect\" not found' >&2; echo '{json.dumps(credential)}'"
    config = kubeconfig(tmp_path, tls_server.url, plugin(tmp_path, script), **{"insecure-skip-tls-verify": True})
    tls_server.answers = {verb: [status(503, SENTENCE)] for verb in VERBS}
    for verb in VERBS:
        error = ask(client_of(kubectl, config), verb)
        assert (error.fault, error.message) == (Fault.SERVER_ERROR, SENTENCE)


def test_a_kubeconfig_without_credentials_is_said(tls_server: Server, tmp_path: Path, kubectl: str) -> None:
    """kubectl asks for a name and a password then, and takes the manifest for them."""
    error = ask(client_of(kubectl, kubeconfig(tmp_path, tls_server.url, {})), "create")
    assert (error.fault, "the kubeconfig has no credentials" in error.message) == (Fault.MISCONFIGURED, True)


def test_a_missing_token_file_fails_without_waiting(tls_server: Server, tmp_path: Path, kubectl: str) -> None:
    config = kubeconfig(tmp_path, tls_server.url, {"tokenFile": "/no/such/token"}, **{"insecure-skip-tls-verify": True})
    error = ask(client_of(kubectl, config), "create")
    assert (error.fault, "/no/such/token" in error.message) == (Fault.MISCONFIGURED, True)


# --- the end of the task ---


def run(server: Server, folder: Path, kubectl: str, notes: list[str], startup_timeout: float = 60) -> Ended:
    client = client_of(kubectl, kubeconfig(folder, server.url))
    return PodRun(client, pod(0), Limits(startup_timeout, 60), on_line=None, note=notes.append).run()


def refusal(server: Server, folder: Path, kubectl: str, startup_timeout: float = 60) -> AirflowException:
    """Run a pod that never is created; give what the operator makes of it."""
    with pytest.raises(PodEnd) as end:
        run(server, folder, kubectl, [], startup_timeout)
    return airflow_exception(end.value, DagConfig.defaults("collection", "all"), "base")


ENDS = [
    pytest.param(status(400, SENTENCE), SENTENCE, id="400"),
    pytest.param(status(403, f'pods "collect" is forbidden: {SENTENCE}'), SENTENCE, id="403"),
    pytest.param(
        status(403, 'pods "collect" is forbidden: failed quota: compute: must specify limits.cpu'),
        "must specify",
        id="403-must-specify",
    ),
    pytest.param(status(404, 'namespaces "jobs" not found'), 'namespaces "jobs" not found', id="404"),
    pytest.param(status(405, SENTENCE), SENTENCE, id="405"),
    pytest.param(status(413, SENTENCE), SENTENCE, id="413"),
    pytest.param(status(415, SENTENCE), SENTENCE, id="415"),
    pytest.param(status(422, SENTENCE, INVALID), "spec.containers[0].image: Required value", id="422"),
]


@pytest.mark.parametrize(("answer", "says"), ENDS)
def test_what_cannot_mend_itself_ends_the_task_at_once(
    api_server: Server, tmp_path: Path, kubectl: str, answer: Answer, says: str
) -> None:
    api_server.answers = {"create": [answer]}
    ends = refusal(api_server, tmp_path, kubectl)
    assert isinstance(ends, AirflowFailException)
    assert says in str(ends)
    assert "reached" not in str(ends)
    assert api_server.asked["create"] == 1


def test_a_quota_that_is_used_up_is_airflows_to_try_again(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    api_server.answers = {"create": [status(403, 'pods "x" is forbidden: exceeded quota: compute, requested: limits.cpu=2')]}
    ends = refusal(api_server, tmp_path, kubectl)
    assert not isinstance(ends, AirflowFailException)
    assert "exceeded quota: compute" in str(ends)
    assert api_server.asked["create"] == 1


@pytest.mark.parametrize("answer", [status(401, "Unauthorized"), page(401)], ids=["status", "page"])
def test_credentials_that_are_not_taken_are_read_once_more(
    api_server: Server, tmp_path: Path, kubectl: str, answer: Answer
) -> None:
    api_server.answers = {"create": [answer]}
    assert isinstance(refusal(api_server, tmp_path, kubectl), AirflowFailException)
    assert api_server.asked["create"] == 2


PASSES = [
    pytest.param(status(429, SENTENCE), id="429"),
    pytest.param(status(500, SENTENCE), id="500"),
    pytest.param(page(502), id="502-page"),
    pytest.param(status(503, SENTENCE), id="503"),
    pytest.param(status(504, SENTENCE), id="504"),
    pytest.param(page(200), id="200-page"),
    pytest.param(page(404), id="404-page"),
    pytest.param(page(407), id="407-page"),
    pytest.param(Answer(breaks="middle"), id="reset"),
    pytest.param(Answer(breaks="before"), id="no-answer"),
]
PASSES_ONCE = [*PASSES, pytest.param(status(401, "Unauthorized"), id="401")]


@pytest.mark.parametrize("answer", PASSES)
def test_what_has_not_passed_by_the_deadline_is_airflows_to_try_again(
    api_server: Server, tmp_path: Path, kubectl: str, answer: Answer
) -> None:
    api_server.answers = {"create": [answer], "get": [answer]}
    ends = refusal(api_server, tmp_path, kubectl, startup_timeout=0)
    assert not isinstance(ends, AirflowFailException)
    assert "not created in startup_timeout_seconds" in str(ends)


@pytest.mark.parametrize("answer", PASSES_ONCE)
def test_a_pod_is_created_once_the_trouble_is_over(api_server: Server, tmp_path: Path, kubectl: str, answer: Answer) -> None:
    api_server.answers = {"create": [answer, document(pod(1, "Succeeded"))], "delete": [document(pod(2, "Succeeded"))]}
    assert run(api_server, tmp_path, kubectl, []).outcome.end is End.SUCCEEDED
    assert api_server.asked["create"] == 2


@pytest.mark.parametrize("answer", PASSES_ONCE)
def test_a_pod_that_runs_is_watched_through_the_trouble(api_server: Server, tmp_path: Path, kubectl: str, answer: Answer) -> None:
    api_server.answers = {
        "create": [document(pod(1))],
        "get": [answer, document(pod(1))],
        "watch": [answer, document({"type": "MODIFIED", "object": pod(2, "Succeeded")})],
        "delete": [document(pod(3, "Succeeded"))],
    }
    assert run(api_server, tmp_path, kubectl, []).outcome.end is End.SUCCEEDED
    assert api_server.asked["create"] == 1


def test_a_watch_whose_credentials_are_not_taken_is_asked_once_more(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    api_server.answers = {"create": [document(pod(1))], "get": [document(pod(1))], "watch": [status(401, "Unauthorized")]}
    assert isinstance(refusal(api_server, tmp_path, kubectl), AirflowFailException)
    assert api_server.asked["watch"] == 2


@pytest.mark.parametrize("answer", PASSES_ONCE)
def test_a_pod_that_is_there_already_is_adopted_once_the_trouble_is_over(
    api_server: Server, tmp_path: Path, kubectl: str, answer: Answer
) -> None:
    api_server.answers = {
        "create": [status(409, 'pods "collect" already exists', reason="AlreadyExists")],
        "get": [answer, document(pod(1, "Succeeded"))],
        "delete": [document(pod(2, "Succeeded"))],
    }
    assert run(api_server, tmp_path, kubectl, []).outcome.end is End.SUCCEEDED


def test_a_task_needs_four_requests(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    api_server.answers = {
        "create": [document(pod(1))],
        "log": [Answer(body=b"2026-11-23T02:00:00Z a line\n")],
        "watch": [document({"type": "MODIFIED", "object": pod(2, "Succeeded")})],
        "delete": [document(pod(3, "Succeeded"))],
    }
    lines: list[str] = []
    client = client_of(kubectl, kubeconfig(tmp_path, api_server.url))
    run = PodRun(client, pod(0), Limits(60, 60), on_line=lines.append, note=lambda _: None)
    assert run.run().outcome.end is End.SUCCEEDED
    run.finish()
    assert lines == ["a line"]
    asked = {verb: count for verb, count in api_server.asked.items() if verb != "version"}
    assert asked == {"create": 1, "watch": 1, "log": 1, "delete": 1}


def test_the_log_names_what_does_not_work(api_server: Server, tmp_path: Path, kubectl: str) -> None:
    notes: list[str] = []
    api_server.answers = {
        "create": [status(500, SENTENCE), document(pod(1, "Succeeded"))],
        "delete": [document(pod(2, "Succeeded"))],
    }
    run(api_server, tmp_path, kubectl, notes)
    assert [note for note in notes if note.startswith("Not created yet") and f"can't serve the request: {SENTENCE}" in note]
