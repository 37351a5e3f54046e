"""Sequences in, tables out."""
