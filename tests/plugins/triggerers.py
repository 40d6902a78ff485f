"""The triggerers of a whole Airflow, and more of them than it has begun with. Not a pytest plugin: it is imported."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plugins.processes import below

from demo import processes
from demo.airflow import Airflow


@dataclass(frozen=True)
class Triggerer:
    """A process ``airflow triggerer``: the one that supervises; its children run the triggers, and their kubectl."""

    pid: int
    environment: dict[str, str]
    words: list[str]

    @property
    def tree(self) -> list[int]:
        """All its processes, children first."""
        return [*below(self.pid), self.pid]


def triggerers_of(airflow: Airflow) -> list[Triggerer]:
    """Find an Airflow's triggerers that run."""
    found: list[Triggerer] = []
    home = f"AIRFLOW_HOME={airflow.home}"
    for pid in below(os.getpid()):
        with suppress(OSError):
            variables = Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")
            words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
            if home in variables and "triggerer" in words and not any(pid in other.tree for other in found):
                found.append(Triggerer(pid, dict(variable.split("=", 1) for variable in variables), words))
    return found


def start_another(airflow: Airflow, like: Triggerer, name: str) -> subprocess.Popen[bytes]:
    """Start one more triggerer, with the same settings; its log has this name."""
    return processes.start(like.words, airflow.home / "logs" / f"{name}.log", like.environment)
