"""Regulatory DNA: promoters, enhancers, binding sites, splice sites, and the layouts of two benchmarks."""
