"""``airflow dagconfig pods`` and ``sweep``: the pods of this installation, and Airflow's knowledge of their tasks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_dagconfig.cli.connect import cluster_of, namespace_of, store_of
from airflow_provider_dagconfig.cli.definition import FAILED
from airflow_provider_dagconfig.cli.output import Cell, command, confirm, lasting, print_data, print_table, say, stop
from airflow_provider_dagconfig.cli.rows import now
from airflow_provider_dagconfig.cli.task_instances import facts_of
from airflow_provider_dagconfig.kubectl.access import ClusterAccessError
from airflow_provider_dagconfig.kubectl.errors import KubectlError
from airflow_provider_dagconfig.kubectl.listing import Done, InstallationPods, cannot_list
from airflow_provider_dagconfig.kubectl.sweep import Fate, ListedPod, TaskFacts, Verdict, judge
from airflow_provider_dagconfig.models import InstallationError
from airflow_provider_dagconfig.settings import configured_installation, configured_kubectl

if TYPE_CHECKING:
    from argparse import Namespace


@command
def pods(args: Namespace) -> None:
    """Show the pods."""
    with _listed_pods(args) as (_, listed, where):
        shown = [_facts(pod, facts) for pod, facts in _with_facts(listed)]
        if args.output in ("json", "yaml"):
            print_data(shown, args.output)
        else:
            print_table(
                [_row(each) for each in shown], args.output, empty=f"There are no pods {where}.", spare=("pod", "map", "job")
            )


@command
def sweep(args: Namespace) -> None:
    """Delete the pods that no task returns to, and end with an exit code that scripts can use."""
    with _listed_pods(args) as (installation, listed, where):
        judged = _judge_pods(listed)
        unknown = sum(verdict.fate is Fate.DELETE_UNKNOWN for _, verdict in judged)
        if args.unknown and unknown:
            confirm(f"{unknown} of {len(listed)} pods {where} may be another Airflow's, and are to be deleted too.", args, None)
            # Airflow goes on while a person thinks. The pods were listed before the question; a pod that has changed since is not
            # deleted.
            judged = [
                (pod, _confirmed_verdict(before, later))
                for (pod, before), (_, later) in zip(judged, _judge_pods(listed), strict=True)
            ]
        results = []
        for pod, verdict in judged:
            done = _deal_with(pod, verdict, installation, args)
            results.append(vars(done))
            if args.output == "table":
                # Each result is printed at once: each deletion is a request, and takes time.
                say(
                    f"{done.did:<8}  {pod.name}: {'be deleted. ' if done.did == 'would' else ''}{done.why}",
                    _STYLES.get(done.did, ""),
                )
        if args.output in ("json", "yaml"):
            print_data(results, args.output)
        elif args.output == "plain":
            print_table(results, "plain", empty=f"There are no pods {where}.")
        else:
            _say_summary([done["did"] for done in results], where)
        if any(done["did"] == "failed" for done in results):
            sys.exit(FAILED)


_STYLES = {"deleted": "bold", "would": "bold", "failed": "bold red"}


def _with_facts(listed: list[ListedPod]) -> list[tuple[ListedPod, TaskFacts | None]]:
    """Return the pods with Airflow's facts about their tasks."""
    known = facts_of(pod.task for pod in listed if pod.task is not None)
    return [(pod, known.get(pod.task) if pod.task else None) for pod in listed]


def _judge_pods(listed: list[ListedPod]) -> list[tuple[ListedPod, Verdict]]:
    pods_with_facts = _with_facts(listed)
    return [(pod, judge(pod, facts, now())) for pod, facts in pods_with_facts]


def _confirmed_verdict(before: Verdict, later: Verdict) -> Verdict:
    """Return the verdict after the question, if it is still the same; otherwise keep the pod."""
    if before.fate is later.fate:
        return later
    return Verdict(Fate.KEEP, f"{later.why}. This has changed since the question was asked; the next sweep checks again")


def _deal_with(pod: ListedPod, verdict: Verdict, installation: InstallationPods, args: Namespace) -> Done:
    try:
        return installation.deal_with(pod, verdict, now(), delete_unknown=args.unknown, dry_run=args.dry_run)
    except KubectlError as error:
        stop(f"Error: Pod {pod.name} could not be processed, and the rest were not tried: {error.trouble}")


def _say_summary(results: list[str], where: str) -> None:
    if "would" in results:
        say(f"{results.count('would')} of {len(results)} pods {where} would be deleted. Nothing was: --dry-run.")
        return
    failed = f" {results.count('failed')} could not be." if "failed" in results else ""
    say(f"{results.count('deleted')} of {len(results)} pods {where} are being deleted.{failed}")


@contextmanager
def _listed_pods(args: Namespace) -> Iterator[tuple[InstallationPods, list[ListedPod], str]]:
    """
    List the pods. Airflow is asked about their tasks afterwards, so that its answer is not older than the list.

    :return: the requests about the pods, the pods, and their place, for messages.
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
            stop(f"Error: {cannot_list(error, namespace, access.source)}")
        yield requests, listed, f"of installation {installation} in namespace {namespace}"


def _facts(pod: ListedPod, task: TaskFacts | None) -> dict[str, Any]:
    """Return all facts about a pod, for scripts."""
    dag_id, run_id, task_id, map_index = pod.task or (None, None, None, None)
    return {
        "pod": pod.name,
        "namespace": pod.namespace,
        "dag_id": dag_id,
        "run_id": run_id,
        "task_id": task_id,
        "map_index": map_index,
        "job_name": pod.job_name,
        "try_number": pod.try_number,
        "state": "Terminating" if pod.is_being_deleted else pod.phase,
        "created_at": pod.created_at,
        "age_seconds": int((now() - pod.created_at).total_seconds()),
        "known_to_airflow": task is not None,
        "airflow_state": task.state if task else None,
        "airflow_try_number": task.try_number if task else None,
        "airflow_ended_at": task.ended_at if task and task.is_finished else None,
    }


def _row(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts as a row of the table for people."""
    return {
        "dag": facts["dag_id"],
        "run": facts["run_id"],
        "task": facts["task_id"],
        "map": None if facts["map_index"] == -1 else facts["map_index"],
        "job": facts["job_name"],
        "try": facts["try_number"],
        "state": facts["state"],
        "age": lasting(now() - facts["created_at"]),
        "airflow": _airflow_cell(facts),
        "pod": facts["pod"],
    }


def _airflow_cell(facts: dict[str, Any]) -> Cell:
    if not facts["known_to_airflow"]:
        return Cell("unknown", "bold yellow")
    if facts["airflow_ended_at"] is not None:
        return Cell(f"{facts['airflow_state']} {lasting(now() - facts['airflow_ended_at'])} ago")
    return Cell(facts["airflow_state"] or "not started")
