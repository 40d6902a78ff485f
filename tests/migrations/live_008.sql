-- A live installation as it is before it is adopted: 008 with its mistakes, and no record of migrations. What its operators did
-- since is in other files. The user who runs this owns it all, as the application's user does there.

CREATE SCHEMA financial_screener;
SET search_path TO financial_screener, public;

CREATE TABLE dag_configuration (
    id SERIAL PRIMARY KEY,
    dag_name VARCHAR(100) NOT NULL,
    job_name VARCHAR(100) NOT NULL,
    cpu_request VARCHAR(20) DEFAULT '500m',
    cpu_limit VARCHAR(20) DEFAULT '2000m',
    memory_request VARCHAR(20) DEFAULT '1Gi',
    memory_limit VARCHAR(20) DEFAULT '2Gi',
    batch_size INTEGER DEFAULT 500,
    timeout_seconds INTEGER DEFAULT 600,
    max_retries INTEGER DEFAULT 2,
    retry_delay_minutes INTEGER DEFAULT 5,
    retry_backoff_enabled BOOLEAN DEFAULT TRUE,
    enabled BOOLEAN DEFAULT TRUE,
    priority INTEGER DEFAULT 5,
    description TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMP NOT NULL DEFAULT NOW(),
    created_by VARCHAR(100) DEFAULT 'system',
    UNIQUE (dag_name, job_name)
);

CREATE TABLE exchange_groups (
    id SERIAL PRIMARY KEY,
    group_name VARCHAR(50) UNIQUE NOT NULL,
    display_name VARCHAR(100) NOT NULL,
    exchanges TEXT[] NOT NULL,
    primary_timezone VARCHAR(50) DEFAULT 'UTC',
    market_open_utc TIME,
    market_close_utc TIME,
    enabled BOOLEAN DEFAULT TRUE,
    priority INTEGER DEFAULT 5,
    description TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMP NOT NULL DEFAULT NOW()
);

CREATE TABLE dag_configuration_audit (
    audit_id BIGSERIAL PRIMARY KEY,
    operation VARCHAR(10) NOT NULL,
    dag_name VARCHAR(100) NOT NULL,
    job_name VARCHAR(100) NOT NULL,
    old_values JSONB,
    new_values JSONB,
    changed_by VARCHAR(100),
    changed_at TIMESTAMP NOT NULL DEFAULT NOW()
);

CREATE INDEX idx_dag_config_dag_name ON dag_configuration (dag_name);
CREATE INDEX idx_dag_config_enabled ON dag_configuration (enabled) WHERE enabled = TRUE;
CREATE INDEX idx_exchange_groups_enabled ON exchange_groups (enabled) WHERE enabled = TRUE;
CREATE INDEX idx_exchange_groups_priority ON exchange_groups (priority DESC);

CREATE FUNCTION get_dag_config(p_dag_name VARCHAR, p_job_name VARCHAR DEFAULT 'all')
RETURNS TABLE (
    cpu_request VARCHAR,
    cpu_limit VARCHAR,
    memory_request VARCHAR,
    memory_limit VARCHAR,
    batch_size INTEGER,
    timeout_seconds INTEGER,
    max_retries INTEGER,
    retry_delay_minutes INTEGER,
    retry_backoff_enabled BOOLEAN,
    enabled BOOLEAN
) AS $$
BEGIN
    RETURN QUERY
    SELECT dc.cpu_request, dc.cpu_limit, dc.memory_request, dc.memory_limit, dc.batch_size, dc.timeout_seconds,
        dc.max_retries, dc.retry_delay_minutes, dc.retry_backoff_enabled, dc.enabled
    FROM dag_configuration dc
    WHERE dc.dag_name = p_dag_name AND dc.job_name = p_job_name AND dc.enabled = TRUE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT '500m'::VARCHAR, '2000m'::VARCHAR, '1Gi'::VARCHAR, '2Gi'::VARCHAR, 500, 600, 2, 5, TRUE, TRUE;
    END IF;
END;
$$ LANGUAGE plpgsql;

CREATE FUNCTION get_exchange_groups()
RETURNS TABLE (group_name VARCHAR, display_name VARCHAR, exchanges TEXT[], priority INTEGER) AS $$
BEGIN
    RETURN QUERY
    SELECT eg.group_name, eg.display_name, eg.exchanges, eg.priority
    FROM exchange_groups eg WHERE eg.enabled = TRUE ORDER BY eg.priority DESC, eg.group_name;
END;
$$ LANGUAGE plpgsql;

CREATE FUNCTION update_dag_config(
    p_dag_name VARCHAR,
    p_job_name VARCHAR,
    p_cpu_request VARCHAR DEFAULT NULL,
    p_cpu_limit VARCHAR DEFAULT NULL,
    p_memory_request VARCHAR DEFAULT NULL,
    p_memory_limit VARCHAR DEFAULT NULL,
    p_batch_size INTEGER DEFAULT NULL,
    p_timeout_seconds INTEGER DEFAULT NULL,
    p_updated_by VARCHAR DEFAULT 'system'
) RETURNS VOID AS $$
BEGIN
    INSERT INTO dag_configuration (dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit,
        batch_size, timeout_seconds, created_by)
    VALUES (p_dag_name, p_job_name, COALESCE(p_cpu_request, '500m'), COALESCE(p_cpu_limit, '2000m'),
        COALESCE(p_memory_request, '1Gi'), COALESCE(p_memory_limit, '2Gi'), COALESCE(p_batch_size, 500),
        COALESCE(p_timeout_seconds, 600), p_updated_by)
    ON CONFLICT (dag_name, job_name) DO UPDATE SET
        cpu_request = COALESCE(p_cpu_request, dag_configuration.cpu_request),
        cpu_limit = COALESCE(p_cpu_limit, dag_configuration.cpu_limit),
        memory_request = COALESCE(p_memory_request, dag_configuration.memory_request),
        memory_limit = COALESCE(p_memory_limit, dag_configuration.memory_limit),
        batch_size = COALESCE(p_batch_size, dag_configuration.batch_size),
        timeout_seconds = COALESCE(p_timeout_seconds, dag_configuration.timeout_seconds),
        created_by = p_updated_by,
        updated_at = NOW();
END;
$$ LANGUAGE plpgsql;

INSERT INTO dag_configuration (dag_name, job_name, cpu_request, cpu_limit, memory_request, memory_limit, batch_size,
    timeout_seconds, priority) VALUES
    ('data_collection_equities', 'us_markets', '500m', '2000m', '1Gi', '2Gi', 500, 600, 10),
    ('data_collection_equities', 'lse', '500m', '2000m', '1Gi', '2Gi', 500, 600, 9),
    ('data_collection_equities', 'german_markets', '500m', '2000m', '1Gi', '2Gi', 500, 600, 8),
    ('data_collection_equities', 'european_markets', '500m', '2000m', '1Gi', '2Gi', 500, 600, 7),
    ('historical_load_equities', 'us_markets', '500m', '2000m', '1Gi', '2Gi', 500, 600, 10),
    ('historical_load_equities', 'lse', '500m', '2000m', '1Gi', '2Gi', 500, 600, 9),
    ('historical_load_equities', 'german_markets', '500m', '2000m', '1Gi', '2Gi', 500, 600, 8),
    ('historical_load_equities', 'european_markets', '500m', '2000m', '1Gi', '2Gi', 500, 600, 7),
    ('calculate_indicators', 'all', '1000m', '4000m', '2Gi', '4Gi', 1000, 3600, 10);

INSERT INTO exchange_groups (group_name, display_name, exchanges, primary_timezone, priority) VALUES
    ('us_markets', 'US Markets (NYSE, NASDAQ)', ARRAY['NYSE', 'NASDAQ'], 'America/New_York', 10),
    ('lse', 'London Stock Exchange', ARRAY['LSE'], 'Europe/London', 9),
    ('german_markets', 'German Markets (Frankfurt, XETRA)', ARRAY['FRANKFURT', 'XETRA'], 'Europe/Berlin', 8),
    ('european_markets', 'European Markets (Euronext, BME, SIX)', ARRAY['EURONEXT', 'BME', 'SIX'], 'Europe/Paris', 7);

-- After the rows: they have no entry in the audit.
CREATE FUNCTION audit_dag_configuration() RETURNS TRIGGER AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO dag_configuration_audit (operation, dag_name, job_name, new_values, changed_by)
        VALUES (TG_OP, NEW.dag_name, NEW.job_name, to_jsonb(NEW), NEW.created_by);
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO dag_configuration_audit
            (operation, dag_name, job_name, old_values, new_values, changed_by)
        VALUES (TG_OP, NEW.dag_name, NEW.job_name, to_jsonb(OLD), to_jsonb(NEW), NEW.created_by);
        RETURN NEW;
    ELSE
        INSERT INTO dag_configuration_audit (operation, dag_name, job_name, old_values, changed_by)
        VALUES (TG_OP, OLD.dag_name, OLD.job_name, to_jsonb(OLD), OLD.created_by);
        RETURN OLD;
    END IF;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER trigger_audit_dag_configuration
AFTER INSERT OR UPDATE OR DELETE ON dag_configuration
FOR EACH ROW EXECUTE FUNCTION audit_dag_configuration();

COMMENT ON TABLE dag_configuration IS 'What the jobs of each DAG run with';
COMMENT ON COLUMN dag_configuration.dag_name IS 'The DAG''s id in Airflow';
COMMENT ON COLUMN dag_configuration.job_name IS 'A market, or "all"';
COMMENT ON COLUMN dag_configuration.batch_size IS 'Assets a batch';
COMMENT ON COLUMN dag_configuration.enabled IS 'Whether the job runs';
COMMENT ON TABLE exchange_groups IS 'Exchanges that are collected together';
COMMENT ON COLUMN exchange_groups.exchanges IS 'Codes as the data provider writes them';
COMMENT ON COLUMN exchange_groups.priority IS '1-10, higher first';
COMMENT ON TABLE dag_configuration_audit IS 'Who changed dag_configuration';
COMMENT ON FUNCTION get_dag_config(VARCHAR, VARCHAR) IS 'The configuration of a job – or the defaults';
COMMENT ON FUNCTION get_exchange_groups() IS 'Enabled groups, by priority';
COMMENT ON FUNCTION update_dag_config(VARCHAR, VARCHAR, VARCHAR, VARCHAR, VARCHAR, VARCHAR, INTEGER, INTEGER, VARCHAR)
IS 'Changes a job; NULL leaves a value as it is';

GRANT SELECT ON dag_configuration, exchange_groups, dag_configuration_audit TO PUBLIC;
GRANT EXECUTE ON FUNCTION get_dag_config(VARCHAR, VARCHAR) TO PUBLIC;
GRANT EXECUTE ON FUNCTION get_exchange_groups() TO PUBLIC;
GRANT EXECUTE ON FUNCTION update_dag_config(
    VARCHAR, VARCHAR, VARCHAR, VARCHAR, VARCHAR, VARCHAR, INTEGER, INTEGER, VARCHAR
) TO PUBLIC;
