"""Model families, one folder each with the same file names; self-contained, since the files ship to the Hub."""
