"""What the builders share: reading, windows, splits, groups, leakage, download."""
