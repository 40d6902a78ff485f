"""The values of a run's conf: read and refused without a database, then by tasks whose rows are in one."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk import DAG
from plugins.dag_runs import DagRunResult
from plugins.postgres import Database
from plugins.tasks import INSTANCE

from airflow_provider_dagconfig.exceptions import DagConfigInvalidError
from airflow_provider_dagconfig.kubectl.annotations import PREFIX, config_annotations
from airflow_provider_dagconfig.models import DagConfig
from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.run_overrides import RunOverrideError, run_overrides
from airflow_provider_dagconfig.task_groups.exchange_group import ExchangeGroupTaskGroup

JOBS = ("us_markets", "lse", "all")
DAG_ID = "data_collection_equities"


def read(given: object, job_name: str = "us_markets") -> dict[str, str | int | bool]:
    return run_overrides({"dagconfig": given}, job_name, lambda: JOBS)


@pytest.mark.parametrize("conf", [None, {}, {"other": 1}, {"dagconfig": None}, {"dagconfig": {}}], ids=repr)
def test_a_conf_that_does_not_speak_of_us_sets_nothing(conf: dict[str, Any] | None) -> None:
    assert run_overrides(conf, "lse", lambda: JOBS) == {}


def test_values_are_for_all_jobs_or_for_one_whose_own_win() -> None:
    given = {"batch_size": 100, "max_retries": 0, "lse": {"batch_size": 7, "memory_limit": "4Gi"}}

    assert read(given, "lse") == {"batch_size": 7, "max_retries": 0, "memory_limit": "4Gi"}
    assert read(given, "us_markets") == {"batch_size": 100, "max_retries": 0}


def test_jobs_are_looked_up_only_when_another_one_is_named() -> None:
    def never() -> list[str]:
        raise AssertionError

    assert run_overrides({"dagconfig": {"batch_size": 1, "lse": {"priority": 1}}}, "lse", never) == {"batch_size": 1, "priority": 1}


def test_every_column_takes_its_type() -> None:
    values = {
        "cpu_request": "500m",
        "cpu_limit": 2,
        "memory_request": "1Gi",
        "memory_limit": "1e9",
        "batch_size": 1_000_000,
        "timeout_seconds": 604_800,
        "max_retries": 10,
        "retry_delay_minutes": 0,
        "retry_backoff_enabled": False,
        "enabled": True,
        "priority": 1,
    }

    assert read(values) == values | {"cpu_limit": "2"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            [1],
            'dag run conf["dagconfig"] = [1] must be an object of columns and values, such as {"batch_size": 100}, or'
            ' {"us_markets": {"memory_limit": "4Gi"}} for one job',
            id="no object",
        ),
        pytest.param(
            {"us_markets": "4Gi"},
            'dag run conf["dagconfig"]["us_markets"] = \'4Gi\' must be an object of columns and values, such as {"batch_size"',
            id="no object for a job",
        ),
        pytest.param(
            {"batch_sise": 100},
            'dag run conf["dagconfig"]["batch_sise"] = 100: \'batch_sise\' is neither a column nor a job. Did you mean'
            " 'batch_size'? There are: cpu_request, ",
            id="a mistyped column",
        ),
        pytest.param(
            {"us_market": {"batch_size": 100}},
            "dag run conf[\"dagconfig\"][\"us_market\"] = {'batch_size': 100}: 'us_market' is neither a column nor a job. Did you"
            " mean 'us_markets'? ",
            id="a mistyped job",
        ),
        pytest.param(
            {"us_markets": {"memory_limt": "4Gi"}},
            'dag run conf["dagconfig"]["us_markets"]["memory_limt"] = \'4Gi\': \'memory_limt\' is no column. Did you mean'
            " 'memory_limit'? There are: ",
            id="a mistyped column of a job",
        ),
        pytest.param(
            {"description": "x"},
            "dag run conf[\"dagconfig\"][\"description\"] = 'x': 'description' is neither a column nor a job. There are: ",
            id="a column that a run has no use for",
        ),
        pytest.param(
            {"memory_limit": "2 GB"},
            'dag run conf["dagconfig"]["memory_limit"] = \'2 GB\' is no Kubernetes quantity; write 2G or 2Gi',
            id="no quantity",
        ),
        pytest.param(
            {"memory_limit": "2Mi"},
            "dag run conf[\"dagconfig\"][\"memory_limit\"] = '2Mi' must be from 4Mi to 64Ti, such as '2Gi'",
            id="too little memory",
        ),
        pytest.param(
            {"cpu_request": "0.5m"},
            "dag run conf[\"dagconfig\"][\"cpu_request\"] = '0.5m' must be from 1m to 1024, such as '500m'",
            id="too little cpu",
        ),
        pytest.param(
            {"cpu_limit": "1.5m"}, 'dag run conf["dagconfig"]["cpu_limit"] = \'1.5m\' is finer than 1m', id="too fine a cpu"
        ),
        pytest.param(
            {"cpu_limit": 1.5},
            'dag run conf["dagconfig"]["cpu_limit"] = 1.5 must be a Kubernetes quantity in quotes, such as \'2000m\'',
            id="a quantity without quotes",
        ),
        pytest.param(
            {"us_markets": {"batch_size": "100"}},
            'dag run conf["dagconfig"]["us_markets"]["batch_size"] = \'100\' must be a whole number from 1 to 1000000, without'
            " quotes, such as 500",
            id="a number in quotes",
        ),
        pytest.param(
            {"batch_size": True},
            'dag run conf["dagconfig"]["batch_size"] = True must be a whole number',
            id="a truth for a number",
        ),
        pytest.param(
            {"timeout_seconds": 0},
            'dag run conf["dagconfig"]["timeout_seconds"] = 0 must be a whole number from 1 to 604800',
            id="out of range",
        ),
        pytest.param(
            {"enabled": "false"},
            'dag run conf["dagconfig"]["enabled"] = \'false\' must be true or false, without quotes',
            id="a truth in quotes",
        ),
        pytest.param({"batch_size": None}, 'dag run conf["dagconfig"]["batch_size"] = NULL must be a whole number', id="nothing"),
    ],
)
def test_an_error_names_the_key_the_value_and_what_to_write(given: object, message: str) -> None:
    with pytest.raises(RunOverrideError) as error:
        read(given)

    assert str(error.value).startswith(message)


@pytest.fixture
def resolve(migrated_database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DagConfig]:
    """A function that renders a task of a run with this conf, and returns the configuration in force."""
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.url)

    def render(conf: dict[str, Any] | None, **arguments: Any) -> DagConfig:
        dag = DAG(DAG_ID)
        ConfiguredKubectlRunOperator(task_id="other", job_name="no_row_yet", image="busybox", dag=dag)
        ConfiguredKubectlRunOperator.partial(task_id="mapped", job_name="mapped_job", dag=dag).expand(name=["a", "b"])
        operator = ConfiguredKubectlRunOperator(
            task_id="collect", dag=dag, **{"job_name": "us_markets", "image": "busybox", **arguments}
        )
        context: Any = {"dag_run": SimpleNamespace(conf=conf), "task": operator, "ti": SimpleNamespace(**INSTANCE)}
        operator.render_template_fields(context)
        assert operator.dag_config == context["dag_config"].as_dict()
        return context["dag_config"]

    return render


def test_a_run_goes_above_the_row_and_its_overrides(resolve: Callable[..., DagConfig], migrated_database: Database) -> None:
    migrated_database.execute(f"""
        SELECT financial_screener.override_dag_config(
            '{DAG_ID}', 'us_markets', now() + interval '1 hour', 'backfill', p_batch_size => 7, p_max_retries => 0
        )
    """)

    config = resolve({"dagconfig": {"batch_size": 100, "us_markets": {"memory_limit": "4Gi"}}})

    assert (config.batch_size, config.memory_limit.text, config.max_retries) == (100, "4Gi", 0)
    assert (config.sources["batch_size"], config.sources["memory_limit"], config.sources["cpu_limit"]) == ("run", "run", "row")
    assert config.origin.endswith("; batch_size, memory_limit by the dag run's conf")


def test_it_is_written_on_the_pod(resolve: Callable[..., DagConfig]) -> None:
    annotations = config_annotations(resolve({"dagconfig": {"batch_size": 100}}))

    assert annotations[f"{PREFIX}/batch_size"] == "100"
    assert annotations[f"{PREFIX}/sources.batch_size"] == "run"
    assert annotations[f"{PREFIX}/sources.memory_limit"] == "row"


def test_other_jobs_of_the_dag_are_known_by_their_rows_and_their_tasks(resolve: Callable[..., DagConfig]) -> None:
    others = {job: {"batch_size": 7} for job in ("lse", "german_markets", "no_row_yet", "mapped_job")}

    assert resolve({"dagconfig": others}).batch_size == 500


def test_a_run_may_switch_a_job_off(resolve: Callable[..., DagConfig]) -> None:
    with pytest.raises(AirflowSkipException, match=r"is disabled: switched off .*enabled by the dag run's conf"):
        resolve({"dagconfig": {"enabled": False}})


@pytest.mark.parametrize(
    "switch_off",
    [
        pytest.param("UPDATE financial_screener.dag_configuration SET enabled = FALSE", id="row"),
        pytest.param(
            "SELECT financial_screener.override_dag_config('data_collection_equities', 'us_markets', now() + interval '1 hour',"
            " 'their server is down', p_enabled => FALSE)",
            id="override",
        ),
    ],
)
@pytest.mark.parametrize(
    "values", [{"enabled": True}, {"us_markets": {"enabled": True}}, {"enabled": True, "batch_size": 100}], ids=str
)
def test_a_run_can_not_switch_on_a_job_that_is_switched_off(
    resolve: Callable[..., DagConfig], migrated_database: Database, switch_off: str, values: dict[str, Any]
) -> None:
    migrated_database.execute(switch_off)
    with pytest.raises(AirflowSkipException) as skipped:
        resolve({"dagconfig": values})
    assert re.search(r"is disabled: switched off by \w+( \(\w+\))? at 20", str(skipped.value))
    assert "it cannot switch on a job that is switched off" in str(skipped.value)


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        pytest.param({"batch_size": 100}, {"allow_run_overrides": False}, id="a task that refuses them"),
        pytest.param({"enabled": "true"}, {}, id="a truth in quotes"),
        pytest.param({"us_markets": {"enabled": 1}}, {}, id="a number for the job alone"),
        pytest.param({"us_market": {"batch_size": 100}}, {}, id="a mistyped job"),
        pytest.param({"memory_limit": "512Mi"}, {}, id="what does not go with the row"),
        pytest.param([True], {}, id="no object"),
    ],
)
def test_what_a_run_sets_fails_no_job_that_is_switched_off(
    resolve: Callable[..., DagConfig], migrated_database: Database, values: Any, arguments: dict[str, Any]
) -> None:
    migrated_database.execute("UPDATE financial_screener.dag_configuration SET enabled = FALSE")
    with pytest.raises(AirflowSkipException, match=r"is disabled: switched off by \w+ at 20"):
        resolve({"dagconfig": values}, **arguments)


@pytest.mark.parametrize(
    "values", [{"enabled": True}, {"enabled": True, "us_markets": {"batch_size": 1}}, {"enabled": "true"}], ids=str
)
def test_a_run_can_not_switch_on_an_exchange_group(
    resolve: Callable[..., DagConfig], migrated_database: Database, values: dict[str, Any]
) -> None:
    migrated_database.execute("UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'us_markets'")
    with pytest.raises(AirflowSkipException) as skipped:
        resolve({"dagconfig": values}, exchange_group="us_markets")
    assert re.search(r"exchange group us_markets is disabled: switched off by \w+ at 20.*\(audit entry \d+\)", str(skipped.value))
    assert str(skipped.value).endswith("). The dag run's conf cannot switch it on")


def test_whoever_switched_it_off_under_a_given_name_is_told_with_the_databases_user(
    resolve: Callable[..., DagConfig], migrated_database: Database
) -> None:
    migrated_database.execute("SELECT financial_screener.update_exchange_group('lse', p_enabled => FALSE, p_updated_by => 'maria')")
    with pytest.raises(AirflowSkipException, match=r"exchange group lse is disabled: switched off by maria \(postgres\) at 20"):
        resolve(None, exchange_group="lse")
    migrated_database.execute(
        "SELECT financial_screener.update_dag_config("
        "'data_collection_equities', 'us_markets', p_enabled => FALSE, p_updated_by => 'maria')"
    )
    with pytest.raises(AirflowSkipException, match=r"us_markets is disabled: switched off by maria \(postgres\) at 20"):
        resolve(None)


@pytest.mark.parametrize("conf", [None, {"dagconfig": {"lse": {"enabled": True}}}, {"dagconfig": {"batch_size": 1}}], ids=str)
def test_a_run_that_does_not_ask_for_it_is_not_told_that_it_can_not(
    resolve: Callable[..., DagConfig], migrated_database: Database, conf: dict[str, Any] | None
) -> None:
    migrated_database.execute("UPDATE financial_screener.exchange_groups SET enabled = FALSE WHERE group_name = 'us_markets'")
    with pytest.raises(AirflowSkipException, match=r"\(audit entry \d+\)$"):
        resolve(conf, exchange_group="us_markets")


@pytest.mark.parametrize("column", ["enabled", "retry_backoff_enabled"])
def test_a_run_puts_nothing_in_place_of_an_enabled_that_the_row_lacks(
    resolve: Callable[..., DagConfig], break_rule: Callable[[str, str, str], None], column: str
) -> None:
    """A row from before there were rules may hold NULL: whether its job is to run is for the row to say."""
    break_rule("dag_configuration", column, "NULL")
    given = {"dagconfig": {"enabled": True, "retry_backoff_enabled": True}}
    if column == "enabled":
        with pytest.raises(DagConfigInvalidError, match="enabled NULL of data_collection_equities/us_markets is no value"):
            resolve(given)
    else:
        assert resolve(given).retry_backoff_enabled


def test_a_run_that_leaves_an_enabled_job_enabled_runs(resolve: Callable[..., DagConfig]) -> None:
    assert resolve({"dagconfig": {"enabled": True}}).enabled


def test_an_invalid_conf_fails_the_task_for_good(resolve: Callable[..., DagConfig]) -> None:
    with pytest.raises(AirflowFailException) as error:
        resolve({"dagconfig": {"us_market": {"batch_size": 100}}})

    assert "Did you mean 'us_markets'?" in str(error.value)
    assert str(error.value).endswith("Trigger the run again with another conf")


def test_what_does_not_go_with_the_row_says_which_value_of_the_run(resolve: Callable[..., DagConfig]) -> None:
    with pytest.raises(
        DagConfigInvalidError, match='trigger the DAG with another memory_limit in the conf\'s "dagconfig", or without'
    ):
        resolve({"dagconfig": {"memory_limit": "512Mi"}})


def test_a_task_may_refuse_them(resolve: Callable[..., DagConfig]) -> None:
    with pytest.raises(AirflowFailException) as error:
        resolve({"dagconfig": {"batch_size": 100}}, allow_run_overrides=False)

    assert str(error.value) == (
        "The run's conf sets batch_size for data_collection_equities/us_markets, but task collect has allow_run_overrides=False."
        ' Trigger the run without "dagconfig" in its conf; to change values for a time, set an override: airflow dagconfig override'
    )


@pytest.mark.parametrize("conf", [None, {}, {"other": 1}, {"dagconfig": {"lse": {"batch_size": 7}}}], ids=repr)
def test_a_task_that_refuses_them_runs_where_none_are_for_it(
    resolve: Callable[..., DagConfig], conf: dict[str, Any] | None
) -> None:
    assert resolve(conf, allow_run_overrides=False).batch_size == 500


def test_what_is_above_a_ceiling_fails_the_task_for_good_with_who_set_it(
    resolve: Callable[..., DagConfig], migrated_database: Database
) -> None:
    migrated_database.execute("SELECT financial_screener.set_ceiling('memory', '8Gi', p_updated_by => 'ann', p_reason => 'budget')")
    assert resolve({"dagconfig": {"memory_limit": "8192Mi"}}).memory_limit.text == "8192Mi"

    with pytest.raises(AirflowFailException) as error:
        resolve({"dagconfig": {"us_markets": {"memory_limit": "9Gi"}}})

    assert re.search(
        "memory_limit '9Gi' is above the ceiling memory = 8Gi of all DAGs, set by ann at 20[-0-9: ]+\\+00:00 \\(budget\\)\\."
        ' Trigger the run with memory_limit 8Gi or less in its "dagconfig", or without$',
        str(error.value),
    )


@pytest.mark.parametrize(
    ("switch_off", "arguments"),
    [
        pytest.param("UPDATE financial_screener.dag_configuration SET enabled = FALSE", {}, id="job"),
        pytest.param(
            "UPDATE financial_screener.exchange_groups SET enabled = FALSE", {"exchange_group": "us_markets"}, id="exchange group"
        ),
    ],
)
def test_a_ceiling_fails_nothing_that_is_switched_off(
    resolve: Callable[..., DagConfig], migrated_database: Database, switch_off: str, arguments: dict[str, str]
) -> None:
    migrated_database.execute("SELECT financial_screener.set_ceiling('memory', '8Gi')")
    migrated_database.execute(switch_off)
    with pytest.raises(AirflowSkipException, match="switched off"):
        resolve({"dagconfig": {"memory_limit": "9Gi"}}, **arguments)


def test_a_job_without_a_row_whose_defaults_are_above_a_ceiling_fails_with_what_makes_a_row(
    resolve: Callable[..., DagConfig], migrated_database: Database
) -> None:
    migrated_database.execute("SELECT financial_screener.set_ceiling('timeout_seconds', '300', 'short')")
    with pytest.raises(AirflowFailException, match=r"airflow dagconfig set short us_markets timeout_seconds=300 --create$"):
        resolve(None, dag_name="short")


class TestThePlatformsSwitch:
    """[dagconfig] allow_run_overrides takes precedence over a DAG's parameter."""

    @pytest.mark.parametrize("value", ["False", "false", "0"])
    @pytest.mark.parametrize("by_task", [True, False])
    def test_false_forbids_them_to_all_dags(
        self, resolve: Callable[..., DagConfig], monkeypatch: pytest.MonkeyPatch, value: str, by_task: bool
    ) -> None:
        monkeypatch.setenv("AIRFLOW__DAGCONFIG__ALLOW_RUN_OVERRIDES", value)
        with pytest.raises(AirflowFailException) as error:
            resolve({"dagconfig": {"batch_size": 100}}, allow_run_overrides=by_task)
        assert str(error.value) == (
            "The run's conf sets batch_size for data_collection_equities/us_markets, but [dagconfig] allow_run_overrides is False,"
            ' for all DAGs. Trigger the run without "dagconfig" in its conf; to change values for a time, set an override:'
            " airflow dagconfig override"
        )
        for conf in (None, {"dagconfig": {"lse": {"batch_size": 7}}}):
            assert resolve(conf, allow_run_overrides=by_task).batch_size == 500

    def test_true_leaves_it_to_the_dag(self, resolve: Callable[..., DagConfig], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__DAGCONFIG__ALLOW_RUN_OVERRIDES", "True")
        assert resolve({"dagconfig": {"batch_size": 100}}).batch_size == 100
        with pytest.raises(AirflowFailException, match="task collect has allow_run_overrides=False"):
            resolve({"dagconfig": {"batch_size": 100}}, allow_run_overrides=False)

    @pytest.mark.parametrize("value", ["never", "", "50%"])
    def test_an_invalid_option_fails_the_code_that_reads_it(
        self, resolve: Callable[..., DagConfig], monkeypatch: pytest.MonkeyPatch, migrated_database: Database, value: str
    ) -> None:
        monkeypatch.setenv("AIRFLOW__DAGCONFIG__ALLOW_RUN_OVERRIDES", value)
        with pytest.raises(AirflowFailException, match=f"is {value!r}: write True or False"):
            resolve({"dagconfig": {"batch_size": 100}})
        assert resolve(None).batch_size == 500
        migrated_database.execute("UPDATE financial_screener.dag_configuration SET enabled = FALSE")
        with pytest.raises(AirflowSkipException):
            resolve({"dagconfig": {"batch_size": 100}})


class Shown(ConfiguredKubectlRunOperator):
    """Return the configuration in force instead of running a pod with it."""

    def execute(self, context: Any) -> Any:
        return self.dag_config


def test_each_job_of_a_real_run_takes_its_own(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, run_dag: Callable[..., DagRunResult]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", migrated_database.airflow_connection().get_uri())
    with (
        DAG(DAG_ID, schedule=None, start_date=pendulum.datetime(2025, 1, 1)) as dag,
        ExchangeGroupTaskGroup(group_id="collect") as group,
    ):
        Shown(task_id="run", image="busybox", job_name=group.exchange_group, do_xcom_push=True)

    run = run_dag(dag, conf={"dagconfig": {"max_retries": 1, "lse": {"batch_size": 7}}})

    shown = {config["job_name"]: (config["max_retries"], config["batch_size"]) for config in run.xcoms("collect.run")}
    assert shown == {"us_markets": (1, 500), "lse": (1, 7), "german_markets": (1, 500), "european_markets": (1, 500)}
