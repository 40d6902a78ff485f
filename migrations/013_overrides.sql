-- 013: values for a time, and what is in force.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 013_overrides.sql
--
-- or `airflow dagconfig migrate`. It needs 012 and may be repeated. The way back is 013_overrides.down.sql. How the schema's name
-- is replaced is said in 008_dag_configuration_tables.sql.
--
-- Whoever reads at a moment looks at what is in force then, so an override ends by itself.

-- The one place that says when an override is in force. One that was ended before it began never is (an empty period).
-- Columns are added at the end: CREATE OR REPLACE VIEW takes no others.
CREATE OR REPLACE VIEW financial_screener.dag_configuration_override_periods WITH (security_invoker = true) AS
SELECT
    pg_catalog.tstzrange(o.starts_at, greatest(o.starts_at, least(o.ends_at, o.ended_at))) AS in_force,
    o.override_id, o.dag_name, o.job_name, o.cpu_request, o.cpu_limit, o.memory_request, o.memory_limit, o.batch_size,
    o.timeout_seconds, o.max_retries, o.retry_delay_minutes, o.retry_backoff_enabled, o.enabled, o.priority, o.starts_at,
    o.ends_at, o.reason, o.created_by, o.created_at, o.ended_at
FROM financial_screener.dag_configuration_overrides AS o;

COMMENT ON VIEW financial_screener.dag_configuration_override_periods IS
    'The overrides with the period in which each is in force. Those of now: WHERE in_force @> now().';

DO $$
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT v.attname AS name, pg_catalog.col_description(t.attrelid, t.attnum) AS comment
        FROM pg_catalog.pg_attribute AS v
        JOIN pg_catalog.pg_attribute AS t
            ON t.attrelid = 'financial_screener.dag_configuration_overrides'::pg_catalog.regclass AND t.attname = v.attname
        WHERE v.attrelid = 'financial_screener.dag_configuration_override_periods'::pg_catalog.regclass AND v.attnum > 0
        UNION ALL
        SELECT 'in_force', 'From when, and until when (not included), it is in force; empty, where it never was.'
    LOOP
        EXECUTE pg_catalog.format(
            'COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.%I IS %L', told.name, told.comment
        );
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION financial_screener.effective_dag_config(
    p_dag_name text, p_job_name text, p_at timestamp with time zone DEFAULT now()
)
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
    enabled boolean,
    priority integer,
    description text,
    version bigint,
    sources jsonb
)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
ROWS 1
AS $$
    SELECT
        c.cpu_request, c.cpu_limit, c.memory_request, c.memory_limit, c.batch_size, c.timeout_seconds, c.max_retries,
        c.retry_delay_minutes, c.retry_backoff_enabled, c.enabled, c.priority, c.description,
        (b.found ->> 'version')::bigint,
        (
            SELECT jsonb_object_agg(k.name, CASE WHEN b.found IS NULL THEN 'default' ELSE 'row' END)
            FROM jsonb_object_keys(d.defaults) AS k (name)
        ) || coalesce(o.sources, '{}')
    FROM financial_screener.dagconfig_defaults() AS d (defaults)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN p_at < now() THEN financial_screener.dag_config_at(p_dag_name, p_job_name, p_at)
            ELSE (
                SELECT to_jsonb(r) FROM financial_screener.dag_configuration AS r
                WHERE r.dag_name = p_dag_name AND r.job_name = p_job_name
            )
        END
    ) AS b (found)
    CROSS JOIN LATERAL (
        -- Of a key that comes twice, the last value stays.
        SELECT
            jsonb_object_agg(e.key, e.value ORDER BY v.override_id),
            jsonb_object_agg(e.key, 'override ' || v.override_id ORDER BY v.override_id)
        FROM financial_screener.dag_configuration_override_periods AS v
        CROSS JOIN LATERAL jsonb_each(jsonb_strip_nulls(to_jsonb(v))) AS e
        WHERE
            v.dag_name = p_dag_name AND v.job_name = p_job_name AND v.in_force @> p_at AND d.defaults ? e.key
    ) AS o (overridden, sources)
    CROSS JOIN LATERAL jsonb_populate_record(
        NULL::financial_screener.dag_configuration, coalesce(b.found, d.defaults) || coalesce(o.overridden, '{}')
    ) AS c
$$;

COMMENT ON FUNCTION financial_screener.effective_dag_config(text, text, timestamp with time zone) IS
    'What a job runs with at a moment: its row then (without one the defaults), and the overrides that are in force'
    ' then. sources: for each column row, default, or the override with its number.';

-- Clients read the result by position: a new column comes last.
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
        e.cpu_request, e.cpu_limit, e.memory_request, e.memory_limit, e.batch_size, e.timeout_seconds, e.max_retries,
        e.retry_delay_minutes, e.retry_backoff_enabled, e.enabled
    FROM financial_screener.effective_dag_config(p_dag_name, p_job_name, now()) AS e
$$;

-- What the row breaks without overrides, and what was broken before the change, is none of this trigger's business: a job with a
-- broken override can be disabled, and the override be ended.
-- SECURITY DEFINER: whoever may write the row needs no privilege on the overrides.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_validate_overrides()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    concerned jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
    changed text[] := CASE
        WHEN TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'dag_configuration'
        THEN financial_screener.dagconfig_changed_columns(to_jsonb(OLD), to_jsonb(NEW))
    END;
    row_now jsonb;
    moment timestamptz;
    overridden jsonb;
    effective jsonb;
    broken record;
BEGIN
    -- Touched only: see dagconfig_touch.
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) = to_jsonb(NEW) THEN
        RETURN NULL;
    END IF;
    FOR moment IN
        SELECT m.moment
        FROM financial_screener.dag_configuration_override_periods AS o
        CROSS JOIN LATERAL (VALUES (greatest(lower(o.in_force), now())), (upper(o.in_force))) AS m (moment)
        WHERE
            o.dag_name = concerned ->> 'dag_name' AND o.job_name = concerned ->> 'job_name' AND upper(o.in_force) > now()
        UNION
        SELECT now() WHERE TG_TABLE_NAME = 'dag_configuration_overrides'
        ORDER BY 1
    LOOP
        SELECT to_jsonb(e), e.sources INTO effective, overridden
        FROM financial_screener.effective_dag_config(concerned ->> 'dag_name', concerned ->> 'job_name', moment) AS e;
        row_now := (
            SELECT to_jsonb(c) FROM financial_screener.dag_configuration AS c
            WHERE c.dag_name = concerned ->> 'dag_name' AND c.job_name = concerned ->> 'job_name'
        );
        effective := concerned || effective;
        SELECT b.* INTO broken
        FROM financial_screener.dagconfig_broken_rules(
            'dag_configuration', effective,
            ARRAY(SELECT s.key FROM jsonb_each_text(overridden) AS s WHERE s.value LIKE 'override %')
        ) AS b
        WHERE
            NOT EXISTS (
                SELECT FROM financial_screener.dagconfig_broken_rules('dag_configuration', row_now, b.columns) AS r
                WHERE row_now IS NOT NULL AND r.rule_name = b.rule_name
            )
            AND CASE
                WHEN changed IS NOT NULL THEN b.columns && changed
                -- The end of one override is not refused for what another one holds by itself.
                WHEN TG_OP = 'UPDATE' THEN cardinality(b.columns) > 1
                ELSE true
            END
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'check_violation',
                MESSAGE = format(
                    '%s %s of %s (%s) %s', broken.column_name, coalesce(quote_literal(broken.value), 'NULL'),
                    concat_ws('/', concerned ->> 'dag_name', concerned ->> 'job_name'),
                    (
                        SELECT string_agg(DISTINCT s.value, ', ') FROM jsonb_each_text(overridden) AS s
                        WHERE s.key = ANY(broken.columns) AND s.value LIKE 'override %'
                    ),
                    broken.message
                ),
                DETAIL = format('It would be so from %s.', moment),
                SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, COLUMN = broken.column_name,
                CONSTRAINT = 'rule_' || broken.rule_name;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_validate_overrides() IS
    'Trigger: refuses a change after which the row and its overrides, each right by itself, break a rule together:'
    ' now, or when an override begins or ends.';

CREATE OR REPLACE TRIGGER validate_overrides
AFTER INSERT OR UPDATE OR DELETE ON financial_screener.dag_configuration
FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate_overrides();

CREATE OR REPLACE TRIGGER validate_overrides
AFTER INSERT OR UPDATE ON financial_screener.dag_configuration_overrides
FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate_overrides();

-- A change of the row at the same time would not see the override, nor the override the change: it waits, and in a transaction that
-- goes on seeing what was before, it fails.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_touch(p_dag_name text, p_job_name text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    touched integer;
BEGIN
    PERFORM set_config('dagconfig.touch', 'on', true);
    UPDATE financial_screener.dag_configuration AS c SET version = c.version
    WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name;
    GET DIAGNOSTICS touched = ROW_COUNT;
    PERFORM set_config('dagconfig.touch', '', true);
    RETURN touched > 0;
END
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_touch(text, text) IS
    'Lock a job''s row and write it as it is; gives whether there is one.';

-- SECURITY DEFINER: overrides are made and ended by these two functions only, so that none is changed or back-dated.
CREATE OR REPLACE FUNCTION financial_screener.override_dag_config(
    p_dag_name text,
    p_job_name text,
    p_ends_at timestamp with time zone,
    p_reason text,
    p_updated_by text DEFAULT 'system',
    p_cpu_request text DEFAULT NULL,
    p_cpu_limit text DEFAULT NULL,
    p_memory_request text DEFAULT NULL,
    p_memory_limit text DEFAULT NULL,
    p_batch_size integer DEFAULT NULL,
    p_timeout_seconds integer DEFAULT NULL,
    p_max_retries integer DEFAULT NULL,
    p_retry_delay_minutes integer DEFAULT NULL,
    p_retry_backoff_enabled boolean DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_enabled boolean DEFAULT NULL,
    p_starts_at timestamp with time zone DEFAULT now()
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booked text[] := financial_screener.dagconfig_book_on(p_updated_by, p_reason);
    made bigint;
BEGIN
    IF p_ends_at IS NULL OR NOT isfinite(p_ends_at) OR p_ends_at <= greatest(p_starts_at, clock_timestamp()) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                'ends_at %s of the override of %s/%s must be a moment after its start and after now, such as now() + interval ''2 hours''',
                coalesce(quote_literal(p_ends_at), 'NULL'), p_dag_name, p_job_name
            ),
            COLUMN = 'ends_at';
    ELSIF p_reason IS NULL OR p_reason !~ '[^[:space:]]' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                'reason %s of the override of %s/%s must be a text, such as ''backfill of October''',
                coalesce(quote_literal(p_reason), 'NULL'), p_dag_name, p_job_name
            ),
            COLUMN = 'reason';
    ELSIF num_nonnulls(
        p_cpu_request, p_cpu_limit, p_memory_request, p_memory_limit, p_batch_size, p_timeout_seconds, p_max_retries,
        p_retry_delay_minutes, p_retry_backoff_enabled, p_enabled, p_priority
    ) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                'the override of %s/%s must set at least one value, such as p_memory_limit => ''8Gi''', p_dag_name, p_job_name
            );
    END IF;
    IF NOT financial_screener.dagconfig_touch(p_dag_name, p_job_name) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC404',
            MESSAGE = format('there is no row for %s/%s to be overridden', p_dag_name, p_job_name),
            HINT = format(
                'To make it, with the default values: SELECT financial_screener.update_dag_config(%L, %L);', p_dag_name, p_job_name
            );
    END IF;
    INSERT INTO financial_screener.dag_configuration_overrides (
        dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds, max_retries,
        retry_delay_minutes, retry_backoff_enabled, enabled, priority, starts_at, ends_at, reason, created_by
    ) VALUES (
        p_dag_name, p_job_name, p_cpu_request, p_cpu_limit, p_memory_request, p_memory_limit, p_batch_size,
        p_timeout_seconds, p_max_retries, p_retry_delay_minutes, p_retry_backoff_enabled, p_enabled, p_priority,
        greatest(p_starts_at, now()), p_ends_at, p_reason, left(coalesce(p_updated_by, session_user), 100)
    )
    RETURNING override_id INTO made;
    PERFORM financial_screener.dagconfig_book_on(booked[1], booked[2]);
    RETURN made;
END
$$;

COMMENT ON FUNCTION financial_screener.override_dag_config(
    text, text, timestamp with time zone, text, text, text, text, text, text, integer, integer, integer, integer,
    boolean, integer, boolean, timestamp with time zone
) IS
    'Set some values of a job until p_ends_at; gives the override''s number.';

CREATE OR REPLACE FUNCTION financial_screener.end_override(
    p_override_id bigint, p_updated_by text DEFAULT 'system', p_reason text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booked text[] := financial_screener.dagconfig_book_on(p_updated_by, p_reason);
    first_moment timestamptz := '0001-01-02 00:00:00+00';
    last_moment timestamptz := '9999-12-30 00:00:00+00';
    override financial_screener.dag_configuration_overrides;
    ended financial_screener.dag_configuration_overrides;
BEGIN
    SELECT o.* INTO override
    FROM financial_screener.dag_configuration_overrides AS o
    WHERE o.override_id = p_override_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DC404', MESSAGE = format('there is no override %s', p_override_id);
    END IF;
    -- In the same order as override_dag_config.
    PERFORM financial_screener.dagconfig_touch(override.dag_name, override.job_name);
    SELECT o.* INTO override
    FROM financial_screener.dag_configuration_overrides AS o
    WHERE o.override_id = p_override_id
    FOR UPDATE;
    ended := override;
    IF ended.created_at NOT BETWEEN first_moment AND last_moment THEN
        ended.created_at := now();
    END IF;
    ended.starts_at := greatest(first_moment, least(ended.starts_at, last_moment - interval '1 second'));
    ended.ends_at := greatest(first_moment + interval '1 second', least(ended.ends_at, last_moment));
    IF ended.starts_at >= ended.ends_at THEN
        ended.starts_at := ended.ends_at - interval '1 second';
    END IF;
    IF length(ended.reason) > 1000 THEN
        ended.reason := left(regexp_replace(ended.reason, '^[[:space:]]+', ''), 1000);
    END IF;
    -- An end that is still to come is no end.
    IF
        ended.ended_at NOT BETWEEN first_moment AND least(now(), ended.ends_at)
        OR (ended.ended_at IS NULL AND override.ends_at > now())
    THEN
        ended.ended_at := least(now(), ended.ends_at);
    END IF;
    IF ended IS NOT DISTINCT FROM override THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC409',
            MESSAGE = format('override %s of %s/%s has ended already', p_override_id, override.dag_name, override.job_name),
            DETAIL = jsonb_build_object(
                'kind', 'conflict', 'columns', '[]'::jsonb, 'entries', '[]'::jsonb, 'ended_at',
                coalesce(override.ended_at, override.ends_at)
            )::text;
    END IF;
    UPDATE financial_screener.dag_configuration_overrides AS o SET
        created_at = ended.created_at, starts_at = ended.starts_at, ends_at = ended.ends_at, ended_at = ended.ended_at,
        reason = ended.reason
    WHERE o.override_id = p_override_id;
    PERFORM financial_screener.dagconfig_book_on(booked[1], booked[2]);
END
$$;

COMMENT ON FUNCTION financial_screener.end_override(bigint, text, text) IS
    'End an override before its time. Moments and a reason that break a rule become such that keep it; the audit has'
    ' them as they were.';

REVOKE EXECUTE ON FUNCTION
    financial_screener.effective_dag_config(text, text, timestamp with time zone),
    financial_screener.dagconfig_validate_overrides(),
    financial_screener.dagconfig_touch(text, text),
    financial_screener.override_dag_config(
        text, text, timestamp with time zone, text, text, text, text, text, text, integer, integer, integer, integer,
        boolean, integer, boolean, timestamp with time zone
    ),
    financial_screener.end_override(bigint, text, text)
FROM PUBLIC;
