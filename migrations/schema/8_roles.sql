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
        ('dagconfig_roles', 'reader'),
        ('update_dag_config', 'editor'),
        ('delete_dag_config', 'editor'),
        ('update_exchange_group', 'editor'),
        ('delete_exchange_group', 'editor'),
        ('override_dag_config', 'editor'),
        ('end_override', 'editor'),
        ('rollback_change', 'editor'),
        ('rollback_dag_config', 'editor'),
        ('dagconfig_restore', 'editor'),
        ('dagconfig_set_author', 'editor'),
        ('dagconfig_expect_version', 'editor'),
        ('dagconfig_author', 'owner'),
        ('dagconfig_write_audit', 'owner'),
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
        ('dagconfig_make_keeps_rules', 'owner'),
        ('dagconfig_keeps_rules', 'owner'),
        ('grant_roles', 'owner'),
        ('dagconfig_name_roles', 'owner'),
        ('dagconfig_revoke', 'owner'),
        ('dagconfig_functions', 'owner'),
        ('dagconfig_sequences', 'owner'),
        ('dagconfig_readable', 'owner'),
        ('dagconfig_comments', 'owner'),
        ('dagconfig_grant_functions', 'owner')
    ) AS f (name, least_role) ON p.proname = f.name
    WHERE p.pronamespace = 'financial_screener'::regnamespace
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_functions() IS 'Returns the store''s functions, and for each the least role that may call it: reader, editor or owner.';
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
COMMENT ON FUNCTION financial_screener.dagconfig_sequences() IS 'Returns the sequences that number jobs and groups: those that the column owns, and those of its default.';
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
COMMENT ON FUNCTION financial_screener.dagconfig_readable() IS 'Returns the tables and views that a reader may read. dagconfig_migrations is one of them if airflow dagconfig migrate created it.';
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
COMMENT ON FUNCTION financial_screener.dagconfig_grant_functions(text,boolean) IS 'Let a role (its name as SQL writes it) call the functions of a reader or of an editor. For the functions'' owner.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_grant_functions(text,boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_roles()
 RETURNS TABLE(reader text, editor text)
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$SELECT 'dagconfig_reader'::text, 'dagconfig_editor'::text$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_roles() IS 'The roles of this installation that may read, and change. grant_roles() gives them other names.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_roles() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_roles() TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_roles() TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_name_roles(p_reader text, p_editor text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[p_reader, p_editor] LOOP
        IF quote_ident(name) <> name OR name = 'public' OR starts_with(name, 'pg_') OR length(name) > 63 THEN
            RAISE EXCEPTION USING
                ERRCODE = 'invalid_parameter_value',
                MESSAGE = format(
                    'the role %L must have a name that SQL reads without quotes: lower case letters, digits and _, at most 63, no word'
                    ' of SQL, and not pg_ at the start', name
                );
        END IF;
    END LOOP;
    IF p_reader = p_editor THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value', MESSAGE = format('reader and editor are two roles, not both %s', p_reader);
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION financial_screener.dagconfig_roles() RETURNS TABLE (reader text, editor text) LANGUAGE sql'
        ' IMMUTABLE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS %L',
        format('SELECT %L::text, %L::text', p_reader, p_editor)
    );
    COMMENT ON FUNCTION financial_screener.dagconfig_roles() IS
        'The roles of this installation that may read, and change. grant_roles() gives them other names.';
    REVOKE EXECUTE ON FUNCTION financial_screener.dagconfig_roles() FROM PUBLIC;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_name_roles(text,text) IS 'Store the names of the reader''s and the editor''s role. For the tables'' owner; grant_roles() calls it.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_name_roles(text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_revoke(p_role text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    ours text;
BEGIN
    FOR ours IN
        SELECT 'FUNCTION ' || d.signature FROM financial_screener.dagconfig_functions() AS d
        UNION ALL
        SELECT 'TABLE ' || t FROM financial_screener.dagconfig_readable() AS t
        UNION ALL
        SELECT 'SEQUENCE ' || s FROM financial_screener.dagconfig_sequences() AS s
        UNION ALL
        SELECT 'SCHEMA financial_screener'
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %I', ours, p_role);
    END LOOP;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_revoke(text) IS 'Revoke all privileges that a role has in this schema. For the tables'' owner.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_revoke(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.grant_roles(p_reader text DEFAULT NULL::text, p_editor text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former record;
    reader text;
    editor text;
    missing text[] := '{}';
    statement text;
    goes_on text;
BEGIN
    SELECT r.reader, r.editor INTO former FROM financial_screener.dagconfig_roles() AS r;
    reader := coalesce(p_reader, former.reader);
    editor := coalesce(p_editor, former.editor);
    IF (reader, editor) <> (former.reader, former.editor) THEN
        PERFORM financial_screener.dagconfig_name_roles(reader, editor);
        SELECT string_agg(format('GRANT %s TO %s', m.role, m.member), '; ' ORDER BY m.role, m.member) INTO goes_on
        FROM (
            SELECT
                CASE a.roleid WHEN to_regrole(former.reader) THEN reader ELSE editor END,
                a.member::regrole::text
            FROM pg_auth_members AS a
            WHERE
                (a.roleid = to_regrole(former.reader) AND reader <> former.reader
                OR a.roleid = to_regrole(former.editor) AND editor <> former.editor)
                AND a.member IS DISTINCT FROM to_regrole(former.editor)
                AND pg_has_role(a.member, a.roleid, 'USAGE')
        ) AS m (role, member);
        FOREACH statement IN ARRAY ARRAY[former.reader, former.editor] LOOP
            IF to_regrole(statement) IS NOT NULL THEN
                PERFORM financial_screener.dagconfig_revoke(statement);
            END IF;
        END LOOP;
        IF goes_on IS NOT NULL THEN
            RAISE NOTICE 'who has % or % may do nothing in financial_screener by it any more', former.reader, former.editor
            USING HINT = format('An administrator lets them go on: %s;', goes_on);
        END IF;
    END IF;
    FOREACH statement IN ARRAY ARRAY[reader, editor] LOOP
        CONTINUE WHEN to_regrole(statement) IS NOT NULL;
        BEGIN
            EXECUTE 'CREATE ROLE ' || statement;
        EXCEPTION
            WHEN insufficient_privilege THEN missing := missing || ('CREATE ROLE ' || statement);
            -- A migration of another database made it at the same time.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    IF to_regrole(reader) IS NULL OR to_regrole(editor) IS NULL OR NOT pg_has_role(editor, reader, 'USAGE') THEN
        statement := format('GRANT %s TO %s', reader, editor);
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN insufficient_privilege OR undefined_object THEN missing := missing || statement;
            WHEN unique_violation THEN NULL;
        END;
    END IF;
    IF to_regrole(reader) IS NOT NULL THEN
        EXECUTE 'GRANT USAGE ON SCHEMA financial_screener TO ' || reader;
        FOR statement IN SELECT t::text FROM financial_screener.dagconfig_readable() AS t LOOP
            EXECUTE format('GRANT SELECT ON %s TO %s', statement, reader);
        END LOOP;
        PERFORM financial_screener.dagconfig_grant_functions(reader, false);
    END IF;
    IF to_regrole(editor) IS NOT NULL THEN
        EXECUTE 'GRANT USAGE ON SCHEMA financial_screener TO ' || editor;
        EXECUTE 'GRANT INSERT, UPDATE, DELETE ON financial_screener.dag_configuration, financial_screener.exchange_groups TO '
            || editor;
        FOR statement IN SELECT s::text FROM financial_screener.dagconfig_sequences() AS s LOOP
            EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', statement, editor);
        END LOOP;
        PERFORM financial_screener.dagconfig_grant_functions(editor, true);
    END IF;
    IF missing <> '{}' THEN
        RAISE NOTICE 'the roles % and % are not complete, and % may not make them', reader, editor, current_user
        USING HINT = format(
            'An administrator runs: %s; then %s: SELECT financial_screener.grant_roles();',
            array_to_string(missing, '; '), current_user
        );
    END IF;
    RETURN missing = '{}';
END
$function$;
COMMENT ON FUNCTION financial_screener.grant_roles(text,text) IS 'Create the roles that are missing, and grant them their privileges in this schema. Returns whether both roles exist. With other names, the new roles replace the former ones, whose privileges in this schema are revoked. For the tables'' owner; call it again once an administrator has created the roles.';
REVOKE ALL ON FUNCTION financial_screener.grant_roles(text,text) FROM PUBLIC;
