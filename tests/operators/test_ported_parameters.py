"""Parameters of KubernetesPodOperator that ConfiguredKubectlRunOperator lacks: refused while a DAG is parsed, or without effect."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.pod_manager import OnKillAction
from airflow.sdk import DAG, TaskGroup
from kubernetes.client import models as k8s

from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.operators.ported_parameters import INSTEAD, WITHOUT_EFFECT
from airflow_provider_dagconfig.task_groups.exchange_group import ExchangeGroupTaskGroup

POD: dict[str, Any] = {"task_id": "collect", "image": "busybox:latest"}


def parameters(function: Any) -> set[str]:
    named = (parameter for parameter in inspect.signature(function).parameters.values() if parameter.kind is parameter.KEYWORD_ONLY)
    return {parameter.name for parameter in named}


def test_each_parameter_of_the_installed_operator_is_the_same_or_refused_or_without_effect() -> None:
    theirs, ours = parameters(KubernetesPodOperator.__init__), parameters(ConfiguredKubectlRunOperator.__init__)
    assert theirs - ours <= INSTEAD.keys() | WITHOUT_EFFECT
    assert INSTEAD.keys() & WITHOUT_EFFECT == set()


def as_an_argument(arguments: dict[str, Any]) -> Any:
    with DAG("prices"):
        return ConfiguredKubectlRunOperator(**POD, **arguments)


def in_default_args_of_the_dag(arguments: dict[str, Any]) -> Any:
    with DAG("prices", default_args=arguments):
        return ConfiguredKubectlRunOperator(**POD)


def in_default_args_of_a_task_group(arguments: dict[str, Any]) -> Any:
    with DAG("prices"), TaskGroup("outer", default_args=arguments), TaskGroup("inner"):
        return ConfiguredKubectlRunOperator(**POD)


def in_default_args_of_an_exchange_group_task_group(arguments: dict[str, Any]) -> Any:
    with DAG("prices"), ExchangeGroupTaskGroup("groups", default_args=arguments) as group:
        return ConfiguredKubectlRunOperator(**POD, job_name=group.exchange_group)


def in_default_args_of_the_task(arguments: dict[str, Any]) -> Any:
    with DAG("prices"):
        return ConfiguredKubectlRunOperator(**POD, default_args=arguments)


def as_an_argument_of_partial(arguments: dict[str, Any]) -> Any:
    with DAG("prices"):
        return ConfiguredKubectlRunOperator.partial(**POD, **arguments).expand(name=["a", "b"]).unmap({"name": "a"})


def in_default_args_of_a_mapped_tasks_dag(arguments: dict[str, Any]) -> Any:
    with DAG("prices", default_args=arguments):
        return ConfiguredKubectlRunOperator.partial(**POD).expand(name=["a", "b"]).unmap({"name": "a"})


def in_default_args_of_a_mapped_tasks_group(arguments: dict[str, Any]) -> Any:
    with DAG("prices"), TaskGroup("group", default_args=arguments):
        return ConfiguredKubectlRunOperator.partial(**POD).expand(name=["a", "b"]).unmap({"name": "a"})


def in_default_args_of_partial(arguments: dict[str, Any]) -> Any:
    with DAG("prices"):
        return ConfiguredKubectlRunOperator.partial(**POD, default_args=arguments).expand(name=["a"]).unmap({"name": "a"})


def in_expand_kwargs(arguments: dict[str, Any]) -> Any:
    with DAG("prices"):
        return ConfiguredKubectlRunOperator.partial(**POD).expand_kwargs([arguments]).unmap(arguments)


Place = Callable[[dict[str, Any]], Any]
PLACES: list[Place] = [
    as_an_argument,
    in_default_args_of_the_dag,
    in_default_args_of_a_task_group,
    in_default_args_of_an_exchange_group_task_group,
    in_default_args_of_the_task,
    as_an_argument_of_partial,
    in_default_args_of_a_mapped_tasks_dag,
    in_default_args_of_a_mapped_tasks_group,
    in_default_args_of_partial,
    in_expand_kwargs,
]


@pytest.mark.filterwarnings("ignore:Task .* was never mapped")
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_what_would_change_the_pod_is_refused_wherever_it_stands_with_what_to_write_instead(place: Place) -> None:
    with pytest.raises(ValueError, match=r'is_delete_operator_pod=False( \(in default_args\))?: write on_finish_action="keep_pod"'):
        place({"is_delete_operator_pod": False})


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_what_has_no_effect_is_accepted_wherever_it_stands(place: Place) -> None:
    task = place({"poll_interval": 5, "reattach_on_restart": True, "on_kill_action": OnKillAction.DELETE_POD, "callbacks": []})
    assert (task.image, task.on_finish_action) == ("busybox:latest", "delete_pod")


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_each_parameter_without_effect_is_accepted_with_any_value(name: str) -> None:
    as_an_argument({name: object()})


@pytest.mark.parametrize("name", sorted(INSTEAD))
def test_each_other_parameter_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValueError, match=rf"\n  {name}(=.*)?: .*\n.* {name}=None$"):
        as_an_argument({name: "something"})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, accepted) in INSTEAD.items() for value in accepted])
def test_a_value_that_is_so_here_in_any_case_is_accepted(name: str, value: Any) -> None:
    as_an_argument({name: value})


def test_all_that_is_refused_is_in_one_message_and_the_values_of_a_row_are_a_command() -> None:
    with pytest.raises(ValueError, match="this operator") as refused, DAG("prices", default_args={"active_deadline_seconds": 7200}):
        ConfiguredKubectlRunOperator(
            **POD,
            job_name="us markets",
            is_delete_operator_pod=True,
            container_resources=k8s.V1ResourceRequirements(requests={"cpu": "500m"}, limits={"cpu": 2, "memory": "2Gi"}),
        )
    assert str(refused.value).splitlines() == [
        "Task collect has what KubernetesPodOperator takes, and this operator doesn't:",
        "  active_deadline_seconds=7200 (in default_args): the row's timeout_seconds is the deadline:"
        " airflow dagconfig set prices 'us markets' timeout_seconds=7200",
        '  is_delete_operator_pod=True: write on_finish_action="delete_pod"',
        "  container_resources: CPU and memory are the row's:"
        " airflow dagconfig set prices 'us markets' cpu_request=500m cpu_limit=2 memory_limit=2Gi",
        "Where default_args are meant for other tasks, write at this one"
        " active_deadline_seconds=None, is_delete_operator_pod=None, container_resources=None",
    ]


def test_a_job_that_is_known_when_the_task_runs_is_left_open_in_the_command() -> None:
    with pytest.raises(ValueError, match="airflow dagconfig set prices JOB timeout_seconds=60"):
        in_default_args_of_an_exchange_group_task_group({"active_deadline_seconds": 60})


@pytest.mark.parametrize("name", ["active_deadline_seconds", "container_resources"])
def test_none_at_the_task_says_that_default_args_are_for_others(name: str) -> None:
    value = {"active_deadline_seconds": 7200, "container_resources": {"limits": {"memory": "2Gi"}}}[name]
    with DAG("half_ported", default_args={name: value}):
        before = KubernetesPodOperator(task_id="before", image="busybox:latest")
        ConfiguredKubectlRunOperator(**POD, **{name: None})
        mapped = ConfiguredKubectlRunOperator.partial(task_id="mapped", image="busybox:latest", **{name: None}).expand(name=["a"])
    assert getattr(before, name) == value
    assert mapped.unmap({"name": "a"}).image == "busybox:latest"


def test_a_parameter_that_a_subclass_declares_is_its_own() -> None:
    class Job(ConfiguredKubectlRunOperator):
        def __init__(self, *, callbacks: Any = None, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.callbacks = callbacks

    with DAG("prices", default_args={"callbacks": "mine"}):
        assert Job(**POD).callbacks == "mine"
        assert Job.partial(task_id="mapped", image="busybox:latest", callbacks="yours").expand(name=["a"])


@pytest.mark.filterwarnings("ignore:Task .* was never mapped")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"image": None}, "image is None; give the operator the image that the job runs in"),
        ({"image": ""}, "image is ''; give"),
        ({"cmds": "python main.py"}, "cmds is a str; write a list of texts, as in ['python', '-m', 'collector']"),
        ({"arguments": "--all"}, "arguments is a str; write a list of texts"),
        ({"env_vars": {"LEVEL": None}}, "env_vars['LEVEL'] is None; give it a text"),
        ({"env_vars": {"DEBUG": True}}, "env_vars['DEBUG'] is True, a boolean"),
        ({"container_resources": {"limits": {"cpu": "{{ params.cpu }}"}}}, "airflow dagconfig set prices all cpu_limit=AMOUNT"),
    ],
    ids=str,
)
def test_what_no_template_can_make_right_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)), DAG("prices"):
        ConfiguredKubectlRunOperator(**{**POD, **arguments})
    with pytest.raises(ValueError, match=re.escape(says)), DAG("prices"):
        ConfiguredKubectlRunOperator.partial(**{**POD, **arguments}).expand(name=["a"])


def test_what_a_template_or_another_task_gives_is_not_looked_at_when_the_dag_is_parsed() -> None:
    with DAG("prices"):
        first = ConfiguredKubectlRunOperator(**{**POD, "task_id": "first"}, do_xcom_push=True)
        ConfiguredKubectlRunOperator(
            task_id="second", image=first.output, cmds="{{ params.cmds }}", arguments=first.output, env_vars={"DATE": first.output}
        )
        ConfiguredKubectlRunOperator(task_id="third", image="{{ params.image }}", env_vars="{{ params.env }}")
        ConfiguredKubectlRunOperator.partial(task_id="mapped").expand(image=["busybox:1", "busybox:2"])


def test_other_resources_are_taken() -> None:
    assert as_an_argument({"container_resources": {"limits": {"nvidia.com/gpu": 1}}}).container_resources
