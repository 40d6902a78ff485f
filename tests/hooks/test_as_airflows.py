"""The hook as Airflow knows it: a PostgresHook with what its connection's extra says, whose errors are Airflow's too."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.postgres.hooks.postgres import PostgresHook
from plugins.postgres import Database

from airflow_provider_dagconfig import exceptions
from airflow_provider_dagconfig.exceptions import (
    DagConfigConflictError,
    DagConfigError,
    DagConfigInvalidError,
    DagConfigNotFoundError,
    DagConfigStaleError,
    DagConfigUnreachableError,
)
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.hooks.errors import airflow_errors
from airflow_provider_dagconfig.store import Store

Connect = Callable[..., DagConfigHook]
JOB = ("data_collection_equities", "us_markets")
ERRORS = [each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, DagConfigError)]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_the_store_is_airflows_too(error: type[DagConfigError]) -> None:
    assert not issubclass(error, AirflowException)
    with pytest.raises(AirflowException, match="it is so") as raised, airflow_errors():
        raise error("it is so")

    assert isinstance(raised.value, error)
    assert (type(raised.value).__name__, type(raised.value).__doc__) == (error.__name__, error.__doc__)


@pytest.mark.parametrize(
    ("act", "error"),
    [
        pytest.param(lambda hook: hook.get_change(0), DagConfigNotFoundError, id="found no row"),
        pytest.param(lambda hook: hook.get_exchange_group("lze"), DagConfigNotFoundError, id="found no group"),
        pytest.param(lambda hook: hook.update_dag_config(*JOB, batch_size=0), DagConfigInvalidError, id="refused by a rule"),
        pytest.param(lambda hook: hook.get_dag_config_at(*JOB, datetime(2026, 1, 1)), DagConfigInvalidError, id="refused here"),
        pytest.param(lambda hook: hook.update_dag_config(*JOB, batch_size=7, expected_version=9), DagConfigStaleError, id="stale"),
    ],
)
def test_whatever_the_hook_is_asked_its_errors_are_airflows(
    hook: DagConfigHook, act: Callable[[DagConfigHook], object], error: type[DagConfigError]
) -> None:
    with pytest.raises(error) as raised:
        act(hook)

    assert isinstance(raised.value, AirflowException)


def test_the_other_fields_of_an_error_stay(hook: DagConfigHook) -> None:
    with pytest.raises(DagConfigStaleError) as stale:
        hook.update_dag_config(*JOB, batch_size=7, expected_version=9)
    assert (stale.value.expected_version, stale.value.current_version) == (9, 1)
    assert isinstance(stale.value.__cause__, psycopg.Error)

    hook.update_dag_config(*JOB, batch_size=7)
    hook.update_dag_config(*JOB, batch_size=8)
    first = hook.get_history(*JOB)[1]
    with pytest.raises(DagConfigConflictError) as conflict:
        hook.rollback_change(first.audit_id)
    assert conflict.value.detail["columns"] == ["batch_size"]


def test_an_error_out_of_a_transaction_is_airflows(hook: DagConfigHook) -> None:
    def change() -> None:
        with hook.transaction():
            hook.update_dag_config(*JOB, batch_size=7)
            hook.store.update_dag_config(*JOB, batch_size=0)

    with pytest.raises(AirflowException) as raised:
        change()

    assert isinstance(raised.value, DagConfigInvalidError)
    assert hook.get_dag_config(*JOB).batch_size != 7


def test_a_missing_connection_is_airflows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NOWHERE", raising=False)
    with pytest.raises(AirflowException, match="There is no Airflow connection 'nowhere'") as raised:
        DagConfigHook("nowhere").get_dag_config(*JOB)

    assert isinstance(raised.value, DagConfigUnreachableError)


def test_the_store_raises_its_own(migrated_database: Database) -> None:
    with pytest.raises(DagConfigNotFoundError) as raised:
        Store.from_url(migrated_database.url).get_change(0)

    assert not isinstance(raised.value, AirflowException)


def test_the_hook_has_every_method_of_the_store() -> None:
    methods = {name for part in Store.__mro__ for name, value in vars(part).items() if callable(value) and name[0] != "_"}

    assert "get_dag_config" in methods
    assert methods - set(dir(DagConfigHook)) == set()


class TestThePostgresHook:
    """It stays one for whoever uses it as one, and whatever is asked of the store goes by its connection."""

    def test_its_own_methods_work(self, hook: DagConfigHook) -> None:
        assert isinstance(hook, PostgresHook)
        assert hook.get_first("SELECT job_name FROM financial_screener.dag_configuration WHERE id = 1") is not None

    @pytest.fixture
    def arguments(
        self, connect: Connect, migrated_database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., dict[str, Any]]:
        """A function that returns the driver's connection parameters for an extra of the Airflow connection."""
        given: list[dict[str, Any]] = []

        def connects(**arguments: Any) -> Any:
            given.append(arguments)
            raise psycopg.OperationalError("not now")

        def of(extra: dict[str, Any]) -> dict[str, Any]:
            monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", json.dumps({"conn_type": "postgres", "host": "db", "extra": extra}))
            monkeypatch.setattr(psycopg.Connection, "connect", connects)
            with pytest.raises(DagConfigUnreachableError):
                DagConfigHook().get_dag_config(*JOB)
            return given[-1]

        return of

    @pytest.mark.parametrize(
        "extra",
        [
            {"sslmode": "verify-full", "sslrootcert": "/etc/ssl/ca.pem"},
            {"options": "-c search_path=public"},
            {"keepalives_idle": "30"},
            {"connect_timeout": "3"},
            {"application_name": "nightly"},
        ],
    )
    def test_the_connections_extra_reaches_the_driver(
        self, arguments: Callable[..., dict[str, Any]], extra: dict[str, Any]
    ) -> None:
        assert extra.items() <= arguments(extra).items()

    def test_the_wait_for_a_connection_is_bounded(self, arguments: Callable[..., dict[str, Any]]) -> None:
        assert {"connect_timeout": 10, "application_name": "airflow-provider-dagconfig"}.items() <= arguments({}).items()

    @pytest.mark.parametrize(
        ("extra", "way"),
        [({"iam": True}, "get_aws_iam_token"), ({"iam": True, "azure_conn_id": "azure"}, "get_azure_iam_token")],
    )
    def test_a_token_takes_the_passwords_place(
        self, arguments: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], way: str
    ) -> None:
        # A mock: there is no cloud here to ask for one.
        monkeypatch.setattr(DagConfigHook, way, lambda *_: ("someone", "token", 5433))

        assert {"user": "someone", "password": "token", "port": 5433}.items() <= arguments(extra).items()
