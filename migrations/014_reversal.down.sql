-- The way back of 014: the functions that roll back go. No row is changed.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 014_reversal.down.sql
--
-- or `airflow dagconfig migrate --to 013`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 14) THEN
            RAISE EXCEPTION 'later migrations than 014 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 14;
    END IF;
END
$$;

DROP FUNCTION financial_screener.rollback_dag_config(text, text, timestamp with time zone, text, text, bigint);
DROP FUNCTION financial_screener.rollback_change(bigint, text, text);
DROP FUNCTION financial_screener.dagconfig_restore(text, jsonb, text[]);
