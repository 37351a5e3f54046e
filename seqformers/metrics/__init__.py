"""Metrics by name, offline."""
