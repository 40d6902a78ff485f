-- The way back of 013: overrides are no longer in force: get_dag_config is that of 008. They stay until 009 goes back.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 013_overrides.down.sql
--
-- or `airflow dagconfig migrate --to 012`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 13) THEN
            RAISE EXCEPTION 'later migrations than 013 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 13;
    END IF;
END
$$;

DROP FUNCTION financial_screener.end_override(bigint, text, text);
DROP FUNCTION financial_screener.override_dag_config(
    text, text, timestamp with time zone, text, text, text, text, text, text, integer, integer, integer, integer,
    boolean, integer, boolean, timestamp with time zone
);
DROP FUNCTION financial_screener.dagconfig_touch(text, text);
DROP TRIGGER validate_overrides ON financial_screener.dag_configuration_overrides;
DROP TRIGGER validate_overrides ON financial_screener.dag_configuration;
DROP FUNCTION financial_screener.dagconfig_validate_overrides();

-- As 008 has it.
CREATE OR REPLACE FUNCTION financial_screener.get_dag_config(p_dag_name text, p_job_name text DEFAULT 'all')
RETURNS TABLE (
    cpu_request character varying,
    cpu_limit character varying,
    memory_request character varying,
    memory_limit character varying,
    batch_size integer,
    timeout_seconds integer,
    max_retries integer,
    retry_delay_minutes integer,
    retry_backoff_enabled boolean,
    enabled boolean
)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
ROWS 1
AS $$
    SELECT
        c.cpu_request, c.cpu_limit, c.memory_request, c.memory_limit, c.batch_size, c.timeout_seconds, c.max_retries,
        c.retry_delay_minutes, c.retry_backoff_enabled, c.enabled
    FROM financial_screener.dag_configuration AS c
    WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name
    UNION ALL
    SELECT '500m', '2000m', '1Gi', '2Gi', 500, 600, 2, 5, true, true
    WHERE NOT EXISTS (
        SELECT FROM financial_screener.dag_configuration AS c
        WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name
    )
$$;

DROP FUNCTION financial_screener.effective_dag_config(text, text, timestamp with time zone);
DROP VIEW financial_screener.dag_configuration_override_periods;
