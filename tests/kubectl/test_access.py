"""Credentials for kubectl: where they are looked for, in which order, and that they stay secret."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dagconfig.kubectl.access import ClusterAccessError, resolve_access
from airflow_provider_dagconfig.kubectl.environment import named_descriptors

KUBECONFIG = {"clusters": [{"name": "lab"}], "users": [{"name": "me", "user": {"token": "s3cret-token"}}]}


@pytest.fixture(autouse=True)
def _nothing_else_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "config"
    path.write_text(json.dumps(KUBECONFIG))
    return str(path)


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    for name, text in {"token": "s3cret-token", "ca.crt": "a certificate", "namespace": "airflow"}.items():
        (folder / name).write_text(text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    return folder


def resolve(extra: dict[str, Any] | None = None, **arguments: Any) -> Any:
    return resolve_access(extra or {}, connection="kubernetes_default", **arguments)


def test_kubeconfig_of_the_environment_serves_where_the_connection_says_nothing(
    kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    with resolve().environment() as environment:
        assert environment == {"KUBECONFIG": kubeconfig}


@pytest.mark.parametrize("place", ["config_file", "kube_config_path", "KUBECONFIG"])
def test_a_tilde_is_the_workers_home_directory_and_several_files_are_joined_by_colons(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in KubernetesPodOperator; kubectl itself knows no tilde."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "lab").write_text(json.dumps(KUBECONFIG))
    paths = "~/lab:~/missing"
    if place == "KUBECONFIG":
        monkeypatch.setenv(place, paths)
    access = resolve({place: paths}) if place == "kube_config_path" else resolve(**{place: paths} if place == "config_file" else {})
    with access.environment() as environment:
        assert environment == {"KUBECONFIG": f"{home}/lab:{home}/missing"}


@pytest.mark.parametrize("prefix", ["", "extra__kubernetes__"], ids=["today", "before-Airflow-2.3"])
def test_the_connection_comes_before_the_environment(kubeconfig: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/elsewhere")
    extra = {f"{prefix}kube_config_path": kubeconfig, f"{prefix}cluster_context": "lab", f"{prefix}namespace": "jobs"}
    access = resolve({**extra, f"{prefix}in_cluster": False})
    assert access.namespace == "jobs"
    with access.environment() as environment:
        assert environment == {"KUBECONFIG": kubeconfig, "DAGCONFIG_CONTEXT": "lab"}


def test_the_tasks_parameters_come_before_the_connection(kubeconfig: str) -> None:
    access = resolve(
        {"kube_config": json.dumps(KUBECONFIG), "cluster_context": "lab"}, config_file=kubeconfig, cluster_context="other"
    )
    with access.environment() as environment:
        assert environment == {"KUBECONFIG": kubeconfig, "DAGCONFIG_CONTEXT": "other"}


def read_by_a_child(environment: dict[str, str]) -> Any:
    """The kubeconfig that a process with the open files reads through KUBECONFIG, twice."""
    done = subprocess.run(
        ["sh", "-c", 'cat "$KUBECONFIG" "$KUBECONFIG"'],
        env={**environment, "PATH": os.environ["PATH"]},
        pass_fds=named_descriptors(environment),
        capture_output=True,
        check=True,
    )
    half = len(done.stdout) // 2
    assert done.stdout[:half] == done.stdout[half:]
    return json.loads(done.stdout[:half])


@pytest.mark.parametrize("given", [KUBECONFIG, json.dumps(KUBECONFIG)], ids=["object", "text"])
def test_a_kubeconfig_in_the_connection_is_a_file_that_no_directory_has(
    given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a worker that is killed outright can't leave it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    access = resolve({"kube_config": given})
    assert "s3cret" not in repr(access)
    with access.environment() as environment:
        assert read_by_a_child(environment) == KUBECONFIG
        assert stat.S_IMODE(Path(environment["KUBECONFIG"]).stat().st_mode) == 0o600
        assert not list(tmp_path.iterdir())


OIDC = {"auth-provider": {"name": "oidc", "config": {"refresh-token": "s3cret"}}}
WRITTEN_TO = {**KUBECONFIG, "users": [{"name": "me", "user": OIDC}]}


def test_a_kubeconfig_that_kubectl_writes_to_is_a_private_file_that_goes_away() -> None:
    """kubectl keeps what an identity provider gave it for an old token beside the old one."""
    with resolve({"kube_config": WRITTEN_TO}).environment() as environment:
        path = Path(environment["KUBECONFIG"])
        assert json.loads(path.read_text()) == WRITTEN_TO
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def test_the_private_file_goes_away_when_the_task_fails() -> None:
    with pytest.raises(RuntimeError), resolve({"kube_config": WRITTEN_TO}).environment() as environment:
        raise RuntimeError
    assert not Path(environment["KUBECONFIG"]).exists()


def connected(user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {
        "clusters": [{"name": "lab", "cluster": cluster}, {"name": "other", "cluster": {"certificate-authority": "ca.crt"}}],
        "users": [{"name": "me", "user": user or {}}],
        "contexts": [
            {"name": "lab", "context": {"cluster": "lab", "user": "me"}},
            {"name": "other", "context": {"cluster": "other", "user": "me"}},
        ],
        "current-context": "lab",
    }


@pytest.mark.parametrize(
    ("kubeconfig", "context", "says"),
    [
        (connected(**{"certificate-authority": "../ca.crt"}), None, "has certificate-authority: ../ca.crt, a path"),
        (connected({"client-key": "me.key", "client-certificate": "/me.crt"}), None, "has client-key: me.key"),
        (connected({"tokenFile": "token"}), None, "has tokenFile: token"),
        (connected({"exec": {"command": "bin/login"}}), None, "has the command of exec: bin/login"),
        (connected(), "other", "has certificate-authority: ca.crt"),
    ],
    ids=["authority", "key", "token", "plugin", "by-context"],
)
def test_a_path_from_a_directory_that_a_connection_lacks_is_refused(
    kubeconfig: dict[str, Any], context: str | None, says: str
) -> None:
    with pytest.raises(ClusterAccessError) as refusal:
        resolve({"kube_config": kubeconfig}, cluster_context=context)
    assert says in str(refusal.value)
    assert "kubectl config view --raw --flatten -o json" in str(refusal.value)


def test_absolute_paths_and_programs_in_path_are_taken_whatever_another_context_has() -> None:
    user = {"exec": {"command": "aws"}, "client-key": "/me.key"}
    assert resolve({"kube_config": connected(user, **{"certificate-authority": "/ca.crt"})}).content


def test_a_pods_own_service_account_is_named_by_file_since_its_token_is_renewed(service_account: Path) -> None:
    access = resolve({"in_cluster": True}, service_account=service_account)
    assert access.namespace == "airflow"
    config = json.loads(access.content)
    assert config["clusters"][0]["cluster"] == {
        "server": "https://10.96.0.1:6443",
        "certificate-authority": str(service_account / "ca.crt"),
    }
    assert config["users"][0]["user"] == {"tokenFile": str(service_account / "token")}


def test_inside_a_cluster_its_service_account_serves_where_nothing_is_set(service_account: Path) -> None:
    assert resolve(service_account=service_account).source == "in_cluster"


def test_the_servers_certificate_is_not_verified_only_where_the_connection_says_so(service_account: Path) -> None:
    access = resolve({"in_cluster": True, "disable_verify_ssl": True}, service_account=service_account)
    assert "certificate-authority" not in json.loads(access.content)["clusters"][0]["cluster"]
    with access.environment() as environment:
        assert environment["DAGCONFIG_INSECURE"] == "1"


@pytest.mark.parametrize(
    ("extra", "arguments", "says"),
    [
        pytest.param({}, {}, "no Kubernetes credentials", id="nothing"),
        pytest.param({"in_cluster": True}, {}, "this worker is no pod", id="not-in-a-cluster"),
        pytest.param({}, {"in_cluster": True}, "this worker is no pod", id="not-in-a-cluster-by-parameter"),
        pytest.param({"kube_config_path": "/no/such"}, {}, "there is no file /no/such", id="path"),
        pytest.param({}, {"config_file": "/no/such"}, "config_file: there is no file /no/such", id="parameter"),
        pytest.param({"kube_config": "s3cret-token: yes"}, {}, "is no JSON", id="yaml"),
        pytest.param({"kube_config": '["s3cret-token"]'}, {}, "has no clusters", id="no-kubeconfig"),
        pytest.param(
            {"kube_config": KUBECONFIG, "kube_config_path": "/x"},
            {},
            "kube_config_path and kube_config: keep one",
            id="two-at-once",
        ),
    ],
)
def test_bad_credentials_are_refused_by_a_message_that_names_them_and_does_not_show_them(
    extra: dict[str, Any], arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ClusterAccessError) as refusal:
        resolve(extra, **arguments)
    assert says in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_a_kubeconfig_variable_that_names_no_file_is_refused_rather_than_taken_for_localhost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/no/such")
    with pytest.raises(ClusterAccessError, match="KUBECONFIG: there is no file /no/such on this worker"):
        resolve()
