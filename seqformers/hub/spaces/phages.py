"""Find phages among contigs in the browser: FASTA in; table, pictures along contigs and download out.

The model lies in the folder `model` beside this file, with its code and calibration; the network is not needed. Start
it with `python app.py`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import torch
from common import MODEL, SETTINGS, fasta_input, launch, read_fasta, results, saved
from matplotlib.figure import Figure
from phage_contig import CLASSES, Calibration, ContigScore, encode_windows, row_of, score_contig, window_bounds
from phage_picture import draw_contigs
from phage_regions import phage_regions, terminal_repeat
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

BATCH = 64
DRAWN = 6
LETTERS = set("ACGTURYSWKMBDHVN")

model = AutoModelForSequenceClassification.from_pretrained(MODEL, trust_remote_code=True).eval()
labels = [str(model.config.id2label[number]) for number in range(len(CLASSES))]
order = [labels.index(name) for name in CLASSES]
calibration = Calibration.read(MODEL)
likeness = load_file(MODEL / "likeness.safetensors") if (MODEL / "likeness.safetensors").is_file() else None


def likeness_of(profile: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """How much windows are like genomes of the five classes, `(windows,)`."""
    units = torch.relu(profile @ weights["hidden.weight"].T + weights["hidden.bias"])
    return units @ weights["weight"] + weights["bias"]


@torch.inference_mode()
def score(name: str, sequence: str) -> ContigScore:
    """Windows of a contig, and what they say together."""
    bounds = window_bounds(len(sequence))
    logs, unlike, facts = [], [], []
    for start in range(0, len(bounds), BATCH):
        ids, fact = encode_windows(sequence, bounds[start : start + BATCH])
        output = model(torch.from_numpy(ids).long(), output_hidden_states=True)
        profile = output.hidden_states[0][:, 0].float()
        alike = likeness_of(profile, likeness) if likeness else torch.zeros(len(profile))
        logs.append(output.logits.float().log_softmax(-1)[:, order].double().numpy())
        unlike.append(torch.stack([profile.square().mean(1), alike], 1).double().numpy())
        facts.append(fact)
    found = [np.concatenate(parts) for parts in (logs, unlike, facts)]
    return score_contig(name, sequence, bounds, *found, calibration)


def check(records: dict[str, str]) -> None:
    """Raise what to do, in place of scores, for records that are no contigs."""
    for name, sequence in records.items():
        wrong = next((at for at, letter in enumerate(sequence) if letter not in LETTERS), None)
        if wrong is not None:
            raise gr.Error(
                f"{name}: {sequence[wrong]!r} at position {wrong + 1} is no letter of DNA; is it a protein?"
            )


def run(text: str, file: str | None, preset: str) -> tuple[pd.DataFrame, Figure, str]:
    """What the button does."""
    records = read_fasta(text, file, "contigs")
    check(records)
    contigs = [score(name, sequence) for name, sequence in records.items()]
    rows: list[dict[str, Any]] = []
    for contig in contigs:
        kind, length = terminal_repeat(contig.sequence)
        repeat = f"{kind}:{length}" if kind else ""
        rows.append(row_of(contig, calibration, preset) | {"terminal_repeat": repeat})
    table = pd.DataFrame(rows)
    first = sorted(range(len(contigs)), key=lambda i: (rows[i]["class"] != "phage", -len(contigs[i].sequence)))[:DRAWN]
    picture = draw_contigs([(contigs[i], str(rows[i]["class"]), phage_regions(contigs[i])) for i in first])
    return table, picture, saved(table)


with gr.Blocks(title=SETTINGS["title"]) as page:
    gr.Markdown(f"# {SETTINGS['title']}\n{SETTINGS['summary']}")
    text, file = fasta_input("Contigs: FASTA or bare DNA", "fasta")
    preset = gr.Radio(["strict", "default", "relaxed"], value="default", label="Confidence that a class needs")
    button = gr.Button("Find phages", variant="primary", elem_id="run")
    outputs = results()
    gr.Examples(SETTINGS["examples"], [text], label="Examples", elem_id="examples")
    button.click(run, [text, file, preset], outputs, api_name="run")

if __name__ == "__main__":
    launch(page)
