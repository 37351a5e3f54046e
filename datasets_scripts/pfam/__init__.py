"""Protein sequences with family labels, as they are or as same/different-family pairs."""
