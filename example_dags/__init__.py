"""Three DAGs whose resources, timeouts and exchanges are rows: copy them, or point a DAG bundle here."""
