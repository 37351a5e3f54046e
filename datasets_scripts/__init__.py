"""Data set builders, one folder each: a `datasets.DatasetBuilder` and the card of the data it writes."""
