"""One script a published table or packaged model: train, measure, write `results/*.json`."""
