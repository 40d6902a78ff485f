-- The way back of 018: changes take their former time. No row is changed.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 018_faster_changes.down.sql
--
-- or `airflow dagconfig migrate --to 017`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 18) THEN
            RAISE EXCEPTION 'later migrations than 018 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 18;
    END IF;
END
$$;

ALTER FUNCTION financial_screener.dagconfig_stamp() RESET enable_seqscan;

DO $$
DECLARE
    part record;
    definition text;
BEGIN
    FOR part IN SELECT * FROM (VALUES
        (
            'financial_screener.dagconfig_functions()',
            $text$        ('enforce_rules', 'owner'),
        ('dagconfig_make_keeps_rules', 'owner'),
        ('dagconfig_keeps_rules', 'owner'),
        ('grant_roles', 'owner'),
$text$,
            $text$        ('enforce_rules', 'owner'),
        ('grant_roles', 'owner'),
$text$
        ),
        (
            'financial_screener.enforce_rules()',
            $text$    END LOOP;
    PERFORM financial_screener.dagconfig_make_keeps_rules();
    RETURN broken;
$text$,
            $text$    END LOOP;
    RETURN broken;
$text$
        ),
        (
            'financial_screener.dagconfig_broken_rules(text, jsonb, text[])',
            $text$    ) INTO broken USING p_row;
    IF broken = '{}' THEN
        RETURN;
    END IF;

$text$,
            $text$    ) INTO broken USING p_row;

$text$
        ),
        (
            'financial_screener.dagconfig_validate()',
            $text$    row_before jsonb;
    row_after jsonb;
    changed text[];
    broken record;
BEGIN
    IF TG_OP = 'UPDATE' AND financial_screener.dagconfig_keeps_rules(OLD, NEW) THEN
        RETURN NEW;
    END IF;
    row_after := to_jsonb(NEW);
    IF TG_OP = 'UPDATE' THEN
        row_before := to_jsonb(OLD);
$text$,
            $text$    row_before jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END;
    row_after jsonb := to_jsonb(NEW);
    changed text[];
    broken record;
BEGIN
    IF TG_OP = 'UPDATE' THEN
$text$
        ),
        (
            'financial_screener.dagconfig_hold_to_ceilings()',
            $text$    before jsonb;
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
$text$,
            $text$    before jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END;
    after jsonb := to_jsonb(NEW);
    is_new boolean := TG_OP = 'INSERT' OR before -> 'dag_name' IS DISTINCT FROM after -> 'dag_name';
    changed text[] := ARRAY(
        SELECT v.key FROM jsonb_each(after) AS v
        WHERE
            v.key IN (
                'cpu_request', 'cpu_limit', 'memory_request', 'memory_limit', 'timeout_seconds', 'max_retries'
            )
            AND v.value <> 'null' AND (is_new OR v.value IS DISTINCT FROM before -> v.key)
    );
    above record;
BEGIN
$text$
        ),
        (
            'financial_screener.dagconfig_validate_overrides()',
            $text$    concerned jsonb;
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
$text$,
            $text$    concerned jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
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
$text$
        ),
        (
            'financial_screener.dagconfig_stamp()',
            $text$    last_version bigint;
    booked_table text := TG_TABLE_NAME;
BEGIN
$text$,
            $text$    last_version bigint;
BEGIN
$text$
        ),
        (
            'financial_screener.dagconfig_stamp()',
            $text$    SELECT a.row_version INTO last_version FROM financial_screener.dag_configuration_audit AS a
    WHERE
        a.table_name = booked_table
$text$,
            $text$    SELECT max(a.row_version) INTO last_version FROM financial_screener.dag_configuration_audit AS a
    WHERE
        a.table_name = TG_TABLE_NAME
$text$
        ),
        (
            'financial_screener.dagconfig_stamp()',
            $text$        AND a.row_version < highest_version
    ORDER BY a.row_version DESC
    LIMIT 1;
$text$,
            $text$        AND a.row_version < highest_version;
$text$
        )
    ) AS p (signature, former, present)
    LOOP
        definition := pg_catalog.pg_get_functiondef(part.signature::pg_catalog.regprocedure);
        IF pg_catalog.strpos(definition, part.present) = 0 THEN
            IF pg_catalog.strpos(definition, part.former) = 0 THEN
                RAISE EXCEPTION '% was edited, and the way back of 018 does not find in it what it changes', part.signature
                USING HINT = 'Run the CREATE OR REPLACE FUNCTION of it in migrations/schema, then go back again.';
            END IF;
            EXECUTE pg_catalog.replace(definition, part.former, part.present);
        END IF;
    END LOOP;
END
$$;

DROP FUNCTION financial_screener.dagconfig_make_keeps_rules();
DROP FUNCTION financial_screener.dagconfig_keeps_rules(
    financial_screener.dag_configuration, financial_screener.dag_configuration
);
DROP FUNCTION financial_screener.dagconfig_keeps_rules(financial_screener.exchange_groups, financial_screener.exchange_groups);
DROP FUNCTION financial_screener.dagconfig_keeps_rules(
    financial_screener.dag_configuration_overrides, financial_screener.dag_configuration_overrides
);

-- As 011 has them.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_changed_columns(p_before jsonb, p_after jsonb)
RETURNS text[]
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(k.name ORDER BY k.name), '{}')
    FROM (
        SELECT jsonb_object_keys(coalesce(p_before, '{}') || coalesce(p_after, '{}'))
    ) AS k (name)
    WHERE
        k.name NOT IN ('id', 'override_id', 'version', 'created_at', 'created_by', 'updated_at')
        AND nullif(p_before -> k.name, 'null') IS DISTINCT FROM nullif(p_after -> k.name, 'null')
$$;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_booked_on()
RETURNS text
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT left(coalesce(nullif(current_setting('dagconfig.updated_by', true), ''), session_user), 100)
$$;
