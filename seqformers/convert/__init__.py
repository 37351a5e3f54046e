"""Weights of the original projects, converted to the classes here."""
