"""What the hook's tests share: hooks on the migrated database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from plugins.postgres import Database

from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., DagConfigHook]:
    """A function that returns a hook whose connection has this URL."""

    def hook(url: str, conn_id: str = "postgres_default", **arguments: str) -> DagConfigHook:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", url)
        return DagConfigHook(postgres_conn_id=conn_id, **arguments)

    return hook


@pytest.fixture
def hook(migrated_database: Database, connect: Callable[..., DagConfigHook]) -> DagConfigHook:
    return connect(migrated_database.url)
