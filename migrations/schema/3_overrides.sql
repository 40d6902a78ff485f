-- The schema as the migrations make it: overrides. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE TABLE financial_screener.dag_configuration_overrides (
    override_id bigint GENERATED ALWAYS AS IDENTITY,
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
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    memory_growth numeric,
    memory_growth_limit character varying(20),
    CONSTRAINT dag_configuration_overrides_pkey PRIMARY KEY (override_id),
    CONSTRAINT override_ended_before_its_end CHECK ((ended_at <= ends_at)),
    CONSTRAINT override_ends_after_it_starts CHECK (((starts_at < ends_at) AND isfinite(ends_at))),
    CONSTRAINT override_has_a_reason CHECK ((reason ~ '[^[:space:]]'::text)),
    CONSTRAINT override_sets_something CHECK ((num_nonnulls(cpu_request, cpu_limit, memory_request, memory_limit, batch_size, timeout_seconds, max_retries, retry_delay_minutes, retry_backoff_enabled, enabled, priority, memory_growth, memory_growth_limit) > 0))
);
CREATE INDEX dag_configuration_overrides_job ON financial_screener.dag_configuration_overrides USING btree (dag_name, job_name, ends_at);
COMMENT ON TABLE financial_screener.dag_configuration_overrides IS 'Values that take the place of a job''s for a time, and then end by themselves. Of several, the newest that sets a column wins that column.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.override_id IS 'The override''s number.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.dag_name IS 'The DAG of the overridden job.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.job_name IS 'The overridden job.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.cpu_request IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.cpu_limit IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.memory_request IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.memory_limit IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.batch_size IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.timeout_seconds IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.max_retries IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.retry_delay_minutes IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.retry_backoff_enabled IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.enabled IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.priority IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.starts_at IS 'When it begins.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.ends_at IS 'When it ends by itself.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.reason IS 'Why it was created.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.created_by IS 'Who created it.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.created_at IS 'When it was created.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.ended_at IS 'When somebody ended it before its time; otherwise NULL.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.memory_growth IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_overrides.memory_growth_limit IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
GRANT SELECT ON TABLE financial_screener.dag_configuration_overrides TO dagconfig_reader;

CREATE VIEW financial_screener.dag_configuration_override_periods WITH (security_invoker=true) AS
 SELECT tstzrange(starts_at, GREATEST(starts_at, LEAST(ends_at, ended_at))) AS in_force,
    override_id,
    dag_name,
    job_name,
    cpu_request,
    cpu_limit,
    memory_request,
    memory_limit,
    batch_size,
    timeout_seconds,
    max_retries,
    retry_delay_minutes,
    retry_backoff_enabled,
    enabled,
    priority,
    starts_at,
    ends_at,
    reason,
    created_by,
    created_at,
    ended_at,
    memory_growth,
    memory_growth_limit
   FROM financial_screener.dag_configuration_overrides o;
COMMENT ON VIEW financial_screener.dag_configuration_override_periods IS 'The overrides with the period in which each is in force. Those of now: WHERE in_force @> now().';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.in_force IS 'The period in which it is in force, the end not included; empty if it never was in force.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.override_id IS 'The override''s number.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.dag_name IS 'The DAG of the overridden job.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.job_name IS 'The overridden job.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.cpu_request IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.cpu_limit IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.memory_request IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.memory_limit IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.batch_size IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.timeout_seconds IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.max_retries IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.retry_delay_minutes IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.retry_backoff_enabled IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.enabled IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.priority IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.starts_at IS 'When it begins.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.ends_at IS 'When it ends by itself.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.reason IS 'Why it was created.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.created_by IS 'Who created it.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.created_at IS 'When it was created.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.ended_at IS 'When somebody ended it before its time; otherwise NULL.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.memory_growth IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
COMMENT ON COLUMN financial_screener.dag_configuration_override_periods.memory_growth_limit IS 'As in dag_configuration; NULL if the override leaves it unchanged.';
GRANT SELECT ON TABLE financial_screener.dag_configuration_override_periods TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.effective_dag_config(p_dag_name text, p_job_name text, p_at timestamp with time zone DEFAULT now())
 RETURNS TABLE(cpu_request character varying, cpu_limit character varying, memory_request character varying, memory_limit character varying, batch_size integer, timeout_seconds integer, max_retries integer, retry_delay_minutes integer, retry_backoff_enabled boolean, enabled boolean, priority integer, description text, version bigint, sources jsonb, memory_growth numeric, memory_growth_limit character varying)
 LANGUAGE sql
 STABLE ROWS 1
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT
        c.cpu_request, c.cpu_limit, c.memory_request, c.memory_limit, c.batch_size, c.timeout_seconds, c.max_retries,
        c.retry_delay_minutes, c.retry_backoff_enabled, c.enabled, c.priority, c.description,
        (b.found ->> 'version')::bigint,
        (
            SELECT jsonb_object_agg(k.name, CASE WHEN b.found IS NULL THEN 'default' ELSE 'row' END)
            FROM jsonb_object_keys(d.defaults) AS k (name)
        ) || coalesce(o.sources, '{}'),
        c.memory_growth, c.memory_growth_limit
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
$function$;
COMMENT ON FUNCTION financial_screener.effective_dag_config(text,text,timestamp with time zone) IS 'Returns the values that a job runs with at a moment: those of its row, or the defaults if there is no row, with the overrides in force. sources: for each column row, default, or override and its number.';
REVOKE ALL ON FUNCTION financial_screener.effective_dag_config(text,text,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.effective_dag_config(text,text,timestamp with time zone) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.effective_dag_config(text,text,timestamp with time zone) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.get_dag_config(p_dag_name text, p_job_name text DEFAULT 'all'::text)
 RETURNS TABLE(cpu_request character varying, cpu_limit character varying, memory_request character varying, memory_limit character varying, batch_size integer, timeout_seconds integer, max_retries integer, retry_delay_minutes integer, retry_backoff_enabled boolean, enabled boolean)
 LANGUAGE sql
 STABLE ROWS 1
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT
        e.cpu_request, e.cpu_limit, e.memory_request, e.memory_limit, e.batch_size, e.timeout_seconds, e.max_retries,
        e.retry_delay_minutes, e.retry_backoff_enabled, e.enabled
    FROM financial_screener.effective_dag_config(p_dag_name, p_job_name, now()) AS e
$function$;
COMMENT ON FUNCTION financial_screener.get_dag_config(text,text) IS 'Returns the values that a job runs with now, also if it is disabled: those of its row, or the defaults if there is no row, with the overrides in force.';
REVOKE ALL ON FUNCTION financial_screener.get_dag_config(text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.get_dag_config(text,text) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.get_dag_config(text,text) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_validate_overrides()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    concerned jsonb;
    changed text[];
    row_now jsonb;
    moment timestamptz;
    overridden jsonb;
    effective jsonb;
    broken record;
BEGIN
    IF
        TG_TABLE_NAME = 'dag_configuration' AND NOT EXISTS (
            SELECT FROM financial_screener.dag_configuration_overrides AS o
            WHERE
                o.dag_name = coalesce(NEW.dag_name, OLD.dag_name) AND o.job_name = coalesce(NEW.job_name, OLD.job_name)
                AND o.ends_at > now()
        )
    THEN
        RETURN NULL;
    END IF;
    concerned := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
    changed := CASE
        WHEN TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'dag_configuration'
        THEN financial_screener.dagconfig_changed_columns(to_jsonb(OLD), to_jsonb(NEW))
    END;
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
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_validate_overrides() IS 'Trigger: refuses a change if the row and its overrides, each valid alone, would break a rule together, now or when an override begins or ends.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_validate_overrides() FROM PUBLIC;
CREATE TRIGGER validate_overrides AFTER INSERT OR DELETE OR UPDATE ON financial_screener.dag_configuration FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate_overrides();
CREATE TRIGGER validate_overrides AFTER INSERT OR UPDATE ON financial_screener.dag_configuration_overrides FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate_overrides();

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_touch(p_dag_name text, p_job_name text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_touch(text,text) IS 'Lock a job''s row and write it unchanged. Returns whether the row exists.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_touch(text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.override_dag_config(p_dag_name text, p_job_name text, p_ends_at timestamp with time zone, p_reason text, p_updated_by text DEFAULT 'system'::text, p_cpu_request text DEFAULT NULL::text, p_cpu_limit text DEFAULT NULL::text, p_memory_request text DEFAULT NULL::text, p_memory_limit text DEFAULT NULL::text, p_batch_size integer DEFAULT NULL::integer, p_timeout_seconds integer DEFAULT NULL::integer, p_max_retries integer DEFAULT NULL::integer, p_retry_delay_minutes integer DEFAULT NULL::integer, p_retry_backoff_enabled boolean DEFAULT NULL::boolean, p_priority integer DEFAULT NULL::integer, p_enabled boolean DEFAULT NULL::boolean, p_starts_at timestamp with time zone DEFAULT now(), p_memory_growth numeric DEFAULT NULL::numeric, p_memory_growth_limit text DEFAULT NULL::text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, p_reason);
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
        p_retry_delay_minutes, p_retry_backoff_enabled, p_enabled, p_priority, p_memory_growth, p_memory_growth_limit
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
        retry_delay_minutes, retry_backoff_enabled, enabled, priority, memory_growth, memory_growth_limit, starts_at, ends_at,
        reason, created_by
    ) VALUES (
        p_dag_name, p_job_name, p_cpu_request, p_cpu_limit, p_memory_request, p_memory_limit, p_batch_size,
        p_timeout_seconds, p_max_retries, p_retry_delay_minutes, p_retry_backoff_enabled, p_enabled, p_priority,
        trim_scale(p_memory_growth), p_memory_growth_limit,
        greatest(p_starts_at, now()), p_ends_at, p_reason, left(coalesce(p_updated_by, session_user), 100)
    )
    RETURNING override_id INTO made;
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
    RETURN made;
END
$function$;
COMMENT ON FUNCTION financial_screener.override_dag_config(text,text,timestamp with time zone,text,text,text,text,text,text,integer,integer,integer,integer,boolean,integer,boolean,timestamp with time zone,numeric,text) IS 'Set some values of a job until p_ends_at. Returns the override''s number.';
REVOKE ALL ON FUNCTION financial_screener.override_dag_config(text,text,timestamp with time zone,text,text,text,text,text,text,integer,integer,integer,integer,boolean,integer,boolean,timestamp with time zone,numeric,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.override_dag_config(text,text,timestamp with time zone,text,text,text,text,text,text,integer,integer,integer,integer,boolean,integer,boolean,timestamp with time zone,numeric,text) TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.end_override(p_override_id bigint, p_updated_by text DEFAULT 'system'::text, p_reason text DEFAULT NULL::text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, p_reason);
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
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.end_override(bigint,text,text) IS 'End an override before its time. Moments and a reason that break a rule are replaced by valid ones; the audit keeps the former ones.';
REVOKE ALL ON FUNCTION financial_screener.end_override(bigint,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.end_override(bigint,text,text) TO dagconfig_editor;
