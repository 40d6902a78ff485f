"""The operator that runs a pod with the configuration of a row."""
