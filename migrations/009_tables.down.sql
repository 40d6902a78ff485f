-- The way back of 009: the tables are those of 008. The overrides go, the store's id, the versions, and what the audit's new columns
-- say; so do the audit's entries of groups and overrides: who reads the audit of 008 takes each entry for a job's. Pods that run
-- under a name with the id are not found by later tries.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 009_tables.down.sql
--
-- or `airflow dagconfig migrate --to 008`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 9) THEN
            RAISE EXCEPTION 'later migrations than 009 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 9;
    END IF;
END
$$;

-- What an adopted installation said stays.
DO $$
DECLARE
    told record;
BEGIN
    FOR told IN SELECT c.name FROM financial_screener.dagconfig_comments() AS c WHERE c.present = c.comment LOOP
        EXECUTE pg_catalog.format('COMMENT ON %s IS NULL', told.name);
    END LOOP;
END
$$;

DROP FUNCTION financial_screener.dagconfig_comments();
DROP TABLE financial_screener.dagconfig_installation;
DROP TABLE financial_screener.dag_configuration_overrides;

-- An adopted installation's audit requires the names again that it required.
DO $$
DECLARE
    required record;
    groups bigint;
BEGIN
    SELECT count(*) INTO groups FROM financial_screener.dag_configuration_audit WHERE table_name = 'exchange_groups';
    DELETE FROM financial_screener.dag_configuration_audit WHERE table_name <> 'dag_configuration';
    FOR required IN
        SELECT c.conname, pg_catalog.substr(c.conname, pg_catalog.length('adopted_') + 1) AS column_name
        FROM pg_catalog.pg_constraint AS c
        WHERE
            c.conrelid = 'financial_screener.dag_configuration_audit'::pg_catalog.regclass
            AND c.conname IN ('adopted_dag_name', 'adopted_job_name')
        ORDER BY c.conname
    LOOP
        EXECUTE pg_catalog.format(
            'ALTER TABLE financial_screener.dag_configuration_audit DROP CONSTRAINT %I, ALTER COLUMN %I SET NOT NULL',
            required.conname, required.column_name
        );
        IF groups > 0 THEN
            RAISE NOTICE 'the audit requires a % again, and % entries of exchange groups, which have none, are deleted',
                required.column_name, groups
            USING HINT = 'A dump from before has them; without one they are lost.';
            groups := 0;
        END IF;
    END LOOP;
END
$$;

DROP INDEX financial_screener.dag_configuration_audit_version;
DROP INDEX financial_screener.dag_configuration_audit_group;
ALTER TABLE financial_screener.dag_configuration_audit
DROP COLUMN row_version,
DROP COLUMN changed_columns,
DROP COLUMN reason,
DROP COLUMN session_user_name,
DROP COLUMN override_id,
DROP COLUMN group_name,
DROP COLUMN table_name,
ALTER COLUMN changed_at TYPE timestamp without time zone,
ALTER COLUMN changed_at SET DEFAULT pg_catalog.now();

ALTER TABLE financial_screener.exchange_groups
DROP COLUMN version,
ALTER COLUMN created_at TYPE timestamp without time zone,
ALTER COLUMN updated_at TYPE timestamp without time zone;

ALTER TABLE financial_screener.dag_configuration
DROP COLUMN version,
ALTER COLUMN created_at TYPE timestamp without time zone,
ALTER COLUMN updated_at TYPE timestamp without time zone;
