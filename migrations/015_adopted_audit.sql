-- 015: the audit of an adopted installation takes the entries of exchange groups. There, dag_name and job_name were NOT NULL, and a
-- group's entry has neither, so that no group could be changed.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 015_adopted_audit.sql
--
-- or `airflow dagconfig migrate`. It needs 014 and may be repeated. The way back is 015_adopted_audit.down.sql. How the schema's
-- name is replaced is said in 008_dag_configuration_tables.sql.
--
-- A job's entry still needs what the installation required. The constraint also tells the way back that it was required.

DO $$
DECLARE
    required record;
BEGIN
    FOR required IN
        SELECT a.attname
        FROM pg_catalog.pg_attribute AS a
        WHERE
            a.attrelid = 'financial_screener.dag_configuration_audit'::pg_catalog.regclass
            AND a.attname IN ('dag_name', 'job_name')
            AND a.attnotnull
    LOOP
        EXECUTE pg_catalog.format(
            'ALTER TABLE financial_screener.dag_configuration_audit ALTER COLUMN %1$I DROP NOT NULL,'
            ' ADD CONSTRAINT %2$I CHECK (%1$I IS NOT NULL OR table_name = ''exchange_groups'')',
            required.attname, 'adopted_' || required.attname
        );
    END LOOP;
END
$$;
