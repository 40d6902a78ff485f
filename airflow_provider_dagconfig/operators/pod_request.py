"""Gathers the input for one try's pod: the operator's parameters, the task instance, and the values in force."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.kubectl.manifest import PodRequest
from airflow_provider_dagconfig.settings import configured_installation

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dagconfig.operators.lookup import InForce

_NOT_PARAMETERS = {
    *("dag_id", "run_id", "task_id", "map_index", "try_number", "max_tries", "run_start", "run_clears"),
    *("dag_config", "exchange_group", "installation"),
}
"""The parts of a pod's input that are not parameters of the operator."""

POD_PARAMETERS = [parameter.name for parameter in fields(PodRequest) if parameter.name not in _NOT_PARAMETERS]
"""The operator's parameters that go into the pod unchanged, under the same names."""


def pod_request(task: Any, context: Context, found: InForce, namespace: str) -> PodRequest:
    """
    Return the input for the pod of a try.

    :param task: the operator, rendered.
    :param namespace: the pod's.
    :raises InstallationError: ``[dagconfig] installation`` is not a valid label.
    """
    ti = context["ti"]
    run = context.get("dag_run")
    parameters = {name: getattr(task, name) for name in POD_PARAMETERS} | {"namespace": namespace}
    return PodRequest(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        max_tries=ti.max_tries,
        run_start=None if run is None else run.start_date,
        run_clears=None if run is None else run.clear_number,
        dag_config=found.config,
        exchange_group=found.group,
        installation=found.installation.in_force(configured_installation()),
        **parameters,
    )
