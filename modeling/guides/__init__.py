"""Models of CRISPR-Cpf1 guides."""
