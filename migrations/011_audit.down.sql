-- The way back of 011: changes of groups and overrides, and TRUNCATE, are no longer in the audit, and versions no longer count. No
-- row is changed.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 011_audit.down.sql
--
-- or `airflow dagconfig migrate --to 010`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 11) THEN
            RAISE EXCEPTION 'later migrations than 011 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 11;
    END IF;
END
$$;

DROP TRIGGER stamp_exchange_groups ON financial_screener.exchange_groups;
DROP TRIGGER stamp_dag_configuration ON financial_screener.dag_configuration;
DROP TRIGGER audit_dag_configuration_overrides_truncate ON financial_screener.dag_configuration_overrides;
DROP TRIGGER audit_dag_configuration_overrides ON financial_screener.dag_configuration_overrides;
DROP TRIGGER audit_exchange_groups_truncate ON financial_screener.exchange_groups;
DROP TRIGGER audit_exchange_groups ON financial_screener.exchange_groups;
DROP TRIGGER audit_dag_configuration_truncate ON financial_screener.dag_configuration;
DROP FUNCTION financial_screener.dagconfig_stamp();

-- As 008 has it.
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

DROP FUNCTION financial_screener.exchange_group_at(text, timestamp with time zone);
DROP FUNCTION financial_screener.dag_config_at(text, text, timestamp with time zone);
DROP FUNCTION financial_screener.dagconfig_row_at(text, text, text, text, timestamp with time zone, jsonb);
DROP FUNCTION financial_screener.dagconfig_book(text, text, jsonb, jsonb);
DROP FUNCTION financial_screener.dagconfig_booked_on();
DROP FUNCTION financial_screener.dagconfig_changed_columns(jsonb, jsonb);
