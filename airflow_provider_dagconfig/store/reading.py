"""Reads what is in force: the configuration that a task runs with, and the listings for people."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import sql

from airflow_provider_dagconfig.exceptions import DagConfigCeilingError, DagConfigInvalidError, DagConfigNotFoundError
from airflow_provider_dagconfig.models import (
    CONFIG_COLUMNS,
    GROUP_COLUMNS,
    OVERRIDE_COLUMNS,
    Change,
    DagConfig,
    ExchangeGroup,
    GroupRow,
    Installation,
    InvalidRowError,
    JobRow,
    Override,
    RowChange,
    json_number,
    quoted_schema,
    read_moment,
)
from airflow_provider_dagconfig.models.ceiling import Ceiling, problem_of
from airflow_provider_dagconfig.store.connection import ConnectedStore
from airflow_provider_dagconfig.store.sessions import Session
from airflow_provider_dagconfig.wording import did_you_mean, printables

_log = logging.getLogger(__name__)
_CONFIGURABLE = sql.SQL(", ").join(map(sql.Literal, CONFIG_COLUMNS))

# One row for each requested job, whatever is missing. effective_dag_config() is called only for a job without a row or with
# overrides, which are rare, so a listing does not call it for each job. ``disabled`` is the audit entry, of the row or of an
# override, that disabled the job.
_CONFIGS = sql.SQL("""
    SELECT
        installation.installation_id, installation.created_at AS installed_at,
        asked.dag_name, asked.job_name, config.id, config.updated_at, config.version, effective.sources, active.overrides,
        bounds.ceilings,
        {effective_columns}, {row_columns}, {group_columns},
        change.audit_id, change.changed_by, change.changed_at, change.reason, change.session_user_name,
        disabled.audit_id AS disabled_audit_id, disabled.changed_by AS disabled_by, disabled.changed_at AS disabled_at,
        disabled.reason AS disabled_reason, disabled.session_user_name AS disabled_session,
        last.audit_id AS last_audit_id, last.changed_by AS last_by, last.changed_at AS last_at, last.reason AS last_reason,
        last.session_user_name AS last_session, last.operation AS last_operation, last.differences AS last_differences
    FROM ({asked}) AS asked
    LEFT JOIN {schema}.dagconfig_installation AS installation ON true
    LEFT JOIN {schema}.dag_configuration AS config
        ON config.dag_name = asked.dag_name AND config.job_name = asked.job_name
    LEFT JOIN {schema}.exchange_groups AS exchange_group ON exchange_group.group_name = asked.group_name
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(to_jsonb(o) - 'in_force' ORDER BY o.override_id DESC) AS overrides
        FROM {schema}.dag_configuration_override_periods AS o
        WHERE o.dag_name = asked.dag_name AND o.job_name = asked.job_name AND o.in_force @> now()
    ) AS active ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(to_jsonb(c)) AS ceilings
        FROM {schema}.dagconfig_ceilings AS c
        WHERE c.dag_name IS NULL OR c.dag_name = asked.dag_name
    ) AS bounds ON true
    CROSS JOIN LATERAL (
        SELECT {config_columns}, NULL::jsonb AS sources
        WHERE config.id IS NOT NULL AND active.overrides IS NULL
        UNION ALL
        SELECT {overridden_columns}, overridden.sources
        FROM {schema}.effective_dag_config(asked.dag_name, asked.job_name) AS overridden
        WHERE config.id IS NULL OR active.overrides IS NOT NULL
    ) AS effective
    LEFT JOIN LATERAL (
        SELECT a.audit_id, a.changed_by, a.changed_at, a.reason, a.session_user_name
        FROM {schema}.dag_configuration_audit AS a
        WHERE
            a.dag_name = asked.dag_name AND a.job_name = asked.job_name
            AND (config.id IS NOT NULL OR active.overrides IS NOT NULL)
        ORDER BY a.audit_id DESC
        LIMIT 1
    ) AS change ON true
    LEFT JOIN LATERAL (
        SELECT
            a.audit_id, a.changed_by, a.changed_at, a.reason, a.session_user_name, a.operation,
            (
                SELECT jsonb_object_agg(c.name, jsonb_build_array(a.old_values -> c.name, a.new_values -> c.name))
                FROM unnest(a.changed_columns) AS c (name)
                WHERE a.operation = 'UPDATE' AND c.name IN ({configurable})
            ) AS differences
        FROM {schema}.dag_configuration_audit AS a
        WHERE a.table_name = 'dag_configuration' AND a.dag_name = asked.dag_name AND a.job_name = asked.job_name
        ORDER BY a.audit_id DESC
        LIMIT 1
    ) AS last ON true
    LEFT JOIN LATERAL (
        SELECT a.audit_id, a.changed_by, a.changed_at, a.reason, a.session_user_name
        FROM {schema}.dag_configuration_audit AS a
        WHERE
            NOT effective.enabled
            AND a.dag_name = asked.dag_name AND a.job_name = asked.job_name
            AND a.override_id IS NOT DISTINCT FROM substring(effective.sources ->> 'enabled' FROM 'override ([0-9]+)')::bigint
            AND a.new_values ->> 'enabled' = 'false' AND a.old_values ->> 'enabled' IS DISTINCT FROM 'false'
        ORDER BY a.audit_id DESC
        LIMIT 1
    ) AS disabled ON true
    ORDER BY asked.dag_name, effective.priority DESC NULLS LAST, asked.job_name
""")
_ONE_JOB = sql.SQL("SELECT %(dag_name)s::text AS dag_name, %(job_name)s::text AS job_name, %(group_name)s::text AS group_name")
_ALL_JOBS = sql.SQL("""
    SELECT c.dag_name::text, c.job_name::text, NULL::text AS group_name
    FROM {schema}.dag_configuration AS c
    WHERE %(dag_name)s::text IS NULL OR c.dag_name = %(dag_name)s::text
    UNION
    SELECT o.dag_name::text, o.job_name::text, NULL::text
    FROM {schema}.dag_configuration_override_periods AS o
    WHERE (%(dag_name)s::text IS NULL OR o.dag_name = %(dag_name)s::text) AND o.in_force @> now()
""")
_GROUP_VALUES = ("group_name", *GROUP_COLUMNS, "version")
_GROUPS = sql.SQL("""
    SELECT {columns}
    FROM {schema}.exchange_groups AS exchange_group
    WHERE enabled ORDER BY priority DESC NULLS LAST, group_name
""")
_GROUP = sql.SQL("""
    SELECT {columns}
    FROM {schema}.exchange_groups AS exchange_group
    WHERE group_name = %(group_name)s
""")
_ALL_GROUPS = sql.SQL("""
    SELECT
        {columns}, exchange_group.updated_at,
        change.audit_id, change.changed_by, change.changed_at, change.reason, change.session_user_name
    FROM {schema}.exchange_groups AS exchange_group
    LEFT JOIN LATERAL (
        SELECT a.audit_id, a.changed_by, a.changed_at, a.reason, a.session_user_name
        FROM {schema}.dag_configuration_audit AS a
        WHERE a.group_name = exchange_group.group_name
        ORDER BY a.audit_id DESC
        LIMIT 1
    ) AS change ON true
    ORDER BY exchange_group.priority DESC NULLS LAST, exchange_group.group_name
""")
_CEILINGS = sql.SQL("""
    SELECT dag_name, name, value, not_valid, set_by, updated_at, reason
    FROM {schema}.dagconfig_ceilings
    WHERE %(dag_name)s::text IS NULL OR dag_name IS NULL OR dag_name = %(dag_name)s::text
    ORDER BY dag_name NULLS FIRST, name
""")
_INSTALLATION = sql.SQL("SELECT installation_id, created_at AS installed_at FROM {schema}.dagconfig_installation")
_GROUP_NAMES = sql.SQL("SELECT group_name FROM {schema}.exchange_groups ORDER BY group_name")
_GROUP_DISABLED_CHANGE = sql.SQL("""
    SELECT a.audit_id, a.changed_by, a.changed_at, a.reason, a.session_user_name
    FROM {schema}.dag_configuration_audit AS a
    WHERE
        a.group_name = %(group_name)s::text
        AND a.new_values ->> 'enabled' = 'false' AND a.old_values ->> 'enabled' IS DISTINCT FROM 'false'
    ORDER BY a.audit_id DESC
    LIMIT 1
""")
_JOB_NAMES = sql.SQL("""
    SELECT job_name::text FROM {schema}.dag_configuration WHERE dag_name = %(dag_name)s
    UNION
    SELECT group_name::text FROM {schema}.exchange_groups
    ORDER BY 1
""")


class TaskConfig(NamedTuple):
    """All that a task needs: its job's configuration, its exchange group, the store's id, and the ceilings of its DAG."""

    config: DagConfig
    group: ExchangeGroup | None
    installation: Installation
    ceilings: tuple[Ceiling, ...]
    """The DAG's own, and those of all DAGs."""


class ReadingStore(ConnectedStore):
    """The part of the store that reads what is in force."""

    def get_dag_config(self, dag_name: str, job_name: str = "all") -> DagConfig:
        """
        Return the configuration that a job runs with, with its overrides; also of a disabled job. Without a row it is the defaults.

        A mistyped name has no row: ``origin`` of the result says whether the defaults are in force.

        :raises DagConfigInvalidError: a value in force cannot be used.
        """
        return self.get_task_config(dag_name, job_name, exchange_group=None).config

    def get_task_config(
        self, dag_name: str, job_name: str, exchange_group: str | None, run_overrides: Mapping[str, Any] | None = None
    ) -> TaskConfig:
        """
        Return a job's configuration with overrides, its exchange group, the store's id and the ceilings, in one round trip.

        :param exchange_group: the group's name; None for a job without one.
        :param run_overrides: column to value, for this call alone; they win over all other values (see run_overrides.py).
        :raises DagConfigInvalidError: a value in force, or a value of the group, cannot be used.
        :raises DagConfigCeilingError: a value of the run, or a default where there is no row, is above a ceiling. It is not raised
            where the job or the group is disabled.
        :raises DagConfigNotFoundError: there is no such group.
        """
        parameters = {"dag_name": dag_name, "job_name": job_name, "group_name": exchange_group}
        with self._open() as session:
            row = session.rows(self._configs_query(_ONE_JOB), parameters)[0]
            if exchange_group is not None and row["group_group_name"] is None:
                raise self._group_not_found(session, exchange_group)
        config = self._config(row, run_overrides or {})
        group = None if exchange_group is None else self._group(_values(row, "group_", _GROUP_VALUES))
        ceilings = _ceilings(row)
        if group is None or group.enabled:
            self._check_ceilings(config, ceilings)
        return TaskConfig(config, group, self._installation(row), ceilings)

    def _check_ceilings(self, config: DagConfig, ceilings: Iterable[Ceiling]) -> None:
        if config.enabled and (problem := problem_of(config, ceilings, self.location.command)):
            raise DagConfigCeilingError(problem)

    def get_ceilings(self, dag_name: str | None = None) -> list[Ceiling]:
        """
        Return all ceilings, or those that apply to a DAG: its own and those of all DAGs. Of two with one name the lower applies.

        :param dag_name: the DAG's id; None for all ceilings.
        """
        return [Ceiling(**row) for row in self._ask(_CEILINGS, {"dag_name": dag_name})]

    def get_installation(self) -> Installation:
        """Return the store's id, which is part of the names of its jobs' pods."""
        rows = self._ask(_INSTALLATION, {})
        return self._installation(rows[0] if rows else {"installation_id": None, "installed_at": None})

    def get_dag_configs(self, dag_name: str | None = None) -> list[JobRow]:
        """
        Return all jobs, or a DAG's, by DAG, priority (highest first) and name.

        A job that cannot run is included; its ``problem`` says why.
        """
        with self._open() as session:
            rows = session.rows(self._configs_query(_ALL_JOBS), {"dag_name": dag_name})
        return [self._job_row(row) for row in rows]

    def get_dag_config_row(self, dag_name: str, job_name: str = "all") -> JobRow:
        """Return one job as ``get_dag_configs`` does. Without a row, its ``row`` is None and its values are the defaults."""
        parameters = {"dag_name": dag_name, "job_name": job_name, "group_name": None}
        with self._open() as session:
            return self._job_row(session.rows(self._configs_query(_ONE_JOB), parameters)[0])

    def get_job_names(self, dag_name: str) -> list[str]:
        """Return the names that a job of a DAG may have: those of its rows and of the exchange groups."""
        return [row["job_name"] for row in self._ask(_JOB_NAMES, {"dag_name": dag_name})]

    def get_exchange_groups(self) -> list[ExchangeGroup]:
        """
        Return the enabled groups, by priority (highest first), then name.

        A group that cannot be used is left out; the log says which and why. ``get_all_exchange_groups`` includes it.
        """
        values = [_values(row, "group_", _GROUP_VALUES) for row in self._group_rows(_GROUPS)]
        problems = {row["group_name"]: self._group_problem(row) for row in values}
        for problem in filter(None, problems.values()):
            _log.error("An exchange group is left out (%s): %s", *printables(self.location, problem))
        return [self._group(row) for row in values if problems[row["group_name"]] is None]

    def get_exchange_group_names(self) -> list[str]:
        """
        Return the names of the enabled groups, by priority (highest first), then name.

        A group that cannot be used is included, so that only its own job fails.
        """
        return [row["group_group_name"] for row in self._group_rows(_GROUPS)]

    def get_all_exchange_groups(self) -> list[GroupRow]:
        """
        Return all groups, also disabled ones, by priority (highest first), then name.

        A group that cannot be used is included; its ``problem`` says why.
        """
        return [self._group_row(row) for row in self._group_rows(_ALL_GROUPS)]

    def get_group_disabled_change(self, name: str) -> Change | None:
        """Return the last audit entry that disabled a group; None where the audit has none."""
        rows = self._ask(_GROUP_DISABLED_CHANGE, {"group_name": name})
        return _change(rows[0]) if rows else None

    def get_exchange_group(self, name: str) -> ExchangeGroup:
        """
        Return one group, even if it is disabled.

        :raises DagConfigNotFoundError: there is no such group.
        :raises DagConfigInvalidError: it has no exchanges.
        """
        with self._open() as session:
            rows = session.rows(self._groups_query(_GROUP), {"group_name": name})
            if not rows:
                raise self._group_not_found(session, name)
        return self._group(_values(rows[0], "group_", _GROUP_VALUES))

    def _configs_query(self, jobs: sql.SQL) -> sql.Composed:
        return _CONFIGS.format(
            config_columns=_select(CONFIG_COLUMNS, "config"),
            overridden_columns=_select(CONFIG_COLUMNS, "overridden"),
            effective_columns=_select(CONFIG_COLUMNS, "effective", "config_"),
            row_columns=_select(CONFIG_COLUMNS, "config", "row_"),
            group_columns=_select(_GROUP_VALUES, "exchange_group", "group_"),
            configurable=_CONFIGURABLE,
            asked=jobs.format(schema=self._schema),
            schema=self._schema,
        )

    def _groups_query(self, query: sql.SQL) -> sql.Composed:
        return query.format(columns=_select(_GROUP_VALUES, "exchange_group", "group_"), schema=self._schema)

    def _group_rows(self, query: sql.SQL) -> list[dict[str, Any]]:
        with self._open() as session:
            return session.rows(self._groups_query(query), {})

    def _installation(self, row: Mapping[str, Any]) -> Installation:
        table = f"{quoted_schema(self.schema)}.dagconfig_installation"
        return Installation(row["installation_id"], row["installed_at"], table)

    def _config(self, row: Mapping[str, Any], run_overrides: Mapping[str, Any]) -> DagConfig:
        """Return the configuration in a result row of the query above."""
        overrides = _overrides(row)
        origin = f"{self.schema}.dag_configuration, row {row['id']}"
        if row["id"] is None:
            origin = f"defaults: no row for {row['dag_name']}/{row['job_name']} in {self.schema}.dag_configuration"
        notes = [str(override) for override in overrides]
        if row["config_enabled"] is not True and run_overrides.get("enabled"):
            run_overrides = {column: value for column, value in run_overrides.items() if column != "enabled"}
            notes.append("enabled of the dag run's conf does not count: it cannot switch on a job that is switched off")
        if run_overrides:
            notes.append(f"{', '.join(run_overrides)} by the dag run's conf")
        try:
            return DagConfig.from_row(
                {
                    **_values(row, "config_"),
                    **run_overrides,
                    "dag_name": row["dag_name"],
                    "job_name": row["job_name"],
                    "updated_at": row["updated_at"],
                    "version": row["version"],
                    "sources": _sources(row, overrides) | dict.fromkeys(run_overrides, "run"),
                    "overrides": overrides,
                },
                origin="; ".join([origin, *notes]),
                schema=self.schema,
                change=_change(row),
                row_change=_row_change(row),
                disabled_change=_change(_prefixed_entry(row, "disabled")),
            )
        except InvalidRowError as error:
            raise DagConfigInvalidError(str(error)) from error

    def _job_row(self, row: Mapping[str, Any]) -> JobRow:
        problem = None
        try:
            self._check_ceilings(self._config(row, {}), _ceilings(row))
        except DagConfigInvalidError as error:
            problem = str(error)
        overrides = _overrides(row)
        return JobRow(
            dag_name=row["dag_name"],
            job_name=row["job_name"],
            row=None if row["id"] is None else _with_json_numbers(_values(row, "row_")),
            values=_with_json_numbers(_values(row, "config_")),
            sources=_sources(row, overrides),
            version=row["version"],
            updated_at=row["updated_at"],
            change=_change(row),
            problem=problem,
            overrides=overrides,
        )

    def _group(self, row: Mapping[str, Any]) -> ExchangeGroup:
        try:
            return ExchangeGroup.from_row(row)
        except InvalidRowError as error:
            remedy = self.location.command("groups set", row["group_name"], *error.assignments)
            raise DagConfigInvalidError(f"{str(error).removesuffix(error.remedy)}{remedy}") from error

    def _group_row(self, row: Mapping[str, Any]) -> GroupRow:
        values = _values(row, "group_", _GROUP_VALUES)
        return GroupRow(
            group_name=values["group_name"],
            row={column: values[column] for column in GROUP_COLUMNS},
            version=values["version"],
            updated_at=row["updated_at"],
            change=_change(row),
            # A disabled group has a problem too: what it needs before it can be enabled.
            problem=self._group_problem({**values, "enabled": True}),
        )

    def _group_problem(self, values: Mapping[str, Any]) -> str | None:
        try:
            self._group(values)
        except DagConfigInvalidError as error:
            return str(error)
        return None

    def _group_not_found(self, session: Session, name: str) -> DagConfigNotFoundError:
        rows = session.rows(_GROUP_NAMES.format(schema=self._schema), {})
        names = [row["group_name"] for row in rows]
        return DagConfigNotFoundError(
            f"There is no exchange group {name!r} ({self.location}).{did_you_mean(name, names)}"
            f" There are: {', '.join(names) or 'none'}."
        )


def override_of(row: Mapping[str, Any]) -> Override:
    """Read a row of ``dag_configuration_overrides``, from the table or as JSON."""
    # JSON has moments as texts.
    moments = {
        name: read_moment(row[name]) if isinstance(row[name], str) else row[name]
        for name in ("starts_at", "ends_at", "created_at", "ended_at")
    }
    return Override(
        override_id=row["override_id"],
        dag_name=row["dag_name"],
        job_name=row["job_name"],
        values=_with_json_numbers({column: row[column] for column in OVERRIDE_COLUMNS if row[column] is not None}),
        reason=row["reason"],
        created_by=row["created_by"],
        state=row["state"],
        **moments,
    )


def _with_json_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers as the audit has them, whose rows are JSON, so that the two can be compared."""
    return {column: json_number(value) if isinstance(value, Decimal) else value for column, value in values.items()}


def _select(columns: Iterable[str], table: str, prefix: str = "") -> sql.SQL:
    """
    Return the columns of one table, under names that cannot clash with another table's.

    Hot: each task composes its query once. All names are constants of this package, which SQL reads without quotes.
    """
    return sql.SQL(", ".join(f"{table}.{column} AS {prefix}{column}" for column in columns))


def _values(row: Mapping[str, Any], prefix: str, columns: Iterable[str] = CONFIG_COLUMNS) -> dict[str, Any]:
    """Return the columns of one table in a result row, under the table's own names."""
    return {column: row[prefix + column] for column in columns}


def _ceilings(row: Mapping[str, Any]) -> tuple[Ceiling, ...]:
    # JSON has moments as texts.
    return tuple(Ceiling(**{**ceiling, "updated_at": read_moment(ceiling["updated_at"])}) for ceiling in row["ceilings"] or ())


def _overrides(row: Mapping[str, Any]) -> tuple[Override, ...]:
    return tuple(override_of({**override, "state": "active"}) for override in row["overrides"] or ())


def _sources(row: Mapping[str, Any], overrides: Sequence[Override]) -> dict[str, str]:
    """Return where the value of each column is from; for an override, also until when."""
    # Without overrides the database returns no sources: all values are the row's.
    sources = row["sources"] or dict.fromkeys(CONFIG_COLUMNS, "row")
    texts = {f"override {override.override_id}": override.source for override in overrides}
    return {column: texts.get(source, source) for column, source in sources.items()}


def _prefixed_entry(row: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    """Return one audit entry of a result row of the query above, under the entry's own column names."""
    names = {"audit_id": "audit_id", "changed_by": "by", "changed_at": "at", "reason": "reason", "session_user_name": "session"}
    return {name: row[f"{prefix}_{suffix}"] for name, suffix in names.items()}


def _change(row: Mapping[str, Any]) -> Change | None:
    if row["audit_id"] is None or row["changed_at"] is None:
        return None
    return Change(row["audit_id"], row["changed_by"], row["changed_at"], row["reason"], row["session_user_name"])


def _row_change(row: Mapping[str, Any]) -> RowChange | None:
    change = _change(_prefixed_entry(row, "last"))
    if change is None:
        return None
    differences = {column: tuple(values) for column, values in (row["last_differences"] or {}).items()}
    return RowChange(**vars(change), operation=row["last_operation"], differences=differences)
