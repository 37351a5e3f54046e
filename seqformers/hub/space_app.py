"""Classify sequences in the browser: paste FASTA or drop a file; get a table, a picture and a download.

The model lies in the folder `model` beside this file, with its code; the network is not needed. Start it with
`python app.py`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import gradio as gr
import matplotlib
import pandas as pd
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).resolve().parent
SETTINGS = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
MAX_LETTERS = 2_000_000
BATCH = 32
DRAWN = 8

tokenizer = AutoTokenizer.from_pretrained(HERE / "model", trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(HERE / "model", trust_remote_code=True).eval()
labels = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]


def read_fasta(text: str) -> list[tuple[str, str]]:
    """Names and sequences of FASTA text; text without a header is one sequence.

    Raises:
        gr.Error: nothing there, a record without a sequence, a letter no sequence has, or far too much.
    """
    text = text.strip()
    if not text:
        raise gr.Error("Paste a sequence, or choose a file.")
    if len(text) > MAX_LETTERS:
        raise gr.Error(f"{len(text):,} letters are too many for this page; the limit is {MAX_LETTERS:,}.")
    records = []
    for block in (text if text.startswith(">") else f">sequence\n{text}").split("\n>"):
        header, _, body = block.lstrip(">").partition("\n")
        name, sequence = (header.split() or ["unnamed"])[0], "".join(body.split()).upper().rstrip("*")
        if not sequence:
            raise gr.Error(f"{name} has no sequence.")
        wrong = next((i for i, letter in enumerate(sequence) if not letter.isalpha() and letter != "-"), None)
        if wrong is not None:
            raise gr.Error(f"{name}: {sequence[wrong]!r} at position {wrong + 1} is no letter of a sequence.")
        records.append((name, sequence))
    return records


@torch.inference_mode()
def classify(sequences: list[str]) -> torch.Tensor:
    """Class probabilities, one row a sequence."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    scores = torch.empty(len(sequences), len(labels))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = tokenizer([sequences[i] for i in rows], padding=True, truncation=True, return_tensors="pt")
        scores[rows] = model(**batch).logits.float().softmax(-1)
    return scores


def cut(sequence: str) -> list[str]:
    """As few windows as cover the sequence, at even distances; neighbours overlap where the length asks for it."""
    size = SETTINGS["window"]
    count = -(-len(sequence) // size)
    starts = [round(i * (len(sequence) - size) / (count - 1)) for i in range(count)] if count > 1 else [0]
    return [sequence[start : start + size] for start in starts]


def score(records: list[tuple[str, str]]) -> tuple[pd.DataFrame, list[torch.Tensor]]:
    """The table, and each sequence's scores window by window; a long sequence is the mean of its windows."""
    windows = [cut(sequence) for _, sequence in records]
    parts = classify([window for group in windows for window in group]).split([len(group) for group in windows])
    means = torch.stack([part.mean(0) for part in parts])
    table = pd.DataFrame({"name": [name for name, _ in records], "length": [len(s) for _, s in records]})
    table["windows"] = [len(group) for group in windows]
    table["class"] = [labels[i] for i in means.argmax(-1).tolist()]
    for i, label in enumerate(labels):
        table[f"p({label})"] = [round(p, 4) for p in means[:, i].tolist()]
    return table, list(parts)


def draw(table: pd.DataFrame, parts: list[torch.Tensor]) -> plt.Figure:
    """One strip a sequence: the probability of the last class along it."""
    shown = min(len(parts), DRAWN)
    figure, axes = plt.subplots(shown, 1, figsize=(8, 0.7 + 0.62 * shown), squeeze=False, layout="constrained")
    for axis, part, row in zip(axes[:, 0], parts, table.itertuples(), strict=False):
        image = axis.imshow(
            part[:, -1:].T, aspect="auto", cmap="viridis", vmin=0, vmax=1, extent=(0, row.length, 0, 1)
        )
        axis.set_yticks([])
        axis.set_ylabel(row.name[:18], rotation=0, ha="right", va="center", fontsize=9)
        axis.tick_params(labelsize=8)
    axes[-1, 0].set_xlabel("position")
    figure.colorbar(image, ax=axes[:, 0].tolist(), label=f"p({labels[-1]})")
    plt.close(figure)
    return figure


def run(text: str, file: str | None) -> tuple[pd.DataFrame, plt.Figure, str]:
    """What the button does."""
    table, parts = score(read_fasta(Path(file).read_text(encoding="utf-8", errors="replace") if file else text))
    target = Path(tempfile.mkdtemp()) / "predictions.tsv"
    table.to_csv(target, sep="\t", index=False)
    return table, draw(table, parts), str(target)


with gr.Blocks(title=SETTINGS["title"]) as page:
    gr.Markdown(f"# {SETTINGS['title']}\n{SETTINGS['summary']}")
    with gr.Row():
        text = gr.Textbox(label="FASTA or bare sequence", lines=8, max_lines=16, scale=3, elem_id="fasta")
        file = gr.File(label="or a FASTA file", file_types=[".fa", ".fasta", ".fna", ".faa", ".txt"], scale=1)
    button = gr.Button("Classify", variant="primary", elem_id="classify")
    table = gr.Dataframe(label="Result", elem_id="table", interactive=False)
    picture = gr.Plot(show_label=False, elem_id="picture")
    download = gr.File(label="Download", elem_id="download")
    gr.Examples([[example] for example in SETTINGS["examples"]], [text], label="Examples")
    button.click(run, [text, file], [table, picture, download], api_name="classify")

if __name__ == "__main__":
    # Fonts of the system: the default theme fetches its own from the network.
    page.launch(theme=gr.themes.Default(font=["sans-serif"], font_mono=["monospace"]))
