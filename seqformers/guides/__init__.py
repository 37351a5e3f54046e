"""Cpf1 guides: sites, scores, table and track."""
