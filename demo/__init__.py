"""For trying the provider with nothing installed: embedded PostgreSQL, local pods, and a run of the example DAGs."""
