"""miRNA targets: records, scan, table and picture."""
