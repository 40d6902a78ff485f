-- The schema as the migrations make it: ceilings. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE TABLE financial_screener.dagconfig_ceilings (
    dag_name character varying(100),
    name text NOT NULL,
    value character varying(20) NOT NULL,
    not_valid boolean DEFAULT false NOT NULL,
    set_by character varying(100) NOT NULL,
    reason text,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT dagconfig_ceilings_one_each UNIQUE NULLS NOT DISTINCT (dag_name, name),
    CONSTRAINT dagconfig_ceilings_name CHECK ((name = ANY (ARRAY['cpu'::text, 'memory'::text, 'timeout_seconds'::text, 'max_retries'::text]))),
    CONSTRAINT dagconfig_ceilings_updated_at CHECK (((updated_at >= '2000-01-01 00:00:00+00'::timestamp with time zone) AND (updated_at < '9999-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT dagconfig_ceilings_value CHECK (((value)::text ~ '^[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$'::text))
);
COMMENT ON TABLE financial_screener.dagconfig_ceilings IS 'The highest values that rows, overrides and a run''s conf may set. Only the owner writes it, with set_ceiling and remove_ceiling.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings.dag_name IS 'The DAG''s id; NULL for all DAGs. If there are both, the lower ceiling applies.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings.name IS 'The bounded value: cpu or memory (request and limit), timeout_seconds or max_retries.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings.value IS 'The maximum: a Kubernetes quantity, or a whole number.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings.not_valid IS 'Whether earlier values may stay above it until they are changed, as with a constraint that is NOT VALID.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings.set_by IS 'Who set it; the triggers write this column and the next two.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings.reason IS 'Why it was set, if a reason was given.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings.updated_at IS 'When it was set.';
GRANT SELECT ON TABLE financial_screener.dagconfig_ceilings TO dagconfig_reader;

CREATE TABLE financial_screener.dagconfig_ceilings_guard (
    is_only boolean DEFAULT true NOT NULL,
    times_set bigint DEFAULT 0 NOT NULL,
    CONSTRAINT dagconfig_ceilings_guard_pkey PRIMARY KEY (is_only),
    CONSTRAINT dagconfig_ceilings_guard_one_row CHECK (is_only)
);
COMMENT ON TABLE financial_screener.dagconfig_ceilings_guard IS 'One row, which is locked so that no bounded value is written while a ceiling is set.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings_guard.is_only IS 'Always true, so that there is only one row.';
COMMENT ON COLUMN financial_screener.dagconfig_ceilings_guard.times_set IS 'How often a ceiling was set. The number has no use but to change.';

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_stamp_ceiling()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    of_whom text := coalesce('DAG ' || NEW.dag_name, 'all DAGs');
    amount numeric := financial_screener.quantity_value(NEW.value::text);
    is_whole boolean := NEW.value ~ '^[0-9]+$';
    rule text;
BEGIN
    IF
        TG_OP = 'UPDATE'
        AND (NEW.dag_name, NEW.name, NEW.value, NEW.not_valid)
        IS NOT DISTINCT FROM (OLD.dag_name, OLD.name, OLD.value, OLD.not_valid)
    THEN
        RETURN NULL;
    ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'active_sql_transaction',
            MESSAGE = 'a ceiling is set in READ COMMITTED only, so that no value above it is missed',
            HINT = 'BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED;';
    ELSIF NEW.name IS NULL OR NEW.name NOT IN ('cpu', 'memory', 'timeout_seconds', 'max_retries') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format('name %s of the ceiling of %s must be cpu, memory, timeout_seconds or max_retries',
                coalesce(quote_literal(NEW.name), 'NULL'), of_whom),
            COLUMN = 'name';
    ELSIF NEW.dag_name !~ '^[^[:space:][:cntrl:]]([^[:cntrl:]]*[^[:space:][:cntrl:]])?$' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                'dag_name %L of the ceiling %s must be a name without blanks around it and without control characters, such as'
                ' data_collection_equities; NULL for all DAGs', NEW.dag_name, NEW.name
            ),
            COLUMN = 'dag_name';
    END IF;
    rule := CASE
        WHEN NEW.name = 'cpu' AND (amount >= 0.001 AND amount % 0.001 = 0) IS NOT TRUE
        THEN 'a Kubernetes quantity of at least 1m, in steps of 1m, such as 4'
        WHEN NEW.name = 'memory' AND (amount >= 4194304) IS NOT TRUE
        THEN 'a Kubernetes quantity of at least 4Mi, such as 16Gi'
        WHEN NEW.name = 'timeout_seconds' AND (is_whole AND amount BETWEEN 1 AND 604800) IS NOT TRUE
        THEN 'a whole number of seconds from 1 to 604800, a week, such as 7200'
        WHEN NEW.name = 'max_retries' AND (is_whole AND amount BETWEEN 0 AND 10) IS NOT TRUE
        THEN 'a whole number from 0 to 10, such as 3'
    END;
    IF rule IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format('the ceiling %s = %s of %s must be %s', NEW.name, coalesce(quote_literal(NEW.value), 'NULL'), of_whom, rule),
            COLUMN = 'value';
    END IF;
    INSERT INTO financial_screener.dagconfig_ceilings_guard AS g DEFAULT VALUES
    ON CONFLICT (is_only) DO UPDATE SET times_set = g.times_set + 1;
    NEW.set_by := financial_screener.dagconfig_author();
    NEW.reason := nullif(current_setting('dagconfig.reason', true), '');
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_stamp_ceiling() IS 'Trigger: refuses an invalid ceiling, and writes who set it, when and why.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_stamp_ceiling() FROM PUBLIC;
CREATE TRIGGER stamp_ceiling BEFORE INSERT OR UPDATE ON financial_screener.dagconfig_ceilings FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_stamp_ceiling();

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_check_ceiling()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    most_shown integer := 10;
    found_above jsonb;
    shown text;
BEGIN
    IF NEW.not_valid THEN
        RETURN NULL;
    END IF;
    SELECT
        jsonb_agg(
            jsonb_build_object(
                'dag_name', a.dag_name, 'job_name', a.job_name, 'override_id', a.override_id,
                'column_name', a.column_name, 'value', a.value
            ) ORDER BY a.number
        ),
        string_agg(
            format('%s%s/%s %s %s', 'override ' || a.override_id || ' of ', a.dag_name, a.job_name, a.column_name, a.value), ', '
            ORDER BY a.number
        ) FILTER (WHERE a.number <= most_shown)
    INTO found_above, shown
    FROM (
        SELECT v.*, row_number() OVER (ORDER BY v.dag_name, v.job_name, v.override_id NULLS FIRST, v.column_name) AS number
        FROM financial_screener.ceiling_violations() AS v
        WHERE v.ceiling_name = NEW.name AND v.ceiling_dag_name IS NOT DISTINCT FROM NEW.dag_name
    ) AS a;
    IF found_above IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC409',
            MESSAGE = format(
                'the ceiling %s = %s of %s is below what is in force: %s%s', NEW.name, NEW.value,
                coalesce('DAG ' || NEW.dag_name, 'all DAGs'), shown,
                CASE
                    WHEN jsonb_array_length(found_above) > most_shown
                    THEN format(', and %s more', jsonb_array_length(found_above) - most_shown)
                END
            ),
            DETAIL = jsonb_build_object('kind', 'above', 'above', found_above)::text,
            HINT = 'Lower these values, and end these overrides, first; or set it with p_not_valid => true: they stay as they are'
                ' until they are changed.';
    END IF;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_check_ceiling() IS 'Trigger: refuses a ceiling that is below a value in force.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_check_ceiling() FROM PUBLIC;
CREATE TRIGGER check_ceiling AFTER INSERT OR UPDATE ON financial_screener.dagconfig_ceilings FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_check_ceiling();

CREATE OR REPLACE FUNCTION financial_screener.set_ceiling(p_name text, p_value text, p_dag_name text DEFAULT NULL::text, p_updated_by text DEFAULT 'system'::text, p_reason text DEFAULT NULL::text, p_not_valid boolean DEFAULT false)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, p_reason);
BEGIN
    INSERT INTO financial_screener.dagconfig_ceilings (dag_name, name, value, not_valid)
    VALUES (p_dag_name, p_name, p_value, coalesce(p_not_valid, false))
    ON CONFLICT (dag_name, name) DO UPDATE SET value = excluded.value, not_valid = excluded.not_valid;
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.set_ceiling(text,text,text,text,text,boolean) IS 'Set a ceiling of a DAG, or of all DAGs (p_dag_name null). For the tables'' owner.';
REVOKE ALL ON FUNCTION financial_screener.set_ceiling(text,text,text,text,text,boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.remove_ceiling(p_name text, p_dag_name text DEFAULT NULL::text, p_updated_by text DEFAULT 'system'::text, p_reason text DEFAULT NULL::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, p_reason);
BEGIN
    DELETE FROM financial_screener.dagconfig_ceilings AS c
    WHERE c.name = p_name AND c.dag_name IS NOT DISTINCT FROM p_dag_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC404',
            MESSAGE = format('there is no ceiling %s of %s', p_name, coalesce('DAG ' || p_dag_name, 'all DAGs'));
    END IF;
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.remove_ceiling(text,text,text,text) IS 'Remove a ceiling of a DAG, or of all DAGs (p_dag_name null). For the tables'' owner.';
REVOKE ALL ON FUNCTION financial_screener.remove_ceiling(text,text,text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_hold_to_ceilings()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    before jsonb;
    after jsonb;
    is_new boolean;
    changed text[];
    above record;
BEGIN
    IF
        TG_OP = 'UPDATE'
        AND (
            NEW.dag_name, NEW.cpu_request, NEW.cpu_limit, NEW.memory_request, NEW.memory_limit, NEW.timeout_seconds, NEW.max_retries
        ) IS NOT DISTINCT FROM (
            OLD.dag_name, OLD.cpu_request, OLD.cpu_limit, OLD.memory_request, OLD.memory_limit, OLD.timeout_seconds, OLD.max_retries
        )
    THEN
        RETURN NEW;
    END IF;
    before := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END;
    after := to_jsonb(NEW);
    is_new := TG_OP = 'INSERT' OR before -> 'dag_name' IS DISTINCT FROM after -> 'dag_name';
    changed := ARRAY(
        SELECT v.key FROM jsonb_each(after) AS v
        WHERE
            v.key IN (
                'cpu_request', 'cpu_limit', 'memory_request', 'memory_limit', 'timeout_seconds', 'max_retries'
            )
            AND v.value <> 'null' AND (is_new OR v.value IS DISTINCT FROM before -> v.key)
    );
    IF changed = '{}' THEN
        RETURN NEW;
    END IF;
    PERFORM FROM financial_screener.dagconfig_ceilings_guard FOR SHARE;
    SELECT c.*, v.key AS column_name, v.value AS wanted INTO above
    FROM jsonb_each_text(after) AS v
    JOIN financial_screener.dagconfig_ceilings AS c ON v.key IN (c.name, c.name || '_request', c.name || '_limit')
    WHERE
        v.key = ANY(changed) AND (c.dag_name IS NULL OR c.dag_name = after ->> 'dag_name')
        AND financial_screener.quantity_value(v.value) > financial_screener.quantity_value(c.value::text)
    ORDER BY v.key, financial_screener.quantity_value(c.value::text), c.dag_name NULLS LAST
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                '%s %L of %s is above the ceiling %s = %s of %s, set by %s at %s+00:00%s', above.column_name, above.wanted,
                concat(
                    CASE TG_TABLE_NAME WHEN 'dag_configuration_overrides' THEN 'the override of ' END,
                    concat_ws('/', after ->> 'dag_name', after ->> 'job_name')
                ),
                above.name, above.value, coalesce('DAG ' || above.dag_name, 'all DAGs'), above.set_by,
                to_char(above.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ' (' || above.reason || ')'
            ),
            HINT = format(
                'Write %s or less. The owner of the tables may raise it: SELECT financial_screener.set_ceiling(%L, %L%s);',
                above.value, above.name, above.wanted, ', ' || quote_literal(above.dag_name)
            ),
            SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, COLUMN = above.column_name, CONSTRAINT = 'ceiling_' || above.name;
    END IF;
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_hold_to_ceilings() IS 'Trigger: refuses a value above a ceiling in a row or an override.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_hold_to_ceilings() FROM PUBLIC;
CREATE TRIGGER within_ceilings BEFORE INSERT OR UPDATE ON financial_screener.dag_configuration FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_hold_to_ceilings();
CREATE TRIGGER within_ceilings BEFORE INSERT OR UPDATE ON financial_screener.dag_configuration_overrides FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_hold_to_ceilings();

CREATE OR REPLACE FUNCTION financial_screener.ceiling_violations()
 RETURNS TABLE(dag_name text, job_name text, override_id bigint, column_name text, value text, ceiling_dag_name text, ceiling_name text, ceiling_value text, not_valid boolean, set_by text, updated_at timestamp with time zone, reason text)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT
        stored.row ->> 'dag_name', stored.row ->> 'job_name', (stored.row ->> 'override_id')::bigint, held.key, held.value,
        c.dag_name, c.name, c.value, c.not_valid, c.set_by, c.updated_at, c.reason
    FROM (
        SELECT to_jsonb(r) FROM financial_screener.dag_configuration AS r
        UNION ALL
        SELECT to_jsonb(o) FROM financial_screener.dag_configuration_override_periods AS o WHERE upper(o.in_force) > now()
    ) AS stored (row)
    JOIN financial_screener.dagconfig_ceilings AS c ON c.dag_name IS NULL OR c.dag_name = stored.row ->> 'dag_name'
    CROSS JOIN LATERAL jsonb_each_text(stored.row) AS held
    WHERE
        held.key IN ('cpu_request', 'cpu_limit', 'memory_request', 'memory_limit', 'timeout_seconds', 'max_retries')
        AND held.key IN (c.name, c.name || '_request', c.name || '_limit')
        AND financial_screener.quantity_value(held.value) > financial_screener.quantity_value(c.value::text)
    ORDER BY 1, 2, 3 NULLS FIRST, 4, 6 NULLS FIRST
$function$;
COMMENT ON FUNCTION financial_screener.ceiling_violations() IS 'Returns the values above a ceiling, of rows and of overrides in force or to come, with the ceiling. They are older than the ceiling (not_valid).';
REVOKE ALL ON FUNCTION financial_screener.ceiling_violations() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.ceiling_violations() TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.ceiling_violations() TO dagconfig_reader;
