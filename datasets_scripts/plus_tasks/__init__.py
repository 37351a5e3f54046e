"""The PLUS tasks that TAPE does not have: homology pairs, solubility, localization, transmembrane, HSP, signals."""
