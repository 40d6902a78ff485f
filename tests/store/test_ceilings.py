"""Ceilings as the store reads and sets them, and what of a job nothing but a task can hold to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from plugins.postgres import Database, Server, new_database

from airflow_provider_dagconfig.exceptions import (
    DagConfigCeilingError,
    DagConfigConflictError,
    DagConfigError,
    DagConfigInvalidError,
    DagConfigNotAllowedError,
    DagConfigNotFoundError,
)
from airflow_provider_dagconfig.models import Quantity
from airflow_provider_dagconfig.store import Store
from airflow_provider_dagconfig.store.migrate import migrate

DAG = "data_collection_equities"


class TestTheStore:
    @pytest.fixture
    def store(self, migrated_database: Database) -> Store:
        return Store.from_url(migrated_database.url)

    def test_it_sets_reads_and_removes_them(self, store: Store) -> None:
        done = store.set_ceiling("memory", Quantity.parse("64Gi"), updated_by="ann", reason="budget")
        assert (done.value, done.set_by, done.reason, done.dag_name, done.not_valid) == ("64Gi", "ann", "budget", None, False)
        own = store.set_ceiling("max_retries", 3, DAG, updated_by="bob")
        assert str(own).startswith(f"max_retries = 3 of DAG {DAG}, set by bob at 20")
        assert store.get_ceilings() == store.get_ceilings(DAG) == [done, own]
        assert store.get_ceilings("calculate_indicators") == [done]
        assert [entry.subject for entry in store.get_history(limit=2)] == [
            f"ceiling max_retries of DAG {DAG}",
            "ceiling memory of all DAGs",
        ]

        store.remove_ceiling("max_retries", DAG, updated_by="bob", reason="no need")
        assert store.get_ceilings() == [done]
        with pytest.raises(DagConfigNotFoundError, match=f"there is no ceiling max_retries of DAG {DAG}"):
            store.remove_ceiling("max_retries", DAG)
        assert store.get_history(limit=1)[0].reason == "no need"

    @pytest.mark.parametrize(
        "change",
        [
            lambda store: store.update_dag_config(DAG, "lse", memory_limit="65Gi"),
            lambda store: store.update_dag_config(DAG, "lze", memory_limit="65Gi"),
            lambda store: store.override_dag_config(DAG, "lse", for_="2h", reason="why", memory_limit="65Gi"),
        ],
        ids=["update_dag_config", "a new row", "override_dag_config"],
    )
    def test_a_change_above_one_is_an_error_of_its_kind(self, store: Store, change: Any) -> None:
        store.set_ceiling("memory", "64Gi", updated_by="ann")
        with pytest.raises(DagConfigCeilingError) as error:
            change(store)
        assert isinstance(error.value, DagConfigInvalidError)
        assert "is above the ceiling memory = 64Gi of all DAGs, set by ann at " in str(error.value)
        assert str(error.value).endswith("may raise it: SELECT financial_screener.set_ceiling('memory', '65Gi');")

    def test_one_below_what_is_in_force_is_a_conflict_with_the_list(self, store: Store) -> None:
        with pytest.raises(
            DagConfigConflictError, match="is below what is in force: calculate_indicators/all cpu_limit 4000m"
        ) as error:
            store.set_ceiling("cpu", "3")
        assert error.value.detail["above"] == [
            {
                "dag_name": "calculate_indicators",
                "job_name": "all",
                "override_id": None,
                "column_name": "cpu_limit",
                "value": "4000m",
            }
        ]
        assert store.get_ceilings() == store.get_ceiling_violations() == []

        bound = store.set_ceiling("cpu", "3", not_valid=True)
        [found] = store.get_ceiling_violations()
        assert (found.subject, found.column_name, found.value, found.ceiling) == (
            "calculate_indicators/all",
            "cpu_limit",
            "4000m",
            bound,
        )
        assert store.get_dag_config("calculate_indicators").cpu_limit.text == "4000m"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("mem", "1Gi"), "There is no ceiling 'mem'. Did you mean 'memory'? There are: cpu, memory,"),
            (("memory", "64 GB"), "the ceiling memory of all DAGs: '64 GB' is no Kubernetes quantity; write 64G or 64Gi"),
            (("max_retries", 11, DAG), f"the ceiling max_retries of DAG {DAG}: 11 must be a whole number from 0 to 10"),
            (("cpu", "4", "x" * 101), "has 101 characters; write 100 at most"),
            (("memory", f"{'0' * 20}1Gi"), "value '000000000000000000001Gi' has 23 characters; write 20 at most"),
            (("cpu", "4", " x"), "dag_name ' x' of the ceiling cpu must be a name without blanks around it"),
        ],
    )
    def test_invalid_values_are_refused(self, store: Store, arguments: tuple[Any, ...], message: str) -> None:
        with pytest.raises(DagConfigInvalidError) as error:
            store.set_ceiling(*arguments)
        assert message in str(error.value)

    def test_an_editor_is_told_who_may_set_ceilings(self, migrated_database: Database) -> None:
        with migrated_database.role("dagconfig_editor") as editor:
            store = Store.from_url(migrated_database.url_of(editor))
            changes: list[Any] = [lambda: store.set_ceiling("memory", "64Gi"), lambda: store.remove_ceiling("memory")]
            for change in changes:
                with pytest.raises(DagConfigNotAllowedError) as error:
                    change()
                assert "Only the owner of the tables may set and remove ceilings" in str(error.value)
                assert "GRANT" not in str(error.value)
            assert store.get_ceilings() == store.get_ceiling_violations() == []

    def test_a_store_without_them_is_told_with_the_command_that_makes_it(self, postgres: Server) -> None:
        with new_database(postgres) as database:
            migrate(database.url, to=15)
            store = Store.from_url(database.url)
            reads: list[Any] = [store.get_ceilings, lambda: store.get_task_config(DAG, "lse", None)]
            for read in reads:
                with pytest.raises(DagConfigError, match="airflow dagconfig migrate"):
                    read()


@pytest.fixture(scope="module")
def bounded(postgres: Server) -> Iterator[Store]:
    """All DAGs have 4Gi, one without a row a shorter timeout than the default; a job and a group are switched off."""
    with new_database(postgres) as database:
        migrate(database.url)
        store = Store.from_url(database.url)
        store.set_ceiling("memory", "4Gi", updated_by="ann", reason="budget")
        store.set_ceiling("timeout_seconds", 300, "short", updated_by="bob")
        store.update_dag_config(DAG, "german_markets", enabled=False)
        store.update_exchange_group("european_markets", enabled=False)
        yield store


class TestATask:
    """The values of a run's conf, and the defaults, are compared with the ceilings when they are read."""

    def test_a_run_may_set_what_is_not_above_one(self, bounded: Store) -> None:
        run = {"memory_limit": "4096Mi", "timeout_seconds": 604_800, "max_retries": 10}
        assert bounded.get_task_config(DAG, "lse", "lse", run)[0].memory_limit.text == "4096Mi"

    @pytest.mark.parametrize("job", ["lse", "no_row"])
    def test_a_run_may_not_set_more(self, bounded: Store, job: str) -> None:
        with pytest.raises(DagConfigCeilingError) as error:
            bounded.get_task_config(DAG, job, None, {"memory_limit": "4097Mi"})
        assert f"The dag run's conf sets too much for {DAG}/{job}: memory_limit '4097Mi' is above the ceiling" in str(error.value)
        assert "memory = 4Gi of all DAGs, set by ann at 20" in str(error.value)

    def test_nothing_fails_a_job_or_a_group_that_is_switched_off(self, bounded: Store) -> None:
        assert not bounded.get_task_config(DAG, "german_markets", None, {"memory_limit": "1Ti"})[0].enabled
        assert bounded.get_task_config(DAG, "european_markets", "european_markets", {"memory_limit": "1Ti"})[1] is not None

    def test_a_job_without_a_row_whose_defaults_are_above_one_cannot_run(self, bounded: Store) -> None:
        with pytest.raises(DagConfigCeilingError, match="timeout_seconds '600', the default, is above the ceiling") as error:
            bounded.get_dag_config("short")
        assert "--create" in str(error.value)
        assert "is above the ceiling" in (bounded.get_dag_config_row("short").problem or "")
        assert bounded.update_dag_config("short", timeout_seconds=300).timeout_seconds == 300
