"""
What a task instance has used up since its last clear: stored in Airflow's task state store, or derived from Airflow's try numbers.

A clear begins a new round, and increases ``max_tries``. From 3.3 on the events of a round are stored with its ``max_tries``. A pod
is counted before it is created, since a worker that dies cannot count it later. Below 3.3 each try of the round counts as one pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_dagconfig.operators.task_state_store import ROUND, can_remember, recall, remember
from airflow_provider_dagconfig.retries import Cause, Round

_MAX_TRIES = "max_tries"


class Tries:
    """
    The tries of one task instance in its present round.

    :param context: the task's.
    :param retries: the task's static number, which Airflow adds to the try number when it clears a task.
    :param is_resuming: whether an earlier process of this try may have counted something.
    """

    def __init__(self, context: Mapping[str, Any], retries: int, *, is_resuming: bool = False) -> None:
        self._context, self._retries, self._is_resuming = context, retries, is_resuming
        self._ti = context["ti"]
        self._round: Round | None = None
        self._has_counted_pod = False

    @property
    def used_up(self) -> Round:
        """
        What earlier tries have used up, and this try so far.

        :raises Exception: Airflow's, if its API did not answer.
        """
        if self._round is None:
            self._round = self._read()
        return self._round

    @property
    def airflow_allows(self) -> bool:
        """Whether Airflow's own number of retries, the ceiling, allows another try."""
        most = self._ti.max_tries
        return most is None or (most != 0 and self._ti.try_number <= most)

    def count_pod(self) -> None:
        """Count a pod that is about to be created, once per try."""
        if not self._has_counted_pod:
            self._store(self.used_up.made())
            self._has_counted_pod = True

    def uncount_pod(self) -> None:
        """Undo :meth:`count_pod`."""
        if self._has_counted_pod:
            self._store(self.used_up.unmade())
            self._has_counted_pod = False

    def count_failure(self, cause: Cause, *, had_pod: bool) -> Round:
        """
        Count the failure of this try.

        :param had_pod: whether it had a pod, made by this try or an earlier one.
        :return: what is used up now.
        """
        if not can_remember(self._context):
            return _round_of(self._number_in_round)
        was_unmade = self._has_counted_pod and not had_pod
        after = (self.used_up.unmade() if was_unmade else self.used_up).failed(cause, had_pod=had_pod)
        if after != self.used_up:
            self._store(after)
        return after

    @property
    def _number_in_round(self) -> int:
        """The number of this try in its round, starting at 1."""
        # If the DAG's retries have changed since the task instance was made, its max_tries contains the earlier number.
        first = max(1, (self._ti.max_tries or 0) - self._retries + 1)
        return int(max(1, self._ti.try_number - first + 1))

    def _read(self) -> Round:
        if self._ti.try_number == 1 and not self._is_resuming:  # a run that is deleted takes its stored data with it
            return Round()
        if not can_remember(self._context):
            return _round_of(self._number_in_round - 1)
        stored = recall(self._context, ROUND)
        if not isinstance(stored, Mapping) or stored.get(_MAX_TRIES) != self._ti.max_tries:
            return Round()
        return Round.from_dict(stored)

    def _store(self, round: Round) -> None:
        if can_remember(self._context):
            remember(self._context, ROUND, {**round.as_dict(), _MAX_TRIES: self._ti.max_tries})
        self._round = round


def _round_of(tries: int) -> Round:
    return Round(pods=tries, own=tries)
