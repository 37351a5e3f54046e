"""Cpf1 (Cas12a) guide activity of Kim et al. 2018."""
