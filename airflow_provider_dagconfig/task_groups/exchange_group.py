"""
The task group that runs its tasks once for each enabled exchange group, and the small operator that lists the groups.

The configuration of a group's job is not here: each task reads its own row when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs
from airflow.sdk import BaseOperator, TaskGroup, TriggerRule, XComArg
from airflow.sdk.definitions._internal.expandinput import DictOfListsExpandInput, MappedArgument
from airflow.sdk.definitions.taskgroup import MappedTaskGroup

from airflow_provider_dagconfig.models import RETRY_PAUSE
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.wording import printable

if TYPE_CHECKING:
    from types import TracebackType

    from airflow.sdk import Context
    from airflow.sdk.definitions._internal.mixins import DependencyMixin
    from airflow.sdk.definitions.edges import EdgeModifier

_ARGUMENT = "exchange_group"


class ListExchangeGroupsOperator(BaseOperator):
    """
    Read the enabled exchange groups from PostgreSQL, highest priority first, then by name.

    The names are its XCom, a list of strings. An empty list is not a failure: tasks that are mapped over it are skipped.

    :param postgres_conn_id: the Airflow connection of the configuration store; (templated) default: as
        :class:`~airflow_provider_dagconfig.hooks.dag_config.DagConfigHook` has it.
    :param config_schema: the database schema of the configuration tables; (templated) default: the hook's.
    :param retries: how often it is retried if the database is away; no row says this.
    :param retry_delay: the delay between retries.
    """

    template_fields: Sequence[str] = ("postgres_conn_id", "config_schema")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        postgres_conn_id: str | None = None,
        config_schema: str | None = None,
        retries: int | None = 3,
        retry_delay: timedelta | float = RETRY_PAUSE,
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, **kwargs)
        self.postgres_conn_id = postgres_conn_id
        self.config_schema = config_schema

    def execute(self, context: Context) -> list[str]:  # noqa: ARG002
        # Imported here, so that parsing a DAG file does not load it.
        from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook

        hook = DagConfigHook(postgres_conn_id=self.postgres_conn_id, schema=self.config_schema)
        names = hook.get_exchange_group_names()
        if names:
            self.log.info("Enabled exchange groups, highest priority first: %s", printable(", ".join(names)))
        else:
            self.log.warning(
                "No exchange group is enabled, so there is nothing to run and the mapped tasks are skipped. To enable one: "
                "UPDATE %s.exchange_groups SET enabled = TRUE WHERE group_name = '...'",
                printable(hook.config_schema),
            )
        return names


@attrs.define(kw_only=True)
class ExchangeGroupName(MappedArgument):
    """
    The name of an instance's exchange group, as an argument that is resolved when the task's templates are rendered.

    It labels the task instance at once. Airflow would not label a task that is skipped or fails while its templates are rendered,
    such as a task whose job is disabled.
    """

    _label_template: str

    def resolve(self, context: Mapping[str, Any]) -> Any:
        name = super().resolve(context)
        if context.get("map_index_template") == self._label_template:
            context["ti"].rendered_map_index = name
        return name


@attrs.define(init=False, repr=False, eq=False)
class ExchangeGroupTaskGroup(MappedTaskGroup):
    """
    A task group that is mapped over the enabled exchange groups when the DAG runs, one instance per group.

    It puts a task before itself that lists the groups. So nothing is read while a DAG file is parsed, and a group that was added,
    changed or disabled takes effect in the next run. Instances start in order of priority. A task that is skipped or fails affects
    only the tasks after it in its own instance. The grid shows the group's name instead of the map index, for every task without a
    ``map_index_template``.

    .. code-block:: python

        with ExchangeGroupTaskGroup(group_id="collect") as group:
            ConfiguredKubectlRunOperator(
                task_id="run",
                job_name=group.exchange_group,
                exchange_group=group.exchange_group,
                image="financial-data-collector:latest",
            )

    What is upstream of the group is upstream of the listing task too. If no group is enabled, all tasks are skipped.

    Airflow's limits for mapped task groups apply: they can't be nested, no task in them may have the trigger rule ``always``, and
    no task in them may be expanded.

    :param group_id: the group's id. The listing task is beside the group: ``<group_id>_exchange_groups``.
    :param list_task_id: another id for the listing task.
    :param postgres_conn_id: the Airflow connection of the configuration store, for the listing task, and for each
        :class:`~airflow_provider_dagconfig.operators.kubectl_run.ConfiguredKubectlRunOperator` in the group that names none.
    :param config_schema: the database schema of the configuration tables, passed on in the same way.
    :param default_args: defaults for the tasks in the group and for the listing task.
    :param task_group_args: :class:`~airflow.sdk.TaskGroup`'s other arguments: ``prefix_group_id``, ``parent_group``, ``dag``,
        ``tooltip``, ``doc_md``, ``ui_color``, ``ui_fgcolor``, ``add_suffix_on_collision``, ``group_display_name``.
    :raises ValueError: the group is nested with another mapped task group, or a task in it has the trigger rule ``always``.
    """

    list_task: ListExchangeGroupsOperator = attrs.field(init=False)
    """The task that lists the groups."""

    def __init__(
        self,
        group_id: str,
        *,
        list_task_id: str | None = None,
        postgres_conn_id: str | None = None,
        config_schema: str | None = None,
        default_args: dict[str, Any] | None = None,
        **task_group_args: Any,
    ) -> None:
        # The base class needs its input before the task exists that makes it. The task needs the group's id, its DAG and its
        # defaults, which the base class determines.
        expand_input = DictOfListsExpandInput({})
        task_group_args |= {"group_id": group_id, "default_args": default_args or {}, "expand_input": expand_input}
        self.__attrs_init__(**task_group_args)
        if outer := next(_outer_mapped_groups(self), None):
            raise ValueError(
                f"ExchangeGroupTaskGroup {self.group_id!r} is inside the mapped task group {outer.group_id!r}: Airflow "
                "can't nest mapped task groups. Put it beside that group, or use a plain TaskGroup around it."
            )
        self.list_task = ListExchangeGroupsOperator(
            task_id=list_task_id or f"{self._group_id}_exchange_groups",
            task_group=self.parent_group,
            dag=self.dag,
            default_args=self.default_args,
            do_xcom_push=True,
            doc_md="Lists the enabled exchange groups, in order of priority.",
            **_given(postgres_conn_id=postgres_conn_id, config_schema=config_schema),
        )
        expand_input.value[_ARGUMENT] = XComArg(self.list_task)

    @property
    def exchange_group(self) -> Any:
        """
        The name of an instance's exchange group, for the tasks in the group.

        It can be the whole value of any templated argument, or of an argument of a ``@task`` function.
        """
        return ExchangeGroupName(
            input=self._expand_input,
            key=_ARGUMENT,
            label_template=self._label_template,
        )

    @property
    def _label_template(self) -> str:
        return f"{{{{ ti.xcom_pull(task_ids='{self.list_task.task_id}', map_indexes=-1)[ti.map_index] }}}}"

    def update_relative(self, other: DependencyMixin, upstream: bool = True, edge_modifier: EdgeModifier | None = None) -> None:
        """Make the group's upstream tasks upstream of the listing task, too."""
        super().update_relative(other, upstream, edge_modifier)
        if upstream:
            self.list_task.set_upstream([task for task in other.leaves if task is not self.list_task])

    def __enter__(self) -> ExchangeGroupTaskGroup:
        super().__enter__()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        try:
            if exc_type is None:
                self._refuse_what_cannot_be_mapped()
                for task in self.iter_tasks():
                    self._complete(task)
                self.set_upstream(self.list_task)
        finally:
            # Not MappedTaskGroup's, which remains the current group if it raises.
            TaskGroup.__exit__(self, exc_type, exc_val, exc_tb)  # type: ignore[no-untyped-call]

    def _refuse_what_cannot_be_mapped(self) -> None:
        for group in self.get_task_group_dict().values():
            if group is not self and isinstance(group, MappedTaskGroup):
                raise ValueError(
                    f"The mapped task group {group.group_id!r} is inside ExchangeGroupTaskGroup {self.group_id!r}: "
                    "Airflow can't nest mapped task groups. Put it beside that group."
                )
        for task in self.iter_tasks():
            if task.trigger_rule == TriggerRule.ALWAYS:
                raise ValueError(
                    f"Task {task.task_id!r} in ExchangeGroupTaskGroup {self.group_id!r} has the trigger rule 'always', "
                    "which would start it before the exchange groups are known. Use 'all_done'."
                )

    def _complete(self, task: Any) -> None:
        """Fill in what a task in the group leaves open: the name that the grid shows, and the configuration store."""
        if task.map_index_template is None:
            task.map_index_template = self._label_template
        if isinstance(task, ConfiguredKubectlRunOperator):
            task.postgres_conn_id = task.postgres_conn_id or self.list_task.postgres_conn_id
            task.config_schema = task.config_schema or self.list_task.config_schema


def _outer_mapped_groups(group: TaskGroup) -> Any:
    parent = group.parent_group
    return parent.iter_mapped_task_groups() if parent is not None else iter(())


def _given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that are not None, so that default_args can supply the others."""
    return {name: value for name, value in arguments.items() if value is not None}
