"""``airflow dagconfig pods`` and ``sweep``: the pods of this installation, and what Airflow knows of their tasks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import cluster_of, namespace_of, store_of
from airflow_provider_dagconfig.cli.definition import FAILED
from airflow_provider_dagconfig.cli.output import Cell, command, confirm, lasting, print_data, print_table, say, stop
from airflow_provider_dagconfig.cli.rows import now
from airflow_provider_dagconfig.cli.task_instances import facts_of
from airflow_provider_dagconfig.kubectl.access import ClusterAccessError
from airflow_provider_dagconfig.kubectl.annotations import annotation, try_number
from airflow_provider_dagconfig.kubectl.errors import PASSING, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.listing import InstallationPods
from airflow_provider_dagconfig.kubectl.sweep import Fate, TaskFacts, TaskId, Verdict, created_at, judge, task_of
from airflow_provider_dagconfig.models import InstallationError
from airflow_provider_dagconfig.settings import configured_installation, configured_kubectl

if TYPE_CHECKING:
    from argparse import Namespace

    Pod = dict[str, Any]


@dataclass(frozen=True)
class _Seen:
    """A pod, and what Airflow said of its task instance after the pod was listed."""

    pod: Pod
    task: TaskId | None
    facts: TaskFacts | None

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])


@command
def pods(args: Namespace) -> None:
    """Show them."""
    with _pods_of(args) as (_, seen, where):
        if args.output in ("json", "yaml"):
            print_data([_facts(each) for each in seen], args.output)
        else:
            print_table(
                [_row(each) for each in seen], args.output, empty=f"There are no pods {where}.", spare=("pod", "map", "job")
            )


@command
def sweep(args: Namespace) -> None:
    """Delete those that nobody comes back for, and end with an exit code that scripts can use."""
    with _pods_of(args) as (installation, seen, where):
        judged = [(each, judge(each.pod, each.facts, now())) for each in seen]
        unknown = sum(verdict.fate is Fate.DELETE_UNKNOWN for _, verdict in judged)
        if args.unknown and unknown:
            confirm(f"{unknown} of {len(seen)} pods {where} may be another Airflow's, and are to be deleted too.", args, None)
        did = []
        for each, verdict in judged:
            done = _deal_with(each, verdict, installation, args)
            did.append(done)
            if args.output == "table":
                # One at a time: each deletion is a request, and takes its time.
                say(f"{done['did']:<8}  {each.name}: {done['why']}", _STYLES.get(done["did"], ""))
        if args.output in ("json", "yaml"):
            print_data(did, args.output)
        elif args.output == "plain":
            print_table(did, "plain", empty=f"There are no pods {where}.")
        else:
            _say_sum(did, where)
        if any(done["did"] == "failed" for done in did):
            sys.exit(FAILED)


_STYLES = {"deleted": "bold", "would": "bold", "failed": "bold red"}


def _deal_with(seen: _Seen, verdict: Verdict, installation: InstallationPods, args: Namespace) -> dict[str, str]:
    """Delete a pod, or leave it, and say which."""
    did, why = "kept", verdict.why
    if verdict.fate is Fate.DELETE_UNKNOWN and not args.unknown:
        why = f"{why}. To delete it: --unknown"
    elif verdict.fate is not Fate.KEEP and args.dry_run:
        did, why = "would", f"be deleted. {why}"
    elif verdict.fate is not Fate.KEEP:
        did, why = _delete(seen, why, installation)
    return {"pod": seen.name, "did": did, "why": why}


def _delete(seen: _Seen, why: str, installation: InstallationPods) -> tuple[str, str]:
    try:
        installation.delete(seen.pod)
    except KubectlError as error:
        if error.fault is Fault.CONFLICT:
            return "kept", "It has changed since it was listed, so somebody has to do with it. The next sweep looks again"
        if error.fault in PASSING:
            stop(f"Error: Pod {seen.name} could not be deleted, nor the rest be tried: {error.trouble}")
        return "failed", f"It could not be deleted: {error.message}"
    return "deleted", why


def _say_sum(did: list[dict[str, str]], where: str) -> None:
    results = [done["did"] for done in did]
    if "would" in results:
        say(f"{results.count('would')} of {len(did)} pods {where} would be deleted. Nothing was: --dry-run.")
        return
    failed = f" {results.count('failed')} could not be." if "failed" in results else ""
    say(f"{results.count('deleted')} of {len(did)} pods {where} are being deleted.{failed}")


@contextmanager
def _pods_of(args: Namespace) -> Iterator[tuple[InstallationPods, list[_Seen], str]]:
    """
    List the pods, and then ask Airflow about their tasks: in this order, so that what Airflow says is not older than what was seen.

    :return: the requests about them, the pods, and where they are, for messages.
    """
    try:
        installation = store_of(args).get_installation().in_force(configured_installation())
        access = cluster_of(args)
    except (ClusterAccessError, InstallationError) as error:
        stop(f"Error: {error}")
    namespace = namespace_of(args, access)
    with access.environment() as environment:
        requests = InstallationPods(environment, namespace, installation, configured_kubectl())
        try:
            listed = requests.all()
        except KubectlError as error:
            stop(
                f"Error: The pods in namespace {namespace} could not be listed. {_remedy(error)} (credentials from {access.source})"
            )
        tasks = [task_of(pod) for pod in listed]
        known = facts_of(task for task in tasks if task is not None)
        seen = [_Seen(pod, task, known.get(task) if task else None) for pod, task in zip(listed, tasks, strict=True)]
        yield requests, seen, f"of installation {installation} in namespace {namespace}"


def _remedy(error: KubectlError) -> str:
    if error.fault is Fault.FORBIDDEN:
        return (
            f"Add it to the Role of this user: apiGroups [''], resources [pods], verbs [list]. The API server said: {error.message}"
        )
    return error.trouble


def _facts(seen: _Seen) -> dict[str, Any]:
    """All that is known of a pod, for scripts."""
    dag_id, run_id, task_id, map_index = seen.task or (None, None, None, None)
    created = created_at(seen.pod)
    return {
        "pod": seen.name,
        "namespace": seen.pod["metadata"].get("namespace"),
        "dag_id": dag_id,
        "run_id": run_id,
        "task_id": task_id,
        "map_index": map_index,
        "job_name": annotation(seen.pod, "job_name"),
        "try_number": try_number(seen.pod),
        "state": _state(seen.pod),
        "created_at": created,
        "age_seconds": int((now() - created).total_seconds()),
        "known_to_airflow": seen.facts is not None,
        "airflow_state": seen.facts.state if seen.facts else None,
        "airflow_try_number": seen.facts.try_number if seen.facts else None,
        "airflow_ended_at": seen.facts.ended_at if seen.facts and seen.facts.is_finished else None,
    }


def _row(seen: _Seen) -> dict[str, Any]:
    """The same for people."""
    facts = _facts(seen)
    return {
        "dag": facts["dag_id"],
        "run": facts["run_id"],
        "task": facts["task_id"],
        "map": None if facts["map_index"] == -1 else facts["map_index"],
        "job": facts["job_name"],
        "try": facts["try_number"],
        "state": facts["state"],
        "age": lasting(now() - facts["created_at"]),
        "airflow": _in_airflow(seen.facts),
        "pod": seen.name,
    }


def _in_airflow(facts: TaskFacts | None) -> Cell:
    if facts is None:
        return Cell("unknown", "bold yellow")
    if facts.is_finished and facts.ended_at is not None:
        return Cell(f"{facts.state} {lasting(now() - facts.ended_at)} ago")
    return Cell(facts.state or "not started")


def _state(pod: Pod) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str(pod.get("status", {}).get("phase", "Pending"))
