"""Run folders that are Hub repositories, and their cards."""
