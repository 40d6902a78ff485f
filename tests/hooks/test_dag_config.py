"""The hook on a real database: what it reads, what it changes, and what it says when it cannot."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone

import psycopg
import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook
from plugins.postgres import PASSWORD, Database

from airflow_provider_dagconfig.exceptions import (
    DagConfigError,
    DagConfigInvalidError,
    DagConfigNotAllowedError,
    DagConfigNotFoundError,
    DagConfigNotMigratedError,
    DagConfigSchemaNotFoundError,
    DagConfigUnreachableError,
)
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.models import DagConfig, Quantity
from airflow_provider_dagconfig.store.migrate import Target, migrate

Connect = Callable[..., DagConfigHook]
BreakRule = Callable[[str, str, str], None]


def test_a_job_is_read_with_its_origin_and_its_last_change(hook: DagConfigHook, migrated_database: Database) -> None:
    migrated_database.execute("""
        SELECT financial_screener.update_dag_config(
            'data_collection_equities', 'lse', p_memory_limit => '4Gi', p_updated_by => 'ann'
        )
    """)

    config = hook.get_dag_config("data_collection_equities", "lse")

    assert config.memory_limit == Quantity.parse("4Gi")
    assert (config.batch_size, config.timeout_seconds, config.max_retries, config.priority) == (500, 600, 2, 9)
    assert config.origin == "financial_screener.dag_configuration, row 2"
    assert config.change is not None
    assert config.change.changed_by == "ann"
    assert abs((datetime.now(timezone.utc) - config.change.changed_at).total_seconds()) < 60
    assert config.updated_at == config.change.changed_at


def test_the_last_change_of_the_row_is_read_too_and_an_override_is_not_one(hook: DagConfigHook) -> None:
    job = ("data_collection_equities", "lse")
    made = hook.get_dag_config(*job).row_change
    hook.update_dag_config(*job, memory_limit="4Gi", batch_size=7, description="London", updated_by="ann", reason="new feed")
    hook.override_dag_config(*job, for_="2h", reason="test", memory_limit="6Gi")

    config = hook.get_dag_config(*job)
    hook.delete_dag_config(*job, updated_by="eve")
    deleted = hook.get_dag_config(*job).row_change

    assert made is not None
    assert (made.operation, made.differences) == ("INSERT", {})
    assert config.change is not None
    assert config.row_change is not None
    assert config.change.audit_id > config.row_change.audit_id
    assert (config.row_change.operation, config.row_change.changed_by, config.row_change.reason) == ("UPDATE", "ann", "new feed")
    assert config.row_change.differences == {
        "memory_limit": ("2Gi", "4Gi"),
        "batch_size": (500, 7),
        "description": (config.row_change.differences["description"][0], "London"),
    }
    assert deleted is not None
    assert (deleted.operation, deleted.changed_by, deleted.differences) == ("DELETE", "eve", {})


def test_the_job_is_all_where_none_is_named(hook: DagConfigHook) -> None:
    assert hook.get_dag_config("calculate_indicators").timeout_seconds == 3600


def test_a_mistyped_job_gets_the_defaults_and_says_so(hook: DagConfigHook) -> None:
    config = hook.get_dag_config("data_collection_equities", "lze")

    assert config == DagConfig.defaults("data_collection_equities", "lze")
    assert config.origin == "defaults: no row for data_collection_equities/lze in financial_screener.dag_configuration"


def test_who_switched_off_is_the_name_that_was_given_and_the_databases_user(hook: DagConfigHook) -> None:
    hook.update_dag_config("calculate_indicators", enabled=False, updated_by="maria")
    hook.update_exchange_group("lse", enabled=False, updated_by="maria")
    hook.update_dag_config("data_collection_equities", "lse", enabled=False)

    job = hook.get_dag_config("calculate_indicators").disabled_change
    group = hook.get_group_disabled_change("lse")
    by_its_user = hook.get_dag_config("data_collection_equities", "lse").disabled_change

    assert [change and change.who for change in (job, group, by_its_user)] == ["maria (postgres)", "maria (postgres)", "postgres"]


def test_a_disabled_job_says_who_switched_it_off_and_when(hook: DagConfigHook, migrated_database: Database) -> None:
    migrated_database.execute("UPDATE financial_screener.dag_configuration SET enabled = FALSE WHERE job_name = 'all'")
    migrated_database.execute("SELECT financial_screener.update_dag_config('calculate_indicators', 'all', p_batch_size => 7)")

    config = hook.get_dag_config("calculate_indicators")

    assert (config.enabled, config.batch_size) == (False, 7)
    assert config.disabled_change is not None
    assert config.change is not None
    assert (config.disabled_change.changed_by, config.change.changed_by) == ("postgres", "system")
    assert config.disabled_change.audit_id < config.change.audit_id


def test_a_job_that_runs_again_was_switched_off_by_nobody(hook: DagConfigHook, migrated_database: Database) -> None:
    for enabled in ("FALSE", "TRUE"):
        migrated_database.execute(f"UPDATE financial_screener.dag_configuration SET enabled = {enabled}")

    assert hook.get_dag_config("calculate_indicators").disabled_change is None


def test_a_job_and_its_group_come_together(hook: DagConfigHook) -> None:
    config, group, *_ = hook.get_task_config("data_collection_equities", "lse", "us_markets")

    assert config == hook.get_dag_config("data_collection_equities", "lse")
    assert group == hook.get_exchange_group("us_markets")


def test_a_job_without_a_group_has_none(hook: DagConfigHook) -> None:
    assert hook.get_task_config("calculate_indicators", "all", None)[1] is None


def test_a_group_of_a_job_without_a_row_is_found(hook: DagConfigHook) -> None:
    config, group, *_ = hook.get_task_config("new_dag", "lse", "lse")

    assert config.origin.startswith("defaults: ")
    assert group is not None
    assert group.exchanges == ("LSE",)


def test_a_tasks_configuration_is_one_statement_on_one_connection(hook: DagConfigHook, migrated_database: Database) -> None:
    server = migrated_database.server
    server.execute(f"ALTER DATABASE {migrated_database.name} SET log_statement = 'all'")
    server.execute("ALTER SYSTEM SET log_connections = on")
    server.execute("SELECT pg_reload_conf()")
    before = server.log.stat().st_size

    hook.get_task_config("data_collection_equities", "lse", "lse")

    server.execute("ALTER SYSTEM RESET log_connections")
    server.execute("SELECT pg_reload_conf()")
    log = server.log.read_bytes()[before:].decode()
    assert log.count(f"user=postgres database={migrated_database.name} application_name=airflow-provider-dagconfig") == 1
    assert len(re.findall(r"LOG:  (?:statement|execute [^:]+): (?!\s*(?:ALTER|SELECT pg_reload_conf))", log)) == 1


def test_groups_come_by_priority_without_disabled_ones(hook: DagConfigHook, migrated_database: Database) -> None:
    migrated_database.execute("""
        INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges, priority)
        VALUES ('asian_markets', 'Asian Markets', ARRAY['TSE', 'HKEX'], 9);
        UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'german_markets'
    """)

    groups = hook.get_exchange_groups()

    assert [group.group_name for group in groups] == ["us_markets", "asian_markets", "lse", "european_markets"]
    assert groups[1].exchanges == ("TSE", "HKEX")
    assert hook.get_exchange_group_names() == [group.group_name for group in groups]


def test_a_group_that_cannot_be_used_is_named_and_spoils_no_list(
    hook: DagConfigHook,
    migrated_database: Database,
    break_rule: BreakRule,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    break_rule("exchange_groups", "exchanges", "'{}'")
    migrated_database.execute("UPDATE financial_screener.exchange_groups SET exchanges = '{NYSE}' WHERE group_name = 'us_markets'")

    assert "lse" in hook.get_exchange_group_names()
    assert [group.group_name for group in hook.get_exchange_groups()] == ["us_markets"]
    problem = r"exchanges \[\] of exchange group lse is no list of exchange codes.*groups set lse exchanges=LSE"
    assert re.search(f"An exchange group is left out .*{problem}", caplog.text + "".join(capfd.readouterr()))
    for read in (lambda: hook.get_exchange_group("lse"), lambda: hook.get_task_config("d", "j", "lse")):
        with pytest.raises(DagConfigInvalidError, match=problem):
            read()


def test_a_disabled_group_is_read_by_its_name(hook: DagConfigHook, migrated_database: Database) -> None:
    migrated_database.execute("UPDATE financial_screener.exchange_groups SET enabled = FALSE")

    assert not hook.get_exchange_group("lse").enabled
    assert hook.get_exchange_groups() == []


@pytest.mark.parametrize("read", ["get_exchange_group", "get_task_config"])
def test_a_mistyped_group_is_answered_with_what_there_is(hook: DagConfigHook, read: str) -> None:
    arguments = ["us_market"] if read == "get_exchange_group" else ["d", "j", "us_market"]

    with pytest.raises(DagConfigNotFoundError) as error:
        getattr(hook, read)(*arguments)

    assert str(error.value).startswith("There is no exchange group 'us_market' (connection 'postgres_default' (postgres@127.0.0.1:")
    assert str(error.value).endswith("Did you mean 'us_markets'? There are: european_markets, german_markets, lse, us_markets.")


def test_a_bad_row_is_named_with_its_remedy(hook: DagConfigHook, migrated_database: Database, break_rule: BreakRule) -> None:
    break_rule("dag_configuration", "memory_limit", "'2 GB'")

    with pytest.raises(DagConfigInvalidError) as error:
        hook.get_dag_config("calculate_indicators")

    remedy = str(error.value).partition(" To mend it: ")[2]
    assert "memory_limit '2 GB' of calculate_indicators/all is no Kubernetes quantity; write 2G or 2Gi" in str(error.value)
    migrated_database.execute(remedy)
    assert hook.get_dag_config("calculate_indicators").memory_limit.text == "2Gi"


def test_an_adopted_database_is_read_with_its_own_values(adopted_database: Database, connect: Connect) -> None:
    migrate(adopted_database.url)
    hook = connect(adopted_database.url)

    assert hook.get_dag_config("data_collection_equities", "us_markets").batch_size == 600
    assert hook.get_dag_config("historical_load_equities", "lse").origin.startswith("defaults: ")
    config = hook.get_dag_config("data_collection_equities", "lse")
    assert not config.enabled
    assert config.disabled_change is not None


def test_all_jobs_are_listed_by_dag_priority_and_name(hook: DagConfigHook) -> None:
    jobs = hook.get_dag_configs()

    assert [(job.dag_name, job.job_name) for job in jobs[:3]] == [
        ("calculate_indicators", "all"),
        ("data_collection_equities", "us_markets"),
        ("data_collection_equities", "lse"),
    ]
    assert len(jobs) == 9
    assert [job.problem for job in jobs] == [None] * 9
    assert hook.get_dag_configs("calculate_indicators") == [hook.get_dag_config_row("calculate_indicators")] == jobs[:1]


def test_a_row_that_cannot_be_used_is_listed_with_its_problem(hook: DagConfigHook, break_rule: BreakRule) -> None:
    break_rule("dag_configuration", "memory_limit", "'2 GB'")

    jobs = hook.get_dag_configs()

    assert len(jobs) == 9
    assert jobs[0].row is not None
    assert jobs[0].row["memory_limit"] == jobs[0].values["memory_limit"] == "2 GB"
    assert jobs[0].problem is not None
    assert jobs[0].problem.startswith("memory_limit '2 GB' of calculate_indicators/all is no Kubernetes quantity; write 2G or 2Gi.")
    assert json.loads(json.dumps(jobs[0].as_dict()))["values"]["memory_limit"] == "2 GB"


def test_a_job_without_a_row_is_listed_by_its_name_alone(hook: DagConfigHook) -> None:
    job = hook.get_dag_config_row("new_dag", "lse")

    assert (job.row, job.version, job.values["batch_size"], set(job.sources.values())) == (None, None, 500, {"default"})
    assert job.change is None


def test_all_groups_are_listed_also_those_that_take_no_part(
    hook: DagConfigHook, migrated_database: Database, break_rule: BreakRule
) -> None:
    migrated_database.execute("UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'lse'")
    break_rule("exchange_groups", "exchanges", "'{}'")

    groups = {group.group_name: group for group in hook.get_all_exchange_groups()}

    assert list(groups) == ["us_markets", "lse", "german_markets", "european_markets"]
    assert (groups["lse"].row["enabled"], groups["lse"].version) == (False, 2)
    assert groups["lse"].change is not None
    assert groups["lse"].problem is not None
    assert "is no list of exchange codes" in groups["lse"].problem


def test_the_names_that_a_job_may_have_are_those_of_rows_and_groups(hook: DagConfigHook) -> None:
    assert hook.get_job_names("calculate_indicators") == ["all", "european_markets", "german_markets", "lse", "us_markets"]


def test_each_value_says_where_it_is_from(hook: DagConfigHook) -> None:
    override = hook.override_dag_config("calculate_indicators", for_="2h", reason="backfill", cpu_limit="5")

    config, *_ = hook.get_task_config("calculate_indicators", "all", None, {"batch_size": 100})

    assert (config.cpu_limit.text, config.batch_size, config.timeout_seconds, config.version) == ("5", 100, 3600, 1)
    assert (config.sources["cpu_limit"], config.sources["batch_size"], config.sources["timeout_seconds"]) == (
        f"override {override.override_id} until {override.ends_at.isoformat(sep=' ', timespec='seconds')}",
        "run",
        "row",
    )
    assert config.overrides == (override,)
    assert config.origin == f"financial_screener.dag_configuration, row 9; {override}; batch_size by the dag run's conf"
    assert hook.get_dag_config("calculate_indicators").batch_size == 1000


def test_a_value_of_the_run_that_does_not_go_with_the_row_says_what_to_trigger(hook: DagConfigHook) -> None:
    with pytest.raises(DagConfigInvalidError) as error:
        hook.get_task_config("calculate_indicators", "all", None, {"memory_limit": "1Gi"})

    assert str(error.value) == (
        "memory_request '2Gi' of calculate_indicators/all is over memory_limit '1Gi'; lower it, or raise the limit. To mend it:"
        ' trigger the DAG with another memory_limit in the conf\'s "dagconfig", or without'
    )


def test_a_disabled_job_with_a_bad_row_is_not_run_with_defaults_by_a_run(hook: DagConfigHook, break_rule: BreakRule) -> None:
    hook.update_dag_config("calculate_indicators", enabled=False)
    break_rule("dag_configuration", "memory_limit", "'2 GB'")

    assert not hook.get_dag_config("calculate_indicators").enabled
    config, *_ = hook.get_task_config("calculate_indicators", "all", None, {"enabled": True})
    assert not config.enabled


def test_a_change_gives_the_new_configuration(hook: DagConfigHook) -> None:
    config = hook.update_dag_config(
        "data_collection_equities", "lse", memory_limit="4Gi", cpu_limit=Quantity.parse("3"), batch_size=750, updated_by="ann"
    )

    assert config == hook.get_dag_config("data_collection_equities", "lse")
    assert (config.memory_limit.text, config.cpu_limit.text, config.batch_size) == ("4Gi", "3", 750)
    assert config.memory_request.text == "1Gi"
    assert config.change is not None
    assert config.change.changed_by == "ann"


def test_a_change_creates_the_row_if_it_does_not_exist(hook: DagConfigHook) -> None:
    config = hook.update_dag_config("new_dag", timeout_seconds=60)

    assert (config.job_name, config.timeout_seconds, config.origin) == ("all", 60, "financial_screener.dag_configuration, row 10")
    assert config.change is not None
    assert config.change.changed_by == "postgres"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param(
            {"memory_limit": "512Mi"},
            r"memory_request '1Gi' of .* must be no more than memory_limit \('512Mi'\)",
            id="request over limit",
        ),
        pytest.param({"cpu_limit": "lots"}, "cpu_limit 'lots' of .* must be a Kubernetes quantity", id="no quantity"),
        pytest.param({"batch_size": -5}, "batch_size '-5' of .* must be a whole number from 1 to 1000000", id="too small"),
        pytest.param(
            {"cpu_limit": "1" * 21},
            "cpu_limit '1{21}' of data_collection_equities/lse has 21 characters; write 20 at most",
            id="too long for the column",
        ),
        pytest.param(
            {"batch_size": 2**31},
            "batch_size '2147483648' of data_collection_equities/lse must be a whole number from 1 to 1000000",
            id="too large for the column",
        ),
        pytest.param({"updated_by": "m" * 101, "batch_size": 5}, "updated_by 'm{101}' of .* write 100 at most", id="a long user"),
    ],
)
def test_a_change_that_would_leave_a_bad_row_changes_nothing(
    hook: DagConfigHook, migrated_database: Database, values: dict[str, object], complaint: str
) -> None:
    before = hook.get_dag_config("data_collection_equities", "lse")

    with pytest.raises(DagConfigInvalidError, match=complaint):
        hook.update_dag_config("data_collection_equities", "lse", **values)  # type: ignore[arg-type]

    assert hook.get_dag_config("data_collection_equities", "lse") == before


def test_any_name_is_a_value_and_never_sql(hook: DagConfigHook) -> None:
    name = """'; DROP TABLE dag_configuration; -- % %s %(x)s {schema} \\ " é"""

    assert hook.update_dag_config(name, name, batch_size=7) == hook.get_dag_config(name, name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("a\0b", "cannot contain NUL", id="NUL"),
        pytest.param("a\udcffb", r"'\\udcff' in a text is no character that UTF-8 has", id="half a character"),
    ],
)
def test_a_name_that_postgresql_cannot_hold_is_invalid(hook: DagConfigHook, name: str, says: str) -> None:
    with pytest.raises(DagConfigInvalidError, match=says):
        hook.get_dag_config(name)


def test_reading_needs_nothing_but_the_readers_role(migrated_database: Database, connect: Connect) -> None:
    with migrated_database.role("dagconfig_reader") as reader:
        hook = connect(migrated_database.url_of(reader), "reader")

        assert hook.get_task_config("data_collection_equities", "lse", "lse")[0].priority == 9
        assert len(hook.get_exchange_groups()) == 4


@pytest.mark.parametrize("held", [(), ("USAGE ON SCHEMA financial_screener",)], ids=["nothing", "the schema"])
def test_whoever_may_not_read_is_told_the_grants(migrated_database: Database, connect: Connect, held: tuple[str, ...]) -> None:
    with migrated_database.role(*held) as user:
        hook = connect(migrated_database.url_of(user), "stranger")
        with pytest.raises(DagConfigNotAllowedError, match=rf"permission denied for .* \(connection 'stranger' \({user}@") as error:
            hook.get_dag_config("calculate_indicators")

        migrated_database.execute(str(error.value).partition("WITH ADMIN OPTION, may run: ")[2])
        assert hook.get_dag_config("calculate_indicators").batch_size == 1000


def test_a_reader_who_changes_something_is_told_the_grants(migrated_database: Database, connect: Connect) -> None:
    with migrated_database.role("dagconfig_reader") as reader:
        hook = connect(migrated_database.url_of(reader), "reader")
        with pytest.raises(DagConfigNotAllowedError, match="permission denied for function update_dag_config") as error:
            hook.update_dag_config("calculate_indicators", batch_size=7)

        migrated_database.execute(str(error.value).partition("WITH ADMIN OPTION, may run: ")[2])
        config = hook.update_dag_config("calculate_indicators", batch_size=7)
        assert config.change is not None
        assert (config.batch_size, config.change.changed_by) == (7, reader)


@pytest.mark.parametrize("act", [DagConfigHook.get_dag_config, DagConfigHook.update_dag_config], ids=["read", "change"])
class TestNotMigrated:
    def test_a_missing_schema_says_how_to_make_it(self, database: Database, connect: Connect, act: Callable[..., object]) -> None:
        with pytest.raises(DagConfigSchemaNotFoundError) as error:
            act(connect(database.url), "d")

        assert str(error.value).startswith("There is no schema 'financial_screener' (connection 'postgres_default' (postgres@")
        assert str(error.value).endswith("To make it: airflow dagconfig migrate")

    def test_a_mistyped_schema_says_where_the_tables_are(
        self, migrated_database: Database, connect: Connect, act: Callable[..., object]
    ) -> None:
        with pytest.raises(DagConfigSchemaNotFoundError) as error:
            act(connect(migrated_database.url, schema="financial_screner"), "d")

        assert "The configuration's tables are in financial_screener: give --schema financial_screener" in str(error.value)
        assert str(error.value).endswith(
            "To make others in 'financial_screner': airflow dagconfig migrate --schema financial_screner"
        )

    def test_a_schema_without_the_tables_says_to_migrate(
        self, database: Database, connect: Connect, act: Callable[..., object]
    ) -> None:
        database.execute("CREATE SCHEMA financial_screener")
        with pytest.raises(DagConfigNotMigratedError, match=r"does not exist .*, schema financial_screener\)") as error:
            act(connect(database.url, "other"), "d")

        assert not isinstance(error.value, DagConfigSchemaNotFoundError)
        assert str(error.value).endswith("To bring the database up to date: airflow dagconfig migrate --conn-id other")


@pytest.mark.parametrize(
    "act",
    [
        lambda hook: hook.get_task_config("d", "j", None),
        lambda hook: hook.get_exchange_groups(),
        lambda hook: hook.get_history(),
        lambda hook: hook.get_overrides(),
        lambda hook: hook.get_rule_violations(),
        lambda hook: hook.update_dag_config("d", priority=3),
        lambda hook: hook.rollback_change(1),
    ],
    ids=["a task's configuration", "groups", "history", "overrides", "violations", "a change", "a roll-back"],
)
def test_a_database_that_is_only_at_008_says_to_migrate(
    database: Database, connect: Connect, act: Callable[[DagConfigHook], object]
) -> None:
    migrate(database.url, to=8)

    with pytest.raises(DagConfigNotMigratedError, match=r"To bring the database up to date: airflow dagconfig migrate$"):
        act(connect(database.url))


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        pytest.param("postgresql://u:hush@127.0.0.1:1/db", "Connection refused", id="no server"),
        pytest.param("postgresql://u:hush@no-such-host.invalid/db", "no-such-host.invalid", id="no such host"),
        pytest.param("{server}/no_such_database", 'database "no_such_database" does not exist', id="no such database"),
        pytest.param("{server}/{name}?nonsense=1", "nonsense", id="an unknown parameter"),
        pytest.param("postgresql://postgres:hush@127.0.0.1:{port}/{name}", "password authentication failed", id="wrong password"),
        pytest.param("kubernetes://u:hush@", "is of type 'kubernetes'", id="a connection of another kind"),
    ],
)
def test_an_unreachable_database_is_named_without_its_password(
    migrated_database: Database, connect: Connect, url: str, complaint: str
) -> None:
    server = migrated_database.server
    hook = connect(url.format(server=server.url("").rstrip("/"), port=server.port, name=migrated_database.name), "elsewhere")

    with pytest.raises(DagConfigUnreachableError, match=complaint) as error:
        hook.get_dag_config("d")

    assert "'elsewhere'" in str(error.value)
    assert "hush" not in str(error.value)
    assert PASSWORD not in str(error.value)


def test_an_unknown_connection_id_says_how_to_add_it() -> None:
    with pytest.raises(DagConfigUnreachableError) as error:
        DagConfigHook("no_such_id").get_dag_config("d")

    message = str(error.value)
    assert message.startswith("There is no Airflow connection 'no_such_id' to reach the configuration database by. ")
    assert message.endswith(": airflow connections add no_such_id --conn-uri postgresql://USER:PASSWORD@HOST:5432/DATABASE")
    # A person at the command line is offered first what needs no rights in Airflow.
    assert -1 < message.index("--conn-id ID") < message.index("--url postgresql://USER@HOST:5432/DATABASE")
    assert message.index("--url") < message.index("airflow connections add")


def test_a_connection_in_the_environment_that_airflow_cannot_read_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SCREENER", "postgresql://me:hush[hush@127.0.0.1/db")
    with pytest.raises(DagConfigUnreachableError) as error:
        DagConfigHook("screener").get_dag_config("d")

    message = str(error.value)
    assert message.startswith("Airflow can't read the connection in the environment variable AIRFLOW_CONN_SCREENER. ")
    assert "[ ] are written" in message
    assert "hush" not in message


def test_a_connection_that_breaks_off_is_unreachable(migrated_database: Database, connect: Connect) -> None:
    hook = connect(migrated_database.url)
    open_one = hook.get_conn

    def killed() -> object:
        connection = open_one()
        migrated_database.server.execute(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 5000)")
        return connection

    hook.get_conn = killed  # type: ignore[method-assign]

    with pytest.raises(DagConfigUnreachableError, match="terminating connection"):
        hook.get_dag_config("d")


def test_every_error_is_of_one_family() -> None:
    for error in (DagConfigUnreachableError, DagConfigNotMigratedError, DagConfigNotAllowedError, DagConfigInvalidError):
        assert issubclass(error, DagConfigError)


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_the_cursor_that_the_connections_extra_asks_for_makes_no_difference(
    migrated_database: Database, connect: Connect, cursor: str
) -> None:
    assert connect(f"{migrated_database.url}?cursor={cursor}").get_dag_config("calculate_indicators").batch_size == 1000


def test_no_connection_stays_open(hook: DagConfigHook, migrated_database: Database) -> None:
    hook.get_dag_config("calculate_indicators")
    hook.update_dag_config("calculate_indicators", batch_size=7)

    with psycopg.connect(migrated_database.url) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        # A backend needs a moment to end after its client has gone.
        connection.autocommit = True
        for _ in range(100):
            if connection.execute(count).fetchone() == (0,):
                return
            connection.execute("SELECT pg_sleep(0.02)")
    pytest.fail("a connection stays open")


def test_airflow_cfg_says_where_the_store_is(migrated_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(Target.from_url(migrated_database.url, "job_settings"))
    migrated_database.execute("UPDATE job_settings.dag_configuration SET batch_size = 7")
    monkeypatch.setenv("AIRFLOW_CONN_DAGCONFIG_DB", migrated_database.url)
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__POSTGRES_CONN_ID", "dagconfig_db")
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__SCHEMA", "job_settings")

    config = DagConfigHook().get_dag_config("calculate_indicators")

    assert (config.batch_size, config.origin) == (7, "job_settings.dag_configuration, row 9")
    assert config.update_statement("batch_size", 8).startswith('SELECT "job_settings".update_dag_config(')


def test_the_defaults_are_postgres_default_and_financial_screener() -> None:
    hook = DagConfigHook()

    assert (hook.get_conn_id(), hook.config_schema) == ("postgres_default", "financial_screener")


def test_a_plain_url_needs_no_airflow_connection(migrated_database: Database) -> None:
    hook = DagConfigHook.from_url(migrated_database.url)

    assert hook.get_dag_config("calculate_indicators").batch_size == 1000
    assert hook.get_first("SELECT count(*) FROM financial_screener.exchange_groups") == (4,)


def test_a_plain_urls_schema_and_database_are_in_messages_without_its_password(migrated_database: Database) -> None:
    hook = DagConfigHook.from_url(migrated_database.url, "elsewhere")

    with pytest.raises(
        DagConfigSchemaNotFoundError, match=rf"'elsewhere' \(database postgres@127.*/{migrated_database.name}\)"
    ) as error:
        hook.get_dag_config("d")

    assert PASSWORD not in str(error.value)


def test_it_is_a_postgres_hook(hook: DagConfigHook) -> None:
    assert isinstance(hook, PostgresHook)
    assert hook.get_first("SELECT count(*) FROM financial_screener.exchange_groups") == (4,)


def test_importing_it_costs_no_more_than_importing_the_postgres_hook() -> None:
    script = """
import sys
import airflow.providers.postgres.hooks.postgres
before = set(sys.modules)
import airflow_provider_dagconfig.hooks.dag_config
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert set(result.stdout.split()) <= {"airflow_provider_dagconfig", "difflib", "fractions", "decimal", "_decimal", "numbers"}
