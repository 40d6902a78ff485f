"""The trigger that waits for pods of deferred tasks, in Airflow's triggerer."""
