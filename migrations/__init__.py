"""The SQL migrations, numbered; each with its way back. `airflow dagconfig migrate` and `psql -f` apply the same files."""
