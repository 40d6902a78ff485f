-- The way back of 016: all ceilings go, and nothing is held to one any more. Their entries in the audit stay until 009 goes back.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 016_ceilings.down.sql
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

DROP TRIGGER within_ceilings ON financial_screener.dag_configuration_overrides;
DROP TRIGGER within_ceilings ON financial_screener.dag_configuration;
DROP TABLE financial_screener.dagconfig_ceilings;
DROP TABLE financial_screener.dagconfig_ceilings_guard;
DROP FUNCTION financial_screener.remove_ceiling(text, text, text, text);
DROP FUNCTION financial_screener.set_ceiling(text, text, text, text, text, boolean);
DROP FUNCTION financial_screener.dagconfig_check_ceiling();
DROP FUNCTION financial_screener.dagconfig_stamp_ceiling();
DROP FUNCTION financial_screener.ceiling_violations();
DROP FUNCTION financial_screener.dagconfig_hold_to_ceilings();
