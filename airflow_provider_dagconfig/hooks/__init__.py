"""The hook that reads and writes the configuration store."""
