-- The schema as the migrations make it: audit. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE TABLE financial_screener.dag_configuration_audit (
    audit_id bigserial,
    operation character varying(10),
    dag_name character varying(100),
    job_name character varying(100),
    old_values jsonb,
    new_values jsonb,
    changed_by character varying(100),
    changed_at timestamp with time zone DEFAULT clock_timestamp(),
    table_name text DEFAULT 'dag_configuration'::text NOT NULL,
    group_name text,
    override_id bigint,
    session_user_name text,
    reason text,
    changed_columns text[],
    row_version bigint,
    CONSTRAINT dag_configuration_audit_pkey PRIMARY KEY (audit_id)
);
CREATE INDEX dag_configuration_audit_group ON financial_screener.dag_configuration_audit USING btree (group_name, audit_id) WHERE (group_name IS NOT NULL);
CREATE INDEX dag_configuration_audit_job ON financial_screener.dag_configuration_audit USING btree (dag_name, job_name, audit_id);
CREATE UNIQUE INDEX dag_configuration_audit_version ON financial_screener.dag_configuration_audit USING btree (table_name, COALESCE(group_name, (dag_name)::text), COALESCE(job_name, ''::character varying), row_version) WHERE (row_version IS NOT NULL);
COMMENT ON TABLE financial_screener.dag_configuration_audit IS 'Each change of a job, a group or an override: who, when, why, and the row before and after. Triggers write it.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.audit_id IS 'The entry''s number.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.operation IS 'INSERT, UPDATE, DELETE or TRUNCATE. A change of name is a DELETE and an INSERT.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.dag_name IS 'The DAG of the job that was changed; NULL for a group.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.job_name IS 'The job that was changed; NULL for a group.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.old_values IS 'The row before the change; NULL if there was no row.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.new_values IS 'The row after the change; NULL if there is no row.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.changed_by IS 'The author that the application named; otherwise the database user.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.changed_at IS 'When it was changed.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.table_name IS 'The table of the row that was changed.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.group_name IS 'The exchange group that was changed; NULL for a job.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.override_id IS 'The override that was created or ended; otherwise NULL.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.session_user_name IS 'The database user, whoever is named as the author; NULL in entries from before this column existed.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.reason IS 'Why it was changed, if a reason was given.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.changed_columns IS 'The columns that changed, without those that triggers set.';
COMMENT ON COLUMN financial_screener.dag_configuration_audit.row_version IS 'The row''s version after the change; for a deleted row, one more than its last version.';
GRANT SELECT ON TABLE financial_screener.dag_configuration_audit TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_changed_columns(p_before jsonb, p_after jsonb)
 RETURNS text[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_changed_columns(jsonb,jsonb) IS 'Returns the columns that differ between two states of a row (NULL: no row), without those that triggers set.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_changed_columns(jsonb,jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_changed_columns(jsonb,jsonb) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_changed_columns(jsonb,jsonb) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_author()
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN left(coalesce(nullif(current_setting('dagconfig.updated_by', true), ''), session_user), 100);
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_author() IS 'Returns the author of a change: the one that the application named, otherwise the session''s user.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_author() FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_write_audit(p_operation text, p_table text, p_before jsonb, p_after jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    concerned jsonb := coalesce(p_after, p_before);
BEGIN
    INSERT INTO financial_screener.dag_configuration_audit (
        operation, dag_name, job_name, old_values, new_values, changed_by, changed_at, table_name, group_name,
        override_id, session_user_name, reason, changed_columns, row_version
    ) VALUES (
        p_operation, concerned ->> 'dag_name', concerned ->> 'job_name', p_before, p_after,
        financial_screener.dagconfig_author(),
        greatest(statement_timestamp(), least((p_after ->> 'updated_at')::timestamptz, clock_timestamp())),
        p_table, concerned ->> 'group_name', (concerned ->> 'override_id')::bigint, session_user,
        left(nullif(current_setting('dagconfig.reason', true), ''), 1000),
        financial_screener.dagconfig_changed_columns(p_before, p_after),
        coalesce(
            (p_after ->> 'version')::bigint,
            CASE WHEN (p_before ->> 'version')::bigint < 4611686018427387903 THEN (p_before ->> 'version')::bigint + 1 END
        )
    )
    ON CONFLICT (table_name, coalesce(group_name, dag_name), coalesce(job_name, ''), row_version)
    WHERE row_version IS NOT NULL DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'serialization_failure',
            MESSAGE = format(
                '%s was made or deleted by another transaction at the same time',
                concat_ws('/', concerned ->> 'dag_name', concerned ->> 'job_name', concerned ->> 'group_name')
            ),
            HINT = 'Nothing was changed: repeat the transaction.';
    END IF;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_write_audit(text,text,jsonb,jsonb) IS 'Write one entry of the audit. Only the tables'' owner may call it; the triggers run as the owner.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_write_audit(text,text,jsonb,jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.audit_dag_configuration()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
AS $function$
DECLARE
    row_before jsonb;
    row_after jsonb;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION USING
                ERRCODE = 'active_sql_transaction',
                MESSAGE = format('%s is truncated in READ COMMITTED only, so that every row has its entry', TG_TABLE_NAME),
                HINT = 'BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, or DELETE the rows.';
        END IF;
        FOR row_before IN
            EXECUTE format('SELECT to_jsonb(t) FROM %I.%I AS t ORDER BY 1', TG_TABLE_SCHEMA, TG_TABLE_NAME)
        LOOP
            PERFORM financial_screener.dagconfig_write_audit(TG_OP, TG_TABLE_NAME::text, row_before, NULL);
        END LOOP;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        row_before := to_jsonb(OLD);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        row_after := to_jsonb(NEW);
    END IF;
    IF row_before = row_after THEN
        RETURN NULL;
    END IF;
    IF
        TG_OP = 'UPDATE'
        AND (row_before -> 'dag_name', row_before -> 'job_name', row_before -> 'group_name')
        IS DISTINCT FROM (row_after -> 'dag_name', row_after -> 'job_name', row_after -> 'group_name')
    THEN
        PERFORM financial_screener.dagconfig_write_audit('DELETE', TG_TABLE_NAME::text, row_before, NULL);
        PERFORM financial_screener.dagconfig_write_audit('INSERT', TG_TABLE_NAME::text, NULL, row_after);
    ELSE
        PERFORM financial_screener.dagconfig_write_audit(TG_OP, TG_TABLE_NAME::text, row_before, row_after);
    END IF;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION financial_screener.audit_dag_configuration() IS 'Trigger: writes the audit''s entry of each change of a row, and of each row of a TRUNCATE.';
REVOKE ALL ON FUNCTION financial_screener.audit_dag_configuration() FROM PUBLIC;
CREATE TRIGGER audit_dag_configuration AFTER INSERT OR DELETE OR UPDATE ON financial_screener.dag_configuration FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();
CREATE TRIGGER audit_dag_configuration_truncate BEFORE TRUNCATE ON financial_screener.dag_configuration FOR EACH STATEMENT EXECUTE FUNCTION financial_screener.audit_dag_configuration();
CREATE TRIGGER audit_dag_configuration_overrides AFTER INSERT OR DELETE OR UPDATE ON financial_screener.dag_configuration_overrides FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();
CREATE TRIGGER audit_dag_configuration_overrides_truncate BEFORE TRUNCATE ON financial_screener.dag_configuration_overrides FOR EACH STATEMENT EXECUTE FUNCTION financial_screener.audit_dag_configuration();
CREATE TRIGGER audit_dagconfig_ceilings AFTER INSERT OR DELETE OR UPDATE ON financial_screener.dagconfig_ceilings FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();
CREATE TRIGGER audit_dagconfig_ceilings_truncate BEFORE TRUNCATE ON financial_screener.dagconfig_ceilings FOR EACH STATEMENT EXECUTE FUNCTION financial_screener.audit_dag_configuration();
CREATE TRIGGER audit_exchange_groups AFTER INSERT OR DELETE OR UPDATE ON financial_screener.exchange_groups FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();
CREATE TRIGGER audit_exchange_groups_truncate BEFORE TRUNCATE ON financial_screener.exchange_groups FOR EACH STATEMENT EXECUTE FUNCTION financial_screener.audit_dag_configuration();

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_stamp()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    before jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END;
    after jsonb := to_jsonb(NEW);
    kept text[] := '{id,version,created_at,created_by,updated_at}';
    is_same_name boolean := (before -> 'dag_name', before -> 'job_name', before -> 'group_name')
        IS NOT DISTINCT FROM (after -> 'dag_name', after -> 'job_name', after -> 'group_name');
    first_moment timestamptz := '0001-01-02 00:00:00+00';
    last_moment timestamptz := '9999-12-30 00:00:00+00';
    highest_version bigint := 4611686018427387903;
    last_version bigint;
    booked_table text := TG_TABLE_NAME;
BEGIN
    IF before - kept = after - kept THEN
        IF current_setting('dagconfig.touch', true) = 'on' THEN
            RETURN OLD;
        ELSIF
            OLD.version BETWEEN 1 AND highest_version
            AND coalesce(OLD.created_at BETWEEN first_moment AND last_moment, true)
            AND coalesce(OLD.updated_at BETWEEN first_moment AND last_moment, true)
        THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        NEW.id := OLD.id;
        NEW.created_at := CASE
            WHEN OLD.created_at NOT BETWEEN first_moment AND last_moment THEN now()
            ELSE OLD.created_at
        END;
        IF TG_TABLE_NAME = 'dag_configuration' THEN
            NEW.created_by := OLD.created_by;
        END IF;
    END IF;
    -- The lock waits for whoever is deleting a row of this name, whose last entry is to be seen. An older snapshot fails here.
    IF NOT is_same_name AND TG_TABLE_NAME = 'exchange_groups' THEN
        PERFORM FROM financial_screener.exchange_groups AS g WHERE g.group_name = after ->> 'group_name' FOR KEY SHARE;
    ELSIF NOT is_same_name THEN
        PERFORM FROM financial_screener.dag_configuration AS c
        WHERE c.dag_name = after ->> 'dag_name' AND c.job_name = after ->> 'job_name'
        FOR KEY SHARE;
    END IF;
    IF
        TG_OP = 'INSERT' AND NOT (
            coalesce(NEW.created_at >= first_moment AND NEW.created_at <= last_moment, false) AND EXISTS (
                SELECT FROM financial_screener.dag_configuration_audit AS a
                CROSS JOIN LATERAL (VALUES (a.old_values), (a.new_values)) AS of_row (state)
                WHERE
                    a.table_name = TG_TABLE_NAME
                    AND (
                        a.dag_name = after ->> 'dag_name' AND a.job_name = after ->> 'job_name'
                        OR a.group_name = after ->> 'group_name'
                    )
                    AND after ->> 'created_at' IN (of_row.state ->> 'created_at', of_row.state ->> 'created_at' || '+00:00')
                    AND after -> 'created_by' IS NOT DISTINCT FROM of_row.state -> 'created_by'
            )
        )
    THEN
        NEW.created_at := now();
        IF TG_TABLE_NAME = 'dag_configuration' THEN
            NEW.created_by := financial_screener.dagconfig_author();
        END IF;
    END IF;
    -- By the index of the versions.
    SELECT a.row_version INTO last_version FROM financial_screener.dag_configuration_audit AS a
    WHERE
        a.table_name = booked_table
        AND coalesce(a.group_name, a.dag_name) = coalesce(after ->> 'group_name', after ->> 'dag_name')
        AND coalesce(a.job_name, '') = coalesce(after ->> 'job_name', '')
        AND a.row_version < highest_version
    ORDER BY a.row_version DESC
    LIMIT 1;
    -- The row's own is behind the last entry's where the row alone was restored from a dump.
    NEW.version := 1 + greatest(
        last_version, CASE WHEN is_same_name AND OLD.version < highest_version THEN OLD.version END, 0
    );
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_stamp() IS 'Trigger: sets the version and updated_at of a row, and keeps created_at and created_by, whatever the writer sets.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_stamp() FROM PUBLIC;
CREATE TRIGGER stamp_dag_configuration BEFORE INSERT OR UPDATE ON financial_screener.dag_configuration FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_stamp();
CREATE TRIGGER stamp_exchange_groups BEFORE INSERT OR UPDATE ON financial_screener.exchange_groups FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_stamp();

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_set_author(p_updated_by text, p_reason text)
 RETURNS text[]
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    before text[] := ARRAY[current_setting('dagconfig.updated_by', true), current_setting('dagconfig.reason', true)];
BEGIN
    IF length(p_reason) > 1000 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                'reason %L... must be a text of at most 1000 characters, and has %s', left(p_reason, 200), length(p_reason)
            ),
            COLUMN = 'reason';
    END IF;
    PERFORM set_config('dagconfig.updated_by', coalesce(p_updated_by, ''), true);
    PERFORM set_config('dagconfig.reason', coalesce(p_reason, ''), true);
    RETURN before;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_set_author(text,text) IS 'Set the author and the reason of the following changes of this transaction. Returns the former author and reason, so that the caller can restore them.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_set_author(text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_set_author(text,text) TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_expect_version(p_row text, p_expected bigint, p_actual bigint)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF p_expected <> p_actual THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC409',
            MESSAGE = CASE
                WHEN p_actual = 0 THEN format('%s is no longer there, and the change is based on its version %s', p_row, p_expected)
                WHEN p_expected = 0 THEN format('%s is there already, at version %s', p_row, p_actual)
                ELSE format('%s is at version %s, and the change is based on version %s', p_row, p_actual, p_expected)
            END,
            DETAIL = jsonb_build_object('kind', 'stale', 'expected', p_expected, 'actual', p_actual)::text,
            HINT = 'Look at the row as it is now, and repeat the change if it is still right.';
    END IF;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_expect_version(text,bigint,bigint) IS 'Raises DC409 if a change is based on another version than the row''s. Version 0: there is no row.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_expect_version(text,bigint,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_expect_version(text,bigint,bigint) TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_row_at(p_table text, p_dag_name text, p_job_name text, p_group_name text, p_moment timestamp with time zone, p_now jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
AS $function$
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
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_row_at(text,text,text,text,timestamp with time zone,jsonb) IS 'Returns the state of a row at a moment, from the audit''s entries of its name: the new values of the last entry until then, or else the old values of the first entry after it; NULL if there was no row. p_now: the present row, which is returned if there are no entries.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_row_at(text,text,text,text,timestamp with time zone,jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_row_at(text,text,text,text,timestamp with time zone,jsonb) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_row_at(text,text,text,text,timestamp with time zone,jsonb) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dag_config_at(p_dag_name text, p_job_name text, p_moment timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
AS $function$
    SELECT jsonb '{"memory_growth": null, "memory_growth_limit": null}' || financial_screener.dagconfig_row_at(
        'dag_configuration', p_dag_name, p_job_name, NULL, p_moment,
        (
            SELECT to_jsonb(c) FROM financial_screener.dag_configuration AS c
            WHERE c.dag_name = p_dag_name AND c.job_name = p_job_name
        )
    )
$function$;
COMMENT ON FUNCTION financial_screener.dag_config_at(text,text,timestamp with time zone) IS 'Returns the row of a job at a moment, without overrides; NULL if there was no row.';
REVOKE ALL ON FUNCTION financial_screener.dag_config_at(text,text,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dag_config_at(text,text,timestamp with time zone) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dag_config_at(text,text,timestamp with time zone) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.exchange_group_at(p_group_name text, p_moment timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
AS $function$
    SELECT financial_screener.dagconfig_row_at(
        'exchange_groups', NULL, NULL, p_group_name, p_moment,
        (SELECT to_jsonb(g) FROM financial_screener.exchange_groups AS g WHERE g.group_name = p_group_name)
    )
$function$;
COMMENT ON FUNCTION financial_screener.exchange_group_at(text,timestamp with time zone) IS 'Returns the row of an exchange group at a moment; NULL if there was no row.';
REVOKE ALL ON FUNCTION financial_screener.exchange_group_at(text,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.exchange_group_at(text,timestamp with time zone) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.exchange_group_at(text,timestamp with time zone) TO dagconfig_reader;
