"""Phage or not: reads and pretraining sequences from viral genomes."""

from seqformers.datasets_scripts.phage.phage import PhageBuilder, PhageConfig

__all__ = ["PhageBuilder", "PhageConfig"]
