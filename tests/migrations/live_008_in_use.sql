-- What operators of a live installation did since (after live_008.sql): a row of their own, a deleted row, values that nobody
-- checked, a disabled job, a history, a table of their own in the same schema.

SET search_path TO financial_screener, public;

DELETE FROM dag_configuration WHERE dag_name = 'historical_load_equities' AND job_name = 'lse';
SELECT update_dag_config('data_collection_equities', 'us_markets', p_batch_size => 600, p_updated_by => 'maria');
UPDATE dag_configuration SET enabled = FALSE WHERE dag_name = 'data_collection_equities' AND job_name = 'lse';
INSERT INTO dag_configuration (dag_name, job_name, memory_limit, batch_size, created_by)
VALUES ('house_prices', 'all', '2 GB', -5, 'peter');
INSERT INTO exchange_groups (group_name, display_name, exchanges) VALUES ('nobody', 'Nobody yet', ARRAY[]::TEXT[]);

-- Tables of the installation's own, in the same schema.
CREATE TABLE assets (symbol TEXT PRIMARY KEY);
