-- The schema as the migrations make it: roles. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_functions()
 RETURNS TABLE(signature regprocedure, least_role text)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT p.oid::regprocedure, f.least_role
    FROM pg_proc AS p
    JOIN (VALUES
        ('quantity_value', 'reader'),
        ('rule_violations', 'reader'),
        ('get_dag_config', 'reader'),
        ('get_exchange_groups', 'reader'),
        ('effective_dag_config', 'reader'),
        ('dag_config_at', 'reader'),
        ('exchange_group_at', 'reader'),
        ('dagconfig_row_at', 'reader'),
        ('dagconfig_rules', 'reader'),
        ('dagconfig_broken_rules', 'reader'),
        ('dagconfig_is_exchange_list', 'reader'),
        ('dagconfig_is_name', 'reader'),
        ('dagconfig_changed_columns', 'reader'),
        ('dagconfig_defaults', 'reader'),
        ('ceiling_violations', 'reader'),
        ('update_dag_config', 'editor'),
        ('delete_dag_config', 'editor'),
        ('update_exchange_group', 'editor'),
        ('delete_exchange_group', 'editor'),
        ('override_dag_config', 'editor'),
        ('end_override', 'editor'),
        ('rollback_change', 'editor'),
        ('rollback_dag_config', 'editor'),
        ('dagconfig_restore', 'editor'),
        ('dagconfig_book_on', 'editor'),
        ('dagconfig_expect_version', 'editor'),
        ('dagconfig_booked_on', 'owner'),
        ('dagconfig_book', 'owner'),
        ('dagconfig_stamp', 'owner'),
        ('dagconfig_validate', 'owner'),
        ('dagconfig_touch', 'owner'),
        ('dagconfig_validate_overrides', 'owner'),
        ('audit_dag_configuration', 'owner'),
        ('set_ceiling', 'owner'),
        ('remove_ceiling', 'owner'),
        ('dagconfig_hold_to_ceilings', 'owner'),
        ('dagconfig_stamp_ceiling', 'owner'),
        ('dagconfig_check_ceiling', 'owner'),
        ('enforce_rules', 'owner'),
        ('grant_roles', 'owner'),
        ('dagconfig_functions', 'owner'),
        ('dagconfig_sequences', 'owner'),
        ('dagconfig_readable', 'owner'),
        ('dagconfig_comments', 'owner'),
        ('dagconfig_grant_functions', 'owner')
    ) AS f (name, least_role) ON p.proname = f.name
    WHERE p.pronamespace = 'financial_screener'::regnamespace
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_functions() IS 'Our functions and who may call them: owner, editor, reader. An editor may call a reader''s, too.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_functions() FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_sequences()
 RETURNS SETOF regclass
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT DISTINCT s.oid::regclass
    FROM pg_attribute AS a
    LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    LEFT JOIN pg_depend AS d
        ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class AS s
        ON s.relkind = 'S' AND s.oid IN (d.refobjid, pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass)
    WHERE
        a.attrelid IN ('financial_screener.dag_configuration'::regclass, 'financial_screener.exchange_groups'::regclass)
        AND a.attname = 'id'
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_sequences() IS 'The sequences that number jobs and groups, whether the column owns its own or only takes its default from it.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_sequences() FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_readable()
 RETURNS SETOF regclass
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT c.oid::regclass
    FROM unnest(ARRAY[
        'dag_configuration', 'exchange_groups', 'dag_configuration_overrides', 'dag_configuration_override_periods',
        'dag_configuration_audit', 'dagconfig_installation', 'dagconfig_ceilings', 'dagconfig_migrations'
    ]) WITH ORDINALITY AS t (name, number)
    JOIN pg_class AS c ON c.relname = t.name AND c.relnamespace = 'financial_screener'::regnamespace
    ORDER BY t.number
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_readable() IS 'The tables and views that a reader may look at. dagconfig_migrations is there where airflow dagconfig migrate made it.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_readable() FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_grant_functions(p_role text, p_is_editor boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT d.signature FROM financial_screener.dagconfig_functions() AS d
        WHERE d.least_role = 'reader' OR (d.least_role = 'editor' AND p_is_editor)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f.signature, p_role);
    END LOOP;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_grant_functions(text,boolean) IS 'Let a role (its name as SQL writes it) call what a reader or an editor may. For the functions'' owner.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_grant_functions(text,boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.grant_roles()
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    missing text[] := '{}';
    statement text;
BEGIN
    FOREACH statement IN ARRAY ARRAY['CREATE ROLE dagconfig_reader', 'CREATE ROLE dagconfig_editor'] LOOP
        CONTINUE WHEN to_regrole(split_part(statement, ' ', 3)) IS NOT NULL;
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN insufficient_privilege THEN missing := missing || statement;
            -- A migration of another database made it at the same time.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    IF
        to_regrole('dagconfig_reader') IS NULL OR to_regrole('dagconfig_editor') IS NULL
        OR NOT pg_has_role('dagconfig_editor', 'dagconfig_reader', 'USAGE')
    THEN
        BEGIN
            GRANT dagconfig_reader TO dagconfig_editor;
        EXCEPTION
            WHEN insufficient_privilege OR undefined_object THEN
                missing := missing || 'GRANT dagconfig_reader TO dagconfig_editor'::text;
            WHEN unique_violation THEN NULL;
        END;
    END IF;
    IF to_regrole('dagconfig_reader') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA financial_screener TO dagconfig_reader;
        FOR statement IN SELECT t::text FROM financial_screener.dagconfig_readable() AS t LOOP
            EXECUTE 'GRANT SELECT ON ' || statement || ' TO dagconfig_reader';
        END LOOP;
        PERFORM financial_screener.dagconfig_grant_functions('dagconfig_reader', false);
    END IF;
    IF to_regrole('dagconfig_editor') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA financial_screener TO dagconfig_editor;
        GRANT INSERT, UPDATE, DELETE ON financial_screener.dag_configuration, financial_screener.exchange_groups
        TO dagconfig_editor;
        FOR statement IN SELECT s::text FROM financial_screener.dagconfig_sequences() AS s LOOP
            EXECUTE 'GRANT USAGE ON SEQUENCE ' || statement || ' TO dagconfig_editor';
        END LOOP;
        PERFORM financial_screener.dagconfig_grant_functions('dagconfig_editor', true);
    END IF;
    IF missing <> '{}' THEN
        RAISE NOTICE 'the roles dagconfig_reader and dagconfig_editor are not complete, and % may not make them', current_user
        USING HINT = format(
            'An administrator runs: %s; then %s: SELECT financial_screener.grant_roles();',
            array_to_string(missing, '; '), current_user
        );
    END IF;
    RETURN missing = '{}';
END
$function$;
COMMENT ON FUNCTION financial_screener.grant_roles() IS 'Make the roles where they are missing, and give them what they may do in this schema; gives whether both are there. For the tables'' owner; to be called again once an administrator has made the roles.';
REVOKE ALL ON FUNCTION financial_screener.grant_roles() FROM PUBLIC;
