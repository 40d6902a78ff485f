"""The environment of a run: the machine, its load, and the versions of everything that was measured."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from airflow_provider_dagconfig import __version__
from benchmarks.cluster import kubectl
from demo.postgres import Server

_PACKAGES = (
    "apache-airflow",
    "apache-airflow-task-sdk",
    "apache-airflow-providers-cncf-kubernetes",
    "apache-airflow-providers-standard",
    "apache-airflow-providers-postgres",
    "kubernetes",
    "kubernetes-asyncio",
    "psycopg",
)


def describe(server: Server, kubeconfig: str | None) -> dict[str, str]:
    """Return these facts by name."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    facts = {
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.machine()}",
        "load at the beginning (1, 5 and 15 minutes)": load,
        "system": f"{_system()}, Linux {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
        "airflow-provider-dagconfig": __version__,
    }
    facts |= {package: version(package) for package in _PACKAGES}
    facts["PostgreSQL"] = server.execute("SHOW server_version")[0][0]
    client = json.loads(subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, check=True).stdout)
    facts["kubectl"] = client["clientVersion"]["gitVersion"].partition("-")[0]
    if kubeconfig:
        facts["Kubernetes"] = json.loads(kubectl(kubeconfig, "get", "--raw", "/version"))["gitVersion"]
        nodes = json.loads(kubectl(kubeconfig, "get", "--raw", "/api/v1/nodes"))["items"]
        where = f"{len(nodes)} node{'s' * (len(nodes) > 1)}"
        runtimes = sorted({node["status"]["nodeInfo"]["containerRuntimeVersion"] for node in nodes})
        facts["Kubernetes"] += f", {where}, {', '.join(runtimes)}" if nodes else ""
    return facts


def _cpu() -> str:
    """Return the processor's name from the kernel; ARM's processors have none."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor() or "CPU without a name"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()
