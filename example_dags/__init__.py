"""Three DAGs whose resources, timeouts and exchanges are rows, and one that sweeps: copy them, or point a DAG bundle here."""
