"""Many writers at once, clients that are killed, and a server that stops in the middle: each change with its entry, and no more."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from plugins.postgres import Database, Server, new_database, running_server

from airflow_provider_dagconfig.store.migrate import migrate

S = "financial_screener"
JOBS = [("data_collection_equities", job) for job in ("us_markets", "lse", "german_markets", "european_markets")]


def check_each_change_has_its_entry(database: Database) -> int:
    """Follow each row through its entries, from the first to what it is now; give the number of changes."""
    entries = database.execute(f"""
        SELECT dag_name || '/' || job_name, operation, old_values - 'version' - 'updated_at', new_values - 'version' - 'updated_at',
            row_version, changed_at
        FROM {S}.dag_configuration_audit WHERE table_name = 'dag_configuration' AND row_version IS NOT NULL ORDER BY audit_id
    """)
    rows = {
        key: (values, version)
        for key, values, version in database.execute(
            f"SELECT dag_name || '/' || job_name, to_jsonb(c) - 'version' - 'updated_at', version FROM {S}.dag_configuration AS c"
        )
    }
    state: dict[str, tuple[object, int]] = {}
    changed: dict[str, object] = {}
    for key, operation, before, after, version, changed_at in entries:
        assert operation == "UPDATE"
        assert before != after
        if key in state:
            assert (before, version) == (state[key][0], state[key][1] + 1)
            assert changed_at > changed[key]  # type: ignore[operator]
        else:
            assert version == 2
        state[key], changed[key] = (after, version), changed_at
    assert {key: rows[key] for key in state} == state
    assert sum(version - 1 for _, version in rows.values()) == len(entries)
    return len(entries)


def test_fifty_writers_make_a_thousand_changes_and_as_many_entries_in_order(migrated_database: Database) -> None:
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            with psycopg.connect(migrated_database.url, autocommit=True) as connection:
                for number in range(20):
                    dag, job = JOBS[(writer + number) % len(JOBS)]
                    connection.execute(
                        f"SELECT {S}.update_dag_config(%s, %s, p_description => %s, p_updated_by => %s)",
                        [dag, job, f"{writer} {number}", f"writer {writer}"],
                    )
        except psycopg.Error as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=[writer]) for writer in range(50)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)

    assert failures == []
    assert check_each_change_has_its_entry(migrated_database) == 1000
    assert migrated_database.execute(
        "SELECT count(DISTINCT (changed_by, new_values ->> 'description'))"
        f" FROM {S}.dag_configuration_audit WHERE changed_by LIKE 'writer%'"
    ) == [(1000,)]


def test_of_writers_with_the_same_version_one_wins_each_round(migrated_database: Database) -> None:
    outcomes: list[str] = []

    def count_up() -> None:
        with psycopg.connect(migrated_database.url, autocommit=True) as connection:
            for _ in range(20):
                row = connection.execute(
                    f"SELECT version, batch_size FROM {S}.effective_dag_config('calculate_indicators', 'all')"
                ).fetchone()
                assert row is not None
                try:
                    connection.execute(
                        f"SELECT {S}.update_dag_config("
                        "'calculate_indicators', 'all', p_batch_size => %s, p_expected_version => %s)",
                        [row[1] + 1, row[0]],
                    )
                    outcomes.append("changed")
                except psycopg.Error as error:
                    outcomes.append(str(error.sqlstate))

    counters = [threading.Thread(target=count_up) for _ in range(8)]
    for counter in counters:
        counter.start()
    for counter in counters:
        counter.join(timeout=60)

    assert set(outcomes) <= {"changed", "DC409"}
    assert len(outcomes) == 160
    # No change was lost: each that was made counted on from the one before.
    assert migrated_database.execute(
        f"SELECT batch_size, version FROM {S}.effective_dag_config('calculate_indicators', 'all')"
    ) == [(1000 + outcomes.count("changed"), 1 + outcomes.count("changed"))]


NEW_JOB = f"INSERT INTO {S}.dag_configuration (dag_name, job_name) VALUES ('d', 'j')"
DELETED_JOB = f"DELETE FROM {S}.dag_configuration WHERE dag_name = 'd'"
LARGE_REQUEST = f"SELECT {S}.override_dag_config('d', 'j', now() + interval '1 hour', 'why', p_cpu_request => '2')"
SMALL_LIMIT = f"SELECT {S}.update_dag_config('d', 'j', p_cpu_limit => '1')"
SMALL_LIMIT_FOR_A_TIME = f"SELECT {S}.override_dag_config('d', 'j', now() + interval '1 hour', 'why', p_cpu_limit => '1')"
NEW_GROUP = f"INSERT INTO {S}.exchange_groups (group_name, display_name, exchanges) VALUES ('g', 'G', '{{G}}')"
DELETED_GROUP = f"DELETE FROM {S}.exchange_groups WHERE group_name = 'g'"
RENAMED_JOB = f"UPDATE {S}.dag_configuration SET dag_name = 'd', job_name = 'j' WHERE dag_name = 'calculate_indicators'"


@pytest.mark.parametrize(
    ("made", "deleted", "made_again"),
    [
        (NEW_JOB, DELETED_JOB, NEW_JOB),
        (NEW_GROUP, DELETED_GROUP, NEW_GROUP),
        (NEW_JOB, DELETED_JOB, RENAMED_JOB),
        (NEW_JOB, DELETED_JOB, f"SELECT {S}.update_dag_config('d', 'j')"),
    ],
    ids=["job", "group", "rename", "function"],
)
def test_a_row_that_is_made_while_one_of_its_name_is_deleted_counts_on(
    migrated_database: Database, made: str, deleted: str, made_again: str
) -> None:
    migrated_database.execute(made)
    with psycopg.connect(migrated_database.url) as first:
        first.execute(deleted)
        second = threading.Thread(target=migrated_database.execute, args=[made_again])
        second.start()
        while migrated_database.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ) != [(1,)]:
            time.sleep(0.01)
        first.commit()
    second.join(timeout=30)

    assert migrated_database.execute(
        f"SELECT operation, row_version FROM {S}.dag_configuration_audit"
        " WHERE coalesce(dag_name, group_name) IN ('d', 'g') ORDER BY audit_id"
    ) == [("INSERT", 1), ("DELETE", 2), ("INSERT", 3)]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize(
    ("before", "meanwhile", "change"),
    [
        ([NEW_JOB], [DELETED_JOB], NEW_JOB),
        ([], [NEW_JOB, DELETED_JOB], NEW_JOB),
        ([NEW_GROUP], [DELETED_GROUP], NEW_GROUP),
        ([NEW_JOB], [DELETED_JOB], RENAMED_JOB),
        ([], [NEW_JOB], SMALL_LIMIT),
        ([NEW_JOB], [LARGE_REQUEST], SMALL_LIMIT),
        ([NEW_JOB], [LARGE_REQUEST], SMALL_LIMIT_FOR_A_TIME),
        ([NEW_JOB], [SMALL_LIMIT], LARGE_REQUEST),
    ],
    ids=["deleted", "made and deleted", "group", "rename", "made", "overridden", "both overridden", "changed"],
)
def test_a_transaction_that_cannot_see_what_was_done_since_fails_rather_than_to_overlook_it(
    migrated_database: Database, level: str, before: list[str], meanwhile: list[str], change: str
) -> None:
    for statement in before:
        migrated_database.execute(statement)
    with psycopg.connect(migrated_database.url) as connection:
        connection.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        connection.execute("SELECT 1")
        for statement in meanwhile:
            migrated_database.execute(statement)

        with pytest.raises(psycopg.errors.SerializationFailure):
            connection.execute(change)  # type: ignore[arg-type]


def test_a_truncate_that_cannot_see_all_rows_is_refused(migrated_database: Database) -> None:
    with psycopg.connect(migrated_database.url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1")
        migrated_database.execute(NEW_JOB)

        with pytest.raises(psycopg.Error, match="dag_configuration is truncated in READ COMMITTED only"):
            connection.execute(f"TRUNCATE {S}.dag_configuration")


def start_writers(database: Database, folder: Path, count: int) -> list[subprocess.Popen[str]]:
    """Clients in separate processes that write until they are killed; each fifth change waits before its commit."""
    writers = []
    for number in range(count):
        script = folder / f"writer-{number}.sql"
        script.write_text(
            "".join(
                f"BEGIN; SELECT {S}.update_dag_config('data_collection_equities', '{JOBS[number % len(JOBS)][1]}',"
                f" p_description => '{number} {change}', p_updated_by => 'writer {number}');"
                f" {'SELECT pg_sleep(0.001);' if change % 5 == 0 else ''} COMMIT;\n"
                for change in range(20_000)
            )
        )
        command = [database.server.bin / "psql", "-X", "-q", "-t", "-f", script, database.url]
        writers.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    return writers


def kill(writers: list[subprocess.Popen[str]]) -> None:
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
    for writer in writers:
        writer.communicate(timeout=30)


@pytest.fixture
def own_server(postgres: Server) -> Iterator[Server]:
    with running_server(postgres.version) as server:
        yield server


def test_clients_that_are_killed_leave_no_change_without_its_entry(migrated_database: Database, tmp_path: Path) -> None:
    choose = random.Random(4)
    for _ in range(3):
        writers = start_writers(migrated_database, tmp_path, 6)
        choose.shuffle(writers)
        for writer in writers:
            time.sleep(choose.uniform(0.02, 0.2))
            kill([writer])
    # The server notices a client's death when it next speaks to it.
    while migrated_database.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
    ) != [(0,)]:
        time.sleep(0.05)

    assert check_each_change_has_its_entry(migrated_database) > 50


def test_a_server_that_stops_at_once_leaves_no_change_without_its_entry(own_server: Server, tmp_path: Path) -> None:
    with new_database(own_server) as database:
        migrate(database.url)
        changes = 0
        for _ in range(3):
            writers = start_writers(database, tmp_path, 4)
            time.sleep(0.5)
            # As in a crash: nothing is written to the data files, the log is replayed at the next start.
            own_server.stop(signal.SIGQUIT)
            kill(writers)
            own_server.start()

            now = check_each_change_has_its_entry(database)
            assert now > changes
            changes = now
        assert "automatic recovery" in own_server.log.read_text() or "not properly shut down" in own_server.log.read_text()
