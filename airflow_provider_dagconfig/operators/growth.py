"""
The growing memory of a task's tries: reads what earlier tries stored in Airflow's task state store, and stores this one's result.

If the job's row has no ``memory_growth``, Airflow is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from airflow_provider_dagconfig.kubectl.annotations import try_number
from airflow_provider_dagconfig.kubectl.ends import PodEnd, PodFailed
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome, memory_limit_of, read_status
from airflow_provider_dagconfig.memory_growth import Grown, grown, next_limit
from airflow_provider_dagconfig.models import Quantity
from airflow_provider_dagconfig.models.ceiling import binding
from airflow_provider_dagconfig.operators.lookup import InForce, Lookup
from airflow_provider_dagconfig.operators.task_state_store import GROWTH, can_remember, recall, remember
from airflow_provider_dagconfig.wording import printables


class Growth:
    """
    The growth of one try.

    :param context: the task's.
    :param lookup: reads the values of row, overrides and conf.
    :param found: those values.
    :param log: the task's.
    :param in_force: the values that the try already runs with, if it resumes after a deferral; None to determine them.
    :raises Exception: Airflow's, if its API did not answer.
    """

    def __init__(
        self, context: Mapping[str, Any], lookup: Lookup, found: InForce, log: Any, in_force: InForce | None = None
    ) -> None:
        self.begun_with = found.config
        """The values of row, overrides and conf."""
        self._context, self._lookup, self._log = context, lookup, log
        self._ceiling = next((each for each in binding(found.ceilings) if each.name == "memory"), None)
        self._may_grow = found.config.memory_growth is not None and found.config.enabled and can_remember(context)
        self.in_force = in_force or replace(found, config=grown(found.config, self._stored, self._ceiling))
        """The values that the try runs with."""

    @cached_property
    def _stored(self) -> Grown | None:
        return Grown.from_kept(recall(self._context, GROWTH)) if self._may_grow else None

    @property
    def has_grown(self) -> bool:
        """Whether the try has more memory than the values of row, overrides and conf."""
        return self.in_force.config.memory_limit != self.begun_with.memory_limit

    def record_end(self, end: PodEnd, container: str) -> Quantity | None:
        """
        Store a larger limit for the next try if the job's container was OOMKilled.

        :return: that limit. None if the pod ended otherwise, or if memory does not grow, or can't grow further.
        """
        if not isinstance(end, PodFailed) or end.outcome.end is not End.OUT_OF_MEMORY:
            return None
        return self._store_next_limit(end.ended.pod, container)

    def record_replaced(self, pod: Mapping[str, Any], container: str) -> InForce | None:
        """
        Check an earlier try's pod before it is deleted: a worker that died may not have stored its end.

        :return: the values that the try runs with from now on, if that pod was OOMKilled; None if nothing changes.
        """
        outcome = read_status(pod, container)
        if isinstance(outcome, Outcome) and outcome.end is End.OUT_OF_MEMORY and self._store_next_limit(pod, container):
            config = grown(self.begun_with, self._stored, self._ceiling)
            if config != self.in_force.config:
                self.in_force = replace(self.in_force, config=config)
                return self.in_force
        return None

    def log_needed_memory(self) -> None:
        """Log how to write the larger memory into the job's row, after the job has succeeded with more than it began with."""
        config, row = self.in_force.config, self.begun_with
        if self._stored is None or not self.has_grown:
            return
        values = [f"memory_request={config.memory_request}", f"memory_limit={config.memory_limit}"]
        self._log.warning(
            "%s/%s needed more memory than it is given: it succeeded with memory_limit %s instead of %s (%s). The next run begins"
            " with %s again. To give it what it needed: %s",
            *printables(
                config.dag_name, config.job_name, config.memory_limit, row.memory_limit, self._stored.why, row.memory_limit
            ),
            *printables(self._lookup.hook.store.location.command("set", config.dag_name, config.job_name, *values)),
        )

    def _store_next_limit(self, pod: Mapping[str, Any], container: str) -> Quantity | None:
        if not self._may_grow:
            return None
        # The limit that it really had: an adopted pod may be older than a change.
        text = memory_limit_of(pod, container)
        before = self.in_force.config.memory_limit if text is None else Quantity.parse(text)
        limit = next_limit(self.begun_with, self._ceiling, before)
        if limit is None:
            return None
        if self._stored is not None and self._stored.limit >= limit:
            return grown(self.begun_with, self._stored, self._ceiling).memory_limit
        self._stored = Grown(limit, before, try_number(pod) or self._context["ti"].try_number)
        try:
            remember(self._context, GROWTH, self._stored.as_dict())
        except Exception as error:  # noqa: BLE001 - the report of the pod's end must not be lost
            self._log.warning("Airflow did not keep memory_limit %s for the next try: %s", *printables(limit, error))
            return None
        return limit
