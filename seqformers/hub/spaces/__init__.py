"""Web pages for models: Gradio apps that work offline and on a CPU."""
