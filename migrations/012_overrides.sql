-- 012: values for a time, and the configuration as it was at a moment.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 012_overrides.sql
--
-- or `airflow dagconfig migrate`. It needs 011 and may be repeated. The way back is 012_overrides.down.sql. How the schema's name
-- is replaced is said in 008_dag_configuration_tables.sql.
--
-- An override is in force from starts_at until ends_at, or until somebody ends it (ended_at). Whoever reads at a moment looks at
-- what is in force then, so it ends by itself. Of several, the newest that sets a column wins that column.

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

CREATE OR REPLACE TRIGGER audit_dag_configuration_overrides
AFTER INSERT OR UPDATE OR DELETE ON financial_screener.dag_configuration_overrides
FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();

CREATE OR REPLACE TRIGGER audit_dag_configuration_overrides_truncate
BEFORE TRUNCATE ON financial_screener.dag_configuration_overrides
FOR EACH STATEMENT EXECUTE FUNCTION financial_screener.audit_dag_configuration();

-- The state of a row at a moment, by the audit entries of its name: what the last entry until then left, or what the first one
-- after it found; null where there was no row. p_now: the row as it is, for one without entries.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_row_at(
    p_table text, p_dag_name text, p_job_name text, p_group_name text, p_moment timestamp with time zone, p_now jsonb
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    state jsonb;
BEGIN
    IF p_group_name IS NULL THEN
        SELECT a.new_values INTO state
        FROM financial_screener.dag_configuration_audit AS a
        WHERE
            a.dag_name = p_dag_name AND a.job_name = p_job_name AND a.table_name = p_table AND a.changed_at <= p_moment
        ORDER BY a.audit_id DESC LIMIT 1;
        IF NOT FOUND THEN
            SELECT a.old_values INTO state
            FROM financial_screener.dag_configuration_audit AS a
            WHERE
                a.dag_name = p_dag_name AND a.job_name = p_job_name AND a.table_name = p_table AND a.changed_at > p_moment
            ORDER BY a.audit_id LIMIT 1;
        END IF;
    ELSE
        SELECT a.new_values INTO state
        FROM financial_screener.dag_configuration_audit AS a
        WHERE a.group_name = p_group_name AND a.table_name = p_table AND a.changed_at <= p_moment
        ORDER BY a.audit_id DESC LIMIT 1;
        IF NOT FOUND THEN
            SELECT a.old_values INTO state
            FROM financial_screener.dag_configuration_audit AS a
            WHERE a.group_name = p_group_name AND a.table_name = p_table AND a.changed_at > p_moment
            ORDER BY a.audit_id LIMIT 1;
        END IF;
    END IF;
    IF NOT FOUND AND (p_now ->> 'created_at')::timestamptz <= p_moment THEN
        state := p_now;
    END IF;
    RETURN state;
END
$$;

-- The row of a job as it was, without overrides; null where there was none.
CREATE OR REPLACE FUNCTION financial_screener.dag_config_at(
    p_dag_name text, p_job_name text, p_moment timestamp with time zone
)
RETURNS jsonb
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT financial_screener.dagconfig_row_at(
        'dag_configuration', p_dag_name, p_job_name, NULL, p_moment,
        (
            SELECT to_jsonb(c) FROM financial_screener.dag_configuration AS c
            WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name
        )
    )
$$;

-- The row of a group as it was; null where there was none.
CREATE OR REPLACE FUNCTION financial_screener.exchange_group_at(p_group_name text, p_moment timestamp with time zone)
RETURNS jsonb
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT financial_screener.dagconfig_row_at(
        'exchange_groups', NULL, NULL, p_group_name, p_moment,
        (SELECT to_jsonb(g) FROM financial_screener.exchange_groups AS g WHERE g.group_name = p_group_name)
    )
$$;

-- What a job runs with at a moment: its row then (without one the defaults), and the overrides that are in force then.
-- sources: for each column "row", "default" or "override 7".
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
    FROM (VALUES (
        jsonb '{
            "cpu_request": "500m", "cpu_limit": "2000m", "memory_request": "1Gi", "memory_limit": "2Gi",
            "batch_size": 500, "timeout_seconds": 600, "max_retries": 2, "retry_delay_minutes": 5,
            "retry_backoff_enabled": true, "enabled": true, "priority": 5, "description": null
        }'
    )) AS d (defaults)
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
        FROM financial_screener.dag_configuration_overrides AS v
        CROSS JOIN LATERAL jsonb_each(jsonb_strip_nulls(to_jsonb(v))) AS e
        WHERE
            v.dag_name = p_dag_name AND v.job_name = p_job_name
            AND v.starts_at <= p_at AND v.ends_at > p_at AND (v.ended_at IS NULL OR v.ended_at > p_at)
            AND d.defaults ? e.key
    ) AS o (overridden, sources)
    CROSS JOIN LATERAL jsonb_populate_record(
        NULL::financial_screener.dag_configuration, coalesce(b.found, d.defaults) || coalesce(o.overridden, '{}')
    ) AS c
$$;

-- What a job runs with now: its row, also when it is disabled, without a row the defaults; and the overrides in force.
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

-- Refuse a change after which the row and its overrides, each right by itself, break a rule together: now, or when an override
-- begins or ends. What the row breaks without them is none of this trigger's business.
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
        FROM financial_screener.dag_configuration_overrides AS o
        CROSS JOIN LATERAL (VALUES (greatest(o.starts_at, now())), (coalesce(o.ended_at, o.ends_at))) AS m (moment)
        WHERE
            o.dag_name = concerned ->> 'dag_name' AND o.job_name = concerned ->> 'job_name'
            AND o.ends_at > now() AND (o.ended_at IS NULL OR o.ended_at > now())
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
        WHERE NOT EXISTS (
            SELECT FROM financial_screener.dagconfig_broken_rules('dag_configuration', row_now, b.columns) AS r
            WHERE row_now IS NOT NULL AND r.rule_name = b.rule_name
        )
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

CREATE OR REPLACE TRIGGER validate_overrides
AFTER INSERT OR UPDATE OR DELETE ON financial_screener.dag_configuration
FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate_overrides();

CREATE OR REPLACE TRIGGER validate_overrides
AFTER INSERT OR UPDATE ON financial_screener.dag_configuration_overrides
FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate_overrides();

-- Lock a job's row and write it as it is; returns whether there is one. A change of the row at the same time would not see the
-- override, nor the override the change: it waits, and in a transaction that goes on seeing what was before, it fails.
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

-- Set some values of a job until p_ends_at. Returns the override's number.
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

-- End an override before its time.
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
    override financial_screener.dag_configuration_overrides;
BEGIN
    SELECT o.* INTO override
    FROM financial_screener.dag_configuration_overrides AS o
    WHERE o.override_id = p_override_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DC404', MESSAGE = format('there is no override %s', p_override_id);
    END IF;
    -- In the same order as override_dag_config.
    PERFORM financial_screener.dagconfig_touch(override.dag_name, override.job_name);
    UPDATE financial_screener.dag_configuration_overrides AS o SET ended_at = now()
    WHERE o.override_id = p_override_id AND o.ended_at IS NULL AND o.ends_at > now();
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC409',
            MESSAGE = format('override %s of %s/%s has ended already', p_override_id, override.dag_name, override.job_name),
            DETAIL = jsonb_build_object(
                'kind', 'conflict', 'columns', '[]'::jsonb, 'entries', '[]'::jsonb, 'ended_at',
                coalesce(override.ended_at, override.ends_at)
            )::text;
    END IF;
    PERFORM financial_screener.dagconfig_book_on(booked[1], booked[2]);
END
$$;

REVOKE EXECUTE ON FUNCTION
    financial_screener.dagconfig_row_at(text, text, text, text, timestamp with time zone, jsonb),
    financial_screener.dag_config_at(text, text, timestamp with time zone),
    financial_screener.exchange_group_at(text, timestamp with time zone),
    financial_screener.effective_dag_config(text, text, timestamp with time zone),
    financial_screener.dagconfig_validate_overrides(),
    financial_screener.dagconfig_touch(text, text),
    financial_screener.override_dag_config(
        text, text, timestamp with time zone, text, text, text, text, text, text, integer, integer, integer, integer, boolean,
        integer, boolean, timestamp with time zone
    ),
    financial_screener.end_override(bigint, text, text)
FROM PUBLIC;
