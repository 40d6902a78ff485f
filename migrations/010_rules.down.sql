-- The way back of 010: anything is accepted again. No row is changed.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 010_rules.down.sql
--
-- or `airflow dagconfig migrate --to 009`.

DO $$
DECLARE
    earlier record;
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 10) THEN
            RAISE EXCEPTION 'later migrations than 010 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 10;
    END IF;

    FOR earlier IN
        SELECT c.conrelid::pg_catalog.regclass AS relation, c.conname
        FROM pg_catalog.pg_constraint AS c
        JOIN financial_screener.dagconfig_rules() AS r ON c.conname = 'rule_' || r.rule_name
        WHERE c.conrelid = pg_catalog.format('financial_screener.%I', r.table_name)::pg_catalog.regclass
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', earlier.relation, earlier.conname);
    END LOOP;
END
$$;

DROP TRIGGER validate_dag_configuration_overrides ON financial_screener.dag_configuration_overrides;
DROP TRIGGER validate_exchange_groups ON financial_screener.exchange_groups;
DROP TRIGGER validate_dag_configuration ON financial_screener.dag_configuration;
DROP FUNCTION financial_screener.enforce_rules();
DROP FUNCTION financial_screener.rule_violations();
DROP FUNCTION financial_screener.dagconfig_validate();
DROP FUNCTION financial_screener.dagconfig_broken_rules(text, jsonb, text[]);
DROP FUNCTION financial_screener.dagconfig_rules();
DROP FUNCTION financial_screener.dagconfig_is_exchange_list(text[]);
DROP FUNCTION financial_screener.dagconfig_is_name(text);
DROP FUNCTION financial_screener.quantity_value(text);
