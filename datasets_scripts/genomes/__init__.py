"""Genomes as arrays on disk, and reads drawn from them as training goes on."""
