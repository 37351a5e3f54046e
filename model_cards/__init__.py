"""Card templates, one Markdown file per model family."""
