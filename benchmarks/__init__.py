"""Benchmarks: scripts that measure, and the JSON they leave in `results/`, from which README and cards are filled."""
