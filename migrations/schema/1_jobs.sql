-- The schema as the migrations make it: jobs. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE SCHEMA financial_screener;
GRANT USAGE ON SCHEMA financial_screener TO dagconfig_editor;
GRANT USAGE ON SCHEMA financial_screener TO dagconfig_reader;

CREATE TABLE financial_screener.dag_configuration (
    id serial,
    dag_name character varying(100) NOT NULL,
    job_name character varying(100) NOT NULL,
    cpu_request character varying(20) DEFAULT '500m'::character varying,
    cpu_limit character varying(20) DEFAULT '2000m'::character varying,
    memory_request character varying(20) DEFAULT '1Gi'::character varying,
    memory_limit character varying(20) DEFAULT '2Gi'::character varying,
    batch_size integer DEFAULT 500,
    timeout_seconds integer DEFAULT 600,
    max_retries integer DEFAULT 2,
    retry_delay_minutes integer DEFAULT 5,
    retry_backoff_enabled boolean DEFAULT true,
    enabled boolean DEFAULT true,
    priority integer DEFAULT 5,
    description text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by character varying(100) DEFAULT 'system'::character varying,
    version bigint DEFAULT 1 NOT NULL,
    memory_growth numeric,
    memory_growth_limit character varying(20),
    CONSTRAINT dag_configuration_pkey PRIMARY KEY (id),
    CONSTRAINT dag_configuration_dag_name_job_name_key UNIQUE (dag_name, job_name)
);
COMMENT ON TABLE financial_screener.dag_configuration IS 'The configuration of each job of a DAG: one row per job.';
COMMENT ON COLUMN financial_screener.dag_configuration.id IS 'The row''s number.';
COMMENT ON COLUMN financial_screener.dag_configuration.dag_name IS 'The Airflow DAG''s id.';
COMMENT ON COLUMN financial_screener.dag_configuration.job_name IS 'The job of the DAG, mostly named after an exchange group; all if the DAG has only one job.';
COMMENT ON COLUMN financial_screener.dag_configuration.cpu_request IS 'CPU that the node reserves for the pod: a Kubernetes quantity, in cores.';
COMMENT ON COLUMN financial_screener.dag_configuration.cpu_limit IS 'CPU above which the pod is slowed down: a Kubernetes quantity, in cores.';
COMMENT ON COLUMN financial_screener.dag_configuration.memory_request IS 'Memory that the node reserves for the pod: a Kubernetes quantity, in bytes.';
COMMENT ON COLUMN financial_screener.dag_configuration.memory_limit IS 'Memory above which the pod is killed (OOMKilled): a Kubernetes quantity, in bytes.';
COMMENT ON COLUMN financial_screener.dag_configuration.batch_size IS 'The number of assets that the job processes at a time.';
COMMENT ON COLUMN financial_screener.dag_configuration.timeout_seconds IS 'Seconds after which the pod is stopped.';
COMMENT ON COLUMN financial_screener.dag_configuration.max_retries IS 'How often Airflow retries a failed task.';
COMMENT ON COLUMN financial_screener.dag_configuration.retry_delay_minutes IS 'Minutes before the first retry.';
COMMENT ON COLUMN financial_screener.dag_configuration.retry_backoff_enabled IS 'Whether each further retry waits longer than the one before.';
COMMENT ON COLUMN financial_screener.dag_configuration.enabled IS 'Whether the job runs. The task of a disabled job is skipped.';
COMMENT ON COLUMN financial_screener.dag_configuration.priority IS 'From 1 to 10; a higher one comes first.';
COMMENT ON COLUMN financial_screener.dag_configuration.description IS 'What people should know about the job.';
COMMENT ON COLUMN financial_screener.dag_configuration.created_at IS 'When the row was created.';
COMMENT ON COLUMN financial_screener.dag_configuration.updated_at IS 'When the row was last changed. A trigger sets it.';
COMMENT ON COLUMN financial_screener.dag_configuration.created_by IS 'Who created the row.';
COMMENT ON COLUMN financial_screener.dag_configuration.version IS 'The row''s version. Each change adds 1; a deleted row that is created again continues the count.';
COMMENT ON COLUMN financial_screener.dag_configuration.memory_growth IS 'The factor by which the memory limit and request of the next try grow after a try that was OOMKilled; NULL: no growth.';
COMMENT ON COLUMN financial_screener.dag_configuration.memory_growth_limit IS 'The value up to which the memory limit grows: a Kubernetes quantity, in bytes; NULL: up to the ceiling, if there is one.';
GRANT DELETE, INSERT, UPDATE ON TABLE financial_screener.dag_configuration TO dagconfig_editor;
GRANT SELECT ON TABLE financial_screener.dag_configuration TO dagconfig_reader;
GRANT USAGE ON SEQUENCE financial_screener.dag_configuration_id_seq TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_defaults()
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT jsonb '{
        "cpu_request": "500m", "cpu_limit": "2000m", "memory_request": "1Gi", "memory_limit": "2Gi",
        "batch_size": 500, "timeout_seconds": 600, "max_retries": 2, "retry_delay_minutes": 5,
        "retry_backoff_enabled": true, "enabled": true, "priority": 5, "description": null,
        "memory_growth": null, "memory_growth_limit": null
    }'
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_defaults() IS 'Returns the default of each column: for a job without a row, and for a new row where no value is given.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_defaults() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_defaults() TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_defaults() TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.update_dag_config(p_dag_name text, p_job_name text, p_cpu_request text DEFAULT NULL::text, p_cpu_limit text DEFAULT NULL::text, p_memory_request text DEFAULT NULL::text, p_memory_limit text DEFAULT NULL::text, p_batch_size integer DEFAULT NULL::integer, p_timeout_seconds integer DEFAULT NULL::integer, p_updated_by text DEFAULT 'system'::text, p_max_retries integer DEFAULT NULL::integer, p_retry_delay_minutes integer DEFAULT NULL::integer, p_retry_backoff_enabled boolean DEFAULT NULL::boolean, p_enabled boolean DEFAULT NULL::boolean, p_priority integer DEFAULT NULL::integer, p_description text DEFAULT NULL::text, p_reason text DEFAULT NULL::text, p_expected_version bigint DEFAULT NULL::bigint, p_memory_growth numeric DEFAULT NULL::numeric, p_memory_growth_limit text DEFAULT NULL::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, p_reason);
    actual bigint;
    is_made integer := 0;
BEGIN
    -- Again, when somebody makes the row between the two statements.
    WHILE is_made = 0 LOOP
        SELECT c.version INTO actual
        FROM financial_screener.dag_configuration AS c
        WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name
        FOR NO KEY UPDATE;
        PERFORM financial_screener.dagconfig_expect_version(
            concat_ws('/', p_dag_name, p_job_name), p_expected_version, coalesce(actual, 0)
        );
        IF actual IS NOT NULL THEN
            UPDATE financial_screener.dag_configuration AS c SET
                cpu_request = coalesce(p_cpu_request, c.cpu_request),
                cpu_limit = coalesce(p_cpu_limit, c.cpu_limit),
                memory_request = coalesce(p_memory_request, c.memory_request),
                memory_limit = coalesce(p_memory_limit, c.memory_limit),
                batch_size = coalesce(p_batch_size, c.batch_size),
                timeout_seconds = coalesce(p_timeout_seconds, c.timeout_seconds),
                max_retries = coalesce(p_max_retries, c.max_retries),
                retry_delay_minutes = coalesce(p_retry_delay_minutes, c.retry_delay_minutes),
                retry_backoff_enabled = coalesce(p_retry_backoff_enabled, c.retry_backoff_enabled),
                enabled = coalesce(p_enabled, c.enabled),
                priority = coalesce(p_priority, c.priority),
                description = nullif(coalesce(p_description, c.description), ''),
                memory_growth = nullif(coalesce(trim_scale(p_memory_growth), c.memory_growth), 0),
                memory_growth_limit = nullif(coalesce(p_memory_growth_limit, c.memory_growth_limit), '')
            WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name;
            EXIT;
        END IF;
        INSERT INTO financial_screener.dag_configuration (
            dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds,
            max_retries, retry_delay_minutes, retry_backoff_enabled, enabled, priority, description, memory_growth,
            memory_growth_limit
        )
        SELECT
            p_dag_name, p_job_name, coalesce(p_cpu_request, d.cpu_request), coalesce(p_cpu_limit, d.cpu_limit),
            coalesce(p_memory_request, d.memory_request), coalesce(p_memory_limit, d.memory_limit),
            coalesce(p_batch_size, d.batch_size), coalesce(p_timeout_seconds, d.timeout_seconds),
            coalesce(p_max_retries, d.max_retries), coalesce(p_retry_delay_minutes, d.retry_delay_minutes),
            coalesce(p_retry_backoff_enabled, d.retry_backoff_enabled), coalesce(p_enabled, d.enabled),
            coalesce(p_priority, d.priority), nullif(p_description, ''),
            nullif(trim_scale(p_memory_growth), 0), nullif(p_memory_growth_limit, '')
        FROM jsonb_populate_record(
            NULL::financial_screener.dag_configuration, financial_screener.dagconfig_defaults()
        ) AS d
        ON CONFLICT (dag_name, job_name) DO NOTHING;
        GET DIAGNOSTICS is_made = ROW_COUNT;
    END LOOP;
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.update_dag_config(text,text,text,text,text,text,integer,integer,text,integer,integer,boolean,boolean,integer,text,text,bigint,numeric,text) IS 'Change a job''s row, or create it, with the column''s default for each value that is NULL. An empty p_description removes the description.';
REVOKE ALL ON FUNCTION financial_screener.update_dag_config(text,text,text,text,text,text,integer,integer,text,integer,integer,boolean,boolean,integer,text,text,bigint,numeric,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.update_dag_config(text,text,text,text,text,text,integer,integer,text,integer,integer,boolean,boolean,integer,text,text,bigint,numeric,text) TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.delete_dag_config(p_dag_name text, p_job_name text, p_updated_by text DEFAULT 'system'::text, p_reason text DEFAULT NULL::text, p_expected_version bigint DEFAULT NULL::bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, p_reason);
    actual bigint;
BEGIN
    SELECT c.version INTO actual
    FROM financial_screener.dag_configuration AS c
    WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name
    FOR UPDATE;
    PERFORM financial_screener.dagconfig_expect_version(
        concat_ws('/', p_dag_name, p_job_name), p_expected_version, coalesce(actual, 0)
    );
    IF actual IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC404', MESSAGE = format('there is no row for %s/%s', p_dag_name, p_job_name);
    END IF;
    DELETE FROM financial_screener.dag_configuration AS c
    WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name;
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.delete_dag_config(text,text,text,text,bigint) IS 'Delete a job''s row; its history stays in the audit.';
REVOKE ALL ON FUNCTION financial_screener.delete_dag_config(text,text,text,text,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.delete_dag_config(text,text,text,text,bigint) TO dagconfig_editor;
