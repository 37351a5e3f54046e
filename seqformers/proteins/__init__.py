"""Proteins annotated by the packaged model: signal peptide, membrane topology, secondary structure."""
