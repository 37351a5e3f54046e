"""Find the targets of microRNAs in the browser: FASTA of miRNAs and of 3'UTRs in; table, picture, download out.

The model lies in the folder `model` beside this file, with its code; the network is not needed. Start it with
`python app.py`.
"""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
import pandas as pd
from common import SETTINGS, fasta_input, launch, read_fasta, results, saved
from finder import explain, find
from matplotlib.figure import Figure
from picture import draw_target_sites

MAX_PLACES = 2_000_000


def run(
    mirna_text: str, mirna_file: str | None, mrna_text: str, mrna_file: str | None, every_site: bool = False
) -> tuple[pd.DataFrame, Figure, str]:
    """What the button does."""
    mirnas, mrnas = read_fasta(mirna_text, mirna_file, "a miRNA"), read_fasta(mrna_text, mrna_file, "a 3'UTR")
    places = len(mirnas) * sum(map(len, mrnas.values()))
    if places > MAX_PLACES:
        raise gr.Error(f"{places:,} places to look at are too many for this page; the limit is {MAX_PLACES:,}.")
    try:
        pairs = find(mirnas, mrnas)
    except ValueError as error:
        raise gr.Error(str(error)) from error
    pairs.sort(key=lambda pair: -pair.score)
    rows = [row for pair in pairs for row in (pair if every_site else replace(pair, sites=None)).rows()]
    table = pd.DataFrame(rows).astype(
        {name: "Int64" for name in ("best_start", "best_end") if rows and name in rows[0]}
    )
    rna = str.maketrans("T", "U")
    best = pairs[0]
    mirna, mrna = mirnas[best.mirna_id].translate(rna), mrnas[best.mrna_id].translate(rna)
    title = f"{best.mirna_id} on {best.mrna_id}"
    picture = draw_target_sites(best, mirna, mrna, title=title, duplex=explain(best, mirna, mrna))
    return table, picture, saved(table)


with gr.Blocks(title=SETTINGS["title"]) as page:
    gr.Markdown(f"# {SETTINGS['title']}\n{SETTINGS['summary']}")
    mirna = fasta_input("Mature miRNAs, 5'→3', 10 to 41 nt", "mirna")
    mrna = fasta_input("3'UTRs or other targets, 5'→3'", "fasta")
    every_site = gr.Checkbox(label="One row a site", elem_id="sites")
    button = gr.Button("Find targets", variant="primary", elem_id="run")
    outputs = results()
    gr.Examples(SETTINGS["examples"], [mirna[0], mrna[0]], label="Examples", elem_id="examples")
    button.click(run, [*mirna, *mrna, every_site], outputs, api_name="run")

if __name__ == "__main__":
    launch(page)
