"""Blocks of README.md and RESULTS.md, a module a subject; `benchmarks.readme` fills them in."""
