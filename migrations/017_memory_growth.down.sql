-- The way back of 017: memory does not grow any more. What the columns held is lost but for the audit, and overrides that set nothing
-- else are deleted.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 017_memory_growth.down.sql
--
-- or `airflow dagconfig migrate --to 016`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 17) THEN
            RAISE EXCEPTION 'later migrations than 017 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 17;
    END IF;
END
$$;

DELETE FROM financial_screener.dag_configuration_overrides
WHERE
    pg_catalog.num_nonnulls(
        cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds, max_retries,
        retry_delay_minutes, retry_backoff_enabled, enabled, priority
    ) = 0;

DROP FUNCTION financial_screener.update_dag_config(
    text, text, text, text, text, text, integer, integer, text, integer, integer, boolean, boolean, integer, text, text, bigint,
    numeric, text
);
DROP FUNCTION financial_screener.override_dag_config(
    text, text, timestamp with time zone, text, text, text, text, text, text, integer, integer, integer, integer, boolean, integer,
    boolean, timestamp with time zone, numeric, text
);
DROP FUNCTION financial_screener.effective_dag_config(text, text, timestamp with time zone);
DROP VIEW financial_screener.dag_configuration_override_periods;

DO $$
DECLARE
    definition text := pg_catalog.pg_get_functiondef('financial_screener.dagconfig_rules()'::pg_catalog.regprocedure);
    rules text := $rule$        (
            'dag_configuration', '{memory_growth}', NULL,
            'coalesce({} >= 1.1 AND {} <= 10 AND trunc({}, 2) = {}, true)',
            'a factor from 1.1 to 10, with at most two decimals', '2'
        ),
        (
            'dag_configuration', '{memory_growth_limit}', NULL,
            'coalesce(financial_screener.quantity_value({}::text) BETWEEN 4194304 AND 70368744177664, {} IS NULL)',
            'a Kubernetes quantity from 4Mi to 64Ti', '8Gi'
        ),
$rule$;
BEGIN
    EXECUTE pg_catalog.replace(definition, rules, '');
END
$$;

ALTER TABLE financial_screener.dag_configuration_overrides
DROP CONSTRAINT override_sets_something,
DROP COLUMN memory_growth_limit,
DROP COLUMN memory_growth,
ADD CONSTRAINT override_sets_something CHECK (
    pg_catalog.num_nonnulls(
        cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds, max_retries,
        retry_delay_minutes, retry_backoff_enabled, enabled, priority
    ) > 0
);

ALTER TABLE financial_screener.dag_configuration DROP COLUMN memory_growth_limit, DROP COLUMN memory_growth;

-- As 011 has it.
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

-- As 012 has them.
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

-- As 013 has them.
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
    text, text, timestamp with time zone, text, text, text, text, text, text, integer, integer, integer, integer, boolean, integer,
    boolean, timestamp with time zone
) IS
    'Set some values of a job until p_ends_at; gives the override''s number.';

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

-- A function that is made anew is its maker's, and everybody's to call. It becomes the tables' owner's again, and who may call it is
-- who may call another function of the same kind.
REVOKE EXECUTE ON FUNCTION
    financial_screener.update_dag_config(
        text, text, text, text, text, text, integer, integer, text, integer, integer, boolean, boolean, integer, text, text, bigint
    ),
    financial_screener.override_dag_config(
        text, text, timestamp with time zone, text, text, text, text, text, text, integer, integer, integer, integer, boolean, integer,
        boolean, timestamp with time zone
    ),
    financial_screener.effective_dag_config(text, text, timestamp with time zone)
FROM PUBLIC;

DO $$
DECLARE
    owner oid := (
        SELECT c.relowner FROM pg_catalog.pg_class AS c
        WHERE c.oid = 'financial_screener.dag_configuration_audit'::pg_catalog.regclass
    );
    made record;
BEGIN
    FOR made IN
        SELECT p.oid::pg_catalog.regprocedure AS signature, p.proowner, a.grantee
        FROM (VALUES
            ('update_dag_config', 'delete_dag_config'),
            ('override_dag_config', 'end_override'),
            ('effective_dag_config', 'dag_config_at')
        ) AS f (name, alike)
        JOIN pg_catalog.pg_proc AS p ON p.proname = f.name
        JOIN pg_catalog.pg_proc AS other ON other.proname = f.alike AND other.pronamespace = p.pronamespace
        LEFT JOIN LATERAL pg_catalog.aclexplode(other.proacl) AS a ON a.grantee NOT IN (0, owner)
        WHERE p.pronamespace = 'financial_screener'::pg_catalog.regnamespace
    LOOP
        IF made.proowner <> owner THEN
            EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO %s', made.signature, owner::pg_catalog.regrole);
        END IF;
        IF made.grantee IS NOT NULL THEN
            EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s', made.signature, made.grantee::pg_catalog.regrole);
        END IF;
    END LOOP;
END
$$;

-- So is the view.
DO $$
DECLARE
    reader record;
BEGIN
    FOR reader IN
        SELECT c.relowner AS owner, a.grantee
        FROM pg_catalog.pg_class AS c
        LEFT JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a ON a.grantee NOT IN (0, c.relowner) AND a.privilege_type = 'SELECT'
        WHERE c.oid = 'financial_screener.dag_configuration_overrides'::pg_catalog.regclass
    LOOP
        EXECUTE pg_catalog.format(
            'ALTER VIEW financial_screener.dag_configuration_override_periods OWNER TO %s', reader.owner::pg_catalog.regrole
        );
        IF reader.grantee IS NOT NULL THEN
            EXECUTE pg_catalog.format(
                'GRANT SELECT ON financial_screener.dag_configuration_override_periods TO %s', reader.grantee::pg_catalog.regrole
            );
        END IF;
    END LOOP;
END
$$;
