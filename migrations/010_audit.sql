-- 010: who changed what, when and why, for jobs and groups; a version for every row; times with their zone.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 010_audit.sql
--
-- or `airflow dagconfig migrate`. It needs 009 and may be repeated. The way back is 010_audit.down.sql. How the schema's name
-- is replaced is said in 008_dag_configuration_tables.sql.
--
-- Times without a zone were written by now() in some session's zone, which nobody recorded: they are taken in the zone of the
-- session that migrates (SHOW timezone).

DO $$
DECLARE
    zoneless record;
BEGIN
    FOR zoneless IN
        SELECT a.attrelid::pg_catalog.regclass AS relation, a.attname
        FROM pg_catalog.pg_attribute AS a
        WHERE
            a.attrelid IN (
                'financial_screener.dag_configuration'::pg_catalog.regclass,
                'financial_screener.exchange_groups'::pg_catalog.regclass,
                'financial_screener.dag_configuration_audit'::pg_catalog.regclass
            )
            AND a.attname IN ('created_at', 'updated_at', 'changed_at')
            AND a.atttypid = 'timestamp without time zone'::pg_catalog.regtype
    LOOP
        EXECUTE pg_catalog.format(
            'ALTER TABLE %s ALTER COLUMN %I TYPE timestamp with time zone', zoneless.relation, zoneless.attname
        );
    END LOOP;
END
$$;

-- A column of somebody else's by one of these names would be taken for ours, and hold something else.
DO $$
DECLARE
    taken record;
BEGIN
    SELECT a.attrelid::pg_catalog.regclass AS relation, a.attname INTO taken
    FROM (VALUES
        ('financial_screener.dag_configuration'::pg_catalog.regclass, 'version', 'bigint'::pg_catalog.regtype),
        ('financial_screener.exchange_groups'::pg_catalog.regclass, 'version', 'bigint'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'table_name', 'text'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'group_name', 'text'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'override_id', 'bigint'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'session_user_name', 'text'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'reason', 'text'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'changed_columns', 'text[]'::pg_catalog.regtype),
        ('financial_screener.dag_configuration_audit'::pg_catalog.regclass, 'row_version', 'bigint'::pg_catalog.regtype)
    ) AS ours (relation, name, type)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = ours.relation AND a.attname = ours.name AND NOT a.attisdropped
    WHERE a.atttypid <> ours.type
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% has a column % of another kind than the one that 010 makes', taken.relation, taken.attname
        USING HINT = pg_catalog.format(
            'ALTER TABLE %s RENAME COLUMN %I TO %I; then migrate again.', taken.relation, taken.attname, 'former_' || taken.attname
        );
    END IF;
END
$$;

ALTER TABLE financial_screener.dag_configuration ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 1;
ALTER TABLE financial_screener.exchange_groups ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 1;

-- table_name: the entries until now are all of dag_configuration.
-- session_user_name: the database's user; changed_by is whom the application named, or the same.
-- changed_columns: without those that the store keeps itself.
-- row_version: the row's version after the change; one more than its last for a row that went.
ALTER TABLE financial_screener.dag_configuration_audit
ALTER COLUMN changed_at SET DEFAULT pg_catalog.clock_timestamp(),
ADD COLUMN IF NOT EXISTS table_name text NOT NULL DEFAULT 'dag_configuration',
ADD COLUMN IF NOT EXISTS group_name text,
ADD COLUMN IF NOT EXISTS override_id bigint,
ADD COLUMN IF NOT EXISTS session_user_name text,
ADD COLUMN IF NOT EXISTS reason text,
ADD COLUMN IF NOT EXISTS changed_columns text[],
ADD COLUMN IF NOT EXISTS row_version bigint;

CREATE INDEX IF NOT EXISTS dag_configuration_audit_group
ON financial_screener.dag_configuration_audit (group_name, audit_id) WHERE group_name IS NOT NULL;

-- A version is that of one state. An index sees what other transactions have written, which a snapshot may not.
CREATE UNIQUE INDEX IF NOT EXISTS dag_configuration_audit_version
ON financial_screener.dag_configuration_audit (
    table_name, coalesce(group_name, dag_name), coalesce(job_name, ''), row_version
) WHERE row_version IS NOT NULL;

-- The columns that differ between two states of a row (null: no row), without those that the store keeps itself.
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

-- Write one entry. Nobody but the tables' owner may call it, which is whom the trigger below runs as.
-- Who and why reach it by settings that live no longer than the call that sets them; see dagconfig_book_on.
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
        left(coalesce(nullif(current_setting('dagconfig.updated_by', true), ''), session_user), 100),
        greatest(statement_timestamp(), least((p_after ->> 'updated_at')::timestamptz, clock_timestamp())),
        p_table, concerned ->> 'group_name', (concerned ->> 'override_id')::bigint, session_user,
        nullif(current_setting('dagconfig.reason', true), ''),
        financial_screener.dagconfig_changed_columns(p_before, p_after),
        coalesce((p_after ->> 'version')::bigint, (p_before ->> 'version')::bigint + 1)
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

-- Counts the versions of a row, and keeps what is not the writer's: updated_at, and how the row came to be. A row that comes back
-- under the name of one that went goes on counting where that one stopped, so that a version is never that of two states. A change
-- that changes nothing does not happen; with dagconfig.touch, which an override sets (012), the row is written as it is.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_stamp()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END;
    after jsonb := to_jsonb(NEW);
    kept text[] := '{id,version,created_at,created_by,updated_at}';
    is_same_name boolean := (before -> 'dag_name', before -> 'job_name', before -> 'group_name')
        IS NOT DISTINCT FROM (after -> 'dag_name', after -> 'job_name', after -> 'group_name');
    last_version bigint;
BEGIN
    IF before - kept = after - kept THEN
        RETURN CASE WHEN current_setting('dagconfig.touch', true) = 'on' THEN OLD END;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        NEW.id := OLD.id;
        NEW.created_at := OLD.created_at;
        IF TG_TABLE_NAME = 'dag_configuration' THEN
            NEW.created_by := OLD.created_by;
        END IF;
    END IF;
    -- The lock waits for whoever is deleting a row of this name, whose last entry is to be seen. An older snapshot fails here.
    IF TG_TABLE_NAME = 'exchange_groups' THEN
        IF NOT is_same_name THEN
            PERFORM FROM financial_screener.exchange_groups AS g WHERE g.group_name = after ->> 'group_name' FOR KEY SHARE;
        END IF;
        SELECT a.row_version INTO last_version FROM financial_screener.dag_configuration_audit AS a
        WHERE a.group_name = after ->> 'group_name'
        ORDER BY a.audit_id DESC LIMIT 1;
    ELSE
        IF NOT is_same_name THEN
            PERFORM FROM financial_screener.dag_configuration AS c
            WHERE c.dag_name = after ->> 'dag_name' AND c.job_name = after ->> 'job_name'
            FOR KEY SHARE;
        END IF;
        SELECT a.row_version INTO last_version FROM financial_screener.dag_configuration_audit AS a
        WHERE
            a.dag_name = after ->> 'dag_name' AND a.job_name = after ->> 'job_name'
            AND a.table_name = 'dag_configuration'
        ORDER BY a.audit_id DESC LIMIT 1;
    END IF;
    -- The row's own is behind the last entry's where the row alone was restored from a dump.
    NEW.version := 1 + greatest(last_version, CASE WHEN is_same_name THEN (before ->> 'version')::bigint END, 0);
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;

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

-- Triggers run by name: these come before validate_*, so that a change that changes nothing is not held to the rules.
CREATE OR REPLACE TRIGGER stamp_dag_configuration
BEFORE INSERT OR UPDATE ON financial_screener.dag_configuration
FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_stamp();

CREATE OR REPLACE TRIGGER stamp_exchange_groups
BEFORE INSERT OR UPDATE ON financial_screener.exchange_groups
FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_stamp();

REVOKE EXECUTE ON FUNCTION
    financial_screener.dagconfig_changed_columns(jsonb, jsonb),
    financial_screener.dagconfig_book(text, text, jsonb, jsonb),
    financial_screener.audit_dag_configuration(),
    financial_screener.dagconfig_stamp()
FROM PUBLIC;
