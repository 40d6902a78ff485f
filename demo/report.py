"""The tables that the demo shows at its end: pure functions of pods, task instances and audit entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from airflow_provider_dagconfig.kubectl.annotations import annotation
from airflow_provider_dagconfig.models import HistoryEntry
from demo.airflow import TaskInstance

NONE = "-"
_WIDE = 150
_NAME_END = 12
_STATE_STYLES = {"success": "green", "skipped": "magenta", "failed": "red"}


@dataclass(frozen=True)
class JobRun:
    """The result of one job in one run, from its pod's specification and from Airflow."""

    job: str
    pod: str = NONE
    cpu: str = NONE
    """Request and limit."""
    memory: str = NONE
    """Request and limit."""
    batch: str = NONE
    state: str = NONE
    seconds: str = NONE


def job_runs(
    dag_id: str,
    run_id: str,
    task_id: str,
    instances: Iterable[TaskInstance],
    pods: Mapping[str, Mapping[str, Any]],
) -> list[JobRun]:
    """
    Join the instances of a task with their pods.

    :param pods: name to pod, as the API server described it.
    """
    by_index = {
        int(annotation(pod, "map-index") or -1): (name, pod)
        for name, pod in pods.items()
        if (annotation(pod, "dag-id"), annotation(pod, "run-id"), annotation(pod, "task-id")) == (dag_id, run_id, task_id)
    }
    return [
        _job_run(instance, *by_index.get(instance.map_index, (NONE, None))) for instance in instances if instance.task_id == task_id
    ]


def _job_run(instance: TaskInstance, name: str, pod: Mapping[str, Any] | None) -> JobRun:
    job, state = instance.label or instance.task_id, instance.state or NONE
    if pod is None:
        return JobRun(job=job, state=state)
    container = pod["spec"]["containers"][0]
    resources = container["resources"]
    arguments = container["args"]
    return JobRun(
        job=job,
        pod=name,
        cpu=f"{resources['requests']['cpu']}/{resources['limits']['cpu']}",
        memory=f"{resources['requests']['memory']}/{resources['limits']['memory']}",
        batch=arguments[arguments.index("--batch-size") + 1],
        state=state,
        seconds=NONE if instance.seconds is None else f"{instance.seconds:.1f}",
    )


def comparison(*sections: tuple[Sequence[JobRun], Sequence[JobRun]], width: int = 80) -> Table:
    """
    Show runs side by side: a line before and a line after for each job, with the changes in bold.

    :param sections: the jobs before and after.
    :param width: columns of the terminal; a pod's whole name needs more than 80.
    """
    table = _table("Before and after the changes")
    for heading in ("job", "", "pod", "cpu", "memory", "batch", "state", "seconds"):
        table.add_column(heading, justify="right" if heading in ("batch", "seconds") else "left", no_wrap=True)
    for before, after in sections:
        earlier = {run.job: run for run in before}
        later = {run.job: run for run in after}
        for job in dict.fromkeys([*earlier, *later]):
            first, second = earlier.get(job), later.get(job)
            if first:
                table.add_row(job, "before", *_cells(first, first, width))
            if second:
                table.add_row("" if first else job, "after", *_cells(second, first or JobRun(job), width))
    return table


def _table(title: str) -> Table:
    return Table(title=f"\n{title}", title_justify="left", box=box.SIMPLE, padding=(0, 0), show_edge=False)


def _cells(run: JobRun, earlier: JobRun, width: int) -> list[str]:
    def marked(value: str, other: str) -> str:
        return f"[bold yellow]{value}[/]" if value != other else value

    style = _STATE_STYLES.get(run.state, "default")
    return [
        # The end of a name identifies a pod: it is the map index and the digest of the task instance's ids.
        run.pod if width >= _WIDE or len(run.pod) < _NAME_END else f"…{run.pod[-_NAME_END:]}",
        marked(run.cpu, earlier.cpu),
        marked(run.memory, earlier.memory),
        marked(run.batch, earlier.batch),
        f"[{style}]{run.state}[/]",
        run.seconds,
    ]


def audit_trail(entries: Iterable[HistoryEntry]) -> Table:
    """Show who changed what, and when."""
    table = _table("The audit trail (dag_configuration_audit)")
    for heading in ("when", "who", "what", "change"):
        table.add_column(heading, no_wrap=heading != "change")
    for entry in entries:
        changes = ", ".join(f"{column}: {old} → {new}" for column, (old, new) in entry.differences().items())
        table.add_row(
            f"{entry.changed_at:%H:%M:%S}",
            entry.changed_by or NONE,
            entry.subject,
            changes if entry.operation == "UPDATE" else entry.operation,
        )
    return table
