"""
The data that a task stores when it is deferred, so that nothing is looked up when it resumes.

A task that resumes has its templates rendered again, before it receives the arguments of its deferral. If it looked its row up
again then, it could mix two configurations, or skip a task whose pod has run. But the API server's message already says that the
task resumes, and with which arguments. Airflow has no public access to that message; :func:`read_deferral` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_dagconfig.hooks.cluster_access import ClusterParameters
from airflow_provider_dagconfig.kubectl.ends import Parting
from airflow_provider_dagconfig.kubectl.pod_life import Limits
from airflow_provider_dagconfig.models import DagConfig, ExchangeGroup, Installation
from airflow_provider_dagconfig.models.as_json import exact_values, from_values
from airflow_provider_dagconfig.models.ceiling import Ceiling
from airflow_provider_dagconfig.operators.lookup import InForce

FORMAT = 1
"""Version of :meth:`Deferral.to_json`; increased when its parts or their meaning change."""

METHOD = "execute_complete"
"""The operator's method with which a deferred task resumes."""

_stored: dict[tuple[Any, ...], str] = {}
"""The data that tasks of this process have stored. `airflow dags test` runs a task in one process, and drops its arguments."""


@dataclass(frozen=True)
class Deferral:
    """
    One deferral.

    :param in_force: the values that the pod was made with.
    :param begun_with: the values of row, overrides and conf alone, before memory grew.
    :param selectors: the rendered parameters that select the configuration.
    :param cluster: the parameters that select the cluster.
    :param parting: the pod, and how far its log was read.
    :param limits: the time limits.
    :param deadline: when ``execution_timeout`` is over, in seconds since 1970; None if there is none.
    """

    in_force: InForce
    begun_with: DagConfig
    selectors: Mapping[str, Any]
    cluster: ClusterParameters
    parting: Parting
    limits: Limits
    deadline: float | None

    def to_json(self) -> str:
        """Return it as a text, which Airflow's serialization does not change."""
        found = self.in_force
        return json.dumps(
            {
                "format": FORMAT,
                "config": found.config.to_dict(),
                "begun_with": self.begun_with.to_dict(),
                "group": None if found.group is None else exact_values(found.group),
                "installation": exact_values(found.installation),
                "ceilings": [exact_values(ceiling) for ceiling in found.ceilings],
                "selectors": dict(self.selectors),
                "cluster": self.cluster.as_dict(),
                "parting": asdict(self.parting),
                "limits": asdict(self.limits),
                "deadline": self.deadline,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Deferral:
        """
        Make a deferral from the text of :meth:`to_json`.

        :raises ValueError: another version wrote it, or it is something else.
        """
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise ValueError(f"it has format {values['format']!r}, and this version reads {FORMAT}")
            group = values["group"]
            found = InForce(
                DagConfig.from_dict(values["config"]),
                None if group is None else from_values(ExchangeGroup, group),
                from_values(Installation, values["installation"]),
                tuple(from_values(Ceiling, ceiling) for ceiling in values["ceilings"]),
            )
            return cls(
                found,
                DagConfig.from_dict(values["begun_with"]),
                values["selectors"],
                ClusterParameters(**values["cluster"]),
                Parting(**values["parting"]),
                Limits(**values["limits"]),
                values["deadline"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None

    def as_arguments(self, ti: Any) -> dict[str, str]:
        """Return it as arguments of the deferral."""
        text = self.to_json()
        _stored[_try_key(ti)] = text
        return {"deferral": text}


class NotFoundError(Exception):
    """A task resumes, and its stored data cannot be read. The message says why."""


def read_deferral(ti: Any) -> Deferral | None:
    """
    Return the stored data of a task that resumes; None for a task that begins.

    :param ti: the task instance in the context.
    :raises NotFoundError: the task resumes, and its stored data is missing or cannot be read.
    """
    server = getattr(ti, "_ti_context_from_server", None)
    method = getattr(server, "next_method", None)
    if not method:
        return None
    if method != METHOD:
        raise NotFoundError("its trigger failed")
    kwargs = getattr(server, "next_kwargs", None) or {}
    # Airflow 3.1 wraps an encoded dict in a dict with its type.
    arguments = kwargs.get("__var", kwargs) if isinstance(kwargs, Mapping) else {}
    text = arguments.get("deferral") or _stored.get(_try_key(ti))
    try:
        return Deferral.from_json(str(text))
    except ValueError as error:
        raise NotFoundError(f"what it left cannot be read: {error}") from None


def _try_key(ti: Any) -> tuple[Any, ...]:
    return (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number)
