-- The way back of 010: the versions go, and with them the audit of groups and what the audit's new columns say. The entries of
-- groups and overrides go too: who reads the audit of 008 takes each entry for a job's.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 010_audit.down.sql
--
-- or `airflow dagconfig migrate --to 009`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 10) THEN
            RAISE EXCEPTION 'later migrations than 010 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 10;
    END IF;
END
$$;

DROP TRIGGER stamp_exchange_groups ON financial_screener.exchange_groups;
DROP TRIGGER audit_exchange_groups_truncate ON financial_screener.exchange_groups;
DROP TRIGGER audit_exchange_groups ON financial_screener.exchange_groups;
DROP TRIGGER stamp_dag_configuration ON financial_screener.dag_configuration;
DROP TRIGGER audit_dag_configuration_truncate ON financial_screener.dag_configuration;
DROP FUNCTION financial_screener.dagconfig_stamp();

CREATE OR REPLACE FUNCTION financial_screener.audit_dag_configuration()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    row_before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    row_after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    concerned jsonb := coalesce(row_after, row_before);
BEGIN
    INSERT INTO financial_screener.dag_configuration_audit (
        operation, dag_name, job_name, old_values, new_values, changed_by
    ) VALUES (
        TG_OP, concerned ->> 'dag_name', concerned ->> 'job_name', row_before, row_after,
        coalesce(nullif(current_setting('dagconfig.updated_by', true), ''), session_user)
    );
    RETURN NULL;
END
$$;

DROP FUNCTION financial_screener.dagconfig_book(text, text, jsonb, jsonb);
DROP FUNCTION financial_screener.dagconfig_changed_columns(jsonb, jsonb);

DELETE FROM financial_screener.dag_configuration_audit WHERE table_name <> 'dag_configuration';
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
