-- 012: functions that change jobs and groups: every column, with a reason, based on a stated version.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 012_changes.sql
--
-- or `airflow dagconfig migrate`. It needs 011 and may be repeated. The way back is 012_changes.down.sql. How the schema's name
-- is replaced is said in 008_dag_configuration_tables.sql.
--
-- They run with their caller's privileges. In all of them a null leaves a value as it is, p_updated_by is the application's
-- user as the audit names it, and p_expected_version is the version that the change is based on: 0 for a row that must not be
-- there yet, null for any.
-- Errors: 23514 a value breaks a rule; DC404 there is no such row; DC409 the row has moved on (DETAIL is JSON:
-- {"kind": "stale", "expected": 3, "actual": 5}, actual 0 where there is no row).

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_book_on(p_updated_by text, p_reason text)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before text[] := ARRAY[current_setting('dagconfig.updated_by', true), current_setting('dagconfig.reason', true)];
BEGIN
    IF length(p_reason) > 1000 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                'reason %L... must be a text of at most 1000 characters, and has %s', left(p_reason, 200), length(p_reason)
            ),
            COLUMN = 'reason';
    END IF;
    PERFORM set_config('dagconfig.updated_by', coalesce(p_updated_by, ''), true);
    PERFORM set_config('dagconfig.reason', coalesce(p_reason, ''), true);
    RETURN before;
END
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_book_on(text, text) IS
    'Say on whom, and why, the changes that follow are booked; gives what was said before, to be put back.';

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_expect_version(p_row text, p_expected bigint, p_actual bigint)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_expected <> p_actual THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC409',
            MESSAGE = CASE
                WHEN p_actual = 0 THEN format('%s is no longer there, and the change is based on its version %s', p_row, p_expected)
                WHEN p_expected = 0 THEN format('%s is there already, at version %s', p_row, p_actual)
                ELSE format('%s is at version %s, and the change is based on version %s', p_row, p_actual, p_expected)
            END,
            DETAIL = jsonb_build_object('kind', 'stale', 'expected', p_expected, 'actual', p_actual)::text,
            HINT = 'Look at the row as it is now, and repeat the change if it is still right.';
    END IF;
END
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_expect_version(text, bigint, bigint) IS
    'Refuse (DC409) a change that is based on another version than the row''s; 0: there is no row.';

-- A new row has these values where none is given, as the columns' defaults are, and so has a job without a row.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_defaults()
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb '{
        "cpu_request": "500m", "cpu_limit": "2000m", "memory_request": "1Gi", "memory_limit": "2Gi",
        "batch_size": 500, "timeout_seconds": 600, "max_retries": 2, "retry_delay_minutes": 5,
        "retry_backoff_enabled": true, "enabled": true, "priority": 5, "description": null
    }'
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_defaults() IS
    'What a job runs with that has no row, and a new row where a value is not given: column to value.';

-- The one of 008 has fewer arguments, and two versions of a function make calls ambiguous.
-- Without CASCADE: what somebody has built on it is reported, not dropped.
DROP FUNCTION IF EXISTS financial_screener.update_dag_config(
    text, text, text, text, text, text, integer, integer, text
);

CREATE OR REPLACE FUNCTION financial_screener.update_dag_config(
    p_dag_name text,
    p_job_name text,
    p_cpu_request text DEFAULT NULL,
    p_cpu_limit text DEFAULT NULL,
    p_memory_request text DEFAULT NULL,
    p_memory_limit text DEFAULT NULL,
    p_batch_size integer DEFAULT NULL,
    p_timeout_seconds integer DEFAULT NULL,
    p_updated_by text DEFAULT 'system',
    p_max_retries integer DEFAULT NULL,
    p_retry_delay_minutes integer DEFAULT NULL,
    p_retry_backoff_enabled boolean DEFAULT NULL,
    p_enabled boolean DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_description text DEFAULT NULL,
    p_reason text DEFAULT NULL,
    p_expected_version bigint DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booked text[] := financial_screener.dagconfig_book_on(p_updated_by, p_reason);
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
                description = nullif(coalesce(p_description, c.description), '')
            WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name;
            EXIT;
        END IF;
        INSERT INTO financial_screener.dag_configuration (
            dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds,
            max_retries, retry_delay_minutes, retry_backoff_enabled, enabled, priority, description
        )
        SELECT
            p_dag_name, p_job_name, coalesce(p_cpu_request, d.cpu_request), coalesce(p_cpu_limit, d.cpu_limit),
            coalesce(p_memory_request, d.memory_request), coalesce(p_memory_limit, d.memory_limit),
            coalesce(p_batch_size, d.batch_size), coalesce(p_timeout_seconds, d.timeout_seconds),
            coalesce(p_max_retries, d.max_retries), coalesce(p_retry_delay_minutes, d.retry_delay_minutes),
            coalesce(p_retry_backoff_enabled, d.retry_backoff_enabled), coalesce(p_enabled, d.enabled),
            coalesce(p_priority, d.priority), nullif(p_description, '')
        FROM jsonb_populate_record(
            NULL::financial_screener.dag_configuration, financial_screener.dagconfig_defaults()
        ) AS d
        ON CONFLICT (dag_name, job_name) DO NOTHING;
        GET DIAGNOSTICS is_made = ROW_COUNT;
    END LOOP;
    PERFORM financial_screener.dagconfig_book_on(booked[1], booked[2]);
END
$$;

-- It is new, and an adopted installation may have said something of it: that stays.
DO $$
DECLARE
    told record;
BEGIN
    FOR told IN SELECT c.name, c.comment FROM financial_screener.dagconfig_comments() AS c WHERE c.present IS NULL LOOP
        EXECUTE pg_catalog.format('COMMENT ON %s IS %L', told.name, told.comment);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION financial_screener.delete_dag_config(
    p_dag_name text,
    p_job_name text,
    p_updated_by text DEFAULT 'system',
    p_reason text DEFAULT NULL,
    p_expected_version bigint DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booked text[] := financial_screener.dagconfig_book_on(p_updated_by, p_reason);
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
    PERFORM financial_screener.dagconfig_book_on(booked[1], booked[2]);
END
$$;

COMMENT ON FUNCTION financial_screener.delete_dag_config(text, text, text, text, bigint) IS
    'Delete a job''s row; its history stays in the audit.';

CREATE OR REPLACE FUNCTION financial_screener.update_exchange_group(
    p_group_name text,
    p_display_name text DEFAULT NULL,
    p_exchanges text[] DEFAULT NULL,
    p_primary_timezone text DEFAULT NULL,
    p_market_open_utc time without time zone DEFAULT NULL,
    p_market_close_utc time without time zone DEFAULT NULL,
    p_enabled boolean DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_description text DEFAULT NULL,
    p_updated_by text DEFAULT 'system',
    p_reason text DEFAULT NULL,
    p_expected_version bigint DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booked text[] := financial_screener.dagconfig_book_on(p_updated_by, p_reason);
    actual bigint;
    is_made integer := 0;
BEGIN
    -- Again, when somebody makes the row between the two statements.
    WHILE is_made = 0 LOOP
        SELECT g.version INTO actual
        FROM financial_screener.exchange_groups AS g
        WHERE g.group_name = p_group_name
        FOR NO KEY UPDATE;
        PERFORM financial_screener.dagconfig_expect_version(
            format('exchange group %s', p_group_name), p_expected_version, coalesce(actual, 0)
        );
        IF actual IS NOT NULL THEN
            UPDATE financial_screener.exchange_groups AS g SET
                display_name = coalesce(p_display_name, g.display_name),
                exchanges = coalesce(p_exchanges, g.exchanges),
                primary_timezone = coalesce(p_primary_timezone, g.primary_timezone),
                market_open_utc = coalesce(p_market_open_utc, g.market_open_utc),
                market_close_utc = coalesce(p_market_close_utc, g.market_close_utc),
                enabled = coalesce(p_enabled, g.enabled),
                priority = coalesce(p_priority, g.priority),
                description = nullif(coalesce(p_description, g.description), '')
            WHERE g.group_name = p_group_name;
            EXIT;
        END IF;
        INSERT INTO financial_screener.exchange_groups (
            group_name, display_name, exchanges, primary_timezone, market_open_utc, market_close_utc, enabled, priority,
            description
        ) VALUES (
            p_group_name, coalesce(p_display_name, p_group_name), p_exchanges, coalesce(p_primary_timezone, 'UTC'),
            p_market_open_utc, p_market_close_utc, coalesce(p_enabled, true), coalesce(p_priority, 5),
            nullif(p_description, '')
        )
        ON CONFLICT (group_name) DO NOTHING;
        GET DIAGNOSTICS is_made = ROW_COUNT;
    END LOOP;
    PERFORM financial_screener.dagconfig_book_on(booked[1], booked[2]);
END
$$;

COMMENT ON FUNCTION financial_screener.update_exchange_group(
    text, text, text[], text, time without time zone, time without time zone, boolean, integer, text, text, text,
    bigint
) IS
    'Change a group''s row, or make it; a new one needs p_exchanges. An empty p_description removes it.';

CREATE OR REPLACE FUNCTION financial_screener.delete_exchange_group(
    p_group_name text,
    p_updated_by text DEFAULT 'system',
    p_reason text DEFAULT NULL,
    p_expected_version bigint DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booked text[] := financial_screener.dagconfig_book_on(p_updated_by, p_reason);
    actual bigint;
BEGIN
    SELECT g.version INTO actual
    FROM financial_screener.exchange_groups AS g
    WHERE g.group_name = p_group_name
    FOR UPDATE;
    PERFORM financial_screener.dagconfig_expect_version(
        format('exchange group %s', p_group_name), p_expected_version, coalesce(actual, 0)
    );
    IF actual IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'DC404', MESSAGE = format('there is no exchange group %s', p_group_name);
    END IF;
    DELETE FROM financial_screener.exchange_groups AS g WHERE g.group_name = p_group_name;
    PERFORM financial_screener.dagconfig_book_on(booked[1], booked[2]);
END
$$;

COMMENT ON FUNCTION financial_screener.delete_exchange_group(text, text, text, bigint) IS
    'Delete a group''s row; its history stays in the audit.';

REVOKE EXECUTE ON FUNCTION
    financial_screener.dagconfig_book_on(text, text),
    financial_screener.dagconfig_expect_version(text, bigint, bigint),
    financial_screener.dagconfig_defaults(),
    financial_screener.update_dag_config(
        text, text, text, text, text, text, integer, integer, text, integer, integer, boolean, boolean, integer, text,
        text, bigint
    ),
    financial_screener.delete_dag_config(text, text, text, text, bigint),
    financial_screener.update_exchange_group(
        text, text, text[], text, time without time zone, time without time zone, boolean, integer, text, text, text,
        bigint
    ),
    financial_screener.delete_exchange_group(text, text, text, bigint)
FROM PUBLIC;
