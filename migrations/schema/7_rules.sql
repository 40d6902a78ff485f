-- The schema as the migrations make it: rules. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.

CREATE OR REPLACE FUNCTION financial_screener.quantity_value(p_text text)
 RETURNS numeric
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    parts text[];
    amount numeric;
BEGIN
    -- More digits than these are beyond numeric with some exponents.
    IF length(p_text) > 1000 THEN
        RETURN NULL;
    END IF;
    parts := regexp_match(
        p_text, '^([+-]?(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+))(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?[0-9]+))?$'
    );
    IF parts IS NULL THEN
        RETURN NULL;
    ELSIF parts[3] IS NULL THEN
        amount := parts[1]::numeric * CASE parts[2]
            WHEN 'n' THEN 0.000000001
            WHEN 'u' THEN 0.000001
            WHEN 'm' THEN 0.001
            WHEN 'k' THEN 1000
            WHEN 'M' THEN 1000000
            WHEN 'G' THEN 1000000000
            WHEN 'T' THEN 1000000000000
            WHEN 'P' THEN 1000000000000000
            WHEN 'E' THEN 1000000000000000000
            WHEN 'Ki' THEN 1024
            WHEN 'Mi' THEN 1048576
            WHEN 'Gi' THEN 1073741824
            WHEN 'Ti' THEN 1099511627776
            WHEN 'Pi' THEN 1125899906842624
            WHEN 'Ei' THEN 1152921504606846976
            ELSE 1
        END;
    ELSIF length(ltrim(ltrim(parts[3], '+-'), '0')) <= 3 THEN
        amount := (parts[1] || 'e' || parts[3])::numeric;
    END IF;
    IF abs(amount) <= 9223372036854775807 AND amount = trunc(amount, 9) THEN
        RETURN trim_scale(amount);
    END IF;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION financial_screener.quantity_value(text) IS 'Returns the exact amount of a Kubernetes quantity, in cores or bytes; NULL if the text is not a quantity.';
REVOKE ALL ON FUNCTION financial_screener.quantity_value(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.quantity_value(text) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.quantity_value(text) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_is_name(p_name text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    controls text := '[[:cntrl:]]';
    around text := '[[:space:]]';
BEGIN
    IF getdatabaseencoding() = 'UTF8' THEN
        controls := '[' || chr(1) || '-' || chr(31) || chr(127) || '-' || chr(159) || ']';
        SELECT '[' || string_agg(chr(r.first) || '-' || chr(r.last), '') || ']' INTO around
        FROM (VALUES
            (32, 32), (160, 160), (173, 173), (1536, 1541), (1564, 1564), (1757, 1757), (1807, 1807), (2192, 2193), (2274, 2274),
            (5760, 5760), (6158, 6158), (8192, 8207), (8232, 8239), (8287, 8292), (8294, 8303), (12288, 12288), (65279, 65279),
            (65529, 65531), (69821, 69821), (69837, 69837), (78896, 78911), (113824, 113827), (119155, 119162), (917505, 917505),
            (917536, 917631)
        ) AS r (first, last);
    ELSIF getdatabaseencoding() = 'SQL_ASCII' THEN
        controls := '[' || chr(1) || '-' || chr(31) || chr(127) || ']';
    END IF;
    RETURN coalesce(p_name <> '' AND p_name !~ controls AND p_name !~ ('^' || around || '|' || around || '$'), false);
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_is_name(text) IS 'Returns whether a text is a valid name: not empty, no control characters, no blanks or invisible characters at the start or the end.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_is_name(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_is_name(text) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_is_name(text) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_is_exchange_list(p_exchanges text[])
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT
        coalesce(array_ndims(p_exchanges) = 1 AND cardinality(p_exchanges) <= 500, false)
        AND coalesce(bool_and(coalesce(code ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$', false)), false)
        AND count(*) = count(DISTINCT code)
    FROM unnest(p_exchanges) AS code
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_is_exchange_list(text[]) IS 'Returns whether a list has 1 to 500 different exchange codes: ASCII letters and digits, and after the first character also ., - and _.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_is_exchange_list(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_is_exchange_list(text[]) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_is_exchange_list(text[]) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_rules()
 RETURNS TABLE(table_name text, rule_name text, columns text[], condition text, is_constraint boolean, rule text, example text)
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    WITH r (table_name, columns, rule_name, condition, rule, example) AS (VALUES
        (
            'dag_configuration', '{dag_name}', NULL,
            'financial_screener.dagconfig_is_name({}::text)',
            'a name without control characters, and without blanks or invisible characters around it',
            'data_collection_equities'
        ),
        (
            'dag_configuration', '{job_name}', NULL,
            'financial_screener.dagconfig_is_name({}::text)',
            'a name without control characters, and without blanks or invisible characters around it',
            'us_markets'
        ),
        (
            'dag_configuration', '{cpu_request}', NULL,
            'coalesce(financial_screener.quantity_value({}::text) >= 0.001 AND'
            ' financial_screener.quantity_value({}::text) <= 1024 AND'
            ' financial_screener.quantity_value({}::text) % 0.001 = 0 AND {} !~ ''i$'', false)',
            'a Kubernetes quantity from 1m to 1024 cores, in steps of 1m, not in Ki, Mi or Gi', '500m'
        ),
        (
            'dag_configuration', '{cpu_limit}', NULL,
            'coalesce(financial_screener.quantity_value({}::text) >= 0.001 AND'
            ' financial_screener.quantity_value({}::text) <= 1024 AND'
            ' financial_screener.quantity_value({}::text) % 0.001 = 0 AND {} !~ ''i$'', false)',
            'a Kubernetes quantity from 1m to 1024 cores, in steps of 1m, not in Ki, Mi or Gi', '2000m'
        ),
        (
            'dag_configuration', '{memory_request}', NULL,
            'coalesce(financial_screener.quantity_value({}::text) BETWEEN 4194304 AND 70368744177664, false)',
            'a Kubernetes quantity from 4Mi to 64Ti', '1Gi'
        ),
        (
            'dag_configuration', '{memory_limit}', NULL,
            'coalesce(financial_screener.quantity_value({}::text) BETWEEN 4194304 AND 70368744177664, false)',
            'a Kubernetes quantity from 4Mi to 64Ti', '2Gi'
        ),
        (
            'dag_configuration', '{cpu_request,cpu_limit}', 'cpu_request_within_limit',
            'financial_screener.quantity_value(cpu_request::text) <='
            ' financial_screener.quantity_value(cpu_limit::text)',
            'no more than cpu_limit', '500m with a limit of 2000m'
        ),
        (
            'dag_configuration', '{memory_request,memory_limit}', 'memory_request_within_limit',
            'financial_screener.quantity_value(memory_request::text) <='
            ' financial_screener.quantity_value(memory_limit::text)',
            'no more than memory_limit', '1Gi with a limit of 2Gi'
        ),
        (
            'dag_configuration', '{memory_growth}', NULL,
            'coalesce({} >= 1.1 AND {} <= 10 AND trunc({}, 2) = {}, true)',
            'a factor from 1.1 to 10, with at most two decimals', '2'
        ),
        (
            'dag_configuration', '{memory_growth_limit}', NULL,
            'coalesce(financial_screener.quantity_value({}::text) BETWEEN 4194304 AND 70368744177664, {} IS NULL)',
            'a Kubernetes quantity from 4Mi to 64Ti', '8Gi'
        ),
        (
            'dag_configuration', '{batch_size}', NULL,
            'coalesce({} BETWEEN 1 AND 1000000, false)',
            'a whole number from 1 to 1000000', '500'
        ),
        (
            'dag_configuration', '{timeout_seconds}', NULL,
            'coalesce({} BETWEEN 1 AND 604800, false)',
            'a whole number of seconds from 1 to 604800, a week', '600'
        ),
        (
            'dag_configuration', '{max_retries}', NULL,
            'coalesce({} BETWEEN 0 AND 10, false)',
            'a whole number from 0 to 10', '2'
        ),
        (
            'dag_configuration', '{retry_delay_minutes}', NULL,
            'coalesce({} BETWEEN 0 AND 1440, false)',
            'a whole number of minutes from 0 to 1440, a day', '5'
        ),
        ('dag_configuration', '{retry_backoff_enabled,enabled}', NULL, '{} IS NOT NULL', 'true or false', 'true'),
        (
            'dag_configuration', '{priority}', NULL,
            'coalesce({} BETWEEN 1 AND 10, false)',
            'a whole number from 1 to 10, higher first', '5'
        ),
        (
            'dag_configuration', '{description}', NULL,
            'coalesce(length({}) <= 4000, true)',
            'a text of at most 4000 characters', 'collects prices after the close'
        ),
        (
            'dag_configuration_overrides', '{reason}', NULL,
            'coalesce(length({}) <= 1000, true)',
            'a text of at most 1000 characters', 'backfill of October'
        ),
        (
            'exchange_groups', '{group_name}', NULL,
            'financial_screener.dagconfig_is_name({}::text)',
            'a name without control characters, and without blanks or invisible characters around it',
            'us_markets'
        ),
        (
            'exchange_groups', '{display_name}', NULL,
            'financial_screener.dagconfig_is_name({}::text)',
            'a name without control characters, and without blanks or invisible characters around it',
            'US Markets (NYSE, NASDAQ)'
        ),
        (
            'exchange_groups', '{exchanges}', NULL,
            'financial_screener.dagconfig_is_exchange_list({})',
            'a list of 1 to 500 exchange codes, each once, each of at most 32 letters A to Z, digits, ., - and _',
            'ARRAY[''NYSE'', ''NASDAQ'']'
        ),
        (
            'exchange_groups', '{primary_timezone}', NULL,
            'coalesce({} IN (SELECT z.name FROM pg_catalog.pg_timezone_names AS z), false)',
            'a time zone that pg_timezone_names has', 'America/New_York'
        ),
        (
            'exchange_groups', '{description}', NULL,
            'coalesce(length({}) <= 4000, true)',
            'a text of at most 4000 characters', 'the exchanges of New York'
        ),
        ('exchange_groups', '{enabled}', NULL, '{} IS NOT NULL', 'true or false', 'true'),
        (
            'exchange_groups', '{priority}', NULL,
            'coalesce({} BETWEEN 1 AND 10, false)',
            'a whole number from 1 to 10, higher first', '5'
        ),
        (
            'exchange_groups', '{market_open_utc}', NULL,
            'coalesce({} < ''24:00'', true)',
            'a time of day from 00:00 to 23:59:59', '14:30'
        ),
        (
            'exchange_groups', '{market_close_utc}', NULL,
            'coalesce({} < ''24:00'', true)',
            'a time of day from 00:00 to 23:59:59', '21:00'
        ),
        (
            'dag_configuration', '{created_at,updated_at}', NULL,
            'coalesce({} BETWEEN ''0001-01-02 00:00:00+00'' AND ''9999-12-30 00:00:00+00'', true)',
            'a moment from 0001-01-02 to 9999-12-30', '2026-11-24 06:00:00+00'
        ),
        (
            'exchange_groups', '{created_at,updated_at}', NULL,
            'coalesce({} BETWEEN ''0001-01-02 00:00:00+00'' AND ''9999-12-30 00:00:00+00'', true)',
            'a moment from 0001-01-02 to 9999-12-30', '2026-11-24 06:00:00+00'
        ),
        (
            'dag_configuration_overrides', '{starts_at,ends_at,created_at,ended_at}', NULL,
            'coalesce({} BETWEEN ''0001-01-02 00:00:00+00'' AND ''9999-12-30 00:00:00+00'', true)',
            'a moment from 0001-01-02 to 9999-12-30', '2026-11-24 06:00:00+00'
        ),
        (
            'dag_configuration', '{version}', NULL,
            '{} BETWEEN 1 AND 4611686018427387903',
            'a whole number from 1 to 4611686018427387903', '1'
        ),
        (
            'exchange_groups', '{version}', NULL,
            '{} BETWEEN 1 AND 4611686018427387903',
            'a whole number from 1 to 4611686018427387903', '1'
        )
    )
    SELECT
        r.table_name, coalesce(r.rule_name, c.name), CASE WHEN r.rule_name IS NULL THEN ARRAY[c.name] ELSE r.columns::text[] END,
        replace(r.condition, '{}', c.name), r.condition NOT LIKE '%pg_timezone_names%', r.rule, r.example
    FROM (SELECT *, row_number() OVER () AS number FROM r) AS r
    CROSS JOIN LATERAL unnest(r.columns::text[]) WITH ORDINALITY AS c (name, number)
    WHERE r.rule_name IS NULL OR c.number = 1
    ORDER BY r.number, c.number
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_rules() IS 'Returns the rules of the values in a row. condition: SQL over the table''s columns; a row for which it is false breaks the rule. columns: messages name the first; a change of any of them is checked. is_constraint: false if the result depends on the server, because a dump may be restored on another server.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_rules() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_rules() TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_rules() TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_broken_rules(p_table text, p_row jsonb, p_columns text[])
 RETURNS TABLE(rule_name text, columns text[], column_name text, value text, rule text, example text, message text)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    conditions text;
    broken text[];
BEGIN
    SELECT string_agg(format('CASE WHEN (%s) IS FALSE THEN %L END', r.condition, r.rule_name), ', ') INTO conditions
    FROM financial_screener.dagconfig_rules() AS r
    WHERE r.table_name = p_table AND (p_columns IS NULL OR r.columns && p_columns);
    IF conditions IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'SELECT array_remove(ARRAY[%s], NULL) FROM jsonb_populate_record(NULL::financial_screener.%I, $1)',
        conditions, p_table
    ) INTO broken USING p_row;
    IF broken = '{}' THEN
        RETURN;
    END IF;

    RETURN QUERY
    SELECT
        r.rule_name, r.columns, r.columns[1], p_row ->> r.columns[1], r.rule, r.example,
        format(
            'must be %s%s, such as %s',
            r.rule, ' (' || quote_literal(p_row ->> r.columns[2]) || ')', r.example
        )
    FROM financial_screener.dagconfig_rules() WITH ORDINALITY AS r
    WHERE r.table_name = p_table AND r.rule_name = ANY(broken)
    ORDER BY r.ordinality;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_broken_rules(text,jsonb,text[]) IS 'Returns the rules that a row breaks: of those about one of p_columns, or of all rules if p_columns is NULL. message: the error, to be written after COLUMN VALUE of ROW.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_broken_rules(text,jsonb,text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_broken_rules(text,jsonb,text[]) TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.dagconfig_broken_rules(text,jsonb,text[]) TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_validate()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    row_before jsonb;
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
        SELECT coalesce(array_agg(e.key), '{}') INTO changed
        FROM jsonb_each(row_after) AS e
        WHERE e.value IS DISTINCT FROM row_before -> e.key;
    END IF;
    SELECT b.* INTO broken
    FROM financial_screener.dagconfig_broken_rules(TG_TABLE_NAME::text, row_after, changed) AS b
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                '%s %s of %s %s', broken.column_name,
                CASE
                    WHEN broken.value IS NULL THEN 'NULL'
                    WHEN length(broken.value) <= 200 THEN quote_literal(broken.value)
                    ELSE format('%L... (%s characters)', left(broken.value, 200), length(broken.value))
                END,
                CASE TG_TABLE_NAME
                    WHEN 'exchange_groups' THEN concat('exchange group ', row_after ->> 'group_name')
                    ELSE concat_ws('/', row_after ->> 'dag_name', row_after ->> 'job_name')
                END,
                broken.message
            ),
            SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, COLUMN = broken.column_name,
            CONSTRAINT = 'rule_' || broken.rule_name;
    END IF;
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_validate() IS 'Trigger: refuses a row that breaks a rule. For an UPDATE, it checks the rules whose columns change.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_validate() FROM PUBLIC;
CREATE TRIGGER validate_dag_configuration BEFORE INSERT OR UPDATE ON financial_screener.dag_configuration FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate();
CREATE TRIGGER validate_dag_configuration_overrides BEFORE INSERT OR UPDATE ON financial_screener.dag_configuration_overrides FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate();
CREATE TRIGGER validate_exchange_groups BEFORE INSERT OR UPDATE ON financial_screener.exchange_groups FOR EACH ROW EXECUTE FUNCTION financial_screener.dagconfig_validate();

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_keeps_rules(p_before financial_screener.dag_configuration, p_after financial_screener.dag_configuration)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF p_after.dag_name IS DISTINCT FROM p_before.dag_name THEN
        DECLARE
            dag_name financial_screener.dag_configuration.dag_name%TYPE := p_after.dag_name;
        BEGIN
            IF (financial_screener.dagconfig_is_name(dag_name::text)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.job_name IS DISTINCT FROM p_before.job_name THEN
        DECLARE
            job_name financial_screener.dag_configuration.job_name%TYPE := p_after.job_name;
        BEGIN
            IF (financial_screener.dagconfig_is_name(job_name::text)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.cpu_request IS DISTINCT FROM p_before.cpu_request THEN
        DECLARE
            cpu_request financial_screener.dag_configuration.cpu_request%TYPE := p_after.cpu_request;
        BEGIN
            IF (coalesce(financial_screener.quantity_value(cpu_request::text) >= 0.001 AND financial_screener.quantity_value(cpu_request::text) <= 1024 AND financial_screener.quantity_value(cpu_request::text) % 0.001 = 0 AND cpu_request !~ 'i$', false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.cpu_limit IS DISTINCT FROM p_before.cpu_limit THEN
        DECLARE
            cpu_limit financial_screener.dag_configuration.cpu_limit%TYPE := p_after.cpu_limit;
        BEGIN
            IF (coalesce(financial_screener.quantity_value(cpu_limit::text) >= 0.001 AND financial_screener.quantity_value(cpu_limit::text) <= 1024 AND financial_screener.quantity_value(cpu_limit::text) % 0.001 = 0 AND cpu_limit !~ 'i$', false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.memory_request IS DISTINCT FROM p_before.memory_request THEN
        DECLARE
            memory_request financial_screener.dag_configuration.memory_request%TYPE := p_after.memory_request;
        BEGIN
            IF (coalesce(financial_screener.quantity_value(memory_request::text) BETWEEN 4194304 AND 70368744177664, false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.memory_limit IS DISTINCT FROM p_before.memory_limit THEN
        DECLARE
            memory_limit financial_screener.dag_configuration.memory_limit%TYPE := p_after.memory_limit;
        BEGIN
            IF (coalesce(financial_screener.quantity_value(memory_limit::text) BETWEEN 4194304 AND 70368744177664, false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.cpu_request IS DISTINCT FROM p_before.cpu_request OR p_after.cpu_limit IS DISTINCT FROM p_before.cpu_limit THEN
        DECLARE
            cpu_request financial_screener.dag_configuration.cpu_request%TYPE := p_after.cpu_request;
            cpu_limit financial_screener.dag_configuration.cpu_limit%TYPE := p_after.cpu_limit;
        BEGIN
            IF (financial_screener.quantity_value(cpu_request::text) <= financial_screener.quantity_value(cpu_limit::text)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.memory_request IS DISTINCT FROM p_before.memory_request OR p_after.memory_limit IS DISTINCT FROM p_before.memory_limit THEN
        DECLARE
            memory_request financial_screener.dag_configuration.memory_request%TYPE := p_after.memory_request;
            memory_limit financial_screener.dag_configuration.memory_limit%TYPE := p_after.memory_limit;
        BEGIN
            IF (financial_screener.quantity_value(memory_request::text) <= financial_screener.quantity_value(memory_limit::text)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.memory_growth IS DISTINCT FROM p_before.memory_growth THEN
        DECLARE
            memory_growth financial_screener.dag_configuration.memory_growth%TYPE := p_after.memory_growth;
        BEGIN
            IF (coalesce(memory_growth >= 1.1 AND memory_growth <= 10 AND trunc(memory_growth, 2) = memory_growth, true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.memory_growth_limit IS DISTINCT FROM p_before.memory_growth_limit THEN
        DECLARE
            memory_growth_limit financial_screener.dag_configuration.memory_growth_limit%TYPE := p_after.memory_growth_limit;
        BEGIN
            IF (coalesce(financial_screener.quantity_value(memory_growth_limit::text) BETWEEN 4194304 AND 70368744177664, memory_growth_limit IS NULL)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.batch_size IS DISTINCT FROM p_before.batch_size THEN
        DECLARE
            batch_size financial_screener.dag_configuration.batch_size%TYPE := p_after.batch_size;
        BEGIN
            IF (coalesce(batch_size BETWEEN 1 AND 1000000, false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.timeout_seconds IS DISTINCT FROM p_before.timeout_seconds THEN
        DECLARE
            timeout_seconds financial_screener.dag_configuration.timeout_seconds%TYPE := p_after.timeout_seconds;
        BEGIN
            IF (coalesce(timeout_seconds BETWEEN 1 AND 604800, false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.max_retries IS DISTINCT FROM p_before.max_retries THEN
        DECLARE
            max_retries financial_screener.dag_configuration.max_retries%TYPE := p_after.max_retries;
        BEGIN
            IF (coalesce(max_retries BETWEEN 0 AND 10, false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.retry_delay_minutes IS DISTINCT FROM p_before.retry_delay_minutes THEN
        DECLARE
            retry_delay_minutes financial_screener.dag_configuration.retry_delay_minutes%TYPE := p_after.retry_delay_minutes;
        BEGIN
            IF (coalesce(retry_delay_minutes BETWEEN 0 AND 1440, false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.retry_backoff_enabled IS DISTINCT FROM p_before.retry_backoff_enabled THEN
        DECLARE
            retry_backoff_enabled financial_screener.dag_configuration.retry_backoff_enabled%TYPE := p_after.retry_backoff_enabled;
        BEGIN
            IF (retry_backoff_enabled IS NOT NULL) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.enabled IS DISTINCT FROM p_before.enabled THEN
        DECLARE
            enabled financial_screener.dag_configuration.enabled%TYPE := p_after.enabled;
        BEGIN
            IF (enabled IS NOT NULL) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.priority IS DISTINCT FROM p_before.priority THEN
        DECLARE
            priority financial_screener.dag_configuration.priority%TYPE := p_after.priority;
        BEGIN
            IF (coalesce(priority BETWEEN 1 AND 10, false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.description IS DISTINCT FROM p_before.description THEN
        DECLARE
            description financial_screener.dag_configuration.description%TYPE := p_after.description;
        BEGIN
            IF (coalesce(length(description) <= 4000, true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.created_at IS DISTINCT FROM p_before.created_at THEN
        DECLARE
            created_at financial_screener.dag_configuration.created_at%TYPE := p_after.created_at;
        BEGIN
            IF (coalesce(created_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.updated_at IS DISTINCT FROM p_before.updated_at THEN
        DECLARE
            updated_at financial_screener.dag_configuration.updated_at%TYPE := p_after.updated_at;
        BEGIN
            IF (coalesce(updated_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.version IS DISTINCT FROM p_before.version THEN
        DECLARE
            version financial_screener.dag_configuration.version%TYPE := p_after.version;
        BEGIN
            IF (version BETWEEN 1 AND 4611686018427387903) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    RETURN true;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_keeps_rules(financial_screener.dag_configuration,financial_screener.dag_configuration) IS 'Whether a row keeps the rules whose columns differ from the row before. Made of the rules by enforce_rules().';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_keeps_rules(financial_screener.dag_configuration,financial_screener.dag_configuration) FROM PUBLIC;
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_keeps_rules(p_before financial_screener.dag_configuration_overrides, p_after financial_screener.dag_configuration_overrides)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF p_after.reason IS DISTINCT FROM p_before.reason THEN
        DECLARE
            reason financial_screener.dag_configuration_overrides.reason%TYPE := p_after.reason;
        BEGIN
            IF (coalesce(length(reason) <= 1000, true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.starts_at IS DISTINCT FROM p_before.starts_at THEN
        DECLARE
            starts_at financial_screener.dag_configuration_overrides.starts_at%TYPE := p_after.starts_at;
        BEGIN
            IF (coalesce(starts_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.ends_at IS DISTINCT FROM p_before.ends_at THEN
        DECLARE
            ends_at financial_screener.dag_configuration_overrides.ends_at%TYPE := p_after.ends_at;
        BEGIN
            IF (coalesce(ends_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.created_at IS DISTINCT FROM p_before.created_at THEN
        DECLARE
            created_at financial_screener.dag_configuration_overrides.created_at%TYPE := p_after.created_at;
        BEGIN
            IF (coalesce(created_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.ended_at IS DISTINCT FROM p_before.ended_at THEN
        DECLARE
            ended_at financial_screener.dag_configuration_overrides.ended_at%TYPE := p_after.ended_at;
        BEGIN
            IF (coalesce(ended_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    RETURN true;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_keeps_rules(financial_screener.dag_configuration_overrides,financial_screener.dag_configuration_overrides) IS 'Whether a row keeps the rules whose columns differ from the row before. Made of the rules by enforce_rules().';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_keeps_rules(financial_screener.dag_configuration_overrides,financial_screener.dag_configuration_overrides) FROM PUBLIC;
CREATE OR REPLACE FUNCTION financial_screener.dagconfig_keeps_rules(p_before financial_screener.exchange_groups, p_after financial_screener.exchange_groups)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF p_after.group_name IS DISTINCT FROM p_before.group_name THEN
        DECLARE
            group_name financial_screener.exchange_groups.group_name%TYPE := p_after.group_name;
        BEGIN
            IF (financial_screener.dagconfig_is_name(group_name::text)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.display_name IS DISTINCT FROM p_before.display_name THEN
        DECLARE
            display_name financial_screener.exchange_groups.display_name%TYPE := p_after.display_name;
        BEGIN
            IF (financial_screener.dagconfig_is_name(display_name::text)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.exchanges IS DISTINCT FROM p_before.exchanges THEN
        DECLARE
            exchanges financial_screener.exchange_groups.exchanges%TYPE := p_after.exchanges;
        BEGIN
            IF (financial_screener.dagconfig_is_exchange_list(exchanges)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.primary_timezone IS DISTINCT FROM p_before.primary_timezone THEN
        DECLARE
            primary_timezone financial_screener.exchange_groups.primary_timezone%TYPE := p_after.primary_timezone;
        BEGIN
            IF (coalesce(primary_timezone IN (SELECT z.name FROM pg_catalog.pg_timezone_names AS z), false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.description IS DISTINCT FROM p_before.description THEN
        DECLARE
            description financial_screener.exchange_groups.description%TYPE := p_after.description;
        BEGIN
            IF (coalesce(length(description) <= 4000, true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.enabled IS DISTINCT FROM p_before.enabled THEN
        DECLARE
            enabled financial_screener.exchange_groups.enabled%TYPE := p_after.enabled;
        BEGIN
            IF (enabled IS NOT NULL) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.priority IS DISTINCT FROM p_before.priority THEN
        DECLARE
            priority financial_screener.exchange_groups.priority%TYPE := p_after.priority;
        BEGIN
            IF (coalesce(priority BETWEEN 1 AND 10, false)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.market_open_utc IS DISTINCT FROM p_before.market_open_utc THEN
        DECLARE
            market_open_utc financial_screener.exchange_groups.market_open_utc%TYPE := p_after.market_open_utc;
        BEGIN
            IF (coalesce(market_open_utc < '24:00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.market_close_utc IS DISTINCT FROM p_before.market_close_utc THEN
        DECLARE
            market_close_utc financial_screener.exchange_groups.market_close_utc%TYPE := p_after.market_close_utc;
        BEGIN
            IF (coalesce(market_close_utc < '24:00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.created_at IS DISTINCT FROM p_before.created_at THEN
        DECLARE
            created_at financial_screener.exchange_groups.created_at%TYPE := p_after.created_at;
        BEGIN
            IF (coalesce(created_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.updated_at IS DISTINCT FROM p_before.updated_at THEN
        DECLARE
            updated_at financial_screener.exchange_groups.updated_at%TYPE := p_after.updated_at;
        BEGIN
            IF (coalesce(updated_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00', true)) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    IF p_after.version IS DISTINCT FROM p_before.version THEN
        DECLARE
            version financial_screener.exchange_groups.version%TYPE := p_after.version;
        BEGIN
            IF (version BETWEEN 1 AND 4611686018427387903) IS FALSE THEN
                RETURN false;
            END IF;
        END;
    END IF;
    RETURN true;
END
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_keeps_rules(financial_screener.exchange_groups,financial_screener.exchange_groups) IS 'Whether a row keeps the rules whose columns differ from the row before. Made of the rules by enforce_rules().';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_keeps_rules(financial_screener.exchange_groups,financial_screener.exchange_groups) FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.dagconfig_make_keeps_rules()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
COMMENT ON FUNCTION financial_screener.dagconfig_make_keeps_rules() IS 'Replace dagconfig_keeps_rules() of each table whose rules changed. For the tables'' owner; enforce_rules() calls it.';
REVOKE ALL ON FUNCTION financial_screener.dagconfig_make_keeps_rules() FROM PUBLIC;

CREATE OR REPLACE FUNCTION financial_screener.rule_violations()
 RETURNS TABLE(table_name text, row_key text, column_name text, value text, rule text, example text)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM financial_screener.dagconfig_rules() LOOP
        RETURN QUERY EXECUTE format(
            'SELECT $1, concat(''override '' || (j.r ->> ''override_id'') || '' of '','
            ' concat_ws(''/'', j.r ->> ''dag_name'', j.r ->> ''job_name'', j.r ->> ''group_name'')), $2,'
            ' j.r ->> $2, $3, $4 FROM financial_screener.%I AS t CROSS JOIN LATERAL to_jsonb(t) AS j (r)'
            ' WHERE (%s) IS FALSE ORDER BY 2',
            r.table_name, r.condition
        ) USING r.table_name, r.columns[1], r.rule, r.example;
    END LOOP;
END
$function$;
COMMENT ON FUNCTION financial_screener.rule_violations() IS 'Returns the values that break a rule now. They are older than the rules.';
REVOKE ALL ON FUNCTION financial_screener.rule_violations() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION financial_screener.rule_violations() TO dagconfig_editor;
GRANT EXECUTE ON FUNCTION financial_screener.rule_violations() TO dagconfig_reader;

CREATE OR REPLACE FUNCTION financial_screener.enforce_rules()
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    r record;
    is_broken boolean;
    broken integer := 0;
BEGIN
    FOR r IN SELECT * FROM financial_screener.dagconfig_rules() LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_constraint AS c
            WHERE
                c.conrelid = format('financial_screener.%I', r.table_name)::regclass
                AND c.conname = 'rule_' || r.rule_name
        );
        EXECUTE format('SELECT EXISTS (SELECT FROM financial_screener.%I WHERE (%s) IS FALSE)', r.table_name, r.condition)
        INTO is_broken;
        IF is_broken THEN
            broken := broken + 1;
        ELSIF r.is_constraint THEN
            EXECUTE format(
                'ALTER TABLE financial_screener.%I ADD CONSTRAINT %I CHECK (%s)',
                r.table_name, 'rule_' || r.rule_name, r.condition
            );
        END IF;
    END LOOP;
    PERFORM financial_screener.dagconfig_make_keeps_rules();
    RETURN broken;
END
$function$;
COMMENT ON FUNCTION financial_screener.enforce_rules() IS 'Add each rule that no row breaks to its table as a constraint. Returns how many rules are still broken. For the tables'' owner; airflow dagconfig migrate calls it each time, so that rules become constraints once the rows are corrected.';
REVOKE ALL ON FUNCTION financial_screener.enforce_rules() FROM PUBLIC;

-- Made of the rules by enforce_rules().
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_batch_size CHECK (COALESCE(((batch_size >= 1) AND (batch_size <= 1000000)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_cpu_limit CHECK (COALESCE(((financial_screener.quantity_value((cpu_limit)::text) >= 0.001) AND (financial_screener.quantity_value((cpu_limit)::text) <= (1024)::numeric) AND ((financial_screener.quantity_value((cpu_limit)::text) % 0.001) = (0)::numeric) AND ((cpu_limit)::text !~ 'i$'::text)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_cpu_request CHECK (COALESCE(((financial_screener.quantity_value((cpu_request)::text) >= 0.001) AND (financial_screener.quantity_value((cpu_request)::text) <= (1024)::numeric) AND ((financial_screener.quantity_value((cpu_request)::text) % 0.001) = (0)::numeric) AND ((cpu_request)::text !~ 'i$'::text)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_cpu_request_within_limit CHECK ((financial_screener.quantity_value((cpu_request)::text) <= financial_screener.quantity_value((cpu_limit)::text)));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_created_at CHECK (COALESCE(((created_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)), true));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_dag_name CHECK (financial_screener.dagconfig_is_name((dag_name)::text));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_description CHECK (COALESCE((length(description) <= 4000), true));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_enabled CHECK ((enabled IS NOT NULL));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_job_name CHECK (financial_screener.dagconfig_is_name((job_name)::text));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_max_retries CHECK (COALESCE(((max_retries >= 0) AND (max_retries <= 10)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_memory_growth CHECK (COALESCE(((memory_growth >= 1.1) AND (memory_growth <= (10)::numeric) AND (trunc(memory_growth, 2) = memory_growth)), true));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_memory_growth_limit CHECK (COALESCE(((financial_screener.quantity_value((memory_growth_limit)::text) >= (4194304)::numeric) AND (financial_screener.quantity_value((memory_growth_limit)::text) <= ('70368744177664'::bigint)::numeric)), (memory_growth_limit IS NULL)));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_memory_limit CHECK (COALESCE(((financial_screener.quantity_value((memory_limit)::text) >= (4194304)::numeric) AND (financial_screener.quantity_value((memory_limit)::text) <= ('70368744177664'::bigint)::numeric)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_memory_request CHECK (COALESCE(((financial_screener.quantity_value((memory_request)::text) >= (4194304)::numeric) AND (financial_screener.quantity_value((memory_request)::text) <= ('70368744177664'::bigint)::numeric)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_memory_request_within_limit CHECK ((financial_screener.quantity_value((memory_request)::text) <= financial_screener.quantity_value((memory_limit)::text)));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_priority CHECK (COALESCE(((priority >= 1) AND (priority <= 10)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_retry_backoff_enabled CHECK ((retry_backoff_enabled IS NOT NULL));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_retry_delay_minutes CHECK (COALESCE(((retry_delay_minutes >= 0) AND (retry_delay_minutes <= 1440)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_timeout_seconds CHECK (COALESCE(((timeout_seconds >= 1) AND (timeout_seconds <= 604800)), false));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_updated_at CHECK (COALESCE(((updated_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (updated_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)), true));
ALTER TABLE financial_screener.dag_configuration ADD CONSTRAINT rule_version CHECK (((version >= 1) AND (version <= '4611686018427387903'::bigint)));
ALTER TABLE financial_screener.dag_configuration_overrides ADD CONSTRAINT rule_created_at CHECK (COALESCE(((created_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)), true));
ALTER TABLE financial_screener.dag_configuration_overrides ADD CONSTRAINT rule_ended_at CHECK (COALESCE(((ended_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (ended_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)), true));
ALTER TABLE financial_screener.dag_configuration_overrides ADD CONSTRAINT rule_ends_at CHECK (COALESCE(((ends_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (ends_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)), true));
ALTER TABLE financial_screener.dag_configuration_overrides ADD CONSTRAINT rule_reason CHECK (COALESCE((length(reason) <= 1000), true));
ALTER TABLE financial_screener.dag_configuration_overrides ADD CONSTRAINT rule_starts_at CHECK (COALESCE(((starts_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (starts_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)), true));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_created_at CHECK (COALESCE(((created_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)), true));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_description CHECK (COALESCE((length(description) <= 4000), true));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_display_name CHECK (financial_screener.dagconfig_is_name((display_name)::text));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_enabled CHECK ((enabled IS NOT NULL));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_exchanges CHECK (financial_screener.dagconfig_is_exchange_list(exchanges));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_group_name CHECK (financial_screener.dagconfig_is_name((group_name)::text));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_market_close_utc CHECK (COALESCE((market_close_utc < '24:00:00'::time without time zone), true));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_market_open_utc CHECK (COALESCE((market_open_utc < '24:00:00'::time without time zone), true));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_priority CHECK (COALESCE(((priority >= 1) AND (priority <= 10)), false));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_updated_at CHECK (COALESCE(((updated_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (updated_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)), true));
ALTER TABLE financial_screener.exchange_groups ADD CONSTRAINT rule_version CHECK (((version >= 1) AND (version <= '4611686018427387903'::bigint)));
