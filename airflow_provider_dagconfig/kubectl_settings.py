"""Reads what ``[dagconfig]`` of airflow.cfg says about kubectl, so that tasks and ``doctor`` run the same one in the same way."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import conf

from airflow_provider_dagconfig.kubectl.environment import KubectlSettings


def configured_kubectl() -> KubectlSettings:
    """Give the kubectl to run, and what it gets of the worker's environment."""
    return KubectlSettings(
        program=str(conf.get("dagconfig", "kubectl", fallback="")).strip() or "kubectl",
        keep=_names("kubectl_keep_env"),
        drop=_names("kubectl_drop_env"),
    )


def _names(option: str) -> tuple[str, ...]:
    words = str(conf.get("dagconfig", option, fallback="")).replace("\n", ",").split(",")
    return tuple(word.strip() for word in words if word.strip())
