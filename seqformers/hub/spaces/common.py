"""What the pages share: settings, reading FASTA, a file to download, starting without the network."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

HERE = Path(__file__).resolve().parent
MODEL = HERE / "model"
SETTINGS = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
MAX_LETTERS = 2_000_000
FASTA_FILES = [".fa", ".fasta", ".fna", ".faa", ".txt"]


def read_fasta(text: str, file: str | None = None, what: str = "a sequence") -> dict[str, str]:
    """Sequences by name, of a file or of text; text without a header is one sequence.

    Raises:
        gr.Error: nothing there, a name twice, a record without a sequence, a letter no sequence has, or far too much.
    """
    text = (Path(file).read_text(encoding="utf-8", errors="replace") if file else text or "").strip()
    if not text:
        raise gr.Error(f"Paste {what}, or choose a file.")
    if len(text) > MAX_LETTERS:
        raise gr.Error(f"{len(text):,} letters are too many for this page; the limit is {MAX_LETTERS:,}.")
    records: dict[str, str] = {}
    for block in (text if text.startswith(">") else f">sequence\n{text}").split("\n>"):
        header, _, body = block.lstrip(">").partition("\n")
        name, sequence = (header.split() or ["unnamed"])[0], "".join(body.split()).upper().rstrip("*")
        if name in records:
            raise gr.Error(f"{name} is there twice; give every record a name of its own.")
        if not sequence:
            raise gr.Error(f"{name} has no sequence.")
        wrong = next((i for i, letter in enumerate(sequence) if not letter.isalpha() and letter != "-"), None)
        if wrong is not None:
            raise gr.Error(f"{name}: {sequence[wrong]!r} at position {wrong + 1} is no letter of a sequence.")
        records[name] = sequence
    return records


def fasta_input(label: str, name: str) -> tuple[Any, Any]:
    """A box to paste FASTA into (its id is `name`) and a place to drop a file on (`name-file`)."""
    with gr.Row():
        text = gr.Textbox(label=label, lines=8, max_lines=16, scale=3, elem_id=name)
        file = gr.File(label="or a FASTA file", file_types=FASTA_FILES, scale=1, elem_id=f"{name}-file")
    return text, file


def saved(table: pd.DataFrame) -> str:
    """The table as a file to download."""
    target = Path(tempfile.mkdtemp()) / "predictions.tsv"
    table.to_csv(target, sep="\t", index=False)
    return str(target)


def results() -> list[Any]:
    """Where table, picture and download appear."""
    return [
        gr.Dataframe(label="Result", elem_id="table", interactive=False),
        gr.Plot(show_label=False, elem_id="picture"),
        gr.File(label="Download", elem_id="download"),
    ]


def launch(page: gr.Blocks) -> None:
    """Start the page. Fonts of the system: the default theme fetches its own from the network."""
    page.launch(theme=gr.themes.Default(font=["sans-serif"], font_mono=["monospace"]))
