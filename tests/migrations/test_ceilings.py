"""Ceilings in the database: what is above one is refused, whoever writes it and however; only the tables' owner sets one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from plugins.postgres import Database, Server, make_live, new_database

from airflow_provider_dagconfig.store.migrate import migrate

S = "financial_screener"
DAG = "data_collection_equities"
CEILINGS = f"SELECT dag_name, name, value, not_valid, set_by, reason FROM {S}.dagconfig_ceilings ORDER BY 1 NULLS FIRST, 2"
ABOVE = (
    f"SELECT dag_name, job_name, override_id, column_name, value, ceiling_dag_name, ceiling_value FROM {S}.ceiling_violations()"
    " ORDER BY 1, 2, 3 NULLS FIRST, 4"
)


@pytest.fixture(params=[15, 16, 18], ids="PostgreSQL {}".format)
def database(request: pytest.FixtureRequest, postgres_of: Callable[[int], Server]) -> Iterator[Database]:
    with new_database(postgres_of(request.param)) as database:
        yield database


def set_ceiling(database: Database, name: str, value: str, dag: str | None = None, **arguments: Any) -> None:
    given = {"name": name, "value": value, "dag_name": dag, **arguments}
    parameters = ", ".join(f"p_{each} => %({each})s" for each in given)
    database.execute(f"SELECT {S}.set_ceiling({parameters})", given)


def refusal(database: Database, statement: str, error: type[psycopg.Error] = psycopg.errors.CheckViolation) -> psycopg.Error:
    with pytest.raises(error) as raised:
        database.execute(statement)
    return raised.value


def test_up_down_and_up_again(database: Database) -> None:
    migrate(database.url)
    set_ceiling(database, "memory", "8Gi", updated_by="ann", reason="budget")
    assert "memory = 8Gi" in str(refusal(database, f"UPDATE {S}.dag_configuration SET memory_limit = '9Gi'"))

    migrate(database.url, to=15)
    database.execute(f"UPDATE {S}.dag_configuration SET memory_limit = '9Gi'")
    assert database.execute(f"SELECT count(*) FROM {S}.dag_configuration_audit WHERE table_name = 'dagconfig_ceilings'") == [(1,)]

    migrate(database.url)
    assert database.execute(CEILINGS) == []
    with pytest.raises(psycopg.DatabaseError, match="below what is in force"):
        set_ceiling(database, "memory", "8Gi")


def test_an_adopted_database_has_them_and_goes_back(database: Database) -> None:
    """Its audit required a DAG and a job of each entry; a ceiling has no job."""
    make_live(database, "in_use")
    migrate(database.url)
    set_ceiling(database, "memory", "512Gi")
    set_ceiling(database, "memory", "256Gi", DAG)
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute(f"INSERT INTO {S}.dag_configuration_audit (table_name, operation) VALUES ('dag_configuration', 'UPDATE')")
    migrate(database.url, to=8)
    migrate(database.url)
    set_ceiling(database, "memory", "512Gi")


WRITES = [
    pytest.param(f"UPDATE {S}.dag_configuration SET memory_limit = '9Gi' WHERE job_name = 'lse'", id="UPDATE"),
    pytest.param(
        f"INSERT INTO {S}.dag_configuration (dag_name, job_name, memory_limit) VALUES ('{DAG}', 'lze', '9Gi')", id="INSERT"
    ),
    pytest.param(f"SELECT {S}.update_dag_config('{DAG}', 'lse', p_memory_limit => '9216Mi')", id="update_dag_config"),
    pytest.param(f"SELECT {S}.update_dag_config('{DAG}', 'lze', p_memory_limit => '9216Mi')", id="a row that is made"),
    pytest.param(
        f"SELECT {S}.override_dag_config('{DAG}', 'lse', now() + interval '1 hour', 'why', p_memory_limit => '9Gi')",
        id="an override",
    ),
    pytest.param(
        f"SELECT {S}.override_dag_config('{DAG}', 'lse', now() + interval '9 days', 'why', p_memory_limit => '9e9',"
        " p_starts_at => now() + interval '8 days')",
        id="an override to come",
    ),
    pytest.param(f"SELECT {S}.rollback_dag_config('{DAG}', 'us_markets', %(then)s)", id="back to a moment"),
    pytest.param(f"SELECT {S}.rollback_change(%(entry)s)", id="a change undone"),
    pytest.param(f"UPDATE {S}.dag_configuration SET dag_name = '{DAG}' WHERE dag_name = 'roomy'", id="a row that moves to the DAG"),
]


@pytest.fixture(scope="module")
def bounded(postgres: Server) -> Iterator[Database]:
    """All DAGs have 100Gi, one DAG 8Gi, which a row of it had more than, and a row of another DAG has more than now."""
    with new_database(postgres) as database:
        migrate(database.url)
        database.execute(f"SELECT {S}.update_dag_config('{DAG}', 'us_markets', p_memory_limit => '16Gi')")
        database.execute(f"SELECT {S}.update_dag_config('{DAG}', 'us_markets', p_memory_limit => '2Gi')")
        database.execute(f"SELECT {S}.update_dag_config('roomy', 'all', p_memory_limit => '64Gi')")
        set_ceiling(database, "memory", "100Gi")
        set_ceiling(database, "memory", "8Gi", DAG, updated_by="ann", reason="budget")
        yield database


@pytest.mark.parametrize("statement", WRITES)
def test_a_value_above_a_ceiling_is_refused_with_the_ceiling_and_its_author(bounded: Database, statement: str) -> None:
    [(then, entry)] = bounded.execute(
        f"SELECT max(changed_at), max(audit_id) + 1 FROM {S}.dag_configuration_audit WHERE new_values ->> 'memory_limit' = '16Gi'"
    )
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        bounded.execute(statement, {"then": then, "entry": entry})

    told = raised.value.diag
    assert f"of {DAG}/" in (told.message_primary or "")
    assert f"is above the ceiling memory = 8Gi of DAG {DAG}, set by ann at 20" in (told.message_primary or "")
    assert (told.message_primary or "").endswith("+00:00 (budget)")
    assert "Write 8Gi or less. The owner of the tables may raise it: SELECT" in (told.message_hint or "")
    assert (told.column_name, told.constraint_name) == ("memory_limit", "ceiling_memory")


def test_the_owners_remedy_works_when_pasted(migrated_database: Database) -> None:
    set_ceiling(migrated_database, "cpu", "4", DAG)
    statement = f"UPDATE {S}.dag_configuration SET cpu_limit = '5500m' WHERE dag_name = '{DAG}'"

    migrated_database.execute((refusal(migrated_database, statement).diag.message_hint or "").partition(": ")[2])

    migrated_database.execute(statement)


@pytest.mark.parametrize("lower", [f"of DAG {DAG}", "of all DAGs"])
def test_of_two_both_hold_so_the_lower_one_does(migrated_database: Database, lower: str) -> None:
    set_ceiling(migrated_database, "cpu", "6" if lower == f"of DAG {DAG}" else "8", DAG)
    set_ceiling(migrated_database, "cpu", "8" if lower == f"of DAG {DAG}" else "6")
    told = str(refusal(migrated_database, f"UPDATE {S}.dag_configuration SET cpu_limit = '7' WHERE dag_name = '{DAG}'"))
    assert f"above the ceiling cpu = 6 {lower}" in told
    migrated_database.execute(f"UPDATE {S}.dag_configuration SET cpu_limit = '6.0'")


@pytest.mark.parametrize(
    ("name", "value", "column", "allowed", "too_much"),
    [
        ("cpu", "4", "cpu_limit", "4000m", "4001m"),
        ("cpu", "4500m", "cpu_limit", "4.5", "5"),
        ("memory", "8Gi", "memory_limit", "8192Mi", "8193Mi"),
        ("memory", "9G", "memory_limit", "8Gi", "9Gi"),
        ("memory", "8e9", "memory_limit", "8000M", "8000000001"),
        ("timeout_seconds", "3600", "timeout_seconds", "3600", "3601"),
        ("max_retries", "3", "max_retries", "3", "4"),
    ],
)
def test_amounts_are_compared_not_texts(
    migrated_database: Database, name: str, value: str, column: str, allowed: str, too_much: str
) -> None:
    set_ceiling(migrated_database, name, value)
    migrated_database.execute(f"UPDATE {S}.dag_configuration SET {column} = '{allowed}'")
    refusal(migrated_database, f"UPDATE {S}.dag_configuration SET {column} = '{too_much}'")


class TestBelowWhatIsInForce:
    """It is refused with the list, or set as not valid: what is there stays until it is changed."""

    @pytest.fixture
    def used(self, migrated_database: Database) -> tuple[Database, int, int]:
        """A row, an override in force and a planned one are above others; so was one that has ended."""
        database = migrated_database
        database.execute(f"SELECT {S}.update_dag_config('{DAG}', 'lse', p_memory_limit => '6Gi')")

        def override(job: str, memory: str, starts: str) -> int:
            [(number,)] = database.execute(
                f"SELECT {S}.override_dag_config('{DAG}', '{job}', now() + interval '9 days', 'why', p_memory_limit => '{memory}',"
                f" p_starts_at => now() + interval '{starts}')"
            )
            return int(number)

        now, later, ended = override("lse", "7Gi", "0"), override("us_markets", "8Gi", "8 days"), override("lse", "99Gi", "0")
        database.execute(f"SELECT {S}.end_override({ended})")
        return database, now, later

    def test_the_list_has_rows_and_overrides_in_force_and_to_come(self, used: tuple[Database, int, int]) -> None:
        database, now, later = used
        with pytest.raises(psycopg.DatabaseError) as raised:
            set_ceiling(database, "memory", "5Gi", DAG)
        assert raised.value.sqlstate == "DC409"
        assert raised.value.diag.message_primary == (
            f"the ceiling memory = 5Gi of DAG {DAG} is below what is in force: {DAG}/lse memory_limit 6Gi,"
            f" override {now} of {DAG}/lse memory_limit 7Gi, override {later} of {DAG}/us_markets memory_limit 8Gi"
        )
        assert database.execute(CEILINGS) == []
        set_ceiling(database, "memory", "8Gi", DAG)

    def test_a_plain_statement_is_held_to_it_too(self, used: tuple[Database, int, int]) -> None:
        database, *_ = used
        set_ceiling(database, "memory", "8Gi")
        refusal(database, f"UPDATE {S}.dagconfig_ceilings SET value = '5Gi'", psycopg.DatabaseError)
        refusal(database, f"INSERT INTO {S}.dagconfig_ceilings (name, value) VALUES ('cpu', '1')", psycopg.DatabaseError)

    def test_a_value_above_a_ceiling_that_is_not_valid_stays_until_it_is_changed(self, used: tuple[Database, int, int]) -> None:
        database, now, later = used
        set_ceiling(database, "memory", "5Gi", DAG, not_valid=True)
        assert database.execute(ABOVE) == [
            (DAG, "lse", None, "memory_limit", "6Gi", DAG, "5Gi"),
            (DAG, "lse", now, "memory_limit", "7Gi", DAG, "5Gi"),
            (DAG, "us_markets", later, "memory_limit", "8Gi", DAG, "5Gi"),
        ]
        database.execute(f"UPDATE {S}.dag_configuration SET enabled = FALSE, batch_size = 7")
        refusal(database, f"UPDATE {S}.dag_configuration SET memory_limit = '5500Mi' WHERE job_name = 'lse'")

        database.execute(f"UPDATE {S}.dag_configuration SET memory_limit = '5Gi' WHERE job_name = 'lse'")
        database.execute(f"SELECT {S}.end_override({now}), {S}.end_override({later})")
        assert database.execute(ABOVE) == []
        set_ceiling(database, "memory", "5Gi", DAG)
        assert database.execute(CEILINGS) == [(DAG, "memory", "5Gi", False, "system", None)]

    def test_a_long_list_is_cut_and_whole_in_the_detail(self, migrated_database: Database) -> None:
        with pytest.raises(psycopg.DatabaseError, match=r" cpu_request 500m, and 8 more\n") as raised:
            set_ceiling(migrated_database, "cpu", "1m")
        assert (raised.value.diag.message_detail or "").count("column_name") == 18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mem", "1Gi"), "name 'mem' of the ceiling of all DAGs must be cpu, memory, timeout_seconds or max_retries"),
        (("memory", "lots"), "the ceiling memory = 'lots' of all DAGs must be a Kubernetes quantity of at least 4Mi, such as 16Gi"),
        (("memory", "1Mi", DAG), f"the ceiling memory = '1Mi' of DAG {DAG} must be a Kubernetes quantity of at least 4Mi"),
        (("cpu", "1.5m"), "the ceiling cpu = '1.5m' of all DAGs must be a Kubernetes quantity of at least 1m, in steps of 1m"),
        (("cpu", None), "the ceiling cpu = NULL of all DAGs must be"),
        (("timeout_seconds", "1h"), "the ceiling timeout_seconds = '1h' of all DAGs must be a whole number of seconds from 1 to"),
        (("timeout_seconds", "0"), "the ceiling timeout_seconds = '0' of all DAGs must be a whole number of seconds from 1 to"),
        (("max_retries", "11"), "the ceiling max_retries = '11' of all DAGs must be a whole number from 0 to 10, such as 3"),
        (("cpu", "64", " x"), "dag_name ' x' of the ceiling cpu must be a name without blanks around it"),
        (("cpu", "64", "x\n"), "of the ceiling cpu must be a name without blanks around it"),
        (("cpu", "64", ""), "dag_name '' of the ceiling cpu must be a name without blanks around it"),
    ],
    ids=str,
)
def test_an_invalid_ceiling_is_refused(bounded: Database, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        set_ceiling(bounded, *arguments)
    assert message in str(raised.value)


def test_it_is_audited_who_set_it_when_and_why(migrated_database: Database) -> None:
    set_ceiling(migrated_database, "cpu", "8", updated_by="ann", reason="budget")
    set_ceiling(migrated_database, "cpu", "8", updated_by="bob")
    set_ceiling(migrated_database, "cpu", "16", updated_by="bob", reason="more machines")
    assert migrated_database.execute(CEILINGS) == [(None, "cpu", "16", False, "bob", "more machines")]
    migrated_database.execute(f"UPDATE {S}.dagconfig_ceilings SET value = '32', set_by = 'nobody', updated_at = '2001-01-01'")
    migrated_database.execute(f"SELECT {S}.remove_ceiling('cpu', p_updated_by => 'cem')")
    set_ceiling(migrated_database, "memory", "64Gi", DAG)
    migrated_database.execute(f"TRUNCATE {S}.dagconfig_ceilings")
    assert migrated_database.execute(f"""
        SELECT operation, dag_name, changed_by, reason, old_values ->> 'value', new_values ->> 'value', new_values ->> 'set_by',
            changed_at > now() - interval '1 day'
        FROM {S}.dag_configuration_audit WHERE table_name = 'dagconfig_ceilings' ORDER BY audit_id
    """) == [
        ("INSERT", None, "ann", "budget", None, "8", "ann", True),
        ("UPDATE", None, "bob", "more machines", "8", "16", "bob", True),
        ("UPDATE", None, "postgres", None, "16", "32", "postgres", True),
        ("DELETE", None, "cem", None, "32", None, None, True),
        ("INSERT", DAG, "system", None, None, "64Gi", "system", True),
        ("TRUNCATE", DAG, "postgres", None, "64Gi", None, None, True),
    ]
    assert refusal(migrated_database, f"SELECT {S}.remove_ceiling('cpu')", psycopg.DatabaseError).sqlstate == "DC404"


def test_an_entry_of_one_is_not_rolled_back_and_the_remedy_works_when_pasted(migrated_database: Database) -> None:
    set_ceiling(migrated_database, "cpu", "8", DAG)
    set_ceiling(migrated_database, "cpu", "16", DAG)
    migrated_database.execute(f"SELECT {S}.remove_ceiling('cpu', '{DAG}')")
    entries = migrated_database.execute(f"SELECT audit_id FROM {S}.dag_configuration_audit ORDER BY audit_id DESC LIMIT 3")
    for (entry,), left in zip(entries, [["16"], ["8"], []], strict=True):
        error = refusal(migrated_database, f"SELECT {S}.rollback_change({entry})", psycopg.DatabaseError)
        assert (error.sqlstate, error.diag.message_primary) == ("DC409", f"entry {entry} is of a ceiling, which is not rolled back")
        migrated_database.execute((error.diag.message_hint or "").partition(": ")[2])
        assert [value for _, _, value, *_ in migrated_database.execute(CEILINGS)] == left


@pytest.mark.parametrize("role", ["dagconfig_reader", "dagconfig_editor"])
def test_the_roles_read_them_and_only_the_owner_sets_them(bounded: Database, role: str) -> None:
    with bounded.role(role) as user, psycopg.connect(bounded.url_of(user), autocommit=True) as connection:
        assert connection.execute(f"SELECT count(*) FROM {S}.dagconfig_ceilings".encode()).fetchall() == [(2,)]
        assert connection.execute(f"SELECT count(*) FROM {S}.ceiling_violations()".encode()).fetchall() == [(0,)]
        for statement in (
            f"SELECT {S}.set_ceiling('memory', '1Ti')",
            f"SELECT {S}.remove_ceiling('memory')",
            f"UPDATE {S}.dagconfig_ceilings SET value = '1Ti'",
            f"INSERT INTO {S}.dagconfig_ceilings (name, value) VALUES ('cpu', '64')",
            f"DELETE FROM {S}.dagconfig_ceilings",
            f"TRUNCATE {S}.dagconfig_ceilings",
            f"UPDATE {S}.dagconfig_ceilings_guard SET times_set = 0",
            f"DELETE FROM {S}.dagconfig_ceilings_guard",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_who_owns_the_tables_sets_them_whatever_default_privileges_say(postgres: Server) -> None:
    with (
        new_database(postgres) as database,
        database.role(f"CREATE ON DATABASE {database.name}") as owner,
        database.role() as other,
    ):
        migrate(database.url_of(owner), to=15)
        database.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {S} GRANT ALL ON TABLES TO {other}")
        database.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {S} GRANT ALL ON FUNCTIONS TO {other}")
        database.execute(f"GRANT USAGE ON SCHEMA {S} TO {other}")
        migrate(database.url)
        with psycopg.connect(database.url_of(other), autocommit=True) as connection:
            for statement in (f"DELETE FROM {S}.dagconfig_ceilings", f"SELECT {S}.set_ceiling('cpu', '64')"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
        with psycopg.connect(database.url_of(owner), autocommit=True) as connection:
            connection.execute(f"SELECT {S}.set_ceiling('cpu', '64')".encode())
            connection.execute(f"UPDATE {S}.dag_configuration SET cpu_limit = '32'".encode())


class TestTwoSessions:
    """The second transaction waits, and sees the changes of the first; no row is left above a ceiling."""

    RAISE = f"UPDATE {S}.dag_configuration SET memory_limit = '9Gi' WHERE (dag_name, job_name) = ('{DAG}', 'lse')"
    OTHERS = (
        pytest.param(RAISE, id="a row"),
        pytest.param(
            f"INSERT INTO {S}.dag_configuration (dag_name, job_name, memory_limit) VALUES ('d', 'j', '9Gi')", id="a new row"
        ),
        pytest.param(
            f"SELECT {S}.override_dag_config('{DAG}', 'lse', now() + interval '1 hour', 'why', p_memory_limit => '9Gi')",
            id="an override",
        ),
    )
    SET = f"SELECT {S}.set_ceiling('memory', '8Gi')"

    @staticmethod
    def second(database: Database, first: str, second: str, *before_second: str) -> psycopg.Error | None:
        """Run the second while the first is uncommitted, then commit the first; give the second's error."""
        errors: list[psycopg.Error | None] = []

        def run(connection: psycopg.Connection[Any]) -> None:
            try:
                connection.execute(second.encode())
                connection.commit()
                errors.append(None)
            except psycopg.Error as error:
                errors.append(error)

        with psycopg.connect(database.url) as one, psycopg.connect(database.url) as other:
            for statement in before_second:
                other.execute(statement.encode())
            one.execute(first.encode())
            thread = threading.Thread(target=run, args=(other,))
            thread.start()
            for _ in range(600):
                if database.execute("SELECT pg_blocking_pids(%s) <> '{}'", [other.info.backend_pid]) == [(True,)]:
                    break
                thread.join(timeout=0.1)
            one.commit()
            thread.join(timeout=60)
        [error] = errors
        return error

    @pytest.mark.parametrize("write", OTHERS)
    def test_a_write_waits_for_a_ceiling_that_is_being_set(self, migrated_database: Database, write: str) -> None:
        error = self.second(migrated_database, self.SET, write)
        assert isinstance(error, psycopg.errors.CheckViolation)
        assert migrated_database.execute(ABOVE) == []

    @pytest.mark.parametrize("write", OTHERS)
    def test_a_ceiling_waits_for_a_write_that_is_being_made(self, migrated_database: Database, write: str) -> None:
        error = self.second(migrated_database, write, self.SET)
        assert error is not None
        assert "the ceiling memory = 8Gi of all DAGs is below what is in force" in str(error)
        assert migrated_database.execute(CEILINGS) == []

    @pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
    @pytest.mark.parametrize("write", OTHERS)
    def test_a_transaction_that_sees_what_was_before_fails(self, migrated_database: Database, write: str, level: str) -> None:
        with psycopg.connect(migrated_database.url) as old:
            old.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
            old.execute("SELECT 1")
            old.execute(f"SELECT FROM {S}.dag_configuration".encode())
            migrated_database.execute(self.SET)
            with pytest.raises(psycopg.errors.SerializationFailure):
                old.execute(write.encode())
        assert migrated_database.execute(ABOVE) == []

    def test_a_ceiling_is_set_in_read_committed_only(self, migrated_database: Database) -> None:
        error = refusal(
            migrated_database, f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; {self.SET}", psycopg.errors.ActiveSqlTransaction
        )
        assert "in READ COMMITTED only" in str(error)

    def test_writers_do_not_wait_for_each_other(self, migrated_database: Database) -> None:
        set_ceiling(migrated_database, "memory", "8Gi")
        with psycopg.connect(migrated_database.url) as one, psycopg.connect(migrated_database.url) as other:
            other.execute("SET lock_timeout = '20s'")
            one.execute(f"UPDATE {S}.dag_configuration SET memory_limit = '7Gi' WHERE job_name = 'lse'".encode())
            other.execute(f"UPDATE {S}.dag_configuration SET memory_limit = '7Gi' WHERE job_name = 'us_markets'".encode())

    def test_a_job_can_be_disabled_while_a_ceiling_is_being_set(self, migrated_database: Database) -> None:
        with psycopg.connect(migrated_database.url) as one, psycopg.connect(migrated_database.url) as other:
            other.execute("SET lock_timeout = '20s'")
            one.execute(self.SET.encode())
            other.execute(f"UPDATE {S}.dag_configuration SET enabled = FALSE".encode())

    def test_a_guard_that_was_deleted_comes_back(self, migrated_database: Database) -> None:
        migrated_database.execute(f"DELETE FROM {S}.dagconfig_ceilings_guard")
        set_ceiling(migrated_database, "memory", "64Gi")
        assert isinstance(self.second(migrated_database, self.SET, self.RAISE), psycopg.errors.CheckViolation)
