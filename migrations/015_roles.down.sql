-- The way back of 015: the roles may do nothing in this schema any more, and everybody may call what 008 lets everybody call. The
-- roles themselves stay: other databases may use them; what they are called here is forgotten. What was revoked from others stays
-- revoked.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 015_roles.down.sql
--
-- or `airflow dagconfig migrate --to 014`.

DO $$
DECLARE
    role_name text;
    is_known boolean := false;
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 15) THEN
            RAISE EXCEPTION 'later migrations than 015 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        is_known := EXISTS (
            SELECT FROM financial_screener.dagconfig_migrations AS m
            WHERE m.version = 15 AND coalesce(pg_catalog.to_jsonb(m) -> 'revoked', 'null') <> 'null'
        );
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 15;
    END IF;

    FOR role_name IN
        SELECT r.rolname FROM pg_catalog.pg_roles AS r
        JOIN financial_screener.dagconfig_roles() AS ours ON r.rolname IN (ours.reader, ours.editor)
    LOOP
        PERFORM financial_screener.dagconfig_revoke(role_name);
    END LOOP;

    -- What an adopted installation granted to PUBLIC is given back by `airflow dagconfig migrate` as far as it was recorded.
    IF NOT is_known AND EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS c
        WHERE
            c.conrelid = 'financial_screener.dag_configuration_audit'::pg_catalog.regclass AND c.conname = 'adopted_dag_name'
    ) THEN
        RAISE NOTICE 'it is not recorded what PUBLIC was granted before 015, so it is not given back'
        USING HINT = 'GRANT SELECT ON financial_screener.dag_configuration, financial_screener.exchange_groups,'
            ' financial_screener.dag_configuration_audit TO PUBLIC;';
    END IF;
END
$$;

GRANT EXECUTE ON FUNCTION
    financial_screener.get_dag_config(text, text),
    financial_screener.get_exchange_groups()
TO PUBLIC;

DROP FUNCTION financial_screener.grant_roles(text, text);
DROP FUNCTION financial_screener.dagconfig_name_roles(text, text);
DROP FUNCTION financial_screener.dagconfig_roles();
DROP FUNCTION financial_screener.dagconfig_revoke(text);
DROP FUNCTION financial_screener.dagconfig_grant_functions(text, boolean);
DROP FUNCTION financial_screener.dagconfig_readable();
DROP FUNCTION financial_screener.dagconfig_sequences();
DROP FUNCTION financial_screener.dagconfig_functions();
