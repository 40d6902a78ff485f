"""Which kubectl is run, and which variables of this process's environment it and its credential plugins get."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

PREFIX = "DAGCONFIG_"
"""Begins the name of each variable that ``kubectl.sh`` reads, but for KUBECONFIG, which is kubectl's."""

DESCRIPTORS = "/proc/self/fd/"
"""Linux's folder of a process's open files: a KUBECONFIG there is an open file of this process, which kubectl gets too."""

# They change what bash does, or what the names in a script mean; no credential plugin needs them.
_SHELL = (
    "BASH*",  # BASH_ENV, BASHOPTS, and BASH_FUNC_exec%%: a function in place of a command
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
# What Airflow and its executors put there, the passwords of its databases among it; a plugin is another's program.
_AIRFLOW = (
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

    :param program: its name, looked for in PATH, or its path; ``~`` is this user's home.
    :param keep: names and globs of variables that kubectl gets though they look like Airflow's. Never the shell's.
    :param drop: names and globs of more variables that it does not get; ``keep`` stands above it.
    """

    program: str = "kubectl"
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def environment(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """
        Give the part of an environment that kubectl gets, and the program's name for ``kubectl.sh``.

        :param environ: default: this process's environment.
        """
        given = os.environ if environ is None else environ
        return {
            **{name: value for name, value in given.items() if self._passes(name)},
            f"{PREFIX}KUBECTL": os.path.expanduser(self.program),
        }

    def _passes(self, name: str) -> bool:
        if name.startswith(PREFIX) or _is_any(name, _SHELL):
            return False
        return _is_any(name, self.keep) or not _is_any(name, (*_AIRFLOW, *self.drop))


def named_descriptors(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Give the open files of this process that a kubectl with this environment is to find under their numbers."""
    directory, _, name = environment.get("KUBECONFIG", "").rpartition("/")
    return (int(name),) if f"{directory}/" == DESCRIPTORS and name.isdecimal() else ()


def _is_any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
