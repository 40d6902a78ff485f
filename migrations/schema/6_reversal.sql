-- The schema as the migrations make it: reversal. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_restore(p_table text, p_state jsonb, p_columns text[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
AS $function$
DECLARE
    is_of_name text := CASE p_table
        WHEN 'exchange_groups' THEN 't.group_name = $1 ->> ''group_name'''
        ELSE 't.dag_name = $1 ->> ''dag_name'' AND t.job_name = $1 ->> ''job_name'''
    END;
    is_there boolean;
    is_id_taken boolean;
    written text;
    is_made integer;
BEGIN
    EXECUTE format('SELECT true FROM financial_screener.%I AS t WHERE %s FOR NO KEY UPDATE', p_table, is_of_name)
    INTO is_there USING p_state;
    EXECUTE format('SELECT EXISTS (SELECT FROM financial_screener.%I AS t WHERE t.id = ($1 ->> ''id'')::integer)', p_table)
    INTO is_id_taken USING p_state;
    -- A row that comes back gets another id where its own is another row's now.
    SELECT string_agg(quote_ident(a.attname), ', ') INTO written
    FROM pg_attribute AS a
    WHERE
        a.attrelid = format('financial_screener.%I', p_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = '' AND a.attidentity <> 'a' AND p_state ? a.attname
        AND a.attname NOT IN ('version', 'updated_at')
        AND NOT (a.attname = 'id' AND is_id_taken)
        AND (is_there IS NULL OR a.attname = ANY(p_columns));
    IF written IS NULL THEN
        RETURN;
    ELSIF is_there THEN
        EXECUTE format(
            'UPDATE financial_screener.%1$I AS t SET (%2$s) ='
            ' (SELECT %2$s FROM jsonb_populate_record(NULL::financial_screener.%1$I, $1)) WHERE %3$s',
            p_table, written, is_of_name
        ) USING p_state;
        RETURN;
    END IF;
    EXECUTE format(
        'INSERT INTO financial_screener.%1$I (%2$s)'
        ' SELECT %2$s FROM jsonb_populate_record(NULL::financial_screener.%1$I, $1) ON CONFLICT (%3$s) DO NOTHING',
        p_table, written, CASE p_table WHEN 'exchange_groups' THEN 'group_name' ELSE 'dag_name, job_name' END
    ) USING p_state;
    GET DIAGNOSTICS is_made = ROW_COUNT;
    IF is_made = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'serialization_failure',
            MESSAGE = format(
                '%s was made by another transaction at the same time',
                concat_ws('/', p_state ->> 'dag_name', p_state ->> 'job_name', p_state ->> 'group_name')
            ),
            HINT = 'Nothing was changed: look at the row as it is now.';
    END IF;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_restore(text,jsonb,text[]) IS 'Restore these columns of a row to a former state, or the whole row if it was deleted, with columns that somebody added to the table. Runs with the caller''s privileges.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_restore(text,jsonb,text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_restore(text,jsonb,text[]) TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.rollback_change(p_audit_id bigint, p_updated_by text DEFAULT 'system'::text, p_reason text DEFAULT NULL::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    why text := coalesce(p_reason, format('roll-back of entry %s', p_audit_id));
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, why);
    entry financial_screener.dag_configuration_audit;
    changed text[];
    state_now jsonb;
    overwritten text[];
    conflicting_columns text[];
    conflicting_entries bigint[];
BEGIN
    SELECT a.* INTO entry FROM financial_screener.dag_configuration_audit AS a WHERE a.audit_id = p_audit_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DC404', MESSAGE = format('there is no entry %s in the audit', p_audit_id);
    END IF;
    IF entry.table_name = 'dag_configuration_overrides' THEN
        IF entry.operation <> 'INSERT' THEN
            RAISE EXCEPTION USING
                ERRCODE = 'DC409',
                MESSAGE = format('entry %s ended override %s, which is not resumed', p_audit_id, entry.override_id),
                DETAIL = jsonb_build_object('kind', 'conflict', 'columns', '["ended_at"]'::jsonb, 'entries', '[]'::jsonb)::text,
                HINT = 'Make a new override with the same values.';
        END IF;
        PERFORM financial_screener.end_override(entry.override_id, p_updated_by, why);
        PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
        RETURN;
    END IF;
    IF entry.table_name = 'dagconfig_ceilings' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC409',
            MESSAGE = format('entry %s is of a ceiling, which is not rolled back', p_audit_id),
            DETAIL = jsonb_build_object('kind', 'conflict', 'columns', '["value"]'::jsonb, 'entries', '[]'::jsonb)::text,
            HINT = format(
                CASE
                    WHEN entry.old_values IS NULL
                    THEN 'The owner of the tables may remove it: SELECT financial_screener.remove_ceiling(%2$L%3$s);'
                    ELSE 'The owner of the tables may set it: SELECT financial_screener.set_ceiling(%2$L, %1$L%3$s);'
                END,
                entry.old_values ->> 'value', coalesce(entry.old_values, entry.new_values) ->> 'name',
                ', ' || quote_literal(entry.dag_name)
            );
    END IF;

    -- The row's lock comes first: no conflicting change can be committed once its entries have been read.
    PERFORM FROM financial_screener.dag_configuration AS c
    WHERE entry.table_name = 'dag_configuration' AND c.dag_name = entry.dag_name AND c.job_name = entry.job_name
    FOR UPDATE;
    PERFORM FROM financial_screener.exchange_groups AS g
    WHERE entry.table_name = 'exchange_groups' AND g.group_name = entry.group_name
    FOR UPDATE;

    changed := financial_screener.dagconfig_changed_columns(entry.old_values, entry.new_values);
    state_now := CASE entry.table_name
        WHEN 'exchange_groups' THEN financial_screener.exchange_group_at(entry.group_name, 'infinity')
        ELSE financial_screener.dag_config_at(entry.dag_name::text, entry.job_name::text, 'infinity')
    END;
    overwritten := ARRAY(
        SELECT k.name
        FROM unnest(financial_screener.dagconfig_changed_columns(entry.new_values, state_now)) AS k (name)
        WHERE entry.operation <> 'UPDATE' OR k.name = ANY(changed)
    );
    SELECT array_agg(DISTINCT k.name ORDER BY k.name), array_agg(DISTINCT later.audit_id ORDER BY later.audit_id)
    INTO conflicting_columns, conflicting_entries
    FROM (
        SELECT a.audit_id, a.old_values, a.new_values
        FROM financial_screener.dag_configuration_audit AS a
        WHERE
            entry.table_name = 'dag_configuration' AND a.table_name = entry.table_name
            AND a.dag_name = entry.dag_name AND a.job_name = entry.job_name AND a.audit_id > entry.audit_id
        UNION ALL
        SELECT a.audit_id, a.old_values, a.new_values
        FROM financial_screener.dag_configuration_audit AS a
        WHERE
            entry.table_name = 'exchange_groups' AND a.table_name = entry.table_name
            AND a.group_name = entry.group_name AND a.audit_id > entry.audit_id
    ) AS later
    CROSS JOIN LATERAL unnest(
        financial_screener.dagconfig_changed_columns(later.old_values, later.new_values)
    ) AS k (name)
    WHERE k.name = ANY(overwritten);
    IF conflicting_entries IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC409',
            MESSAGE = format(
                'entry %s cannot be rolled back: %s of %s changed again since (audit %s)',
                p_audit_id, array_to_string(conflicting_columns, ', '),
                concat_ws('/', entry.dag_name, entry.job_name, entry.group_name),
                CASE WHEN cardinality(conflicting_entries) = 1 THEN 'entry ' ELSE 'entries ' END
                || array_to_string(conflicting_entries, ', ')
            ),
            DETAIL = jsonb_build_object('kind', 'conflict', 'columns', conflicting_columns, 'entries', conflicting_entries)::text,
            HINT = 'Roll the later entries back first, or set the values that are wanted.';
    END IF;

    IF entry.operation = 'INSERT' AND entry.table_name = 'exchange_groups' THEN
        PERFORM financial_screener.delete_exchange_group(entry.group_name, p_updated_by, why);
    ELSIF entry.operation = 'INSERT' THEN
        PERFORM financial_screener.delete_dag_config(entry.dag_name, entry.job_name, p_updated_by, why);
    ELSE
        PERFORM financial_screener.dagconfig_restore(entry.table_name, entry.old_values, changed);
    END IF;
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.rollback_change(bigint,text,text) IS 'Undo one entry of the audit: restore the values before an UPDATE, or the row before a DELETE or TRUNCATE; delete the row of an INSERT; end an override that was created. Raises DC409 if a later entry changed the same columns.';
REVOKE ALL ON FUNCTION financial_screener.rollback_change(bigint,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.rollback_change(bigint,text,text) TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.rollback_dag_config(p_dag_name text, p_job_name text, p_moment timestamp with time zone, p_updated_by text DEFAULT 'system'::text, p_reason text DEFAULT NULL::text, p_expected_version bigint DEFAULT NULL::bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(
        p_updated_by, coalesce(p_reason, format('roll-back to %s', p_moment))
    );
    actual bigint;
    state jsonb;
BEGIN
    SELECT c.version INTO actual
    FROM financial_screener.dag_configuration AS c
    WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name
    FOR NO KEY UPDATE;
    PERFORM financial_screener.dagconfig_expect_version(
        concat_ws('/', p_dag_name, p_job_name), p_expected_version, coalesce(actual, 0)
    );
    state := financial_screener.dag_config_at(p_dag_name, p_job_name, p_moment);
    IF state IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC404',
            MESSAGE = format('there was no row for %s/%s at %s', p_dag_name, p_job_name, p_moment),
            HINT = 'A row that should go is deleted: see delete_dag_config.';
    END IF;
    PERFORM financial_screener.dagconfig_restore('dag_configuration', state, ARRAY(SELECT jsonb_object_keys(state)));
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.rollback_dag_config(text,text,timestamp with time zone,text,text,bigint) IS 'Restore a job''s row as it was at a moment, whatever was changed since; overrides stay. Raises DC404 if there was no row at that moment; the row is not deleted.';
REVOKE ALL ON FUNCTION financial_screener.rollback_dag_config(text,text,timestamp with time zone,text,text,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.rollback_dag_config(text,text,timestamp with time zone,text,text,bigint) TO dagconfig_editor;
