-- The way back of 016: what cannot be read is accepted again, and the functions are those of 009, 010 and 012. No row is changed.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 016_readable.down.sql
--
-- or `airflow dagconfig migrate --to 015`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 16) THEN
            RAISE EXCEPTION 'later migrations than 016 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 16;
    END IF;
END
$$;

DROP TRIGGER validate_dag_configuration_overrides ON financial_screener.dag_configuration_overrides;

-- The rules, in the order in which they are reported. The condition is SQL over the table's columns; false breaks the rule.
-- columns: the first is the one that is named, a change of any of them is held to the rule.
-- The casts: a function of the same name for another type, of somebody who may create in the schema, is never the better fit.
-- is_constraint: not where the answer depends on the server, which a dump may be restored without.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_rules()
RETURNS TABLE (
    table_name text,
    rule_name text,
    columns text[],
    condition text,
    is_constraint boolean,
    rule text,
    example text
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.table_name, r.rule_name, r.columns::text[], r.condition, r.is_constraint, r.rule, r.example
    FROM (VALUES
        (
            'dag_configuration', 'dag_name', '{dag_name}', 'coalesce(dag_name <> '''' AND dag_name !~ ''^[[:space:]]|[[:space:]]$'', false)', true,
            'a name without blanks around it', 'data_collection_equities'
        ),
        (
            'dag_configuration', 'job_name', '{job_name}', 'coalesce(job_name <> '''' AND job_name !~ ''^[[:space:]]|[[:space:]]$'', false)', true,
            'a name without blanks around it', 'us_markets'
        ),
        (
            'dag_configuration', 'cpu_request', '{cpu_request}',
            'coalesce(financial_screener.quantity_value(cpu_request::text) >= 0.001'
            ' AND financial_screener.quantity_value(cpu_request::text) % 0.001 = 0, false)',
            true, 'a Kubernetes quantity of at least 1m, in steps of 1m', '500m'
        ),
        (
            'dag_configuration', 'cpu_limit', '{cpu_limit}',
            'coalesce(financial_screener.quantity_value(cpu_limit::text) >= 0.001'
            ' AND financial_screener.quantity_value(cpu_limit::text) % 0.001 = 0, false)',
            true, 'a Kubernetes quantity of at least 1m, in steps of 1m', '2000m'
        ),
        (
            'dag_configuration', 'memory_request', '{memory_request}',
            'coalesce(financial_screener.quantity_value(memory_request::text) >= 4194304, false)',
            true, 'a Kubernetes quantity of at least 4Mi', '1Gi'
        ),
        (
            'dag_configuration', 'memory_limit', '{memory_limit}',
            'coalesce(financial_screener.quantity_value(memory_limit::text) >= 4194304, false)',
            true, 'a Kubernetes quantity of at least 4Mi', '2Gi'
        ),
        (
            'dag_configuration', 'cpu_request_within_limit', '{cpu_request,cpu_limit}',
            'financial_screener.quantity_value(cpu_request::text) <= financial_screener.quantity_value(cpu_limit::text)',
            true, 'no more than cpu_limit', '500m with a limit of 2000m'
        ),
        (
            'dag_configuration', 'memory_request_within_limit', '{memory_request,memory_limit}',
            'financial_screener.quantity_value(memory_request::text) <= financial_screener.quantity_value(memory_limit::text)',
            true, 'no more than memory_limit', '1Gi with a limit of 2Gi'
        ),
        (
            'dag_configuration', 'batch_size', '{batch_size}', 'coalesce(batch_size BETWEEN 1 AND 1000000, false)', true,
            'a whole number from 1 to 1000000', '500'
        ),
        (
            'dag_configuration', 'timeout_seconds', '{timeout_seconds}',
            'coalesce(timeout_seconds BETWEEN 1 AND 604800, false)', true,
            'a whole number of seconds from 1 to 604800, a week', '600'
        ),
        (
            'dag_configuration', 'max_retries', '{max_retries}', 'coalesce(max_retries BETWEEN 0 AND 10, false)', true,
            'a whole number from 0 to 10', '2'
        ),
        (
            'dag_configuration', 'retry_delay_minutes', '{retry_delay_minutes}',
            'coalesce(retry_delay_minutes BETWEEN 0 AND 1440, false)', true,
            'a whole number of minutes from 0 to 1440, a day', '5'
        ),
        (
            'dag_configuration', 'retry_backoff_enabled', '{retry_backoff_enabled}', 'retry_backoff_enabled IS NOT NULL',
            true, 'true or false', 'true'
        ),
        ('dag_configuration', 'enabled', '{enabled}', 'enabled IS NOT NULL', true, 'true or false', 'true'),
        (
            'dag_configuration', 'priority', '{priority}', 'coalesce(priority BETWEEN 1 AND 10, false)', true,
            'a whole number from 1 to 10, higher first', '5'
        ),
        (
            'exchange_groups', 'group_name', '{group_name}', 'coalesce(group_name <> '''' AND group_name !~ ''^[[:space:]]|[[:space:]]$'', false)', true,
            'a name without blanks around it', 'us_markets'
        ),
        (
            'exchange_groups', 'display_name', '{display_name}', 'coalesce(display_name ~ ''[^[:space:]]'', false)', true,
            'a name', 'US Markets (NYSE, NASDAQ)'
        ),
        (
            'exchange_groups', 'exchanges', '{exchanges}', 'financial_screener.dagconfig_is_exchange_list(exchanges)', true,
            'a list of at least one exchange, each once, without blanks around it', 'ARRAY[''NYSE'', ''NASDAQ'']'
        ),
        (
            'exchange_groups', 'primary_timezone', '{primary_timezone}',
            'coalesce(primary_timezone IN (SELECT z.name FROM pg_catalog.pg_timezone_names AS z), false)', false,
            'a time zone that pg_timezone_names has', 'America/New_York'
        ),
        ('exchange_groups', 'enabled', '{enabled}', 'enabled IS NOT NULL', true, 'true or false', 'true'),
        (
            'exchange_groups', 'priority', '{priority}', 'coalesce(priority BETWEEN 1 AND 10, false)', true,
            'a whole number from 1 to 10, higher first', '5'
        )
    ) AS r (table_name, rule_name, columns, condition, is_constraint, rule, example)
$$;

-- What breaks the rules now: values from before there were rules.
CREATE OR REPLACE FUNCTION financial_screener.rule_violations()
RETURNS TABLE (table_name text, row_key text, column_name text, value text, rule text, example text)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM financial_screener.dagconfig_rules() LOOP
        RETURN QUERY EXECUTE format(
            'SELECT $1, concat_ws(''/'', j.r ->> ''dag_name'', j.r ->> ''job_name'', j.r ->> ''group_name''), $2,'
            ' j.r ->> $2, $3, $4 FROM financial_screener.%I AS t CROSS JOIN LATERAL to_jsonb(t) AS j (r)'
            ' WHERE (%s) IS FALSE ORDER BY 2',
            r.table_name, r.condition
        ) USING r.table_name, r.columns[1], r.rule, r.example;
    END LOOP;
END
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

-- Refuse a change after which the row and its overrides, each right by itself, break a rule together: now, or when an override
-- begins or ends. What the row breaks without them is none of this trigger's business.
-- SECURITY DEFINER: whoever may write the row needs no privilege on the overrides.
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_validate_overrides()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    concerned jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
    row_now jsonb;
    moment timestamptz;
    overridden jsonb;
    effective jsonb;
    broken record;
BEGIN
    -- Touched only: see dagconfig_touch.
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) = to_jsonb(NEW) THEN
        RETURN NULL;
    END IF;
    FOR moment IN
        SELECT m.moment
        FROM financial_screener.dag_configuration_overrides AS o
        CROSS JOIN LATERAL (VALUES (greatest(o.starts_at, now())), (coalesce(o.ended_at, o.ends_at))) AS m (moment)
        WHERE
            o.dag_name = concerned ->> 'dag_name' AND o.job_name = concerned ->> 'job_name'
            AND o.ends_at > now() AND (o.ended_at IS NULL OR o.ended_at > now())
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
        WHERE NOT EXISTS (
            SELECT FROM financial_screener.dagconfig_broken_rules('dag_configuration', row_now, b.columns) AS r
            WHERE row_now IS NOT NULL AND r.rule_name = b.rule_name
        )
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
$$;

-- End an override before its time.
CREATE OR REPLACE FUNCTION financial_screener.end_override(
    p_override_id bigint, p_updated_by text DEFAULT 'system', p_reason text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booked text[] := financial_screener.dagconfig_book_on(p_updated_by, p_reason);
    override financial_screener.dag_configuration_overrides;
BEGIN
    SELECT o.* INTO override
    FROM financial_screener.dag_configuration_overrides AS o
    WHERE o.override_id = p_override_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DC404', MESSAGE = format('there is no override %s', p_override_id);
    END IF;
    -- In the same order as override_dag_config.
    PERFORM financial_screener.dagconfig_touch(override.dag_name, override.job_name);
    UPDATE financial_screener.dag_configuration_overrides AS o SET ended_at = now()
    WHERE o.override_id = p_override_id AND o.ended_at IS NULL AND o.ends_at > now();
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DC409',
            MESSAGE = format('override %s of %s/%s has ended already', p_override_id, override.dag_name, override.job_name),
            DETAIL = jsonb_build_object(
                'kind', 'conflict', 'columns', '[]'::jsonb, 'entries', '[]'::jsonb, 'ended_at',
                coalesce(override.ended_at, override.ends_at)
            )::text;
    END IF;
    PERFORM financial_screener.dagconfig_book_on(booked[1], booked[2]);
END
$$;

-- The constraints of the rules that 009 does not have.
DO $$
DECLARE
    surplus record;
BEGIN
    FOR surplus IN
        SELECT c.conrelid::pg_catalog.regclass AS relation, c.conname
        FROM pg_catalog.pg_constraint AS c
        JOIN pg_catalog.pg_class AS t ON t.oid = c.conrelid
        WHERE
            c.contype = 'c' AND c.conname LIKE 'rule@_%' ESCAPE '@'
            AND c.conrelid IN (
                'financial_screener.dag_configuration'::pg_catalog.regclass,
                'financial_screener.exchange_groups'::pg_catalog.regclass,
                'financial_screener.dag_configuration_overrides'::pg_catalog.regclass
            )
            AND NOT EXISTS (
                SELECT FROM financial_screener.dagconfig_rules() AS r
                WHERE r.table_name = t.relname AND c.conname = 'rule_' || r.rule_name
            )
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', surplus.relation, surplus.conname);
    END LOOP;
END
$$;
