-- 009: the tables as they are above 008: an audit of groups and overrides too, a version for every row, times with their zone,
-- overrides, and the store's id. What works on them is in the files after this one.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 009_tables.sql
--
-- or `airflow dagconfig migrate`. It needs 008 and may be repeated. The way back is 009_tables.down.sql. How the schema's name
-- is replaced is said in 008_dag_configuration_tables.sql.
--
-- Times without a zone were written by now() in some session's zone, which nobody recorded: they are taken in the zone of the
-- session that migrates (SHOW timezone).

DO $$
DECLARE
    zoneless record;
BEGIN
    FOR zoneless IN
        SELECT a.attrelid::pg_catalog.regclass AS relation, a.attname
        FROM pg_catalog.pg_attribute AS a
        WHERE
            a.attrelid IN (
                'financial_screener.dag_configuration'::pg_catalog.regclass,
                'financial_screener.exchange_groups'::pg_catalog.regclass,
                'financial_screener.dag_configuration_audit'::pg_catalog.regclass
            )
            AND a.attname IN ('created_at', 'updated_at', 'changed_at')
            AND a.atttypid = 'timestamp without time zone'::pg_catalog.regtype
    LOOP
        EXECUTE pg_catalog.format(
            'ALTER TABLE %s ALTER COLUMN %I TYPE timestamp with time zone', zoneless.relation, zoneless.attname
        );
    END LOOP;
END
$$;

-- A column of somebody else's by one of these names would be taken for ours, and hold something else.
DO $$
DECLARE
    taken record;
BEGIN
    SELECT a.attrelid::pg_catalog.regclass AS relation, a.attname INTO taken
    FROM (VALUES
        ('financial_screener.dag_configuration'::pg_catalog.regclass, 'version', 'bigint'::pg_catalog.regtype),
        ('financial_screener.exchange_groups'::pg_catalog.regclass, 'version', 'bigint'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'table_name', 'text'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'group_name', 'text'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'override_id', 'bigint'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'session_user_name', 'text'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'reason', 'text'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'changed_columns', 'text[]'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'row_version', 'bigint'::pg_catalog.regtype)
    ) AS ours (relation, name, type)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = ours.relation AND a.attname = ours.name AND NOT a.attisdropped
    WHERE a.atttypid <> ours.type
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% has a column % of another kind than the one that 009 makes', taken.relation, taken.attname
        USING HINT = pg_catalog.format(
            'ALTER TABLE %s RENAME COLUMN %I TO %I; then migrate again.', taken.relation, taken.attname, 'former_' || taken.attname
        );
    END IF;
END
$$;

ALTER TABLE financial_screener.dag_configuration ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 1;
ALTER TABLE financial_screener.exchange_groups ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 1;

-- table_name: the entries until now are all of dag_configuration.
ALTER TABLE financial_screener.dag_configuration_audit
ALTER COLUMN changed_at SET DEFAULT pg_catalog.clock_timestamp(),
ADD COLUMN IF NOT EXISTS table_name text NOT NULL DEFAULT 'dag_configuration',
ADD COLUMN IF NOT EXISTS group_name text,
ADD COLUMN IF NOT EXISTS override_id bigint,
ADD COLUMN IF NOT EXISTS session_user_name text,
ADD COLUMN IF NOT EXISTS reason text,
ADD COLUMN IF NOT EXISTS changed_columns text[],
ADD COLUMN IF NOT EXISTS row_version bigint;

CREATE INDEX IF NOT EXISTS dag_configuration_audit_group
ON financial_screener.dag_configuration_audit (group_name, audit_id) WHERE group_name IS NOT NULL;

-- A version is that of one state. An index sees what other transactions have written, which a snapshot may not.
CREATE UNIQUE INDEX IF NOT EXISTS dag_configuration_audit_version
ON financial_screener.dag_configuration_audit (
    table_name, coalesce(group_name, dag_name), coalesce(job_name, ''), row_version
) WHERE row_version IS NOT NULL;

-- The audit of an adopted installation may require dag_name and job_name, and a group's entry has neither. A job's still needs what
-- the installation required; the constraint also tells the way back that it was required.
DO $$
DECLARE
    required record;
BEGIN
    FOR required IN
        SELECT a.attname
        FROM pg_catalog.pg_attribute AS a
        WHERE
            a.attrelid = 'financial_screener.dag_configuration_audit'::pg_catalog.regclass
            AND a.attname IN ('dag_name', 'job_name')
            AND a.attnotnull
    LOOP
        EXECUTE pg_catalog.format(
            'ALTER TABLE financial_screener.dag_configuration_audit ALTER COLUMN %1$I DROP NOT NULL,'
            ' ADD CONSTRAINT %2$I CHECK (%1$I IS NOT NULL OR table_name = ''exchange_groups'')',
            required.attname, 'adopted_' || required.attname
        );
    END LOOP;
END
$$;

CREATE TABLE IF NOT EXISTS financial_screener.dag_configuration_overrides (
    override_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dag_name character varying(100) NOT NULL,
    job_name character varying(100) NOT NULL,
    cpu_request character varying(20),
    cpu_limit character varying(20),
    memory_request character varying(20),
    memory_limit character varying(20),
    batch_size integer,
    timeout_seconds integer,
    max_retries integer,
    retry_delay_minutes integer,
    retry_backoff_enabled boolean,
    enabled boolean,
    priority integer,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    created_by character varying(100) NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT pg_catalog.now(),
    ended_at timestamp with time zone,
    CONSTRAINT override_ends_after_it_starts CHECK (starts_at < ends_at AND pg_catalog.isfinite(ends_at)),
    CONSTRAINT override_ended_before_its_end CHECK (ended_at <= ends_at),
    CONSTRAINT override_has_a_reason CHECK (reason ~ '[^[:space:]]'),
    CONSTRAINT override_sets_something CHECK (
        pg_catalog.num_nonnulls(
            cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds, max_retries,
            retry_delay_minutes, retry_backoff_enabled, enabled, priority
        ) > 0
    )
);

CREATE INDEX IF NOT EXISTS dag_configuration_overrides_job
ON financial_screener.dag_configuration_overrides (dag_name, job_name, ends_at);

-- Two Airflows that share a namespace, each with a store, do not take each other's pods. The id stays when this is repeated.
CREATE TABLE IF NOT EXISTS financial_screener.dagconfig_installation (
    -- It becomes a label of pods, and a part of what their names are made from.
    installation_id text NOT NULL
        DEFAULT pg_catalog.left(pg_catalog.replace(pg_catalog.gen_random_uuid()::text, '-', ''), 10)
        CONSTRAINT dagconfig_installation_id_is_a_label
        CHECK (installation_id ~ '^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$'),
    -- Bounded to what every client can read.
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
        CONSTRAINT dagconfig_installation_created_at_is_a_date
        CHECK (created_at >= '2000-01-01 00:00:00+00' AND created_at < '9999-01-01 00:00:00+00')
);
CREATE UNIQUE INDEX IF NOT EXISTS dagconfig_installation_one_row ON financial_screener.dagconfig_installation ((true));

INSERT INTO financial_screener.dagconfig_installation DEFAULT VALUES ON CONFLICT DO NOTHING;

-- What is said of the tables and their columns, and of the functions of 008.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_comments()
RETURNS TABLE (name text, comment text, present text)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        CASE WHEN a.attname IS NULL THEN format('TABLE %s', c.oid::regclass) ELSE format('COLUMN %s.%I', c.oid::regclass, a.attname) END,
        d.comment, CASE WHEN a.attname IS NULL THEN obj_description(c.oid, 'pg_class') ELSE col_description(c.oid, a.attnum) END
    FROM (
        VALUES
        ('dag_configuration', NULL, 'What each job of a DAG runs with: one row a job.'),
        ('dag_configuration', 'id', 'The row''s number.'),
        ('dag_configuration', 'dag_name', 'The Airflow DAG''s id.'),
        (
            'dag_configuration', 'job_name',
            'A job of the DAG: mostly an exchange group''s name; all, where the DAG has one job.'
        ),
        ('dag_configuration', 'cpu_request', 'CPU that the node reserves for the pod: a Kubernetes quantity, in cores.'),
        ('dag_configuration', 'cpu_limit', 'CPU above which the pod is slowed down: a Kubernetes quantity, in cores.'),
        ('dag_configuration', 'memory_request', 'Memory that the node reserves for the pod: a Kubernetes quantity, in bytes.'),
        (
            'dag_configuration', 'memory_limit',
            'Memory above which the pod is killed (OOMKilled): a Kubernetes quantity, in bytes.'
        ),
        ('dag_configuration', 'batch_size', 'Assets that the job works on at a time.'),
        ('dag_configuration', 'timeout_seconds', 'Seconds after which the pod is ended.'),
        ('dag_configuration', 'max_retries', 'How often Airflow tries a failed task again.'),
        ('dag_configuration', 'retry_delay_minutes', 'Minutes before the first retry.'),
        ('dag_configuration', 'retry_backoff_enabled', 'Whether each further retry waits longer than the one before.'),
        ('dag_configuration', 'enabled', 'Whether the job runs. The task of one that does not is skipped.'),
        ('dag_configuration', 'priority', 'From 1 to 10; a higher one comes first.'),
        ('dag_configuration', 'description', 'What people should know of the job.'),
        ('dag_configuration', 'created_at', 'When the row was made.'),
        ('dag_configuration', 'updated_at', 'When the row was changed last; the store keeps it.'),
        ('dag_configuration', 'created_by', 'Who made the row.'),
        ('dag_configuration', 'version', 'The number of the row''s state; each change counts on, also after the row was deleted.'),
        ('exchange_groups', NULL, 'Exchanges that are collected together: one row a group.'),
        ('exchange_groups', 'id', 'The row''s number.'),
        ('exchange_groups', 'group_name', 'The group''s name, which is also a job''s.'),
        ('exchange_groups', 'display_name', 'The group''s name for people.'),
        ('exchange_groups', 'exchanges', 'The codes of its exchanges, in the order in which they are collected.'),
        ('exchange_groups', 'primary_timezone', 'The time zone of its markets, as pg_timezone_names has it.'),
        ('exchange_groups', 'market_open_utc', 'When its markets open, in UTC.'),
        ('exchange_groups', 'market_close_utc', 'When its markets close, in UTC.'),
        ('exchange_groups', 'enabled', 'Whether the group is collected.'),
        ('exchange_groups', 'priority', 'From 1 to 10; a higher one comes first.'),
        ('exchange_groups', 'description', 'What people should know of the group.'),
        ('exchange_groups', 'created_at', 'When the row was made.'),
        ('exchange_groups', 'updated_at', 'When the row was changed last; the store keeps it.'),
        ('exchange_groups', 'version', 'The number of the row''s state; each change counts on, also after the row was deleted.'),
        (
            'dag_configuration_audit', NULL,
            'Each change of a job, a group or an override: who, when, why, and the row before and after. Triggers write it.'
        ),
        ('dag_configuration_audit', 'audit_id', 'The entry''s number.'),
        ('dag_configuration_audit', 'operation', 'INSERT, UPDATE, DELETE or TRUNCATE. A change of name is a DELETE and an INSERT.'),
        ('dag_configuration_audit', 'dag_name', 'The DAG of the job that was changed; NULL for a group.'),
        ('dag_configuration_audit', 'job_name', 'The job that was changed; NULL for a group.'),
        ('dag_configuration_audit', 'old_values', 'The row before the change; NULL where there was none.'),
        ('dag_configuration_audit', 'new_values', 'The row after the change; NULL where there is none.'),
        ('dag_configuration_audit', 'changed_by', 'Whom the application named; else the database''s user.'),
        ('dag_configuration_audit', 'changed_at', 'When it was changed.'),
        ('dag_configuration_audit', 'table_name', 'The table of the row that was changed.'),
        ('dag_configuration_audit', 'group_name', 'The exchange group that was changed; NULL for a job.'),
        ('dag_configuration_audit', 'override_id', 'The override that was made or ended; else NULL.'),
        (
            'dag_configuration_audit', 'session_user_name',
            'The database''s user, whoever was named; NULL in entries from before this column.'
        ),
        ('dag_configuration_audit', 'reason', 'Why it was changed, where somebody said so.'),
        ('dag_configuration_audit', 'changed_columns', 'The columns that the change is about, without those that the store keeps.'),
        (
            'dag_configuration_audit', 'row_version',
            'The row''s version after the change; for a row that went, one more than its last.'
        ),
        (
            'dag_configuration_overrides', NULL,
            'Values that take the place of a job''s for a time, and then end by themselves. Of several, the newest that sets a'
            ' column wins that column.'
        ),
        ('dag_configuration_overrides', 'override_id', 'The override''s number.'),
        ('dag_configuration_overrides', 'dag_name', 'The DAG of the job whose values it takes the place of.'),
        ('dag_configuration_overrides', 'job_name', 'The job whose values it takes the place of.'),
        ('dag_configuration_overrides', 'starts_at', 'When it begins.'),
        ('dag_configuration_overrides', 'ends_at', 'When it ends by itself.'),
        ('dag_configuration_overrides', 'reason', 'Why it was made.'),
        ('dag_configuration_overrides', 'created_by', 'Who made it.'),
        ('dag_configuration_overrides', 'created_at', 'When it was made.'),
        ('dag_configuration_overrides', 'ended_at', 'When somebody ended it before its time; else NULL.'),
        (
            'dagconfig_installation', NULL,
            'One row: which installation this store is. Its owner changes it, in a copied database at least.'
        ),
        (
            'dagconfig_installation', 'installation_id',
            'In the name, a label and an annotation of each pod: an RFC 1123 label of at most 40 characters. The option'
            ' [dagconfig] installation stands above it.'
        ),
        (
            'dagconfig_installation', 'created_at',
            'When the id was made. A pod under its name from before, without an id, is taken over only if it is older.'
        )
        UNION ALL
        SELECT 'dag_configuration_overrides', c, 'As in dag_configuration; NULL where it stays.'
        FROM pg_catalog.unnest(
            '{cpu_request,cpu_limit,memory_request,memory_limit,batch_size,timeout_seconds,max_retries,retry_delay_minutes,'
            'retry_backoff_enabled,enabled,priority}'::text[]
        ) AS c
    ) AS d (table_name, column_name, comment)
    JOIN pg_class AS c ON c.relname = d.table_name AND c.relnamespace = 'financial_screener'::regnamespace
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = d.column_name
    WHERE d.column_name IS NULL OR a.attname IS NOT NULL
    UNION ALL
    SELECT format('FUNCTION %s', p.oid::regprocedure), d.comment, obj_description(p.oid, 'pg_proc')
    FROM (VALUES
        (
            'get_dag_config',
            'What a job runs with now: its row, also when it is disabled, without a row the defaults; and the overrides in force.'
        ),
        (
            'audit_dag_configuration',
            'Trigger: writes the audit''s entry of each change of a row, and of each row of a TRUNCATE.'
        ),
        ('get_exchange_groups', 'The enabled exchange groups, by priority, the highest first, then by name.'),
        (
            'update_dag_config',
            'Change a job''s row, or make it, with the columns'' defaults where a value is NULL. An empty p_description removes it.'
        )
    ) AS d (function_name, comment)
    JOIN pg_proc AS p ON p.proname = d.function_name AND p.pronamespace = 'financial_screener'::regnamespace
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_comments() IS
    'What the store says of its tables and their columns, and of the functions of 008: the thing, as COMMENT ON names it, the store''s'
    ' comment, and the present one.';

REVOKE EXECUTE ON FUNCTION financial_screener.dagconfig_comments() FROM PUBLIC;

-- An adopted installation may have said something of them: that stays.
DO $$
DECLARE
    told record;
BEGIN
    FOR told IN SELECT c.name, c.comment FROM financial_screener.dagconfig_comments() AS c WHERE c.present IS NULL LOOP
        EXECUTE pg_catalog.format('COMMENT ON %s IS %L', told.name, told.comment);
    END LOOP;
END
$$;
