"""Protein models: PLUS, TAPE and the baselines they are compared with."""
