"""
What a task instance has used up since its last clear: kept in Airflow's task state store, or counted by Airflow's tries.

Airflow tells rounds apart by ``max_tries``, which grows when a task is cleared. From 3.3 on what happened in a round is kept beside
it, and a pod is counted before it is made: a worker that dies cannot do it later. Below 3.3 each try of the round counts for one
pod.
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
    :param retries: the task's static number, by which Airflow counts on when it clears a task.
    :param goes_on: whether an earlier process of this try may have counted something.
    """

    def __init__(self, context: Mapping[str, Any], retries: int, *, goes_on: bool = False) -> None:
        self._context, self._retries, self._goes_on = context, retries, goes_on
        self._ti = context["ti"]
        self._known: Round | None = None
        self._has_made = False

    @property
    def used_up(self) -> Round:
        """
        What was used up before, and by this try so far.

        :raises Exception: Airflow's, where its API did not answer.
        """
        if self._known is None:
            self._known = self._read()
        return self._known

    @property
    def airflow_allows(self) -> bool:
        """Whether Airflow's own number of retries leaves another try: the ceiling."""
        most = self._ti.max_tries
        return most is None or (most != 0 and self._ti.try_number <= most)

    def making(self) -> None:
        """Count a pod that is about to be made, once a try."""
        if not self._has_made:
            self._keep(self.used_up.made())
            self._has_made = True

    def not_made(self) -> None:
        """Take that back."""
        if self._has_made:
            self._keep(self.used_up.unmade())
            self._has_made = False

    def failed(self, cause: Cause, *, had_pod: bool) -> Round:
        """
        Count the failure of this try.

        :param had_pod: whether it had a pod, made by this try or an earlier one.
        :return: what is used up now.
        """
        if not can_remember(self._context):
            return _by_number(self._in_round)
        was_unmade = self._has_made and not had_pod
        after = (self.used_up.unmade() if was_unmade else self.used_up).failed(cause, had_pod=had_pod)
        if after != self.used_up:
            self._keep(after)
        return after

    @property
    def _in_round(self) -> int:
        """The number of this try in its round, from 1 on."""
        # A task instance from before its DAG's retries changed has the former number in it.
        first = max(1, (self._ti.max_tries or 0) - self._retries + 1)
        return int(max(1, self._ti.try_number - first + 1))

    def _read(self) -> Round:
        if self._ti.try_number == 1 and not self._goes_on:  # a run that is deleted takes with it what was kept
            return Round()
        if not can_remember(self._context):
            return _by_number(self._in_round - 1)
        kept = recall(self._context, ROUND)
        if not isinstance(kept, Mapping) or kept.get(_MAX_TRIES) != self._ti.max_tries:
            return Round()
        return Round.from_dict(kept)

    def _keep(self, round: Round) -> None:
        if can_remember(self._context):
            remember(self._context, ROUND, {**round.as_dict(), _MAX_TRIES: self._ti.max_tries})
        self._known = round


def _by_number(tries: int) -> Round:
    return Round(pods=tries, own=tries)
