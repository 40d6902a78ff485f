-- 008: the configuration store: what each DAG's jobs run with, the exchange groups, and the audit of changes.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 008_dag_configuration_tables.sql
--
-- or `airflow dagconfig migrate`, which applies the same file and records it. It may be repeated, and run over a database
-- that already has these tables: tables and rows that are there stay as they are, functions and trigger are replaced.
-- The way back is 008_dag_configuration_tables.down.sql.
--
-- The schema: psql applies the file as it is, to the schema financial_screener. `airflow dagconfig migrate --schema NAME`
-- puts NAME, quoted where it needs it, in the place of that identifier, so the word stands here for nothing else.
--
-- No session state: every name is qualified, every function has its own search_path.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 8) THEN
            RAISE EXCEPTION 'later migrations than 008 are applied, and 008 would put earlier functions in their place'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
    END IF;
    -- CREATE SCHEMA IF NOT EXISTS would need the privilege to create schemas even where this one is there.
    IF pg_catalog.to_regnamespace('financial_screener') IS NULL THEN
        CREATE SCHEMA financial_screener;
    END IF;

    IF pg_catalog.to_regclass('financial_screener.dag_configuration_audit') IS NULL THEN
        CREATE TABLE financial_screener.dag_configuration_audit (
            audit_id bigserial PRIMARY KEY,
            operation character varying(10),
            dag_name character varying(100),
            job_name character varying(100),
            old_values jsonb,
            new_values jsonb,
            changed_by character varying(100),
            changed_at timestamp without time zone DEFAULT pg_catalog.now()
        );
    END IF;
END
$$;

-- The last change of a job, without reading the whole history.
CREATE INDEX IF NOT EXISTS dag_configuration_audit_job
ON financial_screener.dag_configuration_audit (dag_name, job_name, audit_id);

-- Who changed a row: the p_updated_by of update_dag_config, which reaches the trigger by a setting that lives no longer
-- than the function's call; for any other statement the session's user.
-- SECURITY DEFINER: whoever may write the configuration needs no privilege on the audit. Nobody may attach it to a table
-- of their own to forge entries.
CREATE OR REPLACE FUNCTION financial_screener.audit_dag_configuration()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    row_before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    row_after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    concerned jsonb := coalesce(row_after, row_before);
BEGIN
    INSERT INTO financial_screener.dag_configuration_audit (
        operation, dag_name, job_name, old_values, new_values, changed_by
    ) VALUES (
        TG_OP, concerned ->> 'dag_name', concerned ->> 'job_name', row_before, row_after,
        coalesce(nullif(current_setting('dagconfig.updated_by', true), ''), session_user)
    );
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION financial_screener.audit_dag_configuration() FROM PUBLIC;

-- A table gets its first rows when it is made and never again: a row that was deleted since stays deleted.
-- An earlier installation's trigger may have any name, and two triggers would book each change twice: it goes first.
DO $$
DECLARE
    is_new boolean := pg_catalog.to_regclass('financial_screener.dag_configuration') IS NULL;
    earlier record;
BEGIN
    IF is_new THEN
        CREATE TABLE financial_screener.dag_configuration (
            id serial PRIMARY KEY,
            dag_name character varying(100) NOT NULL,
            job_name character varying(100) NOT NULL,
            cpu_request character varying(20) DEFAULT '500m',
            cpu_limit character varying(20) DEFAULT '2000m',
            memory_request character varying(20) DEFAULT '1Gi',
            memory_limit character varying(20) DEFAULT '2Gi',
            batch_size integer DEFAULT 500,
            timeout_seconds integer DEFAULT 600,
            max_retries integer DEFAULT 2,
            retry_delay_minutes integer DEFAULT 5,
            retry_backoff_enabled boolean DEFAULT true,
            enabled boolean DEFAULT true,
            priority integer DEFAULT 5,
            description text,
            created_at timestamp without time zone NOT NULL DEFAULT pg_catalog.now(),
            updated_at timestamp without time zone NOT NULL DEFAULT pg_catalog.now(),
            created_by character varying(100) DEFAULT 'system',
            UNIQUE (dag_name, job_name)
        );
    END IF;

    FOR earlier IN
        SELECT t.tgname, t.tgfoid, p.pronamespace, p.proname
        FROM pg_catalog.pg_trigger AS t
        JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
        WHERE
            t.tgrelid = 'financial_screener.dag_configuration'::pg_catalog.regclass
            AND NOT t.tgisinternal
            -- Bits of tgtype: 1 for each row, 2 before, 4 insert, 8 delete, 16 update.
            AND t.tgtype & 3 = 1
            AND t.tgtype & 28 <> 0
            AND p.prosrc LIKE '%dag\_configuration\_audit%'
    LOOP
        EXECUTE pg_catalog.format('DROP TRIGGER %I ON financial_screener.dag_configuration', earlier.tgname);
        IF
            earlier.pronamespace = 'financial_screener'::pg_catalog.regnamespace
            AND earlier.proname <> 'audit_dag_configuration'
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgfoid = earlier.tgfoid)
        THEN
            EXECUTE pg_catalog.format('DROP FUNCTION %s', earlier.tgfoid::pg_catalog.regprocedure);
        END IF;
    END LOOP;

    CREATE TRIGGER audit_dag_configuration
    AFTER INSERT OR UPDATE OR DELETE ON financial_screener.dag_configuration
    FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();

    IF is_new THEN
        INSERT INTO financial_screener.dag_configuration (dag_name, job_name, priority, description) VALUES
            ('data_collection_equities', 'us_markets', 10, 'Daily collection for US markets'),
            ('data_collection_equities', 'lse', 9, 'Daily collection for London Stock Exchange'),
            ('data_collection_equities', 'german_markets', 8, 'Daily collection for German markets'),
            ('data_collection_equities', 'european_markets', 7, 'Daily collection for European markets'),
            ('historical_load_equities', 'us_markets', 10, 'Historical load for US markets'),
            ('historical_load_equities', 'lse', 9, 'Historical load for London Stock Exchange'),
            ('historical_load_equities', 'german_markets', 8, 'Historical load for German markets'),
            ('historical_load_equities', 'european_markets', 7, 'Historical load for European markets');

        INSERT INTO financial_screener.dag_configuration (
            dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds,
            priority, description
        ) VALUES (
            'calculate_indicators', 'all', '1000m', '4000m', '2Gi', '4Gi', 1000, 3600, 10,
            'Indicators for all exchanges'
        );
    END IF;

    IF pg_catalog.to_regclass('financial_screener.exchange_groups') IS NULL THEN
        CREATE TABLE financial_screener.exchange_groups (
            id serial PRIMARY KEY,
            group_name character varying(50) NOT NULL UNIQUE,
            display_name character varying(100) NOT NULL,
            exchanges text[] NOT NULL,
            primary_timezone character varying(50) DEFAULT 'UTC',
            market_open_utc time without time zone,
            market_close_utc time without time zone,
            enabled boolean DEFAULT true,
            priority integer DEFAULT 5,
            description text,
            created_at timestamp without time zone DEFAULT pg_catalog.now(),
            updated_at timestamp without time zone DEFAULT pg_catalog.now()
        );

        INSERT INTO financial_screener.exchange_groups (group_name, display_name, exchanges, primary_timezone, priority)
        VALUES
            ('us_markets', 'US Markets (NYSE, NASDAQ)', ARRAY['NYSE', 'NASDAQ'], 'America/New_York', 10),
            ('lse', 'London Stock Exchange', ARRAY['LSE'], 'Europe/London', 9),
            ('german_markets', 'German Markets (Frankfurt, XETRA)', ARRAY['FRANKFURT', 'XETRA'], 'Europe/Berlin', 8),
            (
                'european_markets', 'European Markets (Euronext, BME, SIX)', ARRAY['EURONEXT', 'BME', 'SIX'],
                'Europe/Paris', 7
            );
    END IF;
END
$$;

-- An earlier installation's functions may have other argument types, and two versions of a function make calls ambiguous.
-- Without CASCADE: what somebody has built on them (a view) is reported, not dropped.
DO $$
DECLARE
    earlier record;
BEGIN
    FOR earlier IN
        SELECT p.oid::pg_catalog.regprocedure AS signature
        FROM pg_catalog.pg_proc AS p
        WHERE
            p.pronamespace = 'financial_screener'::pg_catalog.regnamespace
            AND p.proname IN ('get_dag_config', 'get_exchange_groups', 'update_dag_config')
    LOOP
        EXECUTE pg_catalog.format('DROP ROUTINE %s', earlier.signature);
    END LOOP;
END
$$;

-- What a job runs with: its row, also when it is disabled; without a row the defaults.
-- Clients read the result by position: a new column comes last.
CREATE FUNCTION financial_screener.get_dag_config(p_dag_name text, p_job_name text DEFAULT 'all')
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

CREATE FUNCTION financial_screener.get_exchange_groups()
RETURNS TABLE (
    group_name character varying,
    display_name character varying,
    exchanges text[],
    priority integer
)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.group_name, g.display_name, g.exchanges, g.priority
    FROM financial_screener.exchange_groups AS g
    WHERE g.enabled
    ORDER BY g.priority DESC NULLS LAST, g.group_name
$$;

-- Change a job's row, or make it. A null leaves a value as it is, or gives a new row the default.
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
