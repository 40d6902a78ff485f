-- 018: a change of a row takes less time; what is refused, and what is written, stays as it is.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 018_faster_changes.sql
--
-- or `airflow dagconfig migrate`. It needs 017 and may be repeated; psql repeats none of those before it any more. The way back is
-- 018_faster_changes.down.sql. How the schema's name is replaced is said in 008_dag_configuration_tables.sql.
--
-- Nearly all changes keep all rules, and need no message. Whether one does is said by a function for each table, which is made of the
-- rules (dagconfig_keeps_rules): PL/pgSQL plans it once a session, and it evaluates the rules of the columns that differ. Only what
-- breaks a rule goes the way that builds the message. The other triggers end at once where they have nothing to do.

-- The function of each table with rules: whether a row keeps those whose columns differ from the row before. It is called as the owner
-- of dagconfig_validate(), so nobody else may have made it.
-- The columns become variables, because the conditions are written over the columns.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_make_keeps_rules()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner oid := (SELECT p.proowner FROM pg_proc AS p WHERE p.oid = 'financial_screener.dagconfig_validate()'::regprocedure);
    wanted record;
    present pg_proc;
BEGIN
    FOR wanted IN
        SELECT
            format('financial_screener.dagconfig_keeps_rules(financial_screener.%1$I, financial_screener.%1$I)', r.table_name)
            AS signature,
            r.table_name,
            format('
BEGIN%s
    RETURN true;
END
',
                string_agg(
                    format('
    IF %s THEN
        DECLARE%s
        BEGIN
            IF (%s) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;',
                        c.differ, c.declared, r.condition
                    ), '' ORDER BY r.ordinality
                )
            ) AS source
        FROM financial_screener.dagconfig_rules() WITH ORDINALITY AS r
        CROSS JOIN LATERAL (
            SELECT
                string_agg(format('p_after.%1$I IS DISTINCT FROM p_before.%1$I', u.name), ' OR ' ORDER BY u.number),
                string_agg(
                    format('
            %1$I financial_screener.%2$I.%1$I%%TYPE := p_after.%1$I;', u.name, r.table_name), '' ORDER BY u.number
                )
            FROM unnest(r.columns) WITH ORDINALITY AS u (name, number)
        ) AS c (differ, declared)
        GROUP BY r.table_name
    LOOP
        SELECT p.* INTO present FROM pg_proc AS p WHERE p.oid = to_regprocedure(wanted.signature);
        IF present.proowner <> owner THEN
            RAISE EXCEPTION USING
                ERRCODE = 'duplicate_function',
                MESSAGE = format(
                    'there is a function %s of %s already, and the one of this name is to be %s''s', wanted.signature,
                    present.proowner::regrole, owner::regrole
                ),
                HINT = format('ALTER FUNCTION %s RENAME TO former_dagconfig_keeps_rules; then migrate again.', wanted.signature);
        END IF;
        CONTINUE WHEN present.prosrc = wanted.source;
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION financial_screener.dagconfig_keeps_rules('
            ' p_before financial_screener.%1$I, p_after financial_screener.%1$I'
            ') RETURNS boolean LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS %2$L',
            wanted.table_name, wanted.source
        );
        EXECUTE format(
            'COMMENT ON FUNCTION %s IS %L', wanted.signature,
            'Whether a row keeps the rules whose columns differ from the row before. Made of the rules by enforce_rules().'
        );
        IF present IS NULL THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', wanted.signature);
            EXECUTE format('ALTER FUNCTION %s OWNER TO %s', wanted.signature, owner::regrole);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_make_keeps_rules() IS
    'Make dagconfig_keeps_rules() of each table anew where the rules are others. For the tables'' owner; enforce_rules() calls it.';

-- As 011 has them, in PL/pgSQL: of SQL, PostgreSQL plans such a function with each call.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_changed_columns(p_before jsonb, p_after jsonb)
RETURNS text[]
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT k.name
        FROM jsonb_object_keys(coalesce(p_before, '{}') || coalesce(p_after, '{}')) AS k (name)
        WHERE
            k.name NOT IN ('id', 'override_id', 'version', 'created_at', 'created_by', 'updated_at')
            AND nullif(p_before -> k.name, 'null') IS DISTINCT FROM nullif(p_after -> k.name, 'null')
        ORDER BY k.name
    );
END
$$;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_booked_on()
RETURNS text
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN left(coalesce(nullif(current_setting('dagconfig.updated_by', true), ''), session_user), 100);
END
$$;

-- The other functions stay as they are, but for these parts.
-- dagconfig_validate_overrides: an override that is in force, or to come, ends later than now.
-- dagconfig_stamp: the audit's index of the versions is of another collation than TG_TABLE_NAME, a name, and was searched as a whole.
DO $$
DECLARE
    part record;
    definition text;
BEGIN
    FOR part IN SELECT * FROM (VALUES
        (
            'financial_screener.dagconfig_functions()', '015_roles.sql',
            $text$        ('enforce_rules', 'owner'),
        ('grant_roles', 'owner'),
$text$,
            $text$        ('enforce_rules', 'owner'),
        ('dagconfig_make_keeps_rules', 'owner'),
        ('dagconfig_keeps_rules', 'owner'),
        ('grant_roles', 'owner'),
$text$
        ),
        (
            'financial_screener.enforce_rules()', '010_rules.sql',
            $text$    END LOOP;
    RETURN broken;
$text$,
            $text$    END LOOP;
    PERFORM financial_screener.dagconfig_make_keeps_rules();
    RETURN broken;
$text$
        ),
        (
            'financial_screener.dagconfig_broken_rules(text, jsonb, text[])', '010_rules.sql',
            $text$    ) INTO broken USING p_row;

$text$,
            $text$    ) INTO broken USING p_row;
    IF broken = '{}' THEN
        RETURN;
    END IF;

$text$
        ),
        (
            'financial_screener.dagconfig_validate()', '010_rules.sql',
            $text$    row_before jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END;
    row_after jsonb := to_jsonb(NEW);
    changed text[];
    broken record;
BEGIN
    IF TG_OP = 'UPDATE' THEN
$text$,
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
$text$
        ),
        (
            'financial_screener.dagconfig_hold_to_ceilings()', '016_ceilings.sql',
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
$text$,
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
$text$
        ),
        (
            'financial_screener.dagconfig_validate_overrides()', '013_overrides.sql',
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
$text$,
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
$text$
        ),
        (
            'financial_screener.dagconfig_stamp()', '011_audit.sql',
            $text$    last_version bigint;
BEGIN
$text$,
            $text$    last_version bigint;
    booked_table text := TG_TABLE_NAME;
BEGIN
$text$
        ),
        (
            'financial_screener.dagconfig_stamp()', '011_audit.sql',
            $text$    SELECT max(a.row_version) INTO last_version FROM financial_screener.dag_configuration_audit AS a
    WHERE
        a.table_name = TG_TABLE_NAME
$text$,
            $text$    SELECT a.row_version INTO last_version FROM financial_screener.dag_configuration_audit AS a
    WHERE
        a.table_name = booked_table
$text$
        ),
        (
            'financial_screener.dagconfig_stamp()', '011_audit.sql',
            $text$        AND a.row_version < highest_version;
$text$,
            $text$        AND a.row_version < highest_version
    ORDER BY a.row_version DESC
    LIMIT 1;
$text$
        )
    ) AS p (signature, file, former, present)
    LOOP
        definition := pg_catalog.pg_get_functiondef(part.signature::pg_catalog.regprocedure);
        IF pg_catalog.strpos(definition, part.present) = 0 THEN
            IF pg_catalog.strpos(definition, part.former) = 0 THEN
                RAISE EXCEPTION '% was edited, and 018 does not find in it what it changes', part.signature
                USING HINT = pg_catalog.format(
                    'Run the CREATE OR REPLACE FUNCTION of it in migrations/%s, then migrate again.', part.file
                );
            END IF;
            EXECUTE pg_catalog.replace(definition, part.former, part.present);
        END IF;
    END LOOP;
END
$$;

-- A session keeps its plan, also one from when the audit was empty and quickly read as a whole.
ALTER FUNCTION financial_screener.dagconfig_stamp() SET enable_seqscan = off;

REVOKE EXECUTE ON FUNCTION financial_screener.dagconfig_make_keeps_rules() FROM PUBLIC;

-- It becomes the owner's of everything ours, and nobody else may call it or what it makes, whatever default privileges say.
DO $$
DECLARE
    ours record;
BEGIN
    EXECUTE pg_catalog.format(
        'ALTER FUNCTION financial_screener.dagconfig_make_keeps_rules() OWNER TO %s',
        (
            SELECT p.proowner::pg_catalog.regrole FROM pg_catalog.pg_proc AS p
            WHERE p.oid = 'financial_screener.dagconfig_validate()'::pg_catalog.regprocedure
        )
    );
    PERFORM financial_screener.enforce_rules();
    FOR ours IN
        SELECT f.signature, a.grantee::pg_catalog.regrole::text AS grantee
        FROM financial_screener.dagconfig_functions() AS f
        JOIN pg_catalog.pg_proc AS p ON p.oid = f.signature
        CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) AS a
        WHERE p.proname IN ('dagconfig_make_keeps_rules', 'dagconfig_keeps_rules') AND a.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM %s CASCADE', ours.signature, ours.grantee);
    END LOOP;
END
$$;
