"""Score sequences in the browser: paste FASTA or drop a file; get a table, a picture and a download.

The model lies in the folder `model` beside this file, with its code; the network is not needed. Start it with
`python app.py`.
"""

from __future__ import annotations

import gradio as gr
import matplotlib
import pandas as pd
import torch
from common import MODEL, SETTINGS, fasta_input, launch, read_fasta, results, saved
from transformers import AutoModelForSequenceClassification, AutoTokenizer

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BATCH = 32
DRAWN = 8

tokenizer = AutoTokenizer.from_pretrained(MODEL, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(MODEL, trust_remote_code=True).eval()
labels = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
is_value = len(labels) == 1  # a regression


@torch.inference_mode()
def classify(sequences: list[str]) -> torch.Tensor:
    """Class probabilities (the value, of a regression), one row a sequence."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    scores = torch.empty(len(sequences), len(labels))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = tokenizer([sequences[i] for i in rows], padding=True, truncation=True, return_tensors="pt")
        logits = model(**batch).logits.float()
        scores[rows] = logits if is_value else logits.softmax(-1)
    return scores


def cut(sequence: str) -> list[str]:
    """As few windows as cover the sequence, at even distances; neighbours overlap where the length asks for it."""
    size = SETTINGS["window"]
    count = -(-len(sequence) // size)
    starts = [round(i * (len(sequence) - size) / (count - 1)) for i in range(count)] if count > 1 else [0]
    return [sequence[start : start + size] for start in starts]


def score(records: dict[str, str]) -> tuple[pd.DataFrame, list[torch.Tensor]]:
    """The table, and each sequence's scores window by window; a long sequence is the mean of its windows."""
    windows = [cut(sequence) for sequence in records.values()]
    parts = classify([window for group in windows for window in group]).split([len(group) for group in windows])
    means = torch.stack([part.mean(0) for part in parts])
    table = pd.DataFrame({"name": list(records), "length": [len(sequence) for sequence in records.values()]})
    table["windows"] = [len(group) for group in windows]
    if not is_value:
        table["class"] = [labels[i] for i in means.argmax(-1).tolist()]
    for i, label in enumerate(labels):
        table["value" if is_value else f"p({label})"] = [round(p, 4) for p in means[:, i].tolist()]
    return table, list(parts)


def draw(table: pd.DataFrame, parts: list[torch.Tensor]) -> plt.Figure:
    """One strip a sequence: the probability of the last class (or the value) along it."""
    shown = min(len(parts), DRAWN)
    values = torch.cat([part[:, -1] for part in parts[:shown]])
    low, high = (values.min().item(), values.max().item()) if is_value else (0, 1)
    figure, axes = plt.subplots(shown, 1, figsize=(8, 0.7 + 0.62 * shown), squeeze=False, layout="constrained")
    for axis, part, row in zip(axes[:, 0], parts, table.itertuples(), strict=False):
        image = axis.imshow(
            part[:, -1:].T, aspect="auto", cmap="viridis", vmin=low, vmax=high, extent=(0, row.length, 0, 1)
        )
        axis.set_yticks([])
        axis.set_ylabel(row.name[:18].replace("$", r"\$"), rotation=0, ha="right", va="center", fontsize=9)
        axis.tick_params(labelsize=8)
    axes[-1, 0].set_xlabel("position")
    figure.colorbar(image, ax=axes[:, 0].tolist(), label="value" if is_value else f"p({labels[-1]})")
    plt.close(figure)
    return figure


def run(text: str, file: str | None) -> tuple[pd.DataFrame, plt.Figure, str]:
    """What the button does."""
    table, parts = score(read_fasta(text, file))
    return table, draw(table, parts), saved(table)


with gr.Blocks(title=SETTINGS["title"]) as page:
    gr.Markdown(f"# {SETTINGS['title']}\n{SETTINGS['summary']}")
    text, file = fasta_input("FASTA or bare sequence", "fasta")
    button = gr.Button("Classify", variant="primary", elem_id="run")
    outputs = results()
    gr.Examples(SETTINGS["examples"], [text], label="Examples", elem_id="examples")
    button.click(run, [text, file], outputs, api_name="run")

if __name__ == "__main__":
    launch(page)
