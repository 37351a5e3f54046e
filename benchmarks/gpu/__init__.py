"""What half an hour of one GPU gives: see `run.sh`."""
