"""The hook's changes on a real database: whole or not at all, attributed, based on a version, reversible, for a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from plugins.postgres import Database

from airflow_provider_dagconfig.exceptions import (
    DagConfigConflictError,
    DagConfigInvalidError,
    DagConfigNotAllowedError,
    DagConfigNotFoundError,
    DagConfigStaleError,
)
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.models import OVERRIDE_COLUMNS, ExchangeGroup

JOB = ("data_collection_equities", "lse")
NAIVE = datetime(2026, 11, 24, 6)


def now() -> datetime:
    return datetime.now(timezone.utc)


class TestJobs:
    def test_every_column_can_be_changed_with_who_and_why(self, hook: DagConfigHook) -> None:
        config = hook.update_dag_config(
            *JOB,
            cpu_request="1",
            cpu_limit="3",
            memory_request="3Gi",
            memory_limit="4Gi",
            batch_size=7,
            timeout_seconds=77,
            max_retries=0,
            retry_delay_minutes=0,
            retry_backoff_enabled=False,
            enabled=False,
            priority=1,
            description="London",
            memory_growth=1.5,
            memory_growth_limit="16Gi",
            updated_by="ann",
            reason="new feed",
        )

        assert config == hook.get_dag_config(*JOB)
        assert (config.cpu_request.text, config.cpu_limit.text, config.memory_request.text) == ("1", "3", "3Gi")
        assert (config.memory_limit.text, config.batch_size, config.timeout_seconds) == ("4Gi", 7, 77)
        assert (config.max_retries, config.retry_delay_minutes, config.retry_backoff_enabled) == (0, 0, False)
        assert (config.enabled, config.priority, config.description) == (False, 1, "London")
        assert (config.memory_growth, str(config.memory_growth_limit)) == (Decimal("1.5"), "16Gi")
        assert config.disabled_change == config.change
        assert config.change is not None
        assert (config.change.changed_by, config.change.reason, config.version) == ("ann", "new feed", 2)

    def test_an_empty_description_removes_it(self, hook: DagConfigHook) -> None:
        assert hook.update_dag_config(*JOB, description="").description is None

    def test_an_empty_text_removes_the_growth_of_memory_and_its_limit(self, hook: DagConfigHook) -> None:
        hook.update_dag_config(*JOB, memory_growth=Decimal("2.50"), memory_growth_limit="8Gi")
        [entry] = hook.get_history(*JOB, limit=1)
        assert entry.differences() == {"memory_growth": (None, 2.5), "memory_growth_limit": (None, "8Gi")}

        config = hook.update_dag_config(*JOB, memory_growth="", memory_growth_limit="")

        assert (config.memory_growth, config.memory_growth_limit) == (None, None)

    @pytest.mark.parametrize("factor", [0, Decimal("0.00"), 1, 1.05, "1.005", 10.01, "NaN"])
    def test_an_invalid_factor_is_refused(self, hook: DagConfigHook, factor: Any) -> None:
        with pytest.raises(DagConfigInvalidError, match=r"memory_growth '.*' of data_collection_equities/lse must be a"):
            hook.update_dag_config(*JOB, memory_growth=factor)

    def test_a_change_that_changes_nothing_is_not_recorded(self, hook: DagConfigHook) -> None:
        before = hook.get_dag_config(*JOB)

        assert hook.update_dag_config(*JOB, batch_size=before.batch_size, updated_by="ann") == before

    def test_a_deleted_row_leaves_the_defaults(self, hook: DagConfigHook) -> None:
        hook.delete_dag_config(*JOB, updated_by="ann", reason="moved")

        assert hook.get_dag_config(*JOB).origin.startswith("defaults: ")
        [entry] = hook.get_history(*JOB, limit=1)
        assert (entry.operation, entry.changed_by, entry.reason) == ("DELETE", "ann", "moved")

    def test_a_row_that_is_not_there_cannot_be_deleted(self, hook: DagConfigHook) -> None:
        with pytest.raises(DagConfigNotFoundError, match="there is no row for data_collection_equities/lze"):
            hook.delete_dag_config("data_collection_equities", "lze")

    def test_a_broken_row_can_be_disabled_at_night_whatever_else_is_wrong(
        self, hook: DagConfigHook, break_rule: Callable[[str, str, str], None]
    ) -> None:
        break_rule("dag_configuration", "memory_limit", "'2 GB'")

        assert not hook.update_dag_config(*JOB, enabled=False).enabled

    def test_a_change_that_leaves_the_row_unusable_changes_nothing(
        self, hook: DagConfigHook, break_rule: Callable[[str, str, str], None]
    ) -> None:
        break_rule("dag_configuration", "memory_limit", "'2 GB'")

        with pytest.raises(DagConfigInvalidError, match="memory_limit '2 GB' of data_collection_equities/lse is no"):
            hook.update_dag_config(*JOB, batch_size=7)

        assert hook.get_dag_config_row(*JOB).values["batch_size"] == 500


class TestVersions:
    def test_each_change_raises_the_version_by_one(self, hook: DagConfigHook) -> None:
        assert [hook.update_dag_config(*JOB, batch_size=size).version for size in (1, 2, 2, 3)] == [2, 3, 3, 4]

    def test_a_change_based_on_the_present_version_is_made(self, hook: DagConfigHook) -> None:
        assert hook.update_dag_config(*JOB, batch_size=7, expected_version=1).batch_size == 7

    @pytest.mark.parametrize(
        "act",
        [
            lambda hook: hook.update_dag_config(*JOB, batch_size=9, expected_version=1),
            lambda hook: hook.delete_dag_config(*JOB, expected_version=1),
            lambda hook: hook.rollback_dag_config(*JOB, now(), expected_version=1),
        ],
        ids=["update", "delete", "roll-back"],
    )
    def test_a_change_based_on_an_earlier_version_is_refused(
        self, hook: DagConfigHook, act: Callable[[DagConfigHook], object]
    ) -> None:
        hook.update_dag_config(*JOB, batch_size=7)

        with pytest.raises(DagConfigStaleError, match="is at version 2, and the change is based on version 1") as error:
            act(hook)

        assert (error.value.expected_version, error.value.current_version) == (1, 2)
        assert "{" not in str(error.value)
        assert hook.get_dag_config(*JOB).batch_size == 7

    def test_version_0_creates_a_row_and_changes_no_existing_one(self, hook: DagConfigHook) -> None:
        assert hook.update_dag_config("new_dag", expected_version=0).version == 1
        with pytest.raises(DagConfigStaleError, match="is there already"):
            hook.update_dag_config("new_dag", expected_version=0)

    def test_a_row_that_has_gone_has_no_version(self, hook: DagConfigHook) -> None:
        hook.delete_dag_config(*JOB)

        with pytest.raises(DagConfigStaleError, match="is no longer there") as error:
            hook.update_dag_config(*JOB, batch_size=7, expected_version=1)

        assert error.value.current_version is None

    def test_of_two_who_change_the_same_version_one_is_told(self, hook: DagConfigHook, migrated_database: Database) -> None:
        results: list[object] = []
        start = threading.Barrier(2)

        def change(size: int) -> None:
            own = DagConfigHook.from_url(migrated_database.url)
            start.wait()
            try:
                results.append(own.update_dag_config(*JOB, batch_size=size, expected_version=1).batch_size)
            except DagConfigStaleError:
                results.append("stale")

        threads = [threading.Thread(target=change, args=(size,)) for size in (7, 8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert results.count("stale") == 1
        assert hook.get_dag_config(*JOB).batch_size in results


class TestGroups:
    def test_a_group_is_added_with_its_exchanges_alone(self, hook: DagConfigHook) -> None:
        group = hook.update_exchange_group("asian_markets", exchanges=("TSE", "HKEX"), updated_by="ann", reason="new market")

        assert group == ExchangeGroup("asian_markets", "asian_markets", ("TSE", "HKEX"), version=1)
        [entry] = hook.get_history(group_name="asian_markets")
        assert (entry.subject, entry.changed_by, entry.reason) == ("exchange group asian_markets", "ann", "new market")

    def test_every_column_can_be_changed(self, hook: DagConfigHook) -> None:
        group = hook.update_exchange_group(
            "lse",
            display_name="London",
            exchanges=["LSE", "AIM"],
            primary_timezone="UTC",
            market_open_utc=time(8),
            market_close_utc=time(16, 30),
            enabled=False,
            priority=2,
            description="both",
        )

        assert group == hook.get_exchange_group("lse")
        assert group == ExchangeGroup("lse", "London", ("LSE", "AIM"), "UTC", time(8), time(16, 30), False, 2, "both", 2)

    @pytest.mark.parametrize(
        ("values", "complaint"),
        [
            ({"exchanges": []}, "must be a list of 1 to 500 exchange codes"),
            ({"exchanges": ["LSE", "LSE"]}, "each once"),
            ({"exchanges": [" LSE"]}, "without blanks"),
            ({"primary_timezone": "Europe/Londn"}, "a time zone that pg_timezone_names has"),
            ({"priority": 11}, "from 1 to 10"),
        ],
        ids=str,
    )
    def test_a_value_that_breaks_a_rule_changes_nothing(
        self, hook: DagConfigHook, values: dict[str, object], complaint: str
    ) -> None:
        before = hook.get_exchange_group("lse")

        with pytest.raises(DagConfigInvalidError, match=complaint):
            hook.update_exchange_group("lse", **values)  # type: ignore[arg-type]

        assert hook.get_exchange_group("lse") == before

    def test_a_deleted_group_is_gone(self, hook: DagConfigHook) -> None:
        hook.delete_exchange_group("lse", expected_version=1)

        with pytest.raises(DagConfigNotFoundError):
            hook.get_exchange_group("lse")
        with pytest.raises(DagConfigNotFoundError, match="there is no exchange group lse"):
            hook.delete_exchange_group("lse")


class TestOverrides:
    def test_an_override_sets_its_values_and_no_others(self, hook: DagConfigHook) -> None:
        before = hook.get_dag_config(*JOB)

        override = hook.override_dag_config(*JOB, for_="2h", reason="backfill", memory_limit="8Gi", updated_by="ann")

        assert (override.values, override.reason, override.created_by) == ({"memory_limit": "8Gi"}, "backfill", "ann")
        assert (override.active, override.ends_at - override.starts_at) == (True, timedelta(hours=2))
        assert hook.get_overrides(*JOB) == hook.get_overrides() == [override]
        config = hook.get_dag_config(*JOB)
        assert (config.memory_limit.text, config.batch_size) == ("8Gi", before.batch_size)
        assert config.change is not None
        assert (config.change.changed_by, config.change.reason) == ("ann", "backfill")

    def test_all_its_columns_can_be_overridden(self, hook: DagConfigHook) -> None:
        values = {
            "cpu_request": "1",
            "cpu_limit": "3",
            "memory_request": "3Gi",
            "memory_limit": "4Gi",
            "batch_size": 7,
            "timeout_seconds": 77,
            "max_retries": 0,
            "retry_delay_minutes": 0,
            "retry_backoff_enabled": False,
            "enabled": False,
            "priority": 1,
            "memory_growth": 1.1,
            "memory_growth_limit": "16Gi",
        }
        override = hook.override_dag_config(*JOB, for_=timedelta(days=1), reason="all", **values)

        assert override.values == values
        assert set(values) == set(OVERRIDE_COLUMNS)

    def test_it_ends_by_itself(self, hook: DagConfigHook, migrated_database: Database) -> None:
        hook.override_dag_config(*JOB, for_="1s", reason="short", batch_size=7)
        assert hook.get_dag_config(*JOB).batch_size == 7

        migrated_database.execute("SELECT pg_sleep(1.1)")

        assert hook.get_dag_config(*JOB).batch_size == 500
        assert hook.get_overrides() == []
        [ended] = hook.get_overrides(active_only=False)
        assert (ended.state, ended.ended_at) == ("ended", None)

    def test_it_may_be_planned(self, hook: DagConfigHook) -> None:
        begins = now() + timedelta(hours=1)

        override = hook.override_dag_config(*JOB, starts_at=begins, for_="30m", reason="month's end", batch_size=7)

        assert (override.state, override.starts_at, override.ends_at) == ("planned", begins, begins + timedelta(minutes=30))
        assert hook.get_dag_config(*JOB).batch_size == 500

    def test_it_can_be_ended_before_its_time_and_only_once(self, hook: DagConfigHook) -> None:
        override = hook.override_dag_config(*JOB, for_="2h", reason="backfill", batch_size=7)

        ended = hook.end_override(override.override_id, updated_by="bob", reason="done")

        assert ended.state == "ended"
        assert ended.ended_at is not None
        assert hook.get_dag_config(*JOB).batch_size == 500
        [entry] = hook.get_history(*JOB, limit=1)
        assert (entry.override_id, entry.changed_by, entry.reason) == (override.override_id, "bob", "done")
        with pytest.raises(DagConfigConflictError, match="has ended already"):
            hook.end_override(override.override_id)

    def test_the_newest_wins_value_by_value(self, hook: DagConfigHook) -> None:
        first = hook.override_dag_config(*JOB, for_="2h", reason="first", batch_size=7, max_retries=0)
        second = hook.override_dag_config(*JOB, for_="1h", reason="second", batch_size=8)

        config = hook.get_dag_config(*JOB)

        assert (config.batch_size, config.max_retries) == (8, 0)
        assert config.overrides == (second, first)

    def test_a_job_that_is_switched_off_for_a_time_says_who_did(self, hook: DagConfigHook) -> None:
        hook.update_dag_config(*JOB, enabled=False, updated_by="ann")
        hook.update_dag_config(*JOB, enabled=True, updated_by="ann")
        hook.override_dag_config(*JOB, for_="2h", reason="feed is down", enabled=False, updated_by="bob")
        hook.update_dag_config(*JOB, batch_size=7, updated_by="cid")

        config = hook.get_dag_config(*JOB)

        assert not config.enabled
        assert config.disabled_change is not None
        assert (config.disabled_change.changed_by, config.disabled_change.reason) == ("bob", "feed is down")

    def test_a_job_without_a_row_is_given_one_first(self, hook: DagConfigHook, migrated_database: Database) -> None:
        def override() -> object:
            return hook.override_dag_config("data_collection_equities", "lze", for_="2h", reason="trial", batch_size=7)

        with pytest.raises(DagConfigNotFoundError, match="there is no row for data_collection_equities/lze to be over") as error:
            override()

        migrated_database.execute(str(error.value).partition("with the default values: ")[2])
        assert override()

    def test_it_outlives_its_row(self, hook: DagConfigHook) -> None:
        override = hook.override_dag_config(*JOB, for_="2h", reason="trial", batch_size=7)
        hook.delete_dag_config(*JOB)

        config = hook.get_dag_config(*JOB)

        assert (config.batch_size, config.version, config.sources["batch_size"]) == (7, None, override.source)
        assert (
            config.origin
            == f"defaults: no row for data_collection_equities/lse in financial_screener.dag_configuration; {override}"
        )
        assert (JOB, None) in [((job.dag_name, job.job_name), job.row) for job in hook.get_dag_configs()]

    def test_a_statement_for_an_overridden_value_is_heard(self, hook: DagConfigHook, migrated_database: Database) -> None:
        hook.override_dag_config(*JOB, for_="2h", reason="feed's change", memory_limit="3Gi")

        migrated_database.execute(hook.get_dag_config(*JOB).update_statement("memory_limit", "6Gi"))

        assert hook.get_dag_config(*JOB).memory_limit.text == "6Gi"
        assert len({override.ends_at for override in hook.get_overrides()}) == 1

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ({}, "An override needs an end"),
            ({"until": NAIVE, "for_": "2h"}, "An override needs an end"),
            ({"for_": "2 moons"}, "for_ '2 moons' is no duration; write a number with s, m"),
            ({"for_": timedelta(0)}, "must be a moment after its start"),
            ({"until": datetime(2020, 1, 1, tzinfo=timezone.utc)}, "must be a moment after its start and after now"),
            ({"until": NAIVE}, "until 2026-11-24 06:00:00 has no time zone"),
            ({"for_": "2h", "starts_at": NAIVE}, "starts_at 2026-11-24 06:00:00 has no time zone"),
            ({"for_": timedelta.max}, "for_ 999999999 days.* ends after the last year that can be written"),
            ({"for_": "2h", "reason": " "}, "reason ' ' of the override of .* must be a text"),
            ({"for_": "2h", "batch_size": None}, "data_collection_equities/lse"),
            ({"for_": "2h", "batch_size": -1}, "batch_size '-1' of .* must be a whole number from 1 to 1000000"),
            ({"for_": "2h", "memory_limit": "512Mi"}, r"memory_request '1Gi' of .*must be no more than memory_limit \('512Mi'\)"),
        ],
        ids=str,
    )
    def test_an_invalid_override_is_refused_and_leaves_nothing(
        self, hook: DagConfigHook, arguments: dict[str, object], complaint: str
    ) -> None:
        with pytest.raises(DagConfigInvalidError, match=complaint):
            hook.override_dag_config(*JOB, **{"reason": "test", "batch_size": 7, **arguments})  # type: ignore[arg-type]

        assert hook.get_overrides(active_only=False) == []

    def test_a_missing_override_cannot_be_ended_or_read(self, hook: DagConfigHook) -> None:
        for act in (hook.end_override, hook.get_override):
            with pytest.raises(DagConfigNotFoundError, match=r"(?i)there is no override 99"):
                act(99)


def test_what_was_changed_meanwhile_and_cannot_be_seen_is_said_so(migrated_database: Database) -> None:
    hook = DagConfigHook.from_url(f"{migrated_database.url}?options=-c%20default_transaction_isolation%3Dserializable")
    with hook.transaction():
        hook.get_dag_config(*JOB)
        DagConfigHook.from_url(migrated_database.url).update_dag_config(*JOB, batch_size=7)

        with pytest.raises(DagConfigConflictError, match=r"at the same time.*Nothing was changed; try it again"):
            hook.update_dag_config(*JOB, batch_size=8)


class TestRollBack:
    def test_one_change_is_undone_by_a_change(self, hook: DagConfigHook) -> None:
        config = hook.update_dag_config(*JOB, memory_limit="4Gi", updated_by="ann")
        hook.update_dag_config(*JOB, batch_size=7)
        assert config.change is not None

        entry = hook.rollback_change(config.change.audit_id, updated_by="bob", reason="OOM")

        assert entry.differences() == {"memory_limit": ("4Gi", "2Gi")}
        assert (entry.changed_by, entry.reason, entry.row_version) == ("bob", "OOM", 4)
        now_ = hook.get_dag_config(*JOB)
        assert (now_.memory_limit.text, now_.batch_size) == ("2Gi", 7)

    def test_a_later_change_of_the_same_column_is_never_overwritten(self, hook: DagConfigHook) -> None:
        first = hook.update_dag_config(*JOB, memory_limit="4Gi").change
        second = hook.update_dag_config(*JOB, memory_limit="6Gi").change
        assert first is not None
        assert second is not None

        with pytest.raises(DagConfigConflictError, match="memory_limit of data_collection_equities/lse changed again") as error:
            hook.rollback_change(first.audit_id)

        assert (error.value.detail["columns"], error.value.detail["entries"]) == (["memory_limit"], [second.audit_id])
        assert hook.get_dag_config(*JOB).memory_limit.text == "6Gi"

    def test_a_deleted_row_and_a_deleted_group_come_back(self, hook: DagConfigHook) -> None:
        config, group = hook.get_dag_config(*JOB), hook.get_exchange_group("lse")
        hook.delete_dag_config(*JOB)
        hook.delete_exchange_group("lse")

        for entry in hook.get_history(limit=2):
            assert hook.rollback_change(entry.audit_id).operation == "INSERT"

        assert hook.get_dag_config(*JOB).as_dict()["batch_size"] == config.batch_size
        assert hook.get_exchange_group("lse").exchanges == group.exchanges

    def test_an_override_that_is_rolled_back_is_ended(self, hook: DagConfigHook) -> None:
        hook.override_dag_config(*JOB, for_="2h", reason="backfill", batch_size=7)
        [made] = hook.get_history(*JOB, limit=1)

        entry = hook.rollback_change(made.audit_id)

        assert (entry.override_id, entry.operation) == (made.override_id, "UPDATE")
        assert hook.get_dag_config(*JOB).batch_size == 500

    def test_an_entry_that_is_not_there_cannot_be_rolled_back(self, hook: DagConfigHook) -> None:
        with pytest.raises(DagConfigNotFoundError, match="there is no entry 999 in the audit"):
            hook.rollback_change(999)

    def test_a_job_goes_back_to_a_moment_whatever_happened_since(self, hook: DagConfigHook) -> None:
        hook.update_dag_config(*JOB, memory_limit="4Gi", batch_size=7)
        moment = now()
        hook.update_dag_config(*JOB, memory_limit="6Gi")
        hook.update_dag_config(*JOB, enabled=False, batch_size=9)

        job = hook.rollback_dag_config(*JOB, moment, updated_by="bob", reason="OOM", expected_version=4)

        assert (job.values["memory_limit"], job.values["batch_size"], job.values["enabled"]) == ("4Gi", 7, True)
        assert job.version == 5
        assert job.change is not None
        assert (job.change.changed_by, job.change.reason) == ("bob", "OOM")

    def test_a_moment_without_a_row_or_without_a_zone_is_refused(self, hook: DagConfigHook) -> None:
        with pytest.raises(DagConfigNotFoundError, match="there was no row for data_collection_equities/lse"):
            hook.rollback_dag_config(*JOB, datetime(2020, 1, 1, tzinfo=timezone.utc))
        with pytest.raises(DagConfigInvalidError, match="moment 2026-11-24 06:00:00 has no time zone"):
            hook.rollback_dag_config(*JOB, NAIVE)


class TestTransaction:
    def test_all_of_it_happens(self, hook: DagConfigHook) -> None:
        with hook.transaction():
            hook.update_dag_config(*JOB, batch_size=7)
            with hook.transaction():
                hook.update_exchange_group("lse", priority=1)
            assert hook.get_dag_config(*JOB).batch_size == 7
            assert DagConfigHook().get_dag_config(*JOB).batch_size == 500

        assert (DagConfigHook().get_dag_config(*JOB).batch_size, hook.get_exchange_group("lse").priority) == (7, 1)

    def test_or_nothing(self, hook: DagConfigHook) -> None:
        def change_both() -> None:
            with hook.transaction():
                hook.update_dag_config(*JOB, batch_size=7)
                hook.update_exchange_group("lse", priority=11)

        with pytest.raises(DagConfigInvalidError):
            change_both()

        assert hook.get_dag_config(*JOB).batch_size == 500

    def test_the_hook_is_usable_after_one_that_failed(self, hook: DagConfigHook) -> None:
        with pytest.raises(ZeroDivisionError), hook.transaction():
            hook.update_dag_config(*JOB, batch_size=1 // 0)

        assert hook.update_dag_config(*JOB, batch_size=7).batch_size == 7


class TestRoles:
    def test_an_editor_may_make_every_change_and_each_is_theirs(
        self, migrated_database: Database, connect: Callable[..., DagConfigHook]
    ) -> None:
        with migrated_database.role("dagconfig_editor") as editor:
            hook = connect(migrated_database.url_of(editor))
            hook.update_dag_config(*JOB, batch_size=7)
            hook.end_override(hook.override_dag_config(*JOB, for_="2h", reason="test", batch_size=8).override_id)
            hook.rollback_dag_config(*JOB, now())
            hook.delete_dag_config(*JOB)
            hook.rollback_change(hook.get_history(*JOB, limit=1)[0].audit_id)
            hook.update_exchange_group("asian_markets", exchanges=["TSE"])
            hook.delete_exchange_group("asian_markets", updated_by="ann")

            entries = hook.get_history(limit=7)
            assert {entry.session_user_name for entry in entries} == {editor}
            assert [entry.changed_by for entry in entries] == ["ann", *[editor] * 6]

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda hook: hook.update_dag_config(*JOB, batch_size=7), id="update"),
            pytest.param(lambda hook: hook.delete_dag_config(*JOB), id="delete"),
            pytest.param(lambda hook: hook.override_dag_config(*JOB, for_="2h", reason="test", enabled=False), id="override"),
            pytest.param(lambda hook: hook.end_override(1), id="end an override"),
            pytest.param(lambda hook: hook.rollback_change(1), id="roll a change back"),
            pytest.param(lambda hook: hook.rollback_dag_config(*JOB, now()), id="roll a job back"),
            pytest.param(lambda hook: hook.update_exchange_group("lse", priority=1), id="update a group"),
            pytest.param(lambda hook: hook.delete_exchange_group("lse"), id="delete a group"),
        ],
    )
    def test_a_reader_may_make_none(
        self, migrated_database: Database, connect: Callable[..., DagConfigHook], change: Callable[[DagConfigHook], object]
    ) -> None:
        with migrated_database.role("dagconfig_reader") as reader:
            hook = connect(migrated_database.url_of(reader))
            with pytest.raises(DagConfigNotAllowedError, match="WITH ADMIN OPTION, may run: GRANT dagconfig_editor TO"):
                change(hook)


def test_what_the_database_refuses_is_the_cause(hook: DagConfigHook) -> None:
    with pytest.raises(DagConfigInvalidError) as error:
        hook.update_dag_config(*JOB, batch_size=-1)

    assert isinstance(error.value.__cause__, psycopg.errors.CheckViolation)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda hook: hook.update_dag_config(*JOB, batchsize=7),
            r"update_dag_config\(\) has no argument 'batchsize'. Did you mean 'batch_size'\? There are: cpu_request, ",
            id="a mistyped one",
        ),
        pytest.param(
            lambda hook: hook.override_dag_config(*JOB, for_="1h", reason="why", description="x"),
            r"override_dag_config\(\) has no argument 'description'. There are: cpu_request, ",
            id="one that no override may set",
        ),
        pytest.param(
            lambda hook: hook.update_exchange_group("lse", batch_size=7),
            r"update_exchange_group\(\) has no argument 'batch_size'. There are: display_name, ",
            id="a job's, for a group",
        ),
    ],
)
def test_a_name_that_is_not_a_column_is_not_an_argument(
    hook: DagConfigHook, change: Callable[[DagConfigHook], object], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        change(hook)


@pytest.mark.parametrize(
    "codes",
    [
        "NYSE,NASDAQ",
        "NYSE",
        b"NYSE",
        ["NYSE NASDAQ"],
        ["[NYSE", "NASDAQ]"],
        ["NYSE;NASDAQ"],
        ["'NYSE'"],
        ("ARRAY['NYSE'",),
        ["NYSE", None],
        ["NYSE", 5],
        {"NYSE": "NASDAQ"},
        7,
    ],
    ids=repr,
)
@pytest.mark.parametrize("group", ["lse", "new_group"])
def test_an_invalid_exchange_code_is_refused(hook: DagConfigHook, codes: Any, group: str) -> None:
    before = hook.get_all_exchange_groups()

    with pytest.raises(DagConfigInvalidError, match=rf"^exchanges .* of exchange group {group} .*such as \['NYSE', 'NASDAQ'\]"):
        hook.update_exchange_group(group, exchanges=codes)

    assert hook.get_all_exchange_groups() == before
