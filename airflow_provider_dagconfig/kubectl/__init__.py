"""Pods through kubectl: names, manifest and outcome are pure; only the client starts processes."""
