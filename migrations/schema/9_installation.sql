-- The schema as the migrations make it: installation. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE TABLE financial_screener.dagconfig_installation (
    installation_id text DEFAULT "left"(replace((gen_random_uuid())::text, '-'::text, ''::text), 10) NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dagconfig_installation_created_at_is_a_date CHECK (((created_at >= '2000-01-01 00:00:00+00'::timestamp with time zone) AND (created_at < '9999-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT dagconfig_installation_id_is_a_label CHECK ((installation_id ~ '^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$'::text))
);
CREATE UNIQUE INDEX dagconfig_installation_one_row ON financial_screener.dagconfig_installation USING btree ((true));
COMMENT ON TABLE financial_screener.dagconfig_installation IS 'One row, which identifies the installation. The owner changes it at least in a copied database.';
COMMENT ON COLUMN financial_screener.dagconfig_installation.installation_id IS 'In the name, a label and an annotation of each pod: an RFC 1123 label of at most 40 characters. The option [dagconfig] installation stands above it.';
COMMENT ON COLUMN financial_screener.dagconfig_installation.created_at IS 'When the id was created. A pod with the former name, without an id, is taken over only if the pod is older.';
GRANT SELECT ON TABLE financial_screener.dagconfig_installation TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_comments()
 RETURNS TABLE(name text, comment text, present text)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT
        CASE WHEN a.attname IS NULL THEN format('TABLE %s', c.oid::regclass) ELSE format('COLUMN %s.%I', c.oid::regclass, a.attname) END,
        d.comment, CASE WHEN a.attname IS NULL THEN obj_description(c.oid, 'pg_class') ELSE col_description(c.oid, a.attnum) END
    FROM (
        VALUES
        ('dag_configuration', NULL, 'The configuration of each job of a DAG: one row per job.'),
        ('dag_configuration', 'id', 'The row''s number.'),
        ('dag_configuration', 'dag_name', 'The Airflow DAG''s id.'),
        (
            'dag_configuration', 'job_name',
            'The job of the DAG, mostly named after an exchange group; all if the DAG has only one job.'
        ),
        ('dag_configuration', 'cpu_request', 'CPU that the node reserves for the pod: a Kubernetes quantity, in cores.'),
        ('dag_configuration', 'cpu_limit', 'CPU above which the pod is slowed down: a Kubernetes quantity, in cores.'),
        ('dag_configuration', 'memory_request', 'Memory that the node reserves for the pod: a Kubernetes quantity, in bytes.'),
        (
            'dag_configuration', 'memory_limit',
            'Memory above which the pod is killed (OOMKilled): a Kubernetes quantity, in bytes.'
        ),
        ('dag_configuration', 'batch_size', 'The number of assets that the job processes at a time.'),
        ('dag_configuration', 'timeout_seconds', 'Seconds after which the pod is stopped.'),
        ('dag_configuration', 'max_retries', 'How often Airflow retries a failed task.'),
        ('dag_configuration', 'retry_delay_minutes', 'Minutes before the first retry.'),
        ('dag_configuration', 'retry_backoff_enabled', 'Whether each further retry waits longer than the one before.'),
        ('dag_configuration', 'enabled', 'Whether the job runs. The task of a disabled job is skipped.'),
        ('dag_configuration', 'priority', 'From 1 to 10; a higher one comes first.'),
        ('dag_configuration', 'description', 'What people should know about the job.'),
        ('dag_configuration', 'created_at', 'When the row was created.'),
        ('dag_configuration', 'updated_at', 'When the row was last changed. A trigger sets it.'),
        ('dag_configuration', 'created_by', 'Who created the row.'),
        ('dag_configuration', 'version', 'The row''s version. Each change adds 1; a deleted row that is created again continues the count.'),
        ('exchange_groups', NULL, 'Exchanges that are collected together: one row per group.'),
        ('exchange_groups', 'id', 'The row''s number.'),
        ('exchange_groups', 'group_name', 'The group''s name, which is also the name of a job.'),
        ('exchange_groups', 'display_name', 'The group''s name for people.'),
        ('exchange_groups', 'exchanges', 'The codes of its exchanges, in the order in which they are collected.'),
        ('exchange_groups', 'primary_timezone', 'The time zone of its markets: a name of pg_timezone_names.'),
        ('exchange_groups', 'market_open_utc', 'When its markets open, in UTC.'),
        ('exchange_groups', 'market_close_utc', 'When its markets close, in UTC.'),
        ('exchange_groups', 'enabled', 'Whether the group is collected.'),
        ('exchange_groups', 'priority', 'From 1 to 10; a higher one comes first.'),
        ('exchange_groups', 'description', 'What people should know about the group.'),
        ('exchange_groups', 'created_at', 'When the row was created.'),
        ('exchange_groups', 'updated_at', 'When the row was last changed. A trigger sets it.'),
        ('exchange_groups', 'version', 'The row''s version. Each change adds 1; a deleted row that is created again continues the count.'),
        (
            'dag_configuration_audit', NULL,
            'Each change of a job, a group or an override: who, when, why, and the row before and after. Triggers write it.'
        ),
        ('dag_configuration_audit', 'audit_id', 'The entry''s number.'),
        ('dag_configuration_audit', 'operation', 'INSERT, UPDATE, DELETE or TRUNCATE. A change of name is a DELETE and an INSERT.'),
        ('dag_configuration_audit', 'dag_name', 'The DAG of the job that was changed; NULL for a group.'),
        ('dag_configuration_audit', 'job_name', 'The job that was changed; NULL for a group.'),
        ('dag_configuration_audit', 'old_values', 'The row before the change; NULL if there was no row.'),
        ('dag_configuration_audit', 'new_values', 'The row after the change; NULL if there is no row.'),
        ('dag_configuration_audit', 'changed_by', 'The author that the application named; otherwise the database user.'),
        ('dag_configuration_audit', 'changed_at', 'When it was changed.'),
        ('dag_configuration_audit', 'table_name', 'The table of the row that was changed.'),
        ('dag_configuration_audit', 'group_name', 'The exchange group that was changed; NULL for a job.'),
        ('dag_configuration_audit', 'override_id', 'The override that was created or ended; otherwise NULL.'),
        (
            'dag_configuration_audit', 'session_user_name',
            'The database user, whoever is named as the author; NULL in entries from before this column existed.'
        ),
        ('dag_configuration_audit', 'reason', 'Why it was changed, if a reason was given.'),
        ('dag_configuration_audit', 'changed_columns', 'The columns that changed, without those that triggers set.'),
        (
            'dag_configuration_audit', 'row_version',
            'The row''s version after the change; for a deleted row, one more than its last version.'
        ),
        (
            'dag_configuration_overrides', NULL,
            'Values that take the place of a job''s for a time, and then end by themselves. Of several, the newest that sets a'
            ' column wins that column.'
        ),
        ('dag_configuration_overrides', 'override_id', 'The override''s number.'),
        ('dag_configuration_overrides', 'dag_name', 'The DAG of the overridden job.'),
        ('dag_configuration_overrides', 'job_name', 'The overridden job.'),
        ('dag_configuration_overrides', 'starts_at', 'When it begins.'),
        ('dag_configuration_overrides', 'ends_at', 'When it ends by itself.'),
        ('dag_configuration_overrides', 'reason', 'Why it was created.'),
        ('dag_configuration_overrides', 'created_by', 'Who created it.'),
        ('dag_configuration_overrides', 'created_at', 'When it was created.'),
        ('dag_configuration_overrides', 'ended_at', 'When somebody ended it before its time; otherwise NULL.'),
        (
            'dagconfig_installation', NULL,
            'One row, which identifies the installation. The owner changes it at least in a copied database.'
        ),
        (
            'dagconfig_installation', 'installation_id',
            'In the name, a label and an annotation of each pod: an RFC 1123 label of at most 40 characters. The option'
            ' [dagconfig] installation stands above it.'
        ),
        (
            'dagconfig_installation', 'created_at',
            'When the id was created. A pod with the former name, without an id, is taken over only if the pod is older.'
        )
        UNION ALL
        SELECT 'dag_configuration_overrides', c, 'As in dag_configuration; NULL if the override leaves it unchanged.'
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
            'Returns the values that a job runs with now, also if it is disabled: those of its row, or the defaults if there is no row, with the overrides in force.'
        ),
        (
            'audit_dag_configuration',
            'Trigger: writes the audit''s entry of each change of a row, and of each row of a TRUNCATE.'
        ),
        ('get_exchange_groups', 'Returns the enabled exchange groups, by priority, the highest first, then by name.'),
        (
            'update_dag_config',
            'Change a job''s row, or create it, with the column''s default for each value that is NULL. An empty p_description removes the description.'
        )
    ) AS d (function_name, comment)
    JOIN pg_proc AS p ON p.proname = d.function_name AND p.pronamespace = 'financial_screener'::regnamespace
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_comments() IS 'Returns the store''s comments on its tables, their columns and the functions of 008: the object as COMMENT ON names it, the store''s comment, and the present comment.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_comments() FROM PUBLIC;
