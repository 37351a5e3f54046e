"""k-mer BERT: DNABERT-style encoders whose weights are interchangeable with transformers' BERT."""
