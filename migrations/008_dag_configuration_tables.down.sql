-- The way back of 008: the functions and the three tables go, with the configuration, the groups and the whole audit.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 008_dag_configuration_tables.down.sql
--
-- or `airflow dagconfig migrate --to 007`. To keep the data, dump it first:
--
--   pg_dump --schema=financial_screener --file=financial_screener.sql
--
-- The schema stays, because it may hold other tables. Without CASCADE: what somebody has built on the tables is reported,
-- not dropped. How the schema's name is replaced is said in 008_dag_configuration_tables.sql.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 8) THEN
            RAISE EXCEPTION 'later migrations than 008 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 8;
    END IF;
END
$$;

DROP FUNCTION IF EXISTS financial_screener.update_dag_config(
    text, text, text, text, text, text, integer, integer, text
);
DROP FUNCTION IF EXISTS financial_screener.get_exchange_groups();
DROP FUNCTION IF EXISTS financial_screener.get_dag_config(text, text);
DROP TABLE IF EXISTS financial_screener.dag_configuration;
DROP FUNCTION IF EXISTS financial_screener.audit_dag_configuration();
DROP TABLE IF EXISTS financial_screener.exchange_groups;
DROP TABLE IF EXISTS financial_screener.dag_configuration_audit;
