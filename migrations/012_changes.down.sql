-- The way back of 012: update_dag_config is that of 008, and the other functions go. No row is changed.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 012_changes.down.sql
--
-- or `airflow dagconfig migrate --to 011`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 12) THEN
            RAISE EXCEPTION 'later migrations than 012 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 12;
    END IF;
END
$$;

DROP FUNCTION financial_screener.delete_exchange_group(text, text, text, bigint);
DROP FUNCTION financial_screener.update_exchange_group(
    text, text, text[], text, time without time zone, time without time zone, boolean, integer, text, text, text,
    bigint
);
DROP FUNCTION financial_screener.delete_dag_config(text, text, text, text, bigint);
DROP FUNCTION financial_screener.update_dag_config(
    text, text, text, text, text, text, integer, integer, text, integer, integer, boolean, boolean, integer, text,
    text, bigint
);
DROP FUNCTION financial_screener.dagconfig_defaults();
DROP FUNCTION financial_screener.dagconfig_expect_version(text, bigint, bigint);
DROP FUNCTION financial_screener.dagconfig_book_on(text, text);

-- As 008 has it.
CREATE FUNCTION financial_screener.update_dag_config(
    p_dag_name text,
    p_job_name text,
    p_cpu_request text DEFAULT NULL,
    p_cpu_limit text DEFAULT NULL,
    p_memory_request text DEFAULT NULL,
    p_memory_limit text DEFAULT NULL,
    p_batch_size integer DEFAULT NULL,
    p_timeout_seconds integer DEFAULT NULL,
    p_updated_by text DEFAULT 'system'
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    updated_by_before text := current_setting('dagconfig.updated_by', true);
BEGIN
    PERFORM set_config('dagconfig.updated_by', coalesce(p_updated_by, ''), true);

    INSERT INTO financial_screener.dag_configuration AS c (
        dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds,
        created_by
    ) VALUES (
        p_dag_name, p_job_name, coalesce(p_cpu_request, '500m'), coalesce(p_cpu_limit, '2000m'),
        coalesce(p_memory_request, '1Gi'), coalesce(p_memory_limit, '2Gi'), coalesce(p_batch_size, 500),
        coalesce(p_timeout_seconds, 600), coalesce(p_updated_by, session_user)
    )
    ON CONFLICT (dag_name, job_name) DO UPDATE SET
        cpu_request = coalesce(p_cpu_request, c.cpu_request),
        cpu_limit = coalesce(p_cpu_limit, c.cpu_limit),
        memory_request = coalesce(p_memory_request, c.memory_request),
        memory_limit = coalesce(p_memory_limit, c.memory_limit),
        batch_size = coalesce(p_batch_size, c.batch_size),
        timeout_seconds = coalesce(p_timeout_seconds, c.timeout_seconds),
        updated_at = now();

    PERFORM set_config('dagconfig.updated_by', coalesce(updated_by_before, ''), true);
END
$$;
