"""
The parameters of KubernetesPodOperator that ConfiguredKubectlRunOperator does not have, and what to write instead.

Airflow drops a name in ``default_args`` that is in no operator's signature, so a deadline or a template there would be lost
silently. Therefore each of these parameters is either accepted, because it makes no difference here, or refused when the DAG is
parsed. Parameters that both operators have are not in this module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_dagconfig.kubectl.parameters import to_plain
from airflow_provider_dagconfig.models import shell_word

if TYPE_CHECKING:
    from airflow.sdk import DAG

WITHOUT_EFFECT = frozenset(
    {
        # This operator does not poll.
        "base_container_status_polling_interval",
        "poll_interval",
        "startup_check_interval_seconds",
        # The operator's own trigger has no such arguments.
        "trigger_kwargs",
        # The error contains the kubelet's or the scheduler's message.
        "log_events_on_failure",
        "log_events_on_startup",
        "log_pod_spec_on_failure",
        # The log's lines are as the container wrote them.
        "container_name_log_prefix_enabled",
        # There is no sidecar.
        "xcom_sidecar_container_security_context",
    }
)
"""Accepted with any value: the pod and its end are the same."""


class Job(NamedTuple):
    """The job whose row a command sets, as words of a command line."""

    dag_name: str
    job_name: str

    @classmethod
    def of(cls, arguments: Mapping[str, Any], dag: DAG | None) -> Job:
        """Return a task's job. ``DAG`` and ``JOB`` stand for names that are known only when the task runs."""

        def word(name: Any, unknown: str) -> str:
            return shell_word(name) if isinstance(name, str) and "{{" not in name else unknown

        return cls(word(arguments.get("dag_name") or (dag and dag.dag_id), "DAG"), word(arguments.get("job_name", "all"), "JOB"))

    def set(self, *assignments: str) -> str:
        """Return the command that sets columns, ready to be pasted."""
        return " ".join(["airflow dagconfig set", *self, *assignments])


class Instead(NamedTuple):
    """
    What to write instead of a parameter.

    :param write: the sentence, or a function that makes it from the value and the task's job
    :param accepted: the values that ask for what this operator does anyway
    """

    write: str | Callable[[Any, Job], str]
    accepted: tuple[Any, ...] = ()


def _deadline_advice(seconds: Any, job: Job) -> str:
    return f"the row's timeout_seconds is the deadline: {job.set(f'timeout_seconds={seconds}')}"


def _deletion_advice(is_deleted: Any, _job: Job) -> str:
    return f'write on_finish_action="{"delete_pod" if is_deleted else "keep_pod"}"'


_FIELDS = "write the pod's fields as parameters of the task: image, env_vars, volumes, node_selector, ..."
_ADOPTS = "a try always takes over the pod that an earlier one left running; take it out"
_CALLBACKS = "nothing is called while a pod runs; take it out. on_success_callback and on_failure_callback are Airflow's, and stay"

INSTEAD: Mapping[str, Instead] = {
    "active_deadline_seconds": Instead(_deadline_advice),
    "callbacks": Instead(_CALLBACKS),
    "container_logs": Instead("the log is the base container's (base_container_name); take it out", accepted=("base", ["base"])),
    "durable": Instead(_ADOPTS, accepted=(True,)),
    "full_pod_spec": Instead(_FIELDS),
    "init_container_logs": Instead("the log is the base container's; take it out"),
    "is_delete_operator_pod": Instead(_deletion_advice),
    "log_formatter": Instead("the log's lines are as the container wrote them; take it out"),
    "on_kill_action": Instead(
        "the pod is deleted where somebody ended or cleared the task, and nothing keeps it; take it out",
        accepted=("delete_pod",),
    ),
    "pod_runtime_info_envs": Instead(
        'write them in env_vars: [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]'
    ),
    "pod_template_dict": Instead(_FIELDS),
    "pod_template_file": Instead(_FIELDS),
    "progress_callback": Instead(_CALLBACKS),
    "random_name_suffix": Instead(
        "name is the first word of the pod's name; the rest tells its task instance from others. Take it out",
        accepted=(True,),
    ),
    "reattach_on_restart": Instead(_ADOPTS, accepted=(True,)),
    "schedule_timeout_seconds": Instead(
        "add it to startup_timeout_seconds, which counts from the pod's creation: waiting for a node is in it"
    ),
    "termination_message_policy": Instead(
        "it is FallbackToLogsOnError, so that an error shows the log's last lines; take it out",
        accepted=("FallbackToLogsOnError",),
    ),
}
"""Refused: the pod, its life, or its messages would differ from what the author asked for."""


def is_ported(name: str) -> bool:
    """Return whether only KubernetesPodOperator has the parameter."""
    return name in WITHOUT_EFFECT or name in INSTEAD


def parameters_of_subclasses(operator: type, base: type) -> set[str]:
    """Return the parameters that an operator's class, and the classes between it and the base, declare with their own meanings."""
    inits = [vars(each)["__init__"] for each in operator.__mro__[: operator.__mro__.index(base)] if "__init__" in vars(each)]
    return {name for init in inits for name in inspect.signature(init).parameters}


def defaults_of(dag: DAG | None, task_group: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the default arguments of a mapped task, merged as Airflow does.

    :param arguments: of ``partial()``.
    """
    places = [place.default_args for place in (dag, task_group) if place]
    return {name: value for given in (*places, arguments.get("default_args") or {}) for name, value in given.items()}


def check_ported(
    arguments: Mapping[str, Any],
    default_args: Mapping[str, Any],
    *,
    task_id: str,
    dag: DAG | None,
) -> None:
    """
    Refuse parameters that would be lost.

    An argument of the task overrides ``default_args``, so None for a parameter says that ``default_args`` are meant for other
    tasks.

    :param arguments: those of the task
    :param default_args: those of the DAG, of task groups and of the task, merged
    :param dag: the task's, if it has one yet
    :raises ValueError: for all of them at once, each with what to write instead
    """
    job = Job.of(arguments, dag)
    problems: dict[str, str] = {}
    for name, (write, accepted) in INSTEAD.items():
        value = arguments.get(name, default_args.get(name))
        if not _is_empty(value) and value not in accepted:
            place = "" if name in arguments else " (in default_args)"
            problems[name] = f"{_shown_parameter(name, value)}{place}: {write if isinstance(write, str) else write(value, job)}"
    if assignments := _cpu_and_memory(arguments.get("container_resources", default_args.get("container_resources"))):
        problems["container_resources"] = f"container_resources: CPU and memory are the row's: {job.set(*assignments)}"
    if problems:
        raise ValueError(
            f"Task {task_id} has what KubernetesPodOperator takes, and this operator doesn't:\n"
            + "".join(f"  {problem}\n" for problem in problems.values())
            + "Where default_args are meant for other tasks, write at this one "
            + ", ".join(f"{name}=None" for name in problems)
        )


def _shown_parameter(name: str, value: Any) -> str:
    """Return a parameter with its value if the value is short and can't be a secret; otherwise only its name."""
    return f"{name}={value}" if isinstance(value, bool | int | float) else name


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple | dict) and not value)


def _cpu_and_memory(container_resources: Any) -> list[str]:
    """Return CPU and memory as assignments to the row's columns."""
    resources = to_plain(container_resources)
    if not isinstance(resources, Mapping):
        return []
    return [
        f"{resource}_{kind.removesuffix('s')}={shell_word(amount) if '{{' not in amount else 'AMOUNT'}"
        for kind in ("requests", "limits")
        if isinstance(resources.get(kind), Mapping)
        for resource in ("cpu", "memory")
        if resource in resources[kind]
        for amount in [str(resources[kind][resource])]
    ]
