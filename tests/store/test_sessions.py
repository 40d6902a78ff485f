"""
Waiting: every statement of the hook and of the command line ends while somebody holds a lock, or while the server does not
answer; it says for whom it waited, and a migration and a change let others go first.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
import pytest
from airflow.cli.cli_config import GroupCommand
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from plugins.command_line import Answer, dagconfig, with_dagconfig_in_threads
from plugins.pgbouncer import pgbouncer
from plugins.postgres import Database, NewDatabase, new_database, running_server

from airflow_provider_dagconfig.cli.definition import COMMANDS as COMMANDS_THERE_ARE
from airflow_provider_dagconfig.exceptions import DagConfigBusyError, DagConfigError, DagConfigUnreachableError
from airflow_provider_dagconfig.hooks.dag_config import DagConfigHook
from airflow_provider_dagconfig.hooks.errors import airflow_errors
from airflow_provider_dagconfig.store import sessions
from airflow_provider_dagconfig.store.changes import ChangingStore
from airflow_provider_dagconfig.store.history import HistoryStore
from airflow_provider_dagconfig.store.migrate import Target, available, migrate, status
from airflow_provider_dagconfig.store.reading import ReadingStore
from airflow_provider_dagconfig.store.sessions import Bounds, Session
from benchmarks.tcp_proxy import proxy

__all__ = ["dagconfig"]

S = "financial_screener"
TABLES = (
    "dag_configuration",
    "dag_configuration_audit",
    "dag_configuration_overrides",
    "dagconfig_ceilings",
    "dagconfig_ceilings_guard",
    "dagconfig_installation",
    "dagconfig_migrations",
    "exchange_groups",
)
JOB = ("data_collection_equities", "lse")
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
IDLE_IN_TRANSACTION = """
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'
"""
FOR_EVER = 3600.0
"""Seconds: a bound that a test which depended on it would not live to see."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short bounds, but long enough for a busy machine to find out who holds the lock."""
    make_impatient(monkeypatch, lock=1)


def make_impatient(patch: pytest.MonkeyPatch, lock: float) -> None:
    patch.setattr(sessions, "READING", Bounds(lock=lock, statement=60, attempts=1))
    patch.setattr(sessions, "WRITING", Bounds(lock=lock, statement=60, attempts=2))
    patch.setattr(sessions, "MIGRATING", Bounds(lock=lock, statement=60, attempts=2))
    patch.setattr(sessions, "PAUSE_SECONDS", 0.05)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many short attempts: a session that gives up was blocked in all of them."""
    monkeypatch.setattr(sessions, "WRITING", Bounds(lock=0.5, statement=60, attempts=100))
    monkeypatch.setattr(sessions, "MIGRATING", Bounds(lock=0.5, statement=60, attempts=100))


@pytest.fixture
def hook(migrated_database: Database) -> DagConfigHook:
    return DagConfigHook.from_url(migrated_database.url)


@dataclass(frozen=True)
class Holder:
    """A session that holds locks."""

    connection: psycopg.Connection[Any]
    pid: int


@contextmanager
def holding(database: Database, *statements: str, user: str | None = None) -> Iterator[Holder]:
    """A session that has run these in a transaction, and keeps its locks."""
    url = database.url_of(user) if user else database.url
    with psycopg.connect(url, application_name="nightly report") as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]
        yield Holder(connection, connection.info.backend_pid)
        connection.rollback()


def lock(*tables: str) -> str:
    return f"LOCK TABLE {', '.join(f'{S}.{table}' for table in tables)} IN ACCESS EXCLUSIVE MODE"


def all_tables(database: Database) -> list[str]:
    return [name for (name,) in database.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = %s", [S])]


READS: dict[str, Callable[[DagConfigHook], object]] = {
    "get_dag_config": lambda hook: hook.get_dag_config(*JOB),
    "get_task_config": lambda hook: hook.get_task_config(*JOB, "lse"),
    "get_dag_configs": lambda hook: hook.get_dag_configs(),
    "get_dag_config_row": lambda hook: hook.get_dag_config_row(*JOB),
    "get_job_names": lambda hook: hook.get_job_names("d"),
    "get_exchange_groups": lambda hook: hook.get_exchange_groups(),
    "get_exchange_group_names": lambda hook: hook.get_exchange_group_names(),
    "get_all_exchange_groups": lambda hook: hook.get_all_exchange_groups(),
    "get_exchange_group": lambda hook: hook.get_exchange_group("lse"),
    "get_history": lambda hook: hook.get_history(),
    "get_change": lambda hook: hook.get_change(1),
    "get_last_change_of": lambda hook: hook.get_last_change_of(*JOB, "memory_limit"),
    "get_overrides": lambda hook: hook.get_overrides(),
    "get_override": lambda hook: hook.get_override(1),
    "get_dag_config_at": lambda hook: hook.get_dag_config_at(*JOB, NOW),
    "get_exchange_group_at": lambda hook: hook.get_exchange_group_at("lse", NOW),
    "get_rule_violations": lambda hook: hook.get_rule_violations(),
    "get_group_disabled_change": lambda hook: hook.get_group_disabled_change("lse"),
    "get_installation": lambda hook: hook.get_installation(),
    "get_ceilings": lambda hook: hook.get_ceilings(),
    "get_ceiling_violations": lambda hook: hook.get_ceiling_violations(),
}
CHANGES: dict[str, Callable[[DagConfigHook], object]] = {
    "update_dag_config": lambda hook: hook.update_dag_config(*JOB, batch_size=7),
    "delete_dag_config": lambda hook: hook.delete_dag_config(*JOB),
    "rename_dag_config": lambda hook: hook.rename_dag_config(*JOB, "london"),
    "update_exchange_group": lambda hook: hook.update_exchange_group("lse", priority=7),
    "delete_exchange_group": lambda hook: hook.delete_exchange_group("lse"),
    "override_dag_config": lambda hook: hook.override_dag_config(*JOB, for_="2h", reason="test", batch_size=7),
    "end_override": lambda hook: hook.end_override(1),
    "rollback_change": lambda hook: hook.rollback_change(1),
    "rollback_dag_config": lambda hook: hook.rollback_dag_config(*JOB, NOW),
    "set_ceiling": lambda hook: hook.set_ceiling("memory", "64Gi"),
    "remove_ceiling": lambda hook: hook.remove_ceiling("memory"),
}


COMMANDS = {
    "list": ["list"],
    "get": ["get", *JOB],
    "history": ["history"],
    "diff": ["diff", "--from", "2h"],
    "at": ["at", "2026-01-01", *JOB],
    "set": ["set", *JOB, "batch_size=7"],
    "enable": ["enable", *JOB],
    "disable": ["disable", *JOB],
    "override": ["override", *JOB, "batch_size=7", "--for", "2h", "--reason", "test"],
    "rollback": ["rollback", "1", "--yes"],
    "delete": ["delete", *JOB, "--yes"],
    "rename": ["rename", *JOB, "london"],
    "export": ["export"],
    "apply": ["apply", "FILE", "--yes"],
    "groups list": ["groups", "list"],
    "groups add": ["groups", "add", "new", "exchanges=NYSE"],
    "groups set": ["groups", "set", "lse", "priority=7"],
    "groups enable": ["groups", "enable", "lse"],
    "groups disable": ["groups", "disable", "lse"],
    "groups remove": ["groups", "remove", "lse", "--yes"],
    "ceiling list": ["ceiling", "list"],
    "ceiling set": ["ceiling", "set", "memory=64Gi"],
    "ceiling remove": ["ceiling", "remove", "memory", "--yes"],
    "migrate": ["migrate", "--to", "8", "--yes"],
    "migrate --status": ["migrate", "--status"],
    "doctor": ["doctor", "--no-cluster"],
    "pods": ["pods"],
    "sweep": ["sweep"],
}


@dataclass(frozen=True)
class Locked:
    """The results of all methods and commands while a session held every table."""

    pid: int
    """The session's."""
    ends: dict[str, object]
    """The error of a method, None if it raised none; the answer of a command."""
    rows_before: list[Any]
    rows_after: list[Any]


@pytest.fixture(scope="module")
def locked(new_migrated_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """All of them wait at the same time: they would take minutes one after the other."""
    file = tmp_path_factory.mktemp("sessions") / "jobs.yaml"
    file.write_text("dag_configuration: {data_collection_equities: {lse: {batch_size: 7}}}\n")
    ends: dict[str, Any] = {}
    with new_migrated_database() as database, pytest.MonkeyPatch.context() as patch:
        # As long as in production: each finds out who holds the lock while it waits, on a separate connection.
        make_impatient(patch, lock=3)

        def raised(name: str) -> BaseException | None:
            try:
                (READS | CHANGES)[name](DagConfigHook.from_url(database.url))
            except DagConfigError as error:
                return error
            return None

        def act(dagconfig: Callable[..., Answer]) -> None:
            with ThreadPoolExecutor(20) as threads:
                # From the last one: doctor looks at several things, each of which waits.
                for name, words in reversed(COMMANDS.items()):
                    here = [str(file) if word == "FILE" else word for word in words]
                    ends[f"airflow dagconfig {name}"] = threads.submit(dagconfig, *here, "--url", database.url)
                for name in READS | CHANGES:
                    ends[name] = threads.submit(raised, name)

        before = _rows(database)
        with holding(database, lock(*all_tables(database))) as holder:
            with_dagconfig_in_threads(act)
        after = _rows(database)
        yield Locked(holder.pid, {name: end.result() for name, end in ends.items()}, before, after)


def _rows(database: Database) -> list[Any]:
    return [database.execute(f"SELECT * FROM {S}.{table} ORDER BY 1") for table in TABLES]


def test_the_lists_above_have_every_method() -> None:
    public = {n for part in (ReadingStore, HistoryStore, ChangingStore) for n in vars(part) if not n.startswith("_")}

    assert public == {*READS, *CHANGES}


@pytest.mark.parametrize("name", [*READS, *CHANGES])
def test_a_lock_ends_every_method_in_bound_and_the_message_says_who_holds_it(locked: Locked, name: str) -> None:
    error, pid = locked.ends[name], locked.pid

    assert isinstance(error, DagConfigBusyError)
    message = str(error)
    assert re.search(r"^Waited [0-9.]+ s in vain for ", message)
    assert f"session {pid} (user postgres, application nightly report, idle in transaction since " in message
    assert f"holds ACCESS EXCLUSIVE on {S}." in message
    assert "Nothing was changed, and it may be tried again." in message
    assert message.endswith(
        f"A superuser, or a member of role postgres or pg_signal_backend, may end what is in the way:"
        f" SELECT pg_terminate_backend({pid});"
    )


def test_each_table_that_a_task_reads_is_named(new_migrated_database: NewDatabase, impatient: None) -> None:
    def is_named(table: str) -> bool:
        with new_migrated_database() as database, holding(database, lock(table)) as holder:
            with pytest.raises(DagConfigBusyError) as error:
                DagConfigHook.from_url(database.url).get_task_config(*JOB, "lse")
            told = rf"session {holder.pid} .* holds ACCESS EXCLUSIVE on {S}\.{table}\."
            return re.search(told, str(error.value)) is not None

    read = [table for table in TABLES if table not in ("dagconfig_migrations", "dagconfig_ceilings_guard")]
    with ThreadPoolExecutor(len(read)) as threads:
        named = dict(zip(read, threads.map(is_named, read), strict=True))

    assert named == dict.fromkeys(read, True)


def test_the_remedy_works_when_pasted(migrated_database: Database, hook: DagConfigHook, impatient: None) -> None:
    with psycopg.connect(migrated_database.url) as holder:
        holder.execute(lock("dag_configuration").encode())
        with pytest.raises(DagConfigBusyError) as error:
            hook.get_dag_config(*JOB)

        migrated_database.execute(str(error.value).rpartition(": ")[2])

        assert hook.get_dag_config(*JOB).batch_size == 500
        with pytest.raises(psycopg.OperationalError):
            holder.execute("SELECT 1")


def test_a_user_who_may_only_read_is_told_too(migrated_database: Database, impatient: None) -> None:
    with migrated_database.role("dagconfig_reader") as reader, migrated_database.role("dagconfig_editor") as other:
        migrated_database.execute(f"GRANT ALL ON {S}.dag_configuration TO {other}")
        hook = DagConfigHook.from_url(migrated_database.url_of(reader))
        with (
            holding(migrated_database, lock("dag_configuration"), user=other) as holder,
            pytest.raises(DagConfigBusyError) as error,
        ):
            hook.get_dag_config(*JOB)

    pid = holder.pid
    assert f"session {pid} (user {other}, application nightly report) holds ACCESS EXCLUSIVE on" in str(error.value)
    assert f"or a member of role {other} or pg_signal_backend, may end" in str(error.value)


def test_a_reader_behind_a_queue_is_told_of_its_head(migrated_database: Database, hook: DagConfigHook, impatient: None) -> None:
    with (
        holding(migrated_database, f"SELECT FROM {S}.dag_configuration") as head,
        psycopg.connect(migrated_database.url, application_name="cleaning") as queued,
    ):
        pid = queued.info.backend_pid
        waits = threading.Thread(target=lambda: _ignore(lambda: queued.execute(lock("dag_configuration").encode())))
        waits.start()
        _until_it_waits(migrated_database, pid)

        with pytest.raises(DagConfigBusyError) as error:
            hook.get_dag_config(*JOB)
        head.connection.rollback()
        waits.join(timeout=60)

    assert re.search(
        rf"session {head.pid} \(.*nightly report.*\) holds ACCESS SHARE on .*; session {pid}"
        rf" \(.*cleaning.*\) is in the way and waits itself for ACCESS EXCLUSIVE on {S}\.dag_configuration\.",
        str(error.value),
    )
    assert f"SELECT pg_terminate_backend({head.pid});" in str(error.value)


def _ignore(act: Callable[[], object]) -> None:
    with suppress(psycopg.Error):
        act()


def _until_it_waits(database: Database, pid: int) -> None:
    for _ in range(600):
        if database.execute("SELECT pg_blocking_pids(%s) <> '{}'", [pid]) == [(True,)]:
            return
        threading.Event().wait(0.1)
    raise AssertionError(f"session {pid} does not wait")


def test_a_statement_that_runs_for_too_long_is_ended(
    migrated_database: Database, hook: DagConfigHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "READING", Bounds(lock=FOR_EVER, statement=0.5, attempts=1))
    migrated_database.execute(f"""
        ALTER TABLE {S}.exchange_groups RENAME TO groups_;
        CREATE VIEW {S}.exchange_groups AS SELECT g.* FROM {S}.groups_ AS g, pg_sleep(60)
    """)

    with pytest.raises(DagConfigBusyError, match=r"canceling statement due to statement timeout, after [0-9.]+ s .*tried again"):
        hook.get_exchange_groups()


def test_airflow_may_try_again() -> None:
    with pytest.raises(DagConfigBusyError) as raised, airflow_errors():
        raise DagConfigBusyError("it waited in vain")

    assert isinstance(raised.value, AirflowException)
    assert not isinstance(raised.value, AirflowFailException)


# The command line


def test_the_list_above_has_every_command() -> None:
    names = set()
    for command in COMMANDS_THERE_ARE:
        inner = command.subcommands if isinstance(command, GroupCommand) else ()
        names |= {f"{command.name} {each.name}" for each in inner} or {command.name}

    assert names | {"migrate --status"} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_lock_ends_every_command_with_one_message_and_an_exit_code(locked: Locked, name: str) -> None:
    answer = locked.ends["airflow dagconfig " + name]

    assert isinstance(answer, Answer)
    assert answer.code == 1
    # doctor's answer is what is wrong, so it is on standard output, in lines of the terminal's width.
    told = " ".join((answer.out if name == "doctor" else answer.err).split())
    assert f"SELECT pg_terminate_backend({locked.pid});" in told
    assert "application nightly report" in told
    assert "Traceback" not in answer.err


def test_whoever_waited_in_vain_has_changed_nothing(locked: Locked) -> None:
    assert locked.rows_after == locked.rows_before


# What is changed


@pytest.mark.parametrize(
    ("of", "statement"),
    [
        pytest.param("a row", f"UPDATE {S}.dag_configuration SET priority = 3 WHERE dag_name = '{JOB[0]}'", id="a row"),
        pytest.param("a table", lock("dag_configuration"), id="a table"),
        pytest.param("the audit", lock("dag_configuration_audit"), id="the audit"),
    ],
)
def test_a_change_says_for_whom_it_waits_and_is_made_once_when_it_can_be(
    migrated_database: Database, hook: DagConfigHook, patient: None, of: str, statement: str
) -> None:
    told: list[str] = []
    with holding(migrated_database, statement) as holder:

        def let_go(text: str) -> None:
            told.append(text)
            if f"session {holder.pid} (" in text:
                holder.connection.rollback()

        hook.waiting = let_go
        hook.update_dag_config(*JOB, batch_size=7, reason="after a wait")

    assert f"session {holder.pid} (user postgres, application nightly report" in told[-1]
    assert told[-1].endswith("Others go first, then it is tried again.")
    [entry] = [each for each in hook.get_history(*JOB) if each.reason == "after a wait"]
    assert entry.changed_columns == ("batch_size",)


def test_a_command_says_on_standard_error_for_whom_it_waits(
    migrated_database: Database, dagconfig: Callable[..., Answer], impatient: None
) -> None:
    with holding(migrated_database, f"SELECT FROM {S}.dag_configuration FOR UPDATE") as holder:
        answer = dagconfig("set", *JOB, "batch_size=7", "--url", migrated_database.url)

    waiting, error = answer.err.strip().splitlines()
    assert waiting.startswith("Waiting for the end of another transaction: session ")
    assert error.startswith("Error: Waited ")
    assert all(f"session {holder.pid} (user postgres, application nightly report" in text for text in (waiting, error))


def test_of_several_changes_in_one_transaction_none_is_left(
    migrated_database: Database, dagconfig: Callable[..., Answer], impatient: None, tmp_path: Path
) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(
        "dag_configuration: {data_collection_equities: {lse: {batch_size: 7}}}\nexchange_groups: {lse: {priority: 7}}\n"
    )
    before = _rows(migrated_database)

    # Reads are not blocked; the second change is.
    with holding(migrated_database, f"SELECT FROM {S}.exchange_groups FOR UPDATE"):
        answer = dagconfig("apply", str(file), "--yes", "--url", migrated_database.url)

    assert (answer.code, "Error: Waited " in answer.err) == (1, True)
    assert _rows(migrated_database) == before


def test_earlier_changes_of_the_transaction_stay_when_a_statement_is_retried(
    migrated_database: Database, hook: DagConfigHook, patient: None
) -> None:
    with holding(migrated_database, f"SELECT FROM {S}.exchange_groups FOR UPDATE") as holder:
        hook.waiting = lambda _: holder.connection.rollback()
        with hook.transaction():
            hook.update_dag_config(*JOB, batch_size=7)
            hook.update_exchange_group("lse", priority=7)

    assert (hook.get_dag_config(*JOB).batch_size, hook.get_exchange_group("lse").priority) == (7, 7)


# Migrations


def test_a_migration_lets_readers_through_and_is_done_when_the_last_one_is(database: Database, patient: None) -> None:
    migrate(database.url, to=8)
    told: list[str] = []
    read = []
    with holding(database, f"SELECT FROM {S}.dag_configuration") as reader:

        def waiting(text: str) -> None:
            told.append(text)
            # As another reader would, while the first one's transaction is still open and the migration is under way.
            with psycopg.connect(database.url) as another:
                read.append(another.execute(f"SELECT count(*) FROM {S}.dag_configuration").fetchone())
            if f"session {reader.pid} (" in text:
                reader.connection.rollback()

        steps = migrate(database.url, waiting=waiting)

    assert f"session {reader.pid} (user postgres, application nightly report, idle in transaction since " in told[-1]
    assert re.match(rf"Waiting for [A-Z ]+ on {S}\.dag_configuration: ", told[-1])
    assert set(read) == {(9,)}
    assert [step.version for step in steps] == [migration.version for migration in available()[1:]]


def test_a_reader_that_queues_behind_a_migration_gets_through(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(database.url, to=8)
    monkeypatch.setattr(sessions, "MIGRATING", Bounds(lock=2, statement=60, attempts=100))
    finished = threading.Event()
    with holding(database, f"SELECT FROM {S}.dag_configuration") as first:
        migration = threading.Thread(target=lambda: (migrate(database.url), finished.set()))
        migration.start()
        for _ in range(600):
            waiting = database.execute("""
                SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'financial_screener.dag_configuration'::regclass
            """)
            if waiting:
                break
            threading.Event().wait(0.05)
        assert waiting

        # It queues behind the migration, which lets it go first; the first reader's transaction is open all the time.
        assert database.execute(f"SELECT count(*) FROM {S}.dag_configuration") == [(9,)]
        assert not finished.is_set()

        first.connection.rollback()
        migration.join(timeout=60)
    assert finished.is_set()


def test_a_migration_that_never_gets_its_lock_leaves_nothing_and_names_the_holder(database: Database, impatient: None) -> None:
    migrate(database.url, to=8)
    with (
        holding(database, f"SELECT FROM {S}.dag_configuration") as reader,
        pytest.raises(DagConfigBusyError, match=rf"Waited .* session {reader.pid} .* holds ACCESS SHARE on"),
    ):
        migrate(database.url)

    assert [state.version for state in status(database.url) if state.state == "applied"] == [8]


def test_a_migration_says_who_else_migrates(database: Database, impatient: None) -> None:
    told: list[str] = []
    with holding(database) as other:
        # The first run's activity, as the server shows it.
        keys = _advisory_locks_of_a_migration(database)
        other.connection.execute("SELECT pg_advisory_xact_lock(%s)", keys)

        with pytest.raises(DagConfigBusyError) as error:
            migrate(database.url, waiting=told.append)

    pid = other.pid
    assert told[-1].startswith(f"Waiting for the lock that one migration at a time holds: session {pid} (")
    assert f"SELECT pg_terminate_backend({pid});" in str(error.value)


def _fails(act: Callable[[], object]) -> None:
    with pytest.raises(DagConfigError):
        act()


def _advisory_locks_of_a_migration(database: Database) -> list[int]:
    """Look at the lock of a run that is kept waiting in its first statement."""
    with holding(database, f"CREATE SCHEMA {S}") as holder:
        run = threading.Thread(target=_fails, args=(lambda: migrate(database.url),))
        run.start()
        keys: list[tuple[int]] = []
        while not keys and run.is_alive():
            keys = database.execute("""
                SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
                WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """)
        run.join(timeout=60)
        holder.connection.rollback()
    return [key for (key,) in keys]


# Signals: execution_timeout is a handler that raises


class _Timeout(BaseException):
    """As AirflowTaskTimeout is."""


@pytest.mark.parametrize("kind", [_Timeout, RuntimeError])
@pytest.mark.parametrize("act", ["reading", "changing", "migrating"])
def test_a_signals_handler_that_raises_ends_the_wait(
    migrated_database: Database, hook: DagConfigHook, monkeypatch: pytest.MonkeyPatch, act: str, kind: type[BaseException]
) -> None:
    for name in ("READING", "WRITING", "MIGRATING"):
        monkeypatch.setattr(sessions, name, Bounds(lock=FOR_EVER, statement=FOR_EVER, attempts=1))

    def handler(number: int, frame: FrameType | None) -> None:
        raise kind("from the handler")

    monkeypatch.setattr(signal, "default_int_handler", handler)
    before = signal.signal(signal.SIGTERM, handler)
    acts: dict[str, Callable[[], object]] = {
        "reading": lambda: hook.get_dag_config(*JOB),
        "changing": lambda: hook.update_dag_config(*JOB, batch_size=7),
        "migrating": lambda: migrate(migrated_database.url, to=8),
    }

    def send_when_it_waits() -> None:
        for _ in range(600):
            if migrated_database.execute("""
                SELECT pid FROM pg_locks
                WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """):
                break
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send_when_it_waits)
    sender.start()
    try:
        with holding(migrated_database, lock(*TABLES)), pytest.raises(kind, match="from the handler"):
            acts[act]()
    finally:
        sender.join(timeout=60)
        signal.signal(signal.SIGTERM, before)
    assert hook.get_dag_config(*JOB).batch_size == 500


# Servers that do not answer


@pytest.fixture
def no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("READING", "WRITING", "MIGRATING"):
        monkeypatch.setattr(sessions, name, Bounds(lock=0.5, statement=0.5, attempts=1))
    monkeypatch.setattr(sessions, "ANSWER_SECONDS", 1)


def test_a_server_that_never_answers_a_connection_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        hook = DagConfigHook.from_url(f"postgresql://u:p@127.0.0.1:{port}/db?connect_timeout=2")

        with pytest.raises(DagConfigUnreachableError, match="timeout expired"):
            hook.get_dag_config(*JOB)


@pytest.mark.parametrize("name", ["get_task_config", "update_dag_config"])
def test_a_server_that_falls_silent_is_unreachable(migrated_database: Database, no_answer: None, name: str) -> None:
    with proxy(migrated_database.server.port) as line:
        through = replace(migrated_database, server=replace(migrated_database.server, port=line.port))
        hook = DagConfigHook.from_url(through.url)
        _fall_silent_once_connected(hook, line.silent)

        with pytest.raises(DagConfigUnreachableError, match=r"it has not answered for 1\.5 s, and the connection was closed"):
            (READS | CHANGES)[name](hook)


def test_a_migration_of_a_server_that_falls_silent_ends(migrated_database: Database, no_answer: None) -> None:
    with proxy(migrated_database.server.port) as line:
        through = replace(migrated_database, server=replace(migrated_database.server, port=line.port))
        target = Target.from_url(through.url)

        def connect() -> Any:
            connection = target.connect()
            line.silent.set()
            return connection

        with pytest.raises(DagConfigUnreachableError, match="it has not answered for"):
            migrate(replace(target, connect=connect), to=8)


def _fall_silent_once_connected(hook: DagConfigHook, silent: threading.Event) -> None:
    open_one = hook.get_conn

    def get_conn() -> Any:
        connection = open_one()
        silent.set()
        return connection

    hook.get_conn = get_conn  # type: ignore[method-assign]


def test_a_frozen_server_process_is_unreachable_and_the_change_is_not_made(
    migrated_database: Database, hook: DagConfigHook, no_answer: None
) -> None:
    frozen: list[int] = []

    def change_and_freeze() -> None:
        with hook.transaction():
            hook.update_dag_config(*JOB, batch_size=7)
            frozen.extend(pid for (pid,) in migrated_database.execute(IDLE_IN_TRANSACTION))
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            hook.get_dag_config(*JOB)

    try:
        with pytest.raises(DagConfigUnreachableError, match="it has not answered for"):
            change_and_freeze()
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert len(frozen) == 1
    monitor = DagConfigHook.from_url(migrated_database.url)
    assert monitor.get_dag_config(*JOB).batch_size == 500


def test_a_change_whose_commit_is_not_answered_is_said_to_be_in_doubt(migrated_database: Database, no_answer: None) -> None:
    with proxy(migrated_database.server.port) as line:
        through = replace(migrated_database, server=replace(migrated_database.server, port=line.port))
        hook = DagConfigHook.from_url(through.url)

        def change() -> None:
            with hook.transaction():
                hook.update_dag_config(*JOB, batch_size=7)
                line.silent.set()

        with pytest.raises(DagConfigUnreachableError, match=r"Whether it was made is not known; .* airflow dagconfig history"):
            change()

    assert DagConfigHook.from_url(migrated_database.url).get_dag_config(*JOB).batch_size == 7


# Round trips, settings, PgBouncer


@pytest.mark.parametrize("read", [name for name in READS if name not in ("get_change", "get_override")])
def test_reading_is_one_round_trip(migrated_database: Database, read: str) -> None:
    with proxy(migrated_database.server.port) as line:
        through = replace(migrated_database, server=replace(migrated_database.server, port=line.port))
        hook = DagConfigHook.from_url(through.url)
        hook.get_conn().close()
        READS[read](hook)

        [connecting_only, with_a_read] = line.turns()
        assert with_a_read == connecting_only + 1


def test_a_stricter_bound_of_the_users_stays_and_a_looser_one_does_not(migrated_database: Database, impatient: None) -> None:
    def bounds_with(options: str) -> list[Any]:
        target = Target.from_url(f"{migrated_database.url}?options={options}")
        with target.connect() as connection:
            session = Session(connection, target.location, target.connect, print)
            with session.transaction(sessions.READING):
                return [connection.execute(f"SHOW {name}").fetchone()[0] for name in ("lock_timeout", "statement_timeout")]

    assert bounds_with("") == ["1s", "1min"]
    assert bounds_with("-c%20lock_timeout%3D10ms%20-c%20statement_timeout%3D5s") == ["10ms", "5s"]
    assert bounds_with("-c%20lock_timeout%3D2h%20-c%20statement_timeout%3D1d") == ["1s", "1min"]


def test_a_connection_for_other_uses_is_as_airflow_makes_it(migrated_database: Database, hook: DagConfigHook) -> None:
    hook.get_dag_config(*JOB)
    with hook.get_conn() as connection:
        assert connection.autocommit is False
        assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


@pytest.fixture
def pooled(migrated_database: Database) -> Iterator[Database]:
    with pgbouncer(migrated_database) as through:
        yield through


def test_through_pgbouncer_the_bounds_hold_and_nobody_inherits_them(
    migrated_database: Database, pooled: Database, impatient: None
) -> None:
    hook = DagConfigHook.from_url(pooled.url)
    told: list[str] = []
    hook.waiting = told.append
    with holding(migrated_database, lock("dag_configuration")) as holder:
        named = rf"session {holder.pid} \(user postgres, application nightly report"
        with pytest.raises(DagConfigBusyError, match=named):
            hook.get_dag_config(*JOB)
        with pytest.raises(DagConfigBusyError, match=named):
            hook.update_dag_config(*JOB, batch_size=7)
    assert re.search(named, told[-1])

    hook.update_dag_config(*JOB, batch_size=7)

    with psycopg.connect(pooled.url, autocommit=True) as next_client:
        settings = [next_client.execute(f"SHOW {n}").fetchone() for n in ("lock_timeout", "statement_timeout")]
        open_transactions = migrated_database.execute(IDLE_IN_TRANSACTION)
    assert (settings, open_transactions) == ([("0",), ("0",)], [])


def test_through_pgbouncer_a_migration_lets_others_go_first(migrated_database: Database, pooled: Database, patient: None) -> None:
    with holding(migrated_database, f"SELECT FROM {S}.dag_configuration") as reader:

        def waiting(text: str) -> None:
            if f"session {reader.pid} (" in text:
                reader.connection.rollback()

        assert [step.version for step in migrate(pooled.url, to=8, waiting=waiting)][-1] == 9


def test_a_pooler_without_a_free_connection_is_unreachable(migrated_database: Database, pooled: Database, no_answer: None) -> None:
    open_ones = [psycopg.connect(pooled.url) for _ in range(3)]  # as many as the pool has
    try:
        for each in open_ones:
            each.execute("SELECT 1")

        with pytest.raises(DagConfigUnreachableError, match=r"the pooler before it, hangs or is overloaded"):
            DagConfigHook.from_url(pooled.url).get_dag_config(*JOB)
    finally:
        for each in open_ones:
            each.close()


def test_a_prepared_transaction_is_named_with_its_remedy(impatient: None) -> None:
    with running_server(int(os.environ.get("DAGCONFIG_TEST_POSTGRES", "16"))) as server:
        server.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
        server.stop()
        server.start()
        with new_database(server) as database:
            migrate(database.url)
            with psycopg.connect(database.url) as connection:
                connection.execute(lock("dag_configuration").encode())
                connection.execute("PREPARE TRANSACTION 'left over'")
                connection.commit()
            hook = DagConfigHook.from_url(database.url)
            for act in (READS["get_dag_config"], CHANGES["update_dag_config"]):
                with pytest.raises(DagConfigBusyError, match=r"a prepared transaction holds it .* ROLLBACK PREPARED 'GID';$"):
                    act(hook)
            server.execute("ROLLBACK PREPARED 'left over'", database=database.name)
