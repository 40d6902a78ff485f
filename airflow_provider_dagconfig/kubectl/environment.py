"""Settings: which kubectl runs, and which variables of this process's environment it and its credential plugins get."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

PREFIX = "DAGCONFIG_"
"""Prefix of the variables that ``kubectl.sh`` reads. Only KUBECONFIG, which is kubectl's own, lacks it."""

DESCRIPTORS = "/proc/self/fd/"
"""Linux's directory of a process's open files. If KUBECONFIG names a file there, kubectl inherits that open file."""

# Variables that change what bash does or what names in a script mean. No credential plugin needs them.
_SHELL_VARIABLES = (
    "BASH*",  # BASH_ENV, BASHOPTS, and BASH_FUNC_exec%%, which replaces a command by a function
    "CDPATH",
    "ENV",
    "EXECIGNORE",
    "FUNCNEST",
    "GLOBIGNORE",
    "IFS",
    "POSIXLY_CORRECT",
    "PROMPT_COMMAND",
    "PS4",
    "SHELLOPTS",
    "TMOUT",
)
# Variables of Airflow and its executors, including the passwords of its databases. A plugin is a third party's program.
_AIRFLOW_VARIABLES = (
    "AIRFLOW*",
    "_AIRFLOW*",
    "__AIRFLOW*",
    "*_CONN*",
    "*SQLALCHEMY*",
    "*SQL_ALCHEMY*",
    "CELERY*",
    "FERNET*",
    "FORKED_BY_MULTIPROCESSING",
    "OTEL_*",
    "PG*",
    "_MP_FORK_*",
)


@dataclass(frozen=True)
class KubectlSettings:
    """
    How kubectl is run.

    :param program: its path, or its name, which is searched in PATH; ``~`` is this user's home.
    :param keep: names and globs of variables that kubectl gets although they look like Airflow's. The shell's are never passed.
    :param drop: names and globs of further variables that it does not get; ``keep`` takes precedence.
    """

    program: str = "kubectl"
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def environment(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """
        Return the part of an environment that kubectl gets, with the program's name for ``kubectl.sh``.

        :param environ: default: this process's environment.
        """
        variables = os.environ if environ is None else environ
        return {
            **{name: value for name, value in variables.items() if self._is_passed(name)},
            f"{PREFIX}KUBECTL": os.path.expanduser(self.program),
        }

    def _is_passed(self, name: str) -> bool:
        if name.startswith(PREFIX) or _matches_any(name, _SHELL_VARIABLES):
            return False
        return _matches_any(name, self.keep) or not _matches_any(name, (*_AIRFLOW_VARIABLES, *self.drop))


def named_descriptors(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Return the open files of this process that kubectl must inherit in this environment."""
    directory, _, name = environment.get("KUBECONFIG", "").rpartition("/")
    return (int(name),) if f"{directory}/" == DESCRIPTORS and name.isdecimal() else ()


def _matches_any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
