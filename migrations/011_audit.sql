-- 011: who changed what, when and why, for jobs, groups and overrides; a version for every row; a row as it was at a moment.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 011_audit.sql
--
-- or `airflow dagconfig migrate`. It needs 010 and may be repeated. The way back is 011_audit.down.sql. How the schema's name
-- is replaced is said in 008_dag_configuration_tables.sql.

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

COMMENT ON FUNCTION financial_screener.dagconfig_changed_columns(jsonb, jsonb) IS
    'The columns that differ between two states of a row (NULL: no row), without those that the store keeps itself.';

-- Who and why reach the triggers by settings that live no longer than the call that sets them; see dagconfig_book_on (012).
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_booked_on()
RETURNS text
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT left(coalesce(nullif(current_setting('dagconfig.updated_by', true), ''), session_user), 100)
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_booked_on() IS
    'Whom a change is booked on: whom the application has named, else the session''s user.';

-- The time is that of the row's updated_at, which is set under the row's lock: in the order of the versions.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_book(
    p_operation text, p_table text, p_before jsonb, p_after jsonb
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    concerned jsonb := coalesce(p_after, p_before);
BEGIN
    INSERT INTO financial_screener.dag_configuration_audit (
        operation, dag_name, job_name, old_values, new_values, changed_by, changed_at, table_name, group_name,
        override_id, session_user_name, reason, changed_columns, row_version
    ) VALUES (
        p_operation, concerned ->> 'dag_name', concerned ->> 'job_name', p_before, p_after,
        financial_screener.dagconfig_booked_on(),
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
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_book(text, text, jsonb, jsonb) IS
    'Write one entry of the audit. Nobody but the tables'' owner may call it, which is whom the triggers run as.';

-- A change of a row's name is booked as the end of one row and the beginning of another: a history is that of a name.
-- TRUNCATE is booked before it happens, while the rows can still be read. It takes the rows that are there, and so must who books
-- them: an older snapshot would miss some.
-- SECURITY DEFINER: whoever may write the configuration needs no privilege on the audit. Nobody may attach it to a table
-- of their own to forge entries.
CREATE OR REPLACE FUNCTION financial_screener.audit_dag_configuration()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
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
            PERFORM financial_screener.dagconfig_book(TG_OP, TG_TABLE_NAME::text, row_before, NULL);
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
        PERFORM financial_screener.dagconfig_book('DELETE', TG_TABLE_NAME::text, row_before, NULL);
        PERFORM financial_screener.dagconfig_book('INSERT', TG_TABLE_NAME::text, NULL, row_after);
    ELSE
        PERFORM financial_screener.dagconfig_book(TG_OP, TG_TABLE_NAME::text, row_before, row_after);
    END IF;
    RETURN NULL;
END
$$;

-- A row that comes back under the name of one that went goes on counting where that one stopped, so that a version is never that of
-- two states. It was made when that one was, and by whom, where an entry of that name says so; any other row is made now, by whom the
-- entry will name. A change that changes nothing does not happen, unless it mends what of this breaks a rule; with dagconfig.touch,
-- which an override sets (013), the row is written as it is.
-- The time zone is that in which entries are written. Those of 008 have none, and are read in it too (014).
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_stamp()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
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
            NEW.created_by := financial_screener.dagconfig_booked_on();
        END IF;
    END IF;
    -- By the index of the versions.
    SELECT max(a.row_version) INTO last_version FROM financial_screener.dag_configuration_audit AS a
    WHERE
        a.table_name = TG_TABLE_NAME
        AND coalesce(a.group_name, a.dag_name) = coalesce(after ->> 'group_name', after ->> 'dag_name')
        AND coalesce(a.job_name, '') = coalesce(after ->> 'job_name', '')
        AND a.row_version < highest_version;
    -- The row's own is behind the last entry's where the row alone was restored from a dump.
    NEW.version := 1 + greatest(
        last_version, CASE WHEN is_same_name AND OLD.version < highest_version THEN OLD.version END, 0
    );
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION financial_screener.dagconfig_stamp() IS
    'Trigger: counts the versions of a row, and keeps what is not the writer''s: updated_at, and when and by whom the row'
    ' was made.';

CREATE OR REPLACE TRIGGER audit_dag_configuration
AFTER INSERT OR UPDATE OR DELETE ON financial_screener.dag_configuration
FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();

CREATE OR REPLACE TRIGGER audit_dag_configuration_truncate
BEFORE TRUNCATE ON financial_screener.dag_configuration
FOR EACH STATEMENT EXECUTE FUNCTION financial_screener.audit_dag_configuration();

CREATE OR REPLACE TRIGGER audit_exchange_groups
AFTER INSERT OR UPDATE OR DELETE ON financial_screener.exchange_groups
FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();

CREATE OR REPLACE TRIGGER audit_exchange_groups_truncate
BEFORE TRUNCATE ON financial_screener.exchange_groups
FOR EACH STATEMENT EXECUTE FUNCTION financial_screener.audit_dag_configuration();

CREATE OR REPLACE TRIGGER audit_dag_configuration_overrides
AFTER INSERT OR UPDATE OR DELETE ON financial_screener.dag_configuration_overrides
FOR EACH ROW EXECUTE FUNCTION financial_screener.audit_dag_configuration();

CREATE OR REPLACE TRIGGER audit_dag_configuration_overrides_truncate
BEFORE TRUNCATE ON financial_screener.dag_configuration_overrides
FOR EACH STATEMENT EXECUTE FUNCTION financial_screener.audit_dag_configuration();

-- Triggers run by name: these come before validate_*, so that a change that changes nothing is not held to the rules.
CREATE OR REPLACE TRIGGER stamp_dag_configuration
BEFORE INSERT OR UPDATE ON financial_screener.dag_configuration
FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_stamp();

CREATE OR REPLACE TRIGGER stamp_exchange_groups
BEFORE INSERT OR UPDATE ON financial_screener.exchange_groups
FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_stamp();

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

COMMENT ON FUNCTION financial_screener.dagconfig_row_at(text, text, text, text, timestamp with time zone, jsonb) IS
    'The state of a row at a moment, by the audit''s entries of its name: what the last entry until then left, or'
    ' what the first one after it found; NULL where there was no row. p_now: the row as it is, for one without'
    ' entries.';

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

COMMENT ON FUNCTION financial_screener.dag_config_at(text, text, timestamp with time zone) IS
    'The row of a job as it was at a moment, without overrides; NULL where there was none.';

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

COMMENT ON FUNCTION financial_screener.exchange_group_at(text, timestamp with time zone) IS
    'The row of an exchange group as it was at a moment; NULL where there was none.';

REVOKE EXECUTE ON FUNCTION
    financial_screener.dagconfig_changed_columns(jsonb, jsonb),
    financial_screener.dagconfig_booked_on(),
    financial_screener.dagconfig_book(text, text, jsonb, jsonb),
    financial_screener.audit_dag_configuration(),
    financial_screener.dagconfig_stamp(),
    financial_screener.dagconfig_row_at(text, text, text, text, timestamp with time zone, jsonb),
    financial_screener.dag_config_at(text, text, timestamp with time zone),
    financial_screener.exchange_group_at(text, timestamp with time zone)
FROM PUBLIC;
