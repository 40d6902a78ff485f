-- The schema as the migrations make it: groups. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE TABLE financial_screener.exchange_groups (
    id serial,
    group_name character varying(50) NOT NULL,
    display_name character varying(100) NOT NULL,
    exchanges text[] NOT NULL,
    primary_timezone character varying(50) DEFAULT 'UTC'::character varying,
    market_open_utc time without time zone,
    market_close_utc time without time zone,
    enabled boolean DEFAULT true,
    priority integer DEFAULT 5,
    description text,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now(),
    version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT exchange_groups_pkey PRIMARY KEY (id),
    CONSTRAINT exchange_groups_group_name_key UNIQUE (group_name)
);
COMMENT ON TABLE financial_screener.exchange_groups IS 'Exchanges that are collected together: one row per group.';
COMMENT ON COLUMN financial_screener.exchange_groups.id IS 'The row''s number.';
COMMENT ON COLUMN financial_screener.exchange_groups.group_name IS 'The group''s name, which is also the name of a job.';
COMMENT ON COLUMN financial_screener.exchange_groups.display_name IS 'The group''s name for people.';
COMMENT ON COLUMN financial_screener.exchange_groups.exchanges IS 'The codes of its exchanges, in the order in which they are collected.';
COMMENT ON COLUMN financial_screener.exchange_groups.primary_timezone IS 'The time zone of its markets: a name of pg_timezone_names.';
COMMENT ON COLUMN financial_screener.exchange_groups.market_open_utc IS 'When its markets open, in UTC.';
COMMENT ON COLUMN financial_screener.exchange_groups.market_close_utc IS 'When its markets close, in UTC.';
COMMENT ON COLUMN financial_screener.exchange_groups.enabled IS 'Whether the group is collected.';
COMMENT ON COLUMN financial_screener.exchange_groups.priority IS 'From 1 to 10; a higher one comes first.';
COMMENT ON COLUMN financial_screener.exchange_groups.description IS 'What people should know about the group.';
COMMENT ON COLUMN financial_screener.exchange_groups.created_at IS 'When the row was created.';
COMMENT ON COLUMN financial_screener.exchange_groups.updated_at IS 'When the row was last changed. A trigger sets it.';
COMMENT ON COLUMN financial_screener.exchange_groups.version IS 'The row''s version. Each change adds 1; a deleted row that is created again continues the count.';
GRANT DELETE, INSERT, UPDATE ON TABLE financial_screener.exchange_groups TO dagconfig_editor;
GRANT SELECT ON TABLE financial_screener.exchange_groups TO dagconfig_reader;
GRANT USAGE ON SEQUENCE financial_screener.exchange_groups_id_seq TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.get_exchange_groups()
 RETURNS TABLE(group_name character varying, display_name character varying, exchanges text[], priority integer)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT g.group_name, g.display_name, g.exchanges, g.priority
    FROM financial_screener.exchange_groups AS g
    WHERE g.enabled
    ORDER BY g.priority DESC NULLS LAST, g.group_name
$function$;
COMMENT ON FUNCTION financial_screener.get_exchange_groups() IS 'Returns the enabled exchange groups, by priority, the highest first, then by name.';
REVOKE ALL ON FUNCTION financial_screener.get_exchange_groups() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.get_exchange_groups() TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.get_exchange_groups() TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.update_exchange_group(p_group_name text, p_display_name text DEFAULT NULL::text, p_exchanges text[] DEFAULT NULL::text[], p_primary_timezone text DEFAULT NULL::text, p_market_open_utc time without time zone DEFAULT NULL::time without time zone, p_market_close_utc time without time zone DEFAULT NULL::time without time zone, p_enabled boolean DEFAULT NULL::boolean, p_priority integer DEFAULT NULL::integer, p_description text DEFAULT NULL::text, p_updated_by text DEFAULT 'system'::text, p_reason text DEFAULT NULL::text, p_expected_version bigint DEFAULT NULL::bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, p_reason);
    actual bigint;
    is_made integer := 0;
BEGIN
    -- Again, when somebody makes the row between the two statements.
    WHILE is_made = 0 LOOP
        SELECT g.version INTO actual
        FROM financial_screener.exchange_groups AS g
        WHERE g.group_name = p_group_name
        FOR NO KEY UPDATE;
        PERFORM financial_screener.dagconfig_expect_version(
            format('exchange group %s', p_group_name), p_expected_version, coalesce(actual, 0)
        );
        IF actual IS NOT NULL THEN
            UPDATE financial_screener.exchange_groups AS g SET
                display_name = coalesce(p_display_name, g.display_name),
                exchanges = coalesce(p_exchanges, g.exchanges),
                primary_timezone = coalesce(p_primary_timezone, g.primary_timezone),
                market_open_utc = coalesce(p_market_open_utc, g.market_open_utc),
                market_close_utc = coalesce(p_market_close_utc, g.market_close_utc),
                enabled = coalesce(p_enabled, g.enabled),
                priority = coalesce(p_priority, g.priority),
                description = nullif(coalesce(p_description, g.description), '')
            WHERE g.group_name = p_group_name;
            EXIT;
        END IF;
        INSERT INTO financial_screener.exchange_groups (
            group_name, display_name, exchanges, primary_timezone, market_open_utc, market_close_utc, enabled, priority,
            description
        ) VALUES (
            p_group_name, coalesce(p_display_name, p_group_name), p_exchanges, coalesce(p_primary_timezone, 'UTC'),
            p_market_open_utc, p_market_close_utc, coalesce(p_enabled, true), coalesce(p_priority, 5),
            nullif(p_description, '')
        )
        ON CONFLICT (group_name) DO NOTHING;
        GET DIAGNOSTICS is_made = ROW_COUNT;
    END LOOP;
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.update_exchange_group(text,text,text[],text,time without time zone,time without time zone,boolean,integer,text,text,text,bigint) IS 'Change a group''s row, or create it; a new row needs p_exchanges. An empty p_description removes the description.';
REVOKE ALL ON FUNCTION financial_screener.update_exchange_group(text,text,text[],text,time without time zone,time without time zone,boolean,integer,text,text,text,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.update_exchange_group(text,text,text[],text,time without time zone,time without time zone,boolean,integer,text,text,text,bigint) TO dagconfig_editor;

CREATE OR REPLACE FUNCTION financial_screener.delete_exchange_group(p_group_name text, p_updated_by text DEFAULT 'system'::text, p_reason text DEFAULT NULL::text, p_expected_version bigint DEFAULT NULL::bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    former_settings text[] := financial_screener.dagconfig_set_author(p_updated_by, p_reason);
    actual bigint;
BEGIN
    SELECT g.version INTO actual
    FROM financial_screener.exchange_groups AS g
    WHERE g.group_name = p_group_name
    FOR UPDATE;
    PERFORM financial_screener.dagconfig_expect_version(
        format('exchange group %s', p_group_name), p_expected_version, coalesce(actual, 0)
    );
    IF actual IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'DC404', MESSAGE = format('there is no exchange group %s', p_group_name);
    END IF;
    DELETE FROM financial_screener.exchange_groups AS g WHERE g.group_name = p_group_name;
    PERFORM financial_screener.dagconfig_set_author(former_settings[1], former_settings[2]);
END
$function$;
COMMENT ON FUNCTION financial_screener.delete_exchange_group(text,text,text,bigint) IS 'Delete a group''s row; its history stays in the audit.';
REVOKE ALL ON FUNCTION financial_screener.delete_exchange_group(text,text,text,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.delete_exchange_group(text,text,text,bigint) TO dagconfig_editor;
