"""A way to try the provider without an installation: embedded PostgreSQL, local pods, and a run of the example DAGs."""
