"""Annotate proteins in the browser: FASTA in; table, picture of the first protein and download out.

The model lies in the folder `model` beside this file, with its code; the network is not needed. Start it with
`python app.py`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import torch
from common import MODEL, SETTINGS, fasta_input, launch, read_fasta, results, saved
from matplotlib.figure import Figure
from protein_picture import draw_annotation
from protein_segments import decode_segments, segments_of
from transformers import AutoTokenizer
from transformers.dynamic_module_utils import get_class_from_dynamic_module

BATCH = 16
LONGEST = 8_000
STRUCTURES = "HEC"
LETTERS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ*")
BASES = set("ACGTUN")
NEAREST = str.maketrans("BJOUZ*-", "DLKCEXX")
TELLING = 20

tokenizer = AutoTokenizer.from_pretrained(MODEL, trust_remote_code=True)
# The class with all three heads is of no Auto class that transformers has.
heads = get_class_from_dynamic_module("modeling_protein_cnn.ProteinCnnForAnnotation", str(MODEL))
model = heads.from_pretrained(MODEL).eval().double()


@torch.inference_mode()
def annotate(sequences: list[str]) -> list[Any]:
    """What the model says of each protein, as the picture wants it."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    found: list[Any] = [None] * len(sequences)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        texts = [sequences[i].translate(NEAREST) for i in rows]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        output = model(batch["input_ids"], batch["attention_mask"])
        signal = output.signal_logits.sigmoid().numpy()
        topology, structure = (x.softmax(-1).numpy() for x in (output.topology_logits, output.structure_logits))
        for place, row in enumerate(rows):
            own = slice(1, 1 + len(sequences[row]))
            found[row] = annotation(float(signal[place]), topology[place, own], structure[place, own])
    return found


def annotation(signal: float, topology: np.ndarray, structure: np.ndarray) -> Any:
    """Letters and numbers of one protein."""
    (path,) = decode_segments([np.log(np.maximum(topology, 1e-12))], [signal >= 0.5])
    begins = segments_of(path[:1], "S")
    return SimpleNamespace(
        signal_probability=signal,
        topology=path,
        structure="".join(STRUCTURES[state] for state in structure.argmax(1).tolist()),
        topology_probabilities=topology,
        structure_probabilities=structure,
        signal_end=segments_of(path, "S")[0].end if begins else None,
        num_membrane=len(segments_of(path, "M")),
    )


def check(records: dict[str, str]) -> None:
    """Raise what to do for records that are no proteins, or too long for a page."""
    for name, sequence in records.items():
        wrong = next((at for at, letter in enumerate(sequence) if letter not in LETTERS), None)
        if wrong is not None:
            raise gr.Error(f"{name}: {sequence[wrong]!r} at position {wrong + 1} is no residue.")
        if len(sequence) >= TELLING and set(sequence) <= BASES:
            raise gr.Error(f"{name} is DNA or RNA; this page takes proteins, so translate it first.")
        if len(sequence) > LONGEST:
            raise gr.Error(f"{name} has {len(sequence):,} residues; this page takes up to {LONGEST:,}.")


def run(text: str, file: str | None) -> tuple[pd.DataFrame, Figure, str]:
    """What the button does."""
    records = read_fasta(text, file, "a protein")
    check(records)
    found = annotate(list(records.values()))
    table = pd.DataFrame(
        {
            "id": list(records),
            "length": [len(sequence) for sequence in records.values()],
            "signal_peptide_probability": [round(one.signal_probability, 6) for one in found],
            "signal_peptide_end": pd.array([one.signal_end for one in found], "Int64"),
            "topology": [one.topology for one in found],
            "num_membrane": [one.num_membrane for one in found],
            "ss3": [one.structure for one in found],
            "ss3_confidence": [round(float(one.structure_probabilities.max(1).mean()), 6) for one in found],
        }
    )
    figure = draw_annotation(found[0], title=str(table["id"][0])[:60])
    assert figure._suptitle is not None
    figure._suptitle.set_parse_math(False)  # a $ in a name begins no formula
    return table, figure, saved(table)


with gr.Blocks(title=SETTINGS["title"]) as page:
    gr.Markdown(f"# {SETTINGS['title']}\n{SETTINGS['summary']}")
    text, file = fasta_input("Proteins: FASTA or bare residues", "fasta")
    button = gr.Button("Annotate", variant="primary", elem_id="run")
    outputs = results()
    gr.Examples(SETTINGS["examples"], [text], label="Examples", elem_id="examples")
    button.click(run, [text, file], outputs, api_name="run")

if __name__ == "__main__":
    launch(page)
