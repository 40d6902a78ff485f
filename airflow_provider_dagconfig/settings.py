"""Reads the section ``[dagconfig]`` of airflow.cfg, in one place for the tasks and the command line."""

from __future__ import annotations

import os

import airflow
from airflow.providers.common.compat.sdk import conf

from airflow_provider_dagconfig.kubectl import names
from airflow_provider_dagconfig.kubectl.environment import KubectlSettings
from airflow_provider_dagconfig.models import DEFAULT_SCHEMA, InstallationError
from airflow_provider_dagconfig.wording import IN_A_URL

_LONGEST_INSTALLATION = 40
"""Characters. A longer name is refused; the store has the same rule for its id."""


def configured_conn_id() -> str:
    """Return the id of the Airflow connection of the configuration's database."""
    return str(conf.get("dagconfig", "postgres_conn_id", fallback="postgres_default"))


def unreadable_connection(conn_id: str) -> str:
    """
    Return a message about a connection in the environment that Airflow cannot read, and so treats as missing.

    :return: empty where the environment has no such variable.
    """
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    if not os.environ.get(variable):
        return ""
    return f"Airflow can't read the connection in the environment variable {variable}. Where it is a URL, {IN_A_URL}"


def configured_schema() -> str:
    """Return the database schema of the configuration's tables."""
    return str(conf.get("dagconfig", "schema", fallback=DEFAULT_SCHEMA))


def configured_installation() -> str | None:
    """
    Return the option ``[dagconfig] installation``; None where it is not set.

    :raises InstallationError: the value is not a label. A blank value raises too: the name that tells two Airflows apart is lost.
    """
    # raw: keep a % as it is, and refuse it below; otherwise Airflow's parser fails with a traceback.
    option: str | None = conf.get("dagconfig", "installation", fallback=None, raw=True)
    if option is None:
        return None
    if len(option.strip()) > _LONGEST_INSTALLATION or not names.is_label(option.strip()):
        raise InstallationError(
            f"The option installation of [dagconfig] (AIRFLOW__DAGCONFIG__INSTALLATION) is {option[:100]!r}: write at most"
            f" {_LONGEST_INSTALLATION} lower case letters, digits and '-', with a letter or digit at both ends, such as staging; or"
            " remove it, and the store's own id counts"
        )
    return option.strip()


def configured_run_overrides() -> bool:
    """
    Return whether a run's conf may set values of jobs: ``[dagconfig] allow_run_overrides``, true where it is not set.

    :raises ValueError: the option is neither true nor false.
    """
    return _boolean("allow_run_overrides", "each task says whether a run may set values")


def configured_retries_from_row() -> bool:
    """
    Return whether tasks take their retries from the row: ``[dagconfig] retries_from_row``, true where it is not set.

    :raises ValueError: the option is neither true nor false.
    """
    return _boolean("retries_from_row", "each task has its row's retries, unless it has retries_from_row=False")


def configured_cluster_retries() -> int:
    """
    Return how many failures that are not a job's fault use up no retry: ``[dagconfig] cluster_retries``, 3 where it is not set.

    :raises ValueError: the option is not a whole number from 0 to 10.
    """
    option = str(conf.get("dagconfig", "cluster_retries", fallback="3", raw=True)).strip()
    if option.isascii() and option.isdecimal() and int(option) <= 10:
        return int(option)
    raise ValueError(
        f"The option cluster_retries of [dagconfig] (AIRFLOW__DAGCONFIG__CLUSTER_RETRIES) is {option[:100]!r}: write a whole number"
        " from 0 to 10; or remove it, and it is 3"
    )


def _boolean(name: str, otherwise: str) -> bool:
    """Return an option that is true where it is not set; ``otherwise`` says what applies then, for the message."""
    # Not getboolean: its exceptions differ between Airflow's versions. raw: keep a % as it is, and refuse it below.
    option = str(conf.get("dagconfig", name, fallback="True", raw=True)).strip()
    if option.lower() in ("true", "t", "1"):
        return True
    if option.lower() in ("false", "f", "0"):
        return False
    raise ValueError(
        f"The option {name} of [dagconfig] (AIRFLOW__DAGCONFIG__{name.upper()}) is {option[:100]!r}: write True"
        f" or False; or remove it, and {otherwise}"
    )


def configured_kubectl() -> KubectlSettings:
    """Return which kubectl to run, and which of the worker's environment variables it gets."""
    return KubectlSettings(
        program=str(conf.get("dagconfig", "kubectl", fallback="")).strip() or "kubectl",
        keep=_names("kubectl_keep_env"),
        drop=_names("kubectl_drop_env"),
    )


def without_task_state_store() -> str:
    """Return the installed Airflow's version if it stores no task state between tries (before 3.3); otherwise an empty string."""
    version: str = airflow.__version__
    return version if tuple(int(part) for part in version.split(".")[:2]) < (3, 3) else ""


def _names(option: str) -> tuple[str, ...]:
    words = str(conf.get("dagconfig", option, fallback="")).replace("\n", ",").split(",")
    return tuple(word.strip() for word in words if word.strip())
