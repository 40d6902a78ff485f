"""
Airflow's TriggerRunner without a supervisor: it gets triggers from standard input, and prints when each of them fires.

Standard input has one JSON object per line: ``{"pods": [NAME, ...]}`` creates a trigger for each pod, ``{"deferral": FILE}`` loads
the trigger that a task wrote to that file. Standard output has ``{"ready": true}`` once the runner runs, and ``{"pod": NAME, "at":
MOMENT, "payload": ...}`` for each event. The process ends at the end of its input.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import pickle
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.executors.workloads.trigger import RunTrigger
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.models.trigger import Trigger

from benchmarks import peers


class _Events(collections.deque[Any]):
    """The runner's queue of events. It prints each event, with its moment, at once."""

    def __init__(self, pods: dict[int, str]) -> None:
        super().__init__()
        self._pods = pods

    def append(self, entry: Any) -> None:
        at = time.time()
        print(json.dumps({"pod": self._pods[entry.trigger_id], "at": at, "payload": entry.event.payload}, default=str), flush=True)


class Runner(TriggerRunner):
    """The runner, with standard input in place of its supervisor."""

    def __init__(self, operator: str, namespace: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operator, self._namespace = operator, namespace
        self._pods: dict[int, str] = {}
        self.events = _Events(self._pods)

    async def init_comms(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self.comms_decoder = SimpleNamespace(_reader_task=asyncio.create_task(self._listen(reader)))  # type: ignore[assignment]
        print(json.dumps({"ready": True}), flush=True)

    async def sync_state_to_supervisor(self, finished_ids: list[int]) -> None:  # noqa: ARG002 - TriggerRunner calls it so
        while self.failed_triggers:
            trigger_id, error = self.failed_triggers.popleft()
            print(json.dumps({"pod": self._pods[trigger_id], "at": time.time(), "error": repr(error)}), flush=True)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            asked = json.loads(line)
            if "deferral" in asked:
                left = pickle.loads(Path(asked["deferral"]).read_bytes())
                self._add(peers.pod_of(left["kwargs"]), left["classpath"], left["kwargs"])
            for pod in asked.get("pods", ()):
                self._add(pod, *peers.TRIGGERS[self._operator](self._namespace, pod).serialize())
                await asyncio.sleep(0)
        self._handle_signal(0, None)
        # If this task ended, the runner would assume that its supervisor is lost.
        await asyncio.sleep(60)

    def _add(self, pod: str, classpath: str, arguments: dict[str, Any]) -> None:
        number = len(self._pods) + 1
        self._pods[number] = pod
        ti = TaskInstanceDTO(
            id=uuid.uuid4(),
            dag_version_id=uuid.uuid4(),
            task_id="work",
            dag_id=peers.DAG_NAME,
            run_id=f"manual__{pod}",
            try_number=1,
            map_index=-1,
            pool_slots=1,
            queue="default",
            priority_weight=1,
        )
        encrypted = Trigger.encrypt_kwargs(arguments)
        self.to_create.append(RunTrigger(id=number, ti=ti, classpath=classpath, encrypted_kwargs=encrypted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operator")
    parser.add_argument("--namespace", required=True)
    arguments = parser.parse_args()
    # In Airflow, triggers log to a file. Standard output is for the events.
    import logging

    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.basicConfig(stream=sys.stderr)
    Runner(arguments.operator, arguments.namespace).run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
