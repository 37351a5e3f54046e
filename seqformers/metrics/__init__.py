"""Metrics by name, offline; every function takes predictions first, then labels, then (where it has any) groups."""
