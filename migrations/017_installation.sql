-- 017: the store has an id, which is in the name of each pod of its jobs: two Airflows that share a namespace, each with a store of
-- its own, do not take each other's pods.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 017_installation.sql
--
-- or `airflow dagconfig migrate`. It needs 014 and may be repeated: the id stays. The way back is 017_installation.down.sql. How the
-- schema's name is replaced is said in 008_dag_configuration_tables.sql.

CREATE TABLE IF NOT EXISTS financial_screener.dagconfig_installation (
    -- It becomes a label of pods, and a part of what their names are made from.
    installation_id text NOT NULL
        DEFAULT pg_catalog.left(pg_catalog.replace(pg_catalog.gen_random_uuid()::text, '-', ''), 10)
        CONSTRAINT dagconfig_installation_id_is_a_label
        CHECK (installation_id ~ '^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$'),
    -- Bounded to what every client can read.
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
        CONSTRAINT dagconfig_installation_created_at_is_a_date
        CHECK (created_at >= '2000-01-01 00:00:00+00' AND created_at < '9999-01-01 00:00:00+00')
);
CREATE UNIQUE INDEX IF NOT EXISTS dagconfig_installation_one_row ON financial_screener.dagconfig_installation ((true));

COMMENT ON TABLE financial_screener.dagconfig_installation IS
    'One row: which installation this store is. Its owner changes it, in a copied database at least.';
COMMENT ON COLUMN financial_screener.dagconfig_installation.installation_id IS
    'In the name, a label and an annotation of each pod: an RFC 1123 label of at most 40 characters. The option [dagconfig]'
    ' installation stands above it.';
COMMENT ON COLUMN financial_screener.dagconfig_installation.created_at IS
    'When the id was made. A pod under its name from before, without an id, is taken over only if it is older.';

INSERT INTO financial_screener.dagconfig_installation DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Its owner is the audit's, as of everything ours. Who could read the rows goes on reading what a task needs.
DO $$
DECLARE
    owner oid := (
        SELECT c.relowner FROM pg_catalog.pg_class AS c
        WHERE c.oid = 'financial_screener.dag_configuration_audit'::pg_catalog.regclass
    );
    reader record;
    writer record;
BEGIN
    IF owner <> (
        SELECT c.relowner FROM pg_catalog.pg_class AS c
        WHERE c.oid = 'financial_screener.dagconfig_installation'::pg_catalog.regclass
    ) THEN
        EXECUTE pg_catalog.format('ALTER TABLE financial_screener.dagconfig_installation OWNER TO %s', owner::pg_catalog.regrole);
    END IF;
    -- Default privileges may have let others write. Only its owner says which installation this is.
    FOR writer IN
        SELECT DISTINCT
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END AS name
        FROM pg_catalog.pg_class AS c
        CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
        WHERE
            c.oid = 'financial_screener.dagconfig_installation'::pg_catalog.regclass
            AND a.privilege_type <> 'SELECT' AND a.grantee <> owner
    LOOP
        EXECUTE pg_catalog.format(
            'REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON financial_screener.dagconfig_installation'
            ' FROM %s CASCADE', writer.name
        );
    END LOOP;
    FOR reader IN
        SELECT DISTINCT a.grantee::pg_catalog.regrole::text AS name
        FROM pg_catalog.pg_class AS c
        CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
        WHERE
            c.oid = 'financial_screener.dag_configuration_overrides'::pg_catalog.regclass
            AND a.privilege_type = 'SELECT' AND a.grantee NOT IN (0, owner)
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON financial_screener.dagconfig_installation TO %s', reader.name);
    END LOOP;
    IF pg_catalog.to_regrole('dagconfig_reader') IS NULL THEN
        RAISE NOTICE 'there is no role dagconfig_reader to read the id of this store'
        USING HINT = 'Once an administrator has made it: GRANT SELECT ON financial_screener.dagconfig_installation'
            ' TO dagconfig_reader;';
    END IF;
END
$$;
