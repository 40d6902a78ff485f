-- The way back of 017: the store has no id. Pods that run under a name with the id are not found by later tries.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 017_installation.down.sql
--
-- or `airflow dagconfig migrate --to 016`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 17) THEN
            RAISE EXCEPTION 'later migrations than 017 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 17;
    END IF;
END
$$;

DROP TABLE financial_screener.dagconfig_installation;
