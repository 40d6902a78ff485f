-- The way back of 015: the audit of an adopted installation requires dag_name and job_name of each entry again. The entries of
-- exchange groups, which have neither, go; afterwards no group can be changed until 010 has gone back, too.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 015_adopted_audit.down.sql
--
-- or `airflow dagconfig migrate --to 014`.

DO $$
DECLARE
    required record;
    deleted bigint;
    is_known boolean := false;
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 15) THEN
            RAISE EXCEPTION 'later migrations than 015 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 15;
        is_known := EXISTS (
            SELECT FROM financial_screener.dagconfig_migrations AS m
            WHERE m.version = 14 AND coalesce(pg_catalog.to_jsonb(m) -> 'revoked', 'null') <> 'null'
        );
    END IF;

    FOR required IN
        SELECT c.conname, pg_catalog.substr(c.conname, pg_catalog.length('adopted_') + 1) AS column_name
        FROM pg_catalog.pg_constraint AS c
        WHERE
            c.conrelid = 'financial_screener.dag_configuration_audit'::pg_catalog.regclass
            AND c.conname IN ('adopted_dag_name', 'adopted_job_name')
        ORDER BY c.conname
    LOOP
        EXECUTE pg_catalog.format(
            'DELETE FROM financial_screener.dag_configuration_audit WHERE %I IS NULL', required.column_name
        );
        GET DIAGNOSTICS deleted = ROW_COUNT;
        EXECUTE pg_catalog.format(
            'ALTER TABLE financial_screener.dag_configuration_audit DROP CONSTRAINT %I, ALTER COLUMN %I SET NOT NULL',
            required.conname, required.column_name
        );
        IF deleted > 0 THEN
            RAISE NOTICE 'the audit requires a % again, and % entries of exchange groups, which have none, are deleted',
                required.column_name, deleted
            USING HINT = 'A dump from before has them; without one they are lost.';
        END IF;
        IF required.conname = 'adopted_dag_name' AND NOT is_known THEN
            RAISE NOTICE 'it is not recorded what PUBLIC was granted before 014, so it is not given back'
            USING HINT = 'GRANT SELECT ON financial_screener.dag_configuration, financial_screener.exchange_groups,'
                ' financial_screener.dag_configuration_audit TO PUBLIC;';
        END IF;
    END LOOP;
END
$$;
