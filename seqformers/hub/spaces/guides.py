"""Rank the Cpf1 (Cas12a) guides of a gene in the browser: FASTA in; table, picture along the gene and download out.

The model lies in the folder `model` beside this file, with its code; the network is not needed. Start it with
`python app.py`.
"""

from __future__ import annotations

import gradio as gr
import numpy as np
import pandas as pd
import torch
from common import MODEL, SETTINGS, fasta_input, launch, read_fasta, results, saved
from guide_sites import PAM_LENGTH, PROTOSPACER, UPSTREAM, Pam, find_sites
from guide_track import plot_guides
from matplotlib.figure import Figure
from transformers import AutoModel, AutoProcessor

BATCH = 1024
DRAWN = 4

processor = AutoProcessor.from_pretrained(MODEL, trust_remote_code=True)
model = AutoModel.from_pretrained(MODEL, trust_remote_code=True).eval()


@torch.inference_mode()
def guides(name: str, sequence: str, pam: Pam) -> pd.DataFrame:
    """The guides of one record, the best first; coordinates are 0-based on the forward strand."""
    sites = find_sites(sequence, pam)
    sites = sites[sites.protospacer_cut == 0]
    letters = sites.contexts()
    codes = torch.from_numpy(processor.encode_letters(letters))
    scores = [model(codes[start : start + BATCH]).logits for start in range(0, len(codes), BATCH)]
    guide = letters[:, UPSTREAM + PAM_LENGTH :][:, :PROTOSPACER]
    table = pd.DataFrame(
        {
            "record_id": name,
            "strand": np.where(sites.reverse, "-", "+"),
            "pam_start": sites.pam_start,
            "cut_start": sites.cut_start,
            "pam": [row.tobytes().decode() for row in letters[:, UPSTREAM : UPSTREAM + PAM_LENGTH]],
            "protospacer": [row.tobytes().decode() for row in guide],
            "score": torch.cat([*scores, torch.empty(0)]).double().numpy().round(6),
            "gc": np.isin(guide, [ord("G"), ord("C")]).mean(1).round(3) if len(guide) else 0.0,
            "unknown_letters": (codes == 4).sum(1).numpy(),
        }
    )
    table["poly_t"] = ["TTTT" in protospacer for protospacer in table.protospacer]
    table = table.sort_values("score", ascending=False, kind="stable")
    table.insert(1, "rank", range(1, len(table) + 1))
    return table


def run(text: str, file: str | None, pam: str) -> tuple[pd.DataFrame, Figure, str]:
    """What the button does."""
    try:
        compiled = Pam(pam.strip())
    except ValueError as error:
        raise gr.Error(str(error)) from error
    records = read_fasta(text, file)
    table = pd.concat([guides(name, sequence, compiled) for name, sequence in records.items()])
    if table.empty:
        raise gr.Error(f"There is no {compiled.pattern} with a whole guide beside it, on either strand.")
    shown = list(dict.fromkeys(table.record_id))[:DRAWN]
    return table, plot_guides(table, shown), saved(table)


with gr.Blocks(title=SETTINGS["title"]) as page:
    gr.Markdown(f"# {SETTINGS['title']}\n{SETTINGS['summary']}")
    text, file = fasta_input("Gene: FASTA or bare DNA", "fasta")
    pam = gr.Textbox("TTTV", label="PAM, four IUPAC letters", elem_id="pam")
    button = gr.Button("Rank guides", variant="primary", elem_id="run")
    outputs = results()
    gr.Examples(SETTINGS["examples"], [text], label="Examples", elem_id="examples")
    button.click(run, [text, file, pam], outputs, api_name="run")

if __name__ == "__main__":
    launch(page)
