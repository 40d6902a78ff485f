from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException
from airflow.sdk import DAG, BaseOperator, TaskGroup, TriggerRule, task, task_group
from plugins.airflow_versions import AIRFLOW, dag_serialization
from plugins.dag_runs import DagRunResult

from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.task_groups.exchange_group import ExchangeGroupTaskGroup

Run = Callable[..., DagRunResult]


class Job(BaseOperator):
    """Return the exchange group it was given; skip the groups in ``disabled``, fail for those in ``broken``."""

    template_fields = ("exchange_group",)

    def __init__(self, *, exchange_group: Any, disabled: tuple[str, ...] = (), broken: tuple[str, ...] = (), **kwargs):
        super().__init__(**kwargs)
        self.exchange_group = exchange_group
        self.disabled = disabled
        self.broken = broken

    def execute(self, context):
        if self.exchange_group in self.disabled:
            raise AirflowSkipException("switched off")
        if self.exchange_group in self.broken:
            raise AirflowException("broken")
        return self.exchange_group


@dataclass
class Store:
    """A database with three enabled exchange groups, and the changes that the tests make in it."""

    database: Any

    def disable(self, *names: str) -> None:
        self.database.execute(
            "UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = ANY(%s)", [list(names)]
        )

    def add(self, name: str, priority: int) -> None:
        self.database.execute(
            "INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges, priority) "
            "VALUES (%s, %s, ARRAY[%s], %s)",
            [name, name, name.upper(), priority],
        )

    def set_priority(self, name: str, priority: int) -> None:
        self.database.execute("UPDATE financial_screener.exchange_groups SET priority = %s WHERE group_name = %s", [priority, name])


@pytest.fixture
def store(migrated_database: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.airflow_connection().get_uri())
    store = Store(migrated_database)
    store.disable("european_markets")
    return store


def new_dag(dag_id: str = "grouped", **kwargs: Any) -> DAG:
    return DAG(dag_id, schedule=None, start_date=pendulum.datetime(2025, 1, 1), **kwargs)


def single(**job: Any) -> DAG:
    with new_dag() as dag, ExchangeGroupTaskGroup(group_id="collect") as group:
        Job(task_id="run", exchange_group=group.exchange_group, **job)
    return dag


def chain(**job: Any) -> DAG:
    with new_dag() as dag:
        with ExchangeGroupTaskGroup(group_id="collect") as group:

            @task
            def check(name: str) -> str:
                return f"checked {name}"

            Job(task_id="run", exchange_group=group.exchange_group, **job) >> check(group.exchange_group)
        group >> Job(task_id="after", exchange_group="all", trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    return dag


def test_each_group_gets_its_instance_in_order_of_priority(store: Store, run_dag: Run) -> None:
    run = run_dag(single())
    assert run.state == "success"
    assert run.xcoms("collect.run") == ["us_markets", "lse", "german_markets"]


def test_the_grid_shows_the_groups_names_for_every_kind_of_task(store: Store, run_dag: Run) -> None:
    run = run_dag(chain())
    assert run.labels("collect.run") == ["us_markets", "lse", "german_markets"]
    assert run.labels("collect.check") == ["us_markets", "lse", "german_markets"]


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="Airflow 3.1 takes the name when the task has ended")
def test_the_grid_shows_the_name_while_the_task_runs(store: Store, run_dag: Run) -> None:
    with new_dag() as dag, ExchangeGroupTaskGroup(group_id="collect"):

        @task
        def look(ti: Any = None) -> str:
            return ti.rendered_map_index

        look()
    assert run_dag(dag).xcoms("collect.look") == ["us_markets", "lse", "german_markets"]


def test_the_grid_shows_the_name_of_a_failed_instance(store: Store, run_dag: Run) -> None:
    assert run_dag(single(broken=("lse",))).labels("collect.run")[1] == "lse"


def test_the_grid_shows_the_name_of_an_instance_that_ends_while_its_templates_are_rendered(store: Store, run_dag: Run) -> None:
    class SkippedEarly(Job):
        def render_template_fields(self, context, jinja_env=None):
            super().render_template_fields(context, jinja_env)
            raise AirflowSkipException("switched off")

    with new_dag() as dag, ExchangeGroupTaskGroup(group_id="collect") as group:
        SkippedEarly(task_id="run", exchange_group=group.exchange_group)
    run = run_dag(dag)
    assert run.states("collect.run") == ["skipped"] * 3
    assert run.labels("collect.run") == ["us_markets", "lse", "german_markets"]


def test_a_label_of_the_tasks_own_is_kept(store: Store, run_dag: Run) -> None:
    run = run_dag(single(map_index_template="number {{ ti.map_index }}"))
    assert run.labels("collect.run") == ["number 0", "number 1", "number 2"]


def test_a_new_a_changed_and_a_removed_group_take_part_in_the_next_run(store: Store, run_dag: Run) -> None:
    dag = single()
    run_dag(dag)
    store.add("asian_markets", priority=6)
    store.set_priority("german_markets", 10)
    store.disable("us_markets")
    run = run_dag(dag)
    assert run.xcoms("collect.run") == ["german_markets", "lse", "asian_markets"]
    assert run.labels("collect.run") == ["german_markets", "lse", "asian_markets"]


def test_a_skipped_task_skips_the_rest_of_its_own_instance_only(store: Store, run_dag: Run) -> None:
    run = run_dag(chain(disabled=("lse",)))
    assert run.states("collect.run") == ["success", "skipped", "success"]
    assert run.states("collect.check") == ["success", "skipped", "success"]
    assert run.states("after") == ["success"]
    assert run.state == "success"


def test_a_failed_task_stops_its_own_instance_only(store: Store, run_dag: Run) -> None:
    run = run_dag(chain(broken=("us_markets",)))
    assert run.states("collect.run") == ["failed", "success", "success"]
    assert run.states("collect.check") == ["upstream_failed", "success", "success"]
    assert run.states("after") == ["upstream_failed"]
    assert run.state == "failed"


def test_without_an_enabled_group_everything_is_skipped_and_the_log_says_why(
    store: Store, run_dag: Run, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    store.disable("us_markets", "lse", "german_markets")
    run = run_dag(chain())
    assert run.state == "success"
    assert run.states("collect_exchange_groups") == ["success"]
    assert set(run.states("collect.run")) == set(run.states("collect.check")) == {"skipped"}
    assert run.states("after") == ["skipped"]
    assert "No exchange group is enabled" in "".join(capfd.readouterr()) + caplog.text


def test_what_is_upstream_of_the_group_is_upstream_of_its_list_too(store: Store, run_dag: Run) -> None:
    with new_dag() as dag:
        before = Job(task_id="before", exchange_group="all", disabled=("all",))
        with ExchangeGroupTaskGroup(group_id="collect") as group:
            Job(task_id="run", exchange_group=group.exchange_group)
        before >> group
    run = run_dag(dag)
    assert run.states("collect_exchange_groups") == ["skipped"]
    assert run.states("collect.run") == ["skipped"]


def test_tasks_of_a_plain_group_inside_take_part(store: Store, run_dag: Run) -> None:
    with new_dag() as dag, ExchangeGroupTaskGroup(group_id="collect") as group, TaskGroup("inner"):
        Job(task_id="run", exchange_group=group.exchange_group)
    run = run_dag(dag)
    assert run.labels("collect.inner.run") == ["us_markets", "lse", "german_markets"]


def test_a_dag_may_have_several_groups(store: Store, run_dag: Run) -> None:
    with new_dag() as dag:
        for name in ("first", "second"):
            with ExchangeGroupTaskGroup(group_id=name) as group:
                Job(task_id="run", exchange_group=group.exchange_group)
    run = run_dag(dag)
    assert run.xcoms("first.run") == run.xcoms("second.run") == ["us_markets", "lse", "german_markets"]


@pytest.mark.parametrize(
    ("arguments", "task_ids"),
    [
        pytest.param({}, {"outer.collect_exchange_groups", "outer.collect.run"}, id="prefixed"),
        pytest.param({"prefix_group_id": False}, {"outer.collect_exchange_groups", "run"}, id="own prefix off"),
        pytest.param({"list_task_id": "groups"}, {"outer.groups", "outer.collect.run"}, id="list task's id"),
    ],
)
def test_task_ids_follow_the_groups_prefixes(arguments: dict[str, Any], task_ids: set[str]) -> None:
    with new_dag() as dag, TaskGroup("outer"), ExchangeGroupTaskGroup("collect", **arguments) as group:
        Job(task_id="run", exchange_group=group.exchange_group)
    assert set(dag.task_ids) == task_ids


def test_a_second_group_of_the_same_id_may_take_a_suffix() -> None:
    with new_dag() as dag:
        for _ in range(2):
            with ExchangeGroupTaskGroup("collect", add_suffix_on_collision=True) as group:
                Job(task_id="run", exchange_group=group.exchange_group)
    assert {"collect.run", "collect__1.run", "collect__1_exchange_groups"} <= set(dag.task_ids)


def test_the_list_task_is_tried_again_though_it_has_no_row() -> None:
    with new_dag(), ExchangeGroupTaskGroup("collect") as group:
        Job(task_id="run", exchange_group=group.exchange_group)
    assert (group.list_task.retries, group.list_task.retry_delay) == (3, timedelta(minutes=1))


def test_the_list_task_has_the_dags_and_the_groups_defaults() -> None:
    with (
        new_dag(default_args={"retries": 4, "owner": "screener"}),
        ExchangeGroupTaskGroup("collect", default_args={"retries": 1, "postgres_conn_id": "store"}) as group,
    ):
        Job(task_id="run", exchange_group=group.exchange_group)
    assert (group.list_task.retries, group.list_task.owner) == (1, "screener")
    assert group.list_task.postgres_conn_id == "store"


def test_the_store_given_to_the_group_goes_before_its_defaults() -> None:
    with (
        new_dag(default_args={"postgres_conn_id": "default"}),
        ExchangeGroupTaskGroup("collect", postgres_conn_id="store", config_schema="jobs") as group,
    ):
        Job(task_id="run", exchange_group=group.exchange_group)
    assert (group.list_task.postgres_conn_id, group.list_task.config_schema) == ("store", "jobs")


def test_the_configured_operators_in_the_group_read_the_same_store_unless_they_name_another() -> None:
    with new_dag(), ExchangeGroupTaskGroup("collect", postgres_conn_id="store", config_schema="jobs") as group:
        same = ConfiguredKubectlRunOperator(task_id="same", image="busybox", exchange_group=group.exchange_group)
        other = ConfiguredKubectlRunOperator(
            task_id="other",
            image="busybox",
            exchange_group=group.exchange_group,
            postgres_conn_id="elsewhere",
            config_schema="mine",
        )
    assert (same.postgres_conn_id, same.config_schema) == ("store", "jobs")
    assert (other.postgres_conn_id, other.config_schema) == ("elsewhere", "mine")


def test_a_dag_with_a_group_survives_serialization() -> None:
    dag = chain()
    restored = dag_serialization().from_dict(json.loads(json.dumps(dag_serialization().to_dict(dag))))
    group = restored.task_group.children["collect"]
    assert {ref.task_id for ref, _ in group._expand_input.iter_references()} == {"collect_exchange_groups"}
    for task_id in ("collect.run", "collect.check"):
        assert restored.get_task(task_id).upstream_task_ids == dag.get_task(task_id).upstream_task_ids
        assert restored.get_task(task_id).get_closest_mapped_task_group() is group


def test_a_group_inside_a_mapped_group_is_refused_with_a_remedy() -> None:
    @task_group
    def outer(number: int) -> None:
        ExchangeGroupTaskGroup("collect")

    with new_dag(), pytest.raises(ValueError, match=r"'outer.collect' is inside the mapped task group 'outer'"):
        outer.expand(number=[1, 2])


def test_a_mapped_group_inside_is_refused_with_a_remedy() -> None:
    @task_group
    def inner(number: int) -> None:
        Job(task_id="run", exchange_group=number)

    def build() -> None:
        with new_dag(), ExchangeGroupTaskGroup("collect"):
            inner.expand(number=[1, 2])

    with pytest.raises(ValueError, match=r"'collect.inner' is inside ExchangeGroupTaskGroup 'collect'"):
        build()


def test_the_trigger_rule_always_is_refused_with_a_remedy() -> None:
    def build() -> None:
        with new_dag(), ExchangeGroupTaskGroup("collect") as group:
            Job(task_id="run", exchange_group=group.exchange_group, trigger_rule="always")

    with pytest.raises(ValueError, match=r"'collect.run' .* trigger rule 'always'.* Use 'all_done'"):
        build()


def test_an_error_in_the_body_is_not_hidden() -> None:
    def build() -> None:
        with new_dag(), ExchangeGroupTaskGroup("collect") as group:
            Job(task_id="run", exchange_group=group.exchange_group, trigger_rule="always")
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        build()
