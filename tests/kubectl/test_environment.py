"""Nothing of the worker's environment changes what is asked, and kubectl gets nothing that is Airflow's."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dagconfig import get_provider_info
from airflow_provider_dagconfig.kubectl.client import SCRIPT, Kubectl
from airflow_provider_dagconfig.kubectl.environment import PREFIX, KubectlSettings
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.questions import Questions
from airflow_provider_dagconfig.settings import configured_kubectl

POD = {"metadata": {"name": "collect", "uid": "one", "resourceVersion": "1"}}
READ_BY_THE_SCRIPT = sorted(set(re.findall(r"\$\{?([A-Z][A-Z_]+)", SCRIPT.read_text())) - {"BASH_SOURCE"})


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A folder with a kubectl that writes down its arguments and its environment, and answers with a pod."""
    path = tmp_path / "kubectl"
    path.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >>{tmp_path}/arguments\nenv >{tmp_path}/environment\n'
        'echo \'{"metadata": {"name": "collect", "resourceVersion": "1"}}\'\n'
    )
    path.chmod(0o755)
    return tmp_path


def ask_everything(recording: Path) -> list[str]:
    """Make each request that there is; give the arguments that kubectl got."""
    settings = KubectlSettings(program=str(recording / "kubectl"))
    kubectl, questions = Kubectl({}, "jobs", "collect", settings=settings), Questions({}, "jobs", settings)

    def read(stream: Any) -> None:
        while stream.read():
            pass
        assert stream.error() is None

    requests: list[Callable[[], Any]] = [
        lambda: kubectl.create(POD),
        kubectl.get,
        lambda: kubectl.replace(POD),
        lambda: kubectl.delete(POD),
        kubectl.events,
        lambda: read(kubectl.watch()),
        lambda: read(kubectl.log(None, follow=True)),
        lambda: read(kubectl.log(None, follow=False)),
        questions.client_version,
        questions.server_version,
        lambda: questions.may("get", "pods"),
    ]
    for request in requests:
        request()
    told = (recording / "arguments").read_text().splitlines()
    (recording / "arguments").unlink()
    assert len(told) == len(requests)
    return told


def environment_of(recording: Path, settings: dict[str, Any] | None = None) -> dict[str, str]:
    """Give the environment that kubectl gets."""
    Kubectl({}, "jobs", "collect", settings=KubectlSettings(program=str(recording / "kubectl"), **(settings or {}))).get()
    return dict(line.split("=", 1) for line in (recording / "environment").read_text().splitlines() if "=" in line)


def test_the_script_reads_variables_of_our_prefix_only() -> None:
    assert {"DAGCONFIG_KUBECTL", "DAGCONFIG_INSECURE", "DAGCONFIG_URI"} <= set(READ_BY_THE_SCRIPT)
    assert [name for name in READ_BY_THE_SCRIPT if not name.startswith(PREFIX)] == []


@pytest.mark.parametrize("value", ["1", "evil $(touch x)", "2030-01-01T00:00:00Z", ""])
def test_no_variable_of_the_worker_changes_what_is_asked(recording: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    before = ask_everything(recording)
    for name in READ_BY_THE_SCRIPT:
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.removeprefix(PREFIX), value)
    for name in ("KUBE_CONTEXT", "RESOURCE_VERSION", "DAGCONFIG_RESOURCE_VERSION"):
        monkeypatch.setenv(name, value)
    assert ask_everything(recording) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASH_ENV", "{file}"),
        ("ENV", "{file}"),
        ("BASH_FUNC_exec%%", "() {{ touch {folder}/injected; }}"),
        ("BASH_FUNC_type%%", "() {{ touch {folder}/injected; }}"),
        ("BASH_FUNC_printf%%", "() {{ touch {folder}/injected; }}"),
        ("SHELLOPTS", "noexec:xtrace"),
        ("BASHOPTS", "extdebug:nocasematch"),
        ("POSIXLY_CORRECT", "1"),
        ("BASH_COMPAT", "31"),
        ("IFS", "/"),
        ("CDPATH", "/"),
        ("GLOBIGNORE", "*"),
        ("PS4", "$(touch {folder}/injected)"),
    ],
)
def test_no_variable_of_a_shell_changes_what_is_done(
    recording: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Neither in kubectl.sh, nor in a kubectl that is a shell script."""
    wrapped = recording / "kubectl"
    wrapped.write_text(wrapped.read_text().replace("#!/bin/sh", "#!/bin/bash"))
    before = ask_everything(recording)
    file = recording / "startup"
    file.write_text(f"touch {recording}/injected")
    monkeypatch.setenv(name, value.format(file=file, folder=recording))
    assert ask_everything(recording) == before
    assert not (recording / "injected").exists()


@pytest.mark.parametrize(
    "name",
    [
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW_CONN_POSTGRES_DEFAULT",
        "AIRFLOW_VAR_TOKEN",
        "AIRFLOW_CTX_DAG_ID",
        "AIRFLOW_HOME",
        "_AIRFLOW__STARTUP_MSG",
        "_AIRFLOW_PROCESS_CONTEXT",
        "__AIRFLOW_SUPERVISOR_FD",
        "PGPASSWORD",
        "PGSERVICEFILE",
        "SQL_ALCHEMY_CONN",
        "REDIS_CONN",
        "MY_CONNECTION_STRING",
        "SQLALCHEMY_DATABASE_URI",
        "CELERY_BROKER_URL",
        "CELERY_RESULT_BACKEND",
        "FERNET_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ],
)
def test_kubectl_gets_nothing_of_airflows_unless_it_is_to_be_kept(
    recording: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "a-secret")
    assert "a-secret" not in environment_of(recording).values()
    assert environment_of(recording, {"keep": (name,)})[name] == "a-secret"
    assert environment_of(recording, {"keep": (f"{name[:-2]}*",)})[name] == "a-secret"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AZURE_CLIENT_ID",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "CLOUDSDK_CONFIG",
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "HOME",
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "LANG",
    ],
)
def test_kubectl_gets_what_credential_plugins_need_unless_it_is_to_be_dropped(
    recording: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/needed")
    assert environment_of(recording)[name] == "/needed"
    assert name not in environment_of(recording, {"drop": (name,)})
    assert name not in environment_of(recording, {"drop": (f"{name[:2]}*",)})
    assert environment_of(recording, {"drop": (name,), "keep": (name,)})[name] == "/needed"


def test_keeping_everything_keeps_nothing_of_a_shells(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ask_everything(recording)
    monkeypatch.setenv("BASH_ENV", "/etc/passwd")
    monkeypatch.setenv("DAGCONFIG_INSECURE", "1")
    found = environment_of(recording, {"keep": ("*",)})
    assert "BASH_ENV" not in found
    (recording / "arguments").unlink()
    assert ask_everything(recording) == before


# --- the options ---


def test_the_options_are_read_from_airflows_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_kubectl() == KubectlSettings("kubectl", (), ())
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__KUBECTL", "/opt/kubectl")
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__KUBECTL_KEEP_ENV", "PGP_HOME, VAULT_CONN_*,")
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__KUBECTL_DROP_ENV", "SMTP_*,\nDATABASE_URL")
    assert configured_kubectl() == KubectlSettings("/opt/kubectl", ("PGP_HOME", "VAULT_CONN_*"), ("SMTP_*", "DATABASE_URL"))


@pytest.mark.parametrize("option", ["kubectl", "kubectl_keep_env", "kubectl_drop_env"])
def test_each_option_is_described(option: str) -> None:
    described = get_provider_info()["config"]["dagconfig"]["options"][option]
    assert described["description"]
    assert described["example"]
    assert described["default"] == ("kubectl" if option == "kubectl" else "")


def test_a_program_below_the_home_directory_is_found(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(recording))
    assert Kubectl({}, "jobs", "collect", settings=KubectlSettings(program="~/kubectl")).get()["metadata"]["name"] == "collect"


@pytest.mark.parametrize("program", ["no-such-kubectl", "/no/such/kubectl", "~/no-such", "/tmp", "/etc/passwd"])
def test_a_program_that_is_not_there_is_named_with_its_option(program: str) -> None:
    with pytest.raises(KubectlError) as refusal:
        Kubectl({}, "jobs", "collect", settings=KubectlSettings(program=program)).get()
    assert refusal.value.fault is Fault.MISCONFIGURED
    assert os.path.expanduser(program) in refusal.value.message
    assert "option kubectl of [dagconfig]" in refusal.value.message
    assert "apt-get install kubernetes-client" in refusal.value.message


# --- by hand ---


def test_the_uses_by_hand_in_the_scripts_header_work(recording: Path) -> None:
    commands = re.findall(r"^#   (DAGCONFIG_.*kubectl\.sh .*)$", SCRIPT.read_text(), re.MULTILINE)
    assert len(commands) == 2
    (recording / "pod.json").write_text("{}")
    (recording / "kubectl.sh").symlink_to(SCRIPT)
    for command in commands:
        environment = {"PATH": f"{recording}:{os.environ['PATH']}"}
        subprocess.run(["bash", "-c", command], cwd=recording, env=environment, capture_output=True, check=True)
    created, log = (recording / "arguments").read_text().splitlines()
    assert "create --raw /api/v1/namespaces/default/pods -f -" in created
    assert "get --raw /api/v1/namespaces/default/pods/demo/log" in log
