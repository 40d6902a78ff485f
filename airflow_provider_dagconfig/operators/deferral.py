"""
What a task leaves for itself when it is deferred, and finds again when it goes on: so that nothing is looked up on the way back.

A task that goes on has its templates rendered once more, before the arguments of its deferral are at hand. Looking its row up again
there could mix two configurations, or skip a task whose pod has run. That it goes on, and with what, is then in what the API server
sent with it, which Airflow hands to nobody: :func:`found_in` looks there.
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
"""Of :meth:`Deferral.to_json`; another one where its parts are not the same, or mean something else."""

METHOD = "execute_complete"
"""The operator's method that a deferred task goes on with."""

_parted: dict[tuple[Any, ...], str] = {}
"""What the tasks of this process have left. `airflow dags test` runs all of a task in one, and drops what it left."""


@dataclass(frozen=True)
class Deferral:
    """
    One deferral.

    :param in_force: what the pod was made with.
    :param begun_with: the same by row, overrides and conf alone, before memory grew.
    :param selectors: the parameters that choose the configuration, as they were rendered.
    :param cluster: those that choose the cluster.
    :param parting: the pod, and how far its log was read.
    :param limits: how long things may take.
    :param deadline: when ``execution_timeout`` is over, in seconds since 1970; None for none.
    """

    in_force: InForce
    begun_with: DagConfig
    selectors: Mapping[str, Any]
    cluster: ClusterParameters
    parting: Parting
    limits: Limits
    deadline: float | None

    def to_json(self) -> str:
        """Give it as a text, which no serialization of Airflow's changes."""
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
        Read what :meth:`to_json` gave.

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

    def leave(self, ti: Any) -> dict[str, str]:
        """Give it as arguments of the deferral."""
        text = self.to_json()
        _parted[_key(ti)] = text
        return {"deferral": text}


class NotFoundError(Exception):
    """A task goes on, and what it left cannot be read. The message says why."""


def found_in(ti: Any) -> Deferral | None:
    """
    Give what a task has left that goes on; None for one that begins.

    :param ti: the task instance in the context.
    :raises NotFoundError: it goes on, and has left nothing, or nothing that can be read.
    """
    server = getattr(ti, "_ti_context_from_server", None)
    method = getattr(server, "next_method", None)
    if not method:
        return None
    if method != METHOD:
        raise NotFoundError("its trigger failed")
    kwargs = getattr(server, "next_kwargs", None) or {}
    # Airflow 3.1 encodes a dict with its type beside it.
    given = kwargs.get("__var", kwargs) if isinstance(kwargs, Mapping) else {}
    text = given.get("deferral") or _parted.get(_key(ti))
    try:
        return Deferral.from_json(str(text))
    except ValueError as error:
        raise NotFoundError(f"what it left cannot be read: {error}") from None


def _key(ti: Any) -> tuple[Any, ...]:
    return (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number)
