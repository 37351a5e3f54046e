"""DNA models: k-mer transformers."""
