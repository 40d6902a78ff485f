"""The hook's look back on a real database: the audit, rows as they were, rows that break rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from plugins.postgres import Database

from airflow_provider_dagconfig.exceptions import DagConfigInvalidError, DagConfigNotFoundError
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.models import RuleViolation
from airflow_provider_dagconfig.store.migrate import migrate

JOB = ("data_collection_equities", "lse")


def now() -> datetime:
    return datetime.now(timezone.utc)


def test_an_entry_says_who_when_why_and_what(hook: DagConfigHook) -> None:
    before = now()
    hook.update_dag_config(*JOB, memory_limit="4Gi", batch_size=7, updated_by="ann", reason="new feed")

    [entry] = hook.get_history(*JOB, limit=1)

    assert (entry.operation, entry.table_name, entry.subject) == ("UPDATE", "dag_configuration", "data_collection_equities/lse")
    assert (entry.changed_by, entry.session_user_name, entry.reason) == ("ann", "postgres", "new feed")
    assert before < entry.changed_at < now()
    assert entry.differences() == {"batch_size": (500, 7), "memory_limit": ("2Gi", "4Gi")}
    assert entry.row_version == 2
    assert entry == hook.get_change(entry.audit_id)
    assert json.loads(json.dumps(entry.as_dict()))["changed_columns"] == ["batch_size", "memory_limit"]


def test_the_last_change_of_a_column_is_not_the_last_of_its_job(hook: DagConfigHook, migrated_database: Database) -> None:
    first = hook.update_dag_config(*JOB, memory_limit="4Gi", reason="new feed").change
    hook.update_dag_config(*JOB, batch_size=7)
    hook.update_dag_config("data_collection_equities", "us_markets", memory_limit="8Gi")
    hook.override_dag_config(*JOB, for_="2h", reason="test", memory_limit="6Gi")

    found = hook.get_last_change_of(*JOB, "memory_limit")
    made = hook.get_last_change_of(*JOB, "timeout_seconds")

    assert found is not None
    assert first is not None
    assert (found.audit_id, found.differences()) == (first.audit_id, {"memory_limit": ("2Gi", "4Gi")})
    assert made is not None
    assert made.operation == "INSERT"
    assert hook.get_last_change_of("data_collection_equities", "lze", "memory_limit") is None
    # An entry from before the audit had the columns' names.
    migrated_database.execute("UPDATE financial_screener.dag_configuration_audit SET changed_columns = NULL")
    assert hook.get_last_change_of(*JOB, "memory_limit") == replace(found, changed_columns=())


def test_the_newest_comes_first_and_no_more_than_asked_for(hook: DagConfigHook) -> None:
    for size in (1, 2, 3):
        hook.update_dag_config(*JOB, batch_size=size)

    assert [entry.differences()["batch_size"][1] for entry in hook.get_history(*JOB, limit=2)] == [3, 2]


def test_it_is_that_of_a_dag_a_job_a_group_or_all(hook: DagConfigHook) -> None:
    hook.update_dag_config(*JOB, batch_size=7)
    hook.update_dag_config("data_collection_equities", "us_markets", batch_size=7)
    hook.update_dag_config("calculate_indicators", batch_size=7)
    hook.update_exchange_group("lse", priority=1)
    hook.override_dag_config(*JOB, for_="2h", reason="test", batch_size=8)

    def changed(*names: str, **arguments: str) -> list[str]:
        return [
            entry.subject for entry in hook.get_history(*names, **arguments) if entry.operation != "INSERT" or entry.override_id
        ]  # type: ignore[arg-type]

    assert changed() == [
        "override 1 of data_collection_equities/lse",
        "exchange group lse",
        "calculate_indicators/all",
        "data_collection_equities/us_markets",
        "data_collection_equities/lse",
    ]
    assert changed("calculate_indicators") == ["calculate_indicators/all"]
    assert changed(*JOB) == ["override 1 of data_collection_equities/lse", "data_collection_equities/lse"]
    assert changed(group_name="lse") == ["exchange group lse"]


def test_it_is_that_of_a_time(hook: DagConfigHook) -> None:
    hook.update_dag_config(*JOB, batch_size=1)
    since = now()
    hook.update_dag_config(*JOB, batch_size=2)
    until = now()
    hook.update_dag_config(*JOB, batch_size=3)

    assert [entry.differences() for entry in hook.get_history(*JOB, since=since, until=until)] == [{"batch_size": (1, 2)}]


def test_entries_from_before_the_migration_are_read(adopted_database: Database) -> None:
    migrate(adopted_database.url)
    hook = DagConfigHook.from_url(adopted_database.url)

    entries = hook.get_history(*JOB, limit=1000)

    assert entries
    assert {entry.table_name for entry in entries} == {"dag_configuration"}
    assert all(entry.changed_at.tzinfo for entry in entries)
    assert not {column for entry in entries for column in entry.differences()} & {"id", "created_at", "updated_at", "created_by"}


def test_an_entry_whose_columns_are_no_names_says_what_differs(hook: DagConfigHook, migrated_database: Database) -> None:
    """Its owner may have written anything into the audit; the entry is told all the same."""
    hook.update_dag_config(*JOB, batch_size=7)
    for unreadable in ("ARRAY[ARRAY['batch_size', 'priority']]", "ARRAY[NULL]::text[]"):
        migrated_database.execute(
            f"UPDATE financial_screener.dag_configuration_audit SET changed_columns = {unreadable}"
            " WHERE audit_id = (SELECT max(audit_id) FROM financial_screener.dag_configuration_audit)"
        )
        [entry] = hook.get_history(*JOB, limit=1)
        assert entry.changed_columns == ()
        assert entry.differences()["batch_size"][1] == 7
        assert hook.get_dag_config(*JOB).batch_size == 7


def test_an_entry_that_is_not_there_is_not_found(hook: DagConfigHook) -> None:
    with pytest.raises(DagConfigNotFoundError, match="There is no audit entry 999"):
        hook.get_change(999)


def test_rows_are_seen_as_they_were(hook: DagConfigHook) -> None:
    first = now()
    hook.update_dag_config(*JOB, batch_size=7)
    hook.update_exchange_group("lse", exchanges=["LSE", "AIM"])
    second = now()
    hook.delete_dag_config(*JOB)
    hook.delete_exchange_group("lse")

    jobs = [hook.get_dag_config_at(*JOB, moment) for moment in (first, second, now())]
    groups = [hook.get_exchange_group_at("lse", moment) for moment in (first, second, now())]

    # The first is older than versions.
    assert [job and (job["batch_size"], job["version"]) for job in jobs] == [(500, None), (7, 2), None]
    assert [group and group["exchanges"] for group in groups] == [["LSE"], ["LSE", "AIM"], None]


def test_before_its_creation_there_is_no_row(hook: DagConfigHook) -> None:
    assert hook.get_dag_config_at(*JOB, now() - timedelta(days=365)) is None
    assert hook.get_dag_config_at("no_such_dag", "all", now()) is None


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda hook, moment: hook.get_dag_config_at(*JOB, moment), id="a job at a moment"),
        pytest.param(lambda hook, moment: hook.get_exchange_group_at("lse", moment), id="a group at a moment"),
        pytest.param(lambda hook, moment: hook.get_history(since=moment), id="history since"),
        pytest.param(lambda hook, moment: hook.get_history(until=moment), id="history until"),
    ],
)
def test_a_moment_without_a_zone_is_refused(hook: DagConfigHook, look: Callable[[DagConfigHook, datetime], object]) -> None:
    with pytest.raises(DagConfigInvalidError, match="2026-11-24 06:00:00 has no time zone, so it could be any of 24 moments"):
        look(hook, datetime(2026, 11, 24, 6))


def test_values_that_are_older_than_the_rules_are_listed(hook: DagConfigHook, break_rule: Callable[[str, str, str], None]) -> None:
    assert hook.get_rule_violations() == []
    break_rule("exchange_groups", "exchanges", "'{}'")
    break_rule("dag_configuration", "batch_size", "CASE job_name WHEN 'all' THEN -5 ELSE batch_size END")

    violations = hook.get_rule_violations()

    assert violations[0] == RuleViolation(
        *("dag_configuration", "calculate_indicators/all", "batch_size", "-5", "a whole number from 1 to 1000000", "500")
    )
    assert [violation.row_key for violation in violations[1:]] == ["european_markets", "german_markets", "lse", "us_markets"]


def test_a_reader_may_look_back(migrated_database: Database, connect: Callable[..., DagConfigHook]) -> None:
    with migrated_database.role("dagconfig_reader") as reader:
        hook = connect(migrated_database.url_of(reader))

        assert hook.get_history(*JOB)
        assert hook.get_dag_config_at(*JOB, now()) is not None
        assert hook.get_overrides() == []
        assert hook.get_rule_violations() == []
        assert len(hook.get_dag_configs()) == 9
        assert len(hook.get_all_exchange_groups()) == 4
        assert "all" in hook.get_job_names("calculate_indicators")
