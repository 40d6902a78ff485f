"""`airflow dagconfig doctor`: what it finds, and what it says to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from plugins.cluster import Namespace
from plugins.command_line import Answer
from plugins.postgres import Database

from airflow_provider_dagconfig.store.migrate import migrate

Run = Callable[..., Answer]


def findings(answer: Answer) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(answer.out):
        found.setdefault(finding["check"], []).append(finding)
    return found


def results(answer: Answer, check: str) -> list[str]:
    return [finding["result"] for finding in findings(answer).get(check, [])]


def test_a_sound_database_is_said_to_be(dagconfig: Run, migrated_database: Database) -> None:
    with migrated_database.role("dagconfig_reader") as user:
        answer = dagconfig("doctor", "--no-cluster", "--url", migrated_database.url_of(user), "-o", "json")

    assert answer.code == 0
    assert {check: [f["result"] for f in found] for check, found in findings(answer).items()} == {
        "database": ["ok"],
        "migrations": ["ok"],
        "privileges": ["ok"],
        "roles": ["ok"],
        "identity": ["ok"],
        "rows": ["ok"],
    }


def test_the_owner_is_warned_of_its_power(store_cli: Run) -> None:
    answer = store_cli("doctor", "--no-cluster", "-o", "json")

    assert answer.code == 0
    [finding] = findings(answer)["privileges"]
    assert (finding["result"], "dagconfig_reader" in finding["remedy"]) == ("warn", True)


@contextmanager
def renamed(database: Database, role: str) -> Iterator[None]:
    """A server that lacks a role, like one on which a dump was restored. All databases of the server share the roles."""
    database.execute(f"ALTER ROLE {role} RENAME TO dagconfig_elsewhere")
    try:
        yield
    finally:
        database.execute(f"ALTER ROLE dagconfig_elsewhere RENAME TO {role}")


def test_a_role_that_is_missing_is_named_with_the_statements_that_make_it(store_cli: Run, migrated_database: Database) -> None:
    with renamed(migrated_database, "dagconfig_editor"):
        answer = store_cli("doctor", "--no-cluster", "-o", "json")

    [finding] = findings(answer)["roles"]
    assert (answer.code, finding["result"]) == (0, "warn")
    assert "there is no role dagconfig_editor" in finding["found"]
    assert "CREATE ROLE dagconfig_editor; GRANT dagconfig_reader TO dagconfig_editor;" in finding["remedy"]
    assert "SELECT financial_screener.grant_roles();" in finding["remedy"]


def test_a_role_without_its_rights_is_named_with_the_statement_that_grants_them(
    store_cli: Run, migrated_database: Database
) -> None:
    migrated_database.execute("REVOKE USAGE ON SCHEMA financial_screener FROM dagconfig_reader, dagconfig_editor")

    [without] = findings(store_cli("doctor", "--no-cluster", "-o", "json"))["roles"]
    migrated_database.execute("SELECT financial_screener.grant_roles()")
    [granted] = findings(store_cli("doctor", "--no-cluster", "-o", "json"))["roles"]

    assert (without["result"], granted["result"]) == ("warn", "ok")
    assert without["found"] == "dagconfig_editor and dagconfig_reader may not read the tables"
    assert without["remedy"] == "Their owner may run: SELECT financial_screener.grant_roles();"


def test_a_role_that_may_not_read_the_id_is_named_with_the_statement_that_grants_it(
    store_cli: Run, migrated_database: Database
) -> None:
    migrated_database.execute("REVOKE SELECT ON financial_screener.dagconfig_installation FROM dagconfig_reader")

    [without] = findings(store_cli("doctor", "--no-cluster", "-o", "json"))["roles"]
    migrated_database.execute(without["remedy"].partition(": ")[2])
    [granted] = findings(store_cli("doctor", "--no-cluster", "-o", "json"))["roles"]

    assert (without["result"], without["found"]) == ("warn", "dagconfig_reader may not read dagconfig_installation")
    assert granted["result"] == "ok"


def test_the_id_is_told_and_whether_it_is_the_stores_or_the_options(
    store_cli: Run, migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(own,)] = migrated_database.execute("SELECT installation_id FROM financial_screener.dagconfig_installation")
    told = []
    for option in (None, "staging", "50%"):
        if option is not None:
            monkeypatch.setenv("AIRFLOW__DAGCONFIG__INSTALLATION", option)
        [finding] = findings(store_cli("doctor", "--no-cluster", "-o", "json"))["identity"]
        told.append((finding["result"], finding["found"]))

    assert told[:2] == [
        ("ok", f"installation {own}, the store's id"),
        ("ok", f"installation staging, by [dagconfig] installation; the store's id is {own}"),
    ]
    assert told[2][0] == "fail"
    assert "option installation of [dagconfig] (AIRFLOW__DAGCONFIG__INSTALLATION) is '50%'" in told[2][1]


@pytest.mark.parametrize("to", [7, 8], ids=["nothing is there", "an older one"])
def test_missing_migrations_fail_with_the_command_that_applies_them(dagconfig: Run, database: Database, to: int) -> None:
    migrate(database.url, to=to)

    answer = dagconfig("doctor", "--no-cluster", "--url", database.url, "-o", "json")

    assert answer.code == 1
    [finding] = findings(answer)["migrations"]
    assert (finding["result"], "airflow dagconfig migrate" in finding["remedy"]) == ("fail", True)


def test_rows_that_break_rules_are_named_with_the_command_that_mends_them(dagconfig: Run, adopted_database: Database) -> None:
    migrate(adopted_database.url)

    answer = dagconfig("doctor", "--no-cluster", "--url", adopted_database.url, "-o", "json")

    assert answer.code == 1
    remedies = [finding["remedy"] for finding in findings(answer)["rows"]]
    assert any(remedy.startswith("To mend it: airflow dagconfig set house_prices all memory_limit=") for remedy in remedies)
    assert any(remedy.startswith("To mend it: airflow dagconfig groups set ") for remedy in remedies)


def test_a_remedy_is_on_one_line_however_long(
    store_cli: Run, before_the_rules: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    before_the_rules("UPDATE financial_screener.dag_configuration SET cpu_limit = NULL, timeout_seconds = 0 WHERE id = 1")

    answer = store_cli("doctor", "--no-cluster")

    command_line = "airflow dagconfig set data_collection_equities us_markets cpu_limit=2000m timeout_seconds=600"
    assert sum(line.strip() == f"-> To mend it: {command_line}" for line in answer.out.splitlines()) == 2


def test_kubectl_the_cluster_and_its_permissions(store_cli: Run, namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", namespace.kubeconfig)

    answer = store_cli("doctor", "--namespace", namespace.name, "-o", "json")

    assert answer.code == 0
    assert [results(answer, check) for check in ("kubectl", "cluster")] == [["ok"], ["ok"]]
    # The stand-in knows no access reviews, and lets everybody do everything.
    assert results(answer, "permissions") == (["ok"] if namespace.cluster.is_real else ["warn"])


@pytest.mark.cluster
def test_what_the_cluster_does_not_allow_is_named_with_the_rule_to_add(
    store_cli: Run, real_namespace: Namespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real_namespace.cluster.kubectl("-n", real_namespace.name, "create", "serviceaccount", "nobody")
    file = tmp_path / "kubeconfig"
    config = json.loads(real_namespace.cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    user = {"as": f"system:serviceaccount:{real_namespace.name}:nobody"}
    for each in config["users"]:
        each["user"] |= user
    file.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(file))

    answer = store_cli("doctor", "--namespace", real_namespace.name, "-o", "json")

    assert answer.code == 1
    [first, *_] = findings(answer)["permissions"]
    assert (first["result"], first["found"]) == ("fail", f"may not create pods in namespace {real_namespace.name}, to start a pod")
    assert "resources [pods], verbs [create]" in first["remedy"]


def test_a_cluster_that_is_away_fails(store_cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": ""}}
    file = tmp_path / "kubeconfig"
    file.write_text(
        json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context], "current-context": "c"})
    )
    monkeypatch.setenv("KUBECONFIG", str(file))

    answer = store_cli("doctor", "-o", "json")

    assert (answer.code, results(answer, "cluster")) == (1, ["fail"])


def test_no_kubectl_fails_with_what_to_do(store_cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DAGCONFIG__KUBECTL", "no-such-kubectl")

    answer = store_cli("doctor", "-o", "json")

    assert (answer.code, results(answer, "kubectl")) == (1, ["fail"])


def test_a_table_has_a_line_a_finding_and_the_sum(store_cli: Run) -> None:
    out = store_cli("doctor", "--no-cluster").out

    assert out.startswith("ok    database")
    assert out.rstrip().endswith("6 ok, 1 to look at, 0 failed.")
