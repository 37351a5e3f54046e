"""Models of miRNA target sites."""
