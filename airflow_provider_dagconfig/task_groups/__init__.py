"""The task group that runs once for each exchange group."""
