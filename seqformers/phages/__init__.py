"""Phages, other viruses and plasmids among the contigs of a metagenome."""
