"""Tokenizers: overlapping k-mers and residues, and their portable `tokenizer.json` form."""
